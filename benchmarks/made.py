"""Made tables for benchmarks: any number of rows and features, any density of counts."""

from pathlib import Path

import numpy as np
import polars as pl

CLASSES = ["neither", "donor", "acceptor"]
GROUP_ROWS = 200


def write_table(
    folder: Path,
    rows: int,
    n_dense: int,
    n_counts: int,
    density: float,
    seed: int = 7,
    row_group_size: int | None = None,
) -> None:
    """Write shards of 50,000 rows: groups of 200 rows, base scores, dense features and counts."""
    folder.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(seed)
    for part, first in enumerate(range(0, rows, 50_000)):
        size = min(50_000, rows - first)
        label = rng.choice(3, size, p=[0.86, 0.07, 0.07])
        number = np.arange(first, first + size)
        columns: dict[str, np.ndarray] = {
            "group": (number // GROUP_ROWS).astype(str),
            "position": number.astype(np.int32),
            "label": np.array(CLASSES)[label],
        }
        noise = rng.gumbel(size=(size, 3)) + 2.5 * (label[:, None] == np.arange(3))
        scores = np.exp(noise) / np.exp(noise).sum(axis=1, keepdims=True)
        for number, name in enumerate(CLASSES):
            columns[f"score_{name}"] = scores[:, number].astype(np.float32)
        for number in range(n_dense):
            columns[f"dense_{number}"] = rng.normal(0.3 * label * (number < 5), 1).astype(
                np.float32
            )
        for number in range(n_counts):
            hits = rng.random(size) < density
            columns[f"count_{number}"] = (hits * rng.integers(1, 4, size)).astype(np.uint8)
        path = folder / f"part-{part:03d}.parquet"
        pl.DataFrame(columns).write_parquet(path, row_group_size=row_group_size)


def config(folder: Path, learner: dict) -> dict:
    """The config of a made table, one batch with all rows but a few test groups."""
    from genebatch.config.schema import resolve

    return resolve(
        {
            "dataset": {
                "path": str(folder),
                "group": "group",
                "label": "label",
                "position": "position",
                "classes": CLASSES,
                "scores": {name: f"score_{name}" for name in CLASSES},
            },
            "test": {"fraction": 0.02},
            "screen": {"max_rows": 5000},
            "batching": {"max_groups": 100_000, "min_groups": 10},
            "learner": learner,
        }
    )
