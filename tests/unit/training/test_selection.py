"""What training.selection promises: the features that matter, by the rows of the fold alone."""

from dataclasses import replace

import numpy as np
import polars as pl
import pytest

from genebatch.config.settings import Selection
from genebatch.dataset.row_file import RowFile
from genebatch.training import selection
from genebatch.training.batch import load_batch
from genebatch.training.cross_validation import cross_validate
from genebatch.training.recipe import train_member
from genebatch.training.selection import Pilot, draw
from tests.builders.row_files import with_feature

SELECT = Selection(top=2, share=1.0, max_rows=100_000, rounds=10)


@pytest.fixture
def learner(toy):
    """The learner of the small run, with a selection of two features."""
    return replace(toy.settings.learner, select=SELECT)


def planted(toy, path, learner):
    """The first batch, in which a feature tells donors of fold 0, and of no other fold."""
    file = RowFile.open(toy.paths("b000")["rows"])
    rows = file.identity
    donor = (rows["label"] == "donor").to_numpy() & (rows["fold"] == 0).to_numpy()
    noise = np.random.default_rng(1).integers(0, 2, len(donor))
    values = np.where(rows["fold"] == 0, 10.0 * donor, noise)
    copy = with_feature(file, path, "planted", pl.Series(values, dtype=pl.Float32))
    return load_batch(copy, learner)


def test_a_feature_that_is_good_in_the_held_out_fold_only_is_not_picked(toy, tmp_path, learner):
    data = planted(toy, tmp_path / "b000.arrow", learner)
    place = data.features.names.index("planted")
    fold = data.rows["fold"].to_numpy()
    pilot = Pilot(data, learner)
    assert place not in pilot.columns(1, fold != 0)
    for others in (fold != 1, fold != 2, fold >= 0):  # fold 0 is among the training rows
        assert place in pilot.columns(1, others)


def test_boosters_see_the_picked_features_only(toy, tmp_path, learner):
    data = planted(toy, tmp_path / "b000.arrow", learner)
    result = cross_validate(data, toy.settings.cv, learner)
    assert set(result.folds["n_features"]) == {2}
    place = f"f{data.features.names.index('planted')}"
    for member in result.members:
        scores = [booster.get_score() for booster in member.boosters]
        assert all(len(found) <= 2 for found in scores)
        assert (place in scores[1]) == (member.facts["fold"] != 0)
    whole = train_member(data, "b000", dict.fromkeys(data.classes, 5), learner)
    assert place in whole.boosters[1].get_score()


def test_labels_outside_of_the_training_rows_pick_nothing(toy, learner):
    data = load_batch(RowFile.open(toy.paths("b000")["rows"]), learner)
    train = data.rows["fold"].to_numpy() != 1
    shuffled = np.where(train, data.codes, (data.codes + 1) % 3)
    # The draw is by class, so all rows are drawn.
    one, other = (Pilot(data._replace(codes=c), learner) for c in (data.codes, shuffled))
    for column in range(3):
        assert one.columns(column, train).tolist() == other.columns(column, train).tolist()


def test_with_few_features_or_no_selection_all_are_picked(toy, learner):
    data = load_batch(RowFile.open(toy.paths("b000")["rows"]), learner)
    n = len(data.features.names)
    train = np.ones(len(data.codes), bool)
    for select in (None, replace(SELECT, top=n)):
        pilot = Pilot(data, replace(learner, select=select))
        assert pilot.matrix is None
        assert pilot.columns(0, train).tolist() == list(range(n))


def test_a_pilot_that_finds_no_split_leaves_nothing_out(toy, learner):
    strict = replace(learner, min_child_weight=1e9)
    data = load_batch(RowFile.open(toy.paths("b000")["rows"]), strict)
    train = np.ones(len(data.codes), bool)
    found = Pilot(data, strict).columns(0, train)
    assert found.tolist() == list(range(len(data.features.names)))


def test_soft_targets_pick_by_the_target_and_not_by_the_class(toy, learner):
    data = load_batch(RowFile.open(toy.paths("b000")["rows"]), learner)
    train = np.ones(len(data.codes), bool)
    pilot = Pilot(data, learner)
    constant = np.full(len(data.codes), 0.5, np.float32)
    assert len(pilot.columns(1, train)) == 2
    assert pilot.columns(1, train, constant).tolist() != pilot.columns(1, train).tolist()


# The draw


def test_rows_are_drawn_in_proportion_to_their_class():
    codes = np.repeat([0, 1, 2], [60_000, 20_000, 20_000])
    rows, factor = draw(codes, Selection(75, 0.25, 100_000, 40), seed=1)
    assert np.bincount(codes[rows]).tolist() == [15_000, 5_000, 5_000]
    assert (factor == 1).all()
    assert (np.diff(rows) > 0).all()


def test_no_more_rows_are_drawn_than_allowed():
    rows, _ = draw(np.repeat([0, 1], [50_000, 50_000]), Selection(75, 0.5, 8_000, 40), seed=1)
    assert len(rows) == 8_000


def test_rare_classes_are_drawn_whole_and_weigh_as_much_as_before():
    codes = np.repeat([0, 1, 2], [97_000, 2_500, 500])
    rows, factor = draw(codes, Selection(75, 0.1, 100_000, 40), seed=1)
    assert np.bincount(codes[rows]).tolist() == [9_700, selection.LEAST_ROWS, 500]
    assert np.bincount(codes[rows], factor) == pytest.approx([9_700, 250, 50])


def test_the_draw_is_seeded():
    codes = np.repeat([0, 1], [40_000, 10_000])
    select = Selection(75, 0.2, 100_000, 40)
    one, again, other = (draw(codes, select, seed)[0].tolist() for seed in (1, 1, 2))
    assert one == again
    assert one != other
