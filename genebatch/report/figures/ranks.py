"""Draws ranked groups: their losses, the ambiguity in them, errors of the base scores."""

from collections.abc import Sequence

import numpy as np
import polars as pl
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from genebatch.evaluation.group_ranks import Ranks
from genebatch.evaluation.group_sums import WEIGHTED
from genebatch.report.figures import style

MAX_POINTS = 20_000  # of more groups a panel shows the first and an even share of the others
SIZE = (4.9, 5.6)  # inches of a panel


def draw_ranks(ranks: Ranks, classes: Sequence[str], top: int) -> Figure:
    """Draw ranked groups in three panels.

    The first panel shows the ambiguity of every ranked group over its loss, both logarithmic. The
    second shows the members' loss on the first groups, split into the part that all members share
    and the ambiguity of each class. The third shows the errors of the base scores that the model
    corrected, and those that it made.

    Parameters
    ----------
    ranks
        The groups. If they are ranked by a column of weighted rows, weighted rows are drawn.
    classes
        Names of the classes.
    top
        Number of groups that are named.
    """
    table, by = ranks.table.filter(pl.col("rank").is_not_null()), ranks.by
    prefix = WEIGHTED if by.startswith(WEIGHTED) else ""
    names = {name: name.removeprefix(prefix) for name in table.columns if name.startswith(prefix)}
    lines = (
        table.select("rank", "group", *(pl.col(name).alias(plain) for name, plain in names.items()))
        if prefix
        else table
    )
    first = lines.head(top)
    rows = "weighted rows" if prefix else "rows"
    title = f"{ranks.counted} groups by {by.replace('_', ' ')}; sums over held-out {rows}"
    with style.panels(3, title, SIZE) as (figure, (scatter, parts, errors)):
        _scatter(scatter, lines, first, classes)
        _parts(parts, first, classes)
        _errors(errors, first)
    return figure


def _scatter(axes: Axes, lines: pl.DataFrame, first: pl.DataFrame, classes: Sequence[str]) -> None:
    style.head(axes, "Ambiguity and loss of every group")
    if lines["ambiguity"].null_count() == lines.height:
        style.say(axes, "no ambiguity: a single member")
        return
    step = -(-lines.height // MAX_POINTS)
    shown = pl.concat([first, lines[first.height :].gather_every(step)])
    x, y = (_positive(shown[name].to_numpy()) for name in ("log_loss", "ambiguity"))
    most = shown.select(f"ambiguity_{name}" for name in classes).to_numpy().argmax(axis=1)
    for number, name in enumerate(classes):
        own = most == number
        drawn = {"s": 14, "alpha": 0.6, "linewidths": 0, "color": style.colour(number)}
        axes.scatter(x[own], y[own], label=style.short(name), **drawn)
    axes.set(xscale="log", yscale="log", xlabel="log loss (nats)", ylabel="ambiguity (nats)")
    ends = [max(x.min(), y.min()), min(x.max(), y.max())]
    drawn = {"color": style.PALE, "linewidth": 1.2, "linestyle": ":", "zorder": 0}
    axes.plot(ends, ends, label="loss = ambiguity", **drawn)
    _point_out(axes, x[: first.height], y[: first.height])
    style.legend(axes, "class of most ambiguity")


def _point_out(axes: Axes, x: np.ndarray, y: np.ndarray) -> None:
    """Write the ranks of the first groups in a column beside the panel; a line leads to each."""
    low, high = np.log(axes.get_ylim())
    order = np.argsort(y, kind="stable")
    height = _apart((np.log(y[order]) - low) / (high - low), min(0.034, 1 / len(y)))
    line = {"arrowstyle": "-", "color": "#999999", "linewidth": 0.5, "shrinkA": 0, "shrinkB": 1}
    for place, beside in zip(order, height, strict=True):
        where = {"xytext": (1.02, beside), "textcoords": "axes fraction", "fontsize": 8}
        text = str(place + 1)
        axes.annotate(text, (x[place], y[place]), va="center", arrowprops=line, **where)


def _apart(places: np.ndarray, gap: float) -> np.ndarray:
    """Move rising places up until they are `gap` apart, and down if that ends above 1."""
    moved = np.maximum.accumulate(places - gap * np.arange(len(places)))
    last = 1 - gap * (len(places) - 1)
    return np.minimum(moved, last) + gap * np.arange(len(places))


def _parts(axes: Axes, first: pl.DataFrame, classes: Sequence[str]) -> None:
    """Draw bars of the members' loss: first what all members share, then each class's ambiguity."""
    style.head(axes, f"Loss of the members, first {first.height}")
    place = np.arange(first.height)
    ambiguity = first["ambiguity"].fill_null(0).to_numpy()
    left = first["member_log_loss"].to_numpy() - ambiguity
    axes.barh(place, left, color=style.PALE, label="shared by all")
    for number, name in enumerate(classes):
        width = first[f"ambiguity_{name}"].fill_null(0).to_numpy()
        label = f"ambiguity, {style.short(name)}"
        axes.barh(place, width, left=left, color=style.colour(number), label=label)
        left = left + width
    names = [
        f"{style.short(group)}  {rank}" for rank, group in first.select("rank", "group").rows()
    ]
    _by_rank(axes, names)
    axes.set(xlabel="log loss (nats)")
    style.legend(axes)


def _errors(axes: Axes, first: pl.DataFrame) -> None:
    """Draw bars of corrected errors to the right, of new errors to the left."""
    style.head(axes, "Errors of the base scores")
    if first["corrected"].null_count() == first.height:
        style.say(axes, "no base scores")
        return
    place = np.arange(first.height)
    axes.barh(place, first["corrected"], color=style.colour(2), label="corrected")
    axes.barh(place, -first["made"].cast(pl.Float64), color=style.colour(1), label="made")
    axes.axvline(0, color="#555555", linewidth=0.8)
    axes.xaxis.set_major_formatter(lambda value, _: f"{abs(value):g}")
    _by_rank(axes, [str(rank) for rank in first["rank"]])
    axes.set(xlabel="errors made | errors corrected")
    style.legend(axes)


def _by_rank(axes: Axes, names: Sequence[str]) -> None:
    """Order bars from top to bottom."""
    axes.set_yticks(np.arange(len(names)), names)
    axes.set_ylim(len(names) - 0.4, -0.6)
    axes.grid(False, axis="y")


def _positive(values: np.ndarray) -> np.ndarray:
    """Make values fit for a logarithmic axis: those of about 0 move to its lower end."""
    above = values[values > 1e-9 * values.max()]
    return np.maximum(values, above.min() / 2 if above.size else 1.0)
