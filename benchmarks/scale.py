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
import time
from pathlib import Path
from typing import Any

import polars as pl
import pyarrow.parquet as pq
import yaml

from genebatch.look import panels
from genebatch.resources import read_usage

REPOSITORY = Path(__file__).parents[1]
KEPT = Path(__file__).with_suffix(".json")
MEMORY_MB = 16_000
CLASSES = ["neither", "donor", "acceptor"]
BATCHES = 14  # of the whole
GENES = 9_280
TEST = 0.05
BOOSTED = ("cross_validate_batch", "train_batch", "train_single")

HEAD = """# The pipeline at the size of the document

`genebatch simulate --like document` and the workflow on it, two cores, `--resources
mem_mb={memory:,}`, one thread a job; {trees} trees a booster without early stopping, {splits}
folds, three classes. Made by `python benchmarks/scale.py FOLDER`. Times of rules of a batch are
sums over batches; rows per second are rows of the data set by the seconds of the rule. Read and
written are what the processes asked the system for, in GB; much of it lies in its cache.
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
    }


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
        "batching": {"max_genes": int(training / max(round(BATCHES * share), 1)) + 2},
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
    text += "\n## How cost grows\n\n![Time and memory of rules against rows](scale.png)\n"
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
    text += "| rule | jobs | wall s | CPU s | largest peak MB | declared MB | read GB | written GB "
    text += "| rows/s |\n|---|---|---|---|---|---|---|---|---|\n"
    for row in by_rule(one).iter_rows(named=True):
        text += (
            f"| {row['rule']} | {row['jobs']} | {row['seconds']:.0f} | {row['cpu_seconds']:.0f} "
        )
        text += f"| {row['peak_mb']:,.0f} | {row['declared_mb']:,} | {row['read_mb'] / 1000:.2f} "
        text += f"| {row['written_mb'] / 1000:.2f} | {one['rows'] / row['seconds']:,.0f} |\n"
    return text


def draw(found: dict[str, Any], path: Path) -> None:
    """CPU and memory of each rule against rows."""
    shares = sorted(found, key=float)
    rows = [found[share]["rows"] / 1e6 for share in shares]
    tables = [by_rule(found[share]) for share in shares]
    rules = tables[-1]["rule"].head(8).to_list()
    with panels(path, 2, "Cost against rows", size=(5.0, 4.0), columns=2) as (time_axes, memory):
        for axes, column, label in (
            (time_axes, "cpu_seconds", "CPU seconds of all jobs"),
            (memory, "peak_mb", "peak resident MB of the largest job"),
        ):
            for rule in rules:
                values = [dict(table.select("rule", column).iter_rows()) for table in tables]
                axes.plot(rows, [value.get(rule) for value in values], marker="o", label=rule)
            axes.set(xlabel="million rows", ylabel=label, xlim=(0, None), ylim=(0, None))
        memory.legend(fontsize=7)


if __name__ == "__main__":
    main()
