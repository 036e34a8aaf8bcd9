"""A small table, the first steps of the library on it, and where real data are."""

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import polars as pl
import pytest
from hypothesis import settings

from genebatch.config import schema as config
from genebatch.dataset import profile as analysis
from tests.builders import REPOSITORY

pytest_plugins = ["tests.builders.toy_run"]  # fixtures of runs that steps made

# A busy machine is no failure.
settings.register_profile("genebatch", deadline=None)
settings.load_profile("genebatch")

CLASSES = ["neither", "donor", "acceptor"]


class Analysed(NamedTuple):
    """What the analysis wrote: the paths and their contents."""

    dataset: dict[str, Any]
    profile_path: Path
    genes_path: Path
    profile: dict[str, Any]
    genes: pl.DataFrame


def make_table(n_groups: int = 12, rows: int = 10, seed: int = 0) -> pl.DataFrame:
    """Groups g00, g01, ... of equal size, each with one donor and one acceptor.

    `noise` and `ties` know nothing of the label, `kmer` is a count that is mostly zero.
    """
    rng = np.random.default_rng(seed)
    size = n_groups * rows
    position = np.tile(np.arange(rows), n_groups)
    return pl.DataFrame(
        {
            "gene_id": np.repeat([f"g{number:02d}" for number in range(n_groups)], rows),
            "position": position,
            "splice_type": np.array(["donor", "acceptor", "neither"])[np.minimum(position, 2)],
            "sample_weight": np.where(position < 2, 1.0, 3.0),
            "chrom": np.repeat([f"chr{number % 3}" for number in range(n_groups)], rows),
            "noise": rng.normal(size=size).astype(np.float32),
            "ties": rng.integers(0, 5, size).astype(np.float32),
            "kmer": ((rng.random(size) < 0.2) * rng.integers(1, 4, size)).astype(np.uint8),
        }
    )


@pytest.fixture
def table() -> Callable[..., pl.DataFrame]:
    """The small table as a function of its sizes."""
    return make_table


@pytest.fixture
def resolved() -> Callable[..., dict[str, Any]]:
    """A whole configuration for the small table; sections are given as keyword arguments."""

    def resolve(**sections: dict[str, Any]) -> dict[str, Any]:
        given = {
            "path": "data",
            "group": "gene_id",
            "label": "splice_type",
            "classes": CLASSES,
            "weight": "sample_weight",
            "position": "position",
            "metadata": ["chrom"],
        }
        dataset = given | sections.pop("dataset", {})
        start = "none" if dataset.get("scores") is None else "scores"
        learner = {"start_from": start} | sections.pop("learner", {})
        return config.resolve({"dataset": dataset, "learner": learner, **sections})

    return resolve


@pytest.fixture
def write(tmp_path: Path, resolved: Callable) -> Callable[..., dict[str, Any]]:
    """Write a table as Parquet shards and give the `dataset` part of a config that reads it."""

    def write_shards(
        frame: pl.DataFrame,
        shards: int = 1,
        row_group_size: int | None = None,
        folder: str = "data",
        **keys: Any,
    ) -> dict[str, Any]:
        path = tmp_path / folder
        path.mkdir(parents=True)
        for number, rows in enumerate(np.array_split(np.arange(frame.height), shards)):
            frame[rows].write_parquet(
                path / f"part-{number}.parquet", row_group_size=row_group_size
            )
        return resolved(dataset={"path": str(path), **keys})["dataset"]

    return write_shards


@pytest.fixture
def analyse(tmp_path: Path, write: Callable) -> Callable[..., Analysed]:
    """Write a table as Parquet shards and analyse it."""

    def run(
        frame: pl.DataFrame,
        *,
        folder: str = "data",
        test_column: str | None = None,
        threads: int = 1,
        **keys: Any,
    ) -> Analysed:
        dataset = write(frame, folder=folder, **keys)
        profile, genes = tmp_path / folder / "profile.json", tmp_path / folder / "genes.pq"
        analysis.analyze_dataset(dataset, test_column, profile, genes, threads)
        facts = json.loads(profile.read_text())
        return Analysed(dataset, profile, genes, facts, pl.read_parquet(genes))

    return run


@pytest.fixture(scope="session")
def real_data() -> Path:
    """Folder of the real data sets, beside the repository or named by GENEBATCH_REAL_DATA."""
    folder = Path(os.environ.get("GENEBATCH_REAL_DATA", REPOSITORY.parent / "shared" / "data"))
    if not folder.is_dir():
        pytest.skip(f"no real data in {folder}; set GENEBATCH_REAL_DATA")
    return folder
