"""Reads tables of any kind: finds their shards, tells their columns, streams their rows."""

import fnmatch
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from os import PathLike
from pathlib import Path
from typing import Any

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq

from genebatch.io.columns import check_lacking, check_needed
from genebatch.io.data_files import files_to_read, find_shards, folder_columns
from genebatch.io.files import InputError, whole
from genebatch.io.given_tables import arrow_column, given_frames
from genebatch.io.text_tables import ENDINGS, is_text, text_columns, text_frames, text_kinds

# Rows of a record batch: 8,192 x 1,167 columns is 13 MB of counts and scores, 76 MB as float64.
BATCH_ROWS = 8192
# Columns of numbers, and of true and false, in the tables that this package writes.
NUMBERS = (
    # the plan and the screen
    *("groups", "lent", "folds", "rows", "rows_*", "weight_share", "complexity", "batches"),
    *("mem_mb_*", "thread_mb", "minutes_*", "seconds_*", "auc_*"),
    # boosters
    *("fold", "test_groups", "test_rows", "test_positives", "train_rows", "n_features", "n_trees"),
    *("features", "total_gain", "gain_share", "mean_abs_shap", "log_loss_rise", "standard_error"),
    # judgement
    *("value", "base", "model", "difference", "over_base", "over_single", "*_low", "*_high"),
    *("mix", "members", "trees", "*log_loss", "threshold", "precision", "recall", "f1", "called"),
    *("n", "n_weight", "corrected", "corrected_weight", "made", "made_weight"),
    # complete tracks
    *("base_threshold", "model_threshold", "positions", "left_out", "*_left_out", "*_called"),
    *("*_recall", "base_missed", "model_missed", "base_false", "model_false", "missed_*"),
    *("false_*", "low", "rescored", "share", "average_precision", "average_precision_*"),
    *("change_*", "largest_change"),
    # evidence, and scores around sites
    *("count", "of", "reads", "offset", "sites", "scored", "absent", "other_sites", "peaks"),
    *("peak_share", "q05", "q25", "median", "q75", "q95"),
    # ranks
    *("rank", "gain", "*ambiguity", "ambiguity_*", "disagreement", "errors", "base_errors"),
    "weighted_*",
)
NUMBER = re.compile("|".join(map(fnmatch.translate, NUMBERS)))
TRUTHS = ("weighted", "kept", "chosen", "in_use")


def open_shard(path: str | Path, metadata: pq.FileMetaData | None = None) -> pq.ParquetFile:
    """Open a Parquet file, or say which file is broken; its footer is read if not given."""
    try:
        # With pre_buffer all requested row groups would be held at once.
        return pq.ParquetFile(path, metadata=metadata, pre_buffer=False)
    except (pa.ArrowException, OSError, ValueError) as error:  # a name may be no UTF-8
        raise InputError(f"{path} is not a readable Parquet file (truncated?): {error}") from error


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
        _check_metadata(file.schema_arrow, path)
        try:
            for batch in file.iter_batches(
                batch_rows or BATCH_ROWS,
                row_groups=row_groups,
                columns=columns,
                use_threads=False,
            ):
                _check_text(batch)
                yield batch if columns is None else _exactly(batch, columns)
        except (pa.ArrowException, OSError) as error:
            raise InputError(f"{path} cannot be read (truncated?): {error}") from error


def _check_metadata(schema: pa.Schema, path: str | Path) -> None:
    """Refuse a file whose metadata are no text: polars would crash on them."""
    for part in (schema.metadata, *(field.metadata for field in schema)):
        for key, value in (part or {}).items():
            try:
                key.decode(), value.decode()
            except UnicodeDecodeError as error:
                raise InputError(
                    f"{path} cannot be read (damaged?): its metadata are no UTF-8 text ({error})"
                ) from error


@contextmanager
def parquet_rows(
    path: str | Path, metadata: Mapping[str, str] | None = None
) -> Iterator[Callable[[pl.DataFrame], None]]:
    """Give a function that appends frames to a Parquet file, which is whole when the block ends.

    The first frame fixes the columns. A block that writes no frame leaves no file. The file carries
    `metadata`.
    """
    with whole(path) as temporary, ExitStack() as closing:
        writers: list[pq.ParquetWriter] = []

        def write(frame: pl.DataFrame) -> None:
            table = frame.to_arrow()
            if not writers:
                schema = table.schema.with_metadata(metadata)
                writers.append(closing.enter_context(pq.ParquetWriter(temporary, schema)))
            writers[0].write_table(table.cast(writers[0].schema))

        yield write
        if not writers:
            raise InputError(f"there are no rows to write into {path}")


@contextmanager
def text_rows(path: str | Path, separator: str) -> Iterator[Callable[[pl.DataFrame], None]]:
    """Give a function that appends frames to a file of text, which is whole when the block ends.

    Its first line has the names; a missing value is empty.
    """
    with whole(path) as temporary, temporary.open("wb") as stream:

        def write(frame: pl.DataFrame) -> None:
            frame.write_csv(stream, separator=separator, include_header=not stream.tell())

        yield write


def read_table(
    table: Any, columns: Sequence[str], identity: Mapping[str, str] | None = None
) -> Iterator[pl.DataFrame]:
    """Stream some columns of any table in pieces of at most `BATCH_ROWS` rows.

    Parameters
    ----------
    table
        What `given_tables.given_frames` takes, or a path: a Parquet file, a table of text (by its
        ending), a folder or a glob of such files. Of a path one record batch is held.
    columns
        Columns that must be there, each once. Those of a table of text are numbers.
    identity
        Those of `columns` that name rows, and what they were in training; see
        `text_tables.text_frames`. They have one type in all files of a path.

    Raises
    ------
    InputError
        Naming the missing or repeated columns, or if `table` is nothing of the above.
    """
    if isinstance(table, str | PathLike):
        frames = _read_path(Path(table), columns, identity or {})
    else:
        frames = given_frames(table, columns)
    for frame in frames:
        yield from frame.iter_slices(BATCH_ROWS)


def table_columns(table: str | Path) -> list[str]:
    """Column names of a table on disk."""
    first = find_shards(table)[0]
    names = text_columns(first) if is_text(first) else _open_stored(first).schema_arrow.names
    return [*names, *(name for name in folder_columns(table, first) if name not in names)]


def _check_text(batch: pa.RecordBatch) -> None:
    """Raise `ArrowInvalid` if text is damaged: polars would crash on it."""
    for column in batch.columns:
        if not pa.types.is_primitive(column.type):
            column.validate(full=True)


def _exactly(batch: pa.RecordBatch, columns: Sequence[str]) -> pa.RecordBatch:
    """The batch without columns that were not asked for: Arrow reads `a.b` for `a` too."""
    if batch.num_columns == len(set(columns)):
        return batch
    wanted = set(columns)
    return batch.select([name for name in batch.schema.names if name in wanted])


def read_tsv(path: str | Path) -> pl.DataFrame:
    """Read a table that this package wrote; a column keeps its type even if it is empty.

    A column is text unless it is named below: keys, groups, genes and classes may look like
    numbers.
    """
    table = pl.read_csv(path, separator="\t", infer_schema=False, glob=False)
    return table.with_columns(
        *(_numbers(table[name]) for name in table.columns if NUMBER.fullmatch(name)),
        *(table[name] == "true" for name in TRUTHS if name in table.columns),
    )


def _numbers(column: pl.Series) -> pl.Series:
    """Text as whole numbers, if it is that, or as numbers."""
    whole = column.cast(pl.Int64, strict=False)
    known = column.null_count() < len(column) and whole.null_count() == column.null_count()
    return whole if known else column.cast(pl.Float64)


def _read_path(
    table: Path, columns: Sequence[str], identity: Mapping[str, str]
) -> Iterator[pl.DataFrame]:
    paths = files_to_read(table)
    kinds = identity_kinds(paths, identity)
    for path in paths:
        present = text_columns(path) if is_text(path) else _open_stored(path).schema_arrow.names
        given = folder_columns(table, path).items()
        folders = {name: text for name, text in given if name in columns and name not in present}
        stored = [name for name in columns if name not in folders]
        check_needed(stored, present, str(path))
        casts = {name: kind for name, kind in kinds.items() if name not in folders}
        values = [pl.lit(text, pl.String).alias(name) for name, text in folders.items()]
        frames = text_frames(path, stored, casts) if is_text(path) else _frames(path, stored)
        for frame in frames:
            yield frame.cast(casts).with_columns(values)[list(columns)]


def _frames(path: Path, columns: Sequence[str]) -> Iterator[pl.DataFrame]:
    """Columns of a Parquet file as polars has them."""
    for batch in record_batches(path, columns):
        try:
            yield from given_frames(batch, columns)
        except InputError as error:
            raise InputError(f"{path}: {error}") from error


def _open_stored(path: Path) -> pq.ParquetFile:
    """Open a file that is not named as a table of text."""
    with path.open("rb") as stream:
        if stream.read(4) != b"PAR1":
            raise InputError(
                f"{path} is no Parquet file; a table of text is known by its ending: "
                f"{', '.join(ENDINGS)}, also with .gz"
            )
    return open_shard(path)


def identity_kinds(paths: Sequence[Path], identity: Mapping[str, str]) -> dict[str, pl.DataType]:
    """The type of each identity column that holds its values in every file of a table.

    Whole numbers in one file and text in another are text; other types are what the files hold.

    Parameters
    ----------
    paths
        The files.
    identity
        As in `text_tables.text_kinds`.

    Raises
    ------
    InputError
        Naming two files whose types have no common one.
    """
    first: dict[str, dict[pl.DataType, Path]] = {name: {} for name in identity}
    for path in paths:
        kinds = text_kinds(path, identity) if is_text(path) else _stored_kinds(path, identity)
        for name, kind in kinds.items():
            first[name].setdefault(kind, path)
    return {name: _common(name, kinds) for name, kinds in first.items()}


def _stored_kinds(path: Path, names: Iterable[str]) -> dict[str, pl.DataType]:
    """The types of columns of a Parquet file, by its footer; columns that it lacks are left out."""
    schema = _open_stored(path).schema_arrow
    present = [name for name in names if schema.names.count(name) == 1]
    kinds: dict[str, pl.DataType] = {}
    for name in present:
        empty = pa.chunked_array([], schema.field(name).type)
        try:
            kinds[name] = _written(arrow_column(name, empty).dtype)
        except InputError as error:
            raise InputError(f"{path}: {error}") from error
    return kinds


def _written(kind: pl.DataType) -> pl.DataType:
    """The type that a type is written as: categories are text."""
    return pl.String() if isinstance(kind, pl.Categorical | pl.Enum) else kind


def _common(name: str, first: Mapping[pl.DataType, Path]) -> pl.DataType:
    """The type for values of several types, given with a file that holds each."""
    kinds = [kind for kind in first if kind != pl.Null]
    if len(kinds) < 2:
        return kinds[0] if kinds else pl.Null()
    if all(kind.is_signed_integer() for kind in kinds):
        return pl.Int64()
    if all(kind.is_integer() or kind == pl.String for kind in kinds):
        return pl.String()
    one, other = kinds[:2]
    raise InputError(
        f"column '{name}' is {one} in {first[one]} and {other} in {first[other]}; store it as one "
        "type"
    )
