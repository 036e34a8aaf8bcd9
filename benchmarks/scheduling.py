"""What Snakemake itself costs with many batches: time and memory of a dry run behind the plan.

Makes a small plan, and then one of so many batches by repeating its lines: nothing is trained.
Writes benchmarks/scheduling.md.

    .venv/bin/python benchmarks/scheduling.py
"""

import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path

import polars as pl
import yaml

from genebatch.simulation.table import simulate

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
HEAD = """# What Snakemake itself costs

Made by `python benchmarks/scheduling.py`: a dry run after a finished plan, with no file of any
batch there. Peak is of resident memory.

| batches | jobs | s | ms/job | peak MB |
|---|---|---|---|---|
"""
NOTES = """
Time and memory grow with the number of jobs, five for each batch. No function of the workflow looks
at all batches for each job. A run looks at its jobs a few times more, as each finishes. At 2,000
batches that is minutes, beside thousands of hours of boosting. If it matters:

- larger batches (`batching.max_groups`, `max_rows`) make fewer jobs, and are more accurate as well;
- on a cluster the profile's groups make one job of five.
"""


def main() -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        simulate(folder / "data", n_genes=60, n_rows=3_000, n_new_genes=5)
        (folder / "config").mkdir()
        (folder / "config/config.yaml").write_text(yaml.safe_dump(CONFIG))
        path = folder / "results/batches/manifest.tsv"
        snakemake(folder, str(path.relative_to(folder)))
        first = pl.read_csv(path, separator="\t", schema_overrides={"key": pl.String})[:1]
        text = HEAD
        for n_batches in BATCHES:
            names = pl.Series("batch", [f"b{number:03d}" for number in range(n_batches)])
            many = pl.concat([first] * n_batches).with_columns(names)
            many.write_csv(path, separator="\t")
            link_row_files(folder / "results/rows", first["batch"].item(), names.to_list())
            jobs, seconds, peak = dry_run(folder)
            text += f"| {n_batches:,} | {jobs:,} | {seconds:.1f} | {1000 * seconds / jobs:.1f} "
            text += f"| {peak:.0f} |\n"
            print(n_batches, jobs, seconds, peak, flush=True)
    Path(__file__).with_suffix(".md").write_text(text + NOTES)


def link_row_files(folder: Path, first: str, names: list[str]) -> None:
    """Give every batch the row file of the first, as its line of the plan is the first's too."""
    for name in names:
        path = folder / f"{name}.arrow"
        if name != first:
            path.unlink(missing_ok=True)
            os.link(folder / f"{first}.arrow", path)


def snakemake(folder: Path, *arguments: str) -> str:
    command = [sys.executable, "-m", "snakemake", "--cores", "2", "--directory", str(folder)]
    command += ["--snakefile", str(REPOSITORY / "Snakefile"), *arguments]
    done = subprocess.run(
        command, check=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
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
