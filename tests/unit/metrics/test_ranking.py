"""What genebatch.metrics.ranking promises: one order of the rows for all metrics that need it."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from sklearn.metrics import (
    average_precision_score,
    precision_recall_curve,
    roc_auc_score,
    roc_curve,
)

from genebatch.metrics.ranking import (
    auc,
    average_precision,
    called,
    falling_order,
    precision_recall_points,
    rank,
    roc_points,
)

SCORES = [-np.inf, -1e300, -2.5, -0.0, 0.0, 1e-40, 0.1, 0.5, 1.0, np.inf]


@given(arrays(float, st.integers(0, 40), elements=st.sampled_from(SCORES)), st.booleans())
def test_order_is_that_of_a_stable_sort(scores, narrow):
    with np.errstate(over="ignore"):
        given_scores = scores.astype(np.float32) if narrow else scores
    expected = np.argsort(-given_scores, kind="stable")
    np.testing.assert_array_equal(falling_order(given_scores), expected)


def ranked(seed, weighted):
    """Rows with ties, their weights, and what is called at each score."""
    rng = np.random.default_rng(seed)
    y = np.append(rng.random(60) < 0.3, [True, False])
    score = np.round(rng.random(62), 1)
    weight = rng.choice([0.5, 1.0, 30.0], 62) if weighted else None
    return y, score, weight, called(rank(score), y, weight)


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("seed", range(3))
def test_areas_and_curves_are_those_of_scikit_learn(seed, weighted):
    y, score, weight, counts = ranked(seed, weighted)
    assert average_precision(counts) == pytest.approx(
        average_precision_score(y, score, sample_weight=weight)
    )
    assert auc(counts) == pytest.approx(roc_auc_score(y, score, sample_weight=weight))
    expected = precision_recall_curve(y, score, sample_weight=weight, drop_intermediate=True)
    for ours, theirs in zip(precision_recall_points(counts), expected, strict=False):
        np.testing.assert_allclose(ours, theirs)
    false, true, _ = roc_curve(y, score, sample_weight=weight)
    ours = roc_points(counts)
    np.testing.assert_allclose(np.interp(false, *ours), np.interp(false, false, true))
    assert len(ours[0]) <= len(false)


@pytest.mark.parametrize("score", [[0.2, 0.2, 0.2], [0.9, 0.5, 0.1]])
def test_curves_have_both_ends_however_few_the_scores(score):
    counts = called(rank(np.array(score)), np.array([True, False, True]))
    false, true = roc_points(counts)
    assert (false[0], true[0], false[-1], true[-1]) == (0, 0, 1, 1)
    precision, recall = precision_recall_points(counts)
    assert (precision[-1], recall[-1], recall[0]) == (1, 0, 1)
