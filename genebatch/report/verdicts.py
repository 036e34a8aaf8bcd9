"""The model beside the base scores, class by class and in words."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import polars as pl

from genebatch.io.tables import read_tsv
from genebatch.metrics.binary import COUNTS_ROWS, Metric
from genebatch.metrics.bootstrap import why_no_interval
from genebatch.model.ensemble import EnsembleModel
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
    """Model beside base scores on one class, weighted or in rows.

    `difference` is that of average precision, `low` and `high` its 95 % interval (of the model
    itself where there are no base scores), `cells` metric to base and model.
    """

    name: str
    weighted: bool
    n: int
    word: str
    difference: Cell
    low: Cell
    high: Cell
    cells: dict[str, tuple[Cell, Cell]]


class Evaluation(NamedTuple):
    """What the evaluation wrote."""

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


def read_evaluation(inputs: Mapping[str, Any], model: EnsembleModel) -> Evaluation:
    """Read the files of the evaluation of `model`."""
    tables = [read_tsv(inputs[key]) for key in ("metrics", "comparison", "corrections")]
    return Evaluation(list(model.classes), pl.read_parquet(inputs["predictions"]), *tables)


def verdict_word(low: float | None, high: float | None) -> str:
    """What the interval of a difference says; one that includes zero says nothing either way."""
    if low is None or high is None:
        return NOT_JUDGED
    if low <= 0 <= high:
        return "not distinguishable"
    return "better" if low > 0 else "worse"


def verdicts(evaluation: Evaluation) -> list[Verdict]:
    """Model beside base scores for every class, weighted before rows."""
    known = _lookup(evaluation.metrics)
    return [
        _verdict(evaluation, known, name, weighted)
        for name in evaluation.classes
        for weighted in evaluation.counted
    ]


def overall(evaluation: Evaluation) -> list[tuple[bool, dict[str, tuple[Cell, Cell]]]]:
    """Metrics of all classes together, base and model, weighted before rows."""
    known = _lookup(evaluation.metrics)
    return [
        (weighted, {metric: _sides(known, "all", metric, weighted) for metric in OVERALL})
        for weighted in evaluation.counted
    ]


def missing(lines: Sequence[Verdict]) -> list[str]:
    """Every metric of the model without a value, and why."""
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
    evaluation: Evaluation,
    known: Mapping[tuple[str, str, str, bool], Metric],
    name: str,
    weighted: bool,
) -> Verdict:
    line = evaluation.comparison.row(
        by_predicate=(pl.col("class") == name)
        & (pl.col("metric") == "average_precision")
        & (pl.col("weighted") == weighted),
        named=True,
    )
    ends = "difference" if evaluation.has_base else "model"
    low, high = line[f"{ends}_low"], line[f"{ends}_high"]
    score = known["model", name, "average_precision", weighted]
    why = score.reason or why_no_interval(name, line["groups"])
    return Verdict(
        name,
        weighted,
        int((evaluation.rows["label"] == name).sum()),
        verdict_word(low, high) if evaluation.has_base else NOT_JUDGED,
        cell(line["difference"], score.reason or "no base scores", signed=True),
        cell(low, why),
        cell(high, why),
        {metric: _sides(known, name, metric, weighted) for metric in COLUMNS},
    )


def _sides(
    known: Mapping[tuple[str, str, str, bool], Metric], name: str, metric: str, weighted: bool
) -> tuple[Cell, Cell]:
    nothing = Metric(None, "no base scores")
    base = known.get(("base", name, metric, weighted), nothing)
    return cell(*base), cell(*known["model", name, metric, weighted])
