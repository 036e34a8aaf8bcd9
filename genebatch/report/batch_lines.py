"""Shows every batch on the page: its folds, its calibrators and their losses."""

from collections.abc import Mapping, Sequence
from typing import Any

import polars as pl

from genebatch.report.numbers import cell


def batch_lines(
    summaries: Sequence[Mapping[str, Any]], manifest: pl.DataFrame
) -> list[dict[str, Any]]:
    """Summary of every batch, with all its groups, mean average precision and log losses."""
    groups = dict(manifest.select("batch", "groups").iter_rows())
    return [
        {
            **summary,
            "groups": groups[summary["batch"]],
            "means": _mean_precision(summary["metrics"]),
            "losses": {name: _log_losses(facts) for name, facts in summary["classes"].items()},
        }
        for summary in sorted(summaries, key=lambda summary: summary["batch"])
    ]


def _mean_precision(lines: Sequence[Mapping[str, Any]]) -> dict[tuple[str, str], Any]:
    """Mean average precision over folds by candidate and class; weighted if there are weights."""
    weighted = any(line["weighted"] for line in lines)
    return {
        (line["system"], line["class"]): cell(line["mean"], line["reason"])
        for line in lines
        if line["metric"] == "average_precision" and line["weighted"] == weighted
    }


def _log_losses(facts: Mapping[str, Any]) -> list[Any]:
    """Log loss of a class before and after its calibrator."""
    calibration = facts["calibration"]
    return [
        cell(calibration[side]["log_loss"], calibration["reason"]) for side in ("before", "after")
    ]
