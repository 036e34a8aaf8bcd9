"""Writes base scores of the built-in scorers as a sparse Parquet file."""

import logging
from collections.abc import Iterable, Iterator, Sequence
from os import PathLike
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from genebatch.genome.genes import Gene
from genebatch.io.files import whole

log = logging.getLogger(__name__)

FLOOR = 1e-5  # probability; a position is left out if both of its scores are below
ROW_GROUP = 131_072  # rows; 1 MB in memory
SCHEMA = pa.schema(
    {
        "gene_id": pa.dictionary(pa.int32(), pa.string()),
        "position": pa.int32(),
        "donor": pa.float32(),
        "acceptor": pa.float32(),
    }
)


class ScoredStretch(NamedTuple):
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


def write_scores(path: str | PathLike, stretches: Iterable[ScoredStretch]) -> int:
    """Write scores as a sparse table, whole: one row per position that reaches `FLOOR`.

    Columns are those of `SCHEMA`. Rows keep the order of `stretches`, which must come sorted by
    gene id and position. Holds one row group and one stretch.

    Returns
    -------
    int
        Number of rows.
    """
    return _write(path, _row_groups(map(_rows, stretches)))


def join_scores(parts: Sequence[str | PathLike], path: str | PathLike) -> int:
    """Join score files, which are given in order, into one; return the number of rows.

    Holds one row group.
    """
    return _write(path, _stored_groups(parts))


def log_scored(genes: Sequence[Gene], rows: int, path: str | PathLike) -> None:
    """Log how many genes, positions and rows `path` has."""
    positions = sum(gene.length for gene in genes)
    counts = (f"{count:,}" for count in (len(genes), positions, rows))
    log.info("%s genes, %s positions scored, %s entries in %s", *counts, path)


def _write(path: str | PathLike, groups: Iterable[pa.Table]) -> int:
    """Write row groups in the order given, whole; return the number of rows."""
    order = pq.SortingColumn.from_ordering(SCHEMA, ["gene_id", "position"])
    rows = 0
    with (
        whole(path) as temporary,
        pq.ParquetWriter(temporary, SCHEMA, compression="zstd", sorting_columns=order) as writer,
    ):
        for group in groups:
            writer.write_table(group)
            rows += group.num_rows
    return rows


def _stored_groups(paths: Iterable[str | PathLike]) -> Iterator[pa.Table]:
    for path in paths:
        with pq.ParquetFile(path) as file:
            for number in range(file.num_row_groups):
                yield file.read_row_group(number)


def _rows(stretch: ScoredStretch) -> pa.Table:
    kept = np.flatnonzero(stretch.scores.max(axis=0) >= FLOOR)
    donor, acceptor = stretch.scores[:, kept]
    gene = pa.DictionaryArray.from_arrays(np.zeros(len(kept), np.int32), [stretch.gene_id])
    position = (stretch.start + kept).astype(np.int32)
    return pa.table([gene, position, donor, acceptor], schema=SCHEMA)


def _row_groups(tables: Iterable[pa.Table]) -> Iterator[pa.Table]:
    """Cut and join tables into tables of `ROW_GROUP` rows; only the last is shorter."""
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
