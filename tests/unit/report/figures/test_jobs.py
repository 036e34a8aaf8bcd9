"""The figure of memory shows every job."""

from genebatch.report.figures.jobs import memory
from tests.builders.tables_and_figures import said


def test_memory_shows_every_job_and_says_when_there_is_none():
    jobs = [
        {"rule": "train", "batch": b, "declared_mb": 500, "peak_mb": p}
        for b, p in (("b0", 300.0), ("b1", 350.0))
    ]
    figure, empty = memory(jobs, "t"), memory([], "t")
    peaks = [line for line in figure.axes[0].get_lines() if line.get_marker() == "o"]
    assert peaks[0].get_xdata().tolist() == [300, 350]
    assert said(empty.axes[0]) == ["no job recorded its memory"]
