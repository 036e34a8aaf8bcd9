"""Tables of text become Parquet shards with the types of all their values."""

import gzip
import logging
import os
import re
import subprocess
import sys
import textwrap
from dataclasses import replace

import polars as pl
import pyarrow.parquet as pq
import pytest

from genebatch.config.settings import Labels, Table
from genebatch.dataset import from_text
from genebatch.dataset.from_text import text_in_parquet
from genebatch.dataset.profile import analyze
from genebatch.io import text_tables
from genebatch.io.data_files import find_shards
from genebatch.io.files import InputError
from genebatch.io.text_tables import seen_values
from genebatch.jobs.limits import MB
from genebatch.jobs.needs import estimate_mb
from genebatch.jobs.sizes import text_size
from tests.builders import REPOSITORY

LABELS = Labels("sample", "kind", ("no", "yes"), None, None, None, None, "place")
TABLE = Table("t.csv", LABELS, ("note*",), (), "error", ())
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
    return pl.read_parquet(text_in_parquet(replace(table, path=str(path)), tmp_path).path)


def shards(tmp_path, texts, table=TABLE, path=""):
    """The shards of several files, given as name and text, in their order."""
    for name, text in texts.items():
        (tmp_path / "in" / name).parent.mkdir(parents=True, exist_ok=True)
        data = text.encode()
        (tmp_path / "in" / name).write_bytes(gzip.compress(data) if name.endswith("gz") else data)
    written = text_in_parquet(replace(table, path=f"{tmp_path}/in{path}"), tmp_path)
    return [pl.read_parquet(file) for file in find_shards(written.path)]


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
    seen = seen_values([tmp_path / "t.csv"], ["a", "b"])
    assert {name: values.kind for name, values in seen.items()} == {
        "a": pl.Int64(),
        "b": pl.Float64(),
    }


def test_many_rows_keep_their_order(tmp_path):
    rows = "".join(f"s{n // 10},no,{n},,1,1,1,1,a,1,true\n" for n in range(20_000))
    found = shard(tmp_path, TEXT.splitlines()[0] + "\n" + rows)
    assert found["place"].to_list() == list(range(20_000))


def test_a_table_without_rows_is_refused_and_nothing_is_written(tmp_path):
    with pytest.raises(InputError, match=r"t\.csv has no rows; set dataset\.path"):
        shard(tmp_path, TEXT.splitlines()[0] + "\n")


HEAD = "sample,kind,x,y"


def test_types_are_those_of_all_files_whatever_the_order_of_columns(tmp_path):
    first, second = shards(
        tmp_path,
        {
            "a.csv": f"{HEAD}\n7,no,1,\n8,yes,2,\n",
            "b.tsv.gz": "y\tx\tkind\tsample\n3\t0.5\tno\t009\n",
        },
        replace(TABLE, labels=replace(LABELS, position=None), metadata=()),
    )
    assert first.schema == second.schema
    assert dict(first.schema) == {
        "sample": pl.String(),  # 009 is no number, so 7 is none either
        "kind": pl.String(),
        "x": pl.Float64(),
        "y": pl.Float64(),
    }
    assert first["sample"].to_list() == ["7", "8"]
    assert first["x"].to_list() + second["x"].to_list() == [1, 2, 0.5]
    assert first["y"].to_list() + second["y"].to_list() == [None, None, 3]


PLAIN = replace(TABLE, labels=replace(LABELS, position=None), metadata=())


@pytest.mark.parametrize(
    ("odd", "fault"),
    [
        ("sample,kind,x\ns,no,1\n", "c.csv differs from .*a.csv: lacks column 'y'"),
        (f"{HEAD},z\ns,no,1,2,3\n", "c.csv differs from .*a.csv: has the further column 'z'"),
    ],
)
def test_a_file_with_other_columns_is_named(tmp_path, odd, fault):
    text = f"{HEAD}\ns,no,1,2\n"
    with pytest.raises(InputError, match=fault):
        shards(tmp_path, {"a.csv": text, "b.csv": text, "c.csv": odd}, PLAIN)
    assert not list(tmp_path.glob("*.parquet"))


def test_a_file_in_which_a_feature_is_text_is_named_with_the_value(tmp_path):
    texts = {"a.csv": f"{HEAD}\ns,no,1,2\n", "b.csv": f"{HEAD}\ns,no,1,high\n"}
    said = "b.csv: column 'y' holds 'high', and numbers in .*a.csv; write numbers, or list"
    with pytest.raises(InputError, match=said):
        shards(tmp_path, texts, PLAIN)
    found = shards(tmp_path, texts, replace(PLAIN, exclude=("y",)))
    assert [frame["y"].to_list() for frame in found] == [["2"], ["high"]]
    found = shards(tmp_path, texts, replace(PLAIN, metadata=("y",)))
    assert [frame["y"].to_list() for frame in found] == [["2"], ["high"]]


def test_row_names_of_some_files_only_are_no_column(tmp_path):
    texts = {"a.csv": f"{HEAD}\ns,no,1,2\n", "b.csv": f",{HEAD}\n1,s,no,1,3\n"}
    assert [frame.columns for frame in shards(tmp_path, texts, PLAIN)] == [HEAD.split(",")] * 2


def test_folders_are_columns_if_the_config_names_them(tmp_path):
    texts = {f"run=1/sample=s{n}/a.csv": "kind,x\nno,1\n" for n in (1, 2)}
    found = shards(tmp_path, texts, PLAIN)
    assert [frame.rows() for frame in found] == [[("no", 1, "s1")], [("no", 1, "s2")]]
    assert found[0].columns == ["kind", "x", "sample"]
    found = shards(tmp_path, texts, replace(PLAIN, metadata=("run",)))
    assert found[1].row(0, named=True) == {"kind": "no", "x": 1, "run": "1", "sample": "s2"}


def test_a_folder_and_its_column_agree(tmp_path):
    texts = {"sample=s1/a.csv": "sample,kind,x\ns1,no,1\ns2,no,1\n"}
    with pytest.raises(InputError, match="holds 's2', but its folder is called sample=s1"):
        shards(tmp_path, texts, PLAIN)


def test_a_file_without_rows_is_a_shard_without_rows(tmp_path):
    texts = {"a.csv": f"{HEAD}\n", "b.csv": f"{HEAD}\ns,no,1,2\n"}
    assert [frame.height for frame in shards(tmp_path, texts, PLAIN)] == [0, 1]


def test_a_glob_chooses_among_the_files(tmp_path):
    texts = {"a.csv": f"{HEAD}\ns,no,1,2\n", "b.tsv": "what\tever\n"}
    (found,) = shards(tmp_path, texts, PLAIN, path="/*.csv")
    assert found.height == 1


def test_what_is_left_out_of_a_folder_of_text_is_told_by_log_and_analysis(tmp_path, caplog):
    caplog.set_level(logging.INFO)
    texts = {"a.csv": TEXT, "_b.csv": TEXT, "_old/c.csv": TEXT, "d.dat": TEXT}
    shards(tmp_path, texts)
    left_out = [
        f"{tmp_path}/in/_b.csv is no data: a name in it begins with _ or .",
        f"{tmp_path}/in/_old is no data: a name in it begins with _ or .",
        f"{tmp_path}/in/d.dat is no data, by the ending of its name",
    ]
    assert [line for line in caplog.messages if "is no data" in line] == left_out
    table = replace(TABLE, path=f"{tmp_path}/part-*.parquet", exclude=("free",))
    problems = analyze(table, None).profile["problems"]
    assert [problem["message"] for problem in problems][:3] == left_out


@pytest.mark.parametrize("copy", ["a (1).csv", "z/a.csv", "b.csv.gz"])
def test_a_copy_of_a_file_is_refused(tmp_path, copy):
    texts = {"a.csv": TEXT, copy: TEXT, "c.csv": TEXT.replace("007", "008")}
    first, second = sorted(f"{tmp_path}/in/{name}" for name in ("a.csv", copy))
    said = re.escape(f"{second} has the content of {first}, so that its rows would count twice")
    with pytest.raises(InputError, match=said):
        shards(tmp_path, texts)


def test_equal_files_without_rows_or_of_other_folders_are_no_copies(tmp_path):
    head = "kind,x\n"
    texts = {"sample=1/a.csv": head, "sample=1/b.csv": head, "sample=2/a.csv": head + "no,1\n"}
    texts |= {"sample=3/a.csv": head + "no,1\n"}
    assert [shard.height for shard in shards(tmp_path, texts, PLAIN)] == [0, 0, 1, 1]


def test_the_folder_of_the_shards_may_be_called_as_a_pattern(tmp_path):
    for name, rows in (("out1", 1), ("out[1]", 2)):
        (tmp_path / name).mkdir()
        (tmp_path / "t.csv").write_text("".join(TEXT.splitlines(keepends=True)[: rows + 1]))
        written = text_in_parquet(replace(TABLE, path=f"{tmp_path}/t.csv"), tmp_path / name)
    assert find_shards(written.path) == [tmp_path / "out[1]" / "part-000.parquet"]


def test_a_quote_that_is_not_closed_is_refused_with_the_file_of_the_user(tmp_path):
    lines = TEXT.splitlines(keepends=True)
    lines[2] = lines[2].replace(",2,,", ',2,"half open,')
    said = r"in/b\.csv, row 2 after the names: column 'note_1' begins with a quote \('half open,"
    with pytest.raises(InputError, match=said):
        shards(tmp_path, {"a.csv": TEXT, "b.csv": "".join([*lines, lines[2]])})


def test_a_repeated_name_is_refused(tmp_path):
    with pytest.raises(InputError, match="'a'"):
        shard(tmp_path, "sample,kind,place,a,a\ns,no,1,2,3\n")


def test_a_row_group_is_of_many_blocks(tmp_path, monkeypatch):
    monkeypatch.setattr(text_tables, "BLOCK_BYTES", 64)
    monkeypatch.setattr(from_text, "ROW_GROUP_BYTES", 500)
    (tmp_path / "t.csv").write_text("sample,kind,x\n" + "s,no,0.5\n" * 200)
    path = text_in_parquet(replace(PLAIN, path=str(tmp_path / "t.csv")), tmp_path).path
    file = pq.ParquetFile(next(iter(find_shards(path))))
    rows = [file.metadata.row_group(n).num_rows for n in range(file.num_row_groups)]
    assert sum(rows) == 200
    assert 14 < min(rows[:-1]) <= max(rows) < 60  # a block has 7


@pytest.mark.skipif(sys.platform != "linux", reason="limits are set on Linux only")
def test_a_wide_table_larger_than_a_block_fits_the_memory_that_its_job_declares(tmp_path):
    head = ",".join(["sample,kind", *(f"x{n}" for n in range(400))])
    rows = (f"s{n // 9},no," + ",".join([f"0.{n:016d}"] * 400) for n in range(3_000))
    (tmp_path / "t.csv").write_text("\n".join([head, *rows, ""]))
    assert (tmp_path / "t.csv").stat().st_size > 20 * MB
    declared = estimate_mb("table_of_text", text_size([tmp_path / "t.csv"]))
    script = f"""
        from genebatch.jobs.run import job
        with job(log_file="log", mem_mb={declared}, needs_mb={declared}, threads=1, results="."):
            from pathlib import Path
            from genebatch.dataset.from_text import shards_of_text
            from tests.unit.dataset.test_from_text import PLAIN
            shards_of_text(["t.csv"], PLAIN, ["t.parquet"])
    """
    where = {key: value for key, value in os.environ.items() if key != "SLURM_JOB_ID"}
    command = [sys.executable, "-c", textwrap.dedent(script)]
    done = subprocess.run(command, cwd=tmp_path, env=where | {"PYTHONPATH": str(REPOSITORY)})
    assert done.returncode == 0, (tmp_path / "log").read_text()
    found = pl.read_parquet(tmp_path / "t.parquet", columns=["sample", "x399"])
    assert found.row(2_999) == ("s333", 2.999e-13)
