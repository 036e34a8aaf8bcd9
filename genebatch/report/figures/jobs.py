"""Draws the memory of jobs: estimate and measured peak, a line a rule."""

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from genebatch.report.figures import style


def memory(usage: Sequence[Mapping[str, object]], title: str) -> Figure:
    """Draw the measured peak of every job beside its estimate, by rule.

    Parameters
    ----------
    usage
        What `genebatch.jobs.run.read_usage` gives.
    title
        Title of the figure.
    """
    rules = list(dict.fromkeys(str(record["rule"]) for record in usage))
    with style.panels(1, title, size=(8.2, 1.6 + 0.3 * len(rules))) as (figure, panels):
        axes = panels[0]
        if not usage:
            style.say(axes, "no job recorded its memory")
            return figure
        for height, rule in enumerate(rules):
            _rule_line(axes, height, [record for record in usage if record["rule"] == rule])
        axes.set(yticks=range(len(rules)), yticklabels=rules, ylim=(len(rules) - 0.4, -0.6))
        axes.set(xlim=(0, None), xlabel="resident memory, MB")
        style.legend(axes)
    return figure


def _rule_line(axes: Axes, height: int, records: Sequence[Mapping[str, object]]) -> None:
    """Draw the jobs of a rule; those of the first rule name what is drawn."""
    jitter = np.linspace(-0.22, 0.22, len(records)) if len(records) > 1 else np.zeros(1)
    declared = np.array([record["declared_mb"] for record in records], float)
    peak = np.array([record["peak_mb"] for record in records], float)
    axes.hlines(height + jitter, peak, declared, color=style.PALE, linewidth=1)
    label = "estimate" if height == 0 else None
    axes.plot(declared, height + jitter, "|", color="black", markersize=7, label=label)
    label = "measured peak" if height == 0 else None
    axes.plot(peak, height + jitter, "o", color=style.COLOURS[0], markersize=4, label=label)
