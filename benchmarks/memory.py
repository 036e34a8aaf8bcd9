"""Estimated and measured peak memory of every per-batch rule, over sizes and densities.

Each rule runs in a process of its own on a made table, with few trees, since trees take time and
hardly any memory. What is measured is kept in benchmarks/memory.json, so that another formula needs
no other measurement; benchmarks/memory.md is written from it. Formulas were fitted to the first
points; the others only check them.

    .venv/bin/python benchmarks/memory.py            # points that are not measured yet
    .venv/bin/python benchmarks/memory.py --again    # all of them
    .venv/bin/python benchmarks/memory.py --rows 5000    # points of so many rows at most
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
from typing import TYPE_CHECKING, Any, NamedTuple

import polars as pl
from made import config, write_table

if TYPE_CHECKING:
    from genebatch.config.settings import Planning


class Point(NamedTuple):
    """Size of a made batch, threads, and settings that its memory depends on."""

    rows: int
    n_dense: int
    n_counts: int
    density: float
    threads: int = 1
    max_depth: int = 4
    n_classes: int = 3
    max_bin: int = 256
    n_splits: int = 5
    trees: int = 8
    top: int = 75  # features of a booster; 0 for all

    @property
    def key(self) -> str:
        """Name in the kept file; a point with usual settings keeps the name of its first six."""
        usual = self[6:] == tuple(Point(*self[:4])[6:])
        return str(tuple(self[:6] if usual else self))


FITTED = [
    Point(3_000, 60, 0, 0.0, n_splits=3),
    Point(3_000, 60, 0, 0.0, threads=2, n_splits=3),
    Point(3_000, 60, 0, 0.0, threads=4, n_splits=3),
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
    Point(120_000, 60, 1_100, 0.10, top=0),
    Point(60_000, 1_200, 0, 0.0, top=0),
    Point(10_000, 100, 0, 0.0, n_classes=15),
    Point(10_000, 100, 0, 0.0, n_classes=15, trees=4),
    Point(10_000, 100, 0, 0.0, max_depth=12),
    Point(5_000, 1_000, 0, 0.0, max_bin=1_024, n_splits=2, trees=4),
    Point(10_000, 100, 0, 0.0, threads=4, max_depth=6),
    Point(3_000, 5_000, 0, 0.0, n_splits=2, trees=4),
    Point(3_000, 20, 5_000, 0.10, n_splits=2, trees=4),
    Point(8_000, 40, 0, 0.0, n_classes=40, n_splits=3, trees=3),
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
    Point(100_000, 60, 1_100, 0.28, top=0),
    Point(100_000, 60, 1_100, 0.28, top=300),
    Point(60_000, 60, 1_100, 0.10, top=150),
    Point(180_000, 60, 1_100, 0.20, top=150),
    Point(12_000, 150, 0, 0.0, max_depth=9, n_classes=15, max_bin=128, n_splits=3, trees=3),
    Point(6_000, 400, 0, 0.0, threads=4, max_depth=14, max_bin=512, n_splits=3, trees=4),
    Point(4_000, 60, 3_000, 0.30, threads=2, max_depth=8, n_classes=5, n_splits=2, trees=3),
    Point(20_000, 20, 0, 0.0, threads=3, max_depth=14, max_bin=1_024, n_splits=3, trees=4),
    Point(6_000, 30, 0, 0.0, max_depth=3, n_classes=40, max_bin=32, n_splits=20, trees=1),
    Point(20_000, 300, 0, 0.0, max_depth=7, n_classes=2, n_splits=2, trees=3),
]
COUNTED = {  # settings that a shape depends on, by section
    "dataset": ["classes"],
    "cv": ["n_splits"],
    "learner": ["max_bin", "max_depth", "n_estimators", "select"],
    "explain": ["rows"],
}
SELECT = {"share": 0.33, "max_rows": 100_000, "rounds": 40}
KEPT = Path(__file__).with_suffix(".json")
BATCH_FILES = {  # that a rule of a batch reads or writes
    "cross_validate_batch": "rows out_of_fold folds metrics curves models",
    "train_batch": "rows folds uncalibrated",
    "calibrate_batch": "out_of_fold uncalibrated calibration model",
    "explain_batch": "rows uncalibrated models shap sample importance families",
    "diagnose_batch": "out_of_fold folds metrics curves calibration shap sample importance "
    "families",
}
DATA_FILES = {  # that a rule about the data set reads or writes
    "analyze_dataset": "profile groups",
    "choose_test_groups": "groups test_groups",
    "screen_features": "profile groups test_groups features screened",
    "describe_groups": "profile groups test_groups features",
    "plan_batches": "profile groups test_groups features planned manifest dataset memory coverage "
    "times_held",
}

HEAD = """# Memory: estimate and measurement

Made by `python benchmarks/memory.py`. Every rule of a batch runs in a process of its own, on made
tables. The promise, for resident memory:

    measured <= estimate <= 2 x measured

A job is ended when it holds more than it declared. Estimates cover what is reserved as well (column
`reserved`), which is up to 260 MB more.

An estimate counts full trees. Trees of depth 8 or more are not full if rows are few, so there the
estimate can be two to six times what is measured. Further threads reserve memory that few rows
never touch, so with four threads and 3,000 rows it is just above twice.

{summary}
"""
COLUMNS = "| rule | rows | dense | counts | density | stored | threads | depth | classes | bins "
COLUMNS += "| folds | trees | top | estimate MB | resident MB | reserved MB | estimate/resident "
COLUMNS += "| kept |\n|" + "---|" * 18 + "\n"


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--again", action="store_true", help="measure all points again")
    parser.add_argument("--rules", nargs="*", help="measure these rules only")
    parser.add_argument("--rows", type=int, help="measure points of so many rows at most")
    given = parser.parse_args()
    found = json.loads(KEPT.read_text()) if KEPT.exists() else {}
    wanted = [
        point
        for point in [*FITTED, *CHECKED]
        if (given.again or point.key not in found)
        and (given.rows is None or point.rows <= given.rows)
    ]
    for point in wanted:
        found[point.key] = measured(point, given.rules)
        KEPT.write_text(json.dumps(found, indent=1) + "\n")
        write(found)
    write(found)


def measured(point: Point, rules: list[str] | None) -> dict[str, Any]:
    """Shape of the batch of a point, and by rule what it held and reserved, in MB."""
    from genebatch.jobs.needs import rules_of

    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_table(folder / "data", *point[:4], n_classes=point.n_classes)
        learner = {"n_estimators": point.trees, "early_stopping_rounds": point.trees}
        learner |= {name: getattr(point, name) for name in ("threads", "max_depth", "max_bin")}
        settings = config(folder / "data", learner, point.n_classes)
        settings["cv"]["n_splits"] = point.n_splits
        settings["learner"]["select"] = {**SELECT, "top": point.top} if point.top else None
        settings["test"]["fraction"] = 0.02 if point.rows >= 10_000 else 0.1  # of 15 groups or more
        measure(prepare, folder, settings)
        peaks = {}
        for rule in rules or rules_of("batch"):
            measure(run_rule, rule, folder, settings, str(folder / "peak"))
            peaks[rule] = json.loads((folder / "peak").read_text())
            print(point, rule, peaks[rule], flush=True)
        rows = int(pl.read_csv(folder / "manifest.tsv", separator="\t")["rows"].item())
        features = json.loads((folder / "features.json").read_text())
    features["names"] = len(features["names"])
    given = {
        section: {key: settings[section][key] for key in keys} for section, keys in COUNTED.items()
    }
    return {"rows": rows, "features": features, "settings": given, "peaks": peaks}


def write(found: dict[str, Any]) -> None:
    from genebatch.jobs.needs import estimate_mb, rules_of
    from genebatch.plan.planning import batch_shape

    text, broken, total = "", 0, 0
    for title, points in (("Fitted", FITTED), ("Checked", CHECKED)):
        text += f"\n## {title}\n\n{COLUMNS}"
        for point in points:
            if point.key not in found:
                continue
            one = found[point.key]
            features = one["features"] | {"names": range(one["features"]["names"])}
            shape = batch_shape(features, planning(one["settings"]), point.n_splits)
            shape = shape._replace(rows=one["rows"])
            stored = "sparse" if shape.n_counts else "dense"
            for rule in rules_of("batch"):
                if rule not in one["peaks"]:
                    continue
                peak = one["peaks"][rule]
                estimate = estimate_mb(rule, shape, point.threads)
                kept = max(peak.values()) <= estimate <= 2 * peak["resident"]
                broken, total = broken + (not kept), total + 1
                text += f"| {rule} | {point.rows:,} | {point.n_dense} | {point.n_counts:,} "
                text += f"| {point.density:.0%} | {stored} | {point.threads} | {point.max_depth} "
                text += f"| {point.n_classes} | {point.max_bin} | {point.n_splits} | {point.trees} "
                text += f"| {point.top or 'all'} "
                text += f"| {estimate:,} | {peak['resident']:,.0f} | {peak['reserved']:,.0f} "
                text += f"| {estimate / peak['resident']:.2f} | {'yes' if kept else 'NO'} |\n"
    points = [*FITTED, *CHECKED]
    measured_now = sum(point.key in found for point in points)
    summary = (
        f"Kept in {total - broken} of {total}. Measured: {measured_now} of {len(points)} points."
    )
    chosen = [one["settings"]["learner"]["select"] for one in found.values()]
    brief = sum(select is not None and select["rounds"] < 40 for select in chosen)
    if brief:
        summary += f"\nPilots of {brief} points had fewer than 40 rounds and picked fewer features."
    KEPT.with_suffix(".md").write_text(HEAD.format(summary=summary) + text)


def planning(settings: dict[str, Any]) -> "Planning":
    """What a plan depends on, of the settings that are kept of a point."""
    from genebatch.config.settings import Labels, Planning, Selection

    labels = Labels("group", "label", settings["dataset"]["classes"], *[None] * 5)
    learner = settings["learner"]
    return Planning(
        labels,
        n_splits=settings["cv"]["n_splits"],
        seed=0,
        max_bin=learner["max_bin"],
        max_depth=learner["max_depth"],
        n_estimators=learner["n_estimators"],
        select=None if learner["select"] is None else Selection(**learner["select"]),
        explain_rows=settings["explain"]["rows"],
        score_rows=None,
        uncertainty=False,
    )


def run_rule(rule: str, folder: Path, settings: dict, result: str) -> None:
    """Run one rule in this process and write what it held and reserved at most, in MB."""
    boosted = rule in ("cross_validate_batch", "train_batch")
    threads = str(settings["learner"]["threads"] if boosted else 1)
    for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "POLARS_MAX_THREADS"):
        os.environ[name] = threads
    os.environ["ARROW_DEFAULT_MEMORY_POOL"] = "system"
    from genebatch.jobs.run import peak_mb

    with reserved() as most:
        run_batch_rule(rule, paths(folder), settings)
    peaks = {"resident": round(peak_mb(), 1), "reserved": round(max(most), 1)}
    Path(result).write_text(json.dumps(peaks))


def run_batch_rule(rule: str, files: dict[str, str], settings: dict) -> None:
    """Run one rule of a batch on its files."""
    from genebatch.config.settings import Settings

    if rule == "diagnose_batch":
        diagnose(files, settings["dataset"]["classes"])
        return
    from genebatch.steps import batches

    chosen = Settings.build(settings)
    use_weights = chosen.learner.use_weights
    boosted = {"learner": chosen.learner, "threads": chosen.learner.threads}
    given = {
        "cross_validate_batch": {"cv": chosen.cv, **boosted},
        "train_batch": boosted,
        "calibrate_batch": {"method": chosen.calibration.method, "use_weights": use_weights},
        "explain_batch": {"explaining": chosen.explain, "use_weights": use_weights, "threads": 1},
    }
    read_and_written = {name: files[name] for name in BATCH_FILES[rule].split()}
    getattr(batches, rule)(**given[rule], **read_and_written)


def diagnose(files: dict[str, str], classes: list[str]) -> None:
    """Draw the figures of a batch, beside its other files."""
    from genebatch.steps.report import diagnose_batch

    given = {name: files[name] for name in BATCH_FILES["diagnose_batch"].split()}
    folder = Path(files["folds"]).parent
    figures = ("roc", "pr", "calibration", "learning_curves", "shap", "importance")
    given |= {f"{name}_figure": str(folder / f"{name}.png") for name in figures}
    diagnose_batch(batch="b000", classes=classes, **given, summary=str(folder / "summary.json"))


@contextmanager
def reserved() -> Iterator[list[float]]:
    """Watch what a process reserves, in MB, whether it is touched or not."""
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
    names = ["profile.json", "groups.parquet", "test_groups.tsv", "features.json", "screened.tsv"]
    names += ["planned.parquet", "manifest.tsv", "dataset.json", "memory.json", "coverage.tsv"]
    names += ["times_held.tsv", "out_of_fold.parquet", "folds.tsv", "metrics.tsv"]
    names += ["curves.parquet", "models.gbm", "uncalibrated.gbm", "calibration.json", "model.gbm"]
    names += ["shap.parquet", "sample.parquet", "importance.tsv", "families.tsv"]
    found = {Path(name).stem: str(folder / name) for name in names}
    return found | {"rows": str(folder / "rows" / "b000.arrow")}


def prepare(folder: Path, settings: dict) -> None:
    """Everything before the batch rules."""
    for rule in ("analyze_dataset", "choose_test_groups", "screen_features", "plan_batches"):
        run_data_step(rule, folder, settings, budget_mb=100_000)


def run_data_step(
    rule: str, folder: Path, settings: dict, budget_mb: int, threads: int = 1
) -> None:
    """Run one rule about the data set; `threads` are those of the analysis."""
    from genebatch.config.settings import Settings
    from genebatch.steps import dataset as steps

    chosen = Settings.build(settings)
    labels = chosen.table.labels
    planned = {"batching": chosen.batching, "planning": chosen.planning, "budget_mb": budget_mb}
    planned |= {"batch_threads": chosen.learner.threads, "rows": str(folder / "rows")}
    described = {"group_features": str(folder / "group_features.parquet")}
    described |= {"similarity": str(folder / "similarity.json")}
    given = {
        "analyze_dataset": {"table": chosen.table, "test_column": None, "threads": threads},
        "choose_test_groups": {"test": chosen.test, "keep": None},
        "screen_features": {"labels": labels, "screening": chosen.screen},
        "describe_groups": {"similar_by": ["*"], **described},
        "plan_batches": planned,
    }
    files = paths(folder)
    read_and_written = {name: files[name] for name in DATA_FILES[rule].split()}
    getattr(steps, rule)(**given[rule], **read_and_written)


def measure(function, *arguments) -> None:
    process = multiprocessing.get_context("spawn").Process(target=function, args=arguments)
    process.start()
    process.join()
    if process.exitcode:
        raise SystemExit(f"{function.__name__}{arguments[:1]} failed")


if __name__ == "__main__":
    main()
