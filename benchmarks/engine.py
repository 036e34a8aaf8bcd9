"""How a batch is best boosted: what is stored sparse, what folds and classes share, how trees grow.

Ratios within one run are what to trust. Every measurement has a process of its own, on one core
but for those about two threads. Writes benchmarks/engine.md.

    .venv/bin/python benchmarks/engine.py [--only NAME ...]
"""

import argparse
import json
import multiprocessing
import os
import tempfile
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Barrier
from typing import Any

import numpy as np
import polars as pl
import xgboost as xgb
from boosted import defaults
from ensemble import LEAKY, METADATA
from memory import prepare
from real_rows import CLASSES, average_precision, human_folder

from genebatch.config.schema import resolve
from genebatch.config.settings import Folds, Learner
from genebatch.dataset.feature_set import Features
from genebatch.dataset.row_file import RowFile
from genebatch.jobs.run import peak_mb
from genebatch.metrics.binary import log_loss_rows
from genebatch.model import boosting
from genebatch.training.batch import Batch, load_batch, stopping_split
from genebatch.training.cross_validation import cross_validate, final_trees
from genebatch.training.matrices import training_part
from genebatch.training.recipe import train_member

ROWS, DENSE, COUNTS, ROUNDS = 60_000, 60, 1_000, 15
REPEATS = 3  # of what two cores do at once, of which the fastest counts
OURS = "ours: picked features, own rows"
DENSITIES = (0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6)

HEAD = """# Engine

## Sparse or dense

Made by `python benchmarks/engine.py`: {rows:,} rows, {dense} dense features and {counts:,} counts,
depth {depth}, one thread, process time. Ratios are sparse / dense storage.

| density of counts | sparse ms/round | dense ms/round | round | build |
|---|---|---|---|---|
"""
VARIANTS_HEAD = """
## What folds and classes share, and how trees grow

- Rows: {rows:,} of human genes in {groups} clusters, with {features:,} features and base scores
  of a model that never saw human sequence.
- Jobs: {splits} folds of whole clusters, three classes, then the model on all rows with the median
  number of trees. Default settings, one thread.
- Average precision: of out-of-fold log-odds, weighted to the prevalence of the genome.
- CPU: of the whole job, from the row file of the batch on.
- Trees: all trees that were grown, the stopping rounds included, without those of pilots. CPU of a
  tree is CPU of the whole job divided by them.
- Own rows: a matrix for every fold and class, of the rows that are boosted on. One matrix: all rows
  in one, binned once; those that are not boosted on have weight zero.

| variant | CPU s | x ours | peak MB | trees grown | CPU ms/tree | AP neither, donor, acceptor |
|---|---|---|---|---|---|---|
"""
THREADS_HEAD = """
## Two batches on two cores

Two batches of {rows:,} rows as above with counts of 10 % density. Each has {rounds} rounds after
its matrix is built. Seconds on the clock until both are done, the fastest of {repeats}, with the
peak resident memory of all processes.

| | s | x the first | MB |
|---|---|---|---|
"""


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--only", nargs="+", choices=["density", "threads", *VARIANTS])
    wanted = parser.parse_args().only or ["density", "threads", *VARIANTS]
    kept = Path(__file__).with_suffix(".json")
    found = json.loads(kept.read_text()) if kept.exists() else {}
    if "density" in wanted:
        found["density"] = [[density, *sweep(density)] for density in DENSITIES]
    if "threads" in wanted:
        runs = [{name: way() for name, way in TWO_BATCHES.items()} for _ in range(REPEATS)]
        found["threads"] = {name: min(run[name] for run in runs) for name in TWO_BATCHES}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        variants = [name for name in VARIANTS if name in wanted]
        if variants:
            config = real_config(folder)
            alone(prepare, folder, config)
            for name in variants:
                found[name] = alone(run_variant, name, folder, config)
                print(name, found[name], flush=True)
    kept.write_text(json.dumps(found, indent=1))
    write(found)


def write(found: Mapping[str, Any]) -> None:
    text = HEAD.format(rows=ROWS, dense=DENSE, counts=COUNTS, depth=defaults()["max_depth"])
    for density, sparse, dense in found["density"]:
        ratios = [s / d for s, d in zip(sparse, dense, strict=True)]
        text += f"| {density:.0%} | {1000 * sparse[1]:.1f} | {1000 * dense[1]:.1f} "
        text += f"| {ratios[1]:.2f} | {ratios[0]:.2f} |\n"
    text += NOTES + (variants_table(found) if OURS in found else "")
    Path(__file__).with_suffix(".md").write_text(text + threads_table(found["threads"]))


def variants_table(found: Mapping[str, Any]) -> str:
    ours = found[OURS]
    text = VARIANTS_HEAD.format(**ours["facts"])
    for name in VARIANTS:
        if name in found:
            one = found[name]
            text += f"| {name} | {one['cpu']:.1f} | {one['cpu'] / ours['cpu']:.2f} "
            text += f"| {one['peak']:.0f} | {one['trees']:,} "
            text += f"| {1000 * one['cpu'] / one['trees']:.1f} | "
            text += ", ".join(f"{value:.4f}" for value in one["ap"]) + " |\n"
    return text + VARIANTS_NOTES


def threads_table(found: Mapping[str, list[float]]) -> str:
    text = THREADS_HEAD.format(rows=ROWS, rounds=ROUNDS, repeats=REPEATS)
    first = next(iter(found.values()))[0]
    for name, (seconds, mb) in found.items():
        text += f"| {name} | {seconds:.1f} | {seconds / first:.2f} | {mb:,.0f} |\n"
    return text + THREADS_NOTES


NOTES = """
- **Sparse** is faster at every density up to 60 %, and smaller below about 15 %. A stored cell
  takes 13 bytes, a dense cell 2. Counts are stored sparse up to 30 %. There a round still takes
  half of the time. Above that the gain fades, and the matrix is more than twice as large.
"""
VARIANTS_NOTES = """
Compare differences in this table with those of another seed of the stopping groups. How many
features, which learning rate and how many bins: `selection.md`, over several seeds.
"""


# Sparse or dense


def sweep(density: float) -> tuple[list[float], list[float]]:
    """Seconds of a build and of a round, stored sparse and stored dense."""
    sparse, dense = (alone(timed, density, kind) for kind in ("count", "dense"))
    print(density, sparse, dense, flush=True)
    return sparse, dense


def timed(density: float, kind: str) -> list[float]:
    frame, y = table(np.random.default_rng(7), density)
    start = time.process_time()
    matrix = stored(frame, kind, 1)
    build = time.process_time() - start
    start = time.process_time()
    boosting.fit_trees(matrix, y, np.ones(ROWS), None, ROUNDS, Learner.build(defaults()))
    return [build, (time.process_time() - start) / ROUNDS]


def stored(frame: pl.DataFrame, kind: str, threads: int) -> xgb.QuantileDMatrix:
    """The binned matrix of a frame whose counts are stored as `kind`."""
    kinds = {name: "dense" if name.startswith("d") else kind for name in frame.columns}
    blocks = Blocks(frame, Features.order(kinds))
    return boosting.build_matrix(blocks, len(kinds), defaults()["max_bin"], threads)


class Blocks:
    """The feature blocks of a frame, made anew whenever they are iterated."""

    def __init__(self, frame: pl.DataFrame, features: Features):
        self.frame, self.features = frame, features

    def __iter__(self):
        return map(self.features.select, self.frame.iter_slices(8192))


def table(rng: np.random.Generator, density: float) -> tuple[pl.DataFrame, np.ndarray]:
    columns = {f"d{number}": rng.normal(size=ROWS).astype(np.float32) for number in range(DENSE)}
    for number in range(COUNTS):
        hits = rng.random(ROWS) < density
        columns[f"c{number}"] = (hits * rng.integers(1, 4, ROWS)).astype(np.uint8)
    signal = columns["d0"] + columns["d1"] + 0.8 * columns["c0"] + 0.8 * columns["c1"]
    return pl.DataFrame(columns), signal + rng.normal(size=ROWS) > 2


# Two batches on two cores


def side_by_side() -> list[float]:
    """Two processes of one thread each."""
    return at_once([(1, 1), (1, 1)])


def one_after_the_other() -> list[float]:
    """One process of two threads, for a batch and then for the next."""
    seconds, mb = at_once([(1, 2)])
    return [2 * seconds, mb]


def in_one_process() -> list[float]:
    """Two threads of Python in a process, each with a matrix of its own."""
    return at_once([(2, 1)])


def at_once(jobs: list[tuple[int, int]]) -> list[float]:
    """Seconds until all processes have boosted, and their memory together.

    A job is the number of batches that its process boosts at once and of threads for each.
    """
    spawn = multiprocessing.get_context("spawn")
    with spawn.Manager() as manager, spawn.Pool(len(jobs), maxtasksperchild=1) as pool:
        ready = manager.Barrier(len(jobs))
        ends = pool.starmap(boost, [(ready, *job) for job in jobs], chunksize=1)
    begun, done, mb = zip(*ends, strict=True)
    return [max(done) - min(begun), sum(mb)]


def boost(ready: Barrier, n_batches: int, threads: int) -> tuple[float, float, float]:
    """When the rounds of so many batches began and ended, and the peak of this process."""
    frame, y = table(np.random.default_rng(7), 0.1)
    matrices = [stored(frame, "count", threads) for _ in range(n_batches)]
    del frame
    learner = defaults() | {"threads": threads}

    def rounds(matrix: xgb.QuantileDMatrix) -> None:
        boosting.fit_trees(matrix, y, np.ones(ROWS), None, ROUNDS, Learner.build(learner))

    ready.wait()
    begun = time.monotonic()
    with ThreadPoolExecutor(n_batches) as pool:
        list(pool.map(rounds, matrices))
    return begun, time.monotonic(), peak_mb()


TWO_BATCHES = {
    "two jobs of one thread, side by side": side_by_side,
    "two jobs of two threads, one after the other": one_after_the_other,
    "two threads in a job, a matrix each": in_one_process,
}
THREADS_NOTES = """
Batches side by side use two cores best. One batch with two threads takes half of the memory and a
fifth more time. Folds on threads of one process need a matrix each, because labels and weights are
set on the matrix. They save only the imports.
"""


# What folds and classes share


def real_config(folder: Path) -> dict[str, Any]:
    """All clusters but a few in one batch."""
    return resolve(
        {
            "dataset": {
                "path": str(human_folder() / "mouse"),
                "group": "cluster_id",
                "label": "splice_type",
                "classes": list(CLASSES),
                "scores": {name: f"{name}_score" for name in CLASSES},
                "weight": "sample_weight",
                "metadata": METADATA,
                "exclude": LEAKY,
            },
            "test": {"fraction": 0.02},
            "screen": {"max_rows": 5000},
            "batching": {"max_groups": 100_000, "min_groups": 10},
        }
    )


def run_variant(name: str, folder: Path, config: Mapping[str, Any]) -> dict[str, Any]:
    changes, carry_out = VARIANTS[name]
    cv, learner = Folds.build(config["cv"]), Learner.build(config["learner"] | changes)
    start = time.process_time()
    data = load_batch(RowFile.open(folder / "rows" / "b000.arrow"), learner)
    margins, trees = carry_out(data, cv, learner.for_rows(data.rows.height))
    seconds = time.process_time() - start
    facts = {"rows": data.rows.height, "groups": len(data.groups)}
    facts |= {"features": len(data.features.names), "splits": data.n_folds}
    precision = [
        average_precision(data.codes == column, margins[:, column], data.weight)
        for column in range(len(CLASSES))
    ]
    return {"cpu": seconds, "peak": peak_mb(), "trees": trees, "ap": precision, "facts": facts}


def ours(data: Batch, cv: Folds, learner: Learner) -> tuple[np.ndarray, int]:
    """As the workflow: a matrix of own rows for every fold and class, with picked features."""
    found = cross_validate(data, cv, learner)
    trees = final_trees(found.folds, data.rows.height, learner.n_estimators)
    train_member(data, "ours", trees, learner)
    margins = found.out_of_fold.select(f"margin_{name}" for name in CLASSES).to_numpy()
    grown = found.curves.group_by("fold", "class").agg(pl.col("n_trees").max())["n_trees"].sum()
    return margins, int(grown) + sum(trees.values())


def one_matrix(data: Batch, cv: Folds, learner: Learner) -> tuple[np.ndarray, int]:
    """A booster for each class on one matrix of all rows, with all features."""
    matrix = matrix_of_all(data, learner)
    given = boosting.parameters(learner) | {"base_score": 0.5}
    found = [
        on_one_matrix(matrix, given, data, cv, learner, [column]) for column in range(len(CLASSES))
    ]
    return np.column_stack([margins for margins, _ in found]), sum(grown for _, grown in found)


def one_booster(strategy: str) -> Callable:
    """All three labels in one booster, stopped by the sum of their losses."""

    def carry_out(data: Batch, cv: Folds, learner: Learner) -> tuple[np.ndarray, int]:
        given = boosting.parameters(learner) | {"base_score": 0.5, "multi_strategy": strategy}
        matrix, columns = matrix_of_all(data, learner), list(range(len(CLASSES)))
        margins, rounds = on_one_matrix(matrix, given, data, cv, learner, columns)
        return margins, rounds * (len(CLASSES) if strategy == "one_output_per_tree" else 1)

    return carry_out


def matrix_of_all(data: Batch, learner: Learner) -> xgb.DMatrix:
    """All features of all rows, binned."""
    everyone, every = np.ones(len(data.codes), bool), np.arange(len(data.features.names))
    return training_part(data, 0, everyone, every, learner).matrix


def on_one_matrix(
    matrix: xgb.DMatrix,
    given: Mapping[str, Any],
    data: Batch,
    cv: Folds,
    learner: Learner,
    columns: list[int],
) -> tuple[np.ndarray, int]:
    """Cross-validate a booster of some classes, and boost it on all rows.

    Rows outside of a fold's training rows have weight zero. Log-odds of all rows come from
    XGBoost's prediction cache.

    Returns
    -------
    tuple
        (rows, classes) out-of-fold log-odds, and the rounds of all boosters.
    """
    fold = data.rows["fold"].to_numpy()
    labels = (data.codes[:, None] == np.array(columns)).astype(np.float32)
    starts = np.column_stack([data.starts[CLASSES[column]] for column in columns])
    margins = np.empty(starts.shape, np.float32)
    matrix.set_label(labels)
    matrix.set_base_margin(starts)
    rounds, bests = 0, []
    for number in range(data.n_folds):
        train, stop = stopping_split(data, fold != number, cv)
        matrix.set_weight(np.where(train, data.weight, 0).astype(np.float32))
        booster = xgb.Booster(given, cache=[matrix])
        losses = []
        for n_rounds in range(learner.n_estimators + 1):
            if n_rounds:
                booster.update(matrix, n_rounds - 1)
            margin = booster.predict(matrix, output_margin=True).reshape(starts.shape)
            for rows in (train, stop):  # both, as ours draws both curves
                loss = log_loss_rows(labels[rows], margin[rows]).sum(axis=1)
                value = float(np.average(loss, weights=data.weight[rows]))
            losses.append(value)
            best = int(np.argmin(losses))
            if best == n_rounds:
                margins[fold == number] = margin[fold == number]
            if n_rounds - best >= learner.early_stopping_rounds:
                break
        bests.append(best)
        rounds += len(losses) - 1
    matrix.set_weight(data.weight.astype(np.float32))
    booster = xgb.Booster(given, cache=[matrix])
    for number in range(round(np.median(bests))):
        booster.update(matrix, number)
    return margins, rounds + round(np.median(bests))


VARIANTS: dict[str, tuple[dict[str, Any], Callable]] = {
    OURS: ({}, ours),
    "all features, own rows": ({"select": None}, ours),
    "all features, one matrix": ({}, one_matrix),
    "all features, one matrix, three labels in a booster": (
        {},
        one_booster("one_output_per_tree"),
    ),
    "all features, one matrix, three labels in a tree": ({}, one_booster("multi_output_tree")),
    "best leaf first, 16 leaves": (
        {"params": {"grow_policy": "lossguide", "max_leaves": 16}, "max_depth": 0},
        ours,
    ),
    "best leaf first, 31 leaves": (
        {"params": {"grow_policy": "lossguide", "max_leaves": 31}, "max_depth": 0},
        ours,
    ),
    "128 bins": ({"max_bin": 128}, ours),
    "64 bins": ({"max_bin": 64}, ours),
    "32 bins": ({"max_bin": 32}, ours),
    "another seed of folds' stops": ({"seed": 8}, ours),
}


# Processes


def alone(function: Callable, *arguments: Any) -> Any:
    """Call a function in a process of its own, on one core, and give what it returns."""
    with multiprocessing.get_context("spawn").Pool(1, initializer=pin) as pool:
        return pool.apply(function, arguments)


def pin() -> None:
    os.sched_setaffinity(0, {int(os.environ.get("BENCHMARK_CORE", "1"))})
    os.environ["ARROW_DEFAULT_MEMORY_POOL"] = "system"
    for name in ("OMP", "OPENBLAS", "POLARS_MAX"):
        os.environ[f"{name}_NUM_THREADS" if name != "POLARS_MAX" else "POLARS_MAX_THREADS"] = "1"


if __name__ == "__main__":
    main()
