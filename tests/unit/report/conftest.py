"""Written pages, each kind once."""

import pytest

from tests.builders.finished_run import ABOVE, AROUND, BELOW, VOWELS, Data


@pytest.fixture(scope="session")
def written(tmp_path_factory):
    """Write a run's report once per kind of data; give data, page and card."""
    reports = {}

    def write(key, intervals=(ABOVE, AROUND, {True: BELOW, False: AROUND}), usage=None, **options):
        if key not in reports:
            data = Data(tmp_path_factory.mktemp(key), **options)
            given = {} if usage is None else {"usage": usage}
            reports[key] = data, *data.report(data.run(intervals, **given))
        return reports[key]

    return write


@pytest.fixture(scope="session")
def bare(written):
    """Classes without base scores or weights: data, page and card."""
    options = {"classes": VOWELS, "base": False, "weight": False, "single": False}
    return written("bare", (ABOVE,) * 4, (), **options)
