"""A job inside its declared memory and threads, and the record of what it used."""

import json
import os
import re
import subprocess
import sys
import textwrap
import time
from pathlib import Path
from types import SimpleNamespace

import psutil
import pytest

from genebatch.io.files import is_locked
from genebatch.jobs.limits import MB
from genebatch.jobs.run import peak_mb, read_usage
from genebatch.jobs.scratch import remove_unfinished

linux = pytest.mark.skipif(sys.platform != "linux", reason="limits are set on Linux only")


@pytest.fixture
def run(tmp_path):
    """Run lines inside `job` in a process of their own."""

    def start(
        body, mem_mb=1000, needs_mb=500, threads=2, submitted=False, environment=(), before=""
    ):
        script = "\n".join(
            [
                "import os, resource, sys",
                before,
                "from genebatch.io.files import InputError",
                "from genebatch.jobs.run import job",
                f"with job(log_file={str(tmp_path / 'logs/job.log')!r}, mem_mb={mem_mb}, "
                f"needs_mb={needs_mb}, threads={threads}, submitted={submitted}, "
                f"results={str(tmp_path)!r}, "
                f"usage={str(tmp_path / 'usage.json')!r}):",
                textwrap.indent(textwrap.dedent(body).strip(), "    "),
            ]
        )
        inherited = {key: value for key, value in os.environ.items() if key != "SLURM_JOB_ID"}
        done = subprocess.run(
            [sys.executable, "-c", script],
            env=inherited | dict(environment),
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        usage = tmp_path / "usage.json"
        return SimpleNamespace(
            status=done.returncode,
            stdout=done.stdout,
            log=(tmp_path / "logs/job.log").read_text(),
            usage=json.loads(usage.read_text()) if usage.exists() else None,
        )

    return start


def test_a_job_that_ends_well_writes_its_usage(run):
    done = run("held = b'x' * (100 << 20)")
    assert done.status == 0
    assert done.usage["declared_mb"] == 500
    assert done.usage["threads"] == 2
    assert 100 < done.usage["peak_mb"] < 400
    assert 0 <= done.usage["seconds"] < 60
    assert "MB of 1000 MB declared" in done.log


@linux
def test_usage_counts_what_was_read_and_written(run, tmp_path):
    target = str(tmp_path / "file")
    size = 30 * MB
    done = run(
        f"with open({target!r}, 'wb') as file: file.write(bytes({size}))\n"
        f"with open({target!r}, 'rb') as file: file.read()\n"
        f"with open({target!r}, 'rb') as file: file.read()"
    )
    assert 30 <= done.usage["written_mb"] < 31
    assert 60 <= done.usage["read_mb"] < 100
    assert done.usage["cpu_seconds"] > 0


def test_bad_input_ends_a_job_with_its_message_alone(run):
    done = run("raise InputError('column x is missing; set dataset.x')")
    assert done.status == 1
    assert done.usage is None
    (line,) = done.log.splitlines()
    assert line.endswith("ERROR column x is missing; set dataset.x")


def test_any_other_error_ends_a_job_with_its_traceback(run):
    done = run("raise RuntimeError('a row is lost')")
    assert done.status == 1
    assert done.usage is None
    assert "Traceback" in done.log
    assert "RuntimeError: a row is lost" in done.log


@linux
def test_an_allocation_beyond_the_bound_names_the_keys(run):
    done = run("bytearray(1100 << 20)", mem_mb=600)
    assert done.status == 1
    assert done.usage is None
    assert re.search(
        r"out of memory at \d+ MB: the job may use 600 MB \(estimated need 500", done.log
    )
    assert "raise resources.mem_factor or lower batching.max_rows" in done.log


@linux
def test_an_allocation_within_the_bound_is_allowed(run):
    assert run("bytearray(300 << 20)", mem_mb=600).status == 0


def test_out_of_memory_in_another_language_is_told_the_same_way(run):
    done = run("raise RuntimeError('std::bad_alloc')")
    assert done.status == 1
    assert "raise resources.mem_factor" in done.log


@linux
@pytest.mark.parametrize("name", ["SIGABRT", "SIGKILL"])
def test_sudden_end_of_a_job_is_told_with_the_keys(run, name):
    done = run(f"import signal; os.kill(os.getpid(), signal.{name})", mem_mb=600)
    assert done.status == 1
    assert done.usage is None
    assert f"ended by {name}, as if out of memory: the job may use 600 MB (estimated" in done.log
    assert "raise resources.mem_factor or lower batching.max_rows" in done.log


@linux
def test_abort_of_polars_out_of_memory_is_told_with_the_keys(run):
    done = run("import polars as pl\npl.repeat(1.0, 200_000_000, eager=True)", mem_mb=600)
    assert done.status == 1
    assert "raise resources.mem_factor or lower batching.max_rows" in done.log


def test_status_of_a_job_is_that_of_its_body(run):
    assert run("sys.exit(3)").status == 3


@linux
def test_job_ends_with_the_process_that_started_it(tmp_path):
    marker = tmp_path / "alive"
    script = textwrap.dedent(
        f"""
        import time
        from pathlib import Path
        from genebatch.jobs.run import job
        folder = {str(tmp_path)!r}
        with job(log_file=f"{{folder}}/log", results=folder, mem_mb=500, needs_mb=500, threads=1):
            for _ in range(600):
                Path({str(marker)!r}).write_text(str(time.time()))
                time.sleep(0.05)
        """
    )
    starter = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {script!r}])"
    with subprocess.Popen([sys.executable, "-c", starter]) as process:
        wait_for(marker.exists)
        process.kill()
    time.sleep(1)
    last = marker.read_text()
    time.sleep(0.5)
    assert marker.read_text() == last


def test_less_memory_than_needed_is_refused_before_the_work(run):
    done = run("print('worked')", mem_mb=499, needs_mb=500)
    assert done.status == 1
    assert "worked" not in done.stdout
    assert "needs 500 MB but the run caps memory at 499 MB; raise --memory (" in done.log
    assert done.usage is None


def test_threads_are_set_for_every_library(run):
    done = run(
        """
        names = ["OMP", "OPENBLAS", "MKL", "NUMBA"]
        print(*(os.environ[f"{name}_NUM_THREADS"] for name in names))
        print(os.environ["POLARS_MAX_THREADS"], os.environ["OMP_WAIT_POLICY"])
        """,
        threads=3,
        environment={"OMP_NUM_THREADS": "17"},
    )
    assert done.stdout.split() == ["3", "3", "3", "3", "3", "PASSIVE"]


def test_nothing_that_reads_thread_counts_is_imported_before_they_are_set(run):
    done = run("print({'numpy', 'polars', 'pyarrow', 'xgboost'} & set(sys.modules))")
    assert done.stdout.strip() == "set()"


@linux
def test_a_job_that_waits_beyond_its_memory_is_ended_from_outside(run):
    done = run("held = bytearray(620 << 20); import time; time.sleep(300)", mem_mb=600)
    assert done.status == 1
    assert done.usage is None
    assert re.search(r"out of memory at 6\d\d MB: the job may use 600 MB", done.log)
    assert "raise resources.mem_factor or lower batching.max_rows" in done.log


@linux
def test_a_job_may_reserve_any_multiple_of_what_it_touches(run):
    body = """
    import mmap, time
    held = mmap.mmap(-1, 4 << 30, flags=mmap.MAP_PRIVATE)
    time.sleep(0.5)
    """
    assert run(body, mem_mb=600).status == 0


@linux
def test_a_job_that_takes_memory_at_once_is_ended_long_before_it_has_all(run):
    done = run("bytearray(4 << 30)", mem_mb=600)
    assert done.status == 1
    assert 600 <= int(re.search(r"out of memory at (\d+) MB", done.log)[1]) < 1_200


@linux
@pytest.mark.parametrize(
    ("in_slurm", "submitted", "ended"),
    [(True, True, False), (True, False, True), (False, True, True), (False, False, True)],
)
def test_slurm_keeps_the_bound_of_a_job_that_was_submitted_to_it_alone(
    run, in_slurm, submitted, ended
):
    held = "held = bytearray(620 << 20); import time; time.sleep(0.5)"
    environment = {"SLURM_JOB_ID": "1"} if in_slurm else {}
    done = run(held, mem_mb=600, submitted=submitted, environment=environment)
    assert done.status == int(ended)
    assert ("out of memory at " in done.log) == ended


def test_the_peak_is_at_least_what_is_held_now():
    held = psutil.Process().memory_info().rss / MB
    assert held * 0.9 <= peak_mb() < psutil.virtual_memory().total / MB


@linux
def test_the_peak_leaves_out_what_the_starting_process_holds():
    held = b"x" * (300 * MB)
    line = "from genebatch.jobs.run import peak_mb; print(peak_mb())"
    done = subprocess.run([sys.executable, "-c", line], capture_output=True, text=True, check=True)
    assert float(done.stdout) < len(held) / MB / 2


def test_usage_records_know_their_rule_and_batch(tmp_path):
    paths = [tmp_path / "train_batch/b001.json", tmp_path / "train_batch/b000.json"]
    paths[0].parent.mkdir()
    for path in paths:
        path.write_text('{"peak_mb": 3.5}')
    records = read_usage([str(path) for path in paths])
    assert records == [
        {"rule": "train_batch", "batch": "b000", "peak_mb": 3.5},
        {"rule": "train_batch", "batch": "b001", "peak_mb": 3.5},
    ]


# What a job leaves


ENDS = {
    "ends well": "pass",
    "raises": "raise RuntimeError('a row is lost')",
    "sys.exit": "sys.exit(3)",
    "SIGTERM": "os.kill(os.getpid(), signal.SIGTERM)",
    "SIGTERM of the keeper": "os.kill(os.getppid(), signal.SIGTERM); time.sleep(60)",
    "SIGKILL": "os.kill(os.getpid(), signal.SIGKILL)",
    "beyond its memory": "held = bytearray(620 << 20); time.sleep(60)",
}
LEAVE = """
import signal, tempfile, time
from pathlib import Path
from genebatch.io.files import whole
folder = tempfile.mkdtemp()
Path(folder, "page").write_text("half")
Path("folder").write_text(folder)
with whole("results/b000/model.gbm") as part:
    part.write_text("half")
    {}
"""


@pytest.fixture
def temporary(tmp_path, monkeypatch):
    """A run folder, and a folder of temporary files."""
    (tmp_path / "run").mkdir()
    (tmp_path / "temporary").mkdir()
    monkeypatch.chdir(tmp_path / "run")
    monkeypatch.setenv("TMPDIR", str(tmp_path / "temporary"))
    return tmp_path / "temporary"


@linux
@pytest.mark.parametrize("end", ENDS)
def test_temporary_files_are_removed_whatever_ends_a_job(run, temporary, end):
    done = run(LEAVE.format(ENDS[end]), mem_mb=600)
    assert (done.status == 0) == (end == "ends well")
    assert Path("folder").read_text().startswith(f"{temporary}/genebatch-")
    assert list(temporary.iterdir()) == []
    assert [path.name for path in Path("results/b000").iterdir()] == (
        ["model.gbm"] if end == "ends well" else []
    )


@linux
def test_the_next_job_removes_what_killed_jobs_of_its_own_run_left(run, temporary):
    other = temporary / "genebatch-0123abcd-xyz"
    other.mkdir()
    killed = run(LEAVE.format("os.kill(os.getppid(), signal.SIGKILL); time.sleep(60)"))
    assert killed.status == -9
    wait_for(lambda: not is_locked(next(Path("results/b000").glob(".*.part.gbm"))))
    assert len(list(temporary.iterdir())) == 2
    run("pass")
    assert list(temporary.iterdir()) == [other]
    remove_unfinished("results")
    assert list(Path("results/b000").iterdir()) == []


@linux
def test_files_of_a_living_job_stay(run, temporary):
    done = run(
        "import tempfile, subprocess\n"
        "from pathlib import Path\n"
        "from genebatch.io.files import whole\n"
        "from genebatch.jobs.scratch import make_scratch, remove_unfinished\n"
        "mine = tempfile.mkdtemp()\n"
        "with whole('results/x.json') as part:\n"
        "    subprocess.run([sys.executable, '-c', 'from genebatch.jobs.scratch import *; '\n"
        "        f'import os; os.environ[\"TMPDIR\"] = {str(Path(mine).parents[1])!r}; '\n"
        "        'make_scratch(); remove_unfinished(\"results\")'], check=True)\n"
        "    print(Path(mine).is_dir(), part.exists())"
    )
    assert done.stdout.split() == ["True", "True"]


@linux
@pytest.mark.parametrize("end", ["os.abort()", "raise OSError(28, 'No space left on device')"])
def test_a_full_temporary_folder_is_named_with_what_to_set(run, temporary, end):
    done = run(
        "import tempfile\n"
        "from genebatch.jobs import scratch\n"
        "with tempfile.NamedTemporaryFile(delete=False) as file: file.write(bytes(3 << 20))\n"
        f"{end}",
        before="from genebatch.jobs import scratch; scratch._free_mb = lambda folder: 0.5",
    )
    assert done.status == 1
    assert f"No space left on device: {temporary} ($TMPDIR) is full; this job had" in done.log
    assert "had written 3 MB there. Set TMPDIR to a folder on a disk with more room" in done.log
    assert "mem_factor" not in done.log


def test_a_temporary_folder_that_is_not_there_is_said(run, temporary):
    temporary.rmdir()
    done = run("print(os.environ['TMPDIR'])")
    assert done.status == 0
    assert f"TMPDIR is {temporary}, which is no folder: temporary files go to" in done.log


def wait_for(fact):
    for _ in range(600):
        if fact():
            return
        time.sleep(0.05)
    pytest.fail("it never came")
    raise AssertionError("it did not happen")
