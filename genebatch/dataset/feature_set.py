"""Orders the feature columns, and gives them as blocks of numbers."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import polars as pl
from scipy import sparse

from genebatch.dataset.categories import numbered
from genebatch.io.columns import check_lacking, is_number, no_number
from genebatch.io.files import InputError, digest

Block = np.ndarray | sparse.csr_matrix  # float32 rows


@dataclass(frozen=True)
class Features:
    """The ordered feature columns and how each is stored.

    Attributes
    ----------
    names
        Dense features first, then counts.
    n_dense
        How many are dense: kept as float32 with real zeros, null as missing. The others are
        counts whose zero is stored as absent, in training and in prediction alike.
    categories
        Of the dense features that hold categories: those of training. A row has the number of its
        category; other categories are missing.
    """

    names: tuple[str, ...]
    n_dense: int
    categories: Mapping[str, tuple[str, ...]] = field(default_factory=dict, hash=False)

    @classmethod
    def order(
        cls, kinds: Mapping[str, str], categories: Mapping[str, tuple[str, ...]] | None = None
    ) -> "Features":
        """Order columns given as name to kind, `dense`, `category` or `count`."""
        dense = [name for name, kind in kinds.items() if kind != "count"]
        counts = [name for name, kind in kinds.items() if kind == "count"]
        of_dense = {n: (categories or {})[n] for n in dense if kinds[n] == "category"}
        return cls((*dense, *counts), len(dense), of_dense)

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> "Features":
        """Read the form written by `to_json`."""
        categories = value.get("categories", {}).items()  # absent where there are none
        own = {name: tuple(names) for name, names in categories}
        return cls(tuple(value["names"]), int(value["n_dense"]), own)

    def to_json(self) -> dict[str, Any]:
        """Plain JSON form."""
        own = {name: list(names) for name, names in self.categories.items()}
        plain = {"names": list(self.names), "n_dense": self.n_dense}
        return plain | ({"categories": own} if own else {})

    @property
    def digest(self) -> str:
        """Digest of the names, their order, their kinds and categories."""
        own = [dict(self.categories)] if self.categories else []
        return digest(self.names, self.n_dense, *own)

    @property
    def types(self) -> list[str] | None:
        """XGBoost's type of each feature, category or quantity; None where all are quantities."""
        if not self.categories:
            return None
        return ["c" if name in self.categories else "q" for name in self.names]

    @property
    def stores_zeros(self) -> bool:
        """Whether boosters of these features are trained on matrices with the zeros of counts.

        Where most features are dense, such a matrix is several times smaller. Boosting takes as
        long, in memory; from pages on disk it is faster.
        """
        return 2 * self.n_dense >= len(self.names)

    def some(self, columns: np.ndarray) -> "Features":
        """The features at some places, which rise, as a feature set of their own."""
        names = tuple(self.names[number] for number in columns)
        categories = {name: self.categories[name] for name in names if name in self.categories}
        return Features(
            names, int(np.count_nonzero(np.asarray(columns) < self.n_dense)), categories
        )

    def spread(self, block: Block, columns: np.ndarray) -> Block:
        """Give a block of the features at some places the width of all; the others are absent."""
        if len(columns) == len(self.names):
            return block
        shape = (block.shape[0], len(self.names))
        if sparse.issparse(block):
            places = np.asarray(columns, np.int32)[block.indices]
            return sparse.csr_matrix((block.data, places, block.indptr), shape=shape)
        wide = np.full(shape, np.nan, np.float32)
        wide[:, columns] = block
        return wide

    def select(self, frame: pl.DataFrame, zeros: bool = False) -> Block:
        """Check, order and cast the feature columns of `frame`, whatever its column order.

        Parameters
        ----------
        frame
            Rows.
        zeros
            Whether counts of zero are stored.

        Returns
        -------
        numpy.ndarray or scipy.sparse.csr_matrix
            float32, (rows, features). Sparse if there are counts and their zeros are not stored; a
            cell that is absent is a count of zero, a cell that is NaN is missing. Infinite values
            are missing, and so are categories that training did not have.

        Raises
        ------
        InputError
            Naming the features that `frame` lacks or holds as text.
        """
        check_lacking(self.names, frame.columns)
        frame = frame.with_columns(
            numbered(frame[name], known) for name, known in self.categories.items()
        )
        schema = frame.schema  # made anew at each access
        for name in self.names:
            if not is_number(schema[name]):
                raise InputError(no_number(frame[name]))
        n_stored = len(self.names) if zeros else self.n_dense
        if n_stored:
            dense_names = list(self.names[:n_stored])
            dense = frame[dense_names].cast(pl.Float32).to_numpy(order="c")
            if np.isinf(dense).any():
                dense = np.where(np.isinf(dense), np.float32(np.nan), dense)
        else:
            dense = np.empty((frame.height, 0), np.float32)
        if n_stored == len(self.names):
            return np.ascontiguousarray(dense)
        return sparse.hstack([_explicit(dense), self._counts(frame)], format="csr")

    def _counts(self, frame: pl.DataFrame) -> sparse.csr_matrix:
        """Counts column by column, so that no dense block of them is ever held."""
        values, rows, lengths = [], [], []
        for name in self.names[self.n_dense :]:
            column = frame[name].cast(pl.Float32).to_numpy()
            if np.isinf(column).any():
                column = np.where(np.isinf(column), np.float32(np.nan), column)
            nonzero = np.flatnonzero(column)  # NaN is non-zero, so a null stays missing
            values.append(column[nonzero])
            rows.append(nonzero.astype(np.int32))
            lengths.append(len(nonzero))
        shape = (frame.height, len(lengths))
        pointers = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int32)
        columns = sparse.csc_matrix(
            (np.concatenate(values), np.concatenate(rows), pointers), shape=shape
        )
        return columns.tocsr()


def stacked(blocks: Sequence[Block]) -> Block:
    """Rows of several blocks as one block."""
    if len(blocks) == 1:
        return blocks[0]
    if sparse.issparse(blocks[0]):
        return sparse.vstack(blocks, format="csr")
    return np.concatenate(blocks)


def _explicit(dense: np.ndarray) -> sparse.csr_matrix:
    """Store every dense cell in CSR, so that a real zero is not taken for absent."""
    rows, columns = dense.shape
    indices = np.tile(np.arange(columns, dtype=np.int32), rows)
    pointers = np.arange(rows + 1, dtype=np.int32) * columns
    return sparse.csr_matrix((dense.ravel(), indices, pointers), shape=dense.shape)
