"""Bins the training rows of all batches into one matrix that lies on disk."""

import logging
import shutil
import tempfile
import weakref
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np
import xgboost as xgb
from scipy import sparse

from genebatch.config.settings import Learner
from genebatch.dataset.row_file import RowFile, joined_facts, merged, merged_identity
from genebatch.io.files import digest
from genebatch.jobs.limits import MB
from genebatch.model.boosting import Block, build_matrix
from genebatch.training.batch import Batch, as_batch

log = logging.getLogger(__name__)

NAME = "the training data"
PAGE_ROWS = 32_768  # of a page of the matrix


def load_all(files: Sequence[RowFile], learner: Learner) -> Batch:
    """Bin every training row once, into XGBoost's external-memory matrix.

    Rows are streamed from the row files once for each of XGBoost's passes (rows, sketch, index).
    The pages lie in `$TMPDIR` as long as the matrix lives: some 3 kB a row of 100 dense features
    and 1,100 sparse counts. Trees are those that a matrix in memory gives. Holds a few pages, and
    what is known of rows beside their features, some 400 bytes a row while a booster grows.

    Parameters
    ----------
    files
        The row files of all batches, sorted by name.
    learner
        Settings.

    Returns
    -------
    Batch
        All training rows in the order of the data set. A row of a group that several batches hold
        stands once, with the fold of the first of them.
    """
    key = key_of_all({file.name: file.key for file in files})
    rows = merged_identity(files).drop("batch")
    pages = _Pages(files)
    size = rows.height * _disk_bytes(pages, learner.max_bin) / MB
    log.info("%s: about %s MB of pages go to %s", NAME, f"{size:,.0f}", tempfile.gettempdir())
    matrix = _on_disk(pages, learner)
    facts = joined_facts(file.facts for file in files)
    return as_batch(NAME, matrix, rows, files[0], key, facts, learner)


def _disk_bytes(pages: "_Pages", max_bin: int) -> float:
    """Bytes on disk of a row, by the cells of the first rows; measured on XGBoost 3.2."""
    block = next(iter(pages), None)
    if block is None:
        return 0
    if sparse.issparse(block):
        return 14.3 * block.nnz / block.shape[0]
    return 2.5 * block.shape[1] * (1 if max_bin <= 256 else 2)


def key_of_all(keys: Mapping[str, str]) -> str:
    """Digest of the rows of all batches, from batch to its key."""
    return digest([keys[name] for name in sorted(keys)])


def _on_disk(pages: "_Pages", learner: Learner) -> xgb.ExtMemQuantileDMatrix:
    """The matrix; its folder of pages is removed with it."""
    folder = tempfile.mkdtemp(prefix="genebatch-")
    try:
        size = (len(pages.features.names), learner.max_bin, learner.threads)
        matrix = build_matrix(pages, *size, Path(folder) / "matrix")
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        raise
    # Called after XGBoost has closed its files, which complains if they are gone before.
    weakref.finalize(matrix, shutil.rmtree, folder, ignore_errors=True)
    return matrix


class _Pages:
    """Feature blocks of `PAGE_ROWS` rows, read anew whenever they are iterated."""

    def __init__(self, files: Sequence[RowFile]):
        self.files, self.features = files, files[0].features

    def __iter__(self) -> Iterator[Block]:
        blocks: list[Block] = []
        rows = 0
        for part in merged(self.files):
            blocks.append(self.features.select(part.features))
            rows += part.features.height
            if rows >= PAGE_ROWS:
                yield _stacked(blocks)
                blocks, rows = [], 0
        if blocks:
            yield _stacked(blocks)


def _stacked(blocks: list[Block]) -> Block:
    if sparse.issparse(blocks[0]):
        return sparse.vstack(blocks, format="csr")
    return np.concatenate(blocks)
