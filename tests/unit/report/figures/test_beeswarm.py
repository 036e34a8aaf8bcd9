"""Dots of a beeswarm lie at their value, beside each other, in the colour of the feature."""

import numpy as np
from matplotlib.figure import Figure

from genebatch.report.figures import style
from genebatch.report.figures.beeswarm import COLOURS, beeswarm, shades, stacked


def test_dots_of_one_place_lie_above_and_below_in_turn():
    # Five dots in the bin of 0, one in that of 1; a stack of 5 goes 2 thirds of the way out.
    offsets = stacked(np.array([0.0, 1.0, 0.0, 0.001, 0.0, 0.002]))
    third = 0.4 / 3
    np.testing.assert_allclose(offsets, [0, 0, third, -third, 2 * third, -2 * third])


def test_the_highest_stack_stays_in_its_row():
    offsets = stacked(np.zeros(999))
    assert np.abs(offsets).max() <= 0.4
    assert len(set(offsets)) == 999


def test_a_few_extreme_values_do_not_pale_the_others():
    values = np.append(np.linspace(0, 1, 101), [1e9, -1e9])
    given = shades(values)
    assert given[0] < 0.05
    assert given[100] > 0.95
    assert (given[-2], given[-1]) == (1, 0)


def test_a_rare_value_has_its_colour_and_a_constant_the_middle():
    assert shades(np.array([0.0] * 99 + [1.0])).tolist() == [0] * 99 + [1]
    assert shades(np.array([3.0, 3.0])).tolist() == [0.5, 0.5]
    assert shades(np.array([])).tolist() == []


def test_the_first_column_is_on_top_and_missing_values_are_grey():
    axes = Figure().subplots()
    places = np.array([[1.0, -1.0], [2.0, -2.0]])
    beeswarm(axes, places, np.array([[0.0, 5.0], [np.nan, 6.0]]), ["first", "second"])
    grey, coloured = axes.collections[:2]
    assert [label.get_text() for label in axes.get_yticklabels()] == ["second", "first"]
    assert grey.get_offsets().tolist() == [[2.0, 1.0]]
    assert coloured.get_offsets().tolist() == [[1.0, 1.0]]
    assert grey.get_facecolor()[0].tolist() == [*_rgb(style.PALE), 1]
    assert coloured.get_cmap() == COLOURS


def _rgb(colour: str) -> list[float]:
    return [int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)]
