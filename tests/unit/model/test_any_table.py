"""Whatever a table to predict holds, it is predicted or refused by an `InputError`."""

import datetime
import decimal
import gzip
import json

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from genebatch.io.files import InputError
from genebatch.io.terminal import printable
from genebatch.model.archive import load_model
from genebatch.model.prediction import predict_table
from tests.builders import DATA

ROWS = pl.DataFrame(
    json.loads((DATA / "model_0_1.json").read_text())["rows"], infer_schema_length=None
)
N = ROWS.height
DAY = datetime.datetime(2020, 1, 3)
# A column of every type of Arrow that a writer may choose, with values of all kinds.
COLUMNS = {
    "null": pa.nulls(N),
    "text": pa.array(["x"] * N),
    "number as text": pa.array(["1.5"] * N),
    "large text": pa.array(["1"] * N, pa.large_string()),
    "text view": pa.array(["1"] * N, pa.string_view()),
    "bytes": pa.array([b"\xff"] * N),
    "dictionary": pa.array(["a"] * N).dictionary_encode(),
    "dictionary of numbers": pa.array([0.5] * N).dictionary_encode(),
    "bool": pa.array([True] * N),
    "int8": pa.array([1] * N, pa.int8()),
    "uint64": pa.array([2**64 - 1] * N, pa.uint64()),
    "half": pa.array([0.5] * N, pa.float16()),
    "double": pa.array([None, *[0.5] * (N - 1)], pa.float64()),
    "infinite": pa.array([float("inf")] * N),
    "nan": pa.array([float("nan")] * N),
    "decimal": pa.array([decimal.Decimal("0.5")] * N),
    "decimal256": pa.array([decimal.Decimal("0.5")] * N, pa.decimal256(50, 2)),
    "date": pa.array([DAY.date()] * N),
    "time": pa.array([DAY.time()] * N),
    "timestamp": pa.array([DAY] * N, pa.timestamp("ns", "UTC")),
    "duration": pa.array([DAY - DAY] * N),
    "list": pa.array([[1.0]] * N),
    "fixed list": pa.array([[1.0, 2.0]] * N, pa.list_(pa.float64(), 2)),
    "struct": pa.array([{"a": 1}] * N),
    "map": pa.array([[("a", 1)]] * N, pa.map_(pa.string(), pa.int64())),
    "fixed bytes": pa.array([b"ab"] * N, pa.binary(2)),
}
NAMES = [*ROWS.columns]


@pytest.fixture(scope="module")
def model():
    return load_model(DATA / "model_0_1.gbm")


@pytest.fixture
def predicted(model, tmp_path):
    """Predict a table, which writes a whole file or none."""

    def predict(table):
        out = tmp_path / "out" / "out.parquet"
        try:
            written = predict_table(model, table, out)
        except InputError as error:
            message = str(error)
            assert not out.exists()
            assert printable(message) == message
            return message
        assert pq.ParquetFile(out).metadata.num_rows == written
        out.unlink()
        return None

    return predict


@pytest.mark.parametrize("kind", COLUMNS)
def test_a_column_of_any_type_is_taken_or_named(predicted, tmp_path, kind):
    for name in NAMES:
        table = ROWS.to_arrow()
        table = table.set_column(table.column_names.index(name), name, COLUMNS[kind])
        pq.write_table(table, tmp_path / "t.parquet")
        message = predicted(tmp_path / "t.parquet")
        assert message is None or name in message


@pytest.mark.parametrize("kind", COLUMNS)
def test_a_group_of_any_type_beside_text_is_taken_or_named(predicted, tmp_path, kind):
    (tmp_path / "t").mkdir()
    table = ROWS.to_arrow()
    pq.write_table(table, tmp_path / "t" / "a.parquet")
    place = table.column_names.index("gene_id")
    pq.write_table(table.set_column(place, "gene_id", COLUMNS[kind]), tmp_path / "t" / "b.parquet")
    message = predicted(tmp_path / "t")
    assert message is None or "'gene_id'" in message


TEXT = ROWS.write_csv().encode()
QUICK = {"deadline": None, "suppress_health_check": [HealthCheck.function_scoped_fixture]}


@settings(max_examples=60, **QUICK)
@given(data=st.data())
def test_a_damaged_csv_file_is_taken_or_refused(predicted, tmp_path, data):
    content = bytearray(TEXT)
    for _ in range(data.draw(st.integers(1, 4))):
        start = data.draw(st.integers(0, len(content)))
        stop = min(len(content), start + data.draw(st.integers(0, 12)))
        content[start:stop] = data.draw(
            st.one_of(
                st.binary(max_size=4),
                st.sampled_from([b"\n", b"\r", b'"', b",", b";", b"\t", b"NA", b"\x00", b"\xff"]),
            )
        )
    packed = data.draw(st.booleans())
    path = tmp_path / ("t.csv.gz" if packed else "t.csv")
    path.write_bytes(gzip.compress(bytes(content)) if packed else bytes(content))
    predicted(path)


@settings(max_examples=40, **QUICK)
@example(content=b"\xef\xbb\xbf", name="t.csv")
@given(content=st.binary(max_size=200), name=st.sampled_from(["t.csv", "t.tsv.gz", "t.parquet"]))
def test_a_file_of_anything_is_refused(predicted, tmp_path, content, name):
    path = tmp_path / name
    path.write_bytes(content)
    assert predicted(path) is not None


@settings(max_examples=30, **QUICK)
@given(place=st.integers(4, 3000), byte=st.integers(0, 255))
def test_a_damaged_parquet_file_is_taken_or_refused(predicted, tmp_path, place, byte):
    path = tmp_path / "t.parquet"
    ROWS.write_parquet(path)
    content = bytearray(path.read_bytes())
    content[place % len(content)] = byte
    path.write_bytes(content)
    predicted(path)
