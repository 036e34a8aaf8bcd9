"""A private SLURM with the record of what ran on it, and the same small run done locally."""

import shutil
from collections.abc import Sequence
from pathlib import Path

import polars as pl
import pytest

from genebatch.io.files import write_tsv
from genebatch.simulation.table import simulate
from tests.cluster.private_slurm import PrivateSlurm, SlurmJob, unavailable
from tests.workflow.running import REPOSITORY, SMALL, Run


@pytest.fixture(scope="session")
def slurm() -> PrivateSlurm:
    """Two nodes with processors enough, and memory for one batch each."""
    reason = unavailable()
    if reason is not None:
        pytest.skip(reason)
    with PrivateSlurm(nodes=2, cpus=4, memory_mb=2_600) as cluster:
        yield cluster
        record(cluster.jobs(), REPOSITORY / "benchmarks/cluster.tsv")


def record(jobs: Sequence[SlurmJob], path: Path) -> None:
    """Write the accounting of every attempt, a line each; `start` counts from the first."""
    first = min(job.start for job in jobs)
    table = pl.DataFrame(
        {
            "job": [job.number for job in jobs],
            "rule": [job.name.removeprefix("rule_") for job in jobs],
            "state": [job.state for job in jobs],
            "steps": [",".join(job.steps) for job in jobs],
            "asked_mb": [round(job.mem_mb) for job in jobs],
            "asked_minutes": [job.minutes for job in jobs],
            "node": [job.node for job in jobs],
            "start_s": [round(job.start - first) for job in jobs],
            "seconds": [round(job.end - job.start) for job in jobs],
        }
    )
    write_tsv(path, table)


@pytest.fixture(scope="session")
def local(tmp_path_factory) -> Path:
    """The folder of a finished run on this machine, not to be changed."""
    folder = tmp_path_factory.mktemp("local")
    simulate(folder / "made", n_genes=48, n_rows=2_400, n_new_genes=5)
    (folder / "made").rename(folder / "data")
    run = Run(folder)
    run.configure(SMALL)
    run.ok()
    return folder


@pytest.fixture(scope="session")
def finished(tmp_path_factory, slurm, local) -> tuple[Path, str]:
    """The folder of a run on the cluster, from data to report, and what it printed."""
    from test_cluster import SlurmRun

    folder = tmp_path_factory.mktemp("cluster") / 'a "run" $(touch planted)'
    shutil.copytree(local / "data", folder / "data")
    run = SlurmRun(folder)
    run.configure(SMALL)
    return folder, run.ok()
