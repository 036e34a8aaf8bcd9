"""Says on the page which tracks of evidence helped."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import polars as pl

from genebatch.dataset.families import track_family
from genebatch.report.numbers import DASH, Cell, cell

CLEAR = 2  # standard errors from which a rise of the loss is more than chance


class EvidenceTables(NamedTuple):
    """How much of each track is used, and importances by family of every batch."""

    use: pl.DataFrame
    families: Sequence[pl.DataFrame]


class EvidenceLine(NamedTuple):
    """A line of the page: what a track is worth for a class.

    Attributes
    ----------
    track, kind, name
        Track and class.
    kept, made
        Columns that the screen kept, of those that were made.
    auc
        Best AUC of a single column, in the better direction.
    gain
        Share of the gain of all trees, mean over batches.
    shap
        Mean absolute SHAP value of its columns together, mean over batches.
    rise, error
        Rise of the log loss on unseen rows when its columns are permuted, mean over batches, and
        its standard error.
    word
        Whether the track helped.
    """

    track: str
    kind: str
    name: str
    kept: int
    made: int
    auc: Cell
    gain: Cell
    shap: Cell
    rise: Cell
    error: Cell
    word: str


def evidence_facts(
    told: Mapping[str, Any], tables: EvidenceTables, screen: pl.DataFrame, classes: Sequence[str]
) -> dict[str, Any]:
    """Give the facts of the section on tracks of evidence.

    Parameters
    ----------
    told
        Track to its kind and columns, as the built table tells.
    tables
        The tables.
    screen
        `screen.tsv`.
    classes
        Names of the classes.
    """
    lines = [
        _line(track, keys, name, tables.families, screen)
        for track, keys in told.items()
        for name in classes
    ]
    needed = {track: keys["kind"] for track, keys in told.items()}
    return {"lines": lines, "needed": needed, "use": list(_use_lines(tables.use))}


def _line(
    track: str,
    keys: Mapping[str, Any],
    name: str,
    batches: Sequence[pl.DataFrame],
    screen: pl.DataFrame,
) -> EvidenceLine:
    columns = screen.filter(pl.col("column").is_in(keys["columns"]))
    auc = columns.select(_folded(f"auc_{name}").max()).item() if columns.height else None
    own = [
        table.filter((pl.col("family") == track_family(track)) & (pl.col("class") == name))
        for table in batches
    ]
    found = pl.concat(own)
    rise, error = _mean_and_error(found)
    absent = "its columns were dropped, or are in a family of explain.families"
    means = (found[column].mean() for column in ("gain_share", "mean_abs_shap"))
    return EvidenceLine(
        *(track, keys["kind"], name),
        *(int(columns["kept"].sum()), len(keys["columns"])),
        cell(auc, "no value for this class"),
        *(cell(value, absent) for value in means),
        *(cell(rise, absent), cell(error, absent)),
        _word(rise, error),
    )


def _folded(column: str) -> pl.Expr:
    """An AUC in its better direction."""
    return pl.max_horizontal(pl.col(column), 1 - pl.col(column))


def _mean_and_error(batches: pl.DataFrame) -> tuple[float | None, float | None]:
    """Mean rise over batches, and its standard error from those of the batches."""
    known = batches.drop_nulls("log_loss_rise")
    if not known.height:
        return None, None
    errors = known["standard_error"].drop_nulls().drop_nans().to_numpy()
    if len(errors) < known.height:
        return float(known["log_loss_rise"].mean()), None
    return float(known["log_loss_rise"].mean()), float(np.sqrt(np.sum(errors**2)) / known.height)


def _word(rise: float | None, error: float | None) -> str:
    if rise is None or error is None:
        return "not judged"
    if rise > CLEAR * error:
        return "helped"
    return "harmed" if rise < -CLEAR * error else "no gain shown"


def _use_lines(use: pl.DataFrame) -> Iterator[dict[str, Any]]:
    """Lines of the table of use, with the share as text."""
    for line in use.iter_rows(named=True):
        share = f"{100 * line['count'] / line['of']:.3g} %" if line["of"] else DASH
        yield line | {"share": share}
