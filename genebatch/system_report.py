"""What the page says about everything that was compared, and about the choice between it."""

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import polars as pl

from genebatch.bootstrap import why_no_interval
from genebatch.evaluation import LOWER_IS_BETTER, RANKS
from genebatch.metrics import COUNTS_ROWS
from genebatch.verdicts import COLUMNS, NOT_JUDGED, OVERALL, Evaluation, verdict_word
from genebatch.wording import DASH, Cell, cell, format_value

# Metrics that have an interval over groups, and what they are compared with.
COMPARED = ("average_precision", "log_loss", "brier")
REFERENCES = {"base": "the base scores", "single": "the single model"}
COUNTS = {"corrected": "errors corrected", "made": "errors made"}
SHOWN = (*COMPARED, "ece", "top_k", *COUNTS)
NAMES = {"base": "base scores", "single": "single model", "distilled": "distilled model"}
PHRASES = {
    "better": "better than",
    "worse": "worse than",
    "not distinguishable": "not distinguishable from",
    NOT_JUDGED: "not judged against",
}
TEXTS = COLUMNS | {"brier": "Brier score"}  # of metrics in a sentence
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


class ClassSystems(NamedTuple):
    """A class: what is said in words, and its tables, weighted before rows."""

    name: str
    sentences: list[str]
    tables: list[SystemTable]


class Choice(NamedTuple):
    """The candidates for the final model, and in a sentence why one was delivered."""

    sentence: str
    lines: list[dict[str, Any]]


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


def delivered_name(final: str, combiner: str) -> str:
    """The delivered model in a sentence."""
    return f"the ensemble ({combiner})" if final == "ensemble" else f"the {NAMES[final]}"


def class_systems(systems: Systems, evaluation: Evaluation, n_members: int) -> list[ClassSystems]:
    """Tables and sentences of every class.

    Parameters
    ----------
    systems, evaluation
        What the evaluation wrote.
    n_members
        Batches' models, of which the table has the best, the median and the worst.
    """
    found = []
    for name in evaluation.classes:
        own = systems.table.filter(pl.col("class") == name)
        groups = {
            (metric, weighted): number
            for metric, weighted, number in evaluation.comparison.filter(pl.col("class") == name)
            .select("metric", "weighted", "groups")
            .iter_rows()
        }
        tables = [
            _table(systems, own, weighted, n_members, _notes(name, groups, weighted))
            for weighted in evaluation.counted
        ]
        found.append(ClassSystems(name, _sentences(systems, tables[0]), tables))
    return found


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


def choice(candidates: pl.DataFrame, final: str) -> Choice:
    """Why a candidate was delivered.

    Parameters
    ----------
    candidates
        `candidates.tsv`.
    final
        The config's `final`.
    """
    rows = candidates.to_dicts()
    lead = min(rows, key=lambda row: row["log_loss"])
    chosen = next(row for row in rows if row["chosen"])
    lines = [
        row
        | {
            "name": _candidate(row["candidate"]),
            "loss": cell(row["log_loss"], None),
            "gap": Cell("lowest", "0") if row is lead else cell(row["difference"], None, True),
            "low": cell(row["difference_low"], row["reason"], signed=True),
            "high": cell(row["difference_high"], row["reason"], signed=True),
            "why": _why(row, lead, chosen, final),
        }
        for row in rows
    ]
    return Choice(_choice_sentence(lines, lead, chosen, final), lines)


def _notes(
    name: str, groups: Mapping[tuple[str, bool], int | None], weighted: bool
) -> dict[str, str]:
    """Why a metric of a class has no interval, if it has none."""
    return {
        metric: why_no_interval(name, groups[metric, weighted])
        for metric in COMPARED
        if groups.get((metric, weighted)) is not None
    }


def _table(
    systems: Systems,
    own: pl.DataFrame,
    weighted: bool,
    n_members: int,
    notes: Mapping[str, str],
) -> SystemTable:
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


def _sentences(systems: Systems, table: SystemTable) -> list[str]:
    """How the delivered model stands, and where the ensemble loses."""
    in_use = next(line for line in table.lines if line.in_use)
    found = [
        f"The delivered model is {_standing(in_use, reference, text, table.units)}."
        for reference, text in systems.references.items()
        if reference != systems.in_use
    ]
    ensemble = next(line for line in table.lines if line.is_ensemble)
    lost = [
        f"{text} in {_list(metrics)}"
        for reference, text in systems.references.items()
        if (metrics := _metrics(ensemble, reference, "worse", table.units))
    ]
    if lost:
        found.append(f"The ensemble ({systems.combiner}) loses to {'; to '.join(lost)}.")
    elif systems.references and _judged(ensemble, systems.references):
        others = " and ".join(systems.references.values())
        found.append(
            f"The ensemble ({systems.combiner}) is nowhere worse than {others} beyond chance."
        )
    return found


def _judged(line: Line, references: Iterable[str]) -> bool:
    return all(
        line.gains[metric, reference].word != NOT_JUDGED
        for metric in COMPARED
        for reference in references
    )


def _standing(line: Line, reference: str, text: str, units: Mapping[str, int]) -> str:
    parts = []
    for word, phrase in PHRASES.items():
        metrics = _metrics(line, reference, word, units)
        if not metrics:
            continue
        head = f"{phrase} {text}" if not parts else word
        parts.append(f"{head} in {_list(metrics)}")
    return "; ".join(parts)


def _metrics(line: Line, reference: str, word: str, units: Mapping[str, int]) -> list[str]:
    """Metrics of a verdict, each with its difference, or the last with why there is none."""
    gains = {
        TEXTS[metric]: (line.gains[metric, reference], unit_text(units.get(metric, 0)))
        for metric in COMPARED
        if line.gains[metric, reference].word == word
    }
    if word != NOT_JUDGED:
        return [
            f"{text} ({gain.difference.text}, {gain.low.text} to {gain.high.text}{unit})"
            for text, (gain, unit) in gains.items()
        ]
    reasons = dict.fromkeys(gain.low.note for gain, _ in gains.values())
    return [*list(gains)[:-1], *(f"{text} ({'; '.join(reasons)})" for text in list(gains)[-1:])]


def unit_text(unit: int) -> str:
    """A power of ten after a number, or nothing."""
    digits = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")
    return f" \N{MULTIPLICATION SIGN} 10{str(unit).translate(digits)}" if unit else ""


def _list(parts: Sequence[str]) -> str:
    return parts[0] if len(parts) == 1 else f"{', '.join(parts[:-1])} and {parts[-1]}"


def _candidate(name: str) -> str:
    return "ensemble" if name == "ensemble" else NAMES[name]


def _beyond_chance(row: Mapping[str, Any]) -> bool:
    return row["difference_low"] is not None and row["difference_low"] > 0


def _why(
    row: Mapping[str, Any], lead: Mapping[str, Any], chosen: Mapping[str, Any], final: str
) -> str:
    """What the table says of one candidate."""
    if row is lead:
        standing = "lowest loss"
    elif row["difference_low"] is None:
        standing = row["reason"]
    else:
        standing = f"{'' if _beyond_chance(row) else 'not '}worse beyond chance"
    if final != "best":
        return f"{standing}; asked for" if row is chosen else f"{standing}; not asked for"
    if row is chosen:
        return f"{standing}; fewest trees of those level"
    level = row is lead or (row["difference_low"] is not None and not _beyond_chance(row))
    return f"{standing}; more trees" if level else standing


def _choice_sentence(
    lines: Sequence[Mapping[str, Any]],
    lead: Mapping[str, Any],
    chosen: Mapping[str, Any],
    final: str,
) -> str:
    names = {line["candidate"]: f"the {line['name']}" for line in lines}
    taken, best = names[chosen["candidate"]], names[lead["candidate"]]
    judged = f"on {chosen['groups']:,} training groups, each judged by models that never saw it"
    if len(lines) == 1:
        return f"{taken.capitalize()} was delivered; no other model was trained to compare it with."
    if chosen is lead:
        said = f"{taken} has the lowest log loss {judged}"
        if final == "best":
            said += ", and no model with fewer trees is as good within chance"
        return f"{_because(final, taken)}{said}."
    gap = f"{format_value(chosen['difference'], signed=True)} nats"
    if chosen["difference_low"] is not None:
        ends = (format_value(chosen[f"difference_{end}"], signed=True) for end in ("low", "high"))
        gap += f", {' to '.join(ends)}"
    if final == "best":
        return (
            f"{_because(final, taken)}{best} has the lowest log loss {judged}; {taken} is not "
            f"worse beyond chance ({gap}) and asks {chosen['trees']:,} trees instead of "
            f"{lead['trees']:,}."
        )
    worse = "worse beyond chance" if _beyond_chance(chosen) else "not worse beyond chance"
    worse = "worse, by how much chance is unknown" if chosen["difference_low"] is None else worse
    return (
        f"{_because(final, taken)}{best} has the lowest log loss {judged}; {taken} is {worse} "
        f"({gap})."
    )


def _because(final: str, taken: str) -> str:
    asked = f"{taken.capitalize()} was delivered "
    if final == "best":
        return f"{asked}as the best (final: best): "
    return f"{asked}because it was asked for (final: {final}): "
