"""What genebatch.files promises."""

import json
import stat
import zipfile

import polars as pl
import pytest

from genebatch.io.files import (
    InputError,
    check_whole,
    digest,
    first_names,
    read_json,
    read_parquet,
    scan_parquet,
    whole,
    write_json,
    write_parquet,
    write_text,
    write_tsv,
)


def test_a_file_appears_only_when_its_block_has_ended(tmp_path):
    path = tmp_path / "new" / "table.tsv"
    with whole(path) as temporary:
        temporary.write_text("half")
        assert not path.exists()
        assert temporary.parent == path.parent
        assert temporary.suffix == ".tsv"
    assert path.read_text() == "half"
    assert list(path.parent.iterdir()) == [path]


@pytest.mark.parametrize("name", ["run[1]", "run*", "run?"])
def test_a_path_is_the_file_of_that_name_and_no_pattern(tmp_path, name):
    for folder in ("run1", "run2", name):
        (tmp_path / folder).mkdir()
        write_parquet(tmp_path / folder / "t.parquet", pl.DataFrame({"x": [folder], "y": 1}))
    path = tmp_path / name / "t.parquet"
    assert read_parquet(path, columns=["x"]).rows() == [(name,)]
    assert scan_parquet(path).collect().rows() == [(name, 1)]
    assert scan_parquet([path, path]).collect()["x"].to_list() == [name] * 2


def fail_while_writing(path, error):
    with whole(path) as temporary:
        temporary.write_text("half")
        raise error


def test_an_error_leaves_neither_file_nor_temporary(tmp_path):
    with pytest.raises(RuntimeError):
        fail_while_writing(tmp_path / "table.tsv", RuntimeError)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt, SystemExit])
def test_an_error_keeps_the_old_file(tmp_path, error):
    path = tmp_path / "table.tsv"
    write_text(path, "old")
    with pytest.raises(error):
        fail_while_writing(path, error)
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_new_text_replaces_the_old_one(tmp_path):
    path = tmp_path / "note.txt"
    write_text(path, "a longer first text")
    write_text(path, "ä")
    assert path.read_bytes() == "ä".encode()


def test_a_written_file_is_as_readable_as_any_other(tmp_path):
    usual = tmp_path / "usual.txt"
    usual.write_text("")
    write_text(tmp_path / "whole.txt", "")
    modes = {stat.S_IMODE(path.stat().st_mode) for path in tmp_path.iterdir()}
    assert modes == {stat.S_IMODE(usual.stat().st_mode)}


@pytest.mark.parametrize("value", [float("nan"), float("inf"), [1.0, float("-inf")]])
def test_json_refuses_what_is_not_json_and_keeps_the_old_file(tmp_path, value):
    path = tmp_path / "value.json"
    write_json(path, {"metric": None})
    with pytest.raises(ValueError, match="JSON"):
        write_json(path, {"metric": value})
    assert read_json(path) == {"metric": None}
    assert list(tmp_path.iterdir()) == [path]


def test_json_comes_back_as_it_was(tmp_path):
    value = {"name": "Ångström", "numbers": [1, 2.5, None], "nested": {"yes": True}}
    write_json(tmp_path / "value.json", value)
    assert read_json(tmp_path / "value.json") == value
    assert json.loads((tmp_path / "value.json").read_text(encoding="utf-8")) == value


def test_digest_knows_values_and_not_the_order_of_keys():
    assert digest({"a": 1, "b": 2}) == digest({"b": 2, "a": 1})
    assert digest(["a", "b"]) != digest(["b", "a"])
    assert digest("ab", "c") != digest("a", "bc")
    assert len(digest("a", length=24)) == 24


@pytest.mark.parametrize("write", [write_tsv, write_parquet])
def test_a_table_replaces_the_old_one_whole_or_not_at_all(write, tmp_path):
    path = tmp_path / "new" / "table"
    write(path, pl.DataFrame({"a": [1, 2], "b": ["x", None]}))
    before = path.read_bytes()
    with pytest.raises(AttributeError):
        write(path, None)
    assert path.read_bytes() == before
    assert list(path.parent.iterdir()) == [path]


def test_the_names_of_a_message_say_that_there_are_more():
    assert first_names("abcd") == "a, b, c, d"
    assert first_names("abcde") == "a, b, c, d, ..."


def whole_files(folder):
    """A file of every kind that passes between jobs, as the writers leave it."""
    frame = pl.DataFrame(
        {"gene": [f"g{n}" for n in range(99)], "score": [n / 7 for n in range(99)]}
    )
    write_json(folder / "empty.json", {})
    write_json(folder / "facts.json", {"name": "facts", "batches": [{"rows": [1, 2]}]})
    write_json(folder / "list.json", [{"rows": 1}])
    write_tsv(folder / "genes.tsv", frame)
    write_parquet(folder / "genes.parquet", frame)
    with zipfile.ZipFile(folder / "model.gbm", "w") as archive:
        archive.writestr("model.json", "{}" * 99)
    return sorted(folder.iterdir())


def test_whole_files_of_every_kind_pass(tmp_path):
    check_whole(whole_files(tmp_path))


@pytest.mark.parametrize("left", [0, 0.5, 0.97])
@pytest.mark.parametrize("name", ["facts.json", "genes.tsv", "genes.parquet", "model.gbm"])
def test_a_file_of_any_kind_that_is_cut_off_is_named_with_the_remedy(tmp_path, name, left):
    whole_files(tmp_path)
    path = tmp_path / name
    data = path.read_bytes()
    path.write_bytes(data[: int(left * len(data))])
    with pytest.raises(InputError, match=rf"{name} is cut off .*; delete it and run the workflow"):
        check_whole([path])


def test_json_that_is_broken_inside_is_named_with_the_remedy(tmp_path):
    path = tmp_path / "facts.json"
    path.write_text('{"rows": 1,,}\n')
    with pytest.raises(InputError, match=r"facts.json is no whole JSON file .*; delete it and run"):
        read_json(path)
