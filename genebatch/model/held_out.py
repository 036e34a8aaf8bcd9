"""Reads held-out scores: each training row, scored by models that never saw its group.

A table of held-out scores is a Parquet file with the identity columns of every row, and columns
`{candidate}:{class}` of a batch's model, a combiner, or another candidate for the final model.
Where only some of the groups were scored, its metadata says of how many.
"""

import json
from collections.abc import Collection, Iterable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import polars as pl

from genebatch.dataset.rows import identity_names, label_codes, row_weights, score_columns
from genebatch.io.files import InputError, digest, read_parquet
from genebatch.io.tables import record_batches, table_columns
from genebatch.model.boosting import base_margins
from genebatch.model.combiners import HeldOut
from genebatch.model.ensemble import EnsembleModel
from genebatch.model.routing import distance_names

# Candidates for the final model beside the ensemble; each has held-out scores under its name.
# `both` is the ensemble with the single model as a member.
ALONE = ("single", "both", "distilled")
# Combiners are learned from at most so many scores: 80 MB, and some minutes for the slowest. Beyond
# that whole groups are left out; a few dozen weights need no more.
MOST_SCORES = 20_000_000
METADATA = "genebatch.sample"


class Sample(NamedTuple):
    """How many of the training groups, and of their rows, were scored."""

    groups: int
    rows: int
    of_groups: int
    of_rows: int

    def metadata(self) -> dict[str, str]:
        """The sample as metadata of a Parquet file."""
        return {METADATA: json.dumps(self._asdict())}

    def __str__(self) -> str:
        return (
            f"{self.groups:,} of {self.of_groups:,} training groups "
            f"({self.rows:,} of {self.of_rows:,} rows)"
        )


class Scores(NamedTuple):
    """Some rows of the held-out scores of an ensemble's members.

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


def sample_of(sizes: pl.DataFrame, groups: pl.Series | None) -> Sample | None:
    """Count a sample of the groups; None where it is all of them.

    `sizes` has the columns `group` and `rows`, each training group once.
    """
    if groups is None:
        return None
    rows = sizes.filter(pl.col("group").is_in(groups.implode()))["rows"].sum()
    return Sample(len(groups), int(rows), sizes.height, int(sizes["rows"].sum()))


def read_sample(path: str | Path) -> Sample | None:
    """Read of which sample a table of held-out scores is; None where it is of all groups."""
    stored = pl.read_parquet_metadata(path).get(METADATA)
    return None if stored is None else Sample(**json.loads(stored))


def recorded_sample(model: EnsembleModel) -> Sample | None:
    """The sample that the members of a final model's ensemble scored; None where these are all."""
    recorded = model.facts.get("sample")
    return None if recorded is None else Sample(**recorded)


def scored_groups(path: str | Path) -> frozenset[str] | None:
    """Read which groups a table of held-out scores has; None where it is of all groups."""
    if read_sample(path) is None:
        return None
    return frozenset(read_parquet(path, columns=["group"])["group"].cast(pl.String).unique())


def score_names(candidate: str, classes: Sequence[str]) -> list[str]:
    """Names of the columns of a candidate's scores."""
    return [f"{candidate}:{name}" for name in classes]


def score_series(
    candidates: Iterable[str], classes: Sequence[str], values: np.ndarray
) -> list[pl.Series]:
    """Columns `{candidate}:{class}`, float32, of (rows, candidates, classes) values."""
    return [
        pl.Series(name, values[:, row, column], dtype=pl.Float32)
        for row, candidate in enumerate(candidates)
        for column, name in enumerate(score_names(candidate, classes))
    ]


def read_scores(path: str | Path, model: EnsembleModel) -> Iterator[Scores]:
    """Stream the held-out scores of a model's members; holds one record batch.

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


def read_held_out(
    path: str | Path,
    sizes: pl.DataFrame,
    model: EnsembleModel,
    use_weights: bool,
    groups: Collection[str] | None = None,
) -> HeldOut:
    """Read the rows that combiners are learned from.

    Parameters
    ----------
    path
        The held-out scores of the members of `model`.
    sizes
        Columns `group` and `rows` of all training groups.
    model
        The members, in the order of the scores.
    use_weights
        Whether rows count by their weights.
    groups
        The groups to learn from, or None for all. If they have more than `MOST_SCORES` scores,
        whole groups are left out: those that fit are drawn by a hash of their names.
    """
    return learning_rows(read_scores(path, model), sizes, model, use_weights, groups)


def learning_rows(
    scores: Iterable[Scores],
    sizes: pl.DataFrame,
    model: EnsembleModel,
    use_weights: bool,
    groups: Collection[str] | None = None,
) -> HeldOut:
    """Take the rows that combiners are learned from out of held-out scores; see `read_held_out`."""
    most_rows = MOST_SCORES // (len(model.members) * len(model.classes))
    kept = _sampled_groups(sizes, most_rows, groups)
    parts = []
    for part in scores:
        rows = part.rows["group"].is_in(kept.implode()).to_numpy()
        if rows.any():
            parts.append(_held_out(part, model, use_weights).take(rows))
    *joined, _ = zip(*parts, strict=True)
    arrays = (None if part[0] is None else np.concatenate(part) for part in joined)
    return HeldOut(*arrays, model.rest)


def _held_out(scores: Scores, model: EnsembleModel, use_weights: bool) -> HeldOut:
    reference = None
    if model.scores is not None:
        margins = base_margins(scores.rows, score_columns(list(model.classes)))
        reference = np.column_stack([margins[name] for name in model.classes])
    return HeldOut(
        scores.log_odds,
        label_codes(scores.rows["label"], model.classes, None),
        row_weights(scores.rows, use_weights),
        scores.rows["fold"].to_numpy(),
        reference,
        scores.distance,
        model.rest,
    )


def _sampled_groups(
    sizes: pl.DataFrame, most_rows: int, groups: Collection[str] | None
) -> pl.Series:
    """Groups to learn from, with at most so many rows together."""
    if groups is not None:
        sizes = sizes.filter(pl.col("group").is_in(list(groups)))
    if sizes["rows"].sum() <= most_rows:
        return sizes["group"]
    order = sorted(sizes.select("group", "rows").rows(), key=lambda row: digest(row[0]))
    end = np.searchsorted(np.cumsum([rows for _, rows in order]), most_rows, side="right")
    return pl.Series([group for group, _ in order[: max(int(end), 1)]])
