"""Tests of calls.rescoring: which positions the model re-scores."""

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from genebatch.calls.rescoring import (
    EDGES,
    EVERYWHERE,
    NOWHERE,
    Band,
    band_of_mode,
    band_of_share,
    below,
    uncertainty,
)
from genebatch.features.along_gene import Genome
from genebatch.features.positions import Spec
from tests.builders.held_genome import HeldScores, made_gene

SCORES = np.array([[0, 0.02, 0.5, 0.1, 0.8, 1], [0, 0.01, 0.1, 0.9, 0.1, 0]], np.float32)


def test_larger_score_counts_and_floored_ones_are_equal():
    scores = np.array([[1e-7, 0.3, 0.2], [0, 0.2, 0.6]], np.float32)
    np.testing.assert_array_equal(uncertainty(scores, 1e-5), np.float32([1e-5, 0.3, 0.6]))


def test_band_has_its_lower_end_and_not_its_upper():
    assert Band(0.02, 0.8).holds(SCORES, 1e-5).tolist() == [False, True, True, False, False, False]


@pytest.mark.parametrize("high", [1.0, 1.1, np.inf])
def test_upper_end_of_one_or_more_is_none(high):
    # The last position has a score of exactly 1.
    for band in (Band(0.9, high), band_of_mode("hybrid", (0.9, high))):
        assert band.holds(SCORES, 1e-5).tolist() == [False] * 3 + [True, False, True]
    almost = float(np.nextafter(np.float32(1), np.float32(0)))
    assert Band(0.9, almost).holds(SCORES, 1e-5).tolist() == [False] * 3 + [True] + [False] * 2


def test_certain_scores_count_in_the_share():
    gene, tracks = made_gene(0, 4, name="a"), {"a": track([1, 1, 0.5, 0])}
    assert band_of_share(genome(tracks), [gene], 0.25, 1.0) == NOWHERE
    held = band_of_share(genome(tracks), [gene], 0.5, 1.0).holds(tracks["a"], 1e-5)
    assert held.tolist() == [True, True, False, False]


def test_band_says_what_it_holds():
    assert str(Band(3e-5, 1.0)) == "where the larger base score is at least 3e-05"
    assert str(Band(0.01, 0.8)) == "where the larger base score is at least 0.01 and below 0.8"
    assert str(NOWHERE) == "nowhere"


def test_bands_of_the_other_modes_hold_all_or_nothing():
    assert EVERYWHERE.holds(SCORES, 0).all()
    assert not NOWHERE.holds(SCORES, 0).any()


def genome(tracks, floor=1e-5):
    return Genome(None, HeldScores(tracks), Spec(families=("scores",), floor=floor))


def track(values):
    return np.array([values, np.zeros(len(values))], np.float32)


def test_share_is_of_the_positions_of_all_genes():
    # Two of eight positions score above 0.01; a share of 0.25 holds both, one of 0.24 the higher.
    tracks = {"a": track([0.1, 0, 0, 0, 0]), "b": track([0.02, 0, 0])}
    genes = [made_gene(0, 5, name="a"), made_gene(9, 12, name="b")]
    for share, held in ((0.25, [1, 1]), (0.24, [1, 0])):
        band = band_of_share(genome(tracks), genes, share, 1.0)
        assert [int(band.holds(tracks[name], 1e-5).sum()) for name in "ab"] == held


def test_whole_share_holds_every_position():
    gene, tracks = made_gene(0, 4, name="a"), {"a": track([0, 1e-12, 0.3, 0.99])}
    assert band_of_share(genome(tracks, 0), [gene], 1.0, 1.0) == Band(0, 1.0)


def test_ties_that_do_not_fit_are_left_out():
    gene, tracks = made_gene(0, 4, name="a"), {"a": track([0.5] * 4)}
    band = band_of_share(genome(tracks), [gene], 0.5, 0.8)
    assert not band.holds(tracks["a"], 1e-5).any()
    assert 0.5 < band.low < 0.8


def test_band_is_empty_where_even_the_last_bin_holds_too_many():
    gene, tracks = made_gene(0, 4, name="a"), {"a": track([0.5] * 4)}
    high = float(np.nextafter(np.float32(0.5), np.float32(1)))
    band = band_of_share(genome(tracks), [gene], 0.5, high)
    assert not band.holds(tracks["a"], 1e-5).any()


@settings(max_examples=50, deadline=None)
@given(seed=st.integers(0, 10**6), share=st.floats(0.001, 1), high=st.floats(1e-3, 1.2))
@example(seed=0, share=float(np.nextafter(1, 0)), high=1.0)
def test_band_is_the_widest_that_holds_no_more_than_the_share(seed, share, high):
    rng = np.random.default_rng(seed)
    tracks = {"a": track(10 ** rng.uniform(-7, 0, 300))}
    found = band_of_share(genome(tracks), [made_gene(0, 300, name="a")], share, high)
    assert found.holds(tracks["a"], 1e-5).mean() <= share
    lower = EDGES[(np.float32(found.low) > EDGES) & below(EDGES, high)]
    if len(lower):
        assert Band(float(lower[-1]), high).holds(tracks["a"], 1e-5).mean() > share


@pytest.mark.parametrize("edge", [1e-9, 1e-5, 1e-3, 0.1])
def test_decades_are_edges(edge):
    assert np.isclose(EDGES, edge, rtol=1e-6, atol=0).sum() == 1
