"""The figure of complete tracks: precision over recall of the model and of the base scores."""

from collections.abc import Mapping
from pathlib import Path

import polars as pl
from matplotlib.axes import Axes
from sklearn.metrics import precision_recall_curve

from genebatch.calls.evaluation.counts import BASE_AT
from genebatch.calls.evaluation.ranking import Ranking
from genebatch.metrics.binary import METRICS
from genebatch.report.figures import style as look
from genebatch.report.numbers import format_value

DEFAULT, BEST_F1 = BASE_AT
# Open and filled, so that both are seen where they lie on each other.
MARKERS = {
    DEFAULT: {"marker": "o", "markersize": 7, "markerfacecolor": "none", "markeredgewidth": 1.5},
    BEST_F1: {"marker": "D", "markersize": 6, "markeredgecolor": "white"},
}


def precision_recall(
    path: str | Path,
    rankings: Mapping[str, Ranking],
    corrections: pl.DataFrame,
    title: str,
) -> None:
    """Draw precision over recall at every position, a panel a class.

    Parameters
    ----------
    path
        The PNG.
    rankings
        Class to its ranking.
    corrections
        As `track_tables.corrections` makes it. What each system calls from its thresholds on is
        marked, the base scores' at each of theirs.
    title
        Title of the figure.
    """
    with look.panels(path, len(rankings), title) as panels:
        pairs = zip(rankings.items(), panels, strict=True)
        # Colour 0 is that of neither in the other figures.
        for number, ((name, ranking), axes) in enumerate(pairs, start=1):
            sites = int(ranking.y.sum())
            look.head(axes, f"{name} ({sites:,} sites)")
            if not sites:
                look.say(axes, "no sites in the test genes")
                continue
            colours = {"base": look.GREY, "model": look.colour(number)}
            for system, colour in colours.items():
                _curve(axes, ranking, system, colour)
            for system, colour in colours.items():
                _marks(axes, corrections.filter(pl.col("class") == name), system, colour)
            axes.set(xlim=(0, 1.02), ylim=(-0.02, 1.03), xlabel="recall", ylabel="precision")
            look.legend(axes, "average precision; calls")


def _curve(axes: Axes, ranking: Ranking, system: str, colour: str) -> None:
    y, score, weight = ranking.y, ranking.score[system], ranking.weight
    precision, recall, _ = precision_recall_curve(
        y, score, sample_weight=weight, drop_intermediate=True
    )
    value = METRICS["average_precision"](y, score, weight).value
    label = f"{system} {format_value(value)}"
    axes.plot(recall, precision, drawstyle="steps-post", color=colour, label=label)


def _marks(axes: Axes, lines: pl.DataFrame, system: str, colour: str) -> None:
    """Mark the calls of a system, which are counted exactly however high the floor has risen."""
    # Every line has the model's one threshold.
    own = lines if system == "base" else lines[:1]
    for line in own.iter_rows(named=True):
        at = line["base_at"] if system == "base" else BEST_F1
        found = line["n"] - line[f"{system}_missed"]
        called = found + line[f"{system}_false"]
        if called:
            threshold = f"{line[f'{system}_threshold']:.3g}"
            text = f"{system} from {threshold} on" + (" (best F1)" if at == BEST_F1 else "")
            style = {"zorder": 3, "clip_on": False, "linestyle": "none"} | MARKERS[at]
            axes.plot(found / line["n"], found / called, color=colour, label=text, **style)
