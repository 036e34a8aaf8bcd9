"""Draws complete tracks: precision over recall of the model and of the base scores."""

import polars as pl
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from genebatch.calls.evaluation.counts import BASE_AT
from genebatch.report.figures import style
from genebatch.report.numbers import format_value

DEFAULT, BEST_F1 = BASE_AT
# Open and filled, so that both are seen where they lie on each other.
MARKERS = {
    DEFAULT: {"marker": "o", "markersize": 7, "markerfacecolor": "none", "markeredgewidth": 1.5},
    BEST_F1: {"marker": "D", "markersize": 6, "markeredgecolor": "white"},
}


def precision_recall(curves: pl.DataFrame, corrections: pl.DataFrame, title: str) -> Figure:
    """Draw precision over recall at every position, a panel a class.

    Parameters
    ----------
    curves
        As `calls.evaluation.tables.curves` makes it.
    corrections
        As `calls.evaluation.tables.corrections` makes it. A mark shows what the model calls at its
        threshold, and what the base scores call at each of theirs.
    title
        Title of the figure.
    """
    sites = dict(corrections.filter(pl.col("class") != "all").select("class", "n").iter_rows())
    with style.panels(len(sites), title) as (figure, panels):
        pairs = zip(sites.items(), panels, strict=True)
        # In the other figures colour 0 is that of the class neither.
        for number, ((name, count), axes) in enumerate(pairs, start=1):
            style.head(axes, f"{name} ({count:,} sites)")
            if not count:
                style.say(axes, "no sites in the test genes")
                continue
            colours = {"base": style.GREY, "model": style.colour(number)}
            for side, colour in colours.items():
                own = (pl.col("class") == name) & (pl.col("scores") == side)
                _curve(axes, curves.filter(own), side, colour)
            for side, colour in colours.items():
                _marks(axes, corrections.filter(pl.col("class") == name), side, colour)
            axes.set(xlim=(0, 1.02), ylim=(-0.02, 1.03), xlabel="recall", ylabel="precision")
            style.legend(axes, "average precision; calls")
    return figure


def _curve(axes: Axes, curve: pl.DataFrame, side: str, colour: str) -> None:
    label = f"{side} {format_value(curve['average_precision'][0])}"
    drawn = {"drawstyle": "steps-post", "color": colour, "label": label}
    axes.plot(curve["recall"], curve["precision"], **drawn)


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
