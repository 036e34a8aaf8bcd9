"""What genebatch.batch promises: the planned rows, split by whole groups."""

import numpy as np
import polars as pl
import pytest

from genebatch.dataset.rows import plain_weights
from genebatch.io.files import InputError
from genebatch.training.batch import load_batch, stopping_split

CLASSES = ["neither", "donor", "acceptor"]


@pytest.fixture(scope="module")
def batch(toy):
    """The rows of the first batch, loaded."""
    return loaded(toy)


def loaded(toy, **changes):
    """The rows of the first batch under another `learner`."""
    learner = toy.config["learner"] | changes
    return load_batch(toy.paths("b000"), "b000", toy.config["dataset"], learner)


def test_stopping_groups_are_neither_training_nor_held_out(toy, batch):
    groups, fold = batch.rows["group"].to_numpy(), batch.rows["fold"].to_numpy()
    for number in range(3):
        train, stop = stopping_split(batch, fold != number, 3, toy.config["cv"])
        parts = [set(groups[rows]) for rows in (train, stop, fold == number)]
        assert all(parts)
        assert sum(len(part) for part in parts) == len(set.union(*parts))
        assert ((train | stop) == (fold != number)).all()


def test_a_fold_without_a_group_to_stop_on_says_what_to_change(toy, batch):
    one = batch.rows["group"].to_numpy() == batch.groups[0]
    with pytest.raises(InputError, match=r"cv\.stop_fraction"):
        stopping_split(batch, one, 3, toy.config["cv"] | {"stop_fraction": 0.1})


def test_weights_enter_only_where_they_are_used(toy):
    weighted, plain = (loaded(toy, use_weights=use) for use in (True, False))
    np.testing.assert_array_equal(weighted.weight, np.where(weighted.codes == 0, 3.0, 1.0))
    assert (plain.weight == 1).all()
    assert plain_weights(plain.rows) is not None


def test_start_from_none_starts_at_zero_knowledge(toy):
    scored, unscored = (loaded(toy, start_from=start).starts for start in ("scores", "none"))
    assert list(scored) == list(unscored) == CLASSES
    assert all(start is None for start in unscored.values())
    assert all(np.isfinite(start).all() for start in scored.values())


def test_fewer_rows_than_planned_are_refused(toy, tmp_path):
    plan = pl.read_parquet(toy.folder / "plan.parquet")
    first = (plan["batch"] == "b000") & (plan["group"] == plan.filter(batch="b000")["group"][0])
    longer = plan.with_columns(pl.when(first).then(pl.col("rows") + 1).otherwise("rows"))
    longer.write_parquet(tmp_path / "plan.parquet")
    planned = int(longer.filter(batch="b000")["rows"].sum())
    with pytest.raises(InputError, match=f"b000 has {planned - 1} rows but {planned} were"):
        load_batch(
            toy.paths("b000") | {"plan": tmp_path / "plan.parquet"},
            "b000",
            toy.config["dataset"],
            toy.config["learner"],
        )


def test_unknown_batch_is_named(toy):
    with pytest.raises(InputError, match="batch b777"):
        load_batch(toy.paths(), "b777", toy.config["dataset"], toy.config["learner"])
