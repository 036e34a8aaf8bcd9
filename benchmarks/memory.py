"""Estimated and measured peak memory of every per-batch rule, over sizes and densities.

Each rule runs in a process of its own on a made table. Writes benchmarks/memory.md.

    .venv/bin/python benchmarks/memory.py
"""

import json
import multiprocessing
import os
import tempfile
from pathlib import Path

from made import config, write_table

# Rows, dense features, count features, density of the counts.
POINTS = [
    (10_000, 60, 1_100, 0.10),
    (10_000, 300, 0, 0.0),
    (40_000, 60, 1_100, 0.10),
    (40_000, 60, 1_100, 0.25),
    (40_000, 100, 0, 0.0),
    (80_000, 60, 500, 0.10),
    (80_000, 60, 1_100, 0.45),
    (120_000, 60, 1_100, 0.10),
]
RULES = (
    "cross_validate_batch",
    "train_batch",
    "calibrate_batch",
    "explain_batch",
    "diagnose_batch",
)


def run_rule(rule: str, folder: Path, settings: dict, result: str) -> None:
    """Run one rule in this process and write its peak in MB."""
    for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "POLARS_MAX_THREADS"):
        os.environ[name] = "1"
    os.environ["ARROW_DEFAULT_MEMORY_POOL"] = "system"
    from genebatch import diagnosis, explain, resources, training

    out = paths(folder)
    dataset, learner = settings["dataset"], settings["learner"]
    if rule == "cross_validate_batch":
        training.cross_validate_batch(out, "b000", dataset, settings["cv"], learner, out)
    elif rule == "train_batch":
        training.train_batch(out, "b000", dataset, learner, out["uncalibrated"])
    elif rule == "calibrate_batch":
        inputs = out | {"model": out["uncalibrated"]}
        training.calibrate_batch(inputs, dataset, settings["calibration"], True, out)
    elif rule == "explain_batch":
        inputs = out | {"model": out["uncalibrated"]}
        explain.explain_batch(inputs, "b000", dataset, settings["explain"], True, 1, out)
    else:
        figures = ("roc", "pr", "learning_curves", "importance")
        outputs = {name: str(folder / f"{name}.png") for name in figures}
        outputs |= {"shap": str(folder / "beeswarm.png"), "summary": str(folder / "summary.json")}
        outputs["calibration"] = str(folder / "reliability.png")
        diagnosis.diagnose_batch(out, "b000", dataset, outputs)
    Path(result).write_text(str(resources.peak_mb()))


def paths(folder: Path) -> dict[str, str]:
    """Files of a run of one batch by the names that rules have for them."""
    names = ["profile.json", "features.json", "plan.parquet", "genes.parquet", "test_groups.tsv"]
    names += ["screen.tsv", "manifest.tsv", "out_of_fold.parquet", "folds.tsv", "metrics.tsv"]
    names += ["curves.parquet", "models.gbm", "uncalibrated.gbm", "calibration.json", "model.gbm"]
    names += ["shap.parquet", "sample.parquet", "importance.tsv", "families.tsv"]
    found = {Path(name).stem: str(folder / name) for name in names}
    return found | {"rows": str(folder / "rows" / "b000.arrow")}


def prepare(folder: Path, settings: dict) -> None:
    """Everything before the batch rules."""
    from genebatch import analysis, planning, screen, split

    out = paths(folder)
    analysis.analyze_dataset(settings["dataset"], None, out["profile"], out["genes"])
    planning.choose_test_groups(out["genes"], settings["test"], None, out["test_groups"])
    first = (out["profile"], out["genes"], out["test_groups"])
    rest = (settings["dataset"], settings["screen"], out["features"], out["screen"])
    screen.screen_features(*first, *rest)
    outputs = {"manifest": out["manifest"], "genes": out["plan"]}
    outputs |= {"memory": folder / "memory.json"}
    outputs |= {name: folder / f"{name}.tsv" for name in ("coverage", "times_held")}
    planning.plan_batches(*first, out["features"], settings, 100_000, outputs)
    split.split_batches(out, folder / "rows")


def measure(function, *arguments) -> None:
    process = multiprocessing.get_context("spawn").Process(target=function, args=arguments)
    process.start()
    process.join()
    if process.exitcode:
        raise SystemExit(f"{function.__name__}{arguments[:1]} failed")


def main() -> None:
    import polars as pl

    lines = []
    for rows, n_dense, n_counts, density in POINTS:
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            write_table(folder / "data", rows, n_dense, n_counts, density)
            learner = {"n_estimators": 15, "early_stopping_rounds": 15}
            settings = config(folder / "data", learner)
            measure(prepare, folder, settings)
            manifest = pl.read_csv(folder / "manifest.tsv", separator="\t")
            kinds = json.loads((folder / "features.json").read_text())
            stored = "sparse" if kinds["n_dense"] < len(kinds["names"]) else "dense"
            for rule in RULES:
                measure(run_rule, rule, folder, settings, str(folder / "peak"))
                peak = float((folder / "peak").read_text())
                estimate = manifest[f"mem_mb_{rule}"][0]
                kept = "yes" if peak <= estimate <= 2 * peak else "NO"
                line = f"| {rule} | {rows:,} | {n_dense} | {n_counts:,} | {density:.0%} | {stored} "
                line += f"| {estimate} | {peak:.0f} | {estimate / peak:.2f} | {kept} |"
                print(line, flush=True)
                lines.append(line)
    head = "| rule | rows | dense | counts | density | stored | estimate MB | measured MB | ratio "
    head += "| measured <= estimate <= 2 x measured |"
    table = "\n".join([head, "|" + "---|" * 10, *lines])
    text = "# Memory: estimate and measurement\n\nPeak resident memory of each per-batch rule in a "
    text += "process of its own, one thread; made by `python benchmarks/memory.py`.\n\n"
    Path(__file__).with_suffix(".md").write_text(text + table + "\n")


if __name__ == "__main__":
    main()
