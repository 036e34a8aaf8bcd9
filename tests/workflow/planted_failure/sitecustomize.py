"""Makes the job whose log file is named in PLANTED_FAILURE fail; put on PYTHONPATH by a test.

It raises, or as PLANTED_KIND has it: `kill` ends it by SIGKILL, `sleep` has it wait first, `eat`
takes memory and gives it back. PLANTED_ALGORITHM is the version of the algorithm.
"""

import contextlib
import os
import signal
import time

import genebatch
from genebatch.jobs import run

_job = run.job


def _raise() -> None:
    raise RuntimeError("planted failure")


KINDS = {
    "raise": _raise,
    "kill": lambda: os.kill(os.getpid(), signal.SIGKILL),
    "eat": lambda: len(b"x" * (int(os.environ["PLANTED_MB"]) << 20)),
    "sleep": lambda: time.sleep(float(os.environ["PLANTED_SECONDS"])),
}


@contextlib.contextmanager
def _failing_job(*, log_file, **options):
    with _job(log_file=log_file, **options):
        if str(log_file) == os.environ["PLANTED_FAILURE"]:
            KINDS[os.environ.get("PLANTED_KIND", "raise")]()
        yield


if "PLANTED_FAILURE" in os.environ:
    run.job = _failing_job
if "PLANTED_ALGORITHM" in os.environ:
    genebatch.ALGORITHM = int(os.environ["PLANTED_ALGORITHM"])
