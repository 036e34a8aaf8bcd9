"""Shows on the page how the model does on complete tracks, and its thresholds."""

from collections.abc import Mapping
from typing import Any, NamedTuple

import polars as pl

from genebatch.calls.evaluation.counts import NEAR_END
from genebatch.report.numbers import Cell, cell
from genebatch.report.verdicts import verdict_word

METRICS = {
    "average_precision": "average precision",
    "average_precision_near_ends": f"within {NEAR_END:,} nt of the gene's ends",
    "average_precision_inside": "farther inside",
    "top_k": "top-k per gene",
    "precision_at_base_recall": "precision at the base scores' recall",
    "log_loss": "log loss",
    "brier": "Brier",
}
LOSSES = frozenset({"log_loss", "brier"})  # a fall is a gain


class TrackTables(NamedTuple):
    """The tables of the evaluation on complete tracks, and its counts."""

    comparison: pl.DataFrame
    corrections: pl.DataFrame
    hybrid: pl.DataFrame
    summary: Mapping[str, Any]


class TrackLine(NamedTuple):
    """A metric of one class on complete tracks, base scores beside the model."""

    name: str
    metric: str
    base: Cell
    model: Cell
    difference: Cell
    low: Cell
    high: Cell
    word: str


def track_facts(tables: TrackTables) -> dict[str, Any]:
    """Give the facts of the section on complete tracks."""
    return {
        "summary": tables.summary,
        "lines": [_line(row) for row in tables.comparison.iter_rows(named=True)],
        "corrections": tables.corrections.to_dicts(),
        "hybrid": tables.hybrid.to_dicts(),
    }


def threshold_lines(table: pl.DataFrame) -> list[dict[str, Any]]:
    """Give the lines of `thresholds.tsv` with their numbers as the page shows them.

    Weighted lines come first. The base scores of a class come before the model.
    """
    place = {name: n for n, name in enumerate(table["class"].unique(maintain_order=True))}
    numbers = ("threshold", "precision", "recall", "f1")
    lines = [
        row | {name: cell(row[name], row["reason"]) for name in numbers}
        for row in table.iter_rows(named=True)
    ]
    return sorted(lines, key=lambda row: (not row["weighted"], place[row["class"]], row["system"]))


def _line(row: Mapping[str, Any]) -> TrackLine:
    ends = (row["difference_low"], row["difference_high"])
    gained = ends
    if row["metric"] in LOSSES and None not in ends:
        gained = (-ends[1], -ends[0])
    low, high = (cell(end, row["reason"], signed=True) for end in ends)
    return TrackLine(
        row["class"],
        METRICS[row["metric"]],
        cell(row["base"], row["reason"]),
        cell(row["model"], row["reason"]),
        cell(row["difference"], row["reason"], signed=True),
        low,
        high,
        verdict_word(*gained),
    )
