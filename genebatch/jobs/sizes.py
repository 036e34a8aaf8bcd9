"""Measures what the memory and time of jobs depend on: a batch, a run, a data set, gene models."""

import math
from collections.abc import Iterable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

import pyarrow as pa

from genebatch.config.settings import Selection
from genebatch.io.files import GZIP, InputError
from genebatch.io.tables import open_shard
from genebatch.io.text_tables import text_columns
from genebatch.jobs.limits import MB

FREQUENT = 0.15  # share of rows from which XGBoost may keep a column for every row
TEXT_BYTES = 24  # of a value without a fixed width
LEAST_DRAWN = 1000  # training.selection: rows of a class that a pilot has at least; a test compares


class Shape(NamedTuple):
    """What the memory and time of a rule of a batch depend on.

    Attributes
    ----------
    rows
        Rows of the batch.
    n_dense, n_counts
        Features of each kind.
    n_wide
        Dense features that may take more values than a whole number of one byte.
    n_frequent
        Counts that are not zero in at least `FREQUENT` of the rows.
    counts_per_row
        Mean number of non-zero counts in a row.
    n_classes, n_splits, max_bin, max_depth, explain_rows
        From the config.
    n_estimators
        Most trees of a booster.
    select
        How boosters pick their features; None: they take all.
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
    n_estimators: int
    select: Selection | None = None

    @property
    def stored(self) -> float:
        """Cells of a row that are stored."""
        return self.n_dense + self.counts_per_row

    @property
    def _most(self) -> int | None:
        """Most features of a booster; None: all of them."""
        return None if self.select is None else self.select.most(self.rows)

    @property
    def piloted(self) -> "Shape | None":
        """What pilots are boosted on, or None where no features are picked."""
        select, most = self.select, self._most
        if select is None or most is None or self.n_dense + self.n_counts <= most:
            return None
        drawn = min(select.share * self.rows, select.max_rows) + LEAST_DRAWN * self.n_classes
        return self._replace(rows=min(math.ceil(drawn), self.rows), select=None)

    @property
    def boosted(self) -> "Shape":
        """The same rows with as many features as a booster takes at most, dense ones first."""
        most = self._most
        if most is None or self.piloted is None:
            return self
        n_dense = min(self.n_dense, most)
        n_counts = most - n_dense
        # With counts among the features, absent cells may be among those that are picked.
        return self._replace(
            n_dense=n_dense,
            n_wide=min(self.n_wide, n_dense),
            n_counts=max(n_counts, 1) if self.n_counts else 0,
            n_frequent=min(self.n_frequent, n_counts),
            counts_per_row=min(self.counts_per_row, n_counts),
            select=None,
        )


class Whole(NamedTuple):
    """What the memory and time of a rule about all batches depend on.

    Attributes
    ----------
    shape
        The shape of a batch with all training rows.
    largest
        Rows of the largest batch.
    n_members
        Number of batches.
    test_rows
        Rows of the test groups.
    scored
        Training rows that all members score.
    kept_folds
        Models of folds that the delivered model may keep.
    """

    shape: Shape
    largest: int
    n_members: int
    test_rows: int
    scored: int
    kept_folds: int = 0


class DataSet(NamedTuple):
    """What the memory of a rule about the data set depends on; see `data_size`.

    Attributes
    ----------
    rows, columns
        Size of the data set, with columns of any role.
    row_bytes
        Bytes of a row in memory.
    row_group_bytes
        Bytes of the largest row group, encoded but not compressed.
    footer_bytes
        Bytes of the largest footer of a shard.
    groups
        Number of groups. The analysis counts them and does not need this number.
    screened
        Most rows that are screened.
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


class GenomeSize(NamedTuple):
    """What the memory of a rule about the genome depends on.

    Attributes
    ----------
    annotation_mb
        MB that reading the gene models takes; see `annotation_mb`.
    junctions_mb
        MB that reading and holding junctions takes; see `junctions_mb`.
    """

    annotation_mb: int
    junctions_mb: int = 0


class TextSize(NamedTuple):
    """What the memory of the rule about a table of text depends on; see `text_size`.

    Attributes
    ----------
    columns
        Most columns of a file.
    text_mb
        MB of text in the largest file.
    """

    columns: int
    text_mb: float


def data_size(shards: Sequence[str | Path]) -> DataSet:
    """Measure a data set by the footers of its shards. Opens one shard at a time, reads no rows."""
    rows = largest = footer = 0
    for path in shards:
        with open_shard(path) as file:
            metadata, schema = file.metadata, file.schema_arrow
        rows += metadata.num_rows
        footer = max(footer, metadata.serialized_size)
        groups = (metadata.row_group(number) for number in range(metadata.num_row_groups))
        largest = max([largest, *(group.total_byte_size for group in groups)])
    row_bytes = sum(_width(kind) for kind in schema.types)
    return DataSet(rows, len(schema), row_bytes, largest, footer)


def text_size(paths: Iterable[str | Path]) -> TextSize:
    """Measure a table of text by the lines of names and the sizes of its files.

    A file that cannot be read counts nothing: the job says what is wrong with it. Gzip makes text
    about 10 times smaller.
    """
    columns, text_mb = 0, 0.0
    for path in paths:
        with suppress(InputError):
            columns = max(columns, len(text_columns(path)))
            text_mb = max(text_mb, _text_mb(path, 10))
    return TextSize(columns, text_mb)


def groups_of(genes: str | Path) -> int:
    """Number of groups of a per-group table, from its footer."""
    with open_shard(genes) as file:
        return file.metadata.num_rows


def annotation_mb(path: str | Path) -> int:
    """MB that reading gene models reserves, by the size of their file; 0 if there is no file.

    Measured on 1.65 GB of GTF and of GFF3 with 1.7 million exons (plain text): 0.8 and 1.2 GB
    resident. The estimate covers what is reserved: 1.6 to 2.2 MB for each MB of text. Gzip
    makes such a file about 25 times smaller.
    """
    return math.ceil(_text_mb(path, 25) * 2.2)


def junctions_mb(path: str | Path) -> int:
    """MB that reading splice junctions reserves, by the size of their file; 0 if there is no file.

    Measured on SJ.out.tab of 0.3, 1 and 3 million junctions (12, 39 and 117 MB of text): 0.18, 0.47
    and 1.18 GB resident. The estimate covers what is reserved. Gzip makes such a file about 6
    times smaller.
    """
    return math.ceil(_text_mb(path, 6) * 20)


def _text_mb(path: str | Path, packing: int) -> float:
    """MB of text in a file that gzip makes so many times smaller; 0 if there is no file."""
    path = Path(path)
    if not path.is_file():
        return 0
    with path.open("rb") as stream:
        packed = stream.read(2) == GZIP
    return path.stat().st_size / MB * (packing if packed else 1)


def _width(kind: pa.DataType) -> int:
    try:
        return -(-kind.bit_width // 8)
    except ValueError:
        return TEXT_BYTES
