"""Draws the picture of the first screen: precision over recall, or the difference by class."""

from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

import numpy as np
import polars as pl
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from genebatch.metrics.ranking import called, precision_recall_points
from genebatch.report.figures import style
from genebatch.report.figures.scored_rows import Scored
from genebatch.report.first_screen import Standing
from genebatch.report.numbers import format_share

MOST_PANELS = 2  # classes whose curves fit beside each other; more are drawn as differences
MOST_LINES = 12  # classes of the picture of differences


class Curve(NamedTuple):
    """Precision over recall of the base scores or of the model; the colour is the model's."""

    name: str
    side: str
    colour: str
    recall: np.ndarray
    precision: np.ndarray


def track_curves(table: pl.DataFrame, names: Sequence[str]) -> Iterator[Curve]:
    """Give the curves of `names` from `calls.evaluation.tables.curves`."""
    for (name, side), part in table.group_by("class", "scores", maintain_order=True):
        if name in names:
            # In the other figures colour 0 is that of the class neither.
            colour = style.colour(1 + list(names).index(name))
            points = (part[key].to_numpy() for key in ("recall", "precision"))
            yield Curve(name, side, colour, *points)


def row_curves(scored: Scored, names: Sequence[str]) -> Iterator[Curve]:
    """Give the curves of `names` on scored rows; a class without rows has none."""
    for name in names:
        number = list(scored.classes).index(name)
        for side, rows in reversed(scored.of_class[number].items()):
            if rows.y.any():
                counts = called(rows.ranking, rows.y, scored.weight)
                precision, recall = precision_recall_points(counts)
                yield Curve(name, side, style.colour(number), recall, precision)


def precision_recall(curves: Iterable[Curve], lines: Sequence[Standing], title: str) -> Figure:
    """Draw precision over recall, a panel a class, with the average precision.

    Parameters
    ----------
    curves
        The curves.
    lines
        The standing of each class that has a panel.
    title
        Title of the figure.
    """
    drawn = list(curves)
    size = (3.45, 2.75) if len(lines) > 1 else (5.4, 2.75)
    with style.panels(len(lines), title, size=size) as (figure, panels):
        for line, axes in zip(lines, panels, strict=True):
            style.head(axes, line.name)
            own = [curve for curve in drawn if curve.name == line.name]
            if not own:
                style.say(axes, line.reason or "no such rows")
                continue
            for curve in own:
                _curve(axes, curve, line)
            axes.set(xlim=(0, 1.02), ylim=(-0.02, 1.03), xlabel="recall", ylabel="precision")
            axes.legend(loc="best", handlelength=1.2, fontsize=9)
    return figure


def differences(lines: Sequence[Standing], title: str) -> Figure:
    """Draw the average precision of base scores and model, a line a class.

    A bar is the 95 % interval of the difference, put where the base score is. Without base scores
    it is that of the model, and chance takes the place of the base score.
    """
    shown = lines[:MOST_LINES]
    size = (6.6, max(2.5, 0.75 + 0.24 * len(shown)))
    with style.panels(1, title, size=size) as (figure, (axes,)):
        for place, line in enumerate(shown):
            _difference(axes, place, line)
        names = [style.short(line.name) for line in shown]
        axes.set(yticks=range(len(shown)), yticklabels=names, ylim=(len(shown) - 0.4, -0.6))
        axes.set(xlabel="average precision", xlim=(None, 1.02))
        axes.set_xticks([tick for tick in axes.get_xticks() if tick <= 1])
        axes.grid(False, axis="y")
        has_base = any(line.base is not None for line in shown)
        axes.plot([], [], label="base scores" if has_base else "chance", **_marks("base"))
        axes.plot([], [], label="model", **_marks("model"))
        axes.legend(loc="lower left", bbox_to_anchor=(0, 1), ncols=2, borderaxespad=0.2)
    return figure


def _curve(axes: Axes, curve: Curve, line: Standing) -> None:
    is_base = curve.side == "base"
    value = line.base if is_base else line.model
    label = f"{'base scores' if is_base else 'model'} {format_share(value)}"
    colour = style.GREY if is_base else curve.colour
    drawn = {"drawstyle": "steps-post", "color": colour, "label": label}
    known = curve.recall > 0  # a precision of 1 at a recall of 0 is a convention, not a call
    axes.plot(curve.recall[known], curve.precision[known], **drawn)


def _difference(axes: Axes, place: int, line: Standing) -> None:
    if line.model is None:
        return
    if line.low is not None:
        start = line.base or 0.0
        axes.hlines(place, start + line.low, start + line.high, color=style.COLOURS[0], alpha=0.35)
    below = line.chance if line.base is None else line.base
    if below is not None:
        axes.plot(below, place, **_marks("base"))
    axes.plot(line.model, place, **_marks("model"))


def _marks(side: str) -> dict[str, object]:
    colour = style.GREY if side == "base" else style.COLOURS[0]
    return {"marker": "o", "linestyle": "none", "markersize": 6, "color": colour, "zorder": 3}
