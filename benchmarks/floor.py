"""How far boosting is from what the memory of the machine allows, and what it waits for."""

import json
import time
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from peer_jobs import Job, Phases, blocks
from scipy import sparse

# Rows whose binned cells lie in the cache: two sizes, so that what a round costs whatever the
# number of rows (the search for splits) can be told from what each cell costs.
CACHED = (2_500, 10_000)
REPEATS = 5
STREAM_BYTES = 1 << 30
COLUMN = 1  # the class whose booster is timed

# Bytes by XGBoost's own types (src/common/hist_util.cc, row_set.h, gradient_index.cc).
CELL = 4  # uint32 bin of a stored cell, once there are absent ones
VISIT = 8 + 8 + 8  # of a row in a histogram: its number, its offset, its two float32 gradients
PARTITION = 1 + 8 + 8  # of a row at each level: bin of the split, its number read and written
ROUND = 4 * 5 + 8  # of a row: margin read, and read and written; label, weight; gradients
BIN = 16  # two float64 sums


class Timed(NamedTuple):
    """Boosting on so many rows: CPU seconds of a round, and the rows its histograms visit."""

    rows: int
    cells: int
    seconds: float
    visits: float


class Floor(NamedTuple):
    """What the section of the floor says."""

    sizes: list[Timed]
    bins: int
    bandwidth: float  # bytes a second
    cache: int  # bytes of the last cache
    depth: int


def measure_floor(work: Path, settings: dict, phases: Phases) -> Floor:
    """Time rounds on sizes that fit in the cache and on all rows, and a stream from memory."""
    with phases("read"):
        from genebatch.model import boosting as learner

        job = Job.load(work, settings)
        parts = blocks(job)
    whole = learner.build_matrix(parts, len(job.features), job.learner["max_bin"], 1)
    bins = int(whole.get_quantile_cut()[0][-1])
    del whole
    sizes = [timed_rounds(job, parts, rows) for rows in CACHED]
    sizes.append(timed_rounds(job, parts, len(job.codes)))
    return Floor(sizes, bins, bandwidth(), last_cache(), job.learner["max_depth"])


def timed_rounds(job: Job, parts: list, rows: int) -> Timed:
    """Boost the first rows, the same trees in every repeat; the fastest counts."""
    from genebatch.config.settings import Learner
    from genebatch.model import boosting as learner

    kept = first_rows(parts, rows)
    matrix = learner.build_matrix(kept, len(job.features), job.learner["max_bin"], 1)
    y = job.codes[:rows] == COLUMN
    seconds = min(round_seconds(matrix, y, job.learner) for _ in range(REPEATS))
    booster = learner.fit_trees(
        matrix, y, np.ones(rows), None, job.n_trees, Learner.build(job.learner)
    )
    matrices = (learner.to_matrix(block, 1) for block in kept)
    leaves = np.concatenate([booster.predict(part, pred_leaf=True) for part in matrices])
    leaves = leaves.reshape(rows, job.n_trees).astype(np.int64)
    trees = [json.loads(tree) for tree in booster.get_dump(dump_format="json", with_stats=True)]
    depth = job.learner["max_depth"]
    seen = [visits(tree, np.bincount(leaves[:, n]), depth) for n, tree in enumerate(trees)]
    cells = sum(block.nnz if sparse.issparse(block) else block.size for block in kept)
    return Timed(rows, cells, seconds, float(np.mean(seen[1:])))


def first_rows(blocks: list, rows: int) -> list:
    """The first rows of blocks, as blocks."""
    kept = []
    for block in blocks:
        kept.append(block[:rows])
        rows -= kept[-1].shape[0]
        if not rows:
            break
    return kept


def round_seconds(matrix: Any, y: np.ndarray, given: dict) -> float:
    """CPU seconds of a round, without the first, which also sets things up."""
    from genebatch.config.settings import Learner
    from genebatch.model import boosting as learner

    def boosted(n_trees: int) -> float:
        start = time.process_time()
        learner.fit_trees(matrix, y, np.ones(len(y)), None, n_trees, Learner.build(given))
        return time.process_time() - start

    return (boosted(given["n_estimators"]) - boosted(1)) / (given["n_estimators"] - 1)


def visits(tree: dict, leaf_rows: np.ndarray, max_depth: int) -> int:
    """Rows that the histograms of a tree are summed over.

    All rows at the root; of two children the one with the smaller sum of hessians, as the other
    is the difference to the parent. Children that cannot be split need no histogram.
    """

    def below(node: dict, depth: int) -> tuple[int, int]:
        """Rows of a node, and the rows visited under it."""
        if "leaf" in node:
            number = node["nodeid"]
            return int(leaf_rows[number]) if number < len(leaf_rows) else 0, 0
        (left, seen_left), (right, seen_right) = (
            below(child, depth + 1) for child in node["children"]
        )
        covers = {child["nodeid"]: child["cover"] for child in node["children"]}
        smaller = right if covers[node["no"]] < covers[node["yes"]] else left
        seen = seen_left + seen_right + (smaller if depth + 1 < max_depth else 0)
        return left + right, seen

    rows, seen = below(tree, 0)
    return rows + seen


def bandwidth() -> float:
    """Bytes a second that one core reads from memory in order; the best of five."""
    stream = np.ones(STREAM_BYTES // 4, np.float32)
    times = []
    for _ in range(5):
        start = time.process_time()
        np.dot(stream, stream)
        times.append(time.process_time() - start)
    return stream.nbytes / min(times)


def last_cache() -> int:
    """Bytes of the largest cache."""
    levels = Path("/sys/devices/system/cpu/cpu0/cache").glob("index*/size")
    return max(int(level.read_text().strip().removesuffix("K")) for level in levels) << 10


def section(floor: Floor) -> str:
    """The section in Markdown, numbers and what follows from them."""
    small, large, whole = floor.sizes
    per_cell = whole.cells / whole.rows
    cached = (large.seconds - small.seconds) / (visited(large) - visited(small))
    fixed = large.seconds - cached * visited(large)
    full = (whole.seconds - fixed) / visited(whole)
    histogram = whole.visits * (CELL * per_cell + VISIT)
    moved = whole.rows * (floor.depth * PARTITION + ROUND)
    least = (histogram + moved) / floor.bandwidth
    lines = ["| rows | stored cells | bins of the cells, MB | ms/round | visits of a row |"]
    lines[0] += " visited cells, million |"
    lines.append("|" + "---|" * 6)
    for size in floor.sizes:
        line = f"| {size.rows:,} | {size.cells:,} | {size.cells * CELL / 1e6:,.1f} "
        line += f"| {1000 * size.seconds:.2f} | {size.visits / size.rows:.2f} "
        lines.append(line + f"| {visited(size) / 1e6:,.2f} |")
    return "\n".join(
        [
            "",
            "One booster on all rows and all features of the batch, stored as (e) stores them. "
            "(e) itself picks features first. CPU time of a "
            f"round without the first, the fastest of {REPEATS} runs. A histogram visits every row "
            "at the root. Of two children it visits the rows of the one with the smaller sum of "
            "hessians; the other histogram is a difference. "
            f"With depth {floor.depth} that is at most about "
            f"{1 + (floor.depth - 1) / 2:.1f} visits of a row if children split rows as they split "
            "hessians. Here the visits are counted in the trees.",
            "",
            *lines,
            "",
            "Bytes that a round cannot avoid, by XGBoost's types: "
            f"{CELL} for each visited cell (uint32 bin), {VISIT} for each visit of a row (number, "
            f"offset, two float32 gradients), {PARTITION} for each row at each level (bin of the "
            f"split, number read and written), {ROUND} for each row (label, weight, margin, "
            "gradients). The histogram of a node is left out, because it stays in the cache: "
            f"{floor.bins:,} bins of {BIN} bytes, {floor.bins * BIN / 1e6:.2f} MB.",
            "",
            "| | |",
            "|---|---|",
            f"| bytes of a round | {(histogram + moved) / 1e6:,.1f} MB |",
            f"| of them histograms | {histogram / 1e6:,.1f} MB |",
            f"| memory read in order, one core | {floor.bandwidth / 1e9:.1f} GB/s |",
            f"| last cache | {floor.cache / 1e6:.0f} MB |",
            f"| floor of a round | {1000 * least:.2f} ms |",
            f"| measured | {1000 * whole.seconds:.2f} ms |",
            f"| measured, times the floor | {whole.seconds / least:.1f} |",
            f"| bandwidth used | {(histogram + moved) / whole.seconds / 1e9:.2f} GB/s |",
            f"| a round whatever the rows | {1000 * fixed:.2f} ms |",
            f"| a visited cell, rows in the cache | {1e9 * cached:.2f} ns |",
            f"| a visited cell, the whole batch | {1e9 * full:.2f} ns |",
            "",
            meaning(whole.seconds / least, full / cached, whole.cells * CELL > 2 * floor.cache),
        ]
    )


def visited(size: Timed) -> float:
    """Cells that the histograms of a round visit."""
    return size.visits * size.cells / size.rows


def meaning(over_floor: float, over_cache: float, outgrown: bool) -> str:
    """What the ratios say, where the whole batch has `outgrown` the cache."""
    text = f"A round takes {over_floor:.1f} times as long as its bytes alone would. "
    if not outgrown:
        return text + (
            "All rows, or nearly all, are in the cache. These numbers therefore do not tell "
            "whether more rows would wait for memory: run it with more."
        )
    text += f"A cell of the whole batch costs {over_cache:.2f} times a cell of rows that are in "
    if over_cache < 1.25:
        return text + (
            "the cache. So not memory limits boosting but the work on each cell: its bin is "
            "fetched, and two gradients are added at that place of the histogram. Fewer visited "
            "cells make it faster (counts without their zeros, smaller children). Fewer bytes for "
            "each cell would hardly help."
        )
    return text + (
        f"the cache. It waits for memory during {1 - 1 / over_cache:.0%} of its time. The rest is "
        "the work on each cell: its bin is fetched, and two gradients are added at that place of "
        "the histogram."
    )
