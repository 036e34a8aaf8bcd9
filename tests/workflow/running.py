"""Snakemake started in a folder of its own, and what it printed."""

import atexit
import contextlib
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections import Counter
from pathlib import Path
from threading import Event, Thread
from typing import NamedTuple, Self

import psutil
import yaml

from genebatch.cli import command_parser
from genebatch.launch import command_line
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
    "explain": {"rows": 40, "neighbour_sites": 0},  # a job more in every run
    "evaluation": {"n_replicates": 20},
    "ensemble": {"rivals": [], "combiner": "log_odds"},  # a rival takes as long as all batches
    "final": "ensemble",
    "predict": {"tables": {"new": "data/new"}},
}  # fmt: skip


ENVIRONMENT = {"OMP_NUM_THREADS": "1"}
# Given as `env`: Snakemake and every job in a process of its own, whose memory is its own.
AS_A_USER: dict[str, str] = {}


def started_in(folder: Path) -> dict[str, str]:
    """The environment of what a shell in a folder starts."""
    return os.environ | ENVIRONMENT | {"PWD": str(folder)}


class Done(NamedTuple):
    """A run that has ended, and what it printed on both streams."""

    returncode: int
    stdout: str


class Starter:
    """A process that has imported Snakemake and forks each run; see `tests.workflow.starter`."""

    def __init__(self):
        self.process: subprocess.Popen | None = None

    def run(self, arguments: list[str], cwd: Path) -> Done:
        """Snakemake with these arguments, started in a folder."""
        if self.process is None:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "tests.workflow.starter"],
                cwd=REPOSITORY,
                env=os.environ | ENVIRONMENT,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
            )
            atexit.register(self.process.communicate)  # it ends with what it reads
        with tempfile.TemporaryDirectory() as folder:
            printed = Path(folder, "printed")
            request = {"arguments": arguments, "environment": started_in(cwd)}
            request |= {"cwd": str(cwd), "printed": str(printed)}  # in the order of `starter.run`
            print(json.dumps(request), file=self.process.stdin, flush=True)
            status = int(self.process.stdout.readline())
            return Done(status, printed.read_text())


STARTER = Starter()


class Run:
    """A folder with a config and data, and Snakemake started in it."""

    where = ("--workflow-profile", str(REPOSITORY / "profiles/default"), "--cores", "2")

    def __init__(self, folder: Path):
        self.folder = folder

    @classmethod
    def copied(cls, source: Path, folder: Path) -> Self:
        """A copy of a run, with the times of its files."""
        shutil.copytree(source, folder, copy_function=shutil.copy2)
        return cls(folder)

    @property
    def config(self) -> dict:
        return yaml.safe_load((self.folder / "config/config.yaml").read_text())

    def configure(self, config: dict) -> None:
        (self.folder / "config").mkdir(exist_ok=True)
        (self.folder / "config/config.yaml").write_text(yaml.safe_dump(config, sort_keys=False))

    def snakemake(self, *arguments: str, env: dict | None = None, cwd: Path | None = None) -> Done:
        """Run it; gives the exit status with everything that it printed.

        With an environment of its own it is a new process, as its jobs are. Else they are forked
        by the `Starter`, and the memory of jobs is neither measured nor limited.
        """
        cwd = cwd or self.folder
        if env is None:
            return STARTER.run([*arguments, *self.options], cwd)
        done = subprocess.run(
            self.command(*arguments),
            cwd=cwd,
            env=started_in(cwd) | env,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=900,
            check=False,
        )
        return Done(done.returncode, done.stdout)

    def genebatch_run(self, arguments: list[str]) -> str:
        """Start what `genebatch run` starts in the folder; gives everything that it printed."""
        with contextlib.chdir(self.folder):
            command = command_line(command_parser().parse_args(arguments))
        done = STARTER.run(command[1:], self.folder)
        assert done.returncode == 0, done.stdout
        return done.stdout

    @property
    def options(self) -> list[str]:
        """The workflow, the folder, and where it runs."""
        options = ["--snakefile", str(REPOSITORY / "Snakefile"), "--directory", str(self.folder)]
        return [*options, *self.where]

    def command(self, *arguments: str) -> list[str]:
        """The command line that runs it."""
        return [sys.executable, "-m", "snakemake", *arguments, *self.options]

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
