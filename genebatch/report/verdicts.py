"""Judges the model against the base scores, class by class and in words."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import polars as pl

from genebatch.metrics.binary import COUNTS_ROWS, Metric
from genebatch.metrics.bootstrap import why_no_interval
from genebatch.report.numbers import DASH, Cell, cell

# Metrics of a class on the page, in this order.
COLUMNS = {
    "average_precision": "average precision",
    "auc": "AUC",
    "log_loss": "log loss",
    "brier": "Brier",
    "ece": "ECE",
    "top_k": "top-k",
}
OVERALL = {
    "accuracy": "accuracy",
    "macro_f1": "macro F1",
    "macro_average_precision": "macro average precision",
    "log_loss": "log loss",
}
NOT_JUDGED = "not judged"
VERDICTS = ("better", "worse", "not distinguishable", NOT_JUDGED)


class Verdict(NamedTuple):
    """The model beside the base scores on one class, weighted or counted in rows.

    Attributes
    ----------
    name, weighted, n
        The class, how rows are counted, and the number of test rows of the class.
    word
        One of `VERDICTS`.
    difference
        Model minus base in average precision.
    low, high
        95 % interval of the difference; without base scores that of the model itself.
    cells
        Metric to the values of base scores and model.
    """

    name: str
    weighted: bool
    n: int
    word: str
    difference: Cell
    low: Cell
    high: Cell
    cells: dict[str, tuple[Cell, Cell]]


class EvaluationResults(NamedTuple):
    """What the evaluation found on the test groups.

    Attributes
    ----------
    classes
        Names of the classes.
    rows
        `predictions.parquet`: the test rows with the model's probabilities.
    metrics, comparison, corrections
        The tables of these names.
    """

    classes: list[str]
    rows: pl.DataFrame
    metrics: pl.DataFrame
    comparison: pl.DataFrame
    corrections: pl.DataFrame

    @property
    def weighted(self) -> bool:
        """Whether test rows have weights."""
        return "weight" in self.rows.columns

    @property
    def counted(self) -> list[bool]:
        """Ways of counting test rows: weighted, where there are weights, before plain."""
        return [True, False] if self.weighted else [False]

    @property
    def has_base(self) -> bool:
        """Whether there are base scores."""
        return "base" in self.metrics["system"].to_list()


def verdict_word(low: float | None, high: float | None) -> str:
    """Give the verdict of an interval; one that includes zero decides nothing."""
    if low is None or high is None:
        return NOT_JUDGED
    if low <= 0 <= high:
        return "not distinguishable"
    return "better" if low > 0 else "worse"


def verdicts(results: EvaluationResults) -> list[Verdict]:
    """Judge every class; weighted rows come before plain rows."""
    scores = _lookup(results.metrics)
    return [
        _verdict(results, scores, name, weighted)
        for name in results.classes
        for weighted in results.counted
    ]


def overall(results: EvaluationResults) -> list[tuple[bool, dict[str, tuple[Cell, Cell]]]]:
    """Give the metrics of all classes together; weighted rows come before plain rows."""
    scores = _lookup(results.metrics)
    return [
        (weighted, {metric: _sides(scores, "all", metric, weighted) for metric in OVERALL})
        for weighted in results.counted
    ]


def missing(lines: Sequence[Verdict]) -> list[str]:
    """List the metrics of the model that have no value, with the reasons."""
    return [
        f"{text} of {line.name} ({'weighted' if line.weighted else 'rows'}): {model.note}"
        for line in lines
        for metric, text in COLUMNS.items()
        for _, model in [line.cells[metric]]
        if model.text == DASH and not (line.weighted and metric in COUNTS_ROWS)
    ]


def _lookup(metrics: pl.DataFrame) -> dict[tuple[str, str, str, bool], Metric]:
    columns = metrics.select("system", "class", "metric", "weighted", "value", "reason")
    return {tuple(key): Metric(value, reason) for *key, value, reason in columns.iter_rows()}


def _verdict(
    results: EvaluationResults,
    scores: Mapping[tuple[str, str, str, bool], Metric],
    name: str,
    weighted: bool,
) -> Verdict:
    line = results.comparison.row(
        by_predicate=(pl.col("class") == name)
        & (pl.col("metric") == "average_precision")
        & (pl.col("weighted") == weighted),
        named=True,
    )
    ends = "difference" if results.has_base else "model"
    low, high = line[f"{ends}_low"], line[f"{ends}_high"]
    score = scores["model", name, "average_precision", weighted]
    why = score.reason or why_no_interval(name, line["groups"])
    return Verdict(
        name,
        weighted,
        int((results.rows["label"] == name).sum()),
        verdict_word(low, high) if results.has_base else NOT_JUDGED,
        cell(line["difference"], score.reason or "no base scores", signed=True),
        cell(low, why),
        cell(high, why),
        {metric: _sides(scores, name, metric, weighted) for metric in COLUMNS},
    )


def _sides(
    scores: Mapping[tuple[str, str, str, bool], Metric], name: str, metric: str, weighted: bool
) -> tuple[Cell, Cell]:
    nothing = Metric(None, "no base scores")
    base = scores.get(("base", name, metric, weighted), nothing)
    return cell(*base), cell(*scores["model", name, metric, weighted])
