"""Combiners learn weights from held-out scores: none below zero, and 0 for useless members."""

import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from scipy.optimize import minimize
from scipy.special import expit, logit

from genebatch.config.settings import Combining
from genebatch.io.files import InputError
from genebatch.metrics.binary import log_loss_rows
from genebatch.model import combiners
from genebatch.model.archive import load_model
from genebatch.model.combiners import (
    COMBINERS,
    HeldOut,
    check,
    combine,
    log_losses,
    mean_log_loss,
    member_weights,
    to_probabilities,
    without_members,
)

SHARES = np.array([0.6, 0.2, 0.2])
SETTINGS = Combining(
    combiner="stacked",
    top_k=None,
    rivals=(),
    with_single=None,
    distil_mix=(),
    score_rows=None,
    uncertainty=False,
    allow_missing=False,
)
LEARNED = ("weighted", "selected", "stacked", "hierarchical")
EVERY = tuple(COMBINERS)


def drawn(n_rows, spreads, seed=0):
    """Codes, and calibrated log-odds (rows, members, classes) that see them through noise.

    A column that is 2 higher in rows of the class gives log-odds of 2 x - 2; a member that sees it
    with noise of standard deviation s is calibrated where that is divided by 1 + s^2.
    """
    rng = np.random.default_rng(seed)
    codes = rng.choice(3, n_rows, p=SHARES)
    seen = rng.normal(size=(n_rows, 3)) + 2 * np.eye(3)[codes]
    parts = []
    for spread in spreads:
        noisy = seen + spread * rng.normal(size=seen.shape)
        parts.append(logit(SHARES) + (2 * noisy - 2) / (1 + spread**2))
    return codes, np.stack(parts, axis=1).astype(np.float32)


def held_out_of(codes, log_odds, weight=None, reference=None, distance=None, n_folds=4):
    weight = np.ones(len(codes)) if weight is None else weight
    folds = np.arange(len(codes)) % n_folds
    return HeldOut(log_odds, codes, weight, folds, reference, distance)


def fitted(name, held_out, **options):
    return COMBINERS[name].fit(held_out, replace(SETTINGS, **options))


def loss_of(name, parameters, held_out):
    probability = combine(name, parameters, held_out.log_odds, held_out.distance)
    return mean_log_loss(probability, held_out.codes, held_out.weight)


@pytest.fixture(scope="module")
def four():
    """Four members of uneven worth, with distances that say nothing."""
    codes, log_odds = drawn(3000, (0.5, 0.5, 1.0, 2.0))
    near = np.random.default_rng(1).random((3000, 4)).astype(np.float32)
    return held_out_of(codes, log_odds, distance=near)


@pytest.fixture(scope="module")
def with_noise():
    """Three members that know something, and as the second one that says what comes to mind."""
    codes, log_odds = drawn(6000, (0.5, 1.0, 0.5, 1.0))
    log_odds[:, 1] = logit(SHARES) + 2 * np.random.default_rng(1).normal(size=(6000, 3))
    return held_out_of(codes, log_odds)


# What every combiner keeps to


@pytest.mark.parametrize("name", EVERY)
def test_rows_are_probabilities_that_sum_to_one(name, four):
    found = combine(name, fitted(name, four), four.log_odds, four.distance)
    assert found.shape == (3000, 3)
    assert found.dtype == np.float64
    assert ((found > 0) & (found < 1)).all()
    np.testing.assert_allclose(found.sum(axis=1), 1, rtol=1e-12)


@pytest.mark.parametrize("name", EVERY)
def test_rest_gets_what_the_other_classes_leave(name, four):
    found = fitted(name, four._replace(rest=0))
    probability = combine(name, found, four.log_odds, four.distance, rest=0)
    np.testing.assert_allclose(probability.sum(axis=1), 1, rtol=1e-12)
    assert (probability > 0).all()
    divided = combine(name, found, four.log_odds, four.distance)
    assert np.abs(probability - divided).max() > 0.01


@pytest.mark.parametrize("name", EVERY)
def test_combined_members_are_better_than_the_median_one(name, four):
    alone = [
        mean_log_loss(to_probabilities(four.log_odds[:, m]), four.codes, four.weight)
        for m in range(4)
    ]
    assert loss_of(name, fitted(name, four), four) < np.median(alone)


@pytest.mark.parametrize("name", EVERY)
def test_order_of_the_members_changes_nothing(name, four):
    order = [2, 0, 3, 1]
    moved = four.of_members(order)
    before, after = fitted(name, four), fitted(name, moved)
    if "weights" in before:
        weights = np.asarray(before["weights"])[:, order]
        np.testing.assert_allclose(after["weights"], weights, atol=1e-4)
    np.testing.assert_allclose(
        combine(name, after, moved.log_odds, moved.distance),
        combine(name, before, four.log_odds, four.distance),
        atol=1e-4,
    )


@pytest.mark.parametrize("name", EVERY)
def test_one_member_alone_orders_the_rows_as_it_did(name, four):
    alone = four.of_members([0])
    found = combine(name, fitted(name, alone), alone.log_odds, alone.distance)
    if name == "stacked" or name == "hierarchical":
        assert (found.argmax(axis=1) == alone.log_odds[:, 0].argmax(axis=1)).mean() > 0.98
    else:
        np.testing.assert_allclose(found, to_probabilities(alone.log_odds[:, 0]), atol=1e-6)


@given(
    st.integers(2, 7),
    st.integers(0, 10**6),
    st.sampled_from(LEARNED),
    st.sampled_from(["fair", "upside down", "huge"]),
)
@example(7, 230_789, "stacked", "upside down")  # its last step ended at -5e-18
@settings(max_examples=25, deadline=None)
def test_no_weight_is_negative(n_members, seed, name, kind):
    codes, log_odds = drawn(120, np.linspace(0.5, 3, n_members), seed)
    if kind == "upside down":
        log_odds[:, 0] *= -1
    elif kind == "huge":
        log_odds[:, 0] *= 30
    weights = np.asarray(fitted(name, held_out_of(codes, log_odds))["weights"])
    assert weights.shape == (3, n_members)
    assert np.isfinite(weights).all()
    assert (weights >= 0).all()
    assert (weights.sum(axis=1) > 0).all() or name in ("stacked", "hierarchical")


@pytest.mark.parametrize("name", ["weighted", "stacked", "hierarchical"])
def test_equal_members_get_equal_weights(name):
    codes, log_odds = drawn(1500, (0.7,))
    for n_members in (2, 3, 4, 5, 9):
        held_out = held_out_of(codes, np.repeat(log_odds, n_members, axis=1))
        weights = np.asarray(fitted(name, held_out)["weights"])
        np.testing.assert_allclose(weights, weights[:, [0]] * np.ones(n_members), rtol=1e-4)


@pytest.mark.parametrize("name", LEARNED)
def test_row_weights_count_as_so_many_rows(name):
    codes, log_odds = drawn(400, (0.5, 1.5, 1.0))
    times = np.random.default_rng(2).integers(1, 4, 400)
    weighed = held_out_of(codes, log_odds, weight=times.astype(float))
    repeated = weighed.take(np.repeat(np.arange(400), times))._replace(weight=np.ones(times.sum()))
    np.testing.assert_allclose(
        fitted(name, weighed)["weights"], fitted(name, repeated)["weights"], atol=1e-3
    )


# Equal weights


def test_voting_is_the_mean_of_the_probabilities():
    members = np.array([[0.5, 0.25, 0.25], [0.75, 0.125, 0.125]])
    # 1/2 and 3/4 make 5/8: every row of probabilities sums to 1 before and after.
    found = combine("voting", {}, logit(members)[None].astype(np.float32))
    np.testing.assert_allclose(found, [[0.625, 0.1875, 0.1875]], rtol=1e-6)


def test_log_odds_is_the_mean_of_the_log_odds():
    # Odds of 4 and of 1 make odds of 2, that is 2/3; voting makes 0.65 of them.
    members = logit(np.array([[[0.8, 0.2], [0.5, 0.5]]])).astype(np.float32)
    np.testing.assert_allclose(combine("log_odds", {}, members), [[2 / 3, 1 / 3]], rtol=1e-6)
    np.testing.assert_allclose(combine("voting", {}, members), [[0.65, 0.35]], rtol=1e-6)


def test_log_odds_of_three_classes_are_divided_by_their_sum():
    # Odds 1, 1 and 1/4 of both members: 1/2, 1/2 and 1/5, which sum to 6/5.
    members = np.log([[[1.0, 1.0, 0.25]] * 2]).astype(np.float32)
    found = combine("log_odds", {}, members)
    np.testing.assert_allclose(found, [[5 / 12, 5 / 12, 1 / 6]], rtol=1e-6)


def test_log_loss_of_a_row_is_that_of_its_own_class():
    found = log_losses(np.array([[0.5, 0.25, 0.25], [0.1, 0.9, 0.0]]), np.array([1, 2]))
    np.testing.assert_allclose(found, [math.log(4), -math.log(1e-9)])


# Weighted


def test_weights_are_shares_of_the_gain_in_log_loss():
    # Half the rows are of the class, so knowing nothing costs ln 2 a row. A member that gives its
    # rows 0.8 costs -ln 0.8 and gains ln 1.6, one that gives 0.6 gains ln 1.2.
    codes = np.array([0, 1] * 50)
    sign = np.where(codes[:, None] == [0, 1], 1, -1)
    log_odds = np.stack([sign * logit(p) for p in (0.8, 0.6)], axis=1).astype(np.float32)
    found = fitted("weighted", held_out_of(codes, log_odds))
    gains = np.log([1.6, 1.2])
    np.testing.assert_allclose(found["weights"], [gains / gains.sum()] * 2, rtol=1e-5)
    assert found["intercept"] == [0.0, 0.0]
    assert "equal" not in found


def test_gain_is_counted_from_the_base_scores_where_boosters_start_from_them():
    codes, log_odds = drawn(2000, (0.5, 2.0, 1.0))
    base = log_odds[:, 1].astype(np.float64)
    found = fitted("weighted", held_out_of(codes, log_odds[:, [0, 1]], reference=base))
    np.testing.assert_allclose(np.asarray(found["weights"])[:, 1], 0, atol=1e-6)
    without = fitted("weighted", held_out_of(codes, log_odds[:, [0, 1]]))
    assert (np.asarray(without["weights"])[:, 1] > 0.05).all()


def test_where_no_member_gains_all_are_equal_and_the_class_is_named():
    codes, log_odds = drawn(1000, (0.5, 0.5))
    upside_down = log_odds.copy()
    upside_down[:, :, 1] *= -1
    found = fitted("weighted", held_out_of(codes, upside_down))
    assert found["equal"] == [1]
    assert found["weights"][1] == [0.5, 0.5]
    assert found["weights"][0] != [0.5, 0.5]


# Members that are of no use


def test_useless_member_has_no_weight_in_weighted_and_selected(with_noise):
    for name in ("weighted", "selected"):
        weights = np.asarray(fitted(name, with_noise)["weights"])
        assert (weights[:, 1] == 0).all(), name
        assert (weights[:, 0] > 0).all(), name


@pytest.mark.parametrize("name", ["weighted", "selected"])
def test_member_that_says_the_share_of_the_class_has_no_weight(name):
    codes, log_odds = drawn(4000, (0.5, 1.0, 0.5))
    log_odds[:, 1] = logit(np.bincount(codes) / 4000)
    weights = np.asarray(fitted(name, held_out_of(codes, log_odds))["weights"])
    np.testing.assert_allclose(weights[:, 1], 0, atol=1e-6)


@pytest.mark.parametrize("name", ["stacked", "hierarchical"])
def test_useless_member_has_almost_no_weight_in_stacked(name, with_noise):
    weights = np.asarray(fitted(name, with_noise)["weights"])
    assert (weights[:, 1] < 0.05).all()
    assert (weights[:, [0, 2]] > 0.15).all()


def test_weights_are_learned_by_class():
    codes, log_odds = drawn(4000, (0.3, 0.3))
    rng = np.random.default_rng(5)
    for member, column in ((0, 2), (1, 1)):
        log_odds[:, member, column] = logit(SHARES[column]) + 2 * rng.normal(size=4000)
    for name in ("weighted", "stacked", "hierarchical"):
        weights = np.asarray(fitted(name, held_out_of(codes, log_odds))["weights"])
        assert weights[1, 0] > 10 * weights[1, 1], name
        assert weights[2, 1] > 10 * weights[2, 0], name


# Selected


@given(st.integers(0, 10**6), st.integers(1, 6))
@settings(max_examples=30, deadline=None)
def test_selected_is_never_worse_than_the_best_member_where_it_learned(seed, n_members):
    rng = np.random.default_rng(seed)
    codes, log_odds = drawn(80, rng.uniform(0.3, 3, n_members), seed)
    held_out = held_out_of(codes, log_odds * rng.uniform(0.3, 4), weight=rng.uniform(0.1, 5, 80))
    best = min(
        mean_log_loss(to_probabilities(held_out.log_odds[:, m]), codes, held_out.weight)
        for m in range(n_members)
    )
    assert loss_of("selected", fitted("selected", held_out), held_out) <= best + 1e-6


def test_selected_takes_a_good_member_more_often():
    # Calibrated members are best alone; over-confident ones gain by the mean of several.
    codes, log_odds = drawn(3000, (0.5, 0.8, 0.8))
    weights = fitted("selected", held_out_of(codes, log_odds * np.float32(1.5)))["weights"]
    assert weights[0] == weights[1] == weights[2]
    assert sum(weights[0]) == pytest.approx(1)
    assert weights[0][0] > max(weights[0][1:]) > 0


def test_selected_ends_where_no_further_member_lowers_the_loss():
    codes, log_odds = drawn(3000, (0.5, 0.8, 0.8))
    held_out = held_out_of(codes, log_odds * np.float32(1.5))
    share = np.array(fitted("selected", held_out)["weights"][0])
    taken = round(1 / share[share > 0].min())
    np.testing.assert_allclose(share * taken, np.round(share * taken), atol=1e-9)
    losses = []
    for more in [np.zeros(3), *np.eye(3)]:
        weights = (share * taken + more) / (taken + more.sum())
        parameters = {"weights": [weights.tolist()] * 3, "intercept": [0.0] * 3}
        losses.append(loss_of("selected", parameters, held_out))
    assert min(losses[1:]) >= losses[0] - 1e-7


def test_top_one_is_the_best_member_and_top_of_all_is_equal_weights(four):
    best = min(
        range(4),
        key=lambda m: mean_log_loss(to_probabilities(four.log_odds[:, m]), four.codes, four.weight),
    )
    one = combine("selected", fitted("selected", four, top_k=1), four.log_odds)
    np.testing.assert_allclose(one, to_probabilities(four.log_odds[:, best]), atol=1e-6)
    every = combine("selected", fitted("selected", four, top_k=4), four.log_odds)
    np.testing.assert_allclose(every, combine("log_odds", {}, four.log_odds), atol=1e-6)
    more = fitted("selected", four, top_k=9)
    assert more == fitted("selected", four, top_k=4)


def test_top_two_are_the_two_best_with_half_each(four):
    weights = fitted("selected", four, top_k=2)["weights"]
    assert weights == [[0.5, 0.5, 0.0, 0.0]] * 3


# Stacked and hierarchical


def test_stacked_does_without_one_that_is_over_confident():
    codes, log_odds = drawn(6000, (1.0, 1.0, 1.0))
    log_odds[:, 0] *= 6
    held_out = held_out_of(codes, log_odds)
    learned, held = held_out.take(np.arange(3000)), held_out.take(np.arange(3000, 6000))
    equal = loss_of("log_odds", {}, held)
    for name in ("stacked", "hierarchical"):
        assert loss_of(name, fitted(name, learned), held) < equal - 0.05, name


@pytest.mark.parametrize("seed", range(5))
def test_stacked_of_alike_members_loses_next_to_nothing_on_other_rows(seed):
    codes, log_odds = drawn(2000, (0.8,) * 6, seed)
    held_out = held_out_of(codes, log_odds)
    learned, held = held_out.take(np.arange(500)), held_out.take(np.arange(500, 2000))
    equal = loss_of("log_odds", {}, held)
    assert loss_of("stacked", fitted("stacked", learned), held) < equal + 0.01


def test_stacked_calibrates_what_is_shifted():
    codes, log_odds = drawn(8000, (0.8, 0.8))
    found = fitted("stacked", held_out_of(codes, log_odds + np.float32(1.5)))
    shift = np.asarray(found["intercept"]) + 1.5 * np.asarray(found["weights"]).sum(axis=1)
    np.testing.assert_allclose(
        shift, fitted("stacked", held_out_of(codes, log_odds))["intercept"], atol=0.05
    )


@pytest.mark.parametrize("penalty", combiners.PENALTIES)
def test_stacked_weights_are_the_bounded_optimum(four, penalty):
    inputs, y, n_inputs = four.log_odds[:, :, 1], four.codes == 1, four.log_odds.shape[1]
    weight = np.random.default_rng(3).choice([1.0, 20.0], len(y))
    share, equal = weight / weight.sum(), np.full(n_inputs, 1 / n_inputs)
    strength = penalty * n_inputs * float(log_loss_rows(y, inputs.mean(axis=1)) @ share)

    def objective(values):
        loss = float(log_loss_rows(y, inputs @ values[1:] + values[0]) @ share)
        return loss / strength + float(((values[1:] - equal) ** 2).sum())

    path = combiners._Logistic(np.ascontiguousarray(inputs.T), y, weight)
    for stronger in sorted(combiners.PENALTIES, reverse=True):
        found = path.fit(stronger)
        if stronger == penalty:
            break
    bounds = [(None, None), *[(0, None)] * n_inputs]
    best = minimize(objective, found, method="L-BFGS-B", bounds=bounds, tol=1e-14)
    assert objective(found) <= best.fun * (1 + 1e-8)
    assert (found[1:] >= 0).all()


@pytest.mark.parametrize("rest", [None, 0])
def test_losses_of_all_members_at_once_are_those_of_one_after_the_other(four, rest, monkeypatch):
    monkeypatch.setattr(combiners, "BLOCK_ROWS", 700)
    rows = four._replace(rest=rest, log_odds=3 * four.log_odds)
    added = rows.log_odds[:, 0] + rows.log_odds[:, 2]
    found = combiners._member_losses(rows, added, 2)
    for member, loss in enumerate(found):
        mean = (added + rows.log_odds[:, member]) / 3
        expected = mean_log_loss(to_probabilities(mean, rest), rows.codes, rows.weight)
        assert loss == pytest.approx(expected, rel=1e-5)


def test_penalty_is_the_strongest_where_one_fold_is_all_there_is(four):
    alone = four._replace(folds=np.zeros(3000, int))
    assert fitted("stacked", alone)["penalty"] == [1.0] * 3


@pytest.mark.parametrize("n_members", [1, 2])
def test_hierarchical_of_two_members_or_one_is_stacked(n_members, four):
    few = four.of_members(list(range(n_members)))
    found, stacked = fitted("hierarchical", few), fitted("stacked", few)
    assert found["tiers"] == [[member] for member in range(n_members)]
    np.testing.assert_allclose(found["weights"], stacked["weights"])
    assert found["intercept"] == stacked["intercept"]


def test_alike_members_are_in_one_tier_and_share_its_weight():
    codes, log_odds = drawn(4000, (0.5, 0.5))
    rng = np.random.default_rng(3)
    wobble = 0.05 * rng.normal(size=(4000, 4, 3)).astype(np.float32)
    twins = log_odds[:, [0, 1, 0, 1]] + wobble
    found = fitted("hierarchical", held_out_of(codes, twins))
    assert found["tiers"] == [[0, 2], [1, 3]]
    weights = np.asarray(found["weights"])
    np.testing.assert_array_equal(weights[:, :2], weights[:, 2:])


def test_tiers_are_as_many_as_the_root_of_the_members():
    codes, log_odds = drawn(600, np.linspace(0.3, 2, 17))
    tiers = fitted("hierarchical", held_out_of(codes, log_odds))["tiers"]
    assert sorted(member for tier in tiers for member in tier) == list(range(17))
    assert len(tiers) == 5


# Routed


def two_places(n_rows=4000, seed=0):
    """Rows of two places; each member knows the rows of its own place and guesses in the other."""
    codes, log_odds = drawn(n_rows, (0.5, 0.5), seed)
    rng = np.random.default_rng(seed + 1)
    place = rng.integers(0, 2, n_rows)
    guess = logit(SHARES) + 2 * rng.normal(size=(n_rows, 3))
    log_odds[np.arange(n_rows), 1 - place] = guess
    distance = np.where(place[:, None] == [0, 1], 0.5, 2.0) * rng.uniform(0.9, 1.1, (n_rows, 2))
    return held_out_of(codes, log_odds, distance=distance), place


def test_routed_listens_to_the_near_member_where_far_ones_guess():
    held_out, place = two_places()
    found = fitted("routed", held_out)
    assert found["reach"] is not None
    near = to_probabilities(held_out.log_odds[np.arange(4000), place])
    routed = combine("routed", found, held_out.log_odds, held_out.distance)
    assert mean_log_loss(routed, held_out.codes, held_out.weight) < 1.05 * mean_log_loss(
        near, held_out.codes, held_out.weight
    )
    for name in ("log_odds", "stacked"):
        other = loss_of(name, fitted(name, held_out), held_out)
        assert loss_of("routed", found, held_out) < other - 0.1


def test_routed_weighs_by_distance_in_units_of_the_reach():
    # At distances 0 and 2 reaches the weights are 1 and e^-2.
    log_odds = np.array([[[1.0, -1.0], [-1.0, 1.0]]], np.float32)
    share = np.array([1, math.exp(-2)]) / (1 + math.exp(-2))
    found = combine("routed", {"reach": 0.7}, log_odds, np.array([[0.0, 1.4]]))
    first = expit(share[0] - share[1])
    np.testing.assert_allclose(found, [[first, 1 - first]], rtol=1e-6)


def test_routed_without_a_reach_is_the_mean_of_the_log_odds(four):
    equal = combine("log_odds", {}, four.log_odds)
    found = combine("routed", {"reach": None}, four.log_odds, four.distance)
    np.testing.assert_array_equal(found, equal)
    # Distances that say nothing are not listened to.
    near = loss_of("routed", {"reach": 0.1}, four)
    assert loss_of("routed", fitted("routed", four), four) <= loss_of("log_odds", {}, four) < near


def test_rows_far_from_every_member_still_have_probabilities():
    log_odds = np.array([[[1.0, -1.0], [-1.0, 1.0]]], np.float32)
    found = combine("routed", {"reach": 1e-3}, log_odds, np.array([[900.0, 901.0]]))
    np.testing.assert_allclose(found, [[expit(1), expit(-1)]], rtol=1e-6)


def test_routed_needs_distances(four):
    with pytest.raises(InputError, match=r"routed needs batching\.strategy: similarity"):
        fitted("routed", four._replace(distance=None))
    with pytest.raises(ValueError, match="distance of every row"):
        combine("routed", {"reach": 1.0}, four.log_odds, None)


# Members without weight


def test_leaving_out_members_without_weight_changes_no_probability(with_noise):
    for name in ("weighted", "selected"):
        found = fitted(name, with_noise)
        total = member_weights(name, found, 4)
        kept = np.flatnonzero(total).tolist()
        assert kept == [0, 2, 3] or name == "selected"
        slim = without_members(name, found, kept)
        np.testing.assert_allclose(
            combine(name, slim, with_noise.log_odds[:, kept]),
            combine(name, found, with_noise.log_odds),
            rtol=1e-9,
        )


def test_routed_members_have_weights_by_row_alone():
    assert member_weights("routed", {"reach": 1.0}, 3) is None
    np.testing.assert_allclose(member_weights("routed", {"reach": None}, 4), 0.25)
    np.testing.assert_allclose(member_weights("log_odds", {}, 2), 0.5)


# The parameters in a model file

ROUTING = {
    "columns": ["signal_donor", "noise_a"],
    "mean": [0.4, 0.0],
    "scale": [1.2, 1.0],
    "centroids": [[0.0, 0.1], [0.2, -0.1]],
}
PARAMETERS = {
    "voting": {},
    "log_odds": {},
    "weighted": {"weights": [[0.25, 0.75]] * 3, "intercept": [0.0] * 3, "equal": [1]},
    "selected": {"weights": [[0.4, 0.6]] * 3, "intercept": [0.0] * 3},
    "stacked": {
        "weights": [[0.1, 0.9], [0.5, 0.6], [1.2, 0.0]],
        "intercept": [0.1, -0.2, 0.3],
        "penalty": [0.01, 0.1, 1.0],
    },
    "routed": {"reach": 0.8, **ROUTING},
    "hierarchical": {
        "weights": [[0.3, 0.7]] * 3,
        "intercept": [0.0, 0.1, 0.2],
        "penalty": [0.1] * 3,
        "tiers": [[0], [1]],
    },
}


@pytest.mark.parametrize("name", EVERY)
def test_model_file_keeps_the_combiner(name, toy, toy_rows, tmp_path):
    combiner = {"name": name, "parameters": PARAMETERS[name]}
    model = replace(load_model(toy.ensemble_files["ensemble"]), combiner=combiner)
    model.save(tmp_path / "model.gbm")
    back = load_model(tmp_path / "model.gbm")
    assert back.combiner == combiner
    probability = back.predict_proba(toy_rows)
    np.testing.assert_array_equal(probability, model.predict_proba(toy_rows))
    equal = replace(model, combiner={"name": "log_odds", "parameters": {}})
    changed = np.abs(probability - equal.predict_proba(toy_rows)).max()
    assert changed > 1e-3 or name == "log_odds"


@pytest.mark.parametrize("name", ["oracle", None, 3, ["voting"]])
def test_unknown_combiner_is_refused(name):
    with pytest.raises(InputError, match=r"unknown combiner .*; known: voting, log_odds, weighted"):
        check(name, {}, 2, 3)


@pytest.mark.parametrize("name", EVERY)
def test_parameters_that_fit_are_taken(name):
    check(name, PARAMETERS[name], 2, 3)


@pytest.mark.parametrize(
    ("name", "change", "message"),
    [
        ("weighted", {"weights": [[0.5, 0.5]] * 2}, r"weights has shape \(2, 2\), wanted \(3, 2\)"),
        ("stacked", {"weights": [[0.5]] * 3}, r"weights has shape \(3, 1\), wanted \(3, 2\)"),
        ("selected", {"intercept": [0.0]}, r"intercept has shape \(1,\), wanted \(3,\)"),
        ("stacked", {"intercept": [0.0, math.nan, 0.0]}, "intercept .* all finite"),
        ("hierarchical", {"weights": [[math.inf, 0.5]] * 3}, "weights .* all finite"),
        ("routed", {"centroids": [[0.0, 0.1]]}, r"centroids has shape \(1, 2\), wanted \(2, 2\)"),
        ("routed", {"scale": [1.0]}, r"scale has shape \(1,\), wanted \(2,\)"),
        ("routed", {"mean": [0.0, math.nan]}, "mean .* all finite"),
        ("routed", {"reach": 0.0}, "reach 0.0, wanted a number above 0"),
        ("routed", {"reach": math.nan}, "reach nan"),
        ("routed", {"reach": "far"}, "reach 'far'"),
    ],
)
def test_parameters_that_do_not_fit_are_refused(name, change, message):
    with pytest.raises(InputError, match=message):
        check(name, PARAMETERS[name] | change, 2, 3)


@pytest.mark.parametrize("name", [*LEARNED, "routed"])
def test_model_file_without_the_parameters_is_refused(name, toy, tmp_path):
    combiner = {"name": name, "parameters": {}}
    replace(load_model(toy.ensemble_files["ensemble"]), combiner=combiner).save(tmp_path / "m.gbm")
    with pytest.raises(InputError, match=r"m\.gbm is damaged or no model file"):
        load_model(tmp_path / "m.gbm")
