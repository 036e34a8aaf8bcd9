"""A small table of groups of equal size, and what the analysis of a table gives."""

from typing import Any, NamedTuple

import numpy as np
import polars as pl

from genebatch.config import schema as config
from genebatch.config.settings import Settings, Table
from genebatch.dataset.columns import Roles
from genebatch.dataset.shards import Shard, described

CLASSES = ["neither", "donor", "acceptor"]


class Analysed(NamedTuple):
    """The section `dataset` of a table that was written, and what its analysis gives."""

    table: Table
    profile: dict[str, Any]
    groups: pl.DataFrame

    @property
    def roles(self) -> Roles:
        return described(self.profile)[0]

    @property
    def shards(self) -> list[Shard]:
        return described(self.profile)[1]


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


def resolved(**sections: dict[str, Any]) -> Settings:
    """Settings for the small table; sections of the configuration are keyword arguments."""
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
    numbers = {"learning_rate": 0.05, "max_bin": 256}
    learner = {"start_from": start} | numbers | sections.pop("learner", {})
    return Settings.build(config.resolve({"dataset": dataset, "learner": learner, **sections}))
