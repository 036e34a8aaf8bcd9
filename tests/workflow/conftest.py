"""Runs of the whole workflow, each in a folder of its own."""

import shutil
from pathlib import Path

import pytest

from genebatch.simulation.table import simulate
from tests.workflow.running import SMALL, Run


@pytest.fixture(scope="session")
def example_data(tmp_path_factory) -> Path:
    return simulate(tmp_path_factory.mktemp("example"), n_genes=48, n_rows=2_400, n_new_genes=5)


@pytest.fixture(scope="session")
def finished(tmp_path_factory, example_data) -> tuple[Path, str]:
    """A finished run, not to be changed, and what it printed."""
    folder = tmp_path_factory.mktemp("finished")
    shutil.copytree(example_data, folder / "data")
    run = Run(folder)
    run.configure(SMALL)
    return folder, run.ok()


@pytest.fixture
def run(tmp_path, finished) -> Run:
    """A copy of the finished run, with the times of its files."""
    folder = tmp_path / "run"
    shutil.copytree(finished[0], folder, copy_function=shutil.copy2)
    return Run(folder)


@pytest.fixture
def empty_run(tmp_path, example_data) -> Run:
    """A folder with data and config in which nothing has run yet."""
    folder = tmp_path / "run"
    shutil.copytree(example_data, folder / "data")
    run = Run(folder)
    run.configure(SMALL)
    return run
