"""What ends a run in its middle: the message, what is left, and what the next run repeats."""

import os
import shutil
import signal
import subprocess
import time
from collections import Counter
from pathlib import Path

import polars as pl
import psutil
import pytest

from genebatch.io.files import read_json
from genebatch.model.archive import load_model
from tests.workflow.running import REPOSITORY, Run, jobs
from tests.workflow.test_pipeline import BATCHES, after_the_batches, everything_of

pytestmark = pytest.mark.workflow

PLANTED = {
    "PYTHONPATH": str(REPOSITORY / "tests/workflow/planted_failure"),
    "PLANTED_FAILURE": "results/logs/cross_validate_batch/b001.log",
}
RESULT = "results/batches/b001/out_of_fold.parquet"


@pytest.fixture
def unfinished(run) -> Run:
    """A run in which a batch has lost its first result."""
    (run.folder / RESULT).unlink()
    return run


def test_a_failed_batch_is_told_with_its_error_its_log_and_what_to_run_next(unfinished):
    output = unfinished.fails(RESULT, "--logger", "genebatch", env=PLANTED)
    name = "batch 2/3 cross-validation (rule cross_validate_batch b001)"
    told = output.partition(f"FAILED: {name}\n")[2].splitlines()
    assert told[0].strip() == "RuntimeError: planted failure"
    assert told[1].strip() == f"log: {PLANTED['PLANTED_FAILURE']}"
    assert output.count("FAILED") == 1
    assert "jobid" not in output
    assert "run again what is missing:\n    snakemake " in output
    assert f"{RESULT} --logger genebatch" in output


def to_repeat() -> Counter:
    return everything_of("b001") + after_the_batches()


def processes_in(folder: Path) -> list[psutil.Process]:
    """What runs with the folder on its command line."""
    found = []
    for process in psutil.process_iter(["cmdline"]):
        if any(str(folder) in part for part in process.info["cmdline"] or ()):
            found.append(process)
    return found


class Started:
    """Snakemake in the background, in the middle of a job that waits."""

    def __init__(self, run: Run, *targets: str, seconds: float = 120):
        self.run, self.log = run, run.folder / "printed"
        environment = {**PLANTED, "PLANTED_KIND": "sleep", "PLANTED_SECONDS": str(seconds)}
        self.process = subprocess.Popen(
            run.command(*targets),
            cwd=run.folder,
            env={**os.environ, "OMP_NUM_THREADS": "1", **environment},
            stdout=self.log.open("w"),
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )

    def __enter__(self) -> "Started":
        end = time.monotonic() + 60
        while not self.waiting_job():
            assert self.process.poll() is None, self.log.read_text()
            assert time.monotonic() < end, self.log.read_text()
            time.sleep(0.1)
        return self

    def __exit__(self, *_) -> None:
        for process in processes_in(self.run.folder):
            process.kill()
        self.process.wait()

    def waiting_job(self) -> list[psutil.Process]:
        """The processes of the job, once there are both: the one that works and its keeper."""
        found = [
            process
            for process in processes_in(self.run.folder)
            if any(part.endswith(".cross_validate_batch.py") for part in process.cmdline())
        ]
        return found if len(found) > 1 else []


def test_killed_batch_says_so_and_is_repeated_alone(unfinished):
    output = unfinished.fails(env={**PLANTED, "PLANTED_KIND": "kill"})
    assert "1 of 3 batches are not finished: b001." in output
    assert "ended by SIGKILL, as if out of memory: the job may use" in output
    assert "raise resources.mem_factor or lower batching.max_rows" in output
    assert not (unfinished.folder / RESULT).exists()
    assert unfinished.planned() == to_repeat()


def test_ensemble_goes_without_a_failed_batch_and_the_rerun_trains_exactly_that(run):
    shutil.rmtree(run.folder / "results/batches/b001")
    output = run.fails(env=PLANTED)
    assert "1 of 3 batches are not finished: b001." in output
    assert "set ensemble.allow_missing to true" in output
    whole = run.config
    run.configure(whole | {"ensemble": whole["ensemble"] | {"allow_missing": True}})
    output = run.ok()
    assert jobs(output) == after_the_batches()
    assert "1 of 3 batches have no model, and the ensemble goes without: b001" in output
    assert "The ensemble goes without b001, as ensemble.allow_missing permits" in output
    model = load_model(run.folder / "results")
    assert model.missing_batches == ["b001"]
    assert [member.name for member in model.members] == ["b000", "b002"]
    for name in ("predictions/new.parquet", "evaluation/predictions.parquet"):
        told = pl.read_parquet_metadata(run.folder / "results" / name)
        assert told["genebatch.missing_batches"] == "b001"
    for name in ("report/index.html", "report/MODEL_CARD.md"):
        assert "b001 (13 groups, " in (run.folder / "results" / name).read_text()
    assert run.planned() == Counter()
    # A run whose jobs come before the plan ends in order as well.
    assert jobs(run.ok("results/dataset/test_groups.tsv", "--forcerun", "choose_test_groups"))
    run.configure(whole)
    assert run.planned() == everything_of("b001") + after_the_batches()


def test_nothing_is_left_out_before_a_batch_has_a_model(run):
    """A run that begins with the key trains all batches, not none."""
    for batch in BATCHES:
        shutil.rmtree(run.folder / "results/batches" / batch)
    ensemble = run.config["ensemble"] | {"allow_missing": True}
    run.configure(run.config | {"ensemble": ensemble})
    trained = {batch for rule, batch in run.planned() if rule == "train_batch"}
    assert trained == set(BATCHES)


def test_killed_run_leaves_nobody_writing_and_resumes(unfinished):
    with Started(unfinished) as started:
        started.process.kill()
        started.process.wait()
        time.sleep(2)
        assert processes_in(unfinished.folder) == []
        refused = unfinished.fails()
        assert "Directory cannot be locked" in refused
        unfinished.ok("--unlock")
    assert not (unfinished.folder / RESULT).exists()
    assert unfinished.planned() == to_repeat()


def test_half_written_file_of_a_killed_run_is_not_taken_for_whole(unfinished):
    whole = unfinished.folder / RESULT
    whole.with_name(".abcd.part.parquet").write_bytes(b"PAR1 half of it")
    assert unfinished.planned() == to_repeat()
    unfinished.ok(RESULT)
    assert pl.read_parquet(whole).height > 100


@pytest.mark.parametrize(
    "name",
    [
        "batches/manifest.tsv",
        "batches/memory.json",
        "batches/b001/calibration.json",
        "batches/b001/metrics.tsv",
        "batches/b001/out_of_fold.parquet",
        "batches/b001/uncalibrated.gbm",
    ],
)
def test_cut_result_is_named_and_made_again_once_it_is_deleted(run, name):
    cut = run.folder / "results" / name
    whole = cut.read_bytes()
    cut.write_bytes(whole[: len(whole) // 2])
    assert f"results/{name} is cut off or damaged at its end; delete it and run" in run.fails(
        "--forcerun", "write_report"
    )
    cut.unlink()
    if cut.suffix in (".json", ".tsv"):
        run.ok(f"results/{name}")
        assert cut.read_bytes() == whole
    else:
        assert run.planned(f"results/{name}")


@pytest.mark.parametrize("name", ["SIGTERM", "SIGINT"])
def test_ended_run_leaves_no_lock_and_resumes(unfinished, name):
    with Started(unfinished, seconds=5) as started:
        # As a terminal does: Ctrl-C reaches all of the session, a scheduler's SIGTERM the run.
        if name == "SIGINT":
            os.killpg(started.process.pid, signal.SIGINT)
        else:
            started.process.terminate()
        assert started.process.wait(timeout=120) != 0
        time.sleep(1)
        assert processes_in(unfinished.folder) == []
    # Ctrl-C stops jobs at once. Otherwise they finish, and this one's result is what it was before,
    # so nothing else is made again but the report, for the job's time.
    left = to_repeat() if name == "SIGINT" else Counter([("write_report", None)])
    assert unfinished.planned() == left


def test_second_run_in_a_folder_is_refused_and_the_first_goes_on(unfinished):
    with Started(unfinished, RESULT, seconds=8) as started:
        refused = unfinished.fails()
        assert "Directory cannot be locked" in refused
        assert started.process.wait(timeout=120) == 0, started.log.read_text()
    assert (unfinished.folder / RESULT).exists()


def test_times_of_files_in_past_and_future_train_nothing(run):
    for number, path in enumerate(sorted(run.folder.glob("results/**/*"))):
        moved = time.time() + (86_400 if number % 2 else -86_400) * (number % 7)
        os.utime(path, (moved, moved))
    trained = {rule for rule, batch in run.planned() if batch is not None}
    assert not trained


@pytest.fixture
def small_disk(tmp_path):
    """A folder on a disk of its own, of which the size can be set."""
    place = tmp_path / "disk"
    place.mkdir()

    def mounted(mb: float, *options: str) -> Path:
        size = ",".join([f"size={int(mb * 1024)}k", *options])
        done = subprocess.run(
            ["mount", "-t", "tmpfs", "-o", size, "tmpfs", str(place)],
            capture_output=True, text=True, check=False,
        )  # fmt: skip
        if done.returncode:
            pytest.skip(f"no disk can be mounted here: {done.stderr.strip()}")
        return place

    yield mounted
    subprocess.run(["umount", str(place)], check=False, capture_output=True)


def test_full_disk_is_named_and_the_run_resumes_when_there_is_room(unfinished, small_disk):
    disk = small_disk(500)
    folder = disk / "run"
    run = Run.copied(unfinished.folder, folder)
    shutil.rmtree(folder / "results/batches/b001")
    # Room for what Snakemake itself writes, and not for a result as well.
    size = shutil.disk_usage(disk).used // 1024 + 120
    subprocess.run(["mount", "-o", f"remount,size={size}k", str(disk)], check=True)
    output = run.fails(RESULT, env={"TMPDIR": str(disk.parent)})
    assert "No space left on device" in output
    assert not (folder / RESULT).exists()
    assert not list((folder / "results").rglob(".*.parquet"))
    subprocess.run(["mount", "-o", "remount,size=500m", str(disk)], check=True)
    assert run.planned() == to_repeat()
    run.ok(RESULT)


def test_folder_that_cannot_be_written_is_named(unfinished, small_disk):
    disk = small_disk(500)
    folder = disk / "run"
    run = Run.copied(unfinished.folder, folder)
    subprocess.run(["mount", "-o", "remount,ro", str(disk)], check=True)
    output = run.fails(env={"TMPDIR": str(disk.parent)})
    assert "Read-only file system" in output
    assert str(folder) in output


def test_usage_of_a_batch_is_of_the_attempt_that_succeeded(unfinished):
    unfinished.fails(RESULT, env={**PLANTED, "PLANTED_KIND": "kill"})
    record = unfinished.folder / "results/usage/cross_validate_batch/b001.json"
    assert not record.exists()
    repeated = jobs(unfinished.ok(RESULT))
    assert repeated == Counter([("cross_validate_batch", "b001")])
    assert read_json(record)["peak_mb"] > 100
