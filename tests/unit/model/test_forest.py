"""What model.forest promises: the bits of XGBoost's predictions, from flat arrays."""

import numpy as np
import pytest
import xgboost as xgb
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import sparse

from genebatch.dataset.feature_set import Features
from genebatch.model import boosting, forest
from genebatch.model.forest import Scorer, flattened, in_columns

N_ROWS = 700  # more than twice as many as stand side by side
EVERY = np.arange(6)


def trained(x, y, n_trees, **changed):
    given = {"objective": "binary:logistic", "max_depth": 4, "nthread": 1, "subsample": 0.7}
    return xgb.train(given | changed, xgb.DMatrix(x, y), n_trees)


def made(seed=0, values=20):
    """Rows of few values, so that many equal a threshold; a tenth is missing, and labels."""
    rng = np.random.default_rng(seed)
    x = rng.integers(0, values, (N_ROWS, 6)).astype(np.float32)
    y = rng.random(N_ROWS) < (x[:, 0] + x[:, 3]) / (2 * values)
    x[rng.random(x.shape) < 0.1] = np.nan
    return x, y, rng.normal(size=N_ROWS).astype(np.float32)


def by_xgboost(boosters, block, start):
    matrix = boosting.to_matrix(block, 1)
    return np.array([boosting.predict_margin(booster, matrix, start) for booster in boosters])


def by_forest(boosters, block, start, threads=1):
    margins = np.tile(start, (len(boosters), 1))
    flattened(boosters, EVERY).add_to(margins, in_columns(block), threads)
    return margins


@pytest.mark.parametrize("depth", [1, 4, 6])
@pytest.mark.parametrize("threads", [1, 2])
def test_margins_are_those_of_xgboost_bit_for_bit(depth, threads, monkeypatch):
    monkeypatch.setattr(forest, "RANKED", 300)
    x, y, start = made()
    boosters = [trained(x, y, n, max_depth=depth, seed=n) for n in (30, 1, 7)]
    found = by_forest(boosters, x, start, threads)
    np.testing.assert_array_equal(found, by_xgboost(boosters, x, start))
    assert np.ptp(found - start) > 0.1


def test_absent_cells_are_missing_and_stored_zeros_are_not():
    x, y, start = made()
    block = sparse.csr_matrix(np.nan_to_num(x))  # zeros and missing values are absent alike
    block.data[:50] = 0
    boosters = [trained(block, y, 20)]
    expected = by_xgboost(boosters, block, start)
    np.testing.assert_array_equal(by_forest(boosters, block, start), expected)
    zeros = np.nan_to_num(in_columns(block)).T
    assert (by_forest(boosters, zeros, start) != expected).any()


def test_trees_without_a_split_add_their_leaf():
    x, y, start = made()
    boosters = [trained(x, np.ones(N_ROWS), 3, max_depth=2), trained(x, y, 2)]
    expected = by_xgboost(boosters, x, start)
    np.testing.assert_array_equal(by_forest(boosters, x, start), expected)
    alone = by_forest(boosters[:1], x, start)
    np.testing.assert_array_equal(alone, expected[:1])


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 10_000), st.integers(1, 6), st.sampled_from([2, 5, 1_000]))
def test_any_trees_give_the_bits_of_xgboost(seed, depth, values):
    x, y, start = made(seed, values)
    boosters = [trained(x, y, 4, max_depth=depth, seed=seed)]
    np.testing.assert_array_equal(by_forest(boosters, x, start), by_xgboost(boosters, x, start))


def test_trees_that_do_not_fit_are_left_to_xgboost(monkeypatch):
    x, y, _ = made()
    assert flattened([trained(x, y, 2, max_depth=9, min_child_weight=0)], EVERY) is None
    assert flattened([trained(x, y, 2, booster="dart")], EVERY) is None
    monkeypatch.setattr(forest, "MOST_THRESHOLDS", 3)
    assert flattened([trained(x, y, 20)], EVERY) is None


@pytest.mark.parametrize("starts", [True, False])
def test_a_scorer_changes_its_way_and_no_bit(starts, monkeypatch):
    x, y, margin = made()
    boosters, start = [trained(x, y, 10), trained(x, y, 5)], margin if starts else None
    scorer = Scorer(boosters, Features(tuple("abcdef"), 6), EVERY, 1)
    first = scorer.margins(x, [start] * 2)
    assert "forest" not in vars(scorer)
    monkeypatch.setattr(forest, "WORTH", scorer.asked)
    second = scorer.margins(x, [start] * 2)
    assert ("forest" in vars(scorer)) == starts
    np.testing.assert_array_equal(first, second)
    np.testing.assert_array_equal(first, by_xgboost(boosters, x, start))


def test_only_used_features_are_given(monkeypatch):
    monkeypatch.setattr(forest, "WORTH", 0)
    x, y, start = made()
    x[:, [1, 2]] = 1  # never split on
    used = np.array([0, 3, 4, 5])
    boosters = [trained(x, y, 10)]
    scorer = Scorer(boosters, Features(tuple("abcdef"), 6), used, 1)
    found = scorer.margins(x[:, used], [start])
    np.testing.assert_array_equal(found, by_xgboost(boosters, x, start))


def test_the_loop_is_compiled_where_it_cannot_be_kept(monkeypatch):
    import numba

    njit = numba.njit

    def no_folder(*functions, **given):  # Numba calls it as well, while it compiles
        if given.get("cache"):
            raise RuntimeError("no locator available")
        return njit(*functions, **given)

    monkeypatch.setattr(numba, "njit", no_folder)
    forest.compiled.cache_clear()
    x, y, start = made()
    boosters = [trained(x, y, 3)]
    np.testing.assert_array_equal(by_forest(boosters, x, start), by_xgboost(boosters, x, start))
    forest.compiled.cache_clear()


def test_trees_with_sets_of_categories_are_left_to_xgboost():
    x, y, start = made()
    given = {"feature_types": ["c", *"q" * 5], "enable_categorical": True}
    booster = xgb.train({"objective": "binary:logistic"}, xgb.DMatrix(x, y, **given), 5)
    assert flattened([booster], EVERY) is None
    features = Features(tuple("abcdef"), 6, {"a": tuple(map(str, range(20)))})
    scorer = Scorer([booster], features, EVERY, 1)
    scorer.asked = forest.WORTH
    np.testing.assert_array_equal(scorer.margins(x, [start]), by_xgboost([booster], x, start))
