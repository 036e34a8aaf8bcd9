"""A small table, the first steps of the library on it, and where real data are."""

import fcntl
import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import hypothesis
import numpy as np
import polars as pl
import pytest

from genebatch.config.settings import Settings, Table
from genebatch.dataset.profile import analyze
from tests.builders import REPOSITORY, THOROUGH
from tests.builders.clean_environment import make_environment
from tests.builders.small_table import Analysed, make_table, resolved

pytest_plugins = ["tests.builders.toy_run"]  # fixtures of runs that steps made

# A busy machine is no failure.
hypothesis.settings.register_profile(
    "genebatch", deadline=None, max_examples=1_000 if THOROUGH else 100
)
hypothesis.settings.load_profile("genebatch")


@pytest.fixture
def table() -> Callable[..., pl.DataFrame]:
    """The small table as a function of its sizes."""
    return make_table


@pytest.fixture(name="resolved")
def resolved_settings() -> Callable[..., Settings]:
    """Settings for the small table; sections of the configuration are keyword arguments."""
    return resolved


@pytest.fixture
def write(tmp_path: Path) -> Callable[..., Table]:
    """Write a table as Parquet shards, and give the section `dataset` that reads it."""

    def write_shards(
        frame: pl.DataFrame,
        shards: int = 1,
        row_group_size: int | None = None,
        folder: str = "data",
        **keys: Any,
    ) -> Table:
        path = tmp_path / folder
        path.mkdir(parents=True)
        for number, rows in enumerate(np.array_split(np.arange(frame.height), shards)):
            frame[rows].write_parquet(
                path / f"part-{number}.parquet", row_group_size=row_group_size
            )
        return resolved(dataset={"path": str(path), **keys}).table

    return write_shards


@pytest.fixture
def analyse(write: Callable) -> Callable[..., Analysed]:
    """Write a table as Parquet shards, and analyse it."""

    def run(
        frame: pl.DataFrame, *, test_column: str | None = None, threads: int = 1, **keys: Any
    ) -> Analysed:
        table = write(frame, **keys)
        profile, groups = analyze(table, test_column, threads)
        # As its file gives it; what is no JSON fails here.
        return Analysed(table, json.loads(json.dumps(profile, allow_nan=False)), groups)

    return run


@pytest.fixture(scope="session")
def made_once(tmp_path_factory) -> Callable[[str, Callable[[Path], None]], Path]:
    """A folder by its name, which the first worker that asks for it fills for all workers."""
    common = tmp_path_factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        common = common.parent

    def folder(name: str, fill: Callable[[Path], None]) -> Path:
        path, finished = common / f"once-{name}", common / f"once-{name}.finished"
        with (common / f"once-{name}.lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if not finished.exists():
                shutil.rmtree(path, ignore_errors=True)  # what a failed attempt left
                path.mkdir()
                fill(path)
                finished.touch()
        return path

    return folder


@pytest.fixture(scope="session")
def environment(made_once) -> Path:
    """A folder with an sdist, the wheel made of it, and an environment that has this wheel."""
    return made_once("environment", make_environment)


@pytest.fixture(scope="session")
def real_data() -> Path:
    """Folder of the real data sets, beside the repository or named by GENEBATCH_REAL_DATA."""
    folder = Path(os.environ.get("GENEBATCH_REAL_DATA", REPOSITORY.parent / "shared" / "data"))
    if not folder.is_dir():
        pytest.skip(f"no real data in {folder}; set GENEBATCH_REAL_DATA")
    return folder
