"""An interval says what it says."""

import pytest

from genebatch.report.verdicts import verdict_word
from tests.builders.finished_run import ABOVE, AROUND, BELOW


@pytest.mark.parametrize(
    ("interval", "word"),
    [
        (ABOVE, "better"),
        (BELOW, "worse"),
        (AROUND, "not distinguishable"),
        ((0.0, 0.1), "not distinguishable"),
        ((-0.1, 0.0), "not distinguishable"),
        ((None, None), "not judged"),
    ],
)
def test_an_interval_that_includes_zero_is_no_difference(interval, word):
    assert verdict_word(*interval) == word
