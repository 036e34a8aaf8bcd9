"""The figure of ranked groups: their losses, what of them is ambiguity, errors against the base."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import polars as pl
from matplotlib.axes import Axes

from genebatch import look
from genebatch.group_sums import WEIGHTED

MAX_POINTS = 20_000  # beyond them a panel shows the first and an even share of the others
SIZE = (4.9, 5.6)  # inches of a panel


def draw_ranks(
    path: str | Path, table: pl.DataFrame, classes: Sequence[str], by: str, top: int
) -> None:
    """Draw ranked groups in three panels.

    The loss of every group over its ambiguity, both logarithmic; for the first groups the loss of
    the members, split into what all share and the ambiguity of the rows of each class; and the
    errors of the base scores that the model corrected and those it made.

    Parameters
    ----------
    path
        The PNG.
    table
        As `gene_ranks.rank` makes it.
    classes
        Names of the classes.
    by
        Column of the ranks. Weighted rows are drawn where it is of weighted rows.
    top
        Number of groups that are named.
    """
    prefix = WEIGHTED if by.startswith(WEIGHTED) else ""
    names = {name: name.removeprefix(prefix) for name in table.columns if name.startswith(prefix)}
    lines = (
        table.select("rank", "group", *(pl.col(name).alias(plain) for name, plain in names.items()))
        if prefix
        else table
    )
    first = lines.head(top)
    rows = "weighted rows" if prefix else "rows"
    title = f"{table.height:,} groups by {by.replace('_', ' ')}; sums over held-out {rows}"
    with look.panels(path, 3, title, SIZE) as (scatter, parts, errors):
        _scatter(scatter, lines, first, classes)
        _parts(parts, first, classes)
        _errors(errors, first)


def _scatter(axes: Axes, lines: pl.DataFrame, first: pl.DataFrame, classes: Sequence[str]) -> None:
    look.head(axes, "Loss and ambiguity of every group")
    if lines["ambiguity"].null_count() == lines.height:
        look.say(axes, "no ambiguity: a single member")
        return
    step = -(-lines.height // MAX_POINTS)
    shown = pl.concat([first, lines[first.height :].gather_every(step)])
    x, y = (_positive(shown[name].to_numpy()) for name in ("ambiguity", "log_loss"))
    most = shown.select(f"ambiguity_{name}" for name in classes).to_numpy().argmax(axis=1)
    for number, name in enumerate(classes):
        own = most == number
        style = {"s": 14, "alpha": 0.6, "linewidths": 0, "color": look.colour(number)}
        axes.scatter(x[own], y[own], label=look.short(name), **style)
    axes.set(xscale="log", yscale="log", xlabel="ambiguity (nats)", ylabel="log loss (nats)")
    whole = [max(x.min(), y.min()), min(x.max(), y.max())]
    axes.plot(whole, whole, color=look.PALE, linewidth=1.2, linestyle=":", zorder=0)
    for place, number in enumerate(first["rank"]):
        offset = {"textcoords": "offset points", "xytext": (3, 3), "fontsize": 7}
        axes.annotate(str(number), (x[place], y[place]), **offset)
    look.legend(axes, "class of most ambiguity")


def _parts(axes: Axes, first: pl.DataFrame, classes: Sequence[str]) -> None:
    """Bars of the members' loss, the ambiguity of each class after what all members share."""
    look.head(axes, f"Loss of the members, first {first.height}")
    place = np.arange(first.height)
    ambiguity = first["ambiguity"].fill_null(0).to_numpy()
    left = first["member_log_loss"].to_numpy() - ambiguity
    axes.barh(place, left, color=look.PALE, label="shared by all")
    for number, name in enumerate(classes):
        width = first[f"ambiguity_{name}"].fill_null(0).to_numpy()
        label = f"ambiguity, {look.short(name)}"
        axes.barh(place, width, left=left, color=look.colour(number), label=label)
        left = left + width
    names = [f"{look.short(group)}  {rank}" for rank, group in first.select("rank", "group").rows()]
    _by_rank(axes, names)
    axes.set(xlabel="log loss (nats)")
    look.legend(axes)


def _errors(axes: Axes, first: pl.DataFrame) -> None:
    """Bars of corrected errors to the right, of made ones to the left."""
    look.head(axes, "Errors of the base scores")
    if first["corrected"].null_count() == first.height:
        look.say(axes, "no base scores")
        return
    place = np.arange(first.height)
    axes.barh(place, first["corrected"], color=look.colour(2), label="corrected")
    axes.barh(place, -first["made"].cast(pl.Float64), color=look.colour(1), label="made")
    axes.axvline(0, color="#555555", linewidth=0.8)
    axes.xaxis.set_major_formatter(lambda value, _: f"{abs(value):g}")
    _by_rank(axes, [str(rank) for rank in first["rank"]])
    axes.set(xlabel="errors made | errors corrected")
    look.legend(axes)


def _by_rank(axes: Axes, names: Sequence[str]) -> None:
    """Bars from top to bottom."""
    axes.set_yticks(np.arange(len(names)), names)
    axes.set_ylim(len(names) - 0.4, -0.6)
    axes.grid(False, axis="y")


def _positive(values: np.ndarray) -> np.ndarray:
    """Values for a logarithmic axis: what is 0 stands at half the smallest that is not."""
    above = values[values > 0]
    return np.maximum(values, above.min() / 2 if above.size else 1.0)
