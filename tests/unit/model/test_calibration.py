"""Calibrators rise with the margin, are chosen on held-out rows, and survive JSON."""

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.special import expit, logit

from genebatch.io.files import InputError
from genebatch.metrics.binary import CLIP, METRICS
from genebatch.model.calibration import APPLY, CALIBRATORS, NAMES, Calibrator, choose, cross_fit

METHODS = sorted(CALIBRATORS)
FITTED = sorted(set(CALIBRATORS) - {"identity"})


def sample(seed=0, n_rows=4000, slope=1.0, shift=0.0):
    """Labels drawn from true log-odds, and margins of which these are slope * margin + shift."""
    rng = np.random.default_rng(seed)
    truth = rng.normal(-1.0, 2.0, n_rows)
    y = rng.random(n_rows) < expit(truth)
    return (truth - shift) / slope, y, rng.integers(0, 5, n_rows)


def loss(y, probability, weight=None):
    return METRICS["log_loss"](y, probability, weight, None).value


# Methods


def test_identity_is_the_logistic():
    assert Calibrator("identity", {}).apply([0.0, np.log(3)]).tolist() == pytest.approx([0.5, 0.75])


def test_sigmoid_meets_both_rates_of_two_margins():
    # 1 of 4 rows at margin -1, 3 of 4 at margin 1: slope ln 3, intercept 0.
    margin, y = np.repeat([-1.0, 1.0], 4), np.array([1, 0, 0, 0, 1, 1, 1, 0])
    fit = CALIBRATORS["sigmoid"](margin, y)
    assert fit.parameters["slope"] == pytest.approx(np.log(3), rel=1e-5)
    assert fit.parameters["intercept"] == pytest.approx(0.0, abs=1e-5)


def test_isotonic_pools_neighbours_that_fall_and_joins_the_steps():
    margin, y = np.array([0.0, 1.0, 2.0, 3.0]), np.array([0, 1, 0, 1])
    fit = CALIBRATORS["isotonic"](margin, y)
    floor = 1 / 6  # one row more with the other label
    assert fit.parameters["x"] == [0.0, 1.0, 2.0, 3.0]
    assert fit.parameters["y"] == pytest.approx([floor, 0.5, 0.5, 1 - floor])
    assert fit.apply([-9, 0.5, 1.7, 9]).tolist() == pytest.approx(
        [floor, (floor + 0.5) / 2, 0.5, 1 - floor]
    )


def test_beta_finds_the_map_it_was_drawn_from():
    rng = np.random.default_rng(1)
    margin = rng.normal(0, 3, 100_000)
    truth = Calibrator("beta", {"a": 0.5, "b": 2.0, "c": -0.4})
    y = rng.random(margin.size) < truth.apply(margin)
    fit = CALIBRATORS["beta"](margin, y).parameters
    assert [fit["a"], fit["b"], fit["c"]] == pytest.approx([0.5, 2.0, -0.4], abs=0.08)


def test_beta_with_equal_slopes_is_the_sigmoid():
    margin = np.linspace(-40, 40, 17)
    same = Calibrator("beta", {"a": 0.7, "b": 0.7, "c": 0.2})
    np.testing.assert_allclose(
        same.apply(margin), Calibrator("sigmoid", {"slope": 0.7, "intercept": 0.2}).apply(margin)
    )


def test_a_negative_beta_slope_becomes_zero_and_the_other_is_fitted_again():
    rng = np.random.default_rng(2)
    margin = rng.normal(0, 3, 20_000)
    log_p = -np.logaddexp(0, -margin)
    y = rng.random(margin.size) < expit(log_p - 0.3 * np.logaddexp(0, margin) + 1)
    fit = CALIBRATORS["beta"](margin, y)
    assert fit.parameters["b"] == 0.0
    best = fit.parameters["a"]
    for a in (best * 0.98, best * 1.02):
        other = Calibrator("beta", fit.parameters | {"a": a})
        assert loss(y, other.apply(margin)) > loss(y, fit.apply(margin))


@pytest.mark.parametrize("method", FITTED)
def test_margins_that_point_the_wrong_way_give_the_weighted_share_of_positive_rows(method):
    margin, y, _ = sample()
    weight = np.where(y, 1.0, 3.0)
    fit = CALIBRATORS[method](-margin, y, weight)
    share = np.average(y, weights=weight)
    np.testing.assert_allclose(fit.apply([-5.0, 0.0, 5.0]), share, rtol=1e-6)


@pytest.mark.parametrize("method", ["sigmoid", "beta"])
def test_classes_that_do_not_overlap_give_a_finite_slope(method):
    margin = np.append(np.linspace(-5, -1, 50), np.linspace(1, 5, 50))
    fit = CALIBRATORS[method](margin, margin > 0)
    assert np.isfinite(list(fit.parameters.values())).all()
    assert fit.apply([-1.0])[0] < 0.01 < 0.99 < fit.apply([1.0])[0]


@pytest.mark.parametrize("method", METHODS)
def test_a_whole_weight_is_that_many_copies_of_the_row(method):
    margin, y, _ = sample(n_rows=500)
    copies = np.random.default_rng(1).integers(0, 4, y.size)
    weighted = CALIBRATORS[method](margin, y, copies).apply(margin)
    repeated = CALIBRATORS[method](np.repeat(margin, copies), np.repeat(y, copies)).apply(margin)
    np.testing.assert_allclose(weighted, repeated, rtol=1e-4)


@pytest.mark.parametrize("method", METHODS)
def test_the_unit_of_the_weights_does_not_matter(method):
    margin, y, _ = sample(n_rows=500)
    weight = np.where(y, 1.0, 20.0)
    once = CALIBRATORS[method](margin, y, weight).apply(margin)
    np.testing.assert_allclose(CALIBRATORS[method](margin, y, 1e-12 * weight).apply(margin), once)


@pytest.mark.parametrize("method", FITTED)
def test_the_fitted_mean_is_the_weighted_share_of_positive_rows(method):
    margin, y, _ = sample(slope=0.4, shift=1.0)
    weight = np.where(y, 1.0, 5.0)
    mean = np.average(CALIBRATORS[method](margin, y, weight).apply(margin), weights=weight)
    assert mean == pytest.approx(np.average(y, weights=weight), abs=1e-3)


@pytest.mark.parametrize("method", FITTED)
def test_a_fit_needs_both_classes_with_weight(method):
    with pytest.raises(InputError, match="no positive rows with a weight above zero"):
        CALIBRATORS[method](np.array([0.0, 1.0]), np.array([0, 1]), np.array([1.0, 0.0]))


# Every calibrator


@pytest.mark.parametrize("method", METHODS)
@given(seed=st.integers(0, 1000), scale=st.sampled_from([0.01, 1.0, 30.0]))
def test_probability_never_falls_as_the_margin_rises(method, seed, scale):
    rng = np.random.default_rng(seed)
    margin = scale * rng.normal(size=40)
    y = rng.random(40) < 0.4
    y[:2] = [True, False]
    fit = CALIBRATORS[method](margin, y, rng.random(40))
    probability = fit.apply(np.linspace(-3 * scale, 3 * scale, 201))
    assert (np.diff(probability) >= -1e-15).all()
    assert probability.min() >= CLIP
    assert probability.max() <= 1 - CLIP


@pytest.mark.parametrize("method", METHODS)
def test_json_gives_the_same_calibrator_back(method):
    margin, y, _ = sample(n_rows=300)
    fit = CALIBRATORS[method](margin, y)
    back = Calibrator.from_json(json.loads(json.dumps(fit.to_json(), allow_nan=False)))
    assert back == fit
    np.testing.assert_array_equal(back.apply(margin), fit.apply(margin))


def test_float32_margins_give_float64_probabilities_short_of_certain():
    probability = Calibrator("identity", {}).apply(np.array([-100, 100], dtype=np.float32))
    assert probability.dtype == np.float64
    assert probability.tolist() == [CLIP, 1 - CLIP]


def test_every_method_can_be_fitted_applied_and_checked():
    assert set(CALIBRATORS) == set(APPLY) == set(NAMES)


@pytest.mark.parametrize(
    ("document", "message"),
    [
        ({"method": "spline", "parameters": {}}, "'spline'; known: identity, sigmoid"),
        ({"method": ["sigmoid"], "parameters": {}}, "unknown calibrator"),
        ({"method": "identity"}, "object of method and parameters"),
        ("identity", "object of method and parameters"),
        ({"method": "identity", "parameters": {"slope": 1.0}}, "no parameters"),
        ({"method": "sigmoid", "parameters": {"slope": 1.0}}, "needs intercept, slope"),
        ({"method": "sigmoid", "parameters": {"slope": -1.0, "intercept": 0.0}}, "0 or more"),
        ({"method": "sigmoid", "parameters": {"slope": 1.0, "intercept": "0"}}, "finite number"),
        ({"method": "beta", "parameters": {"a": 1.0, "b": float("nan"), "c": 0.0}}, "b is nan"),
        ({"method": "isotonic", "parameters": {"x": [], "y": []}}, "one or more"),
        ({"method": "isotonic", "parameters": {"x": 1.0, "y": 0.5}}, "lists"),
        ({"method": "isotonic", "parameters": {"x": [1.0, 2.0], "y": [0.5]}}, "2 values of x"),
        ({"method": "isotonic", "parameters": {"x": [1.0, 1.0], "y": [0.1, 0.5]}}, "rise"),
        ({"method": "isotonic", "parameters": {"x": [1.0, 2.0], "y": [0.5, 0.1]}}, "never fall"),
        ({"method": "isotonic", "parameters": {"x": [1.0, 2.0], "y": [0.5, 1.1]}}, "never fall"),
    ],
)
def test_a_document_that_is_no_calibrator_is_refused(document, message):
    with pytest.raises(InputError, match=message):
        Calibrator.from_json(document)


# Choosing


@pytest.mark.parametrize("method", METHODS)
def test_a_row_is_calibrated_without_the_labels_of_its_own_fold(method):
    margin, y, folds = sample(n_rows=600, slope=0.5)
    before = cross_fit(method, margin, y, folds)
    own = np.flatnonzero(folds == 2)
    changed = y.copy()
    changed[own] = np.random.default_rng(5).permutation(y[own])
    assert (changed != y).any()
    after = cross_fit(method, margin, changed, folds)
    np.testing.assert_array_equal(after[own], before[own])
    if method != "identity":
        assert (after[folds != 2] != before[folds != 2]).any()


def test_each_fold_is_calibrated_by_a_fit_on_the_others():
    margin, y, folds = sample(n_rows=600, slope=0.5)
    weight = np.where(y, 1.0, 2.0)
    rest = folds != 3
    fit = CALIBRATORS["beta"](margin[rest], y[rest], weight[rest])
    probability = cross_fit("beta", margin, y, folds, weight)
    np.testing.assert_array_equal(probability[~rest], fit.apply(margin[~rest]))


def test_overconfident_margins_are_mended():
    margin, y, folds = sample(slope=0.3, shift=-0.5)
    choice = choose(margin, y, folds)
    plain = Calibrator("identity", {}).apply(margin)
    perfect = expit(0.3 * margin - 0.5)
    assert choice.calibrator.method != "identity"
    assert loss(y, choice.cross_fitted) < loss(y, plain) - 0.1
    assert loss(y, choice.cross_fitted) < loss(y, perfect) + 0.002
    assert METRICS["ece"](y, choice.cross_fitted, None, None).value < 0.02


def test_subsampled_negative_rows_are_put_right_by_their_weights():
    margin, y, folds = sample(n_rows=20_000)
    kept = y | (np.random.default_rng(0).random(y.size) < 0.1)
    margin_of_the_subsample = margin[kept] - np.log(0.1)  # what training on it would give
    weight = np.where(y[kept], 1.0, 10.0)
    choice = choose(margin_of_the_subsample, y[kept], folds[kept], weight, method="sigmoid")
    assert choice.calibrator.parameters["slope"] == pytest.approx(1.0, abs=0.08)
    assert choice.calibrator.parameters["intercept"] == pytest.approx(np.log(0.1), abs=0.15)


@pytest.mark.parametrize("seed", range(4))
def test_margins_that_are_right_already_stay_nearly_as_they_are(seed):
    margin, y, folds = sample(seed, n_rows=10_000)
    choice = choose(margin, y, folds)
    plain = Calibrator("identity", {}).apply(margin)
    assert loss(y, choice.cross_fitted) <= loss(y, plain)
    applied = choice.calibrator.apply(margin)
    assert np.abs(applied - plain).mean() < 0.02


@pytest.mark.slow
def test_small_samples_that_are_right_already_keep_identity():
    kept = [choose(*sample(seed, n_rows=300)).calibrator.method for seed in range(30)]
    assert kept.count("identity") >= 27


@pytest.mark.parametrize("seed", range(5))
def test_small_samples_of_overconfident_margins_are_mended(seed):
    margin, y, folds = sample(seed, n_rows=300, slope=0.3)
    choice = choose(margin, y, folds)
    assert choice.calibrator.method != "identity"
    assert loss(y, choice.cross_fitted) < loss(y, expit(margin)) - 0.1


def test_a_gain_of_one_fold_alone_is_no_reason_to_leave_identity():
    # Four folds are right at the margin, the fifth has far too many positive rows.
    margin, y = np.zeros(100), np.tile([False, True], 50)
    folds = np.repeat(range(5), 20)
    y[folds == 4] = True
    losses = choose(margin, y, folds, method="sigmoid").table
    assert losses.filter("chosen")["method"].to_list() == ["identity"]


@pytest.mark.parametrize("method", FITTED)
def test_a_named_method_that_does_not_beat_identity_is_given_up(method):
    # Margins are right; two of the three small folds lead each fit astray.
    margin = np.tile(logit([0.25, 0.75]), 12)
    y = np.tile([1, 0, 0, 1, 0, 1, 0, 1], 3)
    folds = np.repeat([0, 1, 2], 8)
    y[:8] = [0, 1, 0, 1, 0, 1, 0, 1]
    y[8:16] = [1, 0, 1, 0, 0, 1, 0, 1]
    choice = choose(margin, y, folds, method=method)
    table = {row["method"]: row for row in choice.table.to_dicts()}
    assert table[method]["log_loss"] > table["identity"]["log_loss"]
    assert choice.calibrator == Calibrator("identity", {})
    np.testing.assert_array_equal(choice.cross_fitted, choice.calibrator.apply(margin))
    assert choice.reason is None


@pytest.mark.parametrize("method", FITTED)
def test_a_named_method_that_beats_identity_is_fitted_on_all_rows(method):
    margin, y, folds = sample(slope=0.3)
    choice = choose(margin, y, folds, method=method)
    assert choice.calibrator == CALIBRATORS[method](margin, y)
    assert choice.table["method"].to_list() == ["identity", method]
    np.testing.assert_array_equal(choice.cross_fitted, cross_fit(method, margin, y, folds))


def test_auto_takes_the_lowest_weighted_loss_and_tells_all():
    margin, y, folds = sample(slope=0.5, shift=1.0)
    weight = np.where(y, 1.0, 4.0)
    choice = choose(margin, y, folds, weight)
    assert choice.table.columns == ["method", "log_loss", "brier", "ece", "chosen"]
    assert choice.table["method"].to_list() == list(CALIBRATORS)
    chosen = choice.table.filter("chosen")
    assert chosen["method"].to_list() == [choice.calibrator.method]
    assert chosen["log_loss"].item() == choice.table["log_loss"].min()
    assert chosen["log_loss"].item() == loss(y, choice.cross_fitted, weight)


def test_identity_alone_can_be_asked_for():
    margin, y, folds = sample(slope=0.3)
    choice = choose(margin, y, folds, method="identity")
    assert choice.table["method"].to_list() == ["identity"]
    assert choice.calibrator.method == "identity"


@pytest.mark.parametrize(
    ("y", "weight", "reason"),
    [
        ([0, 0, 0, 0], None, "no positive rows"),
        ([1, 1, 1, 1], None, "no negative rows"),
        ([0, 0, 1, 0], None, "no positive rows outside fold 7"),
        ([0, 1, 1, 0], [1, 0, 1, 1], "no positive rows outside fold 7"),
    ],
)
@pytest.mark.parametrize("method", ["auto", "isotonic"])
def test_a_fit_without_both_classes_leaves_identity_and_the_reason(y, weight, reason, method):
    margin = np.array([-1.0, 0.0, 1.0, 2.0])
    choice = choose(margin, np.array(y), np.array([3, 3, 7, 7]), weight, method)
    assert choice.reason == reason
    assert choice.calibrator.method == "identity"
    assert choice.table["method"].to_list() == ["identity"]
    np.testing.assert_array_equal(choice.cross_fitted, choice.calibrator.apply(margin))


def test_a_single_fold_leaves_nothing_to_fit_on():
    margin, y, _ = sample(n_rows=50)
    assert choose(margin, y, np.zeros(50, int)).reason == "no positive rows outside fold 0"


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_margins_that_are_not_finite_are_refused(bad):
    margin, y, folds = sample(n_rows=50)
    margin[7] = bad
    with pytest.raises(InputError, match="1 of 50 margins are NaN or infinite"):
        choose(margin, y, folds)
    with pytest.raises(InputError, match="1 of 50 margins"):
        Calibrator("identity", {}).apply(margin)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"method": "spline"}, "'spline'; known: auto, identity, sigmoid, isotonic, beta"),
        ({"y": np.arange(50) % 3}, "values other than 0 and 1"),
        ({"y": np.ones(49)}, "wanted one value per row"),
        ({"folds": np.ones(49)}, "folds have shape"),
        ({"weight": -np.ones(50)}, "row weights"),
    ],
)
def test_what_does_not_fit_is_refused(change, message):
    margin, y, folds = sample(n_rows=50)
    with pytest.raises(InputError, match=message):
        choose(**({"margin": margin, "y": y, "folds": folds} | change))
