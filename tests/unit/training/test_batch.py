"""What training.batch promises: the planned rows, split by whole groups."""

import itertools
from dataclasses import replace

import numpy as np
import polars as pl
import pytest

from genebatch.config.settings import Folds
from genebatch.dataset.row_file import RowFile
from genebatch.dataset.rows import plain_weights
from genebatch.groups import folds
from genebatch.io.files import InputError
from genebatch.plan.coverage import check_folds
from genebatch.training.batch import load_batch, stopping_groups, stopping_split

CLASSES = ["neither", "donor", "acceptor"]


@pytest.fixture(scope="module")
def rows(toy):
    """The row file of the first batch."""
    return RowFile.open(toy.paths("b000")["rows"])


@pytest.fixture(scope="module")
def batch(toy, rows):
    """The rows of the first batch, loaded."""
    return load_batch(rows, toy.settings.learner)


def loaded(toy, rows, **changes):
    """The rows of the first batch under another `learner`."""
    return load_batch(rows, replace(toy.settings.learner, **changes))


def test_batch_says_what_its_row_file_says(batch, rows):
    assert batch.name == "batch b000"
    assert (batch.key, batch.features, batch.labels) == (rows.key, rows.features, rows.labels)
    assert batch.classes == CLASSES
    assert batch.groups == rows.groups["group"].to_list()
    assert batch.rows.equals(rows.identity)
    assert len(batch.codes) == rows.n_rows


def test_stopping_groups_are_neither_training_nor_held_out(toy, batch):
    groups, fold = batch.rows["group"].to_numpy(), batch.rows["fold"].to_numpy()
    for number in range(3):
        train, stop = stopping_split(batch, fold != number, toy.settings.cv)
        parts = [set(groups[part]) for part in (train, stop, fold == number)]
        assert all(parts)
        assert sum(len(part) for part in parts) == len(set.union(*parts))
        assert ((train | stop) == (fold != number)).all()


def test_a_fold_without_a_group_to_stop_on_says_what_to_change(toy, batch):
    one = batch.rows["group"].to_numpy() == batch.groups[0]
    with pytest.raises(InputError, match=r"two groups outside of each fold.*batching\.min_groups"):
        stopping_split(batch, one, toy.settings.cv)


def counts_of(kind: str, n_groups: int) -> np.ndarray:
    """Rows of each group, and rows of two classes."""
    rows = 2 ** np.arange(n_groups) if kind == "unequal" else np.full(n_groups, 20)
    share = np.arange(n_groups) % 2 if kind == "one class a group" else 0.5
    first = (rows * share).astype(int)
    return np.column_stack([rows, first, rows - first])


@pytest.mark.parametrize("kind", ["equal", "unequal", "one class a group"])
@pytest.mark.parametrize("n_splits", range(2, 11))
def test_few_groups_always_leave_one_to_stop_on_and_one_to_train(kind, n_splits):
    """Whatever plan passes `check_folds` can be trained."""
    for n_groups, share in itertools.product(range(max(n_splits, 4), 21), (0.01, 0.125, 0.5)):
        sizes = counts_of(kind, n_groups)
        names = [f"g{number:02d}" for number in range(n_groups)]
        columns = {"group": names, "rows": sizes[:, 0], "n_a": sizes[:, 1], "n_b": sizes[:, 2]}
        fold = folds(pl.DataFrame(columns), n_splits, seed=7)
        check_folds(fold, "b000")
        for number in range(n_splits):
            training = np.flatnonzero(fold != number)
            cv = Folds(n_splits, share, seed=7)
            stop = stopping_groups([names[n] for n in training], sizes[training], cv)
            assert stop.any()
            assert not stop.all()


def test_the_group_that_stops_is_not_the_last_of_a_class():
    cv = Folds(2, 0.01, 7)
    both = np.array([[10, 10, 0], [20, 0, 20], [30, 15, 15]])
    assert stopping_groups(["a", "b", "c"], both, cv).tolist() == [True, False, False]
    last = np.array([[10, 10, 0], [20, 0, 20], [30, 0, 30]])
    assert stopping_groups(["a", "b", "c"], last, cv).tolist() == [False, True, False]


def test_weights_enter_only_where_they_are_used(toy, rows):
    weighted, plain = (loaded(toy, rows, use_weights=use) for use in (True, False))
    np.testing.assert_array_equal(weighted.weight, np.where(weighted.codes == 0, 3.0, 1.0))
    assert (plain.weight == 1).all()
    assert plain_weights(plain.rows) is not None


def test_start_from_none_starts_at_zero_knowledge(toy, rows):
    scored, unscored = (loaded(toy, rows, start_from=start).starts for start in ("scores", "none"))
    assert list(scored) == list(unscored) == CLASSES
    assert all(start is None for start in unscored.values())
    assert all(np.isfinite(start).all() for start in scored.values())


def test_fewer_rows_than_planned_are_refused(toy, rows):
    planned = rows.n_rows + 1
    message = rf"b000\.arrow has {rows.n_rows} rows but {planned} were planned; delete it and run"
    with pytest.raises(InputError, match=message):
        load_batch(replace(rows, n_rows=planned), toy.settings.learner)
