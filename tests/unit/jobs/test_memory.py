"""What genebatch.resources promises."""

import gzip
import json
import math
import os
import re
import subprocess
import sys
import textwrap
import time
from types import SimpleNamespace

import psutil
import pytest
from hypothesis import given
from hypothesis import strategies as st

from genebatch.jobs.memory import (
    DATA_RULES,
    MB,
    RULES,
    WHOLE_RULES,
    DataSet,
    Shape,
    Whole,
    annotation_mb,
    estimate_data_mb,
    estimate_mb,
    estimate_whole_mb,
    largest_mb,
    matrix_bytes,
    peak_mb,
    process_limit_mb,
    read_usage,
    thread_mb,
)

SHAPE = Shape(
    rows=100_000,
    n_dense=60,
    n_wide=50,
    n_counts=1000,
    n_frequent=0,
    counts_per_row=90.0,
    n_classes=3,
    n_splits=5,
    max_bin=256,
    max_depth=4,
    explain_rows=2000,
)
WHOLE = Whole(SHAPE, largest=20_000, n_members=5, n_estimators=200, test_rows=10_000)
DATA = DataSet(
    rows=400_000,
    columns=1_100,
    row_bytes=1_500,
    row_group_bytes=5 * MB,
    footer_bytes=MB // 2,
    groups=1_000,
    screened=50_000,
)
V1_UNLIMITED = "9223372036854771712"
linux = pytest.mark.skipif(sys.platform != "linux", reason="limits are set on Linux only")


# ---- estimates


@given(st.sampled_from(sorted(RULES)), st.integers(0, 10**8), st.integers(0, 10**7))
def test_more_rows_never_need_less_memory(rule, rows, more):
    small, large = SHAPE._replace(rows=rows), SHAPE._replace(rows=rows + more)
    assert estimate_mb(rule, small) <= estimate_mb(rule, large)


@pytest.mark.parametrize("rule", ["cross_validate_batch", "train_batch"])
@pytest.mark.parametrize(
    "larger",
    [
        {"rows": 200_000},
        {"n_dense": 120},
        {"counts_per_row": 180.0},
        {"max_bin": 512},
        {"max_depth": 6},
    ],
)
def test_training_needs_more_for_whatever_is_larger(rule, larger):
    assert estimate_mb(rule, SHAPE._replace(**larger)) > estimate_mb(rule, SHAPE)


def test_bytes_of_a_dense_row_by_hand():
    # 100 cells of two bytes each, and 200 bytes a row.
    dense = SHAPE._replace(n_dense=100, n_counts=0, counts_per_row=0)
    assert matrix_bytes(dense) == 400
    assert matrix_bytes(dense._replace(max_bin=512)) == 600


def test_absent_counts_cost_nothing():
    sparse = SHAPE._replace(n_dense=10, n_counts=1000, counts_per_row=90.0)
    assert matrix_bytes(sparse) == 100 * 13 + 200
    assert matrix_bytes(sparse._replace(n_counts=100_000)) == 100 * 13 + 200


def test_further_threads_add_histograms_of_the_deepest_level():
    # 16 bytes a bin, 256 bins of 64 features and 16 of each other, eight nodes at depth 4; and the
    # thread's own 30 MB.
    shape = SHAPE._replace(n_dense=64, n_wide=64, n_counts=1024)
    histograms = 16 * 8 * (64 * 256 + 1024 * 16) / MB
    assert thread_mb(shape) == math.ceil(histograms * 1.15) + 30
    alone = estimate_mb("train_batch", shape)
    assert estimate_mb("train_batch", shape, 3) == alone + 2 * thread_mb(shape)
    assert estimate_mb("calibrate_batch", shape, 3) == estimate_mb("calibrate_batch", shape)


def test_estimates_are_rounded_up_to_ten():
    assert all(estimate_mb(rule, SHAPE) % 10 == 0 for rule in RULES)
    assert largest_mb(SHAPE) == max(estimate_mb(rule, SHAPE) for rule in RULES)


@pytest.mark.parametrize(
    ("rule", "grows_with"),
    [
        ("analyze_dataset", {"columns", "row_bytes", "row_group_bytes", "footer_bytes", "threads"}),
        ("choose_test_groups", {"groups"}),
        ("screen_features", {"columns", "row_bytes", "row_group_bytes", "groups", "screened"}),
        ("describe_groups", {"columns", "row_bytes", "row_group_bytes", "groups"}),
        ("plan_batches", {"groups"}),
    ],
)
def test_rules_about_the_data_set_need_more_for_what_they_hold(rule, grows_with):
    assert estimate_data_mb(rule, DATA) % 10 == 0
    for name in DATA._fields:
        larger = estimate_data_mb(rule, DATA._replace(**{name: 20 * getattr(DATA, name)}))
        if name in grows_with:
            assert larger > estimate_data_mb(rule, DATA), name
        assert larger >= estimate_data_mb(rule, DATA), name


def test_every_rule_about_the_data_set_is_looked_at():
    assert set(DATA_RULES) == {
        "analyze_dataset",
        "choose_test_groups",
        "screen_features",
        "describe_groups",
        "plan_batches",
    }


@pytest.mark.parametrize("rule", ["analyze_dataset", "screen_features"])
def test_a_rule_that_streams_needs_no_more_for_a_larger_data_set(rule):
    large = DATA._replace(rows=1_000_000)
    assert estimate_data_mb(rule, large._replace(rows=10**9)) == estimate_data_mb(rule, large)


@given(st.sampled_from(sorted(WHOLE_RULES)), st.sampled_from(("n_members", "n_estimators")))
def test_more_members_and_trees_never_need_less_memory(rule, name):
    more = WHOLE._replace(**{name: 10 * getattr(WHOLE, name)})
    assert estimate_whole_mb(rule, WHOLE) <= estimate_whole_mb(rule, more)


@pytest.mark.parametrize(
    ("rule", "larger"),
    [
        ("rank_groups", {"n_members": 100}),
        ("predict", {"n_members": 100}),
        ("write_report", {"test_rows": 10**6}),
    ],
)
def test_rules_of_the_finished_model_need_more_for_what_they_hold(rule, larger):
    assert estimate_whole_mb(rule, WHOLE._replace(**larger)) > estimate_whole_mb(rule, WHOLE)


# ---- the limit of this process


@pytest.fixture
def machine(tmp_path, monkeypatch):
    """A made root folder: the cgroup line and the limits by folder; 64 GB are available."""
    memory = SimpleNamespace(available=64_000 * MB)
    monkeypatch.setattr(psutil, "virtual_memory", lambda: memory)

    def make(lines=(), limits=()):
        (tmp_path / "proc/self").mkdir(parents=True)
        (tmp_path / "proc/self/cgroup").write_text("".join(f"{line}\n" for line in lines))
        for path, text in dict(limits).items():
            file = tmp_path / "sys/fs/cgroup" / path
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(f"{text}\n")
        return tmp_path

    return make


def test_without_limits_available_memory_counts(machine, tmp_path):
    assert process_limit_mb({}, tmp_path / "no such root") == (64_000, "available memory")
    assert process_limit_mb({}, machine()) == (64_000, "available memory")


@pytest.mark.parametrize(
    "limits",
    [
        {"a/b/memory.max": 500 * MB},
        {"a/b/memory.max": 500 * MB, "a/memory.max": 900 * MB, "memory.max": "max"},
        {"a/b/memory.max": 900 * MB, "a/memory.max": 500 * MB},
        {"a/b/memory.max": "max", "a/memory.max": "max", "memory.max": 500 * MB},
    ],
)
def test_the_smallest_limit_of_nested_groups_counts_in_v2(machine, limits):
    assert process_limit_mb({}, machine(["0::/a/b"], limits)) == (500, "cgroup memory.max")


@pytest.mark.parametrize(
    "limits",
    [
        {"memory/a/b/memory.limit_in_bytes": 500 * MB},
        {"memory/a/memory.limit_in_bytes": 500 * MB, "memory/memory.limit_in_bytes": V1_UNLIMITED},
        {
            "memory/a/b/memory.limit_in_bytes": V1_UNLIMITED,
            "memory/memory.limit_in_bytes": 500 * MB,  # as seen inside a container
        },
    ],
)
def test_the_smallest_limit_of_nested_groups_counts_in_v1(machine, limits):
    root = machine(["5:cpu,cpuacct:/a", "4:memory:/a/b", "1:name=systemd:/a"], limits)
    assert process_limit_mb({}, root) == (500, "cgroup memory.limit_in_bytes")


@pytest.mark.parametrize(
    ("lines", "limits"),
    [
        (["0::/a"], {"a/memory.max": "max"}),
        (["4:memory:/a"], {"memory/a/memory.limit_in_bytes": V1_UNLIMITED}),
        (["0::/a"], {"other/memory.max": 500 * MB}),
        (["5:cpu:/a"], {"cpu/a/memory.limit_in_bytes": 500 * MB}),
    ],
)
def test_no_limit_of_this_process_is_no_limit(machine, lines, limits):
    assert process_limit_mb({}, machine(lines, limits)) == (64_000, "available memory")


@pytest.mark.parametrize(
    ("environment", "wanted"),
    [
        ({"SLURM_MEM_PER_NODE": "2000"}, (2000, "SLURM_MEM_PER_NODE")),
        ({"SLURM_MEM_PER_CPU": "700"}, (700, "SLURM_MEM_PER_CPU")),
        (
            {"SLURM_MEM_PER_CPU": "700", "SLURM_CPUS_ON_NODE": "4"},
            (2800, "SLURM_MEM_PER_CPU"),
        ),
        ({"SLURM_MEM_PER_NODE": "0"}, (64_000, "available memory")),  # all of the node
        ({"SLURM_MEM_PER_NODE": "90000"}, (64_000, "available memory")),
    ],
)
def test_the_allocation_of_slurm_counts(machine, environment, wanted):
    assert process_limit_mb(environment, machine()) == wanted


def test_the_least_of_all_limits_counts(machine):
    root = machine(["0::/a"], {"a/memory.max": 1500 * MB})
    assert process_limit_mb({"SLURM_MEM_PER_NODE": "2000"}, root)[0] == 1500
    assert process_limit_mb({"SLURM_MEM_PER_NODE": "1000"}, root)[0] == 1000


def test_the_limit_of_this_very_process_is_a_positive_number():
    limit, source = process_limit_mb()
    assert 0 < limit <= psutil.virtual_memory().total / MB
    assert source


def test_the_peak_is_at_least_what_is_held_now():
    held = psutil.Process().memory_info().rss / MB
    assert held * 0.9 <= peak_mb() < psutil.virtual_memory().total / MB


@linux
def test_the_peak_leaves_out_what_the_starting_process_holds():
    held = b"x" * (300 * MB)
    line = "from genebatch.jobs.memory import peak_mb; print(peak_mb())"
    done = subprocess.run([sys.executable, "-c", line], capture_output=True, text=True, check=True)
    assert float(done.stdout) < len(held) / MB / 2


# ---- jobs


@pytest.fixture
def run(tmp_path):
    """Run lines inside `job` in a process of their own."""

    def start(body, mem_mb=1000, needs_mb=500, threads=2, environment=()):
        script = "\n".join(
            [
                "import os, resource, sys",
                "from genebatch.io.files import InputError",
                "from genebatch.jobs.memory import job",
                f"with job(log_file={str(tmp_path / 'logs/job.log')!r}, mem_mb={mem_mb}, "
                f"needs_mb={needs_mb}, threads={threads}, usage={str(tmp_path / 'usage.json')!r}):",
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
    done = run("bytearray(700 << 20)", mem_mb=600)
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
        from genebatch.jobs.memory import job
        with job(log_file={str(tmp_path / "log")!r}, mem_mb=500, needs_mb=500, threads=1):
            for _ in range(600):
                Path({str(marker)!r}).write_text(str(time.time()))
                time.sleep(0.05)
        """
    )
    starter = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {script!r}])"
    with subprocess.Popen([sys.executable, "-c", starter]) as process:
        while not marker.exists():
            time.sleep(0.05)
        process.kill()
    time.sleep(1)
    last = marker.read_text()
    time.sleep(0.5)
    assert marker.read_text() == last


def test_less_memory_than_needed_is_refused_before_the_work(run):
    done = run("print('worked')", mem_mb=499, needs_mb=500)
    assert done.status == 1
    assert "worked" not in done.stdout
    assert "needs 500 MB but the run caps memory at 499 MB; raise --resources mem_mb" in done.log
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
def test_what_a_job_takes_between_two_looks_is_bounded(run):
    print_limit = "print(resource.getrlimit(resource.RLIMIT_DATA)[0] >> 20)"
    assert run(print_limit, mem_mb=800).stdout.strip() == "900"
    assert run(print_limit, mem_mb=4000).stdout.strip() == "4400"


@linux
def test_under_slurm_the_scheduler_keeps_the_bound(run):
    print_limit = "print(resource.getrlimit(resource.RLIMIT_DATA)[0] == 900 << 20)"
    done = run(print_limit, mem_mb=800, environment={"SLURM_JOB_ID": "1"})
    assert done.stdout.strip() == "False"


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


def test_annotation_needs_memory_by_the_size_of_its_text(tmp_path):
    text = b"chr1\tmade\texon\t1\t9\t.\t+\t.\t" * 40_000
    (tmp_path / "genes.gtf").write_bytes(text)
    plain = annotation_mb(tmp_path / "genes.gtf")
    assert 1.6 <= plain / (len(text) / 2**20) <= 3.5
    with gzip.open(tmp_path / "genes.gtf.gz", "wb") as stream:
        stream.write(text)
    packed = (tmp_path / "genes.gtf.gz").stat().st_size / 2**20
    assert annotation_mb(tmp_path / "genes.gtf.gz") >= 25 * packed
    assert annotation_mb(tmp_path / "absent.gtf") == 0
