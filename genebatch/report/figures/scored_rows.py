"""Draws scored rows: ROC, precision over recall, calibration; a panel a class."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import numpy as np
import polars as pl
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from genebatch.metrics.binary import METRICS, ScoredClass
from genebatch.metrics.ranking import Called, called, precision_recall_points, roc_points
from genebatch.report.figures import style
from genebatch.report.numbers import format_value

THIN = 0.8  # line width of what is counted in rows where there are weights as well


@dataclass(frozen=True, eq=False)
class Scored:
    """Labelled rows and the probabilities of the models that are drawn.

    Attributes
    ----------
    classes
        Names of the classes.
    codes
        (rows,) class of each row.
    probabilities
        Name to (rows, classes) probabilities; `base` is drawn grey, any other in the colour of
        the class.
    weight
        (rows,) weights, or None.
    """

    classes: Sequence[str]
    codes: np.ndarray
    probabilities: Mapping[str, np.ndarray]
    weight: np.ndarray | None

    @cached_property
    def of_class(self) -> list[dict[str, ScoredClass]]:
        """For each class the models and their rows, which are sorted once for all figures."""
        codes = np.asarray(self.codes)
        return [
            {
                name: ScoredClass(codes == number, probability[:, number])
                for name, probability in self.probabilities.items()
            }
            for number in range(len(self.classes))
        ]


class Reliability(NamedTuple):
    """A line of a calibration panel.

    Attributes
    ----------
    name
        `base` is drawn grey and `before` hollow.
    label
        Text of the legend.
    table
        What `genebatch.metrics.binary.reliability` gives.
    """

    name: str
    label: str
    table: pl.DataFrame


class _Curve(NamedTuple):
    label: str
    colour: str
    width: float
    counts: Called

    @property
    def share(self) -> float:
        """Share of the class."""
        return self.counts.positive[-1] / self.counts.rows[-1]

    @property
    def drawn(self) -> dict[str, object]:
        """Arguments of `Axes.plot`."""
        return {"label": self.label, "color": self.colour, "linewidth": self.width}


def roc(scored: Scored, title: str) -> Figure:
    """Draw the ROC curve of every class, with the area under it.

    The false positive rate has a logarithmic axis: a caller of rare sites chooses among rates
    below one percent.
    """
    with style.panels(len(scored.classes), title) as (figure, panels):
        for number, axes in enumerate(panels):
            style.head(axes, scored.classes[number])
            curves = _curves(scored, number, "auc")
            if isinstance(curves, str):
                style.say(axes, curves)
            else:
                _roc_panel(axes, curves)
    return figure


def precision_recall(scored: Scored, title: str, notes: Mapping[str, str] | None = None) -> Figure:
    """Draw precision over recall of every class, with the average precision.

    Parameters
    ----------
    scored, title
        As in `roc`.
    notes
        Class to a line of text below its panel.
    """
    with style.panels(len(scored.classes), title) as (figure, panels):
        for number, (name, axes) in enumerate(zip(scored.classes, panels, strict=True)):
            style.head(axes, name)
            curves = _curves(scored, number, "average_precision")
            if isinstance(curves, str):
                style.say(axes, curves)
            else:
                _precision_recall_panel(axes, name, curves, (notes or {}).get(name))
    return figure


def calibration(
    classes: Mapping[str, Sequence[Reliability]], heads: Sequence[str], title: str
) -> Figure:
    """Draw observed shares over mean probabilities, by class.

    The axes are linear: bins have equal width, and rare classes differ where scores are high. The
    lowest bin holds most rows and is given in numbers.

    Parameters
    ----------
    classes
        Class to its lines; the lowest bin of the last line is given in numbers.
    heads
        Title of each panel.
    title
        Title of the figure.
    """
    with style.panels(len(classes), title, size=(3.7, 4.3)) as (figure, panels):
        for number, (axes, lines) in enumerate(zip(panels, classes.values(), strict=True)):
            style.head(axes, heads[number])
            if not any(line.table["observed"].sum() for line in lines):
                style.say(axes, "no positive rows")
                continue
            axes.plot([0, 1], [0, 1], color=style.GREY, linewidth=0.8, linestyle=":")
            for line in lines:
                _reliability(axes, line, style.colour(number))
            axes.set(xlim=(-0.03, 1.03), ylim=(-0.03, 1.03), ylabel="observed share")
            axes.set_xlabel(f"mean probability\n{_lowest_bin(lines[-1].table)}")
            style.legend(axes)
    return figure


def _curves(scored: Scored, number: int, metric: str) -> list[_Curve] | str:
    """The curves of a class, or why there are none."""
    counted = [("", None)] if scored.weight is None else [(" weighted", scored.weight)]
    counted += [] if scored.weight is None else [(" rows", None)]
    curves = []
    for place, (how, weight) in enumerate(counted):
        for name, rows in scored.of_class[number].items():
            value, reason = METRICS[metric].of(rows, weight)
            if reason is not None:
                return reason
            colour = style.GREY if name == "base" else style.colour(number)
            width = THIN if place else style.STYLE["lines.linewidth"]
            label = f"{name}{how} {format_value(value)}"
            counts = called(rows.ranking, rows.y, weight)
            curves.append(_Curve(label, colour, width, counts))
    return curves


def _roc_panel(axes: Axes, curves: Sequence[_Curve]) -> None:
    rates = [roc_points(curve.counts) for curve in curves]
    left = min(false[false > 0].min() for false, _ in rates) / 2
    for curve, (false, true) in zip(curves, rates, strict=True):
        axes.plot(np.maximum(false, left), true, **curve.drawn)
    chance = np.geomspace(left, 1, 100)
    axes.plot(chance, chance, color=style.PALE, linewidth=1.2, linestyle=":")
    axes.set(xscale="log", xlim=(left, 1.1), ylim=(0, 1.03))
    axes.set(xlabel="false positive rate (log)", ylabel="true positive rate")
    style.legend(axes, "AUC")


def _precision_recall_panel(
    axes: Axes, name: str, curves: Sequence[_Curve], note: str | None
) -> None:
    shares = [curve.share for curve in curves]
    for curve in curves:
        precision, recall = precision_recall_points(curve.counts)
        axes.plot(recall, precision, drawstyle="steps-post", **curve.drawn)
    axes.axhline(shares[0], color=style.PALE, linewidth=1.2, linestyle=":")
    style.head(axes, f"{name} (share {format_value(shares[0])})")
    # The precision of a common class is above 0.5 whatever the scores are.
    bottom = min(shares) if min(shares) > 0.5 else 0
    axes.set(xlim=(0, 1.02), ylim=(bottom - 0.02 * (1 - bottom), 1 + 0.03 * (1 - bottom)))
    below = "" if note is None else f"\n{style.plain(note)}"
    axes.set(xlabel=f"recall{below}", ylabel="precision")
    style.legend(axes, "average precision")


def _reliability(axes: Axes, line: Reliability, colour: str) -> None:
    colour = style.GREY if line.name == "base" else colour
    hollow = line.name == "before"
    drawn = {"color": colour, "linestyle": ":" if hollow else "-", "linewidth": 1}
    x, y = line.table["mean_probability"], line.table["observed"]
    axes.plot(x, y, **drawn)
    n = np.maximum(line.table["n"].to_numpy(), 1)
    area = 8 + 12 * np.log10(n)
    face = "white" if hollow else colour
    axes.scatter(x, y, s=area, facecolor=face, edgecolor=colour, label=line.label, zorder=3)


def _lowest_bin(table: pl.DataFrame) -> str:
    lowest = table.sort("bin").row(0, named=True)
    share = 100 * lowest["weight"] / table["weight"].sum()
    predicted, observed = (format_value(lowest[k]) for k in ("mean_probability", "observed"))
    return f"lowest bin ({share:.3g} % of all):\n{predicted} predicted, {observed} observed"
