"""Usage is summed up by rule."""

from genebatch.report.usage import MOST_JOBS, listed_jobs, usage_by_rule


def test_usage_is_summed_up_by_rule():
    records = [
        {"rule": r, "batch": b, "declared_mb": d, "peak_mb": p, "seconds": 2.0, "threads": 1}
        for r, b, d, p in (("a", "0", 100, 50.0), ("a", "1", 200, 150.0), ("b", "all", 400, 300.0))
    ]
    first, second = usage_by_rule(records)
    assert first[:2] == ("b", 1)
    assert second == ("a", 2, 200, 150.0, 0.5, 0.75, 4.0, 1)


def test_the_jobs_nearest_to_their_estimate_are_listed_first():
    jobs = [{"rule": "a", "peak_mb": float(n), "declared_mb": 1_000} for n in range(MOST_JOBS + 9)]
    peaks = [job["peak_mb"] for job in listed_jobs(jobs)]
    assert len(peaks) == MOST_JOBS
    assert peaks == sorted(peaks, reverse=True)
    assert peaks[0] == MOST_JOBS + 8
