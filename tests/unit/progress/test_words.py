"""Sizes and times in words."""

import pytest

from genebatch.progress.words import duration, memory, rest


@pytest.mark.parametrize(("mb", "said"), [(580, "580 MB"), (1_880, "1.9 GB"), (999.9, "1.0 GB")])
def test_sizes(mb, said):
    assert memory(mb) == said


@pytest.mark.parametrize(
    ("seconds", "said"),
    [(0.2, "1 s"), (41.4, "41 s"), (200, "3 min 20 s"), (59.6, "1 min 00 s"), (3900, "1 h 05 min")],
)
def test_durations(seconds, said):
    assert duration(seconds) == said


@pytest.mark.parametrize(
    ("seconds", "said"),
    [
        (20, "less than a minute left"),
        (70, "about 2 min left"),
        (1_000, "about 15 min left"),
        (4_000, "about 1 h 05 min left"),
    ],
)
def test_rests_are_round(seconds, said):
    assert rest(seconds) == said
