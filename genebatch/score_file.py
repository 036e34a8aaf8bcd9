"""The sparse Parquet file of base scores that the built-in scorers write."""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from os import PathLike
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from genebatch.files import whole

FLOOR = 1e-5  # probability; positions whose donor and acceptor score are both below are left out
ROW_GROUP = 131_072  # rows; 1 MB as it lies in memory
SCHEMA = pa.schema(
    {
        "gene_id": pa.dictionary(pa.int32(), pa.string()),
        "position": pa.int32(),
        "donor": pa.float32(),
        "acceptor": pa.float32(),
    }
)


class Stretch(NamedTuple):
    """Scores of successive positions of a gene, in transcript orientation.

    Attributes
    ----------
    gene_id
        The gene.
    start
        Gene position of the first column of `scores`.
    scores
        Donor and acceptor probabilities, (2, positions) float32.
    """

    gene_id: str
    start: int
    scores: np.ndarray


def write_scores(path: str | PathLike, stretches: Iterable[Stretch]) -> int:
    """Write scores as a sparse table, whole: one row per position that reaches `FLOOR`.

    Columns are those of `SCHEMA`. Rows keep the order of `stretches`, which has to be that of gene
    ids and, within a gene, of positions. Holds one row group and one stretch.

    Returns
    -------
    int
        Number of rows.
    """
    rows = 0
    with score_writer(path) as writer:
        for group in _row_groups(map(_rows, stretches)):
            writer.write_table(group)
            rows += group.num_rows
    return rows


@contextmanager
def score_writer(path: str | PathLike) -> Iterator[pq.ParquetWriter]:
    """Open a table of scores for writing, whole; row groups come in the order of the rows."""
    order = pq.SortingColumn.from_ordering(SCHEMA, ["gene_id", "position"])
    with (
        whole(path) as temporary,
        pq.ParquetWriter(temporary, SCHEMA, compression="zstd", sorting_columns=order) as writer,
    ):
        yield writer


def _rows(stretch: Stretch) -> pa.Table:
    kept = np.flatnonzero(stretch.scores.max(axis=0) >= FLOOR)
    donor, acceptor = stretch.scores[:, kept]
    gene = pa.DictionaryArray.from_arrays(np.zeros(len(kept), np.int32), [stretch.gene_id])
    position = (stretch.start + kept).astype(np.int32)
    return pa.table([gene, position, donor, acceptor], schema=SCHEMA)


def _row_groups(tables: Iterable[pa.Table]) -> Iterator[pa.Table]:
    """Cut and join tables into ones of `ROW_GROUP` rows; only the last is shorter."""
    waiting, rows = [SCHEMA.empty_table()], 0
    for table in tables:
        waiting.append(table)
        rows += table.num_rows
        if rows >= ROW_GROUP:
            joined = pa.concat_tables(waiting).unify_dictionaries()
            full = rows - rows % ROW_GROUP
            yield from (joined.slice(first, ROW_GROUP) for first in range(0, full, ROW_GROUP))
            waiting, rows = [joined.slice(full)], rows - full
    if rows:
        yield pa.concat_tables(waiting).unify_dictionaries()
