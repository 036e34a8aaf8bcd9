"""What this process may use."""

from types import SimpleNamespace

import psutil
import pytest

from genebatch.jobs.limits import MB, process_limit_mb, run_limit_mb

V1_UNLIMITED = "9223372036854771712"


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


def test_a_run_has_the_smallest_limit_that_is_given_or_most_of_the_process(monkeypatch):
    monkeypatch.setattr("genebatch.jobs.limits.process_limit_mb", lambda: (1000, "cgroup"))
    assert run_limit_mb(8000, None, 3000) == 3000
    assert run_limit_mb(None, None) == 900
