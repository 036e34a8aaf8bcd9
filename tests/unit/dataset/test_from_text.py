"""A table of text becomes a Parquet shard with the types of its values."""

import gzip

import polars as pl
import pytest

from genebatch.config.settings import Labels, Table
from genebatch.dataset.from_text import shard_of_text
from genebatch.io.files import InputError
from genebatch.io.text_tables import table_kinds

LABELS = Labels("sample", "kind", ("no", "yes"), None, None, None, None, "place")
TABLE = Table("t.csv", LABELS, ("note*",), (), "error")
TEXT = """sample,kind,place,note_1,count,large,signed,share,free,gap,truth
007,no,1,x,0,300,-1,0.5,left,,true
007,yes,2,,255,70000,5,1e-3,right,NA,False
012,no,1,y,7,1,0,3,left,2,true
"""


def shard(tmp_path, text, name="t.csv", table=TABLE):
    path = tmp_path / name
    if name.endswith(".gz"):
        path.write_bytes(gzip.compress(text.encode()))
    else:
        path.write_text(text)
    shard_of_text(path, table, tmp_path / "out.parquet")
    return pl.read_parquet(tmp_path / "out.parquet")


@pytest.mark.parametrize("name", ["t.csv", "t.csv.gz"])
def test_columns_have_the_smallest_type_that_holds_every_value(tmp_path, name):
    found = shard(tmp_path, TEXT, name)
    assert dict(found.schema) == {
        "sample": pl.String(),  # 007 is no number
        "kind": pl.String(),
        "place": pl.Int64(),
        "note_1": pl.String(),
        "count": pl.UInt8(),
        "large": pl.Int32(),
        "signed": pl.Int32(),
        "share": pl.Float64(),
        "free": pl.String(),
        "gap": pl.Float64(),
        "truth": pl.Float64(),
    }
    assert found["sample"].to_list() == ["007", "007", "012"]
    assert found["count"].to_list() == [0, 255, 7]
    assert found["share"].to_list() == [0.5, 0.001, 3.0]
    assert found["gap"].to_list() == [None, None, 2.0]
    assert found["truth"].to_list() == [1.0, 0.0, 1.0]
    assert found["note_1"].to_list() == ["x", None, "y"]


def test_a_semicolon_or_a_tab_separates_as_well(tmp_path):
    for mark, name in ((";", "t.csv"), ("\t", "t.tsv")):
        found = shard(tmp_path, TEXT.replace(",", mark), name)
        assert found.shape == (3, 11)


def test_whole_numbers_beyond_what_a_float_holds_are_floats(tmp_path):
    (tmp_path / "t.csv").write_text(f"a,b\n{2**53},{2**60}\n1,1\n")
    assert table_kinds(tmp_path / "t.csv", {}) == {"a": pl.Int64(), "b": pl.Float64()}


def test_many_rows_keep_their_order(tmp_path):
    rows = "".join(f"s{n // 10},no,{n},,1,1,1,1,a,1,true\n" for n in range(20_000))
    found = shard(tmp_path, TEXT.splitlines()[0] + "\n" + rows)
    assert found["place"].to_list() == list(range(20_000))
    assert pl.read_parquet_metadata(tmp_path / "out.parquet") is not None


def test_a_table_without_rows_is_refused_and_nothing_is_written(tmp_path):
    with pytest.raises(InputError, match=r"t\.csv has no rows; set dataset\.path"):
        shard(tmp_path, TEXT.splitlines()[0] + "\n")
    assert not (tmp_path / "out.parquet").exists()


def test_a_repeated_name_is_refused(tmp_path):
    with pytest.raises(InputError, match="'a'"):
        shard(tmp_path, "sample,kind,place,a,a\ns,no,1,2,3\n")
