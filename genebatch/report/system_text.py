"""What the page says in words about everything that was compared, and about the choice."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import polars as pl

from genebatch.metrics.bootstrap import why_no_interval
from genebatch.report.numbers import Cell, cell, format_value
from genebatch.report.system_tables import COMPARED, NAMES, Line, Systems, SystemTable, system_table
from genebatch.report.verdicts import COLUMNS, NOT_JUDGED, Evaluation

TEXTS = COLUMNS | {"brier": "Brier score"}  # of metrics in a sentence
PHRASES = {
    "better": "better than",
    "worse": "worse than",
    "not distinguishable": "not distinguishable from",
    NOT_JUDGED: "not judged against",
}


class ClassSystems(NamedTuple):
    """A class: what is said in words, and its tables, weighted before rows."""

    name: str
    sentences: list[str]
    tables: list[SystemTable]


class Choice(NamedTuple):
    """The candidates for the final model, and in a sentence why one was delivered."""

    sentence: str
    lines: list[dict[str, Any]]


class Estimate(NamedTuple):
    """The delivered model of its kind on all training rows, one class."""

    name: str
    precision: tuple[Cell, Cell]
    loss: tuple[Cell, Cell]
    difference: Cell
    low: Cell
    high: Cell


def estimates(table: pl.DataFrame, system: str, weighted: bool) -> list[Estimate]:
    """Average precision and log loss on all training rows, base scores beside the model.

    Parameters
    ----------
    table
        `ensemble/estimate.tsv`.
    system
        The combiner in use, or the rival that is delivered.
    weighted
        Whether rows count by their weights.
    """
    found = []
    rows = {
        (row["system"], row["class"], row["metric"]): row
        for row in table.filter(pl.col("weighted") == weighted).to_dicts()
    }
    nothing = {"value": None, "reason": "no base scores"}
    for name in table["class"].unique(maintain_order=True).to_list():
        if name == "all":
            continue
        sides = {
            metric: [
                cell(row["value"], row["reason"])
                for row in (rows.get((side, name, metric), nothing) for side in ("base", system))
            ]
            for metric in ("average_precision", "log_loss")
        }
        gain = rows[system, name, "log_loss"]
        ends = [gain.get(f"over_base{end}") for end in ("", "_low", "_high")]
        difference, low, high = (cell(end, "no base scores or too few groups") for end in ends)
        precision, loss = (tuple(sides[metric]) for metric in ("average_precision", "log_loss"))
        found.append(Estimate(name, precision, loss, difference, low, high))
    return found


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
            system_table(systems, own, weighted, n_members, _notes(name, groups, weighted))
            for weighted in evaluation.counted
        ]
        found.append(ClassSystems(name, _sentences(systems, tables[0]), tables))
    return found


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


def _sentences(systems: Systems, table: SystemTable) -> list[str]:
    """How the delivered model stands, and where the ensemble loses."""
    in_use = next(line for line in table.lines if line.in_use)
    found = [
        f"The delivered model is {_standing(in_use, reference, text, table.units)}."
        for reference, text in systems.references.items()
        if reference != systems.in_use
    ]
    if systems.final == "ensemble":
        return found  # which says already where it loses
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
