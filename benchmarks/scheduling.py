"""What Snakemake itself costs with many batches: of a dry run behind the plan, and of a whole run.

Makes a small plan, and then one of so many batches by repeating its lines: nothing is trained.
With `--run`, runs the workflow on as many tiny batches from the table to the page. With `--folder`
such a run stays in a folder, and goes on there if it was interrupted. What is measured is kept in
benchmarks/scheduling.json; benchmarks/scheduling.md is written from it.

    .venv/bin/python benchmarks/scheduling.py
    .venv/bin/python benchmarks/scheduling.py --run 200 --folder FOLDER
"""

import argparse
import json
import os
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import polars as pl
import yaml

from genebatch.io.files import write_json
from genebatch.jobs.run import read_usage
from genebatch.simulation.table import simulate

KEPT = Path(__file__).with_suffix(".json")
REPOSITORY = Path(__file__).parents[1]
BATCHES = (14, 200, 2_000)
CONFIG = {
    "dataset": {
        "path": "data/example",
        "group": "gene_id",
        "label": "splice_type",
        "classes": ["neither", "donor", "acceptor"],
        "null_label": "neither",
        "scores": {name: f"{name}_score" for name in ("neither", "donor", "acceptor")},
        "weight": "sample_weight",
        "position": "position",
        "metadata": ["transcript_id", "cluster_id", "chrom", "strand", "gene_type"],
        "exclude": ["genomic_position", "5mer_*"],
    },
    "batching": {"max_groups": 20, "min_groups": 5, "min_positives": 2},
}
# Of a whole run: batches of some 500 rows, whose boosters have next to no trees.
GROUPS, ROWS = 12, 50  # of a batch, of a group
TINY = {
    "batching": {"max_groups": GROUPS, "min_groups": 4, "min_positives": 0},
    "cv": {"n_splits": 2},
    "learner": {"n_estimators": 5, "select": None},
    "explain": {"rows": 20, "neighbour_sites": 10},
    "ensemble": {"rivals": []},
    "final": "ensemble",
}
HEAD = """# What Snakemake itself costs

Made by `python benchmarks/scheduling.py`: a dry run after a finished plan, with no file of any
batch there. Peak is of resident memory.

| batches | jobs | s | ms/job | peak MB |
|---|---|---|---|---|
"""
RUN = """
## A whole run

Made by `python benchmarks/scheduling.py --run N`: the workflow from a table to the page on N
batches of some 500 rows, with five trees a booster, no single model and two cores. "Scheduler" is
the process of Snakemake, without its jobs. A job takes 2 to 4 CPU seconds, most of them
imports.

By itself Snakemake limits jobs to 100 a second. With that limit each job that has ended leaves a
timer behind, by which the process looks at all ready jobs once a second until the run ends. The
workflow takes the default limit away (`spare_the_scheduler` in `workflow/rules/memory.smk`). With
it, the scheduler of a run of 200 batches had used 502 CPU seconds behind 240 of 1,008 jobs. The
lines below are without it.

The run of 192 batches was killed behind 432 jobs and went on with the others. Its minutes, its rate
and the CPU seconds of its scheduler are of this second part.

| batches | jobs | minutes | jobs a minute | CPU s a job | scheduler CPU s | scheduler peak MB |
|---|---|---|---|---|---|---|
"""
NOTES = """
Time and memory grow with the number of jobs, five for each batch. No function of the workflow looks
at all batches for each job. A run looks at its jobs a few times more, as each finishes. At 2,000
batches that is minutes, beside thousands of hours of boosting. If it matters:

- larger batches (`batching.max_groups`, `max_rows`) make fewer jobs, and are more accurate as well;
- on a cluster the profile's groups make one job of five.
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--run", type=int, metavar="N", help="run the workflow on N tiny batches")
    parser.add_argument("--folder", type=Path, help="where the run stays; default: nowhere")
    options = parser.parse_args()
    number = options.run
    found = json.loads(KEPT.read_text()) if KEPT.exists() else {"dry": [], "run": []}
    with tempfile.TemporaryDirectory() as name:
        if number is None:
            found["dry"] = dry_runs(Path(name))
        else:
            others = [one for one in found["run"] if one["batches"] != number]
            found["run"] = [*others, whole_run(options.folder or Path(name), number)]
    write_json(KEPT, found)
    KEPT.with_suffix(".md").write_text(page(found))


def dry_runs(folder: Path) -> list[dict[str, float]]:
    """Jobs, seconds and memory of dry runs behind plans of many batches."""
    prepare(folder, 60, {"batching": CONFIG["batching"]})
    path = folder / "results/batches/manifest.tsv"
    snakemake(folder, str(path.relative_to(folder)))
    first = pl.read_csv(path, separator="\t", schema_overrides={"key": pl.String})[:1]
    found = []
    for n_batches in BATCHES:
        names = pl.Series("batch", [f"b{number:03d}" for number in range(n_batches)])
        many = pl.concat([first] * n_batches).with_columns(names)
        many.write_csv(path, separator="\t")
        link_row_files(folder / "results/rows", first["batch"].item(), names.to_list())
        jobs, seconds, peak = dry_run(folder)
        found.append({"batches": n_batches, "jobs": jobs, "seconds": seconds, "peak": peak})
        print(found[-1], flush=True)
    return found


def whole_run(folder: Path, n_batches: int) -> dict[str, float]:
    """Run the workflow on so many tiny batches, and watch its scheduler.

    Jobs that an interrupted run of the same folder has finished count as jobs. Time and CPU of the
    scheduler are of this run alone, and so is the rate.
    """
    if not (folder / "config").exists():
        prepare(folder, round(n_batches * (GROUPS - 0.5) / 0.9), TINY)
    usage = folder / "results/usage"
    before = len(list(usage.rglob("*.json")))
    command = [*workflow(folder), "--quiet", "--resources", "mem_mb=8000"]
    start, peak, cpu = time.monotonic(), 0.0, 0.0
    log = folder / "log.txt"
    with log.open("w") as said, subprocess.Popen(command, stdout=said, stderr=said) as process:
        while process.poll() is None:
            peak, cpu = watched(process.pid) or (peak, cpu)
            time.sleep(0.5)
    if process.returncode:
        raise SystemExit(log.read_text())
    minutes = (time.monotonic() - start) / 60
    records = read_usage([str(path) for path in usage.rglob("*.json")])
    manifest = pl.read_csv(folder / "results/batches/manifest.tsv", separator="\t")
    jobs_cpu = sum(record["cpu_seconds"] for record in records)
    found = {"batches": manifest.height, "jobs": len(records), "before": before}
    found |= {"minutes": minutes, "cpu": jobs_cpu, "scheduler_cpu": cpu, "peak": peak}
    print(found, flush=True)
    return found


def prepare(folder: Path, n_genes: int, settings: dict[str, Any]) -> None:
    """Make a table of so many genes, and the config of a run."""
    simulate(folder / "data", n_genes=n_genes, n_rows=ROWS * n_genes, n_new_genes=5)
    (folder / "config").mkdir()
    (folder / "config/config.yaml").write_text(yaml.safe_dump(CONFIG | settings))


def watched(pid: int) -> tuple[float, float] | None:
    """Peak memory of a process in MB and its CPU seconds, or None where it has ended."""
    try:
        status = Path(f"/proc/{pid}/status").read_text()
        times = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return None
    peak = re.search(r"VmHWM:\s+(\d+)", status)
    if peak is None:  # a process that was not waited for yet
        return None
    ticks = int(times[11]) + int(times[12])
    return int(peak.group(1)) / 1024, ticks / os.sysconf("SC_CLK_TCK")


def page(found: dict[str, Any]) -> str:
    text = HEAD
    for one in found["dry"]:
        text += f"| {one['batches']:,} | {one['jobs']:,} | {one['seconds']:.1f} "
        text += f"| {1000 * one['seconds'] / one['jobs']:.1f} | {one['peak']:.0f} |\n"
    text += NOTES
    if found["run"]:
        text += RUN
    for one in found["run"]:
        text += f"| {one['batches']:,} | {one['jobs']:,} | {one['minutes']:.1f} "
        rate = (one["jobs"] - one.get("before", 0)) / one["minutes"]
        text += f"| {rate:.0f} | {one['cpu'] / one['jobs']:.1f} "
        text += f"| {one['scheduler_cpu']:.0f} | {one['peak']:.0f} |\n"
    return text


def link_row_files(folder: Path, first: str, names: list[str]) -> None:
    """Give every batch the row file of the first, as its line of the plan is the first's too."""
    for name in names:
        path = folder / f"{name}.arrow"
        if name != first:
            path.unlink(missing_ok=True)
            os.link(folder / f"{first}.arrow", path)


def workflow(folder: Path) -> list[str]:
    command = [sys.executable, "-m", "snakemake", "--cores", "2", "--directory", str(folder)]
    return [*command, "--snakefile", str(REPOSITORY / "Snakefile")]


def snakemake(folder: Path, *arguments: str) -> str:
    done = subprocess.run(
        [*workflow(folder), *arguments],
        check=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    return done.stdout


def dry_run(folder: Path) -> tuple[int, float, float]:
    """Jobs of a dry run, and CPU seconds and MB that it took."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(reading)
        with os.fdopen(writing, "w") as stream:
            stream.write(snakemake(folder, "--dry-run", "--quiet", "rules"))
        os._exit(0)
    os.close(writing)
    with os.fdopen(reading) as stream:
        output = stream.read()
    # Of the child that waited, and of Snakemake under it.
    _, status, usage = os.wait4(child, 0)
    if status:
        raise RuntimeError(output)
    jobs = int(re.search(r"^total +(\d+)", output, re.M).group(1))
    return jobs, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024


if __name__ == "__main__":
    main()
