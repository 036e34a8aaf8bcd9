"""Boosting on a GPU against the CPU: time of a round, and average precision on unseen groups.

    .venv/bin/python benchmarks/gpu.py [ROWS]

For a machine with a GPU. Everything goes through the package's own matrix and boosters. A booster
has all features: there is no pilot.
"""

import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
from boosted import OneClass, defaults, predict
from scipy import sparse
from sklearn.metrics import average_precision_score

from genebatch.config.settings import Learner
from genebatch.dataset.feature_set import Block
from genebatch.model import boosting

ROWS, BLOCK, ROUNDS = 266_000, 8_192, 100
DENSE, COUNTS, DENSITY = 63, 1_104, 0.1
RUNS = (("cuda", 1), ("cpu", 1), ("cpu", 16))


def main() -> None:
    rows = int(sys.argv[1]) if len(sys.argv) > 1 else ROWS
    block, y = made(rows)
    learner = defaults() | {"n_estimators": ROUNDS, "early_stopping_rounds": ROUNDS}
    fold = np.arange(rows) // 400 % 5
    lines = []
    for storage in ("sparse", "dense"):
        for device, threads in RUNS:
            given = Learner.build(learner | {"device": device, "threads": threads})
            line = f"| {storage} | {device}, {threads} threads |"
            line += timed(block if storage == "sparse" else block.toarray(), y, fold, given)
            print(line, flush=True)
            lines.append(line)
    head = "| storage | device | binning s | ms/round | trees | AP |\n|---|---|---|---|---|---|\n"
    text = f"# GPU\n\nMade by `python benchmarks/gpu.py`: {rows:,} rows, {DENSE} dense features "
    text += f"and {COUNTS:,} counts of which {DENSITY:.0%} are not zero. One class, one fold held "
    text += f"out, one fold to stop, {ROUNDS} rounds, wall time.\n\n"
    Path(__file__).with_suffix(".md").write_text(text + head + "\n".join(lines) + "\n")


def made(rows: int) -> tuple[sparse.csr_matrix, np.ndarray]:
    """A block as `Features.select` gives it, and a class that some columns tell of."""
    rng = np.random.default_rng(7)
    blocks, parts = [], []
    for first in range(0, rows, BLOCK):
        size = min(BLOCK, rows - first)
        dense = rng.normal(size=(size, DENSE)).astype(np.float32)
        counts = sparse.random_array(
            (size, COUNTS), density=DENSITY, rng=rng, data_sampler=lambda size: np.ones(size)
        ).astype(np.float32)
        signal = dense[:, :5].sum(axis=1) + 2 * counts.tocsc()[:, :10].sum(axis=1)
        signal += dense[:, 5] * (2 * counts.tocsc()[:, [11]].toarray()[:, 0] - 1)
        parts.append(signal + 2 * rng.normal(size=size) > 5)
        blocks.append(sparse.hstack([sparse.csr_matrix(dense), counts], format="csr"))
    return sparse.vstack(blocks, format="csr"), np.concatenate(parts)


def timed(block: Block, y: np.ndarray, fold: np.ndarray, learner: Learner) -> str:
    rows, held = OneClass(block, y, np.ones(len(y)), None), fold == 4
    start = time.monotonic()
    train, stop = rows.binned(fold < 3, learner), rows.plain(fold == 3, learner)
    binned = time.monotonic() - start
    boosting.fit_until_stopped(train, stop, replace(learner, n_estimators=3))  # moves the data
    start = time.monotonic()
    fit = boosting.fit_until_stopped(train, stop, learner)
    seconds = time.monotonic() - start
    score = average_precision_score(y[held], predict(fit, rows, held, learner))
    each = 1000 * seconds / (fit.curve.height - 1)
    return f" {binned:.1f} | {each:.1f} | {fit.n_trees} | {score:.4f} |"


if __name__ == "__main__":
    main()
