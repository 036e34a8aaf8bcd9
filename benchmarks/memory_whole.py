"""Estimated and measured peak memory of the rules about all batches, over sizes.

Each rule runs in a process of its own on a made table, with few trees, since trees take time and
little memory. Writes benchmarks/memory_whole.md.

    .venv/bin/python benchmarks/memory_whole.py
"""

import json
import os
import sys
import tempfile
from pathlib import Path

from made import config, write_table
from memory import measure, prepare

# Rows, dense features, count features, density of the counts, batches.
POINTS = [
    (20_000, 60, 1_100, 0.10, 4),
    (60_000, 100, 0, 0.0, 4),
    (60_000, 60, 500, 0.10, 12),
    (150_000, 60, 300, 0.10, 4),
    (400_000, 40, 100, 0.10, 8),
    (800_000, 20, 0, 0.0, 14),
]
RULES = ("cross_batch_scores", "combine_batches", "train_single", "distil", "consolidate")
RULES += ("estimate", "evaluate")


def run_rule(rule: str, folder: Path, settings: dict, result: str) -> None:
    """Run one rule in this process and write its peak in MB."""
    bound()
    from genebatch import (
        combining,
        consolidation,
        cross_batch,
        distillation,
        estimate,
        evaluation,
        resources,
        single,
    )

    inputs, learner = paths(folder), settings["learner"]
    dataset, ensemble = settings["dataset"], settings["ensemble"]
    parts = [settings[key] for key in ("cv", "learner", "calibration")]
    if rule == "cross_batch_scores":
        cross_batch.cross_batch_scores(inputs, dataset, True, 1, inputs["scores"])
    elif rule == "combine_batches":
        outputs = inputs | {"model": inputs["ensemble"]}
        combining.combine_batches(inputs, ensemble, learner["use_weights"], outputs)
    elif rule == "train_single":
        single.train_single(inputs, dataset, *parts, rival(folder, "single"))
    elif rule == "distil":
        outputs = rival(folder, "distilled")
        distillation.distil(inputs, dataset, *parts, ensemble, outputs)
    elif rule == "consolidate":
        trained = {name: rival(folder, name) for name in ("single", "distilled")}
        given = {name: files["model"] for name, files in trained.items()}
        given |= {f"{name}_honest": files["honest"] for name, files in trained.items()}
        consolidation.consolidate(inputs | given, "best", None, outputs_of(folder))
    elif rule == "estimate":
        given = {f"{n}_honest": rival(folder, n)["honest"] for n in ("single", "distilled")}
        estimate.estimate(inputs | given, settings["evaluation"], folder / "estimate.tsv")
    else:
        given = {name: rival(folder, name)["model"] for name in ("single", "distilled")}
        outputs = {name: str(folder / f"evaluation-{name}") for name in EVALUATION}
        evaluation.evaluate(inputs | given, dataset, settings["evaluation"], 1, outputs)
    Path(result).write_text(str(resources.peak_mb()))


EVALUATION = ("metrics", "systems", "comparison", "corrections", "predictions")


def bound() -> None:
    for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "POLARS_MAX_THREADS"):
        os.environ[name] = "1"
    os.environ["ARROW_DEFAULT_MEMORY_POOL"] = "system"


def paths(folder: Path) -> dict:
    batches = sorted(path.name for path in folder.glob("b[0-9]*"))
    names = ["profile.json", "features.json", "plan.parquet", "genes.parquet", "test_groups.tsv"]
    found = {name.split(".")[0]: str(folder / name) for name in [*names, "manifest.tsv"]}
    ensemble = {"scores": "cross.parquet", "combined": "combined.parquet"}
    ensemble |= {"combiners": "combiners.json", "ensemble": "ensemble.gbm", "model": "final.gbm"}
    found |= {name: str(folder / file) for name, file in ensemble.items()}
    found["models"] = [str(folder / batch / "model.gbm") for batch in batches]
    found["out_of_fold"] = [str(folder / batch / "out_of_fold.parquet") for batch in batches]
    return found


def rival(folder: Path, name: str) -> dict:
    files = ("model", "honest", "folds", "metrics", "curves", "calibration", "mixes")
    return {file: str(folder / f"{name}-{file}") for file in files}


def outputs_of(folder: Path) -> dict:
    names = {"model": "final.gbm", "pickle": "final.pkl"}
    names |= {"thresholds": "thresholds.tsv", "candidates": "candidates.tsv"}
    return {name: str(folder / file) for name, file in names.items()}


def train(folder: Path, settings: dict, batch: str) -> None:
    """The rules of one batch that the others need."""
    bound()
    from genebatch import training

    (folder / batch).mkdir()
    files = {name: folder / batch / name for name in ("out_of_fold", "folds", "metrics", "curves")}
    files["out_of_fold"] = folder / batch / "out_of_fold.parquet"
    files |= {"models": folder / batch / "folds.gbm", "calibration": folder / batch / "c.json"}
    inputs = paths(folder) | {"folds": files["folds"]}
    dataset, learner = settings["dataset"], settings["learner"]
    raw = folder / batch / "raw.gbm"
    training.cross_validate_batch(inputs, batch, dataset, settings["cv"], learner, files)
    training.train_batch(inputs, batch, dataset, learner, raw)
    inputs = {"out_of_fold": files["out_of_fold"], "model": raw}
    outputs = files | {"model": folder / batch / "model.gbm"}
    training.calibrate_batch(inputs, dataset, settings["calibration"], True, outputs)


def main() -> None:
    import polars as pl

    lines = []
    for rows, n_dense, n_counts, density, n_batches in POINTS[: int((sys.argv[1:] or [99])[0])]:
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            write_table(folder / "data", rows, n_dense, n_counts, density)
            settings = config(folder / "data", {"n_estimators": 8, "early_stopping_rounds": 8})
            settings["batching"]["max_rows"] = int(rows / n_batches)
            settings["test"]["fraction"] = 0.1
            settings["cv"]["n_splits"] = 3
            measure(prepare, folder, settings)
            for batch in pl.read_csv(folder / "manifest.tsv", separator="\t")["batch"]:
                measure(train, folder, settings, batch)
            estimates = json.loads((folder / "memory.json").read_text())
            for rule in RULES:
                measure(run_rule, rule, folder, settings, str(folder / "peak"))
                peak, estimate = float((folder / "peak").read_text()), estimates[rule]
                kept = "yes" if peak <= estimate <= 2 * peak else "NO"
                line = f"| {rule} | {rows:,} | {n_dense} | {n_counts:,} | {density:.0%} "
                line += f"| {n_batches} | {estimate} | {peak:.0f} | {estimate / peak:.2f} "
                lines.append(f"{line}| {kept} |")
                print(lines[-1], flush=True)
    head = "| rule | rows | dense | counts | density | batches | estimate MB | measured MB | ratio "
    head += "| measured <= estimate <= 2 x measured |"
    text = (
        "# Memory of the rules about all batches\n\nPeak resident memory of each rule in a process "
    )
    text += "of its own, one thread; made by `python benchmarks/memory_whole.py`.\n\n"
    table = "\n".join([head, "|" + "---|" * 10, *lines])
    Path(__file__).with_suffix(".md").write_text(text + table + "\n")


if __name__ == "__main__":
    main()
