"""Draws the figures of the evaluation on test groups, with their titles."""

from collections.abc import Iterator, Mapping
from typing import Any

import polars as pl
from matplotlib.figure import Figure

from genebatch.dataset.rows import base_scores, label_codes, plain_weights
from genebatch.evaluation.systems import MEMBER
from genebatch.metrics.binary import METRICS, reliability
from genebatch.report.candidate_tables import ComparedModels
from genebatch.report.figures import candidates, scored_rows
from genebatch.report.figures.scored_rows import Reliability, Scored
from genebatch.report.numbers import format_value, loss_text
from genebatch.report.verdicts import EvaluationResults


def evaluation_figures(
    results: EvaluationResults, compared: ComparedModels, combiners: Mapping[str, Any]
) -> Iterator[tuple[str, Figure]]:
    """Draw the figures one by one, each with its name.

    Parameters
    ----------
    results
        The evaluation of the delivered model.
    compared
        All candidates.
    combiners
        Content of `combiners.json`.

    Yields
    ------
    tuple
        `roc`, `pr`, `calibration`, `members` and `weights`, each with its figure.
    """
    scored = scored_results(results)
    size = f"{results.rows.height:,} rows of {results.rows['group'].n_unique():,} test groups"
    yield "roc", scored_rows.roc(scored, f"ROC of {size}")
    title = f"Precision and recall of {size}"
    yield "pr", scored_rows.precision_recall(scored, title, _member_ranges(results))
    lines = {name: _reliabilities(scored, number) for number, name in enumerate(results.classes)}
    how = "weighted" if results.weighted else "by rows"
    title = f"Calibration of {size}, {how}"
    yield "calibration", scored_rows.calibration(lines, results.classes, title)
    tables = (results.metrics, compared.table)
    yield "members", candidates.members(*tables, results.classes, _members_title(results, compared))
    n_members = len(combiners["members"])
    title = f"Weights of {n_members} members; equal shares are {1 / n_members:.3g}"
    yield "weights", candidates.weights(combiners, results.classes, title)


def scored_results(results: EvaluationResults) -> Scored:
    """Give the test rows with the probabilities of the model and the base scores."""
    classes, rows = results.classes, results.rows
    model = rows.select(f"probability_{name}" for name in classes).to_numpy()
    probabilities = {"model": model} | base_scores(rows, classes)
    codes = label_codes(rows["label"], classes, None)
    return Scored(classes, codes, probabilities, plain_weights(rows))


def _member_ranges(results: EvaluationResults) -> dict[str, str]:
    """Lowest and highest average precision of the members, by class."""
    members = results.metrics.filter(
        pl.col("system").str.starts_with(MEMBER)
        & (pl.col("metric") == "average_precision")
        & (pl.col("weighted") == results.weighted)
        & pl.col("value").is_not_null()
    )
    notes = {}
    for (name,), part in members.group_by("class", maintain_order=True):
        low, high = (format_value(value) for value in (part["value"].min(), part["value"].max()))
        several = f"{part.height} members alone: {low} to {high}"
        notes[name] = several if part.height > 1 else f"the one member alone: {low}"
    return notes


def _reliabilities(scored: Scored, number: int) -> list[Reliability]:
    """Lines of a class's calibration panel: base scores below the model."""
    y, lines = scored.codes == number, []
    for name in reversed(scored.probabilities):
        probability = scored.probabilities[name][:, number]
        losses = {
            key: METRICS[key](y, probability, scored.weight).value for key in ("log_loss", "ece")
        }
        table = reliability(y, probability, scored.weight)
        lines.append(Reliability(name, f"{name}: {loss_text(losses)}", table))
    return lines


def _members_title(results: EvaluationResults, compared: ComparedModels) -> str:
    size = f"{results.rows['group'].n_unique():,} test groups"
    title = f"{'Weighted average' if results.weighted else 'Average'} precision on {size}"
    if compared.references:
        against = next(iter(compared.references.values()))
        title += f"; bars: 95 % interval of the difference to {against}"
    return title
