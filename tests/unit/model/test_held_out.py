"""What model.held_out promises: scores as they stand, and whole groups where all is too much."""

import numpy as np
import polars as pl
import pytest

from genebatch.io import tables
from genebatch.io.files import InputError
from genebatch.model import held_out as module
from genebatch.model.archive import load_model
from genebatch.model.held_out import read_held_out, read_scores

CLASSES = ["neither", "donor", "acceptor"]
MEMBERS = ["b000", "b001"]


@pytest.fixture(scope="module")
def table(toy):
    return pl.read_parquet(toy.ensemble_files["scores"])


@pytest.fixture(scope="module")
def read(toy, table):
    """Read the rows that combiners are learned from."""
    model = load_model(toy.ensemble_files["ensemble"])
    sizes = table.group_by("group").agg(rows=pl.len())

    def read(use_weights=True, groups=None):
        return read_held_out(toy.ensemble_files["scores"], sizes, model, use_weights, groups)

    return read


def log_odds(table):
    names = [f"{member}:{label}" for member in MEMBERS for label in CLASSES]
    return table.select(names).to_numpy().reshape(table.height, 2, 3)


def test_all_rows_are_learned_from_where_they_fit(read, table):
    rows = read()
    np.testing.assert_array_equal(rows.log_odds, log_odds(table))
    codes = table["label"].replace_strict(CLASSES, range(3)).to_numpy()
    np.testing.assert_array_equal(rows.codes, codes)
    np.testing.assert_array_equal(rows.weight, table["weight"])
    np.testing.assert_array_equal(rows.folds, table["fold"])
    base = table.select(f"score_{name}" for name in CLASSES).to_numpy()
    np.testing.assert_allclose(rows.reference, np.log(base / (1 - base)), rtol=1e-4, atol=1e-4)
    assert rows.distance is None


def test_weights_that_are_not_used_are_ones(read):
    rows = read(use_weights=False)
    assert set(rows.weight) == {1.0}


@pytest.mark.parametrize("most", [1, 100, 250])
def test_too_many_scores_leave_out_whole_groups(read, table, monkeypatch, most):
    monkeypatch.setattr(module, "MOST_SCORES", most * 6)  # two members, three classes
    rows = read()
    sizes = dict(table.group_by("group").len().iter_rows())
    # Which rows they are is told by their scores.
    said = [tuple(row) for row in log_odds(table).reshape(-1, 6).tolist()]
    place = dict(zip(said, table["group"], strict=True))
    taken = [place[tuple(row)] for row in rows.log_odds.reshape(-1, 6).tolist()]
    counts = {group: taken.count(group) for group in set(taken)}
    assert counts == {group: sizes[group] for group in counts}
    assert len(taken) <= most or len(counts) == 1
    again = read()
    np.testing.assert_array_equal(again.log_odds, rows.log_odds)


def test_more_room_keeps_the_groups_and_adds_some(read, monkeypatch):
    taken = []
    for most in (100, 200, 10**6):
        monkeypatch.setattr(module, "MOST_SCORES", most * 6)
        rows = read()
        taken.append({tuple(row) for row in rows.log_odds.reshape(-1, 6).tolist()})
    assert taken[0] < taken[1] < taken[2]


def test_rows_of_some_groups_alone(read, table):
    groups = table["group"].unique().sort()[:3]
    rows = read(groups=groups)
    expected = table.filter(pl.col("group").is_in(groups.implode()))
    np.testing.assert_array_equal(rows.log_odds, log_odds(expected))


def test_scores_are_streamed_as_they_stand(toy, table, monkeypatch):
    monkeypatch.setattr(tables, "BATCH_ROWS", 13)
    ensemble = load_model(toy.ensemble_files["ensemble"])
    parts = list(read_scores(toy.ensemble_files["scores"], ensemble))
    assert max(part.rows.height for part in parts) <= 13
    np.testing.assert_array_equal(
        np.concatenate([part.log_odds for part in parts]), log_odds(table)
    )


def test_scores_of_other_members_are_refused(toy, table, tmp_path):
    ensemble = load_model(toy.ensemble_files["ensemble"])
    table.drop(f"b001:{name}" for name in CLASSES).write_parquet(tmp_path / "scores.parquet")
    with pytest.raises(InputError, match=r"scores\.parquet holds the scores of other batches"):
        next(read_scores(tmp_path / "scores.parquet", ensemble))
