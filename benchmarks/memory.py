"""Estimated and measured peak memory of every per-batch rule, over sizes and densities.

Each rule runs in a process of its own on a made table, with few trees, since trees take time and
hardly any memory. What is measured is kept in benchmarks/memory.json, so that another formula needs
no other measurement; benchmarks/memory.md is written from it. Formulas were fitted to the first
points; the others only check them.

    .venv/bin/python benchmarks/memory.py            # points that are not measured yet
    .venv/bin/python benchmarks/memory.py --again    # all of them
"""

import argparse
import json
import multiprocessing
import os
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import polars as pl
from made import config, write_table


class Point(NamedTuple):
    """Size of a made batch, and threads."""

    rows: int
    n_dense: int
    n_counts: int
    density: float
    threads: int = 1
    max_depth: int = 4


FITTED = [
    Point(10_000, 60, 1_100, 0.10),
    Point(10_000, 300, 0, 0.0),
    Point(10_000, 60, 1_100, 0.60),
    Point(30_000, 60, 1_100, 0.05),
    Point(40_000, 100, 0, 0.0),
    Point(40_000, 60, 1_100, 0.25),
    Point(40_000, 60, 500, 0.10, threads=2, max_depth=8),
    Point(60_000, 1_200, 0, 0.0),
    Point(80_000, 60, 500, 0.10),
    Point(80_000, 60, 1_100, 0.45),
    Point(120_000, 60, 1_100, 0.10),
    Point(120_000, 300, 0, 0.0, threads=2),
    Point(200_000, 60, 1_100, 0.20),
    Point(300_000, 40, 60, 0.30),
]
CHECKED = [
    Point(15_000, 60, 1_100, 0.40),
    Point(20_000, 60, 1_100, 0.20),
    Point(60_000, 200, 300, 0.10),
    Point(60_000, 60, 1_100, 0.10, max_depth=6),
    Point(100_000, 60, 1_100, 0.28),
    Point(150_000, 100, 0, 0.0),
    Point(150_000, 60, 1_100, 0.60),
    Point(266_000, 63, 1_104, 0.10, threads=2),
    Point(300_000, 300, 300, 0.15),
]
KEPT = Path(__file__).with_suffix(".json")
TREES = 8  # of a booster

HEAD = """# Memory: estimate and measurement

Made by `python benchmarks/memory.py`. Every rule of a batch runs in a process of its own, on made
tables. The promise, for resident memory:

    measured <= estimate <= 2 x measured

The limit that a job keeps to counts reserved memory (column `reserved`). It must not exceed the
estimate either.

{summary}
"""
COLUMNS = "| rule | rows | dense | counts | density | stored | threads | depth | estimate MB "
COLUMNS += "| resident MB | reserved MB | estimate/resident | kept |\n|" + "---|" * 13 + "\n"


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--again", action="store_true", help="measure all points again")
    again = parser.parse_args().again
    found = json.loads(KEPT.read_text()) if KEPT.exists() and not again else {}
    for point in [*FITTED, *CHECKED]:
        if str(tuple(point)) not in found:
            found[str(tuple(point))] = measured(point)
            KEPT.write_text(json.dumps(found, indent=1) + "\n")
            write(found)
    write(found)


def measured(point: Point) -> dict[str, Any]:
    """Shape of the batch of a point, and by rule what it held and reserved, in MB."""
    from genebatch.jobs.needs import rules_of

    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_table(folder / "data", *point[:4])
        learner = {"n_estimators": TREES, "early_stopping_rounds": 8, "threads": point.threads}
        settings = config(folder / "data", learner | {"max_depth": point.max_depth})
        measure(prepare, folder, settings)
        peaks = {}
        for rule in rules_of("batch"):
            measure(run_rule, rule, folder, settings, str(folder / "peak"))
            peaks[rule] = json.loads((folder / "peak").read_text())
            print(point, rule, peaks[rule], flush=True)
        rows = int(pl.read_csv(folder / "manifest.tsv", separator="\t")["rows"].item())
        features = json.loads((folder / "features.json").read_text())
    features["names"] = len(features["names"])
    given = {name: settings[name] for name in ("dataset", "cv", "learner", "explain")}
    return {"rows": rows, "features": features, "settings": given, "peaks": peaks}


def write(found: dict[str, Any]) -> None:
    from genebatch.jobs.needs import estimate_mb, rules_of
    from genebatch.plan.planning import batch_shape

    text, broken, total = "", 0, 0
    for title, points in (("Fitted", FITTED), ("Checked", CHECKED)):
        text += f"\n## {title}\n\n{COLUMNS}"
        for point in points:
            if str(tuple(point)) not in found:
                continue
            one = found[str(tuple(point))]
            features = one["features"] | {"names": range(one["features"]["names"])}
            learner = {"n_estimators": TREES} | one["settings"]["learner"]
            settings = one["settings"] | {"learner": learner}
            shape = batch_shape(features, settings)._replace(rows=one["rows"])
            stored = "sparse" if shape.n_counts else "dense"
            for rule in rules_of("batch"):
                peak = one["peaks"][rule]
                estimate = estimate_mb(rule, shape, point.threads)
                kept = max(peak.values()) <= estimate <= 2 * peak["resident"]
                broken, total = broken + (not kept), total + 1
                text += f"| {rule} | {point.rows:,} | {point.n_dense} | {point.n_counts:,} "
                text += f"| {point.density:.0%} | {stored} | {point.threads} | {point.max_depth} "
                text += f"| {estimate:,} | {peak['resident']:,.0f} | {peak['reserved']:,.0f} "
                text += f"| {estimate / peak['resident']:.2f} | {'yes' if kept else 'NO'} |\n"
    summary = f"Kept in {total - broken} of {total}."
    KEPT.with_suffix(".md").write_text(HEAD.format(summary=summary) + text)


def run_rule(rule: str, folder: Path, settings: dict, result: str) -> None:
    """Run one rule in this process and write what it held and reserved at most, in MB."""
    boosted = rule in ("cross_validate_batch", "train_batch")
    threads = str(settings["learner"]["threads"] if boosted else 1)
    for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "POLARS_MAX_THREADS"):
        os.environ[name] = threads
    os.environ["ARROW_DEFAULT_MEMORY_POOL"] = "system"
    from genebatch.jobs.run import peak_mb
    from genebatch.steps import report
    from genebatch.training import explain
    from genebatch.training import recipe as training

    out = paths(folder)
    dataset, learner = settings["dataset"], settings["learner"]
    with reserved() as most:
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
            tables = ("out_of_fold", "folds", "metrics", "curves", "calibration", "shap")
            given = {name: out[name] for name in (*tables, "sample", "importance", "families")}
            figures = ("roc", "pr", "calibration", "learning_curves", "shap", "importance")
            given |= {f"{name}_figure": str(folder / f"{name}.png") for name in figures}
            summary = str(folder / "summary.json")
            report.diagnose_batch(
                batch="b000", classes=dataset["classes"], **given, summary=summary
            )
    peaks = {"resident": round(peak_mb(), 1), "reserved": round(max(most), 1)}
    Path(result).write_text(json.dumps(peaks))


@contextmanager
def reserved() -> Iterator[list[float]]:
    """Watch what the limit of a job counts: data that is reserved, in MB."""
    most, done = [0.0], threading.Event()

    def watch() -> None:
        while not done.wait(0.01):
            text = Path("/proc/self/status").read_text()
            line = next(line for line in text.splitlines() if line.startswith("VmData"))
            most[0] = max(most[0], int(line.split()[1]) / 1024)

    watcher = threading.Thread(target=watch, daemon=True)
    watcher.start()
    yield most
    done.set()
    watcher.join()


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
    from genebatch.dataset import profile as analysis
    from genebatch.dataset import screen
    from genebatch.plan import planning
    from genebatch.training import split

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


if __name__ == "__main__":
    main()
