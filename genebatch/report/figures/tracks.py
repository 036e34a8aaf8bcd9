"""Draws complete tracks: precision over recall of the model and of the base scores."""

from collections.abc import Mapping

import polars as pl
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from genebatch.calls.evaluation.counts import BASE_AT
from genebatch.calls.evaluation.ranking import Ranking
from genebatch.metrics.binary import METRICS, ScoredClass
from genebatch.metrics.ranking import called, precision_recall_points
from genebatch.report.figures import style
from genebatch.report.numbers import format_value

DEFAULT, BEST_F1 = BASE_AT
# Open and filled, so that both are seen where they lie on each other.
MARKERS = {
    DEFAULT: {"marker": "o", "markersize": 7, "markerfacecolor": "none", "markeredgewidth": 1.5},
    BEST_F1: {"marker": "D", "markersize": 6, "markeredgecolor": "white"},
}


def precision_recall(
    rankings: Mapping[str, Ranking], corrections: pl.DataFrame, title: str
) -> Figure:
    """Draw precision over recall at every position, a panel a class.

    Parameters
    ----------
    rankings
        Class to its ranking.
    corrections
        As `calls.evaluation.tables.corrections` makes it. A mark shows what the model calls at its
        threshold, and what the base scores call at each of theirs.
    title
        Title of the figure.
    """
    with style.panels(len(rankings), title) as (figure, panels):
        pairs = zip(rankings.items(), panels, strict=True)
        # In the other figures colour 0 is that of the class neither.
        for number, ((name, ranking), axes) in enumerate(pairs, start=1):
            sites = int(ranking.y.sum())
            style.head(axes, f"{name} ({sites:,} sites)")
            if not sites:
                style.say(axes, "no sites in the test genes")
                continue
            colours = {"base": style.GREY, "model": style.colour(number)}
            for side, colour in colours.items():
                _curve(axes, ranking, side, colour)
            for side, colour in colours.items():
                _marks(axes, corrections.filter(pl.col("class") == name), side, colour)
            axes.set(xlim=(0, 1.02), ylim=(-0.02, 1.03), xlabel="recall", ylabel="precision")
            style.legend(axes, "average precision; calls")
    return figure


def _curve(axes: Axes, ranking: Ranking, side: str, colour: str) -> None:
    scored, weight = ScoredClass(ranking.y, ranking.score[side]), ranking.weight
    precision, recall = precision_recall_points(called(scored.ranking, scored.y, weight))
    value = METRICS["average_precision"].of(scored, weight).value
    label = f"{side} {format_value(value)}"
    axes.plot(recall, precision, drawstyle="steps-post", color=colour, label=label)


def _marks(axes: Axes, lines: pl.DataFrame, side: str, colour: str) -> None:
    """Mark the calls of the model or of the base scores; their counts are exact at any floor."""
    # The model has one threshold, which every line repeats.
    own = lines if side == "base" else lines[:1]
    for line in own.iter_rows(named=True):
        at = line["base_at"] if side == "base" else BEST_F1
        right = line["n"] - line[f"{side}_missed"]
        called = right + line[f"{side}_false"]
        if called:
            threshold = f"{line[f'{side}_threshold']:.3g}"
            text = f"{side} from {threshold} on" + (" (best F1)" if at == BEST_F1 else "")
            drawn = {"zorder": 3, "clip_on": False, "linestyle": "none"} | MARKERS[at]
            axes.plot(right / line["n"], right / called, color=colour, label=text, **drawn)
