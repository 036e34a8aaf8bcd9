"""Tells in words how the delivered model and the ensemble compare with the other candidates."""

from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

import polars as pl

from genebatch.metrics.bootstrap import why_no_interval
from genebatch.report.candidate_tables import (
    COMPARED,
    ClassTable,
    ComparedModels,
    Line,
    class_table,
)
from genebatch.report.verdicts import COLUMNS, NOT_JUDGED, EvaluationResults

TEXTS = COLUMNS | {"brier": "Brier score"}  # of metrics in a sentence
PHRASES = {
    "better": "better than",
    "worse": "worse than",
    "not distinguishable": "not distinguishable from",
    NOT_JUDGED: "not judged against",
}


class ClassComparison(NamedTuple):
    """The candidates on one class: sentences, and tables with the weighted one first."""

    name: str
    sentences: list[str]
    tables: list[ClassTable]


def compare_classes(
    compared: ComparedModels, results: EvaluationResults, n_members: int
) -> list[ClassComparison]:
    """Give tables and sentences of every class.

    Parameters
    ----------
    compared, results
        All candidates, and the delivered model beside the base scores.
    n_members
        Number of batches' models; the tables show the best, the median and the worst.
    """
    comparisons = []
    for name in results.classes:
        own = compared.table.filter(pl.col("class") == name)
        groups = {
            (metric, weighted): number
            for metric, weighted, number in results.comparison.filter(pl.col("class") == name)
            .select("metric", "weighted", "groups")
            .iter_rows()
        }
        tables = [
            class_table(compared, own, weighted, n_members, _notes(name, groups, weighted))
            for weighted in results.counted
        ]
        comparisons.append(ClassComparison(name, _sentences(compared, tables[0]), tables))
    return comparisons


def unit_text(unit: int) -> str:
    """Write a power of ten after a number, or nothing for 0."""
    digits = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")
    return f" \N{MULTIPLICATION SIGN} 10{str(unit).translate(digits)}" if unit else ""


def _notes(
    name: str, groups: Mapping[tuple[str, bool], int | None], weighted: bool
) -> dict[str, str]:
    """Metrics of a class that have no interval, with the reasons."""
    return {
        metric: why_no_interval(name, groups[metric, weighted])
        for metric in COMPARED
        if groups.get((metric, weighted)) is not None
    }


def _sentences(compared: ComparedModels, table: ClassTable) -> list[str]:
    """Tell how the delivered model stands, and where the ensemble loses."""
    in_use = next(line for line in table.lines if line.in_use)
    sentences = [
        f"The delivered model is {_standing(in_use, reference, text, table.units)}."
        for reference, text in compared.references.items()
        if reference != compared.in_use
    ]
    if compared.final == "ensemble":
        return sentences  # they tell already where the ensemble loses
    ensemble = next(line for line in table.lines if line.is_ensemble)
    lost = [
        f"{text} in {_list(metrics)}"
        for reference, text in compared.references.items()
        if (metrics := _metrics(ensemble, reference, "worse", table.units))
    ]
    if lost:
        sentences.append(f"The ensemble ({compared.combiner}) loses to {'; to '.join(lost)}.")
    elif compared.references and _is_judged(ensemble, compared.references):
        others = " and ".join(compared.references.values())
        sentences.append(
            f"The ensemble ({compared.combiner}) is nowhere worse than {others} beyond chance."
        )
    return sentences


def _is_judged(line: Line, references: Iterable[str]) -> bool:
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
    """Metrics with a verdict, each with its difference; without a verdict the last has reasons."""
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


def _list(parts: Sequence[str]) -> str:
    return parts[0] if len(parts) == 1 else f"{', '.join(parts[:-1])} and {parts[-1]}"
