"""What a plan means for the single model."""

import pytest

from genebatch.config.settings import SingleModel
from genebatch.plan.single import ONE_BATCH, final_of, held_out_folds, left_out_with

MANIFEST = [{"groups": "400", "folds": "3"}, {"groups": 500, "folds": 3}]  # as text too


@pytest.mark.parametrize(
    ("n_splits", "folds"), [("auto", [0]), (1, [0]), (2, [0, 1]), (3, [0, 1, 2])]
)
def test_folds_that_are_held_out(n_splits, folds):
    """With 900 groups a fold of three has 300, which tell enough."""
    assert list(held_out_folds(MANIFEST, SingleModel(n_splits, None), False)) == folds


def test_all_folds_are_held_out_where_one_has_few_groups():
    manifest = [MANIFEST[0]]
    assert list(held_out_folds(manifest, SingleModel("auto", None), False)) == [0, 1, 2]


@pytest.mark.parametrize(("n_splits", "folds"), [("auto", [0, 1, 2]), (1, [0]), (2, [0, 1])])
def test_a_spread_needs_all_folds_unless_their_number_is_given(n_splits, folds):
    assert list(held_out_folds(MANIFEST, SingleModel(n_splits, None), True)) == folds


@pytest.mark.parametrize("final", ["single", "both"])
def test_model_of_the_only_batch_is_the_single_model(final):
    assert final_of(final, 1) == "ensemble"
    assert final_of(final, 2) == final


@pytest.mark.parametrize("final", ["best", "ensemble", "distilled"])
def test_other_candidates_do_not_depend_on_the_batches(final):
    assert final_of(final, 1) == final_of(final, 2) == final


def test_the_single_model_takes_with_it_what_is_made_of_it():
    beside = ("both", "distilled", "single")
    assert left_out_with(None, beside) == {}
    assert left_out_with(ONE_BATCH, beside) == {"both": ONE_BATCH, "single": ONE_BATCH}
    assert left_out_with(ONE_BATCH, ["distilled"]) == {}
