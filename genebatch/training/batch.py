"""The rows of one batch: read once, binned once, split by whole groups."""

import logging
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import polars as pl
import xgboost as xgb

from genebatch.dataset.columns import Features
from genebatch.dataset.rows import (
    group_codes,
    identity_columns,
    identity_sources,
    label_codes,
    row_weights,
    score_columns,
)
from genebatch.groups import deal
from genebatch.io.files import InputError
from genebatch.model import boosting
from genebatch.plan.planning import batch_key
from genebatch.training.split import BatchRows, batch_rows, verify_rows

log = logging.getLogger(__name__)


class Batch(NamedTuple):
    """The rows of one batch.

    Attributes
    ----------
    matrix
        Binned features of all rows.
    rows
        Identity columns: `group`, `position` and `fold` where known, `label`, `weight`, and
        `score_{class}`.
    codes
        (rows,) class of each row.
    weight
        (rows,) weights for training: ones where weights are not used.
    starts
        (rows,) base log-odds by class, or None for each where boosters start from zero.
    groups
        Names of the batch's groups, sorted.
    features
        The feature set.
    key
        Digest of the rows, folds and features, as in the manifest.
    """

    matrix: xgb.QuantileDMatrix
    rows: pl.DataFrame
    codes: np.ndarray
    weight: np.ndarray
    starts: dict[str, np.ndarray | None]
    groups: list[str]
    features: Features
    key: str


def load_batch(
    inputs: Mapping[str, str | Path],
    batch: str,
    dataset: Mapping[str, Any],
    learner: Mapping[str, Any],
) -> Batch:
    """Read the rows of a batch and bin them once.

    Record batches of the batch's own file go one by one through the feature blocks into the
    matrix: the matrix is all that is held of the features.

    Parameters
    ----------
    inputs
        As `split.batch_rows` wants them.
    batch
        Batch id.
    dataset, learner
        Parts of the config.
    """
    stored = batch_rows(inputs, batch)
    frames = stored.frames(identity_sources(stored.roles))
    rows = pl.concat([identity_columns(frame, stored.roles, dataset) for frame in frames])
    rows = rows.join(
        stored.plan.select("group", "fold"), on="group", how="left", maintain_order="left"
    )
    features = stored.features
    matrix = boosting.build_matrix(
        _FeatureBlocks(stored), len(features.names), learner["max_bin"], learner["threads"]
    )
    return as_batch(f"batch {batch}", matrix, rows, stored.plan, features, dataset, learner)


class _FeatureBlocks:
    """The feature blocks of a batch, read anew whenever they are iterated."""

    def __init__(self, stored: BatchRows):
        self.stored = stored

    def __iter__(self) -> Iterator[boosting.Block]:
        features = self.stored.features
        return map(features.select, self.stored.frames(features.names))


def as_batch(
    name: str,
    matrix: xgb.QuantileDMatrix,
    rows: pl.DataFrame,
    plan: pl.DataFrame,
    features: Features,
    dataset: Mapping[str, Any],
    learner: Mapping[str, Any],
) -> Batch:
    """Put together what training reads: the binned rows and what else is known of them.

    Parameters
    ----------
    name
        What the rows are, for messages.
    matrix
        Binned features.
    rows
        Identity columns and `fold`, in the same order.
    plan
        The lines of the plan of the rows' groups.
    features, dataset, learner
        The feature set and parts of the config.
    """
    verify_rows(name, rows.height, plan)
    starts: dict[str, np.ndarray | None] = dict.fromkeys(dataset["classes"])
    if learner["start_from"] == "scores":
        starts |= boosting.base_margins(rows, score_columns(dataset["classes"]))
    codes = label_codes(rows["label"], dataset["classes"], None)
    weight = row_weights(rows, learner["use_weights"])
    groups = sorted(plan["group"].to_list())
    key = batch_key(plan, features.digest)
    log.info("%s: %s groups, %s rows", name, f"{len(groups):,}", f"{rows.height:,}")
    return Batch(matrix, rows, codes, weight, starts, groups, features, key)


def stopping_split(
    data: Batch, training: np.ndarray, n_classes: int, cv: Mapping[str, Any]
) -> tuple[np.ndarray, np.ndarray]:
    """Split training rows by whole groups into those that train and those that say when to stop.

    Returns
    -------
    tuple of numpy.ndarray
        Two (rows,) bool masks.
    """
    rows = data.rows.filter(training)
    groups, local = rows["group"].unique().sort().to_list(), group_codes(rows)
    counts = np.bincount(
        local * n_classes + data.codes[training], minlength=len(groups) * n_classes
    )
    sizes = np.column_stack([np.bincount(local), counts.reshape(-1, n_classes)])
    share = cv["stop_fraction"]
    parts = deal(groups, sizes, [share, 1 - share], cv["seed"])
    stop = np.zeros(len(training), bool)
    stop[np.flatnonzero(training)[parts[local] == 0]] = True
    if not stop.any():
        raise InputError(
            "no group is left to stop boosting on; enlarge the batch or cv.stop_fraction"
        )
    return training & ~stop, stop
