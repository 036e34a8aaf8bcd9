"""What the page says about complete tracks and about thresholds."""

from collections.abc import Mapping
from typing import Any, NamedTuple

from genebatch.calls.evaluation.counts import NEAR_END
from genebatch.io.files import read_json
from genebatch.io.tables import read_tsv
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


def track_facts(inputs: Mapping[str, Any]) -> dict[str, Any] | None:
    """Facts of the section on complete tracks.

    Parameters
    ----------
    inputs
        Paths `tracks_comparison`, `tracks_corrections`, `tracks_hybrid` and `tracks_summary`, or
        none of them.

    Returns
    -------
    dict or None
        None where the model was not trained on a built table, so that there are no tracks.
    """
    if inputs.get("tracks_comparison") is None:
        return None
    comparison = read_tsv(inputs["tracks_comparison"])
    return {
        "summary": read_json(inputs["tracks_summary"]),
        "lines": [_line(row) for row in comparison.iter_rows(named=True)],
        "corrections": read_tsv(inputs["tracks_corrections"]).to_dicts(),
        "hybrid": read_tsv(inputs["tracks_hybrid"]).to_dicts(),
    }


def threshold_lines(path: Any) -> list[dict[str, Any]]:
    """Lines of the thresholds table with their numbers as the page shows them.

    Weighted lines come first, and of a class the base scores before the model.
    """
    table = read_tsv(path)
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
