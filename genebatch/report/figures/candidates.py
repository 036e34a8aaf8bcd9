"""Draws the candidates: their average precision, and the weights that combiners learned."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import polars as pl
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from genebatch.evaluation.systems import MEMBER
from genebatch.evaluation.test_groups import RANKS
from genebatch.report.figures import style

MOST_LINES = 20  # members with a line of their own; more share one
MOST_CELLS = 30  # members whose weights are written as numbers; more are drawn as a curve
METRIC = "average_precision"


class _Drawn(NamedTuple):
    """What a class's panel shows.

    Attributes
    ----------
    values
        Candidate to average precision.
    ends
        Candidate to its bar: the 95 % interval of its difference to the reference, added to the
        reference.
    reference
        Average precision of the reference, or None where there is none.
    """

    values: dict[str, float]
    ends: dict[str, tuple[float, float]]
    reference: float | None


def members(
    metrics: pl.DataFrame, compared: pl.DataFrame, classes: Sequence[str], title: str
) -> Figure:
    """Draw the average precision of every candidate and member.

    A bar is the 95 % interval of the difference to the base scores, or without base scores to the
    single model. A candidate whose bar crosses the dotted line is not distinguishable from them.
    More than 20 members share a line. Rows count by their weights where they have any.

    Parameters
    ----------
    metrics, compared
        `metrics.tsv` and `systems.tsv` of the evaluation.
    classes, title
        Names of the classes; title of the figure.
    """
    scores = metrics.filter(pl.col("metric") == METRIC)
    gains = compared.filter((pl.col("metric") == METRIC) & ~pl.col("system").is_in(list(RANKS)))
    names = gains["system"].unique(maintain_order=True).to_list()
    in_use = set(gains.filter("in_use")["system"])
    of_members = scores.filter(pl.col("system").str.starts_with(MEMBER))
    own = of_members["system"].unique(maintain_order=True).to_list()
    together = len(own) > MOST_LINES
    lines = [*names, *([f"{len(own)} members"] if together else own)]
    place = {name: number for number, name in enumerate(lines)}
    place |= dict.fromkeys(own, len(names)) if together else {}
    labels = [f"{style.short(name)}{' (delivered)' * (name in in_use)}" for name in lines]
    size = (4.1, 1.7 + 0.24 * len(lines))
    with style.panels(len(classes), title, size=size) as (figure, panels):
        for number, (name, axes) in enumerate(zip(classes, panels, strict=True)):
            style.head(axes, name)
            reached = scores.filter(pl.col("class") == name)
            if reached["value"].is_null().all():
                style.say(axes, reached["reason"][0])
                continue
            drawn = _drawn(reached, gains.filter(pl.col("class") == name))
            _marks(axes, drawn, place, style.colour(number))
            axes.set(yticks=range(len(lines)), yticklabels=labels, xlabel="average precision")
            axes.set(ylim=(len(lines) - 0.4, -0.6))
            axes.locator_params(axis="x", nbins=5)
            for label, candidate in zip(axes.get_yticklabels(), lines, strict=True):
                label.set_fontweight("bold" if candidate in in_use else "normal")
    return figure


def weights(combiners: Mapping[str, Any], classes: Sequence[str], title: str) -> Figure:
    """Draw the weight of every member in every combiner that learns weights.

    Up to 30 members stand in a grid of numbers; more are drawn as a curve of falling weights.

    Parameters
    ----------
    combiners
        Content of `combiners.json`.
    classes, title
        Names of the classes; title of the figure.
    """
    names = combiners["members"]
    learned = {
        name: np.asarray(parameters["weights"], float)
        for name, parameters in combiners["combiners"].items()
        if "weights" in parameters
    }
    many = len(names) > MOST_CELLS
    size = (4.1, 3.6) if many else (1.1 + 0.8 * len(learned), 1.3 + 0.24 * len(names))
    with style.panels(len(classes), title, size=size) as (figure, panels):
        for column, (name, axes) in enumerate(zip(classes, panels, strict=True)):
            style.head(axes, name)
            own = {combiner: values[column] for combiner, values in learned.items()}
            if many:
                _profile(axes, own, len(names))
            else:
                _grid(axes, own, names)
    return figure


def _drawn(reached: pl.DataFrame, gains: pl.DataFrame) -> _Drawn:
    main = bool(reached["weighted"].any())
    lines = reached.filter(pl.col("weighted") == main).select("system", "value").drop_nulls()
    values = dict(lines.iter_rows())
    reference = next((key for key in ("base", "single") if f"over_{key}" in gains.columns), None)
    if reference is None:
        return _Drawn(values, {}, None)
    start = values[reference]
    columns = (f"over_{reference}_low", f"over_{reference}_high")
    intervals = gains.filter(pl.col("weighted") == main).select("system", *columns).drop_nulls()
    ends = {name: (start + low, start + high) for name, low, high in intervals.iter_rows()}
    return _Drawn(values, ends, start)


def _marks(axes: Axes, drawn: _Drawn, place: Mapping[str, int], colour: str) -> None:
    if drawn.reference is not None:
        axes.axvline(drawn.reference, color=style.GREY, linewidth=1, linestyle=":")
    for name, value in drawn.values.items():
        if name not in place:  # the finished model, which is one of the others
            continue
        edge = style.GREY if name == "base" else colour
        shape = {"s": 14, "marker": "D", "alpha": 0.6} if name.startswith(MEMBER) else {"s": 26}
        axes.scatter(value, place[name], color=edge, zorder=3, **shape)
        if name in drawn.ends:
            axes.hlines(place[name], *drawn.ends[name], color=edge, linewidth=1.6)


def _grid(axes: Axes, own: Mapping[str, np.ndarray], names: Sequence[str]) -> None:
    values = np.column_stack(list(own.values()))
    top = max(float(values.max()), 1 / len(names))
    for (row, column), value in np.ndenumerate(values):
        # So pale that the number is read on it, on light and dark paper.
        shade = {"color": style.COLOURS[0], "alpha": 0.45 * max(value, 0) / top, "linewidth": 0}
        axes.add_patch(Rectangle((column - 0.5, row - 0.5), 1, 1, **shade))
        text = "0" if value == 0 else f"{value:.2f}"
        axes.text(column, row, text, ha="center", va="center", fontsize=8)
    axes.set(xlim=(-0.5, len(own) - 0.5), ylim=(len(names) - 0.5, -0.5))
    axes.set(yticks=range(len(names)), yticklabels=[style.short(name) for name in names])
    heads = [f"{name}\nsum {weight.sum():.2f}" for name, weight in own.items()]
    axes.set(xticks=range(len(own)), xticklabels=heads)
    axes.tick_params(axis="x", labelsize=7)
    axes.grid(False)


def _profile(axes: Axes, own: Mapping[str, np.ndarray], n_members: int) -> None:
    for number, (name, weight) in enumerate(own.items()):
        used = f"{name}: {np.count_nonzero(weight)} used, sum {weight.sum():.2f}"
        drawn = {"color": style.colour(number), "linewidth": 1.4, "label": used}
        axes.plot(range(1, n_members + 1), np.sort(weight)[::-1], drawstyle="steps-mid", **drawn)
    axes.axhline(1 / n_members, color=style.GREY, linewidth=1, linestyle=":")
    axes.set(xlabel="members by falling weight", ylabel="weight", xlim=(0, n_members + 1))
    style.legend(axes)
