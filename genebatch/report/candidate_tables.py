"""Builds the page's tables of all candidates: the models that were compared."""

import math
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

import polars as pl

from genebatch.evaluation.test_groups import LOWER_IS_BETTER, RANKS
from genebatch.metrics.binary import COUNTS_ROWS
from genebatch.report.numbers import DASH, Cell, cell
from genebatch.report.verdicts import OVERALL, verdict_word

# Metrics that have an interval over groups, and the candidates that others are compared with.
COMPARED = ("average_precision", "log_loss", "brier")
REFERENCES = {"base": "the base scores", "single": "the single model"}
COUNTS = ("corrected", "made")  # errors of the base scores that are corrected, new errors
SHOWN = (*COMPARED, "ece", "top_k", *COUNTS)
NAMES = {
    "base": "base scores",
    "single": "single model",
    "both": "ensemble with the single model",
    "distilled": "distilled model",
}
KINDS = ("base", "member", "combiner", "alone")  # of candidates, in the order of the page
# Losses below the first limit, and differences of average precision below the second, are shown in
# a power of ten that stands at the head of their column.
SMALL_LOSS, SMALL_GAIN = 0.01, 0.001


class Gain(NamedTuple):
    """A difference to a reference, its 95 % interval, and the verdict on the candidate."""

    difference: Cell
    low: Cell
    high: Cell
    word: str


class Line(NamedTuple):
    """A candidate in the table of a class.

    Attributes
    ----------
    label
        Its name on the page.
    kind
        One of `KINDS`.
    in_use
        Whether it is the model that was delivered.
    is_ensemble
        Whether it is the combiner of the ensemble.
    cells
        Metric to value.
    gains
        Metric and reference to difference.
    """

    label: str
    kind: str
    in_use: bool
    is_ensemble: bool
    cells: dict[str, Cell]
    gains: dict[tuple[str, str], Gain]


class ClassTable(NamedTuple):
    """Every candidate on one class, with rows counted in one way.

    `units` are powers of ten: for values and differences of losses, and for differences of average
    precision.
    """

    weighted: bool
    units: dict[str, int]
    lines: list[Line]


class ComparedModels(NamedTuple):
    """All candidates, as the evaluation compared them.

    Attributes
    ----------
    table
        `systems.tsv`.
    combiner
        Name of the ensemble's combiner.
    final
        The delivered model: `ensemble`, `single`, `both` or `distilled`.
    """

    table: pl.DataFrame
    combiner: str
    final: str

    @property
    def references(self) -> dict[str, str]:
        """The references of this run, with their names in a sentence."""
        return {key: text for key, text in REFERENCES.items() if f"over_{key}" in self.table}

    @property
    def in_use(self) -> str:
        """The candidate that was delivered."""
        return self.combiner if self.final == "ensemble" else self.final


def class_table(
    compared: ComparedModels,
    own: pl.DataFrame,
    weighted: bool,
    n_members: int,
    notes: Mapping[str, str],
) -> ClassTable:
    """Put every candidate on one class into a table.

    Parameters
    ----------
    compared
        All candidates.
    own
        The lines of the class in `compared.table`.
    weighted
        How rows are counted.
    n_members
        Number of batches' models; the table shows the best, the median and the worst.
    notes
        Metric to the reason why it has no interval, where it has none.
    """
    counted = own.filter(pl.col("weighted") == weighted)
    plain = own.filter(~pl.col("weighted"))
    units = {metric: _loss_unit(counted, metric) for metric in LOWER_IS_BETTER}
    units["average_precision"] = _gain_unit(counted, "average_precision", compared.references)
    lines = []
    for name, label in _labels(counted["system"].unique(maintain_order=True), n_members):
        scores = _by_metric(counted, name)
        # Weights do not change metrics that count rows; so the weighted table shows them as well.
        scores |= {m: row for m, row in _by_metric(plain, name).items() if m in COUNTS_ROWS}
        cells = {m: _value(scores.get(m), units[m] if m in LOWER_IS_BETTER else 0) for m in SHOWN}
        gains = {
            (metric, reference): _gain(scores.get(metric), reference, units.get(metric, 0), notes)
            for metric in COMPARED
            for reference in compared.references
        }
        of_model = (name == compared.in_use, name == compared.combiner)
        reached = (scores.get("average_precision") or {}).get("value")
        lines.append((reached, Line(label, _kind(name), *of_model, cells, gains)))
    return ClassTable(weighted, units, _best_first(lines))


def overall_lines(
    compared: ComparedModels, weighted: bool, n_members: int
) -> list[tuple[str, bool, dict[str, Cell]]]:
    """Give each candidate's label, whether it is in use, and its metrics of all classes."""
    own = compared.table.filter((pl.col("class") == "all") & (pl.col("weighted") == weighted))
    lines = []
    for name, label in _labels(own["system"].unique(maintain_order=True), n_members):
        scores = _by_metric(own, name)
        cells = {metric: _value(scores.get(metric)) for metric in (*OVERALL, *COUNTS)}
        reached = (scores.get("macro_average_precision") or {}).get("value")
        lines.append((reached, (label, name == compared.in_use, cells)))
    return _best_first(lines)


def _best_first(lines: Iterable[tuple[float | None, Any]]) -> list[Any]:
    """Order lines by falling value; those without one come last."""
    ranked = sorted(lines, key=lambda pair: (pair[0] is None, -(pair[0] or 0.0)))
    return [line for _, line in ranked]


def _labels(names: Iterable[str], n_members: int) -> list[tuple[str, str]]:
    """Candidates and their labels in the order of the page; a lone member has one line."""
    labels = []
    for name in sorted(names, key=lambda name: KINDS.index(_kind(name))):
        if name not in RANKS:
            labels.append((name, NAMES.get(name, name)))
        elif n_members > 1:
            labels.append((name, f"{name.split()[1]} member"))
        elif name == "member median":
            labels.append((name, "the one member"))
    return labels


def _kind(name: str) -> str:
    if name in RANKS:
        return "member"
    return "base" if name == "base" else "alone" if name in NAMES else "combiner"


def _by_metric(table: pl.DataFrame, name: str) -> dict[str, dict[str, Any]]:
    rows = table.filter(pl.col("system") == name).iter_rows(named=True)
    return {row["metric"]: row for row in rows}


def _loss_unit(table: pl.DataFrame, metric: str) -> int:
    """Power of ten of small losses, 0 if they are not small."""
    return _power(table.filter(pl.col("metric") == metric)["value"].abs().max(), SMALL_LOSS)


def _gain_unit(table: pl.DataFrame, metric: str, references: Iterable[str]) -> int:
    """Power of ten of small differences, 0 if they are not small; members do not count."""
    own = table.filter((pl.col("metric") == metric) & ~pl.col("system").is_in(list(RANKS)))
    largest = [own[f"over_{reference}"].abs().max() or 0.0 for reference in references]
    return _power(max(largest, default=0.0), SMALL_GAIN)


def _power(largest: float | None, small: float) -> int:
    return math.floor(math.log10(largest)) if largest and largest < small else 0


def _value(row: Mapping[str, Any] | None, unit: int = 0) -> Cell:
    if row is None:
        return Cell(DASH, "not counted")
    if row["metric"] in COUNTS and row["value"] is not None:
        text = f"{row['value']:,.0f}" if row["value"].is_integer() else f"{row['value']:,.1f}"
        return Cell(text, repr(row["value"]))
    return _scaled(row["value"], row["reason"], unit)


def _scaled(value: float | None, reason: str | None, unit: int, signed: bool = False) -> Cell:
    """Show a number in units of a power of ten; the note is its full value."""
    if value is None or not unit:
        return cell(value, reason, signed)
    return Cell(f"{value / 10.0**unit:{'+' if signed else ''}.3f}", repr(value))


def _difference(value: float | None, reason: str | None, unit: int) -> Cell:
    """Show a signed number with as many decimals as its neighbours in the column."""
    if value is None or unit:
        return _scaled(value, reason, unit, signed=True)
    return Cell(f"{value:+.4f}", repr(value))


def _gain(
    row: Mapping[str, Any] | None, reference: str, unit: int, notes: Mapping[str, str]
) -> Gain:
    if row is None or row["system"] == reference:
        nothing = Cell("", "")
        return Gain(nothing, nothing, nothing, "")
    name = f"over_{reference}"
    low, high = row[f"{name}_low"], row[f"{name}_high"]
    why = row["reason"] or notes.get(row["metric"])
    if row["system"] in RANKS:
        why = "no interval: every metric has another member here"
    gained = (low, high)
    if row["metric"] in LOWER_IS_BETTER and low is not None:
        gained = (-high, -low)
    ends = (_difference(end, why, unit) for end in (low, high))
    return Gain(_difference(row[name], why, unit), *ends, verdict_word(*gained))
