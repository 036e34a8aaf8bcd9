"""Makes the job whose log file is named in PLANTED_FAILURE raise; put on PYTHONPATH by a test."""

import contextlib
import os

from genebatch import resources

_job = resources.job


@contextlib.contextmanager
def _failing_job(*, log_file, **options):
    with _job(log_file=log_file, **options):
        if str(log_file) == os.environ["PLANTED_FAILURE"]:
            raise RuntimeError("planted failure")
        yield


if "PLANTED_FAILURE" in os.environ:
    resources.job = _failing_job
