"""Numbers keep the digits that matter."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from genebatch.report.numbers import cell, format_value


def test_a_shown_number_keeps_its_full_value():
    assert cell(0.123456789, None) == ("0.1235", "0.123456789")
    assert cell(None, "no positive rows") == ("\N{EN DASH}", "no positive rows")


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.0, "0"),
        (1.0, "1"),
        (0.5, "0.5000"),
        (0.00163481, "0.00163"),
        (0.00043, "0.000430"),
        (0.0000616, "6.16e-05"),
        (0.9999997927, "0.99999979"),
        (-0.25, "-0.2500"),
        (2.302585, "2.303"),
    ],
)
def test_numbers_keep_the_digits_that_matter(value, text):
    assert format_value(value) == text


def test_signed_numbers_have_a_sign():
    assert [format_value(v, signed=True) for v in (0.05, -0.05, 1e-7)] == [
        "+0.0500",
        "-0.0500",
        "+1.00e-07",
    ]


@given(st.floats(1e-12, 1 - 1e-12))
def test_a_shown_number_is_near_in_its_distance_from_0_and_from_1(value):
    error = abs(float(format_value(value)) - value)
    assert error <= 0.06 * min(value, 1 - value)
