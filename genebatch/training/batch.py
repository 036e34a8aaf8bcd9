"""Holds what is known of the rows of a batch beside their features, and where these are read."""

import logging
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import polars as pl

from genebatch.config.settings import Folds, Labels, Learner
from genebatch.dataset.feature_set import Features
from genebatch.dataset.row_file import RowFile, joined_facts, known_rows
from genebatch.dataset.rows import group_codes, label_codes, row_weights, score_columns
from genebatch.groups import deal, hashed
from genebatch.io.files import InputError, digest
from genebatch.model import boosting

log = logging.getLogger(__name__)

ALL = "the training data"


class Batch(NamedTuple):
    """The rows of one batch, or of all batches, ready to boost.

    Holds some 400 bytes a row while a booster grows. Features stay in the files.

    Attributes
    ----------
    name
        Batch id, for messages.
    files
        The row files, sorted by name.
    on_disk
        Whether a matrix that is larger than `matrices.HELD_BYTES` lies on disk.
    rows
        Identity columns in the order of the files: `group`, `label`, `position`, `weight` and
        `score_{class}` where known, and `fold`. A row of a group that several batches hold stands
        once, with the fold of the first of them.
    places
        (rows,) place of each row in the data set.
    first
        (stored rows,) bool: the rows among those that are stored in the files.
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
    files: Sequence[RowFile]
    on_disk: bool
    rows: pl.DataFrame
    places: np.ndarray
    first: np.ndarray
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
    def n_folds(self) -> int:
        """How many folds the rows were dealt into."""
        return int(self.rows["fold"].max()) + 1

    @property
    def in_order(self) -> np.ndarray:
        """The rows in the order of the data set, (rows,) places among `rows`."""
        return np.argsort(self.places)

    def stored(self, kept: np.ndarray) -> np.ndarray:
        """Some rows, (rows,) bool, among those that are stored in the files."""
        if len(self.first) == len(kept):
            return kept
        found = self.first.copy()
        found[self.first] = kept
        return found

    @property
    def groups(self) -> list[str]:
        """Names of the groups, sorted."""
        return self.rows["group"].unique().sort().to_list()


def load_batch(file: RowFile, learner: Learner) -> Batch:
    """Read what is known of the rows of a batch."""
    return _loaded(f"batch {file.name}", [file], file.key, learner, on_disk=False)


def load_all(files: Sequence[RowFile], learner: Learner) -> Batch:
    """Read what is known of every training row; large matrices will lie on disk.

    Parameters
    ----------
    files
        The row files of all batches, sorted by name.
    learner
        Settings.
    """
    key = key_of_all({file.name: file.key for file in files})
    return _loaded(ALL, files, key, learner, on_disk=True)


def key_of_all(keys: Mapping[str, str]) -> str:
    """Digest of the rows of all batches, from batch to its key."""
    return digest([keys[name] for name in sorted(keys)])


def _loaded(
    name: str,
    files: Sequence[RowFile],
    key: str,
    learner: Learner,
    *,
    on_disk: bool,
) -> Batch:
    rows, places, first = known_rows(files)
    features, labels = files[0].features, files[0].labels
    starts: dict[str, np.ndarray | None] = dict.fromkeys(labels.classes)
    if learner.from_scores(labels):
        starts |= boosting.base_margins(rows, score_columns(labels.classes))
    codes = label_codes(rows["label"], labels.classes, None)
    weight = row_weights(rows, learner.use_weights)
    facts = joined_facts(file.facts for file in files)
    known = (rows, places, first, codes, weight, starts, features, labels, key, facts)
    batch = Batch(name, files, on_disk, *known)
    log.info("%s: %s groups, %s rows", name, f"{len(batch.groups):,}", f"{rows.height:,}")
    return batch


def stopping_split(data: Batch, training: np.ndarray, cv: Folds) -> tuple[np.ndarray, np.ndarray]:
    """Split training rows by whole groups into those that train and those that say when to stop.

    Returns
    -------
    tuple of numpy.ndarray
        Two (rows,) bool masks.
    """
    rows = data.rows.filter(training)
    groups, local, sizes = group_sizes(rows, data.codes[training], len(data.classes))
    parts = stopping_groups(groups, sizes, cv)
    stop = np.zeros(len(training), bool)
    stop[np.flatnonzero(training)[parts[local]]] = True
    return training & ~stop, stop


def group_sizes(
    rows: pl.DataFrame, codes: np.ndarray, n_classes: int
) -> tuple[list[str], np.ndarray, np.ndarray]:
    """Names of the groups of some rows, the group of each row, and rows in all and by class."""
    groups, local = rows["group"].unique().sort().to_list(), group_codes(rows)
    counts = np.bincount(local * n_classes + codes, minlength=len(groups) * n_classes)
    sizes = np.column_stack([np.bincount(local), counts.reshape(-1, n_classes)])
    return groups, local, sizes


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
