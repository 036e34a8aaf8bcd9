"""What genebatch.bootstrap promises."""

import time

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from sklearn.metrics import average_precision_score

from genebatch.io.files import InputError
from genebatch.metrics import bootstrap
from genebatch.metrics.bootstrap import (
    MIN_GROUPS,
    bootstrap_average_precision,
    bootstrap_mean,
    interval,
    positive_groups,
    why_no_interval,
)
from tests.builders.tables_and_figures import grouped


@pytest.mark.parametrize("weighted", [False, True])
def test_a_replicate_is_scikit_learn_on_the_rows_drawn(weighted):
    y, score, groups, weight = grouped()
    used = weight if weighted else np.ones(y.size)
    ours = bootstrap_average_precision(
        y, {"model": score}, groups, weight if weighted else None, n_replicates=25, seed=4
    )
    names = np.unique(groups)
    for replicate, times in enumerate(bootstrap.group_draws(names.size, 25, 4)):
        assert times.sum() == names.size
        rows = np.concatenate(
            [
                np.flatnonzero(groups == g)
                for g, n in zip(names, times, strict=True)
                for _ in range(int(n))
            ]
        )
        wanted = average_precision_score(y[rows], score[rows], sample_weight=used[rows])
        assert ours["model"][replicate] == pytest.approx(wanted, abs=1e-12)


@given(
    arrays(bool, 12),
    arrays(float, 12, elements=st.sampled_from([-np.inf, -1.0, 0.0, 1.0])),
    arrays(float, 12, elements=st.sampled_from([0.0, 1.0, 2.5])),
)
def test_average_precision_treats_ties_as_scikit_learn_does(y, score, weight):
    # One group: every replicate is the sample itself.
    ours = bootstrap_average_precision(y, {"s": score}, np.zeros(12, int), weight, n_replicates=1)
    if not weight[y].any():
        assert np.isnan(ours["s"][0])
        return
    finite = np.maximum(score, -9.0)
    wanted = average_precision_score(y, finite, sample_weight=weight)
    assert ours["s"][0] == pytest.approx(wanted)


def test_replicates_by_the_piece_are_those_of_one_product(monkeypatch):
    y, score, groups, weight = grouped()
    whole = bootstrap_average_precision(y, {"s": score}, groups, weight, 30, seed=2)
    monkeypatch.setattr(bootstrap, "MOST_SUMS", 100)
    pieces = bootstrap_average_precision(y, {"s": score}, groups, weight, 30, seed=2)
    np.testing.assert_allclose(pieces["s"], whole["s"], rtol=1e-12)


def test_every_score_sees_the_same_draws_whatever_stands_beside_it():
    y, score, groups, weight = grouped()
    both = bootstrap_average_precision(y, {"a": score, "b": -score}, groups, weight, 30, seed=2)
    alone = bootstrap_average_precision(y, {"b": -score}, groups, weight, 30, seed=2)
    same = bootstrap_average_precision(y, {"c": 2 * score}, groups, weight, 30, seed=2)
    other = bootstrap_average_precision(y, {"a": score}, groups, weight, 30, seed=3)
    np.testing.assert_array_equal(both["b"], alone["b"])
    np.testing.assert_array_equal(both["a"], same["c"])
    assert not np.array_equal(both["a"], other["a"])


def test_a_replicate_without_positive_rows_is_nan():
    y = np.array([True, False, False, False])
    ours = bootstrap_average_precision(y, {"s": y.astype(float)}, np.arange(4), None, 200)["s"]
    draws = np.array([times[0] for times in bootstrap.group_draws(4, 200, 0)])
    np.testing.assert_array_equal(np.isnan(ours), draws == 0)
    assert np.isnan(ours).any()
    assert (ours[draws > 0] == 1).all()
    none = bootstrap_average_precision(~y & False, {"s": np.arange(4.0)}, np.arange(4), None, 3)
    assert np.isnan(none["s"]).all()


def test_nan_scores_are_refused_by_name():
    with pytest.raises(InputError, match="'base' is NaN in 1 rows"):
        bootstrap_average_precision(
            np.array([True, False]), {"base": np.array([np.nan, 1])}, np.arange(2)
        )


def test_forty_thousand_rows_take_seconds():
    rng = np.random.default_rng(0)
    y, groups = rng.random(40_000) < 0.02, rng.integers(0, 1000, 40_000)
    scores = {"base": rng.normal(size=40_000), "model": rng.normal(size=40_000)}
    began = time.process_time()
    bootstrap_average_precision(y, scores, groups, n_replicates=500)
    assert time.process_time() - began < 5  # 0.25 s on a quiet core


def test_interval_holds_the_middle_of_the_values():
    assert interval(np.arange(101.0), 10, level=0.9) == pytest.approx((5.0, 95.0))


def test_interval_ignores_nan_and_needs_twenty_values():
    values = np.append(np.arange(20.0), [np.nan] * 5)
    assert interval(values, 10) == pytest.approx((0.475, 18.525))
    assert interval(values[1:], 10) is None


def test_few_groups_have_no_interval_however_many_resamples():
    values = np.arange(500.0)
    assert interval(values, MIN_GROUPS) is not None
    assert interval(values, MIN_GROUPS - 1) is None
    assert why_no_interval("donor", 1) == "only 1 test group with donor rows, fewer than 10"
    assert "only 9 test groups with donor rows" in why_no_interval("donor", 9)
    assert "too few resamples" in why_no_interval("donor", 10)


def test_only_groups_with_a_positive_row_that_weighs_something_count():
    y = np.array([True, True, False, True, True])
    groups = np.array(["a", "a", "b", "c", "d"])
    assert positive_groups(y, groups) == 3
    assert positive_groups(y, groups, np.array([0.0, 1.0, 1.0, 0.0, 2.0])) == 2


def test_mean_on_resampled_groups_is_the_mean_of_the_drawn_rows():
    groups = np.repeat(np.arange(12), 3)
    rng = np.random.default_rng(1)
    loss, weight = rng.random(36), rng.random(36)
    found = bootstrap_mean({"a": loss, "twice": 2 * loss}, groups, weight, n_replicates=4, seed=3)
    np.testing.assert_allclose(found["twice"], 2 * found["a"])
    draws = list(bootstrap.group_draws(12, 4, 3))
    for value, multiplicity in zip(found["a"], draws, strict=True):
        rows = np.repeat(np.arange(36), multiplicity[groups].astype(int))
        assert value == pytest.approx(np.average(loss[rows], weights=weight[rows]))


def test_mean_of_one_group_does_not_vary():
    found = bootstrap_mean({"a": np.array([1.0, 3.0])}, np.array([5, 5]), n_replicates=3)
    np.testing.assert_array_equal(found["a"], [2, 2, 2])
