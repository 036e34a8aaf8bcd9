"""The whole pipeline at the size of the document, and at parts of it: time, memory and traffic.

    .venv/bin/python benchmarks/scale.py FOLDER [--shares 0.125 0.25 0.5 1] [--trees 10] [--rivals]

Simulates the data set in FOLDER where it is not there yet, runs the workflow on it with two cores,
and writes benchmarks/scale.md and scale.png from the records of its jobs; a finished run is not
repeated. Trees are few, since what is measured is the cost of one: without early stopping, so that
every booster has as many.
"""

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import polars as pl
import pyarrow.parquet as pq
import yaml
from engine import alone

from genebatch.config.schema import resolve
from genebatch.jobs.run import read_usage
from genebatch.report.figures.style import panels, save_figure

REPOSITORY = Path(__file__).parents[1]
KEPT = Path(__file__).with_suffix(".json")
MEMORY_MB = 16_000
CLASSES = ["neither", "donor", "acceptor"]
BATCHES = 14  # of the whole
GENES = 9_280
TEST = 0.05

HEAD = """# The pipeline at the size of the document

Made by `python benchmarks/scale.py FOLDER`: `genebatch simulate --like document`, and the workflow
on its table.

- Two cores, `--resources mem_mb={memory:,}`, one thread a job.
- {trees} trees a booster without early stopping, {splits} folds, three classes. Pilots pick the
  features, and their rounds come on top.
- Times of the rules of a batch are sums over batches.
- Rows per second: rows of the data set / seconds of the rule.
- Read and written: what the processes asked the system for, in GB. Much of it is in the system's
  cache.
"""


NOTES = """
- The cost of a batch does not depend on the size of the data set: more rows are more batches. Time
  grows with the rows. Combiners learn from 20 million scores at most, so they stop growing.
- Memory grows only for rules that hold something of every training row: `estimate` by about 300
  bytes a row. The analysis, the screen and the plan with its pass over all rows take two and a half
  minutes and less than 1 GB at full size.
- The minutes in all are the sum of all runs until a share was finished. The machine was not quiet.
  At full and at half size they include jobs that were stopped at their limit and repeated: the
  estimates for `cross_batch_scores` and `estimate` were too low at these sizes. They have been
  corrected by these runs. Declared is what the last run of a job declared, by the estimates of its
  time.
"""


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("folder", type=Path)
    parser.add_argument("--shares", nargs="+", type=float, default=[0.125, 0.25, 0.5, 1.0])
    parser.add_argument("--trees", type=int, default=10)
    parser.add_argument("--rivals", action="store_true", help="train the single model as well")
    options = parser.parse_args()
    found = json.loads(KEPT.read_text()) if KEPT.exists() else {}
    for share in options.shares:
        folder = options.folder / str(share)
        if str(share) not in found:
            found[str(share)] = run(folder, share, options.trees, options.rivals)
            KEPT.write_text(json.dumps(found, indent=1) + "\n")
    write(found)


def run(folder: Path, share: float, trees: int, rivals: bool) -> dict[str, Any]:
    """Simulate, run, and give the records of all jobs with what they were about."""
    data = folder / "data"
    if not (data / "example").is_dir():
        command = [sys.executable, "-m", "genebatch", "simulate", str(data), "--like", "document"]
        subprocess.run([*command, "--share", str(share)], check=True, cwd=REPOSITORY)
    (folder / "config").mkdir(exist_ok=True)
    (folder / "config/config.yaml").write_text(yaml.safe_dump(settings(share, trees, rivals)))
    command = [sys.executable, "-m", "snakemake", "--cores", "2", "--directory", str(folder)]
    command += ["--snakefile", str(REPOSITORY / "Snakefile")]
    command += ["--resources", f"mem_mb={MEMORY_MB}"]
    wall = clocked(command, folder / "wall.json")
    records = read_usage([str(path) for path in (folder / "results/usage").rglob("*.json")])
    manifest = pl.read_csv(folder / "results/batches/manifest.tsv", separator="\t")
    shards = sorted((data / "example").glob("*.parquet"))
    return {
        "rows": sum(pq.ParquetFile(path).metadata.num_rows for path in shards),
        "data_mb": sum(path.stat().st_size for path in shards) / 1e6,
        "rows_mb": sum(p.stat().st_size for p in folder.glob("results/rows/*.arrow")) / 1e6,
        "wall": wall,
        "trees": trees,
        "largest": int(manifest["rows"].max()),
        "batches": manifest.height,
        "records": records,
        "tree": cost_of_a_tree(folder, manifest, trees),
    }


def cost_of_a_tree(folder: Path, manifest: pl.DataFrame, trees: int) -> float:
    """CPU seconds of a tree of the largest batch while it is cross-validated.

    The difference between few trees and four times as many, each in a process of its own.
    """
    batch = manifest.sort("rows")["batch"][-1]
    few, many = (alone(cross_validated, folder, batch, n) for n in (trees, 4 * trees))
    found = resolve(yaml.safe_load((folder / "config/config.yaml").read_text()))
    return (many - few) / (3 * trees * found["cv"]["n_splits"] * len(CLASSES))


def cross_validated(folder: Path, batch: str, trees: int) -> float:
    """CPU seconds of the cross-validation of a batch with so many trees a booster."""
    from genebatch.config.settings import Settings
    from genebatch.steps.batches import cross_validate_batch

    config = resolve(yaml.safe_load((folder / "config/config.yaml").read_text()))
    config["learner"] |= {"n_estimators": trees, "early_stopping_rounds": trees}
    chosen = Settings.build(config)
    with tempfile.TemporaryDirectory() as name:
        kinds = {"out_of_fold": "parquet", "folds": "tsv", "metrics": "tsv", "curves": "parquet"}
        kinds |= {"models": "gbm"}
        outputs = {kind: Path(name) / f"{kind}.{ending}" for kind, ending in kinds.items()}
        start = time.process_time()
        cross_validate_batch(
            rows=folder / f"results/rows/{batch}.arrow",
            cv=chosen.cv,
            learner=chosen.learner,
            threads=1,
            **outputs,
        )
        return time.process_time() - start


def clocked(command: list[str], kept: Path) -> float:
    """Run a command, and give the seconds of all its runs until it succeeded."""
    before = json.loads(kept.read_text()) if kept.exists() else 0.0
    start = time.monotonic()
    try:
        subprocess.run(command, check=True, cwd=REPOSITORY)
    finally:
        kept.write_text(json.dumps(before + time.monotonic() - start))
    return json.loads(kept.read_text())


def settings(share: float, trees: int, rivals: bool) -> dict[str, Any]:
    training = round(GENES * share) * (1 - TEST)
    return {
        "dataset": {
            "path": "data/example",
            "group": "gene_id",
            "label": "splice_type",
            "classes": CLASSES,
            "null_label": "neither",
            "scores": {name: f"{name}_score" for name in CLASSES},
            "weight": "sample_weight",
            "position": "position",
            "metadata": [
                *("transcript_id", "chrom", "strand", "gene_type", "cluster_id"),
                "genomic_position",
            ],
        },
        "test": {"fraction": TEST},
        "batching": {"max_groups": int(training / max(round(BATCHES * share), 1)) + 2},
        "learner": {"n_estimators": trees, "early_stopping_rounds": trees},
        "ensemble": {"rivals": ["single"] if rivals else []},
        "final": "best" if rivals else "ensemble",
    }


def write(found: dict[str, Any]) -> None:
    whole = found[max(found, key=float)]
    text = HEAD.format(memory=MEMORY_MB, trees=whole["trees"], splits=5)
    for share in sorted(found, key=float, reverse=True):
        text += section(float(share), found[share])
    draw(found, KEPT.with_suffix(".png"))
    text += "\n## How cost grows\n\n![Time and memory of rules against rows](scale.png)\n" + NOTES
    KEPT.with_suffix(".md").write_text(text)


def by_rule(one: dict[str, Any]) -> pl.DataFrame:
    """Jobs, sums of time and traffic, and largest memory of each rule, in order of appearance."""
    return (
        pl.DataFrame(one["records"])
        .group_by("rule", maintain_order=True)
        .agg(
            pl.len().alias("jobs"),
            pl.col("seconds", "cpu_seconds", "read_mb", "written_mb").sum(),
            pl.col("peak_mb", "declared_mb").max(),
        )
        .sort("cpu_seconds", descending=True)
    )


def section(share: float, one: dict[str, Any]) -> str:
    text = f"\n## Share {share:g}: {one['rows']:,} rows\n\n"
    text += f"{one['batches']} batches, the largest of {one['largest']:,} rows; "
    text += (
        f"{one['data_mb'] / 1000:.2f} GB of Parquet, {one['rows_mb'] / 1000:.2f} GB of batches' "
    )
    text += f"rows. **{one['wall'] / 60:.1f} minutes** in all.\n\n"
    text += arithmetic(one)
    text += "| rule | jobs | wall s | CPU s | largest peak MB | declared MB | read GB | written GB "
    text += "| rows/s |\n|---|---|---|---|---|---|---|---|---|\n"
    for row in by_rule(one).iter_rows(named=True):
        text += (
            f"| {row['rule']} | {row['jobs']} | {row['seconds']:.0f} | {row['cpu_seconds']:.0f} "
        )
        text += f"| {row['peak_mb']:,.0f} | {row['declared_mb']:,} | {row['read_mb'] / 1000:.2f} "
        text += f"| {row['written_mb'] / 1000:.2f} | {one['rows'] / row['seconds']:,.0f} |\n"
    return text


def arithmetic(one: dict[str, Any]) -> str:
    """What trees cost, and what the document's settings would."""
    per_batch = 5 * len(CLASSES)
    largest, usual = (
        one["batches"] * one["tree"] * (per_batch * (trees + stop) + len(CLASSES) * trees) / 3600
        for trees, stop in ((800, 0), (150, 30))
    )
    return (
        f"A tree of the largest batch takes {1000 * one['tree']:.0f} ms of a core. Boosting all "
        f"batches takes {usual:.1f} hours of a core, without pilots, if boosters stop at 150 trees "
        f"with a patience of 30, and {largest:.1f} if all grow 800; what follows has "
        f"{one['trees']}.\n\n"
    )


def draw(found: dict[str, Any], path: Path) -> None:
    """CPU and memory of each rule against rows."""
    shares = sorted(found, key=float)
    rows = [found[share]["rows"] / 1e6 for share in shares]
    tables = [by_rule(found[share]) for share in shares]
    rules = tables[-1]["rule"].head(8).to_list()
    shape = {"size": (5.0, 4.0), "columns": 2}
    with panels(2, "Cost against rows", **shape) as (figure, (time_axes, memory)):
        for axes, column, label in (
            (time_axes, "cpu_seconds", "CPU seconds of all jobs"),
            (memory, "peak_mb", "peak resident MB of the largest job"),
        ):
            for rule in rules:
                values = [dict(table.select("rule", column).iter_rows()) for table in tables]
                axes.plot(rows, [value.get(rule) for value in values], marker="o", label=rule)
            axes.set(xlabel="million rows", ylabel=label, xlim=(0, None), ylim=(0, None))
        memory.legend(fontsize=7, loc="upper left", bbox_to_anchor=(1.0, 1.0), frameon=False)
    save_figure(path, figure)


if __name__ == "__main__":
    main()
