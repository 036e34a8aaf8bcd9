"""Streams the rows of a score table, Parquet or text, and checks them against the genes."""

import math
from bisect import bisect_left
from collections.abc import Iterator, Sequence
from itertools import accumulate
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq

from genebatch.genome.genes import SITES, Gene
from genebatch.genome.scores.checks import SUM_TOLERANCE
from genebatch.io.columns import check_needed
from genebatch.io.data_files import files_to_read, is_parquet
from genebatch.io.files import InputError
from genebatch.io.numbers import CLIPPED, digits
from genebatch.io.tables import open_shard, record_batches
from genebatch.io.text import read_columns

COLUMNS = ("gene_id", "position", *SITES)
WANTED = "scores as Parquet, TSV or CSV with gene_id, position, donor, acceptor"
BATCH_ROWS = 1 << 16  # 6 MB, including the intermediate columns of the checks


class ParquetRows:
    """The rows of Parquet shards; `row` counts from 0 over all of them.

    Attributes
    ----------
    paths : list of Path
        The shards.
    rows : int
        Rows of all shards.
    largest_group : int
        Rows of the largest row group; no less than a row group can be read.
    """

    def __init__(self, paths: Sequence[Path], key: str):
        self.paths = list(paths)
        footers = [_footer(path, key) for path in self.paths]
        self._ends = list(accumulate(footer.num_rows for footer in footers))
        self.rows = self._ends[-1]
        groups = ((footer, group) for footer in footers for group in range(footer.num_row_groups))
        self.largest_group = max((f.row_group(group).num_rows for f, group in groups), default=0)

    def frames(self) -> Iterator[pl.DataFrame]:
        """Yield row, gene_id (text), position (int64), donor and acceptor (float32)."""
        row = 0
        for path in self.paths:
            for batch in record_batches(path, COLUMNS, batch_rows=BATCH_ROWS):
                frame = pl.from_arrow(batch)
                yield frame.select(
                    pl.int_range(row, row + frame.height, dtype=pl.Int64).alias("row"),
                    pl.col("gene_id").cast(pl.String),
                    # No gene is that long; larger numbers of 64 bits without sign have no cast.
                    pl.col("position").clip(upper_bound=_largest(frame)).cast(pl.Int64),
                    pl.col(*SITES).cast(pl.Float32),
                )
                row += frame.height

    def where(self, row: int) -> str:
        """File and number of a row, for messages."""
        shard = int(np.searchsorted(self._ends, row, side="right"))
        before = self._ends[shard - 1] if shard else 0
        return f"{self.paths[shard]}, row {row - before:,} (from 0)"


class TextRows:
    """The rows of TSV or CSV files; `row` is the number of the line, counted on from file to file.

    Attributes
    ----------
    paths : list of Path
        The files.
    """

    def __init__(self, paths: Sequence[Path], key: str):
        self.paths, self._key = list(paths), key
        self._before: list[int] = []  # lines before each file that was begun

    def frames(self) -> Iterator[pl.DataFrame]:
        """Yield row, gene_id (text), position (int64), donor and acceptor (float32)."""
        self._before, row = [], 0
        for path in self.paths:
            self._before.append(row)
            for frame in self._frames(path, self._before[-1]):
                row = max(row, frame["row"][-1])
                yield frame

    def _frames(self, path: Path, before: int) -> Iterator[pl.DataFrame]:
        kinds = {"position": pl.Int64} | dict.fromkeys(SITES, pl.Float32)
        for text in filter(len, read_columns(path, COLUMNS, WANTED, self._key)):
            text = text.with_columns(pl.col("line").cast(pl.Int64) + before)
            frame = text.select(
                pl.col("line").alias("row"),
                "gene_id",
                *(pl.col(name).cast(kind, strict=False) for name, kind in kinds.items()),
            )
            for name, kind in kinds.items():
                wrong = text.filter(frame[name].is_null())
                if wrong.height:
                    line, value = wrong.select("line", name).row(0)
                    number = "whole number" if kind == pl.Int64 else "number"
                    raise InputError(
                        f"{self.where(line)}: {name} {value!r} is not a {number}; wanted {WANTED}"
                    )
            yield frame

    def where(self, row: int) -> str:
        """File and line of a row, for messages."""
        file = bisect_left(self._before, row) - 1
        return f"{self.paths[file]}, line {row - self._before[file]:,}"


class CheckedRows:
    """The checked rows of the wanted genes in a score table.

    Attributes
    ----------
    source : ParquetRows or TextRows
        The table.
    genes : Sequence of Gene
        The genes; the index of a gene is the code of its rows.
    ignored : set of str
        Ids of other genes, collected while streaming.
    """

    def __init__(self, source: ParquetRows | TextRows, genes: Sequence[Gene]):
        self.source, self.genes = source, genes
        self.ignored: set[str] = set()

    def frames(self) -> Iterator[pl.DataFrame]:
        """Yield row, code, position (int32), donor, acceptor; holds one piece of the table.

        Raises
        ------
        InputError
            Naming the first row with an empty value, a position outside of its gene, a score
            outside of 0 to 1 by more than rounding, or two scores that sum to more than 1.
        """
        wanted = pl.DataFrame(
            {
                "gene_id": [gene.id for gene in self.genes],
                "code": np.arange(len(self.genes), dtype=np.int32),
                "length": [gene.length for gene in self.genes],
            },
            schema_overrides={"gene_id": pl.String, "length": pl.Int64},
        )
        for frame in self.source.frames():
            self._refuse_empty(frame)
            rows = frame.join(wanted, on="gene_id", how="left", maintain_order="left")
            other = rows["code"].is_null()
            self.ignored.update(rows["gene_id"].filter(other).unique())
            rows = rows.filter(~other)
            self._refuse_wrong(rows)
            scores = pl.col(*SITES).clip(0, 1)
            yield rows.select("row", "code", pl.col("position").cast(pl.Int32), scores)

    def _refuse_empty(self, frame: pl.DataFrame) -> None:
        empty = frame.filter(pl.any_horizontal(pl.all().is_null()) | (pl.col("gene_id") == ""))
        if empty.height:
            entry = empty.row(0, named=True)
            names = ", ".join(name for name in COLUMNS if entry[name] in (None, ""))
            raise InputError(f"{self.source.where(entry['row'])}: {names} is empty; wanted a value")

    def _refuse_wrong(self, rows: pl.DataFrame) -> None:
        inside = pl.col("position").is_between(0, pl.col("length") - 1)
        # polars sorts NaN above every number, so NaN is refused too.
        probable = pl.all_horizontal(pl.col(*SITES).is_between(-CLIPPED, 1 + CLIPPED))
        wrong = rows.filter(~(inside & probable & (pl.sum_horizontal(*SITES) <= 1 + SUM_TOLERANCE)))
        if wrong.height:
            entry = wrong.row(0, named=True)
            raise InputError(f"{self.source.where(entry['row'])}: {_fault(entry)}")


def open_rows(source: str | Path, key: str) -> ParquetRows | TextRows:
    """Open a score table (file, folder or glob): Parquet or text, told apart by content."""
    paths = files_to_read(source, key)
    of_text = not any(map(is_parquet, paths))
    return TextRows(paths, key) if of_text else ParquetRows(paths, key)


def _fault(entry: dict[str, Any]) -> str:
    """Say what is wrong with an entry."""
    gene, length = entry["gene_id"], entry["length"]
    if not 0 <= entry["position"] < length:
        return (
            f"position {entry['position']:,} of gene {gene!r}, which has {length:,} nt in the gene "
            f"models; wanted 0 to {length - 1:,}, counted from 0 in transcript orientation, and "
            "the gene models that the scores were made with"
        )
    for name in SITES:
        if math.isnan(entry[name]):
            return (
                f"{name} of gene {gene!r} is NaN; wanted a probability, 0 to 1: write 0, or leave "
                "out the rows of positions without scores"
            )
        if not -CLIPPED <= entry[name] <= 1 + CLIPPED:
            score = digits(np.float32(entry[name]))
            return f"{name} {score} of gene {gene!r}; wanted a probability, 0 to 1"
    total = digits(np.float32(entry["donor"] + entry["acceptor"]))
    return f"donor and acceptor of gene {gene!r} sum to {total}; wanted a sum of at most 1"


def _largest(frame: pl.DataFrame) -> int | None:
    """The largest position that is kept as it is; None if all have a cast."""
    return 2**62 if frame.schema["position"] == pl.UInt64 else None


def _is_id(kind: pa.DataType) -> bool:
    """Tell whether a column can hold gene ids: text of any kind, or whole numbers."""
    if pa.types.is_dictionary(kind):
        kind = kind.value_type
    text = (pa.types.is_string, pa.types.is_large_string, pa.types.is_string_view)
    return pa.types.is_integer(kind) or any(test(kind) for test in text)


def _footer(path: Path, key: str) -> pq.FileMetaData:
    """Metadata of a shard; refuses missing columns and columns of another type."""
    with open_shard(path) as file:
        schema, metadata = file.schema_arrow, file.metadata
    try:
        check_needed(COLUMNS, schema.names)
    except InputError as error:
        raise InputError(f"{path}: {error}; wanted {WANTED}; set {key}") from error
    tests = {"gene_id": _is_id, "position": pa.types.is_integer}
    tests |= dict.fromkeys(SITES, pa.types.is_floating)
    wanted = {"gene_id": "text or whole numbers", "position": "whole numbers"}
    for name, test in tests.items():
        if not test(schema.field(name).type):
            kind = wanted.get(name, "floating-point numbers")
            raise InputError(
                f"{path}: column {name!r} is {schema.field(name).type}; wanted {kind}; set {key}"
            )
    return metadata
