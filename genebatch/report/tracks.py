"""Shows on the page how the model does on complete tracks, and its thresholds."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import polars as pl

from genebatch.calls.evaluation.counts import BASE_AT, NEAR_END, SITES_OF_GENE, TIERS
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
NO_SITES = "no such sites in the test genes"
LOSSES = frozenset({"log_loss", "brier"})  # a fall is a gain


class TrackTables(NamedTuple):
    """The tables of the evaluation on complete tracks, its counts, and a few genes."""

    comparison: pl.DataFrame
    corrections: pl.DataFrame
    hybrid: pl.DataFrame
    tiers: pl.DataFrame
    curves: pl.DataFrame
    summary: Mapping[str, Any]
    examples: Sequence[Mapping[str, Any]]


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


class TierLine(NamedTuple):
    """The recall of one tier of one class: of the base scores at each threshold, of the model."""

    name: str
    tier: str
    positions: int
    left_out: int
    base: list[Cell]
    model: Cell


def track_facts(tables: TrackTables) -> dict[str, Any]:
    """Give the facts of the section on complete tracks."""
    return {
        "summary": tables.summary,
        "lines": [_line(row) for row in tables.comparison.iter_rows(named=True)],
        "corrections": tables.corrections.to_dicts(),
        "hybrid": tables.hybrid.to_dicts(),
        "base_at": tables.tiers["base_at"].unique(maintain_order=True).to_list(),
        "tiers": _tier_lines(tables.tiers),
        "elsewhere": _calls_by_tier(tables.tiers),
    }


def threshold_lines(table: pl.DataFrame, rest: str | None = None) -> list[dict[str, Any]]:
    """Give the lines of `thresholds.tsv` with their numbers as the page shows them.

    The class `rest` comes last. Of a class weighted lines come first, and the base scores before
    the model.
    """
    place = {name: n for n, name in enumerate(table["class"].unique(maintain_order=True))}
    numbers = ("threshold", "precision", "recall", "f1")
    lines = [
        row | {name: cell(row[name], row["reason"]) for name in numbers}
        for row in table.iter_rows(named=True)
    ]
    place |= {} if rest is None else {rest: len(place)}
    return sorted(lines, key=lambda row: (place[row["class"]], not row["weighted"], row["system"]))


def _tier_lines(table: pl.DataFrame) -> list[TierLine]:
    lines = []
    own = table.filter(pl.col("tier").is_in(TIERS[:SITES_OF_GENE]))
    for (name, tier), part in own.group_by("class", "tier", maintain_order=True):
        base = [cell(value, NO_SITES) for value in part["base_recall"]]
        row = part.row(0, named=True)  # the model has one threshold, which every line repeats
        model = cell(row["model_recall"], NO_SITES)
        lines.append(TierLine(name, tier, row["positions"], row["left_out"], base, model))
    return lines


def _calls_by_tier(table: pl.DataFrame) -> dict[str, dict[str, int]]:
    """Calls of the model by tier, of both classes: all (`called`), and those without a label."""
    both = table.filter((pl.col("class") == "all") & (pl.col("base_at") == BASE_AT[0]))
    rows = both.select("tier", "model_called", "model_left_out").iter_rows()
    return {tier: {"called": called, "left_out": left_out} for tier, called, left_out in rows}


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
