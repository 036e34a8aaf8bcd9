"""Reads the rows of one batch once, and bins them once."""

import logging
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import polars as pl
import xgboost as xgb

from genebatch.config.settings import Folds, Labels, Learner
from genebatch.dataset.feature_set import Features
from genebatch.dataset.row_file import RowFile
from genebatch.dataset.rows import group_codes, label_codes, row_weights, score_columns
from genebatch.groups import deal, hashed
from genebatch.io.files import InputError
from genebatch.model import boosting

log = logging.getLogger(__name__)


class Batch(NamedTuple):
    """The rows of one batch, ready to boost.

    Attributes
    ----------
    name
        Batch id, for messages.
    matrix
        Binned features of all rows.
    rows
        Identity columns: `group`, `label`, `position`, `weight` and `score_{class}` where known,
        and `fold`.
    codes
        (rows,) class of each row.
    weight
        (rows,) weights for training: ones where weights are not used.
    starts
        (rows,) base log-odds by class, or None for each where boosters start from zero.
    features, labels
        The feature set, and what the rows are.
    key
        Digest of the rows, folds and features, as in the manifest.
    facts
        What a model of the rows records of their table; see `row_pass.Part`.
    """

    name: str
    matrix: xgb.QuantileDMatrix
    rows: pl.DataFrame
    codes: np.ndarray
    weight: np.ndarray
    starts: dict[str, np.ndarray | None]
    features: Features
    labels: Labels
    key: str
    facts: dict[str, Any]

    @property
    def classes(self) -> list[str]:
        """The labels, in the order of the codes."""
        return list(self.labels.classes)

    @property
    def groups(self) -> list[str]:
        """Names of the groups, sorted."""
        return self.rows["group"].unique().sort().to_list()


def load_batch(rows: RowFile, learner: Learner) -> Batch:
    """Read the rows of a batch, and bin them.

    Record batches go one by one through the feature blocks into the matrix: the matrix is all that
    is held of the features.
    """
    matrix = boosting.build_matrix(
        rows.blocks, len(rows.features.names), learner.max_bin, learner.threads
    )
    return as_batch(
        f"batch {rows.name}", matrix, rows.identity, rows, rows.key, rows.facts, learner
    )


def as_batch(
    name: str,
    matrix: xgb.QuantileDMatrix,
    rows: pl.DataFrame,
    file: RowFile,
    key: str,
    facts: Mapping[str, Any],
    learner: Learner,
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
    file
        A row file with the feature set and what the rows are.
    key, facts
        As in `Batch`.
    learner
        Settings.
    """
    features, labels = file.features, file.labels
    starts: dict[str, np.ndarray | None] = dict.fromkeys(labels.classes)
    if learner.start_from == "scores":
        starts |= boosting.base_margins(rows, score_columns(labels.classes))
    codes = label_codes(rows["label"], labels.classes, None)
    weight = row_weights(rows, learner.use_weights)
    batch = Batch(name, matrix, rows, codes, weight, starts, features, labels, key, dict(facts))
    log.info("%s: %s groups, %s rows", name, f"{len(batch.groups):,}", f"{rows.height:,}")
    return batch


def stopping_split(data: Batch, training: np.ndarray, cv: Folds) -> tuple[np.ndarray, np.ndarray]:
    """Split training rows by whole groups into those that train and those that say when to stop.

    Returns
    -------
    tuple of numpy.ndarray
        Two (rows,) bool masks.
    """
    n_classes = len(data.classes)
    rows = data.rows.filter(training)
    groups, local = rows["group"].unique().sort().to_list(), group_codes(rows)
    counts = np.bincount(
        local * n_classes + data.codes[training], minlength=len(groups) * n_classes
    )
    sizes = np.column_stack([np.bincount(local), counts.reshape(-1, n_classes)])
    parts = stopping_groups(groups, sizes, cv)
    stop = np.zeros(len(training), bool)
    stop[np.flatnonzero(training)[parts[local]]] = True
    return training & ~stop, stop


def stopping_groups(groups: Sequence[str], sizes: np.ndarray, cv: Folds) -> np.ndarray:
    """Choose the groups that say when to stop: at least one, and at least one is left to train.

    Their rows and their rows of each class come as near to `cv.stop_fraction` as whole groups
    allow. Where that would be no group, it is the smallest of those without which the others still
    have rows of every class; ties go by a seeded hash of the name.

    Parameters
    ----------
    groups
        Names.
    sizes
        (groups, measures), rows first, then rows of each class.
    cv
        Settings.

    Returns
    -------
    numpy.ndarray
        (groups,) bool.
    """
    if len(groups) < 2:
        raise InputError(
            "no group is left to stop boosting on: training and stopping need two groups outside "
            "of each fold; enlarge the batch (batching.min_groups)"
        )
    share = cv.stop_fraction
    stop = deal(groups, sizes, [share, 1 - share], cv.seed) == 0
    if stop.any() and not stop.all():
        return stop
    lost = ((sizes.sum(axis=0) == sizes) & (sizes > 0)).sum(axis=1)
    ties = np.array([hashed(name, cv.seed) for name in groups])
    order = np.lexsort((ties, sizes[:, 0], lost))
    return np.arange(len(groups)) == order[0]
