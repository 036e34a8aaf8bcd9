"""Metrics of one class: their values, their reasons for none, and reliability."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from genebatch.io.files import InputError
from genebatch.metrics import binary as metrics
from genebatch.metrics.binary import (
    METRICS,
    Metric,
    binary_losses,
    log_loss_rows,
    own_log_loss,
    reliability,
)
from tests.builders.tables_and_figures import grouped, value

# One number per metric, by hand.

Y = [1, 0, 1, 0]
P = [0.9, 0.8, 0.4, 0.1]


@pytest.mark.parametrize(
    ("metric", "unweighted", "weighted"),
    [
        ("average_precision", (1 + 2 / 3) / 2, (1 + 2 / 5) / 2),
        ("auc", 3 / 4, ((3 + 1) + 1) / (2 * 4)),
        ("f1", 2 / (2 + 1 + 1), 2 / (2 + 3 + 1)),
        (
            "log_loss",
            -np.log([0.9, 0.2, 0.4, 0.9]).mean(),
            -(np.log([0.9, 0.4, 0.9]).sum() + 3 * np.log(0.2)) / 6,
        ),
        ("brier", (0.01 + 0.64 + 0.36 + 0.01) / 4, (0.01 + 3 * 0.64 + 0.36 + 0.01) / 6),
        ("ece", (0.1 + 0.8 + 0.6 + 0.1) / 4, (0.1 + 3 * 0.8 + 0.6 + 0.1) / 6),
    ],
)
def test_metric_has_the_value_worked_out_by_hand(metric, unweighted, weighted):
    assert value(metric, Y, P) == pytest.approx(unweighted)
    assert value(metric, Y, P, weight=[1, 3, 1, 1]) == pytest.approx(weighted)


@pytest.mark.parametrize("metric", sorted(set(METRICS) - {"top_k"}))
def test_a_whole_weight_is_that_many_copies_of_the_row(metric):
    y, score, _, _ = grouped()
    probability = 1 / (1 + np.exp(-score))
    copies = np.random.default_rng(1).integers(0, 4, y.size)
    repeated = value(metric, np.repeat(y, copies), np.repeat(probability, copies))
    assert value(metric, y, probability, weight=copies) == pytest.approx(repeated)


@pytest.mark.parametrize("metric", sorted(set(METRICS) - {"top_k"}))
def test_the_unit_of_the_weights_does_not_matter(metric):
    y, score, _, weight = grouped()
    probability = 1 / (1 + np.exp(-score))
    once = value(metric, y, probability, weight=weight)
    assert value(metric, y, probability, weight=1e4 * weight) == pytest.approx(once)


@pytest.mark.parametrize(
    ("metric", "y", "reason"),
    [
        ("average_precision", [0, 0], "no positive rows"),
        ("auc", [0, 0], "no positive rows"),
        ("auc", [1, 1], "no negative rows"),
        ("f1", [0, 0], "no positive rows"),
        ("log_loss", [], "no rows"),
        ("brier", [], "no rows"),
        ("ece", [], "no rows"),
    ],
)
def test_a_metric_that_is_not_defined_is_null_with_the_reason(metric, y, reason):
    score = METRICS[metric](np.array(y, bool), np.full(len(y), 0.3), None, None)
    assert score == Metric(None, reason)


def test_positive_rows_without_weight_are_no_positive_rows():
    score = METRICS["auc"](np.array([True, False]), np.array([0.9, 0.1]), np.array([0.0, 1]), None)
    assert score == Metric(None, "no positive rows with a weight above zero")


def test_rows_of_one_class_still_have_a_log_loss_and_a_brier_score():
    assert value("log_loss", [0, 0], [0.5, 0.5]) == pytest.approx(np.log(2))
    assert value("brier", [1, 1], [0.5, 0.0]) == pytest.approx((0.25 + 1) / 2)


def test_log_loss_of_a_certain_float32_error_is_bounded():
    y = np.array([False, True])
    certain = METRICS["log_loss"](y, np.array([1.0, 0.0], dtype=np.float32), None, None)
    assert certain.value == pytest.approx(-np.log(metrics.CLIP))


@pytest.mark.parametrize("probability", [[0.2, np.nan], [0.2, 1.1], [-3.0, 4.0]])
@pytest.mark.parametrize("metric", sorted(METRICS))
def test_what_is_no_probability_is_refused(metric, probability):
    with pytest.raises(InputError, match="NaN or outside 0 to 1"):
        METRICS[metric](np.array([True, False]), np.array(probability), None, np.zeros(2, int))


@pytest.mark.parametrize("weight", [[1.0, -1.0], [1.0, np.nan], [1.0, np.inf]])
def test_weights_that_are_none_are_refused(weight):
    with pytest.raises(InputError, match="row weights"):
        METRICS["auc"](np.array([True, False]), np.array([0.9, 0.1]), np.array(weight), None)


# top_k


def test_top_k_is_the_mean_over_groups_with_a_positive_row():
    y = [1, 0, 1, 0, 1, 0, 0]
    probability = [0.9, 0.8, 0.1, 0.1, 0.7, 0.2, 0.6]
    groups = [5, 5, 5, 9, 9, 9, 2]
    assert value("top_k", y, probability, groups=groups) == pytest.approx((1 / 2 + 1) / 2)


def test_a_tie_across_rank_k_counts_with_its_expected_value():
    # One positive among three tied rows, one place left for them after the leading positive.
    assert value("top_k", [1, 1, 0, 0], [0.9, 0.5, 0.5, 0.5], groups=[0] * 4) == pytest.approx(
        (1 + 1 / 3) / 2
    )


def test_constant_scores_have_the_top_k_of_random_order():
    assert value("top_k", [1, 0, 0, 0, 0], [0.3] * 5, groups=[1] * 5) == pytest.approx(1 / 5)


def test_top_k_without_groups_is_null_with_the_reason():
    assert METRICS["top_k"](np.array([True]), np.array([0.5]), None, None).reason == (
        "no groups given"
    )


@given(st.integers(0, 10_000))
def test_top_k_equals_the_count_group_by_group(seed):
    rng = np.random.default_rng(seed)
    n_rows = int(rng.integers(1, 40))
    y, groups = rng.random(n_rows) < 0.4, rng.integers(0, 5, n_rows)
    probability = rng.permutation(n_rows) / n_rows
    shares = []
    for group in np.unique(groups[y]):
        mine = groups == group
        k = y[mine].sum()
        shares.append(y[mine][np.argsort(-probability[mine])[:k]].mean())
    if shares:
        assert value("top_k", y, probability, groups=groups) == pytest.approx(np.mean(shares))


# reliability


def test_reliability_has_the_means_of_each_bin_that_has_rows():
    table = reliability([0, 1, 1, 1], [0.05, 0.15, 0.9, 1.0], weight=[1, 3, 2, 2], n_bins=5)
    assert table["bin"].to_list() == [0, 4]
    assert table["n"].to_list() == [2, 2]
    assert table["weight"].to_list() == [4.0, 4.0]
    assert table["mean_probability"].to_list() == pytest.approx([0.5 / 4, 0.95])
    assert table["observed"].to_list() == pytest.approx([3 / 4, 1.0])


def test_a_bin_without_weight_is_left_out():
    table = reliability([0, 1], [0.1, 0.9], weight=[1, 0])
    assert table["n"].to_list() == [1]


def test_ece_is_small_where_rates_are_as_predicted_and_large_where_not():
    rng = np.random.default_rng(0)
    probability = rng.beta(0.3, 3, 20_000)
    y = rng.random(20_000) < probability
    assert value("ece", y, probability) < 0.01
    assert value("ece", y, np.sqrt(probability)) > 0.1


# log_loss_rows


def test_log_loss_rows_is_exact_at_extreme_margins():
    loss = log_loss_rows(np.array([1, 0, 1, 0]), np.array([1000, 1000, -1000, 0], np.float32))
    assert loss.dtype == np.float64
    assert loss.tolist() == pytest.approx([0.0, 1000.0, 1000.0, np.log(2)])


def test_log_loss_rows_has_the_mean_of_the_metric():
    y, margin, _, weight = grouped()
    mean = np.average(log_loss_rows(y, margin), weights=weight)
    assert mean == pytest.approx(value("log_loss", y, 1 / (1 + np.exp(-margin)), weight=weight))


def test_losses_of_rows_have_the_metrics_as_their_means():
    y, probability = np.array([True, False, False, True]), np.array([0.9, 0.2, 1.0, 0.4])
    found = binary_losses(y, probability)
    for name, values in found.items():
        assert values.mean() == pytest.approx(METRICS[name](y, probability).value)
    own = np.where(y, probability, 1 - probability)
    np.testing.assert_allclose(own_log_loss(own)[[0, 1, 3]], found["log_loss"][[0, 1, 3]])
    assert own_log_loss(np.zeros(1)) == pytest.approx(-np.log(1e-9))
