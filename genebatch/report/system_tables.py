"""Every system that was compared, as the tables of the page show it."""

import math
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

import polars as pl

from genebatch.evaluation.test_groups import LOWER_IS_BETTER, RANKS
from genebatch.metrics.binary import COUNTS_ROWS
from genebatch.report.numbers import DASH, Cell, cell
from genebatch.report.verdicts import OVERALL, verdict_word

# Metrics that have an interval over groups, and what they are compared with.
COMPARED = ("average_precision", "log_loss", "brier")
REFERENCES = {"base": "the base scores", "single": "the single model"}
COUNTS = ("corrected", "made")  # errors of the base scores
SHOWN = (*COMPARED, "ece", "top_k", *COUNTS)
NAMES = {"base": "base scores", "single": "single model", "distilled": "distilled model"}
# Losses, and differences of average precision, below these are shown in a power of ten that their
# column names.
SMALL_LOSS, SMALL_GAIN = 0.01, 0.001


class Gain(NamedTuple):
    """A difference to a reference, its 95 % interval, and what that says of the system."""

    difference: Cell
    low: Cell
    high: Cell
    word: str


class Line(NamedTuple):
    """A system in the table of a class.

    Attributes
    ----------
    label
        Its name on the page.
    kind
        `base`, `member`, `combiner` or `rival`.
    in_use
        Whether it is the model that was delivered.
    is_ensemble
        Whether it is the combiner that the ensemble has.
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


class SystemTable(NamedTuple):
    """Every system on one class, counted in one way.

    `units` are powers of ten: of losses for values and differences, of average precision for
    differences alone.
    """

    weighted: bool
    units: dict[str, int]
    lines: list[Line]


class Systems(NamedTuple):
    """What the evaluation says of every system.

    Attributes
    ----------
    table
        `systems.tsv`.
    combiner
        Name of the ensemble's combiner.
    final
        The delivered model: `ensemble`, `single` or `distilled`.
    """

    table: pl.DataFrame
    combiner: str
    final: str

    @property
    def references(self) -> dict[str, str]:
        """The references that are there, with their names in a sentence."""
        return {key: text for key, text in REFERENCES.items() if f"over_{key}" in self.table}

    @property
    def in_use(self) -> str:
        """The system that was delivered."""
        return self.combiner if self.final == "ensemble" else self.final


def system_table(
    systems: Systems,
    own: pl.DataFrame,
    weighted: bool,
    n_members: int,
    notes: Mapping[str, str],
) -> SystemTable:
    """Every system on one class.

    Parameters
    ----------
    systems
        What was compared.
    own
        The lines of the class in `systems.table`.
    weighted
        How rows are counted.
    n_members
        Batches' models, of which the table has the best, the median and the worst.
    notes
        Metric to why it has no interval where it has none.
    """
    counted = own.filter(pl.col("weighted") == weighted)
    plain = own.filter(~pl.col("weighted"))
    units = {metric: _loss_unit(counted, metric) for metric in LOWER_IS_BETTER}
    units["average_precision"] = _gain_unit(counted, "average_precision", systems.references)
    lines = []
    for system, label in _labels(counted["system"].unique(maintain_order=True), n_members):
        known = _by_metric(counted, system)
        # Weights do not change what counts rows, so that the table of rows is not needed for it.
        known |= {m: row for m, row in _by_metric(plain, system).items() if m in COUNTS_ROWS}
        losses = {metric: units[metric] for metric in LOWER_IS_BETTER}
        cells = {metric: _value(known.get(metric), losses.get(metric, 0)) for metric in SHOWN}
        gains = {
            (metric, reference): _gain(known.get(metric), reference, units.get(metric, 0), notes)
            for metric in COMPARED
            for reference in systems.references
        }
        is_ensemble = system == systems.combiner
        in_use = system == systems.in_use
        lines.append(Line(label, _kind(system), in_use, is_ensemble, cells, gains))
    return SystemTable(weighted, units, lines)


def overall_lines(
    systems: Systems, weighted: bool, n_members: int
) -> list[tuple[str, bool, dict[str, Cell]]]:
    """Metrics of all classes together: name of the system, whether it is in use, its cells."""
    own = systems.table.filter((pl.col("class") == "all") & (pl.col("weighted") == weighted))
    metrics = [*OVERALL, *COUNTS]
    lines = []
    for system, label in _labels(own["system"].unique(maintain_order=True), n_members):
        known = _by_metric(own, system)
        cells = {metric: _value(known.get(metric)) for metric in metrics}
        lines.append((label, system == systems.in_use, cells))
    return lines


def _labels(names: Iterable[str], n_members: int) -> list[tuple[str, str]]:
    """Systems in the order of the page with their names there; one member stands for all ranks."""
    order = ("base", "member", "combiner", "rival")
    ranked = sorted(names, key=lambda system: order.index(_kind(system)))
    labels = []
    for system in ranked:
        if system not in RANKS:
            labels.append((system, NAMES.get(system, system)))
        elif n_members > 1:
            labels.append((system, f"{system.split()[1]} member"))
        elif system == "member median":
            labels.append((system, "the one member"))
    return labels


def _kind(system: str) -> str:
    if system in RANKS:
        return "member"
    return "base" if system == "base" else "rival" if system in NAMES else "combiner"


def _by_metric(table: pl.DataFrame, system: str) -> dict[str, dict[str, Any]]:
    rows = table.filter(pl.col("system") == system).iter_rows(named=True)
    return {row["metric"]: row for row in rows}


def _loss_unit(table: pl.DataFrame, metric: str) -> int:
    """Power of ten that a small loss is shown in, 0 for none."""
    return _power(table.filter(pl.col("metric") == metric)["value"].abs().max(), SMALL_LOSS)


def _gain_unit(table: pl.DataFrame, metric: str, references: Iterable[str]) -> int:
    """Power of ten that small differences are shown in, 0 for none; members may be far off."""
    own = table.filter((pl.col("metric") == metric) & ~pl.col("system").is_in(list(RANKS)))
    found = [own[f"over_{reference}"].abs().max() or 0.0 for reference in references]
    return _power(max(found, default=0.0), SMALL_GAIN)


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
    """A number in units of a power of ten; the note is its full value."""
    if value is None or not unit:
        return cell(value, reason, signed)
    return Cell(f"{value / 10.0**unit:{'+' if signed else ''}.3f}", repr(value))


def _difference(value: float | None, reason: str | None, unit: int) -> Cell:
    """A signed number with as many decimals as its neighbours in the column."""
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
        why = "another member for every metric, so no interval"
    gained = (low, high)
    if row["metric"] in LOWER_IS_BETTER and low is not None:
        gained = (-high, -low)
    ends = (_difference(end, why, unit) for end in (low, high))
    return Gain(_difference(row[name], why, unit), *ends, verdict_word(*gained))
