"""What genebatch.tables promises."""

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from polars.testing import assert_frame_equal

from genebatch.io import tables
from genebatch.io.files import InputError, write_tsv
from genebatch.io.tables import (
    open_shard,
    parquet_rows,
    read_table,
    read_tsv,
    record_batches,
    table_columns,
)


@pytest.mark.parametrize("content", [b"", b"PAR1", b"a,b\n1,2\n"])
def test_what_is_no_parquet_file_is_named(tmp_path, content):
    path = tmp_path / "broken.parquet"
    path.write_bytes(content)
    with pytest.raises(InputError, match=r"broken\.parquet is not a readable Parquet file"):
        open_shard(path)


@pytest.fixture
def given_as(tmp_path):
    """The same ten rows as everything that `read_table` takes."""
    frame = pl.DataFrame({"a": range(10), "b": [x / 4 for x in range(10)], "c": list("abcdefghij")})
    frame.write_parquet(tmp_path / "whole.parquet")
    frame.write_csv(tmp_path / "whole.csv")
    frame.write_csv(tmp_path / "whole.TSV", separator="\t")
    (tmp_path / "shards").mkdir()
    frame[:6].write_parquet(tmp_path / "shards" / "1.parquet")
    frame[6:].write_parquet(tmp_path / "shards" / "2.parquet")
    forms = {
        "polars": frame,
        "pandas": frame.to_pandas(),
        "arrow": frame.to_arrow(),
        "parquet": tmp_path / "whole.parquet",
        "text path": str(tmp_path / "whole.parquet"),
        "csv": tmp_path / "whole.csv",
        "tsv": tmp_path / "whole.TSV",
        "folder": tmp_path / "shards",
        "glob": f"{tmp_path}/shards/*.parquet",
    }
    return frame, forms


FORMS = ["polars", "pandas", "arrow", "parquet", "text path", "csv", "tsv", "folder", "glob"]


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("size", [3, 8192])
def test_every_form_of_a_table_gives_the_same_rows_in_pieces_or_whole(
    given_as, form, size, monkeypatch
):
    frame, forms = given_as
    monkeypatch.setattr(tables, "BATCH_ROWS", size)
    pieces = list(read_table(forms[form], ["b", "a"]))
    assert max(piece.height for piece in pieces) <= size
    # Of a table of text all numbers are of one kind.
    assert pl.concat(pieces).cast({"a": pl.Int64}).equals(frame.select("b", "a"))


@pytest.mark.parametrize("form", FORMS)
def test_every_form_of_a_table_names_the_columns_it_lacks(given_as, form):
    with pytest.raises(InputError, match=r"lacks 1 of the columns needed: 'aa'"):
        list(read_table(given_as[1][form], ["aa", "b"]))


@pytest.mark.parametrize("given_table", [np.zeros((3, 2)), [1, 2], 7, None, {1}])
def test_what_is_no_table_is_told_what_is_taken(given_table):
    with pytest.raises(InputError, match="give a polars, pandas or Arrow table, or a path"):
        list(read_table(given_table, ["a"]))


def test_the_shard_that_lacks_a_column_is_named(tmp_path):
    pl.DataFrame({"a": [1], "b": [1]}).write_parquet(tmp_path / "1.parquet")
    pl.DataFrame({"a": [1]}).write_parquet(tmp_path / "2.parquet")
    with pytest.raises(InputError, match=r"2\.parquet: the table lacks .*'b'"):
        list(read_table(tmp_path, ["a", "b"]))


@pytest.mark.parametrize("form", ["parquet", "csv", "folder"])
def test_columns_of_a_table_on_disk(given_as, form):
    assert table_columns(given_as[1][form]) == ["a", "b", "c"]


@pytest.mark.parametrize("name", ["absent.csv", "absent.parquet"])
def test_an_absent_table_is_named(tmp_path, name):
    with pytest.raises(InputError, match="absent"):
        list(read_table(tmp_path / name, ["a"]))


@pytest.mark.parametrize("kind", ["text", "folder", "glob"])
def test_a_repeated_column_of_a_file_is_named(tmp_path, kind):
    table = pa.table([pa.array([1.0]), pa.array([2.0]), pa.array([3.0])], names=["a", "b", "a"])
    pq.write_table(table, tmp_path / "1.parquet")
    given = {"text": tmp_path / "1.parquet", "folder": tmp_path, "glob": f"{tmp_path}/*.parquet"}
    with pytest.raises(InputError, match=r"1\.parquet has several columns 'a'; rename all but"):
        list(read_table(given[kind], ["a"]))
    assert pl.concat(read_table(given[kind], ["b"]))["b"].to_list() == [2]


def test_a_file_that_is_neither_parquet_nor_named_as_text_is_told_the_endings(tmp_path):
    path = tmp_path / "table.dat"
    path.write_text("a,b\n1,2\n")
    for read in (lambda: list(read_table(path, ["a"])), lambda: table_columns(path)):
        with pytest.raises(InputError, match=r"is no Parquet file; .* \.csv, \.tsv, \.txt, \.tab"):
            read()
    assert path.rename(tmp_path / "table.txt")
    assert table_columns(tmp_path / "table.txt") == ["a", "b"]


IDS = {
    "int64": pl.Series("g", [7, 8], dtype=pl.Int64),
    "int32": pl.Series("g", [5], dtype=pl.Int32),
    "text": pl.Series("g", ["g006"]),
    "category": pl.Series("g", ["x"], dtype=pl.Categorical),
    "null": pl.Series("g", [None]),
}


@pytest.mark.parametrize(
    ("kinds", "expected"),
    [
        (("int64", "text"), ["7", "8", "g006"]),
        (("text", "int64"), ["g006", "7", "8"]),
        (("int64", "int32"), [7, 8, 5]),
        (("int32",), [5]),
        (("category", "text", "int32"), ["x", "g006", "5"]),
        (("null", "int64"), [None, 7, 8]),
        (("null", "text"), [None, "g006"]),
    ],
)
def test_identity_columns_have_one_type_in_all_files(tmp_path, kinds, expected):
    for number, kind in enumerate(kinds):
        pl.DataFrame([IDS[kind]]).with_columns(x=1.0).write_parquet(tmp_path / f"{number}.parquet")
    found = pl.concat(read_table(tmp_path, ["g", "x"], {"g": "integer"}))
    assert found["g"].to_list() == expected


def test_types_without_a_common_one_name_both_files(tmp_path):
    for number, ids in enumerate(([7], [7.5])):
        pl.DataFrame({"g": ids, "x": 1.0}).write_parquet(tmp_path / f"{number}.parquet")
    with pytest.raises(InputError, match=r"'g' is Int64 in .*0.parquet and Float64 in .*1.parqu"):
        list(read_table(tmp_path, ["g", "x"], {"g": ""}))


def test_a_broken_row_group_is_named(tmp_path):
    path = tmp_path / "a.parquet"
    pl.DataFrame({"x": np.arange(4000.0)}).write_parquet(path, compression="uncompressed")
    content = bytearray(path.read_bytes())
    content[4:2000] = b"\xff" * 1996
    path.write_bytes(content)
    with pytest.raises(InputError, match=r"a\.parquet cannot be read \(truncated\?\)"):
        list(record_batches(path))


def test_a_column_of_our_own_tables_keeps_its_type_where_it_is_empty_or_looks_like_numbers(
    tmp_path,
):
    frame = pl.DataFrame({"class": ["1", "2"], "reason": [None, None], "value": [None, 3.0]})
    frame = frame.cast({"reason": pl.String})
    write_tsv(tmp_path / "t.tsv", frame)
    assert read_tsv(tmp_path / "t.tsv").equals(frame)


@pytest.mark.parametrize("key", ["0123456789012345", "12345e6789012345", "1234567890123456"])
@pytest.mark.parametrize("name", ["key", "gene_id", "group", "track", "a column of tomorrow"])
def test_text_of_our_own_tables_stays_as_it_was_written(tmp_path, name, key):
    write_tsv(tmp_path / "t.tsv", pl.DataFrame({name: [key], "rows": [3]}))
    assert read_tsv(tmp_path / "t.tsv").to_dicts() == [{name: key, "rows": 3}]


def test_whole_numbers_of_our_own_tables_stay_whole(tmp_path):
    frame = pl.DataFrame(
        {"rows_1": [3, None], "auc_low": [1.0, None], "kept": [True, None], "f1": [None, None]},
        schema_overrides={"f1": pl.Float64},
    )
    write_tsv(tmp_path / "t.tsv", frame)
    assert_frame_equal(read_tsv(tmp_path / "t.tsv"), frame)


def test_frames_are_appended_and_the_file_is_whole_at_the_end(tmp_path):
    out = tmp_path / "rows.parquet"
    with parquet_rows(out) as write:
        write(pl.DataFrame({"x": [1, 2]}))
        assert not out.exists()
        write(pl.DataFrame({"x": [3]}))
    assert pl.read_parquet(out)["x"].to_list() == [1, 2, 3]


def test_nothing_is_left_of_rows_that_could_not_be_written(tmp_path):
    def write_and_fail(write):
        write(pl.DataFrame({"x": [1]}))
        raise ZeroDivisionError

    with pytest.raises(InputError, match="no rows to write"), parquet_rows(tmp_path / "a.parquet"):
        pass
    with pytest.raises(ZeroDivisionError), parquet_rows(tmp_path / "b.parquet") as write:
        write_and_fail(write)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("ending", ["parquet", "csv"])
def test_columns_of_folders_are_columns_of_a_table_to_predict(tmp_path, ending):
    for group in ("g1", "g2"):
        (tmp_path / f"gene={group}").mkdir()
        frame = pl.DataFrame({"x": [1.0, 2.0]})
        file = tmp_path / f"gene={group}" / f"0.{ending}"
        frame.write_csv(file) if ending == "csv" else frame.write_parquet(file)
    assert table_columns(tmp_path) == ["x", "gene"]
    rows = pl.concat(read_table(tmp_path, ["gene", "x"])).select("gene", "x").rows()
    assert rows == [("g1", 1.0), ("g1", 2.0), ("g2", 1.0), ("g2", 2.0)]


def test_a_column_named_like_a_path_is_read_alone(tmp_path):
    table = pl.DataFrame({"a": [1], "a.b": [2], "a.b.c": [3]})
    table.write_parquet(tmp_path / "t.parquet")
    for names in (["a"], ["a.b"], ["a.b.c", "a"]):
        (batch,) = record_batches(tmp_path / "t.parquet", names)
        assert sorted(batch.schema.names) == sorted(names)


def test_metadata_that_are_no_text_are_refused(tmp_path):
    path = tmp_path / "t.parquet"
    whole = pa.table({"a": [1.0]})
    for metadata in ({b"key": b"\xff\xfe"}, {b"\xff": b"value"}):
        pq.write_table(whole.replace_schema_metadata(metadata), path)
        with pytest.raises(InputError, match=r"its metadata are no UTF-8 text"):
            list(record_batches(path))
    field = pa.field("a", pa.float64(), metadata={b"key": b"\xff"})
    pq.write_table(pa.table([whole["a"]], schema=pa.schema([field])), path)
    with pytest.raises(InputError, match=r"its metadata are no UTF-8 text"):
        list(record_batches(path))
