"""Tables of scores by models that never saw the rows' groups: column names, and reading them."""

from collections.abc import Collection, Iterable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import polars as pl

from genebatch.dataset.rows import identity_names, label_codes, row_weights, score_columns
from genebatch.io.files import InputError, digest
from genebatch.io.tables import record_batches, table_columns
from genebatch.model.boosting import base_margins
from genebatch.model.combiners import Honest
from genebatch.model.ensemble import EnsembleModel
from genebatch.model.routing import distance_names

# Models that are no ensemble; each has honest probabilities of its own under its name.
RIVALS = ("single", "distilled")
# Combiners are learned from at most so many scores: 80 MB, and some minutes for the slowest. Beyond
# that whole groups are left out; a few dozen weights need no more.
MOST_SCORES = 20_000_000


class Scores(NamedTuple):
    """Some rows of the honest table.

    Attributes
    ----------
    rows
        Identity columns, `batch` and `fold`.
    log_odds
        (rows, members, classes) float32.
    distance
        (rows, members) float32, or None where rows are not routed.
    """

    rows: pl.DataFrame
    log_odds: np.ndarray
    distance: np.ndarray | None


def score_names(system: str, classes: Sequence[str]) -> list[str]:
    """Names of the columns of a system's scores."""
    return [f"{system}:{name}" for name in classes]


def score_series(
    systems: Iterable[str], classes: Sequence[str], values: np.ndarray
) -> list[pl.Series]:
    """Columns `{system}:{class}`, float32, of (rows, systems, classes) values."""
    return [
        pl.Series(name, values[:, row, column], dtype=pl.Float32)
        for row, system in enumerate(systems)
        for column, name in enumerate(score_names(system, classes))
    ]


def read_scores(path: str | Path, model: EnsembleModel) -> Iterator[Scores]:
    """Stream the honest table of a model's members; holds one record batch.

    Raises
    ------
    InputError
        If the table is of other members.
    """
    members = [member.name for member in model.members]
    columns = [name for member in members for name in score_names(member, model.classes)]
    present = table_columns(path)
    if not set(columns) <= set(present):
        raise InputError(f"{path} holds the scores of other batches; delete it and run again")
    distance = [name for name in distance_names(members) if name in present]
    identity = [*identity_names(present), "batch", "fold"]
    for batch in record_batches(path, [*identity, *columns, *distance]):
        frame = pl.from_arrow(batch).with_columns(pl.col("group").cast(pl.String))
        log_odds = frame.select(columns).to_numpy(order="c")
        yield Scores(
            frame.select(identity),
            log_odds.reshape(frame.height, len(members), len(model.classes)),
            frame.select(distance).to_numpy() if distance else None,
        )


def read_honest(
    path: str | Path,
    plan: str | Path,
    model: EnsembleModel,
    use_weights: bool,
    groups: Collection[str] | None = None,
) -> Honest:
    """Rows of the honest table to learn combiners from.

    Parameters
    ----------
    path
        The honest table of the members of `model`.
    plan
        The plan's batches/genes.parquet.
    model
        The members, in the order of the scores.
    use_weights
        Whether rows count by their weights.
    groups
        The groups to learn from, or None for all. Where they have more than `MOST_SCORES` scores,
        as many whole groups as fit, drawn by a hash of their names.
    """
    kept = _sampled_groups(plan, MOST_SCORES // (len(model.members) * len(model.classes)), groups)
    parts = []
    for scores in read_scores(path, model):
        rows = scores.rows["group"].is_in(kept.implode()).to_numpy()
        if rows.any():
            parts.append(_honest(scores, model, use_weights).take(rows))
    *joined, _ = zip(*parts, strict=True)
    arrays = (None if part[0] is None else np.concatenate(part) for part in joined)
    return Honest(*arrays, model.rest)


def _honest(scores: Scores, model: EnsembleModel, use_weights: bool) -> Honest:
    reference = None
    if model.scores is not None:
        margins = base_margins(scores.rows, score_columns(list(model.classes)))
        reference = np.column_stack([margins[name] for name in model.classes])
    return Honest(
        scores.log_odds,
        label_codes(scores.rows["label"], model.classes, None),
        row_weights(scores.rows, use_weights),
        scores.rows["fold"].to_numpy(),
        reference,
        scores.distance,
        model.rest,
    )


def _sampled_groups(plan: str | Path, most_rows: int, groups: Collection[str] | None) -> pl.Series:
    """Groups to learn from, with at most so many rows together."""
    genes = pl.read_parquet(plan, columns=["group", "rows", "test"]).filter(~pl.col("test"))
    genes = genes.unique("group")
    if groups is not None:
        genes = genes.filter(pl.col("group").is_in(list(groups)))
    if genes["rows"].sum() <= most_rows:
        return genes["group"]
    order = sorted(genes.select("group", "rows").rows(), key=lambda row: digest(row[0]))
    end = np.searchsorted(np.cumsum([rows for _, rows in order]), most_rows, side="right")
    return pl.Series([group for group, _ in order[: max(int(end), 1)]])
