"""Snakemake started in a folder of its own, and what it printed."""

import os
import re
import subprocess
import sys
from collections import Counter
from pathlib import Path
from threading import Event, Thread

import psutil
import yaml

from tests.builders import REPOSITORY

SMALL = {
    "dataset": {
        "path": "data/example",
        "group": "gene_id",
        "label": "splice_type",
        "classes": ["neither", "donor", "acceptor"],
        "null_label": "neither",
        "scores": {name: f"{name}_score" for name in ("neither", "donor", "acceptor")},
        "weight": "sample_weight",
        "position": "position",
        "metadata": [
            "transcript_id", "cluster_id", "chrom", "strand", "gene_type", "genomic_position",
        ],
        "exclude": ["5mer_*"],
    },
    "test": {"fraction": 0.2},
    "batching": {"max_genes": 13, "min_genes": 5, "min_positives": 2},
    "cv": {"n_splits": 3},
    # So few rows need a light hand for trees to grow at all.
    "learner": {
        "n_estimators": 40,
        "early_stopping_rounds": 15,
        "min_child_weight": 0.001,
        "lambda": 0.01,
    },
    "explain": {"rows": 40},
    "evaluation": {"n_replicates": 20},
    "ensemble": {"rivals": [], "combiner": "log_odds"},  # a rival takes as long as all batches
    "final": "ensemble",
    "predict": {"tables": {"new": "data/new"}},
}  # fmt: skip


class Run:
    """A folder with a config and data, and Snakemake started in it."""

    where = ("--workflow-profile", str(REPOSITORY / "profiles/default"), "--cores", "2")

    def __init__(self, folder: Path):
        self.folder = folder

    @property
    def config(self) -> dict:
        return yaml.safe_load((self.folder / "config/config.yaml").read_text())

    def configure(self, config: dict) -> None:
        (self.folder / "config").mkdir(exist_ok=True)
        (self.folder / "config/config.yaml").write_text(yaml.safe_dump(config, sort_keys=False))

    def snakemake(self, *arguments: str, env: dict | None = None, cwd: Path | None = None):
        """Run it; gives the completed process with standard error in `stdout`."""
        return subprocess.run(
            self.command(*arguments),
            cwd=cwd or self.folder,
            env={**os.environ, "OMP_NUM_THREADS": "1", **(env or {})},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=900,
            check=False,
        )

    def command(self, *arguments: str) -> list[str]:
        """The command line that runs it."""
        command = [sys.executable, "-m", "snakemake", *arguments]
        command += ["--snakefile", str(REPOSITORY / "Snakefile"), "--directory", str(self.folder)]
        return [*command, *self.where]

    def planned(self, *arguments: str) -> Counter:
        """Jobs that a dry run lists, as (rule, batch or None)."""
        return jobs(self.ok("--dry-run", *arguments))

    def ok(self, *arguments: str, **options) -> str:
        done = self.snakemake(*arguments, **options)
        assert done.returncode == 0, done.stdout
        return done.stdout

    def fails(self, *arguments: str, **options) -> str:
        done = self.snakemake(*arguments, **options)
        assert done.returncode == 1, done.stdout
        return done.stdout


def jobs(output: str) -> Counter:
    """Jobs that Snakemake's output names, as (rule, batch or None), without `all`."""
    found = Counter()
    blocks = re.split(r"\n(?=(?:local)?(?:rule|checkpoint) \w+:)", output)
    for block in blocks[1:]:
        name = re.match(r"(?:local)?(?:rule|checkpoint) (\w+):", block).group(1)
        batch = re.search(r"^    wildcards: batch=(\w+)", block, re.M)
        if name not in ("all", "default"):
            found[name, batch.group(1) if batch else None] += 1
    return found


class Watch(Thread):
    """The jobs of a rule that run in a folder at the same time, and the memory they hold."""

    def __init__(self, rule: str, folder: Path):
        super().__init__(daemon=True)
        self.rule, self.folder = rule, folder
        self.most_jobs, self.most_mb = 0, 0.0
        self.ended = Event()

    def __enter__(self) -> "Watch":
        self.start()
        return self

    def __exit__(self, *_) -> None:
        self.ended.set()
        self.join()

    def run(self) -> None:
        while not self.ended.wait(0.05):
            held: dict[str, float] = {}
            for process in psutil.process_iter(["cmdline", "memory_info"]):
                for part in process.info["cmdline"] or ():
                    if part.endswith(f".{self.rule}.py") and part.startswith(str(self.folder)):
                        # A job is a process that works and one that waits for it.
                        size = process.info["memory_info"].rss / 2**20
                        held[part] = max(held.get(part, 0), size)
            self.most_jobs = max(self.most_jobs, len(held))
            self.most_mb = max(self.most_mb, sum(held.values()))
