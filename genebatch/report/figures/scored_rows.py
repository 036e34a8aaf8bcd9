"""Figures of scored rows and of jobs; each takes tables and writes one PNG."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import polars as pl
from matplotlib.axes import Axes
from sklearn.metrics import precision_recall_curve, roc_curve

from genebatch.metrics.binary import METRICS
from genebatch.report.figures import style as look
from genebatch.report.numbers import format_value

THIN = 0.8  # line width of what is counted in rows where there are weights as well


class Scored(NamedTuple):
    """Labelled rows and what each system says about them.

    Attributes
    ----------
    classes
        Names of the classes.
    codes
        (rows,) class of each row.
    systems
        Name to (rows, classes) probabilities; `base` is drawn grey, any other in the colour of
        the class.
    weight
        (rows,) weights, or None.
    """

    classes: Sequence[str]
    codes: np.ndarray
    systems: Mapping[str, np.ndarray]
    weight: np.ndarray | None


class Reliability(NamedTuple):
    """A line of a calibration panel.

    Attributes
    ----------
    system
        `base` is drawn grey and `before` hollow.
    label
        Text of the legend.
    table
        What `genebatch.metrics.binary.reliability` gives.
    """

    system: str
    label: str
    table: pl.DataFrame


class _Line(NamedTuple):
    label: str
    colour: str
    width: float
    y: np.ndarray
    score: np.ndarray
    weight: np.ndarray | None


def roc(path: str | Path, scored: Scored, title: str) -> None:
    """Draw the ROC curve of every class, with the area under it.

    The false positive rate has a logarithmic axis, since nearly all of what a caller of rare
    sites chooses between lies below one percent.
    """
    with look.panels(path, len(scored.classes), title) as panels:
        for number, axes in enumerate(panels):
            look.head(axes, scored.classes[number])
            lines = _lines(scored, number, "auc")
            if isinstance(lines, str):
                look.say(axes, lines)
                continue
            curves = [roc_curve(line.y, line.score, sample_weight=line.weight) for line in lines]
            left = min(rates[rates > 0].min() for rates, _, _ in curves) / 2
            for line, (false, true, _) in zip(lines, curves, strict=True):
                axes.plot(np.maximum(false, left), true, **_look(line))
            chance = np.geomspace(left, 1, 100)
            axes.plot(chance, chance, color=look.PALE, linewidth=1.2, linestyle=":")
            axes.set(xscale="log", xlim=(left, 1.1), ylim=(0, 1.03))
            axes.set(xlabel="false positive rate (log)", ylabel="true positive rate")
            look.legend(axes, "AUC")


def precision_recall(
    path: str | Path, scored: Scored, title: str, notes: Mapping[str, str] | None = None
) -> None:
    """Draw precision over recall of every class, with the average precision.

    Parameters
    ----------
    path, scored, title
        As in `roc`.
    notes
        Class to a line of text below its panel.
    """
    with look.panels(path, len(scored.classes), title) as panels:
        for number, (name, axes) in enumerate(zip(scored.classes, panels, strict=True)):
            look.head(axes, name)
            lines = _lines(scored, number, "average_precision")
            if isinstance(lines, str):
                look.say(axes, lines)
                continue
            shares = [np.average(line.y, weights=line.weight) for line in lines]
            for line in lines:
                precision, recall, _ = precision_recall_curve(
                    line.y, line.score, sample_weight=line.weight, drop_intermediate=True
                )
                axes.plot(recall, precision, drawstyle="steps-post", **_look(line))
            axes.axhline(shares[0], color=look.PALE, linewidth=1.2, linestyle=":")
            look.head(axes, f"{name} (share {format_value(shares[0])})")
            # A common class is above 0.5 whatever the scores say.
            bottom = min(shares) if min(shares) > 0.5 else 0
            axes.set(xlim=(0, 1.02), ylim=(bottom - 0.02 * (1 - bottom), 1 + 0.03 * (1 - bottom)))
            below = f"\n{look.plain(notes[name])}" if notes and name in notes else ""
            axes.set(xlabel=f"recall{below}", ylabel="precision")
            look.legend(axes, "average precision")


def calibration(
    path: str | Path, classes: Mapping[str, Sequence[Reliability]], heads: Sequence[str], title: str
) -> None:
    """Draw observed shares over mean probabilities, by class.

    Linear axes, since the bins are of equal width and rare classes differ from each other where
    the scores are high; the lowest bin, which holds most rows, is given in numbers.

    Parameters
    ----------
    path
        The PNG.
    classes
        Class to its lines; the last one's lowest bin is the one given in numbers.
    heads
        Title of each panel.
    title
        Title of the figure.
    """
    with look.panels(path, len(classes), title, size=(3.7, 4.3)) as panels:
        for number, (axes, lines) in enumerate(zip(panels, classes.values(), strict=True)):
            look.head(axes, heads[number])
            if not any(line.table["observed"].sum() for line in lines):
                look.say(axes, "no positive rows")
                continue
            axes.plot([0, 1], [0, 1], color=look.GREY, linewidth=0.8, linestyle=":")
            for line in lines:
                _reliability(axes, line, look.colour(number))
            axes.set(xlim=(-0.03, 1.03), ylim=(-0.03, 1.03), ylabel="observed share")
            axes.set_xlabel(f"mean probability\n{_lowest_bin(lines[-1].table)}")
            look.legend(axes)


def memory(path: str | Path, usage: Sequence[Mapping[str, object]], title: str) -> None:
    """Draw the measured peak of every job against its estimate, by rule.

    Parameters
    ----------
    path
        The PNG.
    usage
        What `genebatch.jobs.run.read_usage` gives.
    title
        Title of the figure.
    """
    rules = list(dict.fromkeys(str(record["rule"]) for record in usage))
    with look.panels(path, 1, title, size=(8.2, 1.6 + 0.3 * len(rules))) as panels:
        axes = panels[0]
        if not usage:
            look.say(axes, "no job recorded its memory")
            return
        for height, rule in enumerate(rules):
            own = [record for record in usage if record["rule"] == rule]
            jitter = np.linspace(-0.22, 0.22, len(own)) if len(own) > 1 else np.zeros(1)
            declared = np.array([record["declared_mb"] for record in own], float)
            peak = np.array([record["peak_mb"] for record in own], float)
            axes.hlines(height + jitter, peak, declared, color=look.PALE, linewidth=1)
            label = "estimate" if height == 0 else None
            axes.plot(declared, height + jitter, "|", color="black", markersize=7, label=label)
            label = "measured peak" if height == 0 else None
            axes.plot(peak, height + jitter, "o", color=look.COLOURS[0], markersize=4, label=label)
        axes.set(yticks=range(len(rules)), yticklabels=rules, ylim=(len(rules) - 0.4, -0.6))
        axes.set(xlim=(0, None), xlabel="resident memory, MB")
        look.legend(axes)


def _lines(scored: Scored, number: int, metric: str) -> list[_Line] | str:
    """The curves of a class, or why there are none."""
    y = np.asarray(scored.codes) == number
    counted = [("", None)] if scored.weight is None else [(" weighted", scored.weight)]
    counted += [] if scored.weight is None else [(" rows", None)]
    lines = []
    for place, (name, weight) in enumerate(counted):
        for system, probability in scored.systems.items():
            score = probability[:, number]
            value, reason = METRICS[metric](y, score, weight)
            if reason is not None:
                return reason
            colour = look.GREY if system == "base" else look.colour(number)
            width = THIN if place else look.STYLE["lines.linewidth"]
            label = f"{system}{name} {format_value(value)}"
            lines.append(_Line(label, colour, width, y, score, weight))
    return lines


def _look(line: _Line) -> dict[str, object]:
    return {"label": line.label, "color": line.colour, "linewidth": line.width}


def _reliability(axes: Axes, line: Reliability, colour: str) -> None:
    colour = look.GREY if line.system == "base" else colour
    hollow = line.system == "before"
    style = {"color": colour, "linestyle": ":" if hollow else "-", "linewidth": 1}
    x, y = line.table["mean_probability"], line.table["observed"]
    axes.plot(x, y, **style)
    n = np.maximum(line.table["n"].to_numpy(), 1)
    area = 8 + 12 * np.log10(n)
    face = "white" if hollow else colour
    axes.scatter(x, y, s=area, facecolor=face, edgecolor=colour, label=line.label, zorder=3)


def _lowest_bin(table: pl.DataFrame) -> str:
    lowest = table.sort("bin").row(0, named=True)
    share = 100 * lowest["weight"] / table["weight"].sum()
    predicted, observed = (format_value(lowest[k]) for k in ("mean_probability", "observed"))
    return f"lowest bin ({share:.3g} % of all):\n{predicted} predicted, {observed} observed"
