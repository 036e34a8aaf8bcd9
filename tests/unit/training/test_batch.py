"""What training.batch promises: the planned rows, split by whole groups."""

from dataclasses import replace

import numpy as np
import pytest

from genebatch.dataset.row_file import RowFile
from genebatch.dataset.rows import plain_weights
from genebatch.io.files import InputError
from genebatch.training.batch import load_batch, stopping_split

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
    assert batch.matrix.num_row() == len(batch.codes) == rows.n_rows


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
    with pytest.raises(InputError, match=r"cv\.stop_fraction"):
        stopping_split(batch, one, replace(toy.settings.cv, stop_fraction=0.1))


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
