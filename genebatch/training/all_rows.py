"""All training rows as one matrix that lies on disk."""

import shutil
import tempfile
import weakref
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import xgboost as xgb
from scipy import sparse

from genebatch.dataset.columns import Features, described, read_groups
from genebatch.dataset.rows import identity_columns, row_columns
from genebatch.io.files import read_json
from genebatch.model.boosting import Block, build_matrix
from genebatch.training.batch import Batch, as_batch

PAGE_ROWS = 32_768  # of a page of the matrix


def load_all(
    inputs: Mapping[str, str | Path], dataset: Mapping[str, Any], learner: Mapping[str, Any]
) -> Batch:
    """Bin every training row of the plan once, into XGBoost's external-memory matrix.

    Rows are streamed from the shards once for each of XGBoost's passes (rows, sketch, index). The
    pages lie in `$TMPDIR` as long as the matrix lives: some 3 kB a row of 100 dense features and
    1,100 sparse counts. Trees are those that a matrix in memory gives. Holds a few pages, and what
    is known of rows beside their features, some 400 bytes a row while a booster grows.

    Parameters
    ----------
    inputs
        Paths `profile`, `features` and `plan` (batches/genes.parquet).
    dataset, learner
        Parts of the config.

    Returns
    -------
    Batch
        All training rows in the order of the shards; a row of a group that several batches hold
        stands once. `fold` is that of the first batch that holds its group.
    """
    features = Features.from_json(read_json(inputs["features"]))
    roles, shards = described(read_json(inputs["profile"]))
    plan = pl.read_parquet(inputs["plan"]).filter(~pl.col("test"))
    plan = plan.sort("batch").unique("group", keep="first", maintain_order=True)
    columns = row_columns(features, roles)
    identity: list[pl.DataFrame] = []

    def frames() -> Iterator[pl.DataFrame]:
        return read_groups(shards, plan, columns, roles.group)

    def note(frame: pl.DataFrame) -> None:
        identity.append(identity_columns(frame, roles, dataset))

    matrix = _on_disk(_Pages(frames, features, note), learner)
    rows = pl.concat(identity).join(
        plan.select("group", "fold"), on="group", how="left", maintain_order="left"
    )
    return as_batch("the training data", matrix, rows, plan, features, dataset, learner)


def _on_disk(pages: "_Pages", learner: Mapping[str, Any]) -> xgb.ExtMemQuantileDMatrix:
    """The matrix, whose folder of pages goes when it goes."""
    folder = tempfile.mkdtemp(prefix="genebatch-")
    try:
        size = (len(pages.features.names), learner["max_bin"], learner["threads"])
        matrix = build_matrix(pages, *size, Path(folder) / "matrix")
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        raise
    # Called after XGBoost has closed its files, which complains if they are gone before.
    weakref.finalize(matrix, shutil.rmtree, folder, ignore_errors=True)
    return matrix


class _Pages:
    """Feature blocks of `PAGE_ROWS` rows; `note` sees every frame of the first pass."""

    def __init__(
        self,
        frames: Callable[[], Iterator[pl.DataFrame]],
        features: Features,
        note: Callable[[pl.DataFrame], None],
    ):
        self.frames, self.features, self.note = frames, features, note
        self.passes = 0

    def __iter__(self) -> Iterator[Block]:
        self.passes += 1
        blocks: list[Block] = []
        rows = 0
        for frame in self.frames():
            if self.passes == 1:
                self.note(frame)
            blocks.append(self.features.select(frame))
            rows += frame.height
            if rows >= PAGE_ROWS:
                yield _stacked(blocks)
                blocks, rows = [], 0
        if blocks:
            yield _stacked(blocks)


def _stacked(blocks: list[Block]) -> Block:
    if sparse.issparse(blocks[0]):
        return sparse.vstack(blocks, format="csr")
    return np.concatenate(blocks)
