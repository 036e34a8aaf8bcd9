"""The figure of complete tracks: precision over recall of the model and of the base scores."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from sklearn.metrics import precision_recall_curve

from genebatch import look
from genebatch.metrics import METRICS
from genebatch.track_ranking import Ranking
from genebatch.wording import format_value


def precision_recall(
    path: str | Path,
    rankings: Mapping[str, Ranking],
    thresholds: Mapping[str, Mapping[str, float]],
    title: str,
) -> None:
    """Draw precision over recall at every position, a panel a class.

    Parameters
    ----------
    path
        The PNG.
    rankings
        Class to its ranking.
    thresholds
        Class to the threshold of each system, which is marked on its curve.
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
            for system in ranking.score:
                colour = look.GREY if system == "base" else look.colour(number)
                _curve(axes, ranking, system, thresholds[name][system], colour)
            axes.plot([], [], "o", color="black", markersize=5, label="at the threshold")
            axes.set(xlim=(0, 1.02), ylim=(-0.02, 1.03), xlabel="recall", ylabel="precision")
            look.legend(axes, "average precision")


def _curve(axes: Axes, ranking: Ranking, system: str, threshold: float, colour: str) -> None:
    y, score, weight = ranking.y, ranking.score[system], ranking.weight
    precision, recall, _ = precision_recall_curve(
        y, score, sample_weight=weight, drop_intermediate=True
    )
    value = METRICS["average_precision"](y, score, weight).value
    label = f"{system} {format_value(value)}"
    axes.plot(recall, precision, drawstyle="steps-post", color=colour, label=label)
    called = score >= threshold
    if called.any():
        found = weight[called & y].sum()
        point = (found / y.sum(), found / weight[called].sum())
        style = {"markeredgecolor": "white", "zorder": 3, "clip_on": False}
        axes.plot(*np.array(point), "o", color=colour, markersize=7, **style)
