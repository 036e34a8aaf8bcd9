"""Whatever a file of base scores holds, it is read or refused by an `InputError`."""

import datetime
import decimal
import gzip

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from genebatch.genome.genes import Gene
from genebatch.genome.scores.tracks import open_scores
from genebatch.io.files import InputError

GENES = [
    Gene(name, name, "chr1", strand, 0, 20, "", ()) for name, strand in (("A", "+"), ("B", "-"))
]
TABLE = pl.DataFrame(
    {
        "gene_id": ["A", "A", "B", "B"],
        "position": [2, 9, 0, 4],
        "donor": [0.5, 0.0, 0.25, 0.0],
        "acceptor": [0.25, 0.75, 0.0, 0.5],
    }
)
N = TABLE.height
DAY = datetime.datetime(2020, 1, 3)
COLUMNS = {
    "null": pa.nulls(N),
    "text": pa.array(["A"] * N),
    "text view": pa.array(["A"] * N, pa.string_view()),
    "bytes": pa.array([b"\xff"] * N),
    "dictionary": pa.array(["A"] * N).dictionary_encode(),
    "dictionary of numbers": pa.array([0.5] * N).dictionary_encode(),
    "bool": pa.array([True] * N),
    "int8": pa.array([1] * N, pa.int8()),
    "uint64": pa.array([2**64 - 1] * N, pa.uint64()),
    "large": pa.array([2**40] * N, pa.int64()),
    "half": pa.array([0.5] * N, pa.float16()),
    "double": pa.array([0.5] * N),
    "huge": pa.array([1e300] * N),
    "decimal": pa.array([decimal.Decimal("0.5")] * N),
    "timestamp": pa.array([DAY] * N),
    "list": pa.array([[1.0]] * N),
    "struct": pa.array([{"a": 1}] * N),
    "map": pa.array([[("a", 1)]] * N, pa.map_(pa.string(), pa.int64())),
}


def read(path):
    """Read all scores, which are probabilities, or give the message."""
    try:
        with open_scores(path, GENES, unscored="zero") as tracks:
            scores = np.stack([tracks.fetch(gene, 0, 20) for gene in GENES])
    except InputError as error:
        return str(error)
    assert ((scores >= 0) & (scores <= 1)).all()
    return None


@pytest.mark.parametrize("kind", COLUMNS)
@pytest.mark.parametrize("name", TABLE.columns)
@pytest.mark.parametrize("order", [slice(None), [3, 2, 1, 0]])
def test_a_column_of_any_type_is_taken_or_named(tmp_path, kind, name, order):
    table = TABLE[order].to_arrow()
    table = table.set_column(table.column_names.index(name), name, COLUMNS[kind])
    pq.write_table(table, tmp_path / "s.parquet")
    message = read(tmp_path / "s.parquet")
    assert message is None or name in message or "no score of" in message or "sum to" in message


def test_a_repeated_column_is_named(tmp_path):
    table = TABLE.to_arrow()
    pq.write_table(table.append_column("donor", table["donor"]), tmp_path / "s.parquet")
    assert "has several columns 'donor'; rename all but one" in read(tmp_path / "s.parquet")
    lines = TABLE.write_csv().splitlines()
    text = "\n".join(
        f"{line},{extra}" for line, extra in zip(lines, ["donor", *"0000"], strict=True)
    )
    (tmp_path / "s.csv").write_text(text)
    assert "has several columns 'donor'; rename all but one" in read(tmp_path / "s.csv")


QUICK = {"deadline": None, "suppress_health_check": [HealthCheck.function_scoped_fixture]}
PIECES = [b"\n", b"\r", b'"', b",", b";", b"\t", b"NA", b"\x00", b"\xff", b"-", b"e9", b"inf"]


@settings(max_examples=100, **QUICK)
@given(data=st.data())
def test_a_damaged_table_is_taken_or_refused(tmp_path, data):
    separator = data.draw(st.sampled_from(",\t"))
    content = bytearray(TABLE.write_csv(separator=separator).encode())
    for _ in range(data.draw(st.integers(1, 4))):
        start = data.draw(st.integers(0, len(content)))
        stop = min(len(content), start + data.draw(st.integers(0, 8)))
        content[start:stop] = data.draw(st.one_of(st.binary(max_size=4), st.sampled_from(PIECES)))
    packed = data.draw(st.booleans())
    path = tmp_path / "scores"
    path.write_bytes(gzip.compress(bytes(content)) if packed else bytes(content))
    read(path)


@settings(max_examples=30, **QUICK)
@given(place=st.integers(4, 3000), byte=st.integers(0, 255))
def test_a_damaged_parquet_file_is_taken_or_refused(tmp_path, place, byte):
    path = tmp_path / "s.parquet"
    TABLE.write_parquet(path)
    content = bytearray(path.read_bytes())
    content[place % len(content)] = byte
    path.write_bytes(content)
    read(path)
