"""A private SLURM, and the same small run done locally."""

import shutil
from pathlib import Path

import pytest

from genebatch.simulate import simulate
from private_slurm import PrivateSlurm, unavailable
from running import SMALL, Run


@pytest.fixture(scope="session")
def slurm() -> PrivateSlurm:
    """Two nodes with processors enough, and memory for one batch each."""
    reason = unavailable()
    if reason is not None:
        pytest.skip(reason)
    with PrivateSlurm(nodes=2, cpus=4, memory_mb=2_600) as cluster:
        yield cluster


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
