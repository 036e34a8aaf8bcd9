"""The whole pipeline at the size of the document, and at parts of it: time, memory and traffic.

    .venv/bin/python benchmarks/scale.py FOLDER [--shares 0.125 0.25 0.5 1]

Simulates the data set in FOLDER where it is not there yet, runs the workflow on it with two cores
and the default settings, takes the files of one batch away and runs it again. Writes
benchmarks/scale.md and scale.png from the records of its jobs. A finished run is not repeated.
"""

import argparse
import json
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import polars as pl
import pyarrow.parquet as pq
import yaml

from genebatch.jobs.run import read_usage
from genebatch.report.figures.style import panels, save_figure

REPOSITORY = Path(__file__).parents[1]
KEPT = Path(__file__).with_suffix(".json")
MEMORY_MB = 16_000
CLASSES = ["neither", "donor", "acceptor"]
BATCHES = 14  # of the whole
GENES = 9_280
TEST = 0.05
LOST = "b000"  # the batch whose files are taken away
# Rules that a lost batch does not repeat, beside those of other batches.
KEPT_RULES = ("analyze_dataset", "choose_test_groups", "screen_features", "plan_batches")
KEPT_RULES += ("cross_validate_single", "train_single")

HEAD = f"""# The pipeline at the size of the document

Made by `python benchmarks/scale.py FOLDER`: `genebatch simulate --like document`, and the workflow
on its table.

- Two cores, `--resources mem_mb={MEMORY_MB:,}`, and the default settings, except that a batch has
  as many groups as in the document and that {TEST:.0%} of the groups are test groups.
- Times of the rules of a batch are sums over batches.
- Rows per second: rows of the data set / seconds of the rule.
- Read and written: what the processes asked the system for, in GB. Much of it is in the system's
  cache.
- A lost batch: all files of one batch are deleted, and the workflow runs again. It repeats the jobs
  of that batch, and those that read all batches, but neither the plan nor the single model. From
  the records of the jobs that is: the mean of a batch, and the rules after the batches, one job
  after the other.
"""


NOTES = """
- The whole had the machine to itself but for its first three minutes, in which a test ran. The
  other three shares ran earlier and shared their two cores with other measurements, so they are
  slow for their size: `train_single` at the half got one core for its two threads. Beside the
  quarter ran the whole test suite, and a lost batch was not timed there.
- The folds of the single model ask for 1,110 to 1,290 trees at full size, more than the 800 of
  `learner.n_estimators`.
- Parts have other test groups, so their losses and precisions are not those of the same rows.
"""


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("folder", type=Path)
    parser.add_argument("--shares", nargs="+", type=float, default=[0.125, 0.25, 0.5, 1.0])
    options = parser.parse_args()
    found = json.loads(KEPT.read_text()) if KEPT.exists() else {}
    for share in options.shares:
        folder = options.folder / str(share)
        one = found.setdefault(str(share), {})
        if "records" not in one:
            one |= run(folder, share)
            KEPT.write_text(json.dumps(found, indent=1) + "\n")
            write(found)
        if "rerun" not in one:
            shutil.rmtree(folder / "results/batches" / LOST)
            one["rerun"] = clocked(workflow(folder), folder / "rerun.json")
            KEPT.write_text(json.dumps(found, indent=1) + "\n")
    write(found)


def run(folder: Path, share: float) -> dict[str, Any]:
    """Simulate, run, and give the records of all jobs with what they were about."""
    data = folder / "data"
    if not (data / "example").is_dir():
        command = [sys.executable, "-m", "genebatch", "simulate", str(data), "--like", "document"]
        subprocess.run([*command, "--share", str(share)], check=True, cwd=REPOSITORY)
    (folder / "config").mkdir(exist_ok=True)
    (folder / "config/config.yaml").write_text(yaml.safe_dump(settings(share)))
    wall = clocked(workflow(folder), folder / "wall.json")
    results = folder / "results"
    records = read_usage([str(path) for path in (results / "usage").rglob("*.json")])
    manifest = pl.read_csv(results / "batches/manifest.tsv", separator="\t")
    shards = sorted((data / "example").glob("*.parquet"))
    return {
        "rows": sum(pq.ParquetFile(path).metadata.num_rows for path in shards),
        "data_mb": sum(path.stat().st_size for path in shards) / 1e6,
        "rows_mb": sum(p.stat().st_size for p in (results / "rows").glob("*.arrow")) / 1e6,
        "wall": wall,
        "largest": int(manifest["rows"].max()),
        "batches": manifest.height,
        "records": records,
        "candidates": table(results / "model/candidates.tsv"),
        "test": table(results / "evaluation/comparison.tsv"),
    }


def workflow(folder: Path) -> list[str]:
    command = [sys.executable, "-m", "snakemake", "--cores", "2", "--directory", str(folder)]
    command += ["--snakefile", str(REPOSITORY / "Snakefile")]
    return [*command, "--resources", f"mem_mb={MEMORY_MB}"]


def table(path: Path) -> list[dict[str, Any]]:
    return pl.read_csv(path, separator="\t").to_dicts()


def clocked(command: list[str], kept: Path) -> float:
    """Run a command, and give the seconds of all its runs until it succeeded."""
    before = json.loads(kept.read_text()) if kept.exists() else 0.0
    start = time.monotonic()
    try:
        subprocess.run(command, check=True, cwd=REPOSITORY)
    finally:
        kept.write_text(json.dumps(before + time.monotonic() - start))
    return json.loads(kept.read_text())


def settings(share: float) -> dict[str, Any]:
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
    }


def write(found: dict[str, Any]) -> None:
    done = {share: one for share, one in found.items() if "records" in one}
    text = HEAD + NOTES.lstrip("\n")
    for share in sorted(done, key=float, reverse=True):
        text += section(float(share), done[share])
    if len(done) > 1:
        draw(done, KEPT.with_suffix(".png"))
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
    text += f"rows. **{one['wall'] / 60:.1f} minutes** in all"
    text += f", {one['rerun'] / 60:.1f} after a lost batch.\n\n" if "rerun" in one else ".\n\n"
    text += lost_batch(one) + judged(one)
    text += "| rule | jobs | wall s | CPU s | largest peak MB | declared MB | read GB | written GB "
    text += "| rows/s |\n|---|---|---|---|---|---|---|---|---|\n"
    for row in by_rule(one).iter_rows(named=True):
        text += (
            f"| {row['rule']} | {row['jobs']} | {row['seconds']:.0f} | {row['cpu_seconds']:.0f} "
        )
        text += f"| {row['peak_mb']:,.0f} | {row['declared_mb']:,} | {row['read_mb'] / 1000:.2f} "
        text += f"| {row['written_mb'] / 1000:.2f} | {one['rows'] / row['seconds']:,.0f} |\n"
    return text


def lost_batch(one: dict[str, Any]) -> str:
    """What the records tell of a run after a lost batch."""
    repeated = by_rule(one).filter(~pl.col("rule").is_in(KEPT_RULES))
    share = pl.when(pl.col("jobs") == one["batches"]).then(1 / pl.col("jobs")).otherwise(1)
    times = repeated.select(pl.col("seconds", "cpu_seconds") * share).sum().row(0)
    whole = by_rule(one)["cpu_seconds"].sum()
    text = f"A lost batch, from the records: {times[0] / 60:.1f} minutes of jobs, "
    return text + f"{times[1]:.0f} CPU s, {times[1] / whole:.0%} of the CPU time of the whole.\n\n"


def judged(one: dict[str, Any]) -> str:
    """The candidates for the final model, and the delivered one on test groups."""
    text = "| candidate | held-out log loss x 10^6 | trees | delivered |\n|---|---|---|---|\n"
    for row in one["candidates"]:
        text += f"| {row['candidate']} | {1e6 * row['log_loss']:.1f} | {row['trees']:,} "
        text += f"| {'yes' if row['chosen'] else ''} |\n"
    text += "\n| test groups, weighted | base scores | model |\n|---|---|---|\n"
    for row in one["test"]:
        if row["weighted"] and row["metric"] == "average_precision":
            text += (
                f"| average precision, {row['class']} | {row['base']:.4f} | {row['model']:.4f} |\n"
            )
    return text + "\n"


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
