"""Builds tables of real genes as the workflow's first stage does, for the benchmarks of whole runs.

    .venv/bin/python benchmarks/real_genome.py FOLDER

FOLDER/BASE then holds the inputs of a base model, its table, and the row file
`results/rows/b000.arrow` of a plan with one batch. A quarter of the clusters is set aside. What is
there is not made again.
"""

import argparse
import gzip
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import yaml
from real_rows import BASES, human_folder

REPOSITORY = Path(__file__).parents[1]
FASTA = "raw/genes_flank5000.dev.fa.gz"
HEADER = re.compile(r">\S+ (\S+):(\d+)-(\d+)")
SEQUENCE = {"fasta": "genome.fa", "genes": "genes.gtf.gz"}
SEQUENCE |= {"groups": "clusters.tsv", "scores": "scores.parquet"}
TEST = 0.25


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    build_tables(parser.parse_args().folder)


def build_tables(folder: Path) -> None:
    """Build the table and the plan of each base model."""
    human = human_folder()
    for base in BASES:
        here = folder / base
        if not (here / "scores.parquet").exists():
            write_inputs(human, base, here)
        config = {"sequence": SEQUENCE, "test": {"fraction": TEST}}
        run_workflow(here, config, "results/batches/manifest.tsv")


def write_inputs(human: Path, base: str, folder: Path) -> None:
    """Write genome, gene models, clusters and scores under the names of `SEQUENCE`."""
    folder.mkdir(parents=True, exist_ok=True)
    write_genome(human / FASTA, folder / SEQUENCE["fasta"])
    (folder / SEQUENCE["genes"]).write_bytes((human / "raw/genes.dev.gtf.gz").read_bytes())
    genes = pl.read_csv(human / "raw/genes.dev.tsv", separator="\t", infer_schema=False)
    groups = genes.select(pl.col("gene").alias("gene_id"), pl.col("cluster_id").alias("group"))
    groups.write_csv(folder / SEQUENCE["groups"], separator="\t")
    scores = pl.read_parquet(human / "raw" / f"base_scores_{base}.dev.parquet")
    scores = scores.with_columns(pl.col("gene_id").cast(pl.String))
    scores.write_parquet(folder / SEQUENCE["scores"])


def write_genome(windows: Path, path: Path) -> None:
    """Write chromosomes: the windows of genes at their places, N elsewhere, one line each."""
    chromosomes: dict[str, np.ndarray] = {}
    for chrom, start, end, letters in read_windows(windows):
        known = chromosomes.get(chrom, np.empty(0, np.uint8))
        if end > known.size:
            known = np.pad(known, (0, end - known.size), constant_values=ord("N"))
        known[start:end] = letters
        chromosomes[chrom] = known
    with path.open("wb") as stream:
        for chrom, letters in chromosomes.items():
            stream.write(f">{chrom}\n".encode() + letters.tobytes() + b"\n")


def read_windows(path: Path) -> Iterator[tuple[str, int, int, np.ndarray]]:
    """Chromosome, first and last place, and letters of each window."""
    with gzip.open(path, "rt") as stream:
        for record in stream.read().split("\n>"):
            header, _, lines = record.partition("\n")
            chrom, start, end = HEADER.match(">" + header.lstrip(">")).groups()
            letters = lines.replace("\n", "").encode()
            yield chrom, int(start), int(end), np.frombuffer(letters, np.uint8)


def run_workflow(folder: Path, config: dict[str, Any], *targets: str) -> None:
    """Run the workflow in a folder with one core."""
    (folder / "real.yaml").write_text(yaml.safe_dump(config, sort_keys=False))
    command = [sys.executable, "-m", "snakemake", *targets, "--cores", "1", "--quiet"]
    command += ["--snakefile", str(REPOSITORY / "Snakefile"), "--configfile", "real.yaml"]
    subprocess.run([*command, "--resources", "mem_mb=8000"], cwd=folder, check=True)


if __name__ == "__main__":
    main()
