"""Rows of a gene: sites and candidates whole, the rest by strata, weights that add up."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from genebatch.features.sampling import Strata, sample_gene
from genebatch.io.files import InputError

NOWHERE = np.empty(0, int)
SAMPLING = {
    "candidates_above": 0.05,
    "rest": [{"above": 0, "fraction": 0.25}, {"above": 1e-3, "fraction": 0.5}],
    "seed": 7,
}
STRATA = Strata.build(SAMPLING)


def draw(scores, sites=NOWHERE, left_out=NOWHERE, strata=STRATA, name="g", block=1_000):
    """Sample of a gene whose donor track is `scores` and whose acceptor track is zero."""
    track = np.stack([np.asarray(scores, np.float32), np.zeros(len(scores), np.float32)])
    blocks = (track[:, start : start + block] for start in range(0, len(scores), block))
    return sample_gene(blocks, len(scores), np.array(sites), np.array(left_out), strata, name)


def named(sample):
    return [STRATA.sources[code] for code in sample.source]


def test_sources_are_ordered_from_high_to_low_scores():
    assert STRATA.sources == ("site", "candidate", "rest_0.001", "rest_0")
    assert STRATA.fractions == (1.0, 1.0, 0.5, 0.25)


def test_sites_and_candidates_are_all_kept_with_weight_one():
    sample = draw([0.0, 0.05, 0.9, 0.0, 0.7], sites=[0, 4])
    kept = dict(zip(sample.positions.tolist(), named(sample), strict=True))
    assert kept.pop(3) == "rest_0"
    assert kept == {0: "site", 1: "candidate", 2: "candidate", 4: "site"}
    assert sample.weights.tolist() == [1.0] * 5


def test_either_channel_makes_a_candidate():
    scores = np.zeros((2, 3), np.float32)
    scores[1, 2] = 0.05
    sample = sample_gene([scores], 3, NOWHERE, NOWHERE, STRATA, "g")
    assert sample.sizes.tolist() == [0, 1, 0, 2]


@pytest.mark.parametrize("block", [1, 2, 1_000])
def test_least_score_is_the_smallest_larger_one_above_0_of_all_blocks(block):
    assert draw([0.5, 0.0, 0.25, 0.125, 0.0], block=block).least == 0.125
    assert draw([0.0, 0.0, 0.0], block=block).least == math.inf


def test_rest_is_drawn_by_score_and_rounded_up():
    # 5 positions from 1e-3 on: ceil(0.5 x 5) = 3 rows; 9 below it: ceil(0.25 x 9) = 3 rows.
    sample = draw([1e-3, 2e-3, 3e-3, 0.01, 0.049] + [9.9e-4] * 9)
    assert sample.sizes.tolist() == [0, 0, 5, 9]
    assert sample.drawn.tolist() == [0, 0, 3, 3]
    weights = dict(zip(named(sample), sample.weights.tolist(), strict=True))
    assert weights == {"rest_0.001": 5 / 3, "rest_0": 3.0}


def test_stratum_of_one_position_keeps_it():
    strata = Strata.build(SAMPLING | {"rest": [{"above": 0, "fraction": 1e-6}]})
    assert draw([0.0], strata=strata).positions.tolist() == [0]


def test_left_out_positions_become_no_row_even_where_they_are_sites():
    sample = draw([0.9] * 4, sites=[0, 1], left_out=[1, 2])
    assert sample.positions.tolist() == [0, 3]
    assert sample.weights.sum() == 2


@settings(max_examples=60, deadline=None)
@given(
    length=st.integers(1, 400),
    block=st.integers(1, 60),
    fraction=st.floats(0.001, 1),
    seed=st.integers(0, 9),
)
def test_weights_sum_to_the_length_less_what_is_left_out(length, block, fraction, seed):
    rng = np.random.default_rng(seed)
    scores = 10 ** rng.uniform(-6, 0, length)
    sites = np.flatnonzero(rng.random(length) < 0.05)
    left_out = np.flatnonzero(rng.random(length) < 0.05)
    rest = [{"above": above, "fraction": fraction} for above in (0, 1e-4, 1e-2)]
    strata = Strata.build({"candidates_above": 0.1, "rest": rest, "seed": seed})
    sample = draw(scores, sites, left_out, strata, block=block)
    assert sample.weights.sum() == pytest.approx(length - len(left_out), rel=1e-12)
    assert (np.diff(sample.positions) > 0).all()
    assert not set(sample.positions) & set(left_out)
    assert sample.drawn[2:].tolist() == [math.ceil(fraction * n) for n in sample.sizes[2:]]
    whole = draw(scores, sites, left_out, strata, block=length)
    assert whole.positions.tolist() == sample.positions.tolist()


def test_draw_depends_on_seed_and_gene_and_is_repeatable():
    scores = np.zeros(2_000)
    first = draw(scores).positions.tolist()
    assert draw(scores).positions.tolist() == first
    assert draw(scores, name="h").positions.tolist() != first
    other = Strata.build(SAMPLING | {"seed": 8})
    assert draw(scores, strata=other).positions.tolist() != first


def test_rows_of_a_stratum_are_spread_evenly():
    places = np.concatenate([draw(np.zeros(400), name=f"g{i}").positions for i in range(200)])
    share = np.histogram(places, bins=4, range=(0, 400))[0] / len(places)
    np.testing.assert_allclose(share, 0.25, atol=0.015)


@pytest.mark.parametrize(
    ("above", "message"),
    [
        ([0.001], "add one with above: 0"),
        ([], "add one with above: 0"),
        ([0, 0.001, 0.001], "must differ"),
        ([0, 0.05], "lie below candidates_above"),
    ],
)
def test_strata_that_leave_or_repeat_positions_are_refused(above, message):
    rest = [{"above": value, "fraction": 0.5} for value in above]
    with pytest.raises(InputError, match=message):
        Strata.build(SAMPLING | {"rest": rest})
