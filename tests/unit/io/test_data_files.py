"""Which files are the data."""

import glob
import gzip
import os
import random

import polars as pl
import pytest

from genebatch.io.data_files import find_files, find_shards, folder_columns, holds_text
from genebatch.io.files import InputError
from genebatch.io.tables import read_table

TABLE = pl.DataFrame({"x": [1]})


def write(folder, *names: str) -> None:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        TABLE.write_parquet(folder / name)


def names_of(folder, path=None) -> list[str]:
    return [str(file.relative_to(folder)) for file in find_shards(path or folder)]


def test_shards_of_a_folder_are_sorted_and_found_in_subfolders(tmp_path):
    names = ["b.parquet", "a.parquet", "sub/c.parquet", "notes.txt"]
    for name in names:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    found = [str(path.relative_to(tmp_path)) for path in find_shards(tmp_path)]
    assert found == ["a.parquet", "b.parquet", "sub/c.parquet"]
    assert find_shards(f"{tmp_path}/[ab].parquet") == [
        tmp_path / "a.parquet",
        tmp_path / "b.parquet",
    ]
    assert find_shards(tmp_path / "a.parquet") == [tmp_path / "a.parquet"]


@pytest.mark.parametrize("name", ["absent", "absent/*.parquet"])
def test_a_path_that_matches_nothing_is_named(tmp_path, name):
    with pytest.raises(InputError, match=r"absent.* does not exist .* dataset\.path"):
        find_shards(tmp_path / name, "dataset.path")


def test_an_empty_folder_is_named(tmp_path):
    said = r"holds no table \(\*\.parquet, \*\.csv, .*, text also with \.gz\); set dataset\.path"
    with pytest.raises(InputError, match=said):
        find_shards(tmp_path, "dataset.path")


@pytest.mark.parametrize("pattern", ["", "/*", "/**"])
def test_tables_of_text_are_found_as_shards_are(tmp_path, pattern):
    names = ["a.csv", "b.TSV.gz", "part-2.txt", "part-10.txt", "sub/c.tab"]
    for name in [*names, "_hidden.csv"]:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("x\n1\n")
    assert names_of(tmp_path, f"{tmp_path}{pattern}") == names
    assert holds_text(f"{tmp_path}{pattern}")
    (note,) = find_files(tmp_path).notes
    assert note.startswith(f"{tmp_path}/_hidden.csv is no data")


@pytest.mark.parametrize("pattern", ["", "/*"])
@pytest.mark.parametrize("name", ["genes.tsv", "a.csv.gz", "sub/x.tab"])
def test_parquet_and_text_together_are_refused_and_named(tmp_path, name, pattern):
    write(tmp_path, "part-0.parquet")
    (tmp_path / name).parent.mkdir(exist_ok=True)
    (tmp_path / name).write_text("x\n1\n")
    said = (
        rf"of Parquet \(part-0.parquet\) and of text \({(tmp_path / name).name}\); wanted one kind"
    )
    with pytest.raises(InputError, match=said) as raised:
        find_shards(f"{tmp_path}{pattern}")
    remedy = str(raised.value).rpartition("such as ")[2]
    assert find_shards(remedy) == [tmp_path / "part-0.parquet"]


def test_notes_beside_parquet_files_are_no_data_and_are_told(tmp_path):
    write(tmp_path, "part-0.parquet")
    (tmp_path / "README.txt").write_text("about these files")
    found = find_files(tmp_path)
    assert found.paths == [tmp_path / "part-0.parquet"]
    assert found.notes == [f"{tmp_path}/README.txt is no data: a .txt file beside Parquet files"]
    assert not holds_text(tmp_path)


@pytest.mark.parametrize(
    ("path", "text"),
    [("absent.csv", True), ("absent/*.tsv.gz", True), ("absent", False), ("absent/*", False)],
)
def test_the_name_tells_what_a_table_that_is_not_there_yet_will_be(tmp_path, path, text):
    assert holds_text(tmp_path / path) == text


SPARK = "_temporary/0/_temporary/attempt_1/part-0-checkpoint.parquet"


@pytest.mark.parametrize(
    "hidden",
    [
        SPARK,
        "more/_temporary/0/part-0.parquet",
        ".hive-staging_1/part-0.parquet",
        ".ipynb_checkpoints/a-checkpoint.parquet",
        "_part-0.parquet",
        "more/.part-0.parquet",
    ],
)
@pytest.mark.parametrize("pattern", ["", "/**/*.parquet", "/**", "/*"])
def test_names_that_begin_with_an_underscore_or_a_dot_are_no_data(tmp_path, hidden, pattern):
    write(tmp_path, hidden, "a.parquet", "more/b.parquet")
    assert names_of(tmp_path, f"{tmp_path}{pattern}") == ["a.parquet", "more/b.parquet"]


def test_what_was_left_out_is_told(tmp_path):
    write(tmp_path, SPARK, "_a.parquet", "b.parquet")
    (tmp_path / "_SUCCESS").touch()
    notes = find_files(tmp_path).notes
    assert [note.partition(" is no data")[0] for note in notes] == [
        f"{tmp_path}/_a.parquet",
        f"{tmp_path}/_temporary",
    ]


def test_the_path_of_the_table_itself_may_begin_so(tmp_path):
    write(tmp_path, "_mine/.there/a.parquet")
    assert len(find_shards(tmp_path / "_mine" / ".there")) == 1
    assert len(find_shards(f"{tmp_path}/_mine/.there/*.parquet")) == 1
    assert len(find_shards(f"{tmp_path}/*/.there/*.parquet")) == 1


def test_a_column_whose_name_begins_with_an_underscore_is_data(tmp_path):
    write(tmp_path, "_chrom=1/a.parquet")
    assert names_of(tmp_path) == ["_chrom=1/a.parquet"]


@pytest.mark.parametrize("pattern", ["", "/**/*.parquet", "/**"])
def test_links_are_followed_and_cycles_end(tmp_path, pattern):
    data, elsewhere = tmp_path / "data", tmp_path / "elsewhere"
    write(tmp_path, "data/a.parquet", "elsewhere/b.parquet")
    (data / "more").symlink_to(elsewhere)
    (elsewhere / "back").symlink_to(data)
    (elsewhere / "again").symlink_to(elsewhere)
    assert names_of(data, f"{data}{pattern}") == ["a.parquet", "more/b.parquet"]


def test_a_file_that_is_reached_twice_counts_once_and_is_told(tmp_path):
    write(tmp_path, "a.parquet", "sub/b.parquet")
    (tmp_path / "c.parquet").symlink_to(tmp_path / "a.parquet")
    (tmp_path / "zub").symlink_to(tmp_path / "sub")
    os.link(tmp_path / "a.parquet", tmp_path / "d.parquet")
    found = find_files(tmp_path)
    assert [path.name for path in found.paths] == ["a.parquet", "b.parquet"]
    assert len(found.notes) == 3
    assert f"{tmp_path}/zub is the same as {tmp_path}/sub: it is read once" in found.notes


@pytest.mark.parametrize("name", ["more", "more.parquet"])
def test_a_link_to_nothing_is_refused(tmp_path, name):
    write(tmp_path, "a.parquet")
    (tmp_path / name).symlink_to(tmp_path / "absent")
    with pytest.raises(InputError, match=rf"{name} is a link to .*absent, where nothing is"):
        find_shards(tmp_path)


def test_a_folder_may_be_called_like_a_file(tmp_path):
    write(tmp_path, "table.parquet/part.0.parquet", "table.parquet/part.1.parquet")
    assert names_of(tmp_path) == ["table.parquet/part.0.parquet", "table.parquet/part.1.parquet"]


NATURAL = ["part-1", "part-2", "part-10", "part-10b", "part-100", "partition"]
PLAIN = sorted(["a", "a-b", "a.b", "a0", "a1", "a_b", "b", "part-000", "part-001", "part-010"])


@pytest.mark.parametrize("names", [NATURAL, PLAIN, [f"{name}/{name}" for name in NATURAL]])
@pytest.mark.parametrize("pattern", ["", "/**/*.parquet"])
def test_numbers_in_names_sort_by_value_and_the_rest_as_text(tmp_path, names, pattern):
    names = [f"{name}.parquet" for name in names]
    names = sorted(names) if "a-b.parquet" in names else names
    write(tmp_path, *random.Random(0).sample(names, len(names)))
    assert names_of(tmp_path, f"{tmp_path}{pattern}") == names


FORMATS = {
    "Delta": "_delta_log/00000000000000000000.json",
    "Iceberg": "metadata/v1.metadata.json",
    "Hudi": ".hoodie/hoodie.properties",
    "Lance": "_versions/1.manifest",
}


@pytest.mark.parametrize(("name", "mark"), FORMATS.items())
@pytest.mark.parametrize("inside", ["", "below"])
@pytest.mark.parametrize("pattern", ["", "/**/*.parquet", "/*"])
def test_formats_that_keep_removed_rows_are_named(tmp_path, name, mark, inside, pattern):
    folder = tmp_path / inside
    write(folder, "part-0.parquet", "chrom=1/part-0.parquet")
    (folder / mark).parent.mkdir()
    (folder / mark).touch()
    with pytest.raises(InputError, match=f"is an? {name} table .* Export"):
        find_shards(f"{tmp_path}{pattern}")


@pytest.mark.parametrize("path", ["data", "data/chrom=1", "data/chrom=1/gene=2"])
def test_a_part_of_such_a_format_is_named(tmp_path, path):
    write(tmp_path, "data/chrom=1/gene=2/part-0.parquet", "metadata/x")
    (tmp_path / "metadata" / "v1.metadata.json").touch()
    with pytest.raises(InputError, match="is an Iceberg table"):
        find_shards(tmp_path / path)


@pytest.mark.parametrize(
    "name",
    ["b.pq", "b.parq", "b.PARQUET", "000000_0", "b.parquet.gzip", "b.Parquet.x", "b.parquet.1"],
)
def test_parquet_files_with_other_endings_are_not_passed_over(tmp_path, name):
    write(tmp_path, "a.parquet", name)
    with pytest.raises(InputError, match=rf"do not end in \.parquet \({name}\); rename them"):
        find_shards(tmp_path)
    (tmp_path / name).rename(tmp_path / "b.parquet")
    assert names_of(tmp_path) == ["a.parquet", "b.parquet"]


def test_other_files_are_no_data(tmp_path):
    write(tmp_path, "a.parquet", "a.parquet.bak")
    (tmp_path / "README").write_text("about these files")
    assert names_of(tmp_path) == ["a.parquet"]


@pytest.mark.parametrize("table", ["a.parquet", "a.csv"])
def test_all_files_that_are_left_out_are_counted_and_named(tmp_path, table):
    write(tmp_path, "b.parquet.bak") if table == "a.parquet" else None
    for name in (table, "x.xlsx", "sub/y.dat", "z.csv.md5", "lost.json", "_SUCCESS", ".z.crc"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("x\n1\n")
    (tmp_path / "lost.json").unlink()
    (tmp_path / "lost.json").symlink_to(tmp_path / "absent")
    (note,) = find_files(tmp_path).notes
    names = ["b.parquet.bak"] * (table == "a.parquet")
    names += ["lost.json", "y.dat", "x.xlsx", "z.csv.md5"]
    shown = ", ".join(names[:4]) + ", ..." * (len(names) > 4)
    said = f"{len(names)} files of {tmp_path} are no data, by the endings of their names: {shown}"
    assert note == said


def test_a_single_file_that_is_left_out_is_named_with_its_folder(tmp_path):
    write(tmp_path, "a.parquet", "sub/b.parquet")
    (tmp_path / "sub" / "README").write_text("about these files")
    said = f"{tmp_path}/sub/README is no data, by the ending of its name"
    assert find_files(tmp_path).notes == [said]
    assert not find_files(f"{tmp_path}/**/*.parquet").notes


@pytest.mark.parametrize("ending", ["bz2", "zst", "xz", "zip", "gzip", "bgz", "lz4", "ZIP"])
@pytest.mark.parametrize("table", ["part-0.csv", "part-0.parquet"])
def test_a_table_in_another_compression_is_refused(tmp_path, ending, table):
    (tmp_path / table).write_text("x\n1\n")
    for kind in ("csv", "TSV", "tab", "parquet"):
        packed = tmp_path / f"sub/part-1.{kind}.{ending}"
        packed.parent.mkdir(exist_ok=True)
        packed.write_bytes(b"BZh")
        said = rf"folder .*/sub holds tables in a compression that is not read \({packed.name}\)"
        with pytest.raises(InputError, match=said):
            find_shards(tmp_path)
        packed.unlink()


def test_a_parquet_file_inside_of_gzip_is_refused(tmp_path):
    write(tmp_path, "a.parquet")
    (tmp_path / "b.parquet.gz").write_bytes(gzip.compress((tmp_path / "a.parquet").read_bytes()))
    with pytest.raises(InputError, match=r"compression that is not read \(b.parquet.gz\)"):
        find_shards(tmp_path)


def test_packed_notes_are_notes_beside_parquet_and_refused_beside_text(tmp_path):
    write(tmp_path, "a.parquet")
    (tmp_path / "about.txt.zip").write_bytes(b"PK\x03\x04")
    said = f"{tmp_path}/about.txt.zip is no data, by the ending of its name"
    assert find_files(tmp_path).notes == [said]
    (tmp_path / "a.parquet").rename(tmp_path / "a.parquet.bak")
    (tmp_path / "a.csv").write_text("x\n1\n")
    with pytest.raises(InputError, match=r"compression that is not read \(about.txt.zip\)"):
        find_shards(tmp_path)


@pytest.mark.parametrize("hidden", ["_o/c.csv", "_o/deep/c.TSV.gz", ".o/c.tab", "_o/c.parquet"])
@pytest.mark.parametrize("pattern", ["", "/**"])
def test_hidden_tables_of_both_kinds_are_told(tmp_path, hidden, pattern):
    for name in ("a.csv", hidden, "_notes/about.txt"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("x\n1\n")
    notes = find_files(f"{tmp_path}{pattern}").notes
    assert f"{tmp_path}/{hidden.split('/')[0]} is no data: a name in it begins with _ or ." in notes
    assert not any("_notes" in note for note in notes)


@pytest.mark.parametrize("name", ["b.csv", "sub/b.TSV"])
@pytest.mark.parametrize("pattern", ["", "/**", "/**/*b*"])
def test_a_file_beside_its_compressed_copy_is_refused(tmp_path, name, pattern):
    for file in ("b.tab", "sub/a.csv.gz", name, f"{name}.gz"):
        (tmp_path / file).parent.mkdir(exist_ok=True)
        (tmp_path / file).write_text("x\n1\n")
    said = rf"{name}.gz lies beside {tmp_path}/{name}, as if it were its copy; move one of them"
    with pytest.raises(InputError, match=said):
        find_shards(f"{tmp_path}{pattern}", "predict.tables.new")
    (tmp_path / name).unlink()
    assert len(find_shards(tmp_path)) == 3


def test_notes_beside_parquet_may_have_compressed_copies(tmp_path):
    write(tmp_path, "a.parquet")
    for name in ("about.txt", "about.txt.gz"):
        (tmp_path / name).write_text("about these files")
    assert names_of(tmp_path) == ["a.parquet"]


def test_what_is_left_out_is_told_once_where_rows_are_read(tmp_path, caplog):
    write(tmp_path, "a.parquet")
    (tmp_path / "b.dat").write_text("x\n2\n")
    assert pl.concat(read_table(tmp_path, ["x"]))["x"].to_list() == [1]
    assert caplog.messages == [f"{tmp_path}/b.dat is no data, by the ending of its name"]


@pytest.mark.parametrize(
    ("path", "columns"),
    [
        ("data", {"chrom": "chr1", "a b": "x/y"}),
        ("data/chrom=chr1", {"a b": "x/y"}),
        ("data/*/*/*.parquet", {"chrom": "chr1", "a b": "x/y"}),
        ("data/**/*.parquet", {"chrom": "chr1", "a b": "x/y"}),
        ("data/chrom=chr1/a%20b=x%2Fy/0.parquet", {}),
    ],
)
def test_folders_are_columns(tmp_path, path, columns):
    name = "data/chrom=chr1/a%20b=x%2Fy/0.parquet"
    write(tmp_path, name)
    assert folder_columns(tmp_path / path, tmp_path / name) == columns


@pytest.mark.parametrize("odd", ["run[1]", "run*", "run?", "a=[1]"])
def test_an_escaped_glob_begins_with_a_folder_of_that_name(tmp_path, odd):
    write(tmp_path, "run1/a.parquet", "a=1/a.parquet", f"{odd}/chrom=2/a.parquet")
    pattern = f"{glob.escape(str(tmp_path / odd))}/*/*.parquet"
    assert find_shards(pattern) == [tmp_path / odd / "chrom=2/a.parquet"]
    assert folder_columns(pattern, find_shards(pattern)[0]) == {"chrom": "2"}


def test_the_glob_that_an_error_names_finds_the_files_of_the_folder(tmp_path):
    write(tmp_path, "data[1]/a.parquet", "data1/b.parquet")
    (tmp_path / "data[1]/b.csv").write_text("x\n1\n")
    with pytest.raises(InputError) as raised:
        find_shards(tmp_path / "data[1]")
    assert find_shards(str(raised.value).rpartition("such as ")[2]) == [
        tmp_path / "data[1]/a.parquet"
    ]


def test_hives_word_for_null_is_a_null(tmp_path):
    write(tmp_path, "chrom=__HIVE_DEFAULT_PARTITION__/empty=/0.parquet")
    (file,) = find_shards(tmp_path)
    assert folder_columns(tmp_path, file) == {"chrom": None, "empty": ""}
