"""What genebatch.metrics promises."""

import time

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from sklearn.metrics import average_precision_score, log_loss

from genebatch import metrics
from genebatch.files import InputError
from genebatch.metrics import (
    METRICS,
    Metric,
    bootstrap_average_precision,
    corrections,
    interval,
    log_loss_rows,
    reliability,
    score_table,
)

CLASSES = ["neither", "donor", "acceptor"]


def value(metric, y, probability, weight=None, groups=None):
    arrays = (None if a is None else np.asarray(a) for a in (weight, groups))
    score = METRICS[metric](np.asarray(y, bool), np.asarray(probability, float), *arrays)
    assert score.reason is None
    return score.value


def cell(table, name, metric, weighted=False):
    row = table.filter(
        (pl.col("class") == name) & (pl.col("metric") == metric) & (pl.col("weighted") == weighted)
    )
    return row.select("value", "reason").row(0)


def grouped(seed=0, n_rows=300, n_groups=12):
    """Rows with tied scores, uneven groups and weights of which some are zero."""
    rng = np.random.default_rng(seed)
    y = rng.random(n_rows) < 0.2
    score = np.round(rng.normal(size=n_rows) + y, 1)
    groups = rng.integers(0, n_groups, n_rows) * 7 - 3
    weight = rng.choice([0.0, 0.5, 1.0, 3.0], n_rows)
    return y, score, groups, weight


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


def test_top_k_ignores_weights_but_the_table_does_not_call_it_weighted():
    y, score, groups, weight = grouped()
    p = 1 / (1 + np.exp(-score))
    assert value("top_k", y, p, groups=groups, weight=weight) == value("top_k", y, p, groups=groups)
    table = score_table(y.astype(int), np.column_stack([1 - p, p]), ["no", "yes"], weight, groups)
    assert cell(table, "yes", "top_k")[0] == value("top_k", y, p, groups=groups)
    assert cell(table, "yes", "top_k", weighted=True) == (
        None,
        "counts rows, which weights do not change",
    )


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


# score_table

CODES = np.array([0, 0, 1, 2])
PROBABILITY = np.array([[0.8, 0.1, 0.1], [0.2, 0.7, 0.1], [0.3, 0.6, 0.1], [0.1, 0.1, 0.8]])


def test_score_table_has_every_metric_of_every_class_once():
    table = score_table(CODES, PROBABILITY, CLASSES, groups=np.zeros(4, int), system="base")
    overall = {"accuracy", "macro_f1", "log_loss", "macro_average_precision"}
    wanted = {(name, metric) for name in CLASSES for metric in METRICS}
    wanted |= {("all", metric) for metric in overall}
    assert table.columns == ["system", "class", "metric", "weighted", "value", "reason"]
    assert set(table.select("class", "metric").rows()) == wanted
    assert table.height == len(wanted)
    assert table["system"].unique().to_list() == ["base"]
    assert not table["weighted"].any()
    assert table.schema["value"] == pl.Float64
    assert table.schema["reason"] == pl.String


def test_weights_add_the_weighted_rows_and_leave_the_others_alone():
    plain = score_table(CODES, PROBABILITY, CLASSES)
    both = score_table(CODES, PROBABILITY, CLASSES, weight=np.array([1.0, 2.0, 1.0, 1.0]))
    assert both.filter(~pl.col("weighted")).equals(plain)
    assert both.filter("weighted").height == plain.height


def test_metrics_of_all_classes_have_the_values_worked_out_by_hand():
    table = score_table(CODES, PROBABILITY, CLASSES, weight=np.array([1.0, 2.0, 1.0, 1.0]))
    assert cell(table, "all", "accuracy")[0] == pytest.approx(3 / 4)
    assert cell(table, "all", "accuracy", weighted=True)[0] == pytest.approx(3 / 5)
    assert cell(table, "all", "macro_f1")[0] == pytest.approx((2 / 3 + 2 / 3 + 1) / 3)
    own = -np.log([0.8, 0.2, 0.6, 0.8])
    assert cell(table, "all", "log_loss")[0] == pytest.approx(own.mean())
    assert cell(table, "all", "log_loss", weighted=True)[0] == pytest.approx(
        np.average(own, weights=[1, 2, 1, 1])
    )
    precision = [(1 + 2 / 3) / 2, 1 / 2, 1]
    assert cell(table, "all", "macro_average_precision")[0] == pytest.approx(np.mean(precision))


def test_multiclass_log_loss_agrees_with_scikit_learn():
    rng = np.random.default_rng(3)
    probability = rng.dirichlet(np.ones(3), 50)
    codes, weight = rng.integers(0, 3, 50), rng.random(50) + 0.1
    table = score_table(codes, probability.astype(np.float32), CLASSES, weight)
    wanted = log_loss(codes, probability, sample_weight=weight)
    assert cell(table, "all", "log_loss", weighted=True)[0] == pytest.approx(wanted, rel=1e-5)


def test_a_class_without_rows_leaves_no_macro_mean():
    table = score_table(CODES[:3], PROBABILITY[:3], CLASSES)
    assert cell(table, "all", "macro_f1") == (None, "acceptor: no positive rows")
    assert cell(table, "acceptor", "auc") == (None, "no positive rows")
    assert cell(table, "all", "accuracy")[0] == pytest.approx(2 / 3)


def test_rows_that_do_not_sum_to_one_have_no_multiclass_log_loss():
    score, reason = cell(score_table(CODES, PROBABILITY * 0.9, CLASSES), "all", "log_loss")
    assert score is None
    assert "do not sum to 1 (off by up to 0.1)" in reason


def test_a_null_always_has_a_reason_and_a_value_never():
    tables = [
        score_table(CODES[:n], PROBABILITY[:n], CLASSES, weight)
        for n in (0, 1, 3, 4)
        for weight in (None, np.zeros(n), np.ones(n))
    ]
    table = pl.concat(tables)
    assert (table["value"].is_null() == table["reason"].is_not_null()).all()
    assert table["value"].drop_nulls().is_finite().all()


@pytest.mark.parametrize(
    ("codes", "probability", "message"),
    [
        (CODES, PROBABILITY[:, :2], "4 rows x 3 classes"),
        (CODES[:3], PROBABILITY, "3 rows x 3 classes"),
        (CODES + 1, PROBABILITY, "from 1 to 3, wanted 0 to 2"),
        (CODES - 1, PROBABILITY, "from -1 to 1, wanted 0 to 2"),
    ],
)
def test_shapes_and_codes_that_do_not_fit_are_refused(codes, probability, message):
    with pytest.raises(InputError, match=message):
        score_table(codes, probability, CLASSES)


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


# bootstrap


@pytest.mark.parametrize("weighted", [False, True])
def test_a_replicate_is_scikit_learn_on_the_rows_drawn(weighted):
    y, score, groups, weight = grouped()
    used = weight if weighted else np.ones(y.size)
    ours = bootstrap_average_precision(
        y, {"model": score}, groups, weight if weighted else None, n_replicates=25, seed=4
    )
    names = np.unique(groups)
    for replicate, times in enumerate(metrics._draws(names.size, 25, 4)):
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
    draws = np.array([times[0] for times in metrics._draws(4, 200, 0)])
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


# interval


def test_interval_holds_the_middle_of_the_values():
    assert interval(np.arange(101.0), level=0.9) == pytest.approx((5.0, 95.0))


def test_interval_ignores_nan_and_needs_twenty_values():
    values = np.append(np.arange(20.0), [np.nan] * 5)
    assert interval(values) == pytest.approx((0.475, 18.525))
    assert interval(values[1:]) is None


# corrections


def test_corrections_counts_both_directions_per_true_class():
    codes = [0, 0, 0, 1, 1]
    base = np.eye(2)[[0, 1, 1, 0, 1]]
    model = np.eye(2)[[1, 0, 1, 1, 1]]
    table = corrections(codes, base, model, ["no", "yes"], weight=[1, 2, 4, 8, 16])
    assert table.to_dict(as_series=False) == {
        "class": ["no", "yes", "all"],
        "n": [3, 2, 5],
        "corrected": [1, 1, 2],
        "made": [1, 0, 1],
        "n_weight": [7.0, 24.0, 31.0],
        "corrected_weight": [2.0, 8.0, 10.0],
        "made_weight": [1.0, 0.0, 1.0],
    }


def test_corrections_without_weights_has_no_weighted_columns():
    table = corrections(CODES, PROBABILITY, PROBABILITY, CLASSES)
    assert table.columns == ["class", "n", "corrected", "made"]
    assert table["corrected"].sum() == table["made"].sum() == 0
