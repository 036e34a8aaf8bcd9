"""Model files of strangers: whatever is in them, they are refused or predict, and nothing else."""

import json
import os
import subprocess
import sys

import pytest

from tests.builders import REPOSITORY, THOROUGH

SCRIPT = REPOSITORY / "tests/builders/damaged_models.py"
SEEDS = 3_000 if THOROUGH else 600

pytestmark = pytest.mark.slow


@pytest.mark.parametrize(("kind", "seeds"), [((), SEEDS), (("--boosters",), SEEDS * 2 // 3)])
def test_mutated_file_is_refused_or_predicts(kind, seeds):
    done = subprocess.run(
        [sys.executable, str(SCRIPT), "0", str(seeds), *kind],
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    last = (done.stderr.splitlines() or ["none"])[-1]
    assert done.returncode == 0, f"exit {done.returncode} at seed {last}: {done.stdout[-2000:]}"
    counted = json.loads(done.stdout)
    assert sum(counted.values()) == seeds
    assert set(counted) == {"refused", "used"}  # some mutations change nothing that matters
