"""What evaluation.ambiguity promises: members' loss = loss of their mean + ambiguity."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.special import logit

from genebatch.evaluation.ambiguity import decompose, log_probabilities
from genebatch.io.files import InputError


def two_classes(*probabilities):
    """Log-odds of a member from its probabilities of the second class."""
    p = np.array(probabilities)
    return logit(np.column_stack([1 - p, p]))


def test_two_members_and_three_rows_by_hand():
    """Of .8 and .5 the mean has odds sqrt(4 x 1) = 2, of .9 and .1 odds 1, of .6 twice 1.5."""
    members = [two_classes(0.8, 0.9, 0.6), two_classes(0.5, 0.1, 0.6)]
    parts = decompose(members, np.array([1, 1, 0]))
    loss = -np.log([[0.8, 0.9, 0.4], [0.5, 0.1, 0.4]]).mean(axis=0)
    assert parts.member_loss == pytest.approx(loss)
    of_mean = -np.log([2 / 3, 1 / 2, 1 / 2.5])
    assert parts.ambiguity == pytest.approx(loss - of_mean)
    assert parts.disagreement.tolist() == [1, 1, 0]  # .5 is called as the first class


def test_equal_members_have_no_ambiguity_however_wrong_they_are():
    member = two_classes(0.001, 0.3, 0.999)
    parts = decompose([member] * 7, np.array([1, 1, 1]))
    assert parts.ambiguity == pytest.approx(0, abs=1e-12)
    assert parts.disagreement.tolist() == [0, 0, 0]
    assert parts.member_loss[0] == pytest.approx(-np.log(0.001))


def test_a_single_member_has_none():
    parts = decompose([two_classes(0.5)], np.array([0]))
    assert parts.ambiguity is None
    assert parts.disagreement is None
    assert parts.member_loss == pytest.approx([np.log(2)])


def test_disagreement_is_the_chance_that_two_members_differ():
    """Of four members three call one class: 3 of 6 pairs differ."""
    parts = decompose([two_classes(p) for p in (0.9, 0.8, 0.7, 0.1)], np.array([1]))
    assert parts.disagreement == pytest.approx([0.5])


def test_sigmoids_are_divided_by_their_sum():
    margin = logit(np.array([[0.2, 0.2, 0.4]]))
    assert np.exp(log_probabilities(margin)) == pytest.approx(np.array([[0.25, 0.25, 0.5]]))


@given(st.integers(0, 1000), st.integers(2, 6), st.integers(2, 5))
def test_ambiguity_is_the_members_loss_less_that_of_their_mean_and_knows_no_label(seed, n, k):
    rng = np.random.default_rng(seed)
    members = rng.normal(0, 4, (n, 20, k))
    mean = np.exp(np.mean([log_probabilities(m) for m in members], axis=0))
    mean /= mean.sum(axis=1, keepdims=True)
    ambiguities = []
    for codes in rng.integers(0, k, (2, 20)):
        parts = decompose(members, codes)
        ambiguities.append(parts.ambiguity)
        of_mean = -np.log(mean[np.arange(20), codes])
        np.testing.assert_allclose(parts.member_loss - parts.ambiguity, of_mean, atol=1e-9)
    assert (ambiguities[0] >= 0).all()
    np.testing.assert_array_equal(*ambiguities)


def test_infinite_log_odds_count_as_the_clipped_ones():
    certain = np.array([[np.inf, -np.inf]])
    parts = decompose([certain, -certain], np.array([0]))
    assert parts.ambiguity == pytest.approx([np.log(1e9) / 2 - np.log(2)])


def test_missing_log_odds_are_refused():
    with pytest.raises(InputError, match="1 log-odds are NaN"):
        decompose([np.array([[np.nan, 0.0]])], np.array([0]))
