"""Bins some features of some rows of a batch, in memory or on disk."""

import logging
import os
import shutil
import tempfile
import weakref
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Self

import numpy as np
import xgboost as xgb
from scipy import sparse

from genebatch.config.settings import Learner
from genebatch.dataset.feature_set import Block, stacked
from genebatch.dataset.row_file import Blocks
from genebatch.io.tables import BATCH_ROWS
from genebatch.jobs.limits import MB
from genebatch.model.boosting import Part, build_matrix, predict_margin, to_matrix, used_features
from genebatch.training.batch import Batch

log = logging.getLogger(__name__)

PAGE_ROWS = 32_768  # of a page of a matrix on disk
# Most cells that are held as numbers beside the matrix, 8 bytes each. More are read once for each
# of XGBoost's passes.
HELD_CELLS = 2**25
HELD_BYTES = 512 << 20  # largest matrix of all rows that is held in memory


def training_part(
    data: Batch, column: int, kept: np.ndarray, columns: np.ndarray, learner: Learner
) -> Part:
    """Bin some features of some rows for a booster of one class.

    A batch is binned in memory. All rows of a data set are binned into pages in `$TMPDIR` if the
    matrix would be larger than `HELD_BYTES`; the pages lie there as long as the matrix. The trees
    are the same. The numbers of all rows lie in `$TMPDIR` while they are binned, 4 bytes a cell, so
    that the row files are read once. Zeros of counts are stored where `Features.stores_zeros` says
    so.

    Parameters
    ----------
    data
        The rows.
    column
        The class.
    kept
        (rows,) bool.
    columns
        Places of the features, rising.
    learner
        Settings.
    """
    features = data.features.some(columns)
    zeros, types = features.stores_zeros, features.types
    size = (len(columns), learner.max_bin, learner.threads)
    if np.count_nonzero(kept) * len(columns) <= HELD_CELLS:
        return _part(
            data,
            column,
            kept,
            build_matrix([held_block(data, kept, columns, zeros)], *size, types=types),
        )
    page_rows = PAGE_ROWS if data.on_disk else BATCH_ROWS
    blocks = Blocks(data.files, columns, data.stored(kept), page_rows, zeros=zeros)
    if not data.on_disk:
        return _part(data, column, kept, build_matrix(blocks, *size, types=types))
    n_rows = np.count_nonzero(kept)
    held, paged = (n_rows * each for each in _bytes_of_a_row(blocks, learner.max_bin))
    with ReadOnce(blocks) as once:
        if held <= HELD_BYTES:
            return _part(data, column, kept, build_matrix(once, *size, types=types))
        log.info("%s: about %s MB of pages go to $TMPDIR", data.name, f"{paged / MB:,.0f}")
        return _part(data, column, kept, _on_disk(once, *size, types))


class ReadOnce:
    """Blocks whose row files are read in the first pass alone; a file in `$TMPDIR` has them then.

    Parameters
    ----------
    blocks
        Blocks that can be read again.
    """

    def __init__(self, blocks: Iterable[Block]):
        self.blocks = blocks
        self.written = False

    def __enter__(self) -> Self:
        self.file = tempfile.TemporaryFile(prefix="genebatch-")
        return self

    def __exit__(self, *_: object) -> None:
        self.file.close()

    def __iter__(self) -> Iterator[Block]:
        if self.written:
            end = self.file.seek(0, os.SEEK_END)
            self.file.seek(0)
            while self.file.tell() < end:
                yield self._next()
            return
        self.file.seek(0)
        self.file.truncate()
        for block in self.blocks:
            for array in _arrays(block):
                np.save(self.file, array)
            yield block
        self.written = True

    def _next(self) -> Block:
        """Read a block as `_arrays` gave it."""
        first = np.load(self.file)
        if first.ndim == 2:
            return first
        indices, pointers, shape = (np.load(self.file) for _ in range(3))
        return sparse.csr_matrix((first, indices, pointers), shape=tuple(shape))


def _arrays(block: Block) -> list[np.ndarray]:
    if sparse.issparse(block):
        return [block.data, block.indices, block.indptr, np.array(block.shape)]
    return [block]


def stopping_part(
    data: Batch, column: int, kept: np.ndarray, columns: np.ndarray, learner: Learner
) -> Part:
    """Some features of some rows as numbers, for predictions; see `training_part`."""
    zeros = data.features.some(columns).stores_zeros
    matrix = to_matrix(held_block(data, kept, columns, zeros), learner.threads)
    return _part(data, column, kept, matrix)


def held_block(
    data: Batch, kept: np.ndarray, columns: np.ndarray | None, zeros: bool = False
) -> Block:
    """Some features of some rows as one block; raises if there is no row."""
    blocks = list(Blocks(data.files, columns, data.stored(kept), zeros=zeros))
    if not blocks:
        raise ValueError(f"{data.name}: no row of {len(kept):,} is kept")
    return stacked(blocks)


def predicted(
    data: Batch, boosters: list[xgb.Booster], kept: np.ndarray, threads: int
) -> np.ndarray:
    """Log-odds of some rows by a booster for each class, (kept rows, classes) float32.

    Reads the features that the boosters split on, and holds a block of them.
    """
    columns = used_features(boosters)
    places = np.flatnonzero(kept)
    margins = np.empty((len(places), len(boosters)), np.float32)
    done = 0
    for block in _blocks_or_empty(data, columns, kept):
        own = slice(done, done + block.shape[0])
        matrix = to_matrix(data.features.spread(block, columns), threads)
        for number, (label, booster) in enumerate(zip(data.classes, boosters, strict=True)):
            start = data.starts[label]
            margin = None if start is None else start[places[own]]
            margins[own, number] = predict_margin(booster, matrix, margin)
        done = own.stop
    return margins


def _blocks_or_empty(data: Batch, columns: np.ndarray, kept: np.ndarray) -> Iterator[Block]:
    """Blocks of the rows; of boosters without trees, rows without cells."""
    if len(columns):
        yield from Blocks(data.files, columns, data.stored(kept))
    else:
        yield sparse.csr_matrix((np.count_nonzero(kept), 0), dtype=np.float32)


def _part(data: Batch, column: int, kept: np.ndarray, matrix: xgb.DMatrix) -> Part:
    start = data.starts[data.classes[column]]
    margin = None if start is None else start[kept]
    return Part(matrix, data.codes[kept] == column, data.weight[kept], margin)


def _on_disk(
    pages: Iterable[Block],
    n_features: int,
    max_bin: int,
    threads: int,
    types: Sequence[str] | None,
) -> xgb.ExtMemQuantileDMatrix:
    """The matrix; its folder of pages is removed with it."""
    folder = tempfile.mkdtemp(prefix="genebatch-")
    try:
        matrix = build_matrix(pages, n_features, max_bin, threads, Path(folder) / "matrix", types)
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        raise
    # Called after XGBoost has closed its files, which complains if they are gone before.
    weakref.finalize(matrix, shutil.rmtree, folder, ignore_errors=True)
    return matrix


def _bytes_of_a_row(blocks: Blocks, max_bin: int) -> tuple[float, float]:
    """Bytes of a row of a matrix in memory and on disk, by the cells of the first block.

    In memory see `jobs.memory.matrix_bytes`; on disk measured on XGBoost 3.2.
    """
    first = next(iter(blocks))
    if sparse.issparse(first):
        cells = first.nnz / first.shape[0]
        return 13 * cells, 14.3 * cells
    width = 1 if max_bin <= 256 else 2
    return 2 * first.shape[1] * width, 2.5 * first.shape[1] * width
