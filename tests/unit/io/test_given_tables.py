"""Tables in memory: taken, or refused with the column and a remedy that works."""

import decimal

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from pyarrow import dataset
from scipy import sparse

from genebatch.io.files import InputError
from genebatch.io.given_tables import given_frames, read_whole

PANDAS = pd.DataFrame({"f0": [1.0, 2.0, 3.0], "f1": [1, 2, 3], "g": ["a", "b", "c"]})
POLARS = pl.from_pandas(PANDAS)
ARROW = POLARS.to_arrow()


def read(table, columns=("f0", "f1")):
    return pl.concat(given_frames(table, columns))


class Stream:
    """A table of another library, which gives an Arrow stream and nothing else."""

    def __arrow_c_stream__(self, requested_schema=None):
        return ARROW.__arrow_c_stream__(requested_schema)


class Numbers:
    """A column of another library."""

    def __arrow_c_stream__(self, requested_schema=None):
        return pa.chunked_array([[1, 2]]).__arrow_c_stream__(requested_schema)


TABLES = {
    "polars": POLARS,
    "LazyFrame": POLARS.lazy(),
    "Arrow table": ARROW,
    "RecordBatch": ARROW.combine_chunks().to_batches()[0],
    "Arrow dataset": dataset.dataset(ARROW),
    "Arrow stream": Stream(),
    "pandas": PANDAS,
    "pandas with an index": PANDAS.set_index("g"),
    "pandas, sparse": PANDAS.assign(f0=pd.arrays.SparseArray(PANDAS.f0)),
    "pandas, categories": PANDAS.assign(f0=pd.Categorical(PANDAS.f0)),
    "pandas, Arrow types": PANDAS.astype({"f0": "double[pyarrow]"}),
    "pandas, nullable types": PANDAS.astype({"f0": "Float64"}),
    "pandas, objects": PANDAS.astype({"f0": object}),
    "pandas, half floats": PANDAS.astype({"f0": "float16"}),
    "pandas, other column twice": pd.concat([PANDAS, PANDAS[["g"]]], axis=1),
    "pandas, other column numbered": PANDAS.rename(columns={"g": 0}),
    "pandas, other column unnamed": PANDAS.rename(columns={"g": None}),
    "dictionary": PANDAS.to_dict("list"),
    "dictionaries": PANDAS.to_dict("records"),
    "array with fields": PANDAS[["f0", "f1"]].to_records(index=False),
    "decimals": PANDAS.assign(f0=[decimal.Decimal(value) for value in (1, 2, 3)]),
}


@pytest.mark.parametrize("kind", TABLES)
@pytest.mark.filterwarnings("error")
def test_every_kind_of_table_is_taken(kind):
    found = read(TABLES[kind]).cast(pl.Float64)
    assert found.to_dict(as_series=False) == {"f0": [1, 2, 3], "f1": [1, 2, 3]}


@pytest.mark.parametrize("kind", TABLES)
def test_every_kind_of_table_is_read_whole(kind):
    """A table of polars, pandas or Arrow is one already."""
    whole = read_whole(TABLES[kind])
    assert isinstance(whole, pl.DataFrame | pd.DataFrame | pa.Table)
    assert read(whole).cast(pl.Float64).rows() == [(1, 1), (2, 2), (3, 3)]


def test_what_has_no_names_is_read_as_it_is():
    array = np.zeros((2, 2))
    assert read_whole(array) is array
    assert isinstance(read_whole(sparse.dok_array((2, 2))), sparse.dok_array)
    with pytest.raises(InputError, match="has no column names"):
        read_whole(Numbers())


def test_a_reader_is_read_in_pieces():
    pieces = list(given_frames(ARROW.to_reader(max_chunksize=2), ["f1"]))
    assert [piece["f1"].to_list() for piece in pieces] == [[1, 2], [3]]


def test_columns_of_pandas_that_are_numbers_are_found_by_their_text():
    assert read(PANDAS.rename(columns={"f0": 0}), ["0", "f1"])["0"].to_list() == [1, 2, 3]


@pytest.mark.parametrize("missing", [None, np.nan, pd.NA])
def test_missing_values_of_pandas_are_missing(missing):
    table = PANDAS.assign(f0=pd.Series([1.0, missing, 3.0], dtype=object))
    assert read(table)["f0"].to_list() == [1, None, 3]


@pytest.mark.parametrize("name", ["*", "^f.*$", "", "a b"])
@pytest.mark.parametrize("kind", ["polars", "LazyFrame", "Arrow table", "pandas"])
def test_names_are_no_patterns(name, kind):
    renamed = POLARS.rename({"f0": name})
    tables = {"polars": renamed, "LazyFrame": renamed.lazy(), "Arrow table": renamed.to_arrow()}
    tables["pandas"] = renamed.to_pandas()
    assert read(tables[kind], [name]).to_dict(as_series=False) == {name: [1, 2, 3]}


TWICE = pa.table([ARROW["f0"], ARROW["f0"], ARROW["f1"]], names=["f0", "f0", "f1"])


@pytest.mark.parametrize(
    "table",
    [
        pd.concat([PANDAS, PANDAS[["f0"]]], axis=1),
        PANDAS.rename(columns={"f0": 0}).assign(**{"0": 1.0}).rename(columns={0: "f0", "0": "f0"}),
        TWICE,
        TWICE.combine_chunks().to_batches()[0],
        TWICE.to_reader(),
    ],
    ids=["pandas", "pandas renamed", "Arrow table", "RecordBatch", "reader"],
)
def test_a_column_that_is_there_twice_is_named(table):
    with pytest.raises(InputError, match="has several columns 'f0'; rename all but one"):
        read(table)


def test_text_among_numbers_is_named_and_the_remedy_works():
    table = PANDAS.assign(f0=["x", 2.0, 3.0])
    with pytest.raises(InputError, match="column 'f0' of the pandas table holds float and str"):
        read(table)
    table["f0"] = pd.to_numeric(table["f0"], errors="coerce")
    assert read(table)["f0"].to_list() == [None, 2, 3]


def test_names_of_several_levels_are_refused_and_the_remedy_works():
    table = PANDAS.set_axis(pd.MultiIndex.from_tuples([("f", 0), ("f", 1), ("g", "")]), axis=1)
    with pytest.raises(InputError, match="names of several levels; join them"):
        read(table)
    table.columns = ["_".join(map(str, name)) for name in table.columns]
    assert read(table, ["f_0", "f_1"]).height == 3


def test_an_array_without_names_is_refused_and_the_remedy_works():
    array = PANDAS[["f0", "f1"]].to_numpy()
    with pytest.raises(InputError, match=r"`polars\.DataFrame\(array, schema=names\)`"):
        read(array)
    assert read(pl.DataFrame(array, schema=["f0", "f1"])).height == 3


@pytest.mark.parametrize("series", [PANDAS.f0, POLARS["f0"]], ids=["pandas", "polars"])
def test_a_series_is_refused_and_the_remedy_works(series):
    with pytest.raises(InputError, match=r"a Series has no column names; .*`series\.to_frame\(\)`"):
        read(series, ["f0"])
    assert read(series.to_frame(), ["f0"])["f0"].to_list() == [1, 2, 3]


@pytest.mark.parametrize(
    "table",
    [None, 7, 1.5, [1], [[1, 2]], [], {1}, b"x", object(), PANDAS.groupby("g"), np.zeros(3)],
    ids=lambda table: type(table).__name__,
)
def test_what_is_no_table_is_told_what_is_taken(table):
    with pytest.raises(InputError, match="give a polars, pandas or Arrow table, or a path"):
        read(table)


@pytest.mark.parametrize(
    "column",
    [[1j, 2, 3], [10**30, 1, 2], [object()] * 3, [b"x", 1.0, 2], np.ones(3, np.longdouble)],
    ids=["complex", "large", "objects", "bytes", "long double"],
)
def test_columns_that_cannot_be_read_are_named(column):
    with pytest.raises(InputError, match=r"column 'f0' of the pandas table .*; convert it"):
        read(PANDAS.assign(f0=column))


@pytest.mark.parametrize(
    "table",
    [{"f0": [1, 2], "f1": [1]}, {"f0": [1, "x"], "f1": [1, 2]}],
    ids=["ragged", "mixed"],
)
def test_dictionaries_that_are_no_table_are_refused(table):
    with pytest.raises(InputError, match="the dict cannot be made a table"):
        read(table)


def test_a_plan_that_cannot_be_collected_is_refused(tmp_path):
    with pytest.raises(InputError, match="the LazyFrame cannot be collected"):
        read(pl.scan_parquet(tmp_path / "absent.parquet"))
    with pytest.raises(InputError, match="the LazyFrame cannot be collected"):
        read(POLARS.lazy().with_columns(f0=pl.col("g").cast(pl.Float64)))


def test_whole_numbers_as_pandas_categories_may_be_missing():
    frame = pd.DataFrame({"x": pd.Categorical([3, None, 1])})
    assert read(frame, ["x"])["x"].to_list() == [3, None, 1]
