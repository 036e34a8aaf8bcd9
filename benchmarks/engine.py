"""Sparse against dense storage of counts: time of a boosting round and of building the matrix.

Ratios within one run are what to trust. Writes benchmarks/engine.md.

    OMP_NUM_THREADS=1 .venv/bin/python benchmarks/engine.py
"""

import time
from pathlib import Path

import numpy as np
import polars as pl

from genebatch import learner as boosting
from genebatch.config import load_schema
from genebatch.dataset import Features

ROWS, DENSE, COUNTS, ROUNDS = 20_000, 60, 1_000, 20
DENSITIES = (0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6)


def main() -> None:
    learner = {
        name: child.get("default")
        for name, child in load_schema()["properties"]["learner"]["properties"].items()
    }
    rng = np.random.default_rng(7)
    lines = []
    for density in DENSITIES:
        frame, y = table(rng, density)
        times = {kind: timed(frame, y, kind, learner) for kind in ("count", "dense")}
        (build_s, round_s), (build_d, round_d) = times["count"], times["dense"]
        line = f"| {density:.0%} | {1000 * round_s:.1f} | {1000 * round_d:.1f} "
        line += f"| {round_s / round_d:.2f} | {build_s / build_d:.2f} |"
        print(line, flush=True)
        lines.append(line)
    head = "| density of counts | sparse ms/round | dense ms/round | round, sparse/dense "
    head += "| build, sparse/dense |\n|---|---|---|---|---|\n"
    text = f"# Engine\n\n{ROWS:,} rows, {DENSE} dense features and {COUNTS:,} counts, depth "
    text += f"{learner['max_depth']}, one thread, process time; made by "
    text += "`python benchmarks/engine.py`.\n\n"
    Path(__file__).with_suffix(".md").write_text(text + head + "\n".join(lines) + "\n")


def table(rng: np.random.Generator, density: float) -> tuple[pl.DataFrame, np.ndarray]:
    columns = {f"d{number}": rng.normal(size=ROWS).astype(np.float32) for number in range(DENSE)}
    for number in range(COUNTS):
        hits = rng.random(ROWS) < density
        columns[f"c{number}"] = (hits * rng.integers(1, 4, ROWS)).astype(np.uint8)
    signal = columns["d0"] + columns["d1"] + 0.8 * columns["c0"] + 0.8 * columns["c1"]
    return pl.DataFrame(columns), signal + rng.normal(size=ROWS) > 2


def timed(frame: pl.DataFrame, y: np.ndarray, kind: str, learner: dict) -> tuple[float, float]:
    """Seconds of building the matrix and of one round; the better of three."""
    kinds = {name: "dense" if name.startswith("d") else kind for name in frame.columns}
    features = Features.order(kinds)
    blocks = [features.select(part) for part in frame.iter_slices(8192)]
    builds, rounds = [], []
    for _ in range(3):
        start = time.process_time()
        matrix = boosting.build_matrix(blocks, len(kinds), learner["max_bin"], 1)
        builds.append(time.process_time() - start)
        start = time.process_time()
        boosting.fit_trees(matrix, y, np.ones(ROWS), None, ROUNDS, learner)
        rounds.append((time.process_time() - start) / ROUNDS)
    return min(builds), min(rounds)


if __name__ == "__main__":
    main()
