"""Draws the figures of a batch, with their titles."""

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import polars as pl
from matplotlib.figure import Figure
from scipy.special import expit

from genebatch.dataset.columns import START
from genebatch.dataset.rows import base_scores, label_codes, plain_weights
from genebatch.report.batch import BatchResults
from genebatch.report.figures import boosters, scored_rows
from genebatch.report.figures.boosters import Swarm
from genebatch.report.figures.scored_rows import Reliability, Scored
from genebatch.report.numbers import loss_text


def batch_figures(
    results: BatchResults, swarms: Mapping[str, Swarm]
) -> Iterator[tuple[str, Figure]]:
    """Draw the figures one by one, each with its name.

    Parameters
    ----------
    results
        What the rules of the batch wrote.
    swarms
        Class to the SHAP values of `(start)` and of the most important features, and the values
        of these features.

    Yields
    ------
    tuple
        `roc`, `pr`, `calibration`, `learning_curves`, `shap` and `importance`, each with its
        figure.
    """
    scored, batch = _scored(results), f"Batch {results.name}"
    size = f"{results.rows.height:,} out-of-fold rows"
    yield "roc", scored_rows.roc(scored, f"{batch}: ROC of {size}")
    title = f"{batch}: precision and recall of {size}"
    yield "pr", scored_rows.precision_recall(scored, title)
    lines, heads = _calibrators(results.calibration)
    title = f"{batch}: calibration of {size}, cross-fitted"
    yield "calibration", scored_rows.calibration(lines, heads, title)
    title = f"{batch}: log loss by trees, a line per fold"
    tables = (results.curves, results.folds, results.classes)
    yield "learning_curves", boosters.learning_curves(*tables, title)
    title = f"{batch}: SHAP values; {START} is what the trees correct, mean ± mean deviation"
    yield "shap", _shap_values(swarms, title)
    title = f"{batch}: importance of features and families"
    tables = (results.features, results.families, results.classes)
    yield "importance", boosters.importance(*tables, title)


def _scored(results: BatchResults) -> Scored:
    """Raw out-of-fold scores as probabilities, beside the base scores where there are any."""
    classes, rows = results.classes, results.rows
    margins = rows.select(f"margin_{name}" for name in classes).to_numpy().astype(np.float64)
    probabilities = {"model": expit(margins)} | base_scores(rows, classes)
    codes = label_codes(rows["label"], classes, None)
    return Scored(classes, codes, probabilities, plain_weights(rows))


def _calibrators(
    calibration: Mapping[str, Any],
) -> tuple[dict[str, list[Reliability]], list[str]]:
    """Lines of each class's calibration panel, and its title."""
    lines, heads = {}, []
    for name, facts in calibration.items():
        shown = {side: facts[side] for side in ("before", "after")}
        # The calibrator of one class changes the probabilities of all, so that a class may differ
        # between the sides without a calibrator of its own.
        if facts["before"] == facts["after"]:
            shown = {"model": facts["before"]}
        lines[name] = [
            Reliability(side, f"{side}: {loss_text(worth)}", pl.DataFrame(worth["reliability"]))
            for side, worth in shown.items()
        ]
        heads.append(f"{name}: {facts['method']}")
    return lines, heads


def _shap_values(swarms: Mapping[str, Swarm], title: str) -> Figure:
    """Draw the SHAP values of the features; those of the start stand in numbers above."""
    shown, heads = {}, []
    for name, swarm in swarms.items():
        start = swarm.shap[START].cast(pl.Float64)
        swing = (start - start.mean()).abs().mean()
        heads.append(f"{name}; left out: {START} {start.mean():.2f} ± {swing:.2f}")
        shown[name] = swarm._replace(shap=swarm.shap.drop(START))
    return boosters.shap_values(shown, heads, title)
