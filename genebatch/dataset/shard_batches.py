"""Streams the rows of a shard with every column in the type that it is meant in."""

from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from genebatch.io.files import InputError
from genebatch.io.tables import record_batches


class Stored(NamedTuple):
    """How a file stores its columns.

    Attributes
    ----------
    path
        The file.
    casts
        Columns to read as another type, with the name of that type.
    folders
        Columns that the folders of the file stand for: their value, or None for null.
    """

    path: str
    casts: Mapping[str, str]
    folders: Mapping[str, str | None]


def stored_batches(
    file: Stored,
    columns: Sequence[str] | None = None,
    row_groups: Sequence[int] | None = None,
    batch_rows: int | None = None,
    metadata: pq.FileMetaData | None = None,
) -> Iterator[pa.RecordBatch]:
    """Stream a file as `record_batches` does, with types as they are meant.

    Raises
    ------
    InputError
        If a value does not fit into the type.
    """
    folders = {n: v for n, v in file.folders.items() if columns is None or n in columns}
    in_file = None if columns is None else [name for name in columns if name not in folders]
    casts = {name: pa.type_for_alias(kind) for name, kind in file.casts.items()}
    for batch in record_batches(file.path, in_file, row_groups, batch_rows, metadata):
        if not casts and not folders:
            yield batch
            continue
        arrays = {
            name: _as(array, casts[name], name, file.path) if name in casts else array
            for name, array in zip(batch.schema.names, batch.columns, strict=True)
        }
        for name, value in folders.items():
            arrays[name] = pa.repeat(pa.scalar(value, pa.string()), batch.num_rows)
        yield pa.RecordBatch.from_arrays(list(arrays.values()), list(arrays))


def _as(array: pa.Array, kind: pa.DataType, name: str, path: str) -> pa.Array:
    if pa.types.is_dictionary(array.type):
        return _as(array.dictionary, kind, name, path).take(array.indices)
    # Of a large whole number in a column of floating-point numbers the last digits are lost.
    rounded = pa.types.is_floating(kind)
    if rounded and pa.types.is_decimal(array.type):
        array = pc.cast(array, pa.string())  # the direct cast is off by a last digit
    try:
        return pc.cast(array, kind, safe=not rounded)
    except pa.ArrowException as error:
        raise InputError(f"{path}: column '{name}' ({array.type}): {error}") from error
