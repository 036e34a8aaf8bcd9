"""Whole runs on a real SLURM, with nodes that a job may outgrow and that may vanish.

make test-cluster
"""

import shutil
import subprocess
import time
from collections.abc import Iterable

import polars as pl
import pytest

from tests.cluster.private_slurm import PrivateSlurm, SlurmJob
from tests.workflow.running import REPOSITORY, Run

pytestmark = pytest.mark.cluster

BATCHES = ("b000", "b001", "b002")
PREDICTIONS = ("evaluation/predictions.parquet", "predictions/new.parquet")


class SlurmRun(Run):
    """A run whose jobs SLURM starts."""

    where = (
        *("--workflow-profile", str(REPOSITORY / "profiles/slurm")),
        *("--slurm-init-seconds-before-status-checks", "5", "--latency-wait", "10"),
    )


@pytest.fixture
def run(tmp_path, finished) -> SlurmRun:
    """A copy of the finished run, with the times of its files."""
    return SlurmRun.copied(finished[0], tmp_path / "run")


def of_batches(found: Iterable[SlurmJob]) -> list[SlurmJob]:
    """Jobs of batches; one has the rules of its batch as a group."""
    return [job for job in found if job.name.startswith("rule_batch_")]


def test_run_on_two_nodes_predicts_what_a_local_run_predicts(finished, local):
    for name in PREDICTIONS:
        here, there = (pl.read_parquet(f / "results" / name) for f in (local, finished[0]))
        assert here.equals(there), name


def test_nothing_in_the_path_of_a_folder_was_run(finished):
    assert not list(finished[0].parent.rglob("planted"))


def test_memory_where_the_run_is_caps_no_jobs_elsewhere(finished):
    assert "Provided remote nodes" in finished[1]
    assert "Provided resources" not in finished[1]


def test_folder_that_jobs_elsewhere_cannot_be_started_from_is_refused(slurm, local, tmp_path):
    run = SlurmRun(tmp_path / "it's a run")
    shutil.copytree(local / "config", run.folder / "config")
    assert "from a folder with a single quote in its path; move it" in run.fails()


def test_batches_ran_side_by_side_within_the_memory_of_their_nodes(slurm, finished):
    found = slurm.jobs()
    batches = of_batches(found)
    assert len(batches) == len(BATCHES), found
    assert {job.node for job in batches} == set(slurm.names)
    overlap = [
        max(0.0, min(one.end, other.end) - max(one.start, other.start))
        for one in batches
        for other in batches
        if one.number < other.number
    ]
    assert sorted(overlap)[-1] > 5  # two at a time
    assert sorted(overlap)[0] == 0  # and not three, as a node has memory for one
    for job in found:
        on_its_node = [
            other.mem_mb
            for other in found
            if other.node == job.node and other.start <= job.start < other.end
        ]
        assert sum(on_its_node) <= slurm.memory_mb


def test_every_job_asked_for_its_memory_and_time(slurm, finished):
    manifest = pl.read_csv(finished[0] / "results/batches/manifest.tsv", separator="\t")
    needs = manifest.select(pl.max_horizontal(pl.col("^mem_mb_.*$"))).to_series()
    # Rules that do not wait for each other count once in the time of a group.
    rules = ("cross_validate_batch", "train_batch", "calibrate_batch", "explain_batch")
    minutes = manifest.select(pl.sum_horizontal(f"minutes_{rule}" for rule in rules)).to_series()
    for job in of_batches(slurm.jobs()):
        assert job.mem_mb >= needs.min()
        assert job.minutes >= minutes.min()


def test_batch_beyond_its_memory_is_killed_and_comes_back_with_more(slurm, run):
    path = run.folder / "results/batches/manifest.tsv"
    manifest = pl.read_csv(path, separator="\t", schema_overrides={"key": pl.String})
    too_little = [
        pl.when(batch="b001").then(1).otherwise(pl.col(name)).alias(name)
        for name in manifest.columns
        if name.startswith("mem_mb_")
    ]
    manifest.with_columns(too_little).write_csv(path, separator="\t")
    (run.folder / "results/batches/b001/out_of_fold.parquet").unlink()
    before = len(slurm.jobs())
    planted = {
        "PYTHONPATH": str(REPOSITORY / "tests/workflow/planted_failure"),
        "PLANTED_FAILURE": "results/logs/cross_validate_batch/b001.log",
        "PLANTED_KIND": "eat",
        "PLANTED_MB": "500",
    }
    run.ok(env=planted)
    attempts = of_batches(slurm.jobs()[before:])
    states = [job.state for job in attempts]
    assert states[-1] == "COMPLETED", states
    assert len(states) > 1
    assert all("OUT_OF_MEMORY" in (job.state, *job.steps) for job in attempts[:-1]), attempts
    memory = [job.mem_mb for job in attempts]
    assert memory == [pytest.approx(memory[0] * 1.5**n, abs=2) for n in range(len(memory))]


def test_node_that_vanishes_costs_its_own_jobs_only(slurm, run):
    for batch in BATCHES:
        (run.folder / f"results/batches/{batch}/out_of_fold.parquet").unlink()
    before = len(slurm.jobs())
    log = run.folder / "printed"
    with log.open("w") as stream:
        started = subprocess.Popen(
            run.command(), cwd=run.folder, stdout=stream, stderr=subprocess.STDOUT
        )
        lost = wait_for_running(slurm, before, "n2")
        slurm.lose("n2")
        slurm.wait_for({"idle", "mixed", "allocated", "down", "down*"})
        status = started.wait(timeout=900)
    slurm.start_node("n2")
    slurm.wait_for({"idle"})
    assert status == 0, log.read_text()
    attempts = of_batches(slurm.jobs()[before:])
    gone = [job for job in attempts if job.state != "COMPLETED"]
    assert [(job.number, job.node) for job in gone] == [(lost, "n2")], attempts
    done = [job for job in attempts if job.state == "COMPLETED"]
    assert len(done) == len(BATCHES)


def wait_for_running(slurm: PrivateSlurm, before: int, node: str) -> int:
    """The number of a job of a batch that runs on the node."""
    for _ in range(600):
        # The accounting has the comment of a job only when that ends.
        running = slurm.ask(
            "squeue", "--noheader", "--nodelist", node, "--states", "running", "-o", "%i %k"
        )
        for line in running.splitlines():
            number, name = line.split(maxsplit=1)
            if name.startswith("rule_batch_"):
                return int(number)
        time.sleep(0.5)
    raise TimeoutError(f"no batch came to {node}: {slurm.jobs()[before:]}")
