"""Shows how the delivered model scores training groups, beside the base scores."""

from collections.abc import Mapping
from typing import Any, NamedTuple

import polars as pl

from genebatch.report.numbers import Cell, cell

NO_BASE = {"value": None, "reason": "no base scores"}


class Estimate(NamedTuple):
    """Held-out scores of one class on training groups; base scores stand before the model."""

    name: str
    precision: tuple[Cell, Cell]
    loss: tuple[Cell, Cell]
    difference: Cell
    low: Cell
    high: Cell


def estimates(table: pl.DataFrame, candidate: str, weighted: bool) -> list[Estimate]:
    """Give average precision and log loss on training rows with held-out scores, by class.

    Parameters
    ----------
    table
        `ensemble/estimate.tsv`.
    candidate
        The combiner in use, or the candidate beside the ensemble that was delivered.
    weighted
        Whether rows count by their weights.
    """
    rows = {
        (row["system"], row["class"], row["metric"]): row
        for row in table.filter(pl.col("weighted") == weighted).to_dicts()
    }
    names = table["class"].unique(maintain_order=True).to_list()
    return [_estimate(rows, candidate, name) for name in names if name != "all"]


def _estimate(
    rows: Mapping[tuple[str, str, str], Mapping[str, Any]], candidate: str, name: str
) -> Estimate:
    precision, loss = (
        tuple(
            cell(row["value"], row["reason"])
            for row in (rows.get((side, name, metric), NO_BASE) for side in ("base", candidate))
        )
        for metric in ("average_precision", "log_loss")
    )
    gain = rows[candidate, name, "log_loss"]
    ends = (gain.get(f"over_base{end}") for end in ("", "_low", "_high"))
    cells = (cell(end, "no base scores or too few groups") for end in ends)
    return Estimate(name, precision, loss, *cells)
