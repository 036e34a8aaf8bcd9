"""Runs a job inside its declared memory and threads, and records what it used."""

import contextlib
import ctypes
import json
import logging
import os
import resource
import shutil
import signal
import sys
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from genebatch.io.files import InputError, check_whole, write_json
from genebatch.io.terminal import PrintableFormatter
from genebatch.jobs.limits import MB, RUN_MEMORY
from genebatch.jobs.scratch import full_disk, is_disk_full, make_scratch, remove_unfinished

log = logging.getLogger("genebatch")

# How often the memory of a job is read. In between a job of four threads took 15 MB at most, on
# cores that three others shared.
WATCH_SECONDS = 0.02
TOLD = "GENEBATCH_COMMAND"  # set by `genebatch run`, which tells what jobs do


def peak_mb() -> float:
    """Peak resident memory of this process so far, in MB."""
    # getrusage also counts the memory of the process that started this one, as of that moment.
    peak = _status_mb("self", "VmHWM")
    if peak is not None:
        return peak
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / MB if sys.platform == "darwin" else peak / 1024


def _status_mb(process: int | str, key: str) -> float | None:
    """Read a size of a process from /proc, in MB; None if the system does not have it."""
    status = Path(f"/proc/{process}/status")
    for line in status.read_text().splitlines() if status.exists() else ():
        if line.startswith(f"{key}:"):
            return int(line.split()[1]) / 1024
    return None


def traffic_mb() -> dict[str, float | None]:
    """MB that this process has read from and written to files; None if they are not counted."""
    counts = Path("/proc/self/io")
    if not counts.exists():
        return {"read_mb": None, "written_mb": None}
    lines = dict(line.split(": ") for line in counts.read_text().splitlines())
    return {
        "read_mb": round(int(lines["rchar"]) / MB, 1),
        "written_mb": round(int(lines["wchar"]) / MB, 1),
    }


def declared(snakemake: Any) -> dict[str, Any]:
    """Read the arguments of `job` from the object that Snakemake gives a script."""
    results = snakemake.config["results"]
    return {
        "log_file": snakemake.log[0],
        "mem_mb": snakemake.resources.mem_mb,
        "needs_mb": snakemake.resources.needs_mb,
        "threads": snakemake.threads,
        "submitted": bool(snakemake.resources.submitted),
        "usage": snakemake.output.get("usage"),
        "results": results,
        "made": [path for path in snakemake.input if Path(path).is_relative_to(results)],
    }


@contextlib.contextmanager
def job(
    *,
    log_file: str | Path,
    mem_mb: int,
    needs_mb: int,
    threads: int,
    results: str | Path,
    submitted: bool = False,
    usage: str | Path | None = None,
    made: Iterable[str | Path] = (),
) -> Iterator[None]:
    """Run the body of a workflow script inside its declared memory and threads.

    Enter it before numpy is imported, because libraries read their thread counts at import.
    Temporary files go to a folder of the job in `$TMPDIR`, which is removed after it.
    Snakemake does not enforce memory. On Linux the body therefore runs in a child process, and
    this process ends the child when it holds more than the declared memory. What it reserves and
    never touches does not count, since no other job lacks it. The child ends with the scheduler and
    does not go on writing. It is also the first victim of the kernel's out-of-memory killer. SLURM
    limits and ends a job that was submitted to it. Of a run inside an allocation it knows the whole
    only, so each of its jobs is limited as elsewhere.

    Parameters
    ----------
    log_file
        Where messages and errors go.
    mem_mb
        What Snakemake granted, in MB.
    needs_mb
        What the job needs by its estimate, in MB. Snakemake silently cuts a request to the cap of
        the run, so it is an error if less was granted.
    threads
        Threads of this job.
    results
        The folder of the run's results. Files that the job did not finish are removed from it.
    submitted
        Whether the job was submitted to a scheduler, and is not of a run on this machine.
    usage
        Where to write a JSON record of declared memory, measured peak, time, threads and traffic,
        or None.
    made
        Files of earlier jobs. The job refuses them if they are cut off.

    Raises
    ------
    SystemExit
        With status 1 after any error. The error is in the log.
    """
    _log_to(log_file)
    started = time.monotonic()
    remedy = f"the job may use {mem_mb} MB (estimated need {needs_mb} MB); raise "
    remedy += "resources.mem_factor or lower batching.max_rows, then run again"
    try:
        scratch = make_scratch()
    except InputError as error:
        log.error("%s", error)
        raise SystemExit(1) from error
    bounds_itself = _bounds_itself(submitted)
    _go_on_in_child(mem_mb if bounds_itself else None, remedy, scratch, results)
    try:
        _bound(mem_mb, needs_mb, threads)
        if bounds_itself:
            _be_first_victim()
        check_whole(made)
        yield
    except InputError as error:
        log.error("%s", error)
        raise SystemExit(1) from error
    except Exception as error:
        if _out_of_memory(error):
            log.exception("out of memory at %.0f MB: %s", peak_mb(), remedy)
        elif is_disk_full(error):
            log.exception("%s", full_disk(scratch) or error)
        else:
            log.exception("%s", error)
        raise SystemExit(1) from error
    finally:
        if sys.platform != "linux":  # there the waiting process does it
            shutil.rmtree(scratch, ignore_errors=True)
    seconds = time.monotonic() - started
    log.info("peak %.0f MB of %d MB declared, %.1f s", peak_mb(), mem_mb, seconds)
    if usage is not None:
        record = {"declared_mb": needs_mb, "peak_mb": round(peak_mb(), 1)}
        record |= {"seconds": round(seconds, 2), "cpu_seconds": round(time.process_time(), 2)}
        write_json(usage, record | {"threads": threads} | traffic_mb())


def _log_to(path: str | Path) -> None:
    """Send messages to a new log file and to standard error.

    Where the run tells its steps and errors itself, standard error gets warnings alone.
    """
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    stream = logging.StreamHandler(sys.stderr)
    if TOLD in os.environ:
        stream.addFilter(lambda record: record.levelno == logging.WARNING)
    handlers = [logging.FileHandler(path, mode="w"), stream]
    style = PrintableFormatter("%(asctime)s %(levelname)s %(message)s", datefmt="%H:%M:%S")
    for handler in handlers:
        handler.setFormatter(style)
    logging.basicConfig(level=logging.INFO, handlers=handlers, force=True)


def _go_on_in_child(mem_mb: int | None, remedy: str, scratch: Path, results: str | Path) -> None:
    """Do the work in a child process; watch its memory, if it has a limit, and its end from this.

    This process also removes what the child leaves in `scratch`, and files that it did not finish.

    The limit is enforced from outside because libraries handle refused memory badly: polars
    aborts, and under a hard limit one in ten jobs hung while libraries started their threads. The
    system has no limit of what is held, only of what is reserved, which may be any multiple of it.
    The child returns from this function. This process exits with the status of the child.
    """
    if sys.platform != "linux":
        return
    _die_with_parent()
    # A signal that comes before this process has its handlers waits for them.
    ends = {signal.SIGINT, signal.SIGTERM}
    signal.pthread_sigmask(signal.SIG_BLOCK, ends)
    child = os.fork()
    if child == 0:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, ends)
        _die_with_parent()
        return
    # Ctrl-C reaches both processes. It ends the child, and then this process ends.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, lambda *_: os.kill(child, signal.SIGTERM))
    signal.pthread_sigmask(signal.SIG_UNBLOCK, ends)
    beyond_mb = None if mem_mb is None else _watch(child, mem_mb)
    _, status = os.waitpid(child, 0)
    code = os.waitstatus_to_exitcode(status)
    full = full_disk(scratch) if code < 0 else None
    if beyond_mb is not None:
        log.error("out of memory at %.0f MB: %s", beyond_mb, remedy)
    elif full:  # XGBoost aborts where it cannot write a page
        log.error("%s", full)
    elif code in (-signal.SIGABRT, -signal.SIGKILL, -signal.SIGSEGV, -signal.SIGBUS):
        log.error("ended by %s, as if out of memory: %s", signal.Signals(-code).name, remedy)
    shutil.rmtree(scratch, ignore_errors=True)
    if code < 0:
        remove_unfinished(results)
    logging.shutdown()
    os._exit(code if code >= 0 else 1)


def _watch(process: int, mem_mb: int) -> float | None:
    """Wait for the end of a child, not reaping it; kill it beyond `mem_mb` and give its MB."""
    while not os.waitid(os.P_PID, process, os.WEXITED | os.WNOHANG | os.WNOWAIT):
        held_mb = _status_mb(process, "VmRSS")  # None if it has just ended
        if held_mb is not None and held_mb > mem_mb:
            os.kill(process, signal.SIGKILL)
            return held_mb
        time.sleep(WATCH_SECONDS)
    return None


def _bounds_itself(submitted: bool) -> bool:
    """Whether this job enforces its own memory limit."""
    return sys.platform == "linux" and not (submitted and "SLURM_JOB_ID" in os.environ)


def _die_with_parent() -> None:
    """Tell the kernel to end this process when the process that started it ends."""
    pr_set_pdeathsig = 1
    ctypes.CDLL(None, use_errno=True).prctl(pr_set_pdeathsig, signal.SIGTERM)


def _bound(mem_mb: int, needs_mb: int, threads: int) -> None:
    """Refuse less memory than the job needs, and set the thread counts of all libraries."""
    if mem_mb < needs_mb:
        raise InputError(
            f"this job needs {needs_mb} MB but the run caps memory at {mem_mb} MB; raise "
            f"{RUN_MEMORY}, or lower batching.max_rows or resources.mem_factor"
        )
    for name in ("OMP", "OPENBLAS", "MKL", "NUMBA"):
        os.environ[f"{name}_NUM_THREADS"] = str(threads)
    os.environ["POLARS_MAX_THREADS"] = str(threads)
    # Estimates were measured with this allocator.
    os.environ["ARROW_DEFAULT_MEMORY_POOL"] = "system"
    # A waiting OpenMP thread sleeps, so that another batch can use its core.
    os.environ["OMP_WAIT_POLICY"] = "PASSIVE"


def _be_first_victim() -> None:
    """Tell the kernel to end this process first if the machine has no memory left."""
    # A container may forbid this; the kernel then picks its victim without preferring the job.
    with contextlib.suppress(OSError):
        Path("/proc/self/oom_score_adj").write_text("900")


def _out_of_memory(error: BaseException) -> bool:
    text = f"{type(error).__name__} {error}".lower()
    return isinstance(error, MemoryError) or "bad_alloc" in text or "out of memory" in text


def read_usage(paths: list[str]) -> list[dict[str, object]]:
    """Read usage records; add the rule and the batch from the path `.../{rule}/{batch}.json`."""
    records = []
    for path in sorted(paths):
        record = json.loads(Path(path).read_text())
        rule, batch = Path(path).parent.name, Path(path).stem
        records.append({"rule": rule, "batch": batch} | record)
    return records
