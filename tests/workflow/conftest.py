"""Runs of the whole workflow, each in a folder of its own."""

import shutil
from pathlib import Path

import pytest

from genebatch.simulation.table import simulate
from tests.workflow.running import AS_A_USER, SMALL, Run


@pytest.fixture(scope="session")
def example_data(made_once) -> Path:
    def fill(folder: Path) -> None:
        simulate(folder, n_genes=48, n_rows=2_400, n_new_genes=5)

    return made_once("example", fill)


@pytest.fixture(scope="session")
def finished(made_once, example_data) -> tuple[Path, str]:
    """A finished run, not to be changed, and what it printed."""

    def fill(folder: Path) -> None:
        shutil.copytree(example_data, folder / "data")
        run = Run(folder)
        run.configure(SMALL)
        (folder / "printed").write_text(run.ok(env=AS_A_USER))

    folder = made_once("finished", fill)
    return folder, (folder / "printed").read_text()


@pytest.fixture
def run(tmp_path, finished) -> Run:
    """A copy of the finished run, with the times of its files."""
    return Run.copied(finished[0], tmp_path / "run")


@pytest.fixture
def empty_run(tmp_path, example_data) -> Run:
    """A folder with data and config in which nothing has run yet."""
    folder = tmp_path / "run"
    shutil.copytree(example_data, folder / "data")
    run = Run(folder)
    run.configure(SMALL)
    return run
