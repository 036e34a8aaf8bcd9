"""Reads tables that a program holds: polars, pandas, Arrow, and what can be made one of them."""

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
import polars as pl
import pyarrow as pa
from polars import selectors

from genebatch.io.columns import check_needed
from genebatch.io.files import InputError, first_names

TAKEN = "give a polars, pandas or Arrow table, or a path"
# What libraries raise for values that do not fit into one column.
MISFITS = (pa.ArrowException, pl.exceptions.PolarsError, OSError, TypeError, ValueError)
MISFITS += (OverflowError,)


def given_frames(table: Any, columns: Sequence[str]) -> Iterator[pl.DataFrame]:
    """Give some columns of a table in memory, in frames.

    Parameters
    ----------
    table
        polars DataFrame or LazyFrame, pandas DataFrame, Arrow table, record batch, reader or
        dataset, a numpy array with named fields, a dictionary of columns, a list of dictionaries,
        or any object that gives an Arrow stream (`__arrow_c_stream__`).
    columns
        Columns that must be there, each once.

    Raises
    ------
    InputError
        Naming the columns that are missing, repeated or cannot be read, or if it is no table.
    """
    module = type(table).__module__.partition(".")[0]
    if isinstance(table, pl.LazyFrame):
        yield _polars(_lazy(table, columns), columns)
    elif isinstance(table, pl.DataFrame):
        yield _polars(table, columns)
    elif module == "pandas" and hasattr(table, "columns"):
        yield _pandas(table, columns)
    elif isinstance(table, pa.Table):
        yield _arrow(table, columns)
    elif isinstance(table, pa.RecordBatch):
        yield _arrow(pa.Table.from_batches([table]), columns)
    elif isinstance(table, pa.RecordBatchReader):
        yield from _batches(table, table.schema, columns)
    elif module == "pyarrow" and hasattr(table, "to_batches"):
        names = [name for name in columns if name in table.schema.names]
        yield from _batches(table.to_batches(columns=names), table.schema, columns)
    elif hasattr(table, "__arrow_c_stream__") and not isinstance(table, pl.Series):
        reader = _tried(lambda: pa.RecordBatchReader.from_stream(table), _no_table(table))
        yield from _batches(reader, reader.schema, columns)
    else:
        yield _polars(_made(table), columns)


def read_whole(table: Any) -> Any:
    """Make a table of what has columns with names, as `given_frames` takes it, and is none yet.

    Tables of polars, pandas and Arrow come back as they are, and so does what has no names.

    Raises
    ------
    InputError
        If an Arrow stream is no table, or cannot be read.
    """
    module = type(table).__module__.partition(".")[0]
    fault = f"the {type(table).__name__} cannot be read"
    if isinstance(table, pl.LazyFrame):
        return _tried(table.collect, fault)
    if isinstance(table, pa.RecordBatch):
        return pa.Table.from_batches([table])
    if isinstance(table, pa.RecordBatchReader):
        return _tried(table.read_all, fault)
    if module == "pyarrow" and hasattr(table, "to_table"):  # a dataset
        return _tried(table.to_table, fault)
    if hasattr(table, "__arrow_c_stream__") and module not in ("polars", "pandas", "pyarrow"):
        reader = _tried(lambda: pa.RecordBatchReader.from_stream(table), _no_table(table))
        return _tried(reader.read_all, fault)
    return _made(table) if _has_names(table) else table


def named_columns(array: np.ndarray, columns: Sequence[str]) -> pl.DataFrame:
    """Name the columns of an array that has as many, (rows, columns).

    Raises
    ------
    InputError
        If it has another shape, or holds no numbers.
    """
    if array.ndim != 2 or array.shape[1] != len(columns):
        raise InputError(
            f"the array has shape {array.shape}; wanted (rows, {len(columns):,}), the columns of "
            f"model.columns_in_ in their order ({first_names(columns)}). {TAKEN[0].upper()}"
            f"{TAKEN[1:]} to have columns taken by name"
        )
    if array.dtype == object or not np.issubdtype(array.dtype, np.number):
        raise InputError(f"the array holds {array.dtype}; wanted numbers")
    return pl.DataFrame({name: array[:, n] for n, name in enumerate(columns)})


def _polars(frame: pl.DataFrame, columns: Sequence[str]) -> pl.DataFrame:
    check_needed(columns, frame.columns)
    return pl.DataFrame({name: frame.get_column(name) for name in columns})


def _lazy(frame: pl.LazyFrame, columns: Sequence[str]) -> pl.DataFrame:
    """Collect the columns of a plan, which is optimised for them."""
    names = _tried(lambda: frame.collect_schema().names(), "the LazyFrame cannot be collected")
    check_needed(columns, names)
    wanted = frame.select(selectors.by_name(*columns))
    return _tried(wanted.collect, "the LazyFrame cannot be collected")


def _arrow(table: pa.Table, columns: Sequence[str]) -> pl.DataFrame:
    check_needed(columns, table.column_names)
    return pl.DataFrame({name: arrow_column(name, table.column(name)) for name in columns})


def arrow_column(name: str, values: pa.ChunkedArray) -> pl.Series:
    """A column of Arrow as one of polars.

    Raises
    ------
    InputError
        Naming the column and its type, if polars has no such type or it holds several values a row.
    """
    fault = f"column '{name}' is {values.type}, which cannot be read; convert it to numbers or text"
    if pa.types.is_nested(values.type):
        raise InputError(fault)
    if pa.types.is_decimal(values.type):  # polars has none of 256 bits
        values = values.cast(pa.float64())
    return _tried(lambda: pl.from_arrow(values), fault).rename(name)


def _batches(batches: Any, schema: pa.Schema, columns: Sequence[str]) -> Iterator[pl.DataFrame]:
    check_needed(columns, schema.names)
    try:
        for batch in batches:
            yield _arrow(pa.Table.from_batches([batch]), columns)
    except (pa.ArrowException, OSError) as error:
        raise InputError(f"the table cannot be read: {error}") from error


def _pandas(frame: Any, columns: Sequence[str]) -> pl.DataFrame:
    """Columns of a pandas frame; its names may be numbers, as those of a file are text."""
    if frame.columns.nlevels > 1:
        raise InputError(
            "the columns of the pandas table have names of several levels; join them: "
            "`table.columns = ['_'.join(map(str, name)) for name in table.columns]`"
        )
    names = [str(name) for name in frame.columns]
    check_needed(columns, names)
    places = {name: place for place, name in enumerate(names)}
    return pl.DataFrame({name: _series(name, frame.iloc[:, places[name]]) for name in columns})


def _series(name: str, values: Any) -> pl.Series:
    """A column of a pandas frame; sparse ones are filled in, categories are their values."""
    if hasattr(values, "sparse"):
        values = values.sparse.to_dense()
    elif hasattr(values, "cat"):  # whole numbers have no missing value in pandas
        missing = bool(values.isna().any())
        values = values.astype(object if missing else values.cat.categories.dtype)
    fault = f"column '{name}' of the pandas table is {values.dtype}, which cannot be read; "
    fault += f"convert it: `table['{name}'] = table['{name}'].astype('float64')`"
    if values.dtype == object:
        kinds = {type(value).__name__ for value in values.head(10_000)}
        fault = f"column '{name}' of the pandas table holds {' and '.join(sorted(kinds))}; "
        fault += f"convert it: `table['{name}'] = pandas.to_numeric(table['{name}'], "
        fault += "errors='coerce')`, which makes missing what is no number"
    return _tried(lambda: pl.Series(name, pa.Array.from_pandas(values)), fault)


def _made(table: Any) -> pl.DataFrame:
    """A frame of a dictionary of columns, a list of dictionaries, or an array with fields."""
    if not _has_names(table):
        raise InputError(_no_table(table))
    fault = f"the {type(table).__name__} cannot be made a table"
    return _tried(lambda: pl.DataFrame(table, infer_schema_length=None), fault)


def _has_names(table: Any) -> bool:
    """Whether it is a dictionary, a list of dictionaries or an array with fields."""
    if isinstance(table, dict):
        return not hasattr(table, "shape")  # a sparse array of SciPy is a dictionary, too
    fields = getattr(getattr(table, "dtype", None), "names", None)
    rows = isinstance(table, list) and table and all(isinstance(row, dict) for row in table)
    return bool(fields or rows)


def _no_table(table: Any) -> str:
    text = f"a {type(table).__name__} has no column names; {TAKEN}"
    if isinstance(table, np.ndarray):
        text += ": `polars.DataFrame(array, schema=names)`"
    elif hasattr(table, "to_frame"):
        text += ": `series.to_frame()`"
    return text


def _tried(make: Callable[[], Any], fault: str) -> Any:
    """Call a function; what libraries raise for wrong values becomes an `InputError`."""
    try:
        return make()
    except MISFITS as error:
        fact = str(error).partition("\n")[0]
        raise InputError(f"{fault} ({fact})") from error
