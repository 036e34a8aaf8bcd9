"""Reads tables of any kind: finds their shards, tells their columns, streams their rows."""

import difflib
import hashlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq

from genebatch.io.data_files import find_shards, folder_columns
from genebatch.io.files import InputError, digest, whole

# Rows of a record batch: 8,192 x 1,167 columns is 13 MB of counts and scores, 76 MB as float64.
BATCH_ROWS = 8192
# The types of the columns of a CSV file are inferred from so many rows.
TYPED_ROWS = 10_000
FOOTER_BYTES = 64 << 10


def open_shard(path: str | Path, metadata: pq.FileMetaData | None = None) -> pq.ParquetFile:
    """Open a Parquet file, or say which file is broken; its footer is read if not given."""
    try:
        # With pre_buffer all requested row groups would be held at once.
        return pq.ParquetFile(path, metadata=metadata, pre_buffer=False)
    except (pa.ArrowException, OSError) as error:
        raise InputError(f"{path} is not a readable Parquet file (truncated?): {error}") from error


def fingerprint(paths: Sequence[str | Path]) -> str:
    """Digest of the names, sizes and last 64 KiB of some files.

    A Parquet file ends in its footer, which holds offsets, sizes and statistics of every column
    chunk, so a changed shard is noticed without reading it, and a touched one is not a change.
    """
    parts = []
    for path in map(Path, paths):
        size = path.stat().st_size
        with path.open("rb") as stream:
            stream.seek(max(size - FOOTER_BYTES, 0))
            parts.append([path.name, size, hashlib.sha256(stream.read()).hexdigest()])
    return digest(parts)


def record_batches(
    path: str | Path,
    columns: Sequence[str] | None = None,
    row_groups: Sequence[int] | None = None,
    batch_rows: int | None = None,
    metadata: pq.FileMetaData | None = None,
) -> Iterator[pa.RecordBatch]:
    """Stream a Parquet file in record batches of at most `batch_rows` rows, or `BATCH_ROWS`.

    Without `columns` or `row_groups` all of them are read. Holds one record batch. A caller that
    reads one row group after the other gives the footer as `metadata`, so that it is read once.

    Raises
    ------
    InputError
        If the file is broken or lacks one of the columns.
    """
    with open_shard(path, metadata) as file:
        if columns is not None:
            try:
                check_lacking(columns, file.schema_arrow.names)
            except InputError as error:
                raise InputError(f"{path}: {error}") from error
            columns = list(columns)
        try:
            for batch in file.iter_batches(
                batch_rows or BATCH_ROWS,
                row_groups=row_groups,
                columns=columns,
                use_threads=False,
            ):
                yield batch if columns is None else _exactly(batch, columns)
        except (pa.ArrowInvalid, OSError) as error:
            raise InputError(f"{path} cannot be read (truncated?): {error}") from error


@contextmanager
def parquet_rows(path: str | Path) -> Iterator[Callable[[pl.DataFrame], None]]:
    """Give a function that appends frames to a Parquet file, which is whole when the block ends.

    The first frame fixes the columns. A block that writes no frame leaves no file.
    """
    with whole(path) as temporary, ExitStack() as closing:
        writers: list[pq.ParquetWriter] = []

        def write(frame: pl.DataFrame) -> None:
            table = frame.to_arrow()
            if not writers:
                writers.append(closing.enter_context(pq.ParquetWriter(temporary, table.schema)))
            writers[0].write_table(table.cast(writers[0].schema))

        yield write
        if not writers:
            raise InputError(f"there are no rows to write into {path}")


def read_table(table: Any, columns: Sequence[str]) -> Iterator[pl.DataFrame]:
    """Stream some columns of any table in pieces of at most `BATCH_ROWS` rows.

    Parameters
    ----------
    table
        polars or pandas frame, Arrow table, or a path: a Parquet or CSV file (by its ending), a
        folder or a glob of Parquet shards. Of a path one record batch is held.
    columns
        Columns that must be there.

    Raises
    ------
    InputError
        Naming the missing columns, or if `table` is nothing of the above.
    """
    if isinstance(table, str | Path):
        yield from _read_path(table, columns)
        return
    if not isinstance(table, pl.DataFrame):
        given = list(getattr(table, "column_names", getattr(table, "columns", ())))
        if not given or not isinstance(given[0], str):
            raise InputError(
                f"a {type(table).__name__} has no column names; give a polars, pandas or Arrow "
                "table, or a path"
            )
        check_lacking(columns, given)
        if isinstance(table, pa.Table):
            table = pl.from_arrow(table.select(list(columns)))
        else:
            table = pl.from_pandas(table[list(columns)])
    check_lacking(columns, table.columns)
    yield from table.select(columns).iter_slices(BATCH_ROWS)


def table_columns(table: str | Path) -> list[str]:
    """Column names of a table on disk."""
    if _is_csv(table):
        with _csv_errors(table):
            return _scan_csv(table).collect_schema().names()
    first = find_shards(table)[0]
    names = open_shard(first).schema_arrow.names
    return [*names, *(name for name in folder_columns(table, first) if name not in names)]


def _exactly(batch: pa.RecordBatch, columns: Sequence[str]) -> pa.RecordBatch:
    """The batch without columns that were not asked for: Arrow reads `a.b` for `a` too."""
    if batch.num_columns == len(set(columns)):
        return batch
    wanted = set(columns)
    return batch.select([name for name in batch.schema.names if name in wanted])


def read_tsv(path: str | Path) -> pl.DataFrame:
    """Read a table that this package wrote; a column keeps its type even if it is empty."""
    text = ("group", "batch", "class", "column", "feature", "family", "role", "system")
    text += ("reason", "verdict")
    numbers = ("value", "base", "model", "difference", "mean_abs_shap", "standard_error")
    numbers += ("over_base", "over_single")
    sides = ("base", "model", "difference", "over_base", "over_single")
    ends = (f"{side}_{end}" for side in sides for end in ("low", "high"))
    kinds = dict.fromkeys(text, pl.String) | dict.fromkeys((*numbers, *ends), pl.Float64)
    kinds |= {"weighted": pl.Boolean, "kept": pl.Boolean}
    with open(path, encoding="utf-8") as stream:
        names = next(stream).rstrip("\n").split("\t")
    present = {name: kind for name, kind in kinds.items() if name in names}
    return pl.read_csv(path, separator="\t", schema_overrides=present, infer_schema_length=None)


def check_lacking(wanted: Sequence[str], columns: Sequence[str]) -> None:
    """Raise unless all `wanted` are among `columns`; the message names those that are not."""
    present = set(columns)
    lacking = [name for name in wanted if name not in present]
    if not lacking:
        return
    shown = ", ".join(f"'{name}'" for name in lacking[:8]) + (" ..." if len(lacking) > 8 else "")
    near = difflib.get_close_matches(lacking[0], columns, n=1)
    hint = f"; nearest to '{lacking[0]}' is '{near[0]}'" if near else ""
    raise InputError(f"the table lacks {len(lacking)} of the columns needed: {shown}{hint}")


def _read_path(table: str | Path, columns: Sequence[str]) -> Iterator[pl.DataFrame]:
    if _is_csv(table):
        check_lacking(columns, table_columns(table))
        lazy = _scan_csv(table).select(columns)
        with _csv_errors(table):
            yield from lazy.collect_batches(chunk_size=BATCH_ROWS, maintain_order=True)
        return
    for path in find_shards(table):
        stored = set(open_shard(path).schema_arrow.names)
        given = folder_columns(table, path).items()
        folders = {name: text for name, text in given if name in columns and name not in stored}
        values = [pl.lit(text, pl.String).alias(name) for name, text in folders.items()]
        for batch in record_batches(path, [name for name in columns if name not in folders]):
            yield pl.from_arrow(batch).with_columns(values)


def _is_csv(table: str | Path) -> bool:
    return str(table).endswith((".csv", ".csv.gz"))


def _scan_csv(path: str | Path) -> pl.LazyFrame:
    return pl.scan_csv(path, infer_schema_length=TYPED_ROWS)


@contextmanager
def _csv_errors(path: str | Path) -> Iterator[None]:
    try:
        yield
    except (pl.exceptions.PolarsError, OSError) as error:
        fact = str(error).partition("\n")[0]
        raise InputError(
            f"{path} cannot be read as CSV: {fact}; types are those of the first {TYPED_ROWS:,} "
            "rows, Parquet has no such limit"
        ) from error
