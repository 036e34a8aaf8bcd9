"""Maxima of many ranges at once."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from genebatch.features.range_maxima import RangeMaxima

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
