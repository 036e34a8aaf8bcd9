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
    n_classes: int = 3,
) -> None:
    """Write shards of 50,000 rows: groups of 200 rows, base scores, dense features and counts."""
    folder.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(seed)
    classes = np.array(class_names(n_classes))
    first, others = (0.86 if n_classes <= 3 else 0.5), n_classes - 1
    shares = [first, *[round(1 - first, 2) / others] * others]
    for part, start in enumerate(range(0, rows, 50_000)):
        size = min(50_000, rows - start)
        label = rng.choice(n_classes, size, p=shares)
        number = np.arange(start, start + size)
        columns: dict[str, np.ndarray] = {
            "group": (number // GROUP_ROWS).astype(str),
            "position": number.astype(np.int32),
            "label": classes[label],
        }
        own = label[:, None] == np.arange(n_classes)
        noise = rng.gumbel(size=(size, n_classes)) + 2.5 * own
        scores = np.exp(noise) / np.exp(noise).sum(axis=1, keepdims=True)
        for number, name in enumerate(classes):
            columns[f"score_{name}"] = scores[:, number].astype(np.float32)
        for number in range(n_dense):
            shift = 0.3 * np.minimum(label, 2) * (number < 5)
            columns[f"dense_{number}"] = rng.normal(shift, 1).astype(np.float32)
        for number in range(n_counts):
            hits = rng.random(size) < density
            columns[f"count_{number}"] = (hits * rng.integers(1, 4, size)).astype(np.uint8)
        path = folder / f"part-{part:03d}.parquet"
        pl.DataFrame(columns).write_parquet(path, row_group_size=row_group_size)


def class_names(n_classes: int) -> list[str]:
    """Names of the classes of a made table."""
    return CLASSES if n_classes == 3 else [f"class_{number}" for number in range(n_classes)]


def config(folder: Path, learner: dict, n_classes: int = 3) -> dict:
    """The config of a made table, one batch with all rows but a few test groups."""
    from genebatch.config.schema import resolve

    classes = class_names(n_classes)
    return resolve(
        {
            "dataset": {
                "path": str(folder),
                "group": "group",
                "label": "label",
                "position": "position",
                "classes": classes,
                "scores": {name: f"score_{name}" for name in classes},
            },
            "test": {"fraction": 0.02},
            "screen": {"max_rows": 5000},
            "batching": {"max_groups": 100_000, "min_groups": 10},
            "learner": learner,
        }
    )
