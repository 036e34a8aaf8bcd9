"""Memory: what a rule will need, what this process may use, and keeping a job inside it."""

import contextlib
import ctypes
import json
import logging
import math
import os
import resource
import signal
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from genebatch.io.files import GZIP, InputError, check_whole, write_json

log = logging.getLogger("genebatch")

MB = 1 << 20
# How often a job's memory is looked at, and what it may take meanwhile; see `job`.
WATCH_SECONDS = 0.02
WATCH_MARGIN_MB = 100
# Interpreter, numpy, polars, pyarrow, xgboost and one record batch; see benchmarks/memory.md.
BASE_MB = 420
# shap, numba and matplotlib on top, for the rules that draw; see benchmarks/memory.md.
DRAW_MB = 120
# numpy, polars and Arrow alone: 130 MB, and 85 MB of stacks and heaps that are reserved but not
# used, which the bound of a job counts.
IMPORTS_MB = 215
SCREEN_MB = 45  # beside the sample: ranks and products of columns, however few the rows
SCIPY_MB = 90  # on top, for rules that measure losses or AUCs
# What Snakemake itself holds inside a cluster job: 140 MB batch step and 128 MB inner run.
SCHEDULER_MB = 300
FREQUENT = 0.15  # share of rows from which XGBoost may keep a column for every row
FREQUENT_BYTES = 3.3  # of a row and such a column, beside its cells
NARROW_BINS = 16  # of a feature that takes few values
THREAD_MB = 30  # stacks and heaps that a further thread reserves
MARGIN = 1.15  # estimate >= measured >= estimate / 2 is the promise; this is the upper side


class Shape(NamedTuple):
    """What the memory of a batch depends on.

    Attributes
    ----------
    rows
        Rows of the batch.
    n_dense, n_counts
        Features of either kind.
    n_wide
        Dense features that may take more values than a whole number of one byte.
    n_frequent
        Counts that are not zero in `FREQUENT` of the rows or more.
    counts_per_row
        Mean number of non-zero counts in a row.
    n_classes, n_splits, max_bin, max_depth, explain_rows
        From the config.
    """

    rows: int
    n_dense: int
    n_wide: int
    n_counts: int
    n_frequent: int
    counts_per_row: float
    n_classes: int
    n_splits: int
    max_bin: int
    max_depth: int
    explain_rows: int

    @property
    def stored(self) -> float:
        """Cells of a row that are held."""
        return self.n_dense + self.counts_per_row


def matrix_bytes(shape: Shape) -> float:
    """Bytes of a row in XGBoost's binned matrix.

    Dense: a row index and a column copy of one byte a cell up to 256 bins. With absent cells: a
    uint32 row index, and one byte plus an eight-byte row number in the column copy (read off
    XGBoost 3.2's gradient_index.cc and column_matrix.cc, and confirmed by the size of its
    external-memory cache). Of a column that is often present the column copy has every row; what
    that adds is fitted. 200 bytes are gradients, margins, labels, weights and positions.
    """
    width = 1 if shape.max_bin <= 256 else 2
    cell = 13 if shape.n_counts else 2 * width
    return shape.stored * cell + FREQUENT_BYTES * shape.n_frequent + 200


def sketch_bytes(shape: Shape) -> float:
    """Quantile sketches while the matrix is built, for features with many distinct values.

    Grows with the rows up to some 1.3 MB a feature at 256 bins (measured on 10,000 to 320,000 rows
    of uniform numbers: 0.33, 0.47, 0.68, 0.97, 1.1 and 1.2 MB). A dense feature of few values takes
    up to 0.4 MB.
    """
    full = 1.3e6 * shape.max_bin / 256
    wide = shape.n_wide * full * (1 - math.exp(-shape.rows / 35_000))
    narrow = (shape.n_dense - shape.n_wide) * 4e5 * (1 - math.exp(-shape.rows / 20_000))
    return wide + narrow


def histogram_bytes(shape: Shape, nodes: int) -> float:
    """Gradient histograms of some nodes: 16 bytes a bin."""
    narrow = shape.n_dense - shape.n_wide + shape.n_counts  # these take few distinct values
    return 16.0 * nodes * (shape.n_wide * shape.max_bin + narrow * NARROW_BINS)


def thread_mb(shape: Shape) -> int:
    """What each further thread of boosting adds, in MB.

    Histograms of its own for the nodes of the deepest level, and its stack and heap.
    """
    own = histogram_bytes(shape, 2 ** (_levels(shape) - 1))
    return math.ceil(own * MARGIN / MB) + THREAD_MB


def _levels(shape: Shape) -> int:
    return min(shape.max_depth, 8)


def _frame(shape: Shape) -> float:
    """A record batch of 8,192 rows with its feature block."""
    features = shape.n_dense + shape.n_counts
    return 8192 * (features * 4 * 2 + shape.stored * 16)


def _training(shape: Shape) -> float:
    held = shape.rows * matrix_bytes(shape) + _frame(shape)
    histograms = histogram_bytes(shape, 2 ** _levels(shape))
    return BASE_MB * MB + held + sketch_bytes(shape) + histograms


def _cross_validate(shape: Shape) -> float:
    margins = shape.rows * 4 * shape.n_classes * (shape.n_splits + 2)
    return _training(shape) + margins


def _calibrate(shape: Shape) -> float:
    return BASE_MB * MB + shape.rows * (80 + 60 * shape.n_classes)


def _explain(shape: Shape) -> float:
    features = shape.n_dense + shape.n_counts
    contributions = shape.explain_rows * features * 4 * (3 * shape.n_classes + 6)
    return BASE_MB * MB + contributions + _frame(shape)


def _diagnose(shape: Shape) -> float:
    features = shape.n_dense + shape.n_counts
    tables = shape.explain_rows * features * 4 * (shape.n_classes + 4)
    return (BASE_MB + DRAW_MB) * MB + tables + shape.rows * (80 + 60 * shape.n_classes)


BOOSTED = ("cross_validate_batch", "train_batch")
RULES: dict[str, Callable[[Shape], float]] = {
    "cross_validate_batch": _cross_validate,
    "train_batch": _training,
    "calibrate_batch": _calibrate,
    "explain_batch": _explain,
    "diagnose_batch": _diagnose,
}


class Whole(NamedTuple):
    """What the memory of a rule about all batches depends on.

    Attributes
    ----------
    shape
        As of a batch that holds all training rows.
    largest
        Rows of the largest batch.
    n_members
        Batches.
    n_estimators
        Most trees of a booster.
    test_rows
        Rows of the test groups.
    """

    shape: Shape
    largest: int
    n_members: int
    n_estimators: int
    test_rows: int


# What is known of a training row beside its features while a model of all rows is boosted: identity
# columns, codes, weights, margins, gradients, losses.
KNOWN_BYTES = 420
SPLIT_BYTES = 32 << 20  # of rows that are sorted by batch at once
PAGE_ROWS = 32_768  # rows of a page of a matrix on disk
PAGES = 4  # held at once: one being read, one in use, XGBoost's read-ahead
# Scores that combiners are learned from, at most: 80 MB, and some minutes for the slowest. Above
# it whole groups are left out; a few dozen weights need no more.
MOST_SCORES = 20_000_000


def _boosters(whole: Whole) -> float:
    """Trees of all members, full ones: a node takes some 60 bytes."""
    nodes = 2 ** (min(whole.shape.max_depth, 8) + 1)
    return whole.n_members * whole.shape.n_classes * whole.n_estimators * nodes * 60.0


def _out_of_core(whole: Whole) -> float:
    shape = whole.shape
    block = shape.stored * (8 if shape.n_counts else 4)
    pages = PAGES * min(shape.rows, PAGE_ROWS) * (block + matrix_bytes(shape))
    known = shape.rows * (KNOWN_BYTES + 12 * shape.n_classes)
    histograms = histogram_bytes(shape, 2 ** _levels(shape))
    return BASE_MB * MB + pages + known + sketch_bytes(shape) + histograms


def _distil(whole: Whole) -> float:
    taught = whole.shape.rows * whole.shape.n_classes * 16
    return _out_of_core(whole) + taught + 2 * _learned_from(whole) + _boosters(whole)


def _learned_from(whole: Whole) -> float:
    scores = whole.shape.rows * whole.shape.n_classes * whole.n_members
    return 4.0 * min(scores, MOST_SCORES)


def _streamed(shape: Shape) -> float:
    """Record batches with their features, one after the other.

    Beyond a few dozen of them the allocator keeps some more of their pieces than are in use:
    110 MB at 1,167 features after 60, 130 MB after 200.
    """
    features = shape.n_dense + shape.n_counts
    return 2 * _frame(shape) + 120_000 * features * (1 - math.exp(-shape.rows / 400_000))


def _cross_batch(whole: Whole) -> float:
    own = whole.largest * (60 + 16 * whole.shape.n_classes)
    ahead = whole.n_members * 400_000
    scores = 8192 * whole.n_members * whole.shape.n_classes * 16
    return BASE_MB * MB + own + ahead + scores + _streamed(whole.shape) + _boosters(whole)


def _combine(whole: Whole) -> float:
    return BASE_MB * MB + 6 * _learned_from(whole) + _boosters(whole)


def _consolidate(whole: Whole) -> float:
    rows = whole.shape.rows * (160 + 16 * whole.shape.n_classes)
    return BASE_MB * MB + rows + 3 * _boosters(whole)


def _estimate(whole: Whole) -> float:
    # A quarter of it is reserved by metrics but never touched.
    rows = whole.shape.rows * (290 + 28 * whole.shape.n_classes)
    return BASE_MB * MB + rows + _boosters(whole)


# Systems that the evaluation draws intervals of: combiners, rivals, the model, the base scores.
JUDGED = 12


def _evaluate(whole: Whole) -> float:
    classes = whole.shape.n_classes
    systems = whole.test_rows * classes * 4 * (whole.n_members + JUDGED)
    drawn = whole.test_rows * JUDGED * 8 * 8
    return (BASE_MB + 60) * MB + systems + drawn + 2 * _frame(whole.shape) + 4 * _boosters(whole)


def _rank(whole: Whole) -> float:
    scores = 8192 * whole.n_members * whole.shape.n_classes * 8
    return (IMPORTS_MB + SCIPY_MB + DRAW_MB) * MB + 4 * scores


def _predict(whole: Whole) -> float:
    scores = 8192 * whole.n_members * whole.shape.n_classes * 8
    return BASE_MB * MB + _streamed(whole.shape) + 4 * scores + 2 * _boosters(whole)


def _report(whole: Whole) -> float:
    rows = whole.test_rows * (100 + 40 * whole.shape.n_classes)
    return BASE_MB * MB + rows + 3 * _boosters(whole)


WHOLE_RULES: dict[str, Callable[[Whole], float]] = {
    "cross_batch_scores": _cross_batch,
    "combine_batches": _combine,
    "train_single": _out_of_core,
    "distil": _distil,
    "consolidate": _consolidate,
    "estimate": _estimate,
    "evaluate": _evaluate,
    "rank_groups": _rank,
    "predict": _predict,
    "write_report": _report,
}


class DataSet(NamedTuple):
    """What the memory of a rule about the data set depends on; see `data_size.data_size`.

    Attributes
    ----------
    rows, columns
        Of the data set, columns of any role.
    row_bytes
        Bytes of a row in memory.
    row_group_bytes
        Bytes of the largest row group, encoded but not compressed.
    footer_bytes
        Bytes of the largest footer of a shard.
    groups
        Groups; not known, and not needed, before the analysis.
    screened
        Rows that are screened, at most.
    threads
        Row groups that are read at the same time.
    """

    rows: int
    columns: int
    row_bytes: int
    row_group_bytes: int
    footer_bytes: int
    groups: int = 0
    screened: int = 0
    threads: int = 1


# Of the rules about the data set; benchmarks/memory_whole.md has the measurements.
COLUMN_BYTES = 80_000  # a column while it is read: mostly the state of its decompressor
FOOTER_FACTOR = 10  # bytes in memory of a byte of a footer
GROUP_BYTES = 500  # a group with its name and counts
PLANNED_BYTES = 1_500  # with its batch and fold, or as it is looked for among rows
DUPLICATE_BYTES = 60  # of each row among which repeated positions are looked for


def _reading(data: DataSet) -> float:
    """Row groups that are read side by side, each with record batches of 8,192 rows."""
    one = COLUMN_BYTES * data.columns + 2 * data.row_group_bytes + 2 * 8192 * data.row_bytes
    return data.threads * one + FOOTER_FACTOR * data.footer_bytes


def _analyze(data: DataSet) -> float:
    positions = DUPLICATE_BYTES * min(data.rows, 1_000_000)
    fixed = IMPORTS_MB + SCIPY_MB + THREAD_MB * data.threads
    return fixed * MB + _reading(data) + positions


def _choose(data: DataSet) -> float:
    return IMPORTS_MB * MB + GROUP_BYTES * data.groups


def _planned(data: DataSet) -> float:
    return IMPORTS_MB * MB + PLANNED_BYTES * data.groups


def _screen(data: DataSet) -> float:
    # Many small pieces of row groups far apart: the allocator keeps more than is in use.
    read = _reading(data) + 2 * COLUMN_BYTES * data.columns + FOOTER_FACTOR * data.footer_bytes
    sample = min(data.rows, data.screened) * data.row_bytes
    return _planned(data) + (SCIPY_MB + SCREEN_MB) * MB + read + 3.3 * sample


def _describe(data: DataSet) -> float:
    # Of 256 columns at a time; a record batch of them in float64 with what is made of it.
    block = min(data.columns, 256)
    read = _reading(data) * block / data.columns + 7 * 8 * 8192 * block
    means = 8 * data.groups * data.columns
    # Means in float64, and what standardising them takes.
    return _planned(data) + read + 4 * means


def _plan(data: DataSet) -> float:
    # Rows as they came, put together, and those of one batch with their Arrow form, and the next
    # rows; small pieces of which the allocator keeps more than is in use.
    sorted_at_once = min(SPLIT_BYTES, data.rows * data.row_bytes)
    read = _reading(data._replace(threads=1))
    # The thread that reads ahead has a heap of its own.
    fixed = (SCIPY_MB + 3 * THREAD_MB) * MB
    return _planned(data) + fixed + read + 12 * sorted_at_once


DATA_RULES: dict[str, Callable[[DataSet], float]] = {
    "analyze_dataset": _analyze,
    "choose_test_groups": _choose,
    "screen_features": _screen,
    "describe_groups": _describe,
    "plan_batches": _plan,
}


# Rules about the genome, in MB; see benchmarks/memory.md.
WHOLE_DATA_MB = {
    "score_genes_light": 600,
    "score_genes_spliceai": 2000,
    "build_dataset": 1000,
    "call_genes": 1500,
    "evaluate_tracks": 1200,
}


def annotation_mb(path: str | Path) -> int:
    """MB that reading gene models reserves, by the size of their file; 0 while there is none.

    Measured on 1.65 GB of GTF and of GFF3 with 1.7 million exons (plain text): 0.8 and 1.2 GB
    resident, and 1.6 to 2.2 MB for each MB of text counted against the limit of a job, which
    counts what is reserved. Gzip makes such a file about 25 times smaller.
    """
    path = Path(path)
    if not path.is_file():
        return 0
    with path.open("rb") as stream:
        packed = stream.read(2) == GZIP
    return math.ceil(path.stat().st_size / MB * (25 if packed else 1) * 2.2)


def estimate_mb(rule: str, shape: Shape, threads: int = 1) -> int:
    """Peak resident memory that a per-batch rule will need, in MB.

    Parameters
    ----------
    rule
        A key of `RULES`.
    shape
        The batch.
    threads
        Threads that boost.

    Returns
    -------
    int
        Rounded up to 10 MB, margin included, without `resources.mem_factor`.
    """
    alone = math.ceil(RULES[rule](shape) * MARGIN / MB / 10) * 10
    return alone + (threads - 1) * thread_mb(shape) * (rule in BOOSTED)


def estimate_whole_mb(rule: str, whole: Whole) -> int:
    """Peak resident memory that a rule about all batches will need, in MB, as `estimate_mb`."""
    return math.ceil(WHOLE_RULES[rule](whole) * MARGIN / MB / 10) * 10


def estimate_data_mb(rule: str, data: DataSet) -> int:
    """Peak resident memory that a rule about the data set will need, in MB, as `estimate_mb`."""
    return math.ceil(DATA_RULES[rule](data) * MARGIN / MB / 10) * 10


def largest_mb(shape: Shape, threads: int = 1) -> int:
    """The estimate of the largest rule of a batch, in MB."""
    return max(estimate_mb(rule, shape, threads) for rule in RULES)


def process_limit_mb(
    environment: Mapping[str, str] | None = None, root: str | Path = "/"
) -> tuple[int, str]:
    """Memory that this process may use, in MB, and where that limit comes from.

    The least of SLURM's allocation (SLURM_MEM_PER_NODE, or SLURM_MEM_PER_CPU times the CPUs), the
    control group's limit (v2 `memory.max`, v1 `memory.limit_in_bytes`) and the machine's
    available memory.

    Parameters
    ----------
    environment
        Environment variables; the process's own by default.
    root
        Where /proc and /sys are found; a test gives its own.
    """
    import psutil  # not at the top: Snakemake reads this module in every job

    environment = os.environ if environment is None else environment
    limits = [(psutil.virtual_memory().available / MB, "available memory")]
    # SLURM says "all of the node" by 0.
    per_node, per_cpu = (
        float(environment.get(f"SLURM_MEM_PER_{unit}") or 0) for unit in ("NODE", "CPU")
    )
    if per_node:
        limits.append((per_node, "SLURM_MEM_PER_NODE"))
    elif per_cpu:
        cpus = float(environment.get("SLURM_CPUS_ON_NODE", 1))
        limits.append((per_cpu * cpus, "SLURM_MEM_PER_CPU"))
    limits += [(value / MB, name) for value, name in _cgroup_limits(Path(root))]
    value, name = min(limits)
    return int(value), name


def _cgroup_limits(root: Path) -> Iterator[tuple[int, str]]:
    """Limits of this process's control group and of every group above it."""
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
            if text.isdigit() and int(text) < 1 << 60:  # v1 says "unlimited" by a huge number
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
            "raise the limit (ulimit -n), or make batches larger (batching.max_genes)"
        )


def peak_mb() -> float:
    """Peak resident memory of this process so far, in MB."""
    # getrusage also counts what the process that started this one held at that moment.
    peak = _status_mb("self", "VmHWM")
    if peak is not None:
        return peak
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / MB if sys.platform == "darwin" else peak / 1024


def _status_mb(process: int | str, key: str) -> float | None:
    """Give a size that the kernel tells of a process, in MB; None where it tells none."""
    status = Path(f"/proc/{process}/status")
    for line in status.read_text().splitlines() if status.exists() else ():
        if line.startswith(f"{key}:"):
            return int(line.split()[1]) / 1024
    return None


def traffic_mb() -> dict[str, float | None]:
    """MB that this process has read from and written to files so far; None where nobody counts."""
    counts = Path("/proc/self/io")
    if not counts.exists():
        return {"read_mb": None, "written_mb": None}
    lines = dict(line.split(": ") for line in counts.read_text().splitlines())
    return {
        "read_mb": round(int(lines["rchar"]) / MB, 1),
        "written_mb": round(int(lines["wchar"]) / MB, 1),
    }


def declared(snakemake: Any) -> dict[str, Any]:
    """Arguments of `job` from the object that Snakemake gives a script."""
    return {
        "log_file": snakemake.log[0],
        "mem_mb": snakemake.resources.mem_mb,
        "needs_mb": snakemake.resources.needs_mb,
        "threads": snakemake.threads,
        "usage": snakemake.output.get("usage"),
        "results": [path for path in snakemake.input if path.startswith("results/")],
    }


@contextlib.contextmanager
def job(
    *,
    log_file: str | Path,
    mem_mb: int,
    needs_mb: int,
    threads: int,
    usage: str | Path | None = None,
    results: Iterable[str | Path] = (),
) -> Iterator[None]:
    """Run the body of a workflow script inside its declared memory and threads.

    To be entered before numpy is imported, since thread counts are read then. Snakemake only
    keeps books, so on Linux the body runs in a child whose data segment this process watches and
    ends beyond the declared memory. The child dies with the scheduler instead of going on
    writing, and offers itself first to the kernel's out-of-memory killer. Under SLURM the
    scheduler bounds and kills.

    Parameters
    ----------
    log_file
        Where messages and errors go.
    mem_mb
        What Snakemake granted, in MB.
    needs_mb
        What the plan says the job needs, in MB; Snakemake silently cuts a request to the run's
        cap, so less being granted is an error.
    threads
        Threads of this job.
    usage
        Where the measured peak is written as JSON beside the declared memory, with time, threads
        and traffic, or None.
    results
        Files of earlier jobs, to be refused if they are cut off.

    Raises
    ------
    SystemExit
        With status 1 after any error, which is in the log.
    """
    Path(log_file).parent.mkdir(parents=True, exist_ok=True)
    handlers = [logging.FileHandler(log_file, mode="w"), logging.StreamHandler(sys.stderr)]
    logging.basicConfig(
        level=logging.INFO,
        format="%(asctime)s %(levelname)s %(message)s",
        datefmt="%H:%M:%S",
        handlers=handlers,
        force=True,
    )
    started = time.monotonic()
    remedy = f"the job may use {mem_mb} MB (estimated need {needs_mb} MB); raise "
    remedy += "resources.mem_factor or lower batching.max_rows, then run again"
    _go_on_in_child(mem_mb, remedy)
    try:
        _bound(mem_mb, needs_mb, threads)
        check_whole(results)
        yield
    except InputError as error:
        log.error("%s", error)
        raise SystemExit(1) from error
    except Exception as error:
        if _out_of_memory(error):
            log.exception("out of memory at %.0f MB: %s", peak_mb(), remedy)
        else:
            log.exception("%s", error)
        raise SystemExit(1) from error
    seconds = time.monotonic() - started
    log.info("peak %.0f MB of %d MB declared, %.1f s", peak_mb(), mem_mb, seconds)
    if usage is not None:
        record = {"declared_mb": needs_mb, "peak_mb": round(peak_mb(), 1)}
        record |= {"seconds": round(seconds, 2), "cpu_seconds": round(time.process_time(), 2)}
        write_json(usage, record | {"threads": threads} | traffic_mb())


def _go_on_in_child(mem_mb: int, remedy: str) -> None:
    """Let a child do the work, and see from here to its memory and its end.

    Where memory is refused not every library raises: polars aborts, and one in ten jobs stopped
    by a hard limit while libraries start their threads waited for ever. So the limit that counts
    is held from outside. The child returns; this process leaves with its status.
    """
    if sys.platform != "linux":
        return
    _die_with_parent()
    child = os.fork()
    if child == 0:
        _die_with_parent()
        return
    # Ctrl-C reaches both; the child ends by it, and this process then.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    beyond_mb = _watch(child, mem_mb) if _bounds_itself() else None
    _, status = os.waitpid(child, 0)
    code = os.waitstatus_to_exitcode(status)
    if beyond_mb is not None:
        log.error("out of memory at %.0f MB: %s", beyond_mb, remedy)
    elif code in (-signal.SIGABRT, -signal.SIGKILL, -signal.SIGSEGV, -signal.SIGBUS):
        log.error("ended by %s, as if out of memory: %s", signal.Signals(-code).name, remedy)
    logging.shutdown()
    os._exit(code if code >= 0 else 1)


def _watch(process: int, mem_mb: int) -> float | None:
    """Wait for a child's end, without reaping it; kill it beyond `mem_mb` and give what it had."""
    while not os.waitid(os.P_PID, process, os.WEXITED | os.WNOHANG | os.WNOWAIT):
        # Reservations count; a process that has just ended has none.
        reserved_mb = _status_mb(process, "VmData")
        if reserved_mb is not None and reserved_mb > mem_mb:
            os.kill(process, signal.SIGKILL)
            return reserved_mb
        time.sleep(WATCH_SECONDS)
    return None


def _bounds_itself() -> bool:
    return "SLURM_JOB_ID" not in os.environ and sys.platform == "linux"


def _die_with_parent() -> None:
    """Have the kernel end this process with the one that started it."""
    pr_set_pdeathsig = 1
    ctypes.CDLL(None, use_errno=True).prctl(pr_set_pdeathsig, signal.SIGTERM)


def _bound(mem_mb: int, needs_mb: int, threads: int) -> None:
    if mem_mb < needs_mb:
        raise InputError(
            f"this job needs {needs_mb} MB but the run caps memory at {mem_mb} MB; raise "
            "--resources mem_mb, or lower batching.max_rows or resources.mem_factor"
        )
    for name in ("OMP", "OPENBLAS", "MKL", "NUMBA"):
        os.environ[f"{name}_NUM_THREADS"] = str(threads)
    os.environ["POLARS_MAX_THREADS"] = str(threads)
    # Arrow's own allocators reserve address space far beyond what they hold (1,490 MB against
    # 540 MB at 490 MB resident), and the bound below counts reservations.
    os.environ["ARROW_DEFAULT_MEMORY_POOL"] = "system"
    # Waiting OpenMP threads give their core to the neighbour batch instead of spinning.
    os.environ["OMP_WAIT_POLICY"] = "PASSIVE"
    if not _bounds_itself():
        return
    # What a job takes between two looks of its watch ends here; large requests raise.
    hard = (mem_mb + max(WATCH_MARGIN_MB, mem_mb // 10)) * MB
    resource.setrlimit(resource.RLIMIT_DATA, (hard, hard))
    # A container may forbid it; the job is then merely not preferred as a victim.
    with contextlib.suppress(OSError):
        Path("/proc/self/oom_score_adj").write_text("900")


def _out_of_memory(error: BaseException) -> bool:
    text = f"{type(error).__name__} {error}".lower()
    return isinstance(error, MemoryError) or "bad_alloc" in text or "out of memory" in text


def read_usage(paths: list[str]) -> list[dict[str, object]]:
    """Read usage records, each with the rule and batch that its path names."""
    records = []
    for path in sorted(paths):
        record = json.loads(Path(path).read_text())
        rule, batch = Path(path).parent.name, Path(path).stem
        records.append({"rule": rule, "batch": batch} | record)
    return records
