"""Tests of features.landscape: features of a position from its whole gene, and range maxima."""

import tracemalloc

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from genebatch.features import landscape as module
from genebatch.features.landscape import COLUMNS, FLOOR, MAX_DISTANCE, Landscape, RangeMaxima
from genebatch.io.files import InputError

NONE = np.float32(np.log(FLOOR))
DONORS = {1_000: 0.9, 2_100: 0.05}
ACCEPTORS = {2_000: 0.6}


def track(donors: dict[int, float], acceptors: dict[int, float], length: int) -> np.ndarray:
    scores = np.zeros((2, length), np.float32)
    for row, sites in zip(scores, (donors, acceptors), strict=True):
        row[list(sites)] = list(sites.values())
    return scores


def at(scores: np.ndarray, *positions: int) -> dict[str, np.ndarray]:
    made = Landscape.collect([scores], scores.shape[1])
    return made.features(np.array(positions), scores[:, list(positions)])


def log(score: float) -> np.float32:
    return np.log(np.float32(score))


def test_highest_scores_of_a_gene_with_three_sites():
    found = at(track(DONORS, ACCEPTORS, 5_000), 1_500)
    assert found["donor_max_upstream_250"] == NONE
    assert found["donor_max_upstream_500"] == log(0.9)
    assert found["donor_max_downstream_500"] == NONE
    assert found["donor_max_downstream_1000"] == log(0.05)
    assert found["acceptor_max_downstream_500"] == log(0.6)
    assert found["acceptor_max_upstream_100000"] == NONE


def test_nearest_site_on_each_side_and_its_type():
    found = at(track(DONORS, ACCEPTORS, 5_000), 999, 1_000, 1_500, 2_500)
    assert found["nearest_distance_upstream"].tolist() == [MAX_DISTANCE, MAX_DISTANCE, 500, 500]
    assert found["nearest_type_upstream"].tolist() == [0, 0, 1, -1]
    assert found["nearest_distance_downstream"].tolist() == [1, 1_000, 500, MAX_DISTANCE]
    assert found["nearest_type_downstream"].tolist() == [1, -1, -1, 0]


def test_nearest_position_that_is_both_has_no_type():
    found = at(track({300: 0.5}, {300: 0.4}, 1_000), 250)
    assert found["nearest_distance_downstream"] == 50
    assert found["nearest_type_downstream"] == 0


def test_standing_of_a_position_among_the_sites_of_its_gene():
    found = at(track(DONORS, ACCEPTORS, 5_000), 1_000, 1_500, 2_100)
    assert found["donor_gene_sites"].tolist() == [1, 1, 1]
    assert found["donor_gene_rank"].tolist() == [0, 2, 1]
    assert found["donor_gene_max"].tolist() == [log(0.9)] * 3
    assert found["acceptor_gene_rank"].tolist() == [1, 1, 1]


def test_windows_leave_out_the_position_and_two_nt_on_each_side():
    beside = {498: 0.1, 499: 0.02, 500: 0.9, 501: 0.03, 502: 0.5}
    found = at(track(beside, {}, 1_000), 500)
    assert found["donor_max_upstream_100000"] == NONE
    assert found["donor_max_downstream_100000"] == NONE


def test_nearest_site_may_be_the_next_position_but_not_the_position_itself():
    found = at(track({499: 0.3, 500: 0.9}, {501: 0.4}, 1_000), 500)
    assert found["nearest_distance_upstream"] == found["nearest_distance_downstream"] == 1
    assert (found["nearest_type_upstream"], found["nearest_type_downstream"]) == (1, -1)


@pytest.mark.parametrize(("away", "inside"), [(2, False), (3, True), (10, True), (11, False)])
def test_window_of_10_holds_positions_3_to_10_nt_away(away, inside):
    scores = track({500 - away: 0.7}, {500 + away: 0.3}, 1_000)
    found = at(scores, 500)
    assert found["donor_max_upstream_10"] == (log(0.7) if inside else NONE)
    assert found["acceptor_max_downstream_10"] == (log(0.3) if inside else NONE)
    assert found["donor_max_downstream_10"] == found["acceptor_max_upstream_10"] == NONE


def test_gene_without_scores_has_stated_values():
    found = at(track({}, {}, 30), 0, 29)
    for name in COLUMNS:
        wanted = MAX_DISTANCE if "_distance_" in name else NONE if "_max" in name else 0
        assert found[name].tolist() == [wanted, wanted], name


def test_site_beyond_the_greatest_distance_looks_like_none():
    found = at(track({0: 0.9}, {}, 40_000), MAX_DISTANCE - 1, MAX_DISTANCE + 1)
    assert found["nearest_distance_upstream"].tolist() == [MAX_DISTANCE - 1, MAX_DISTANCE]
    assert found["nearest_type_upstream"].tolist() == [1, 0]


def test_ends_of_the_gene_leave_no_trace():
    scores = made_track(np.random.default_rng(3), 3_000)
    longer = np.pad(scores, ((0, 0), (70_000, 20_000)))
    positions = np.arange(0, 3_000, 7)
    short, long = at(scores, *positions), at(longer, *(positions + 70_000))
    for name in COLUMNS:
        np.testing.assert_array_equal(short[name], long[name], name)


def test_reversed_gene_swaps_upstream_and_downstream():
    scores = made_track(np.random.default_rng(4), 3_000)
    positions = np.arange(0, 3_000, 11)
    forward, backward = at(scores, *positions), at(scores[:, ::-1], *(2_999 - positions))
    for name in (name for name in COLUMNS if "upstream" in name):
        other = name.replace("upstream", "downstream")
        np.testing.assert_array_equal(forward[name], backward[other], name)
        np.testing.assert_array_equal(forward[other], backward[name], other)


def test_scores_below_the_floor_change_nothing():
    scores = made_track(np.random.default_rng(5), 2_000)
    dense = np.where(scores == 0, np.float32(FLOOR * 0.99), scores)
    sparse, full = (Landscape.collect([s], 2_000) for s in (scores, dense))
    own = np.maximum(scores, np.float32(FLOOR))
    for name, values in sparse.features(np.arange(2_000), own).items():
        np.testing.assert_array_equal(values, full.features(np.arange(2_000), own)[name], name)


def test_higher_floor_drops_what_is_below_it():
    scores = track({100: 1e-3, 200: 0.5}, {}, 1_000)
    made = Landscape.collect([scores], 1_000, floor=1e-2)
    found = made.features(np.array([150]), np.full((2, 1), 1e-2, np.float32))
    assert found["donor_max_upstream_60"] == log(1e-2)
    assert found["donor_max_downstream_60"] == log(0.5)
    assert found["donor_gene_rank"] == 1


def test_columns_are_finite_float32_in_the_order_of_their_names():
    scores = made_track(np.random.default_rng(6), 1_000)
    found = at(scores, *range(1_000))
    assert tuple(found) == COLUMNS
    assert len(set(COLUMNS)) == len(COLUMNS)
    assert all(v.dtype == np.float32 and np.isfinite(v).all() for v in found.values())


def test_no_positions_give_empty_columns():
    scores = track(DONORS, ACCEPTORS, 5_000)
    found = Landscape.collect([scores], 5_000).features(np.empty(0, np.int64), scores[:, :0])
    assert all(values.shape == (0,) for values in found.values())


@pytest.mark.parametrize("length", [2_999, 3_001])
def test_blocks_that_do_not_make_up_the_gene_are_refused(length):
    blocks = [np.zeros((2, 2_000), np.float32), np.zeros((2, 1_000), np.float32)]
    with pytest.raises(InputError, match=f"cover 3,000 nt of a gene of {length:,} nt"):
        Landscape.collect(blocks, length)


def test_long_gene_costs_the_memory_of_its_sites_only():
    block = np.zeros((2, 100_000), np.float32)
    block[:, ::10_000] = 0.5
    tracemalloc.start()
    made = Landscape.collect((block for _ in range(200)), 20_000_000)
    held, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert [len(places) for places, _ in made.kept] == [2_000, 2_000]
    assert held < 1_000_000
    assert peak < 2_000_000


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 2**32 - 1), st.sets(st.integers(1, 399), max_size=6), st.integers(40, 400))
def test_cutting_blocks_and_positions_changes_nothing(seed, cuts, part):
    scores = made_track(np.random.default_rng(seed), 400)
    whole = at(scores, *range(400))
    made = Landscape.collect(np.split(scores, sorted(cuts), axis=1), 400)
    for start in range(0, 400, part):
        positions = np.arange(start, min(start + part, 400))[::-1]
        for name, values in made.features(positions, scores[:, positions]).items():
            np.testing.assert_array_equal(values, whole[name][positions], name)


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(1, 700))
def test_columns_equal_a_search_of_the_track(seed, length):
    scores = made_track(np.random.default_rng(seed), length)
    positions = np.arange(0, length, 23)
    found = at(scores, *positions)
    for i, position in enumerate(positions):
        for name, wanted in searched(scores, int(position)).items():
            np.testing.assert_allclose(found[name][i], wanted, rtol=1e-6, err_msg=name)


def made_track(rng: np.random.Generator, length: int) -> np.ndarray:
    """Scores of which about 6 % reach the floor; the others are 0."""
    scores = np.exp(rng.uniform(np.log(FLOOR), 0, (2, length)))
    return np.where(rng.random((2, length)) < 0.06, scores, 0).astype(np.float32)


def searched(scores: np.ndarray, position: int) -> dict[str, float]:
    """The columns of one position by going through the gene for each of them."""
    row = {}
    for channel, track_ in zip(module.CHANNELS, scores, strict=True):
        sides = {"upstream": track_[:position][::-1], "downstream": track_[position + 1 :]}
        for side, away in sides.items():  # away[0] is 1 nt from the position
            for window in module.WINDOWS:
                highest = max(away[2:window], default=0)
                row[f"{channel}_max_{side}_{window}"] = np.log(max(highest, FLOOR))
        own = track_[position]
        row[f"{channel}_gene_sites"] = (track_ >= 0.1).sum()
        row[f"{channel}_gene_rank"] = ((track_ >= FLOOR) & (track_ > own)).sum()
        row[f"{channel}_gene_max"] = np.log(max(track_.max(), FLOOR))
    for side, away in (
        ("upstream", scores[:, :position][:, ::-1]),
        ("downstream", scores[:, position + 1 :]),
    ):
        donor, acceptor = (min([MAX_DISTANCE, *(np.flatnonzero(a >= 0.1)[:1] + 1)]) for a in away)
        row[f"nearest_distance_{side}"] = min(donor, acceptor)
        row[f"nearest_type_{side}"] = np.sign(acceptor - donor)
    return row


PLACES = np.array([2, 5, 6, 9])


def maxima(widest: int = 100) -> RangeMaxima:
    return RangeMaxima(PLACES, np.array([0.1, 0.4, 0.2, 0.3]), empty=-1.0, widest=widest)


def between(made: RangeMaxima, low: int, high: int) -> float:
    """Maximum of the places low to high, both inside."""
    bounds = made.index(np.array([low, high + 1]))
    return float(made.between(bounds[:1], bounds[1:])[0])


def test_both_ends_of_a_range_are_inside():
    assert between(maxima(), 2, 5) == np.float32(0.4)
    assert between(maxima(), 3, 4) == -1.0
    assert between(maxima(), 6, 9) == np.float32(0.3)
    assert between(maxima(), 0, 20) == np.float32(0.4)


def test_a_range_that_ends_before_it_begins_is_empty():
    assert between(maxima(), 9, 2) == -1.0


def test_no_places_give_empty_ranges_only():
    nothing = RangeMaxima(np.empty(0, np.int64), np.empty(0), empty=-7.0, widest=10)
    assert between(nothing, 0, 10) == -7.0


def test_rows_of_the_table_follow_the_fullest_range_and_not_the_length_of_the_line():
    spaced = np.arange(0, 100_000, 100)
    narrow = RangeMaxima(spaced, np.zeros(spaced.size), empty=-1.0, widest=50)
    assert narrow.nbytes < 3 * spaced.size * 8


@settings(max_examples=60, deadline=None)
@given(st.sets(st.integers(0, 300), max_size=80), st.integers(0, 120), st.integers(0, 2**32 - 1))
def test_every_range_equals_a_search_of_its_places(chosen, widest, seed):
    rng = np.random.default_rng(seed)
    places = np.array(sorted(chosen), dtype=np.int64)
    values = rng.random(places.size).astype(np.float32)
    made = RangeMaxima(places, values, empty=-1.0, widest=widest)
    low = rng.integers(-5, 310, 50)
    high = low + rng.integers(0, widest + 1, 50)
    wanted = [
        max(values[(places >= a) & (places <= b)], default=-1.0)
        for a, b in zip(low, high, strict=True)
    ]
    np.testing.assert_array_equal(made.between(made.index(low), made.index(high + 1)), wanted)
