"""Finds what this process may use: memory and open files."""

import os
import resource
from collections.abc import Iterator, Mapping
from pathlib import Path

from genebatch.io.files import InputError

MB = 1 << 20
# What sets the memory of a run, in messages: `genebatch run` and Snakemake name it differently.
RUN_MEMORY = "--memory (snakemake: --resources mem_mb)"


def process_limit_mb(
    environment: Mapping[str, str] | None = None, root: str | Path = "/"
) -> tuple[int, str]:
    """Memory that this process may use, in MB, and where that limit comes from.

    The smallest of three limits counts:

    - SLURM's allocation (SLURM_MEM_PER_NODE, or SLURM_MEM_PER_CPU times the CPUs),
    - the limit of the control group (v2 `memory.max`, v1 `memory.limit_in_bytes`),
    - the machine's available memory.

    Parameters
    ----------
    environment
        Environment variables; by default those of the process.
    root
        Where /proc and /sys are found; a test gives its own.
    """
    import psutil  # not at the top: job scripts read this module before they set thread counts

    environment = os.environ if environment is None else environment
    limits = [(psutil.virtual_memory().available / MB, "available memory")]
    limits += _slurm_limits(environment)
    limits += [(value / MB, name) for value, name in _cgroup_limits(Path(root))]
    value, name = min(limits)
    return int(value), name


def run_limit_mb(*given: int | None) -> int:
    """Memory of a run in MB: the smallest limit of those that are given.

    Without any it is 90 % of what this process may use.
    """
    limits = [limit for limit in given if limit is not None]
    return min(limits) if limits else int(0.9 * process_limit_mb()[0])


def _slurm_limits(environment: Mapping[str, str]) -> Iterator[tuple[float, str]]:
    """The allocation of SLURM, in MB; nothing where there is none."""
    # SLURM writes 0 for all memory of the node.
    per_node, per_cpu = (
        float(environment.get(f"SLURM_MEM_PER_{unit}") or 0) for unit in ("NODE", "CPU")
    )
    if per_node:
        yield per_node, "SLURM_MEM_PER_NODE"
    elif per_cpu:
        yield per_cpu * float(environment.get("SLURM_CPUS_ON_NODE", 1)), "SLURM_MEM_PER_CPU"


def _cgroup_limits(root: Path) -> Iterator[tuple[int, str]]:
    """Limits of this process's control group and of every group above it, in bytes."""
    listing = root / "proc/self/cgroup"
    if not listing.exists():
        return
    for line in listing.read_text().splitlines():
        number, controllers, group = line.split(":", 2)
        if number == "0" and not controllers:
            base, name = root / "sys/fs/cgroup", "memory.max"
        elif "memory" in controllers.split(","):
            base, name = root / "sys/fs/cgroup/memory", "memory.limit_in_bytes"
        else:
            continue
        inner = base / group.lstrip("/")
        for folder in [inner, *inner.parents]:
            text = (folder / name).read_text().strip() if (folder / name).exists() else "max"
            if text.isdigit() and int(text) < 1 << 60:  # v1 writes a huge number for "unlimited"
                yield int(text), f"cgroup {name}"
            if folder == base:
                break


def allow_open_files(count: int) -> None:
    """Let this process open `count` files beside those that it needs anyway.

    Raises
    ------
    InputError
        If the system allows fewer.
    """
    wanted = count + 128
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard == resource.RLIM_INFINITY or wanted <= hard:
        resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, wanted), hard))
    else:
        raise InputError(
            f"{count:,} files would be open at once, but the system allows {hard:,} to a process; "
            "raise the limit (ulimit -n), or make batches larger (batching.max_groups)"
        )
