"""What the path of a table means by its words."""

import glob
from pathlib import Path

import pytest

from genebatch.io.globs import is_hidden, may_read, root_of


@pytest.mark.parametrize(
    ("path", "root"),
    [
        ("data/*/a.parquet", "data"),
        ("data/**", "data"),
        ("*.csv", "."),
        ("absent/a.csv", "absent/a.csv"),
        (f"{glob.escape('run[1]*?')}/table/part-*", "run[1]*?/table"),
        ("run[1]/table/part-*", "."),
    ],
)
def test_a_glob_begins_with_a_folder(path, root):
    assert root_of(path) == Path(root)


def test_names_that_begin_with_a_dot_or_an_underscore_are_hidden():
    names = [".a", "_a", "_a=1", ".a=1", "a_", "a."]
    assert [name for name in names if is_hidden(name)] == [".a", "_a", ".a=1"]


def test_a_glob_reads_what_a_folder_may_come_to_hold(tmp_path):
    folder, never = tmp_path / "data" / "r", (".csv",)
    for path in ("data", "data/*", "data/**/*.tsv", "*/*/*/part-*"):
        assert may_read(tmp_path / path, folder, never)
    for path in ("other", "data/*.tsv", "data/s*", "data/**/*.csv", "data/r/deep/*"):
        assert not may_read(tmp_path / path, folder, never)
