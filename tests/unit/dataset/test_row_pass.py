"""One pass over the data set writes the rows of every part into a file of its own."""

import os
from dataclasses import replace

import polars as pl
import pyarrow.parquet as pq
import pytest

from genebatch.config.settings import Labels
from genebatch.dataset import row_pass
from genebatch.dataset.profile import analyze
from genebatch.dataset.row_file import RowFile, joined_facts
from genebatch.dataset.row_pass import write_row_files
from genebatch.io.files import InputError
from tests.builders.row_files import (
    expected_rows,
    features_of,
    parts_of,
    rows_of,
    write_parts,
)
from tests.builders.small_table import Analysed
from tests.builders.tables_and_figures import set_cells

NAMES = [f"g{number:02d}" for number in range(12)]
# The batches share a group, and the test groups are in no batch.
DEALT = {"b000": NAMES[1:10:2], "b001": [*NAMES[0:10:2], "g01"], "test": NAMES[10:]}
MIXED = {"shards": 3, "row_group_size": 7}


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "rows"


@pytest.fixture
def frame(table):
    """The small table, its rows in disorder."""
    return table().sample(fraction=1, shuffle=True, seed=1)


@pytest.fixture
def analysed(frame, analyse):
    """Its analysis; every group is in several shards and row groups."""
    return analyse(frame, **MIXED)


@pytest.fixture
def parts(analysed):
    return parts_of(analysed, DEALT)


@pytest.fixture
def written(analysed, parts, folder):
    """The three files."""
    return write_parts(analysed, parts, folder)


def changed(folder, write):
    """Names of the files that are written again."""
    before = {path.stem: path.stat().st_mtime_ns for path in folder.glob("*.arrow")}
    for path in folder.glob("*.arrow"):
        os.utime(path, ns=(before[path.stem] - 10**9,) * 2)
    write()
    after = {path.stem: path.stat().st_mtime_ns for path in folder.glob("*.arrow")}
    return {name for name in after if after[name] != before.get(name, 0) - 10**9}


# ---- what a file holds


def test_a_file_holds_the_rows_of_its_groups_in_the_order_of_the_data_set(
    frame, analysed, parts, written
):
    for part, file in zip(parts, written, strict=True):
        identity, features = rows_of(file.frames())
        wanted = expected_rows(frame, analysed, part)
        assert identity.equals(wanted[0])
        assert identity.schema == wanted[0].schema
        assert features.equals(wanted[1])
        assert features.schema == wanted[1].schema
        assert file.identity.equals(identity)


def test_no_row_of_a_test_group_is_in_the_file_of_a_batch(written):
    held = [set(file.identity["group"]) for file in written]
    assert held[2] == set(DEALT["test"])
    assert not held[2] & (held[0] | held[1])


def test_a_row_of_a_lent_group_is_in_the_file_of_every_batch_that_holds_it(written):
    for file in written:
        assert file.groups["group"].to_list() == sorted(DEALT[file.name])
        assert file.groups["rows"].to_list() == [10] * len(DEALT[file.name])


def test_a_file_says_what_it_is_of(analysed, parts, written):
    for part, file in zip(parts, written, strict=True):
        assert (file.name, file.key) == (part.name, part.key)
        assert file.n_rows == part.groups["rows"].sum()
        assert file.features == features_of(analysed)
        assert file.labels == analysed.table.labels


@pytest.mark.parametrize("waiting", [1, 1 << 20])
def test_small_chunks_make_the_same_rows(analysed, parts, written, folder, monkeypatch, waiting):
    monkeypatch.setattr(row_pass, "SPLIT_BYTES", 1)
    monkeypatch.setattr(row_pass, "WAITING_BYTES", waiting)
    other = write_parts(analysed, parts, folder.with_name("other"))
    for whole, small in zip(written, other, strict=True):
        assert all(
            one.equals(two)
            for one, two in zip(rows_of(whole.frames()), rows_of(small.frames()), strict=True)
        )


def test_rows_wait_until_a_record_batch_is_full(analysed, parts, folder, monkeypatch):
    monkeypatch.setattr(row_pass, "SPLIT_BYTES", 1)  # each chunk is one row group of the shards
    monkeypatch.setattr(row_pass, "BATCH_ROWS", 20)
    files = write_parts(analysed, parts, folder)
    for file in files:
        rows = [frame.identity.height for frame in file.frames()]
        assert rows == [20] * (file.n_rows // 20) + [file.n_rows % 20] * (file.n_rows % 20 > 0)


def test_types_of_the_table_are_kept_and_text_is_plain(table, analyse, folder):
    frame = table().with_columns(
        pl.col("splice_type", "gene_id").cast(pl.Categorical),
        pl.col("noise").cast(pl.Float64),
        (pl.col("position") > 3).alias("flag"),
        pl.col("position").cast(pl.Int16),
    )
    analysed = analyse(frame, **MIXED)
    (file,) = write_parts(analysed, parts_of(analysed, {"b000": NAMES}), folder)
    identity, features = rows_of(file.frames())
    assert identity.schema == {
        **{"group": pl.String, "label": pl.String, "position": pl.Int16},
        **{"weight": pl.Float64, "fold": pl.Int32},
    }
    kinds = {"noise": pl.Float64, "ties": pl.Float32, "flag": pl.Boolean, "kmer": pl.UInt8}
    assert features.schema == kinds


def test_an_empty_label_is_stored_as_its_class(table, analyse, folder):
    frame = table().with_columns(
        pl.when(pl.col("splice_type") != "neither").then(pl.col("splice_type"))
    )
    analysed = analyse(frame, null_label="neither")
    (file,) = write_parts(analysed, parts_of(analysed, {"b000": NAMES}), folder)
    assert file.identity["label"].equals(table()["splice_type"], check_names=False)


# ---- what is written again


def test_whole_files_are_not_written_again(analysed, parts, written, folder):
    assert changed(folder, lambda: write_parts(analysed, parts, folder)) == set()


def test_touched_shards_change_nothing(frame, analysed, parts, written, folder, tmp_path, analyse):
    for path in (tmp_path / "data").iterdir():
        os.utime(path, (1, 1))
    assert changed(folder, lambda: write_parts(analysed, parts, folder)) == set()
    again = analyse(frame, folder="copy", **MIXED)  # the same files elsewhere
    assert changed(folder, lambda: write_parts(again, parts_of(again, DEALT), folder)) == set()


@pytest.mark.parametrize("state", ["missing", "cut", "foreign"])
def test_only_a_file_that_is_not_whole_is_written_again(analysed, parts, written, folder, state):
    path = folder / "b001.arrow"
    content = path.read_bytes()
    if state == "missing":
        path.unlink()
    else:
        path.write_bytes(content[:-100] if state == "cut" else b"something else\n")
    assert changed(folder, lambda: write_parts(analysed, parts, folder)) == {"b001"}
    assert path.read_bytes() == content


def test_only_the_file_of_a_changed_part_is_written_again(analysed, parts, written, folder):
    fold = (2 - pl.col("fold")).alias("fold")
    other = parts[1]._replace(key="other", groups=parts[1].groups.with_columns(fold))
    changed_parts = [parts[0], other, parts[2]]
    assert changed(folder, lambda: write_parts(analysed, changed_parts, folder)) == {"b001"}
    assert RowFile.open(folder / "b001.arrow").key == "other"


def test_other_facts_rewrite_a_file_under_the_same_key(analysed, parts, written, folder):
    assert {tuple(file.facts) for file in written} == {()}
    facts = {"sequence": {"features": {"floor": 0.001}}, "trained_genes": ["one"]}
    changed_parts = [parts[0], parts[1]._replace(facts=facts), parts[2]]
    assert changed(folder, lambda: write_parts(analysed, changed_parts, folder)) == {"b001"}
    again = RowFile.open(folder / "b001.arrow")
    assert again.facts == facts
    assert again.key == parts[1].key
    assert changed(folder, lambda: write_parts(analysed, changed_parts, folder)) == set()


def test_facts_of_several_files_have_the_genes_of_all():
    made = {"identity_kinds": {"group": "text"}, "sequence": {"features": {}}}
    parts = [made | {"trained_genes": genes} for genes in (["b", "c"], ["a", "b"])]
    assert joined_facts(parts) == made | {"trained_genes": ["a", "b", "c"]}
    assert joined_facts([*parts, made]) == made
    assert joined_facts([{}, {}]) == {}


def test_other_settings_of_the_labels_rewrite_every_file(analysed, parts, written, folder):
    labels = Labels.build(analysed.table.labels.plain() | {"rest_class": "neither"})
    other = analysed._replace(table=replace(analysed.table, labels=labels))
    assert changed(folder, lambda: write_parts(other, parts, folder)) == {*DEALT}
    assert RowFile.open(folder / "test.arrow").labels.rest_class == "neither"


def test_a_changed_shard_rewrites_the_files_that_hold_its_groups(table, analyse, folder):
    dealt = {"b000": NAMES[:4], "b001": NAMES[4:]}
    keys = {"shards": 3, "row_group_size": 10}  # four whole groups in each shard
    before = analyse(table(), **keys)
    write_parts(before, parts_of(before, dealt), folder)
    after = analyse(set_cells(table(), "noise", [119], 0.5), folder="changed", **keys)
    parts = parts_of(after, dealt)
    assert changed(folder, lambda: write_parts(after, parts, folder)) == {"b001"}
    _, features = rows_of(RowFile.open(folder / "b001.arrow").frames())
    assert features["noise"][-1] == 0.5


def test_a_column_of_another_type_rewrites_the_files_under_the_same_key(table, analyse, folder):
    before = analyse(table(), **MIXED)
    parts = parts_of(before, DEALT)
    write_parts(before, parts, folder)
    wide = analyse(table().with_columns(pl.col("kmer").cast(pl.Int32)), folder="wide", **MIXED)
    assert [part.key for part in parts_of(wide, DEALT)] == [part.key for part in parts]
    again = changed(folder, lambda: write_parts(wide, parts_of(wide, DEALT), folder))
    assert again == {*DEALT}
    _, features = rows_of(RowFile.open(folder / "b001.arrow").frames())
    assert features["kmer"].dtype == pl.Int32


def test_rows_at_other_places_rewrite_their_files_under_the_same_key(
    table, analyse, folder, tmp_path
):
    before = analyse(table(), shards=3)
    first = parts_of(before, DEALT)
    places = stored(write_parts(before, first, folder))["place"]
    in_front = table()[:10].with_columns(pl.lit("another").alias("gene_id"))
    in_front.write_parquet(tmp_path / "data" / "a-first.parquet")
    after = Analysed(before.table, *analyze(before.table, None))
    second = parts_of(after, DEALT)
    assert [part.key for part in second] == [part.key for part in first]
    assert changed(folder, lambda: write_parts(after, second, folder)) == {*DEALT}
    files = [RowFile.open(folder / f"{name}.arrow") for name in DEALT]
    assert not stored(files)["place"].equals(places)
    for part, file in zip(second, files, strict=True):
        identity, features = rows_of(file.frames())
        wanted = expected_rows(table(), before, part)
        assert identity.equals(wanted[0])
        assert features.equals(wanted[1])


def stored(files):
    return pl.concat(frame for file in files for frame in file.placed_frames())


def test_files_of_no_part_are_removed(analysed, parts, written, folder):
    others = [folder / name for name in ("b777.arrow", ".a1b2.part.arrow")]
    for path in others:
        path.write_text("")
    (folder / "notes.txt").write_text("kept")
    write_parts(analysed, parts, folder)
    assert {path.name for path in folder.iterdir()} == {
        *(f"{name}.arrow" for name in DEALT),
        "notes.txt",
    }


def test_row_groups_that_only_whole_files_need_are_not_read(table, analyse, folder, monkeypatch):
    analysed = analyse(table(), shards=3, row_group_size=10)  # one group each
    parts = parts_of(analysed, DEALT)
    write_parts(analysed, parts, folder)
    (folder / "b001.arrow").unlink()
    read = []
    batches = pq.ParquetFile.iter_batches

    def recorded(self, *arguments, row_groups, **options):
        read.extend(row_groups)
        return batches(self, *arguments, row_groups=row_groups, **options)

    monkeypatch.setattr(pq.ParquetFile, "iter_batches", recorded)
    write_parts(analysed, parts, folder)
    assert len(read) == len(DEALT["b001"])


# ---- what is refused


@pytest.mark.parametrize("kept", ["b000", None])
def test_a_data_set_that_changed_since_the_analysis_is_refused(
    table, analysed, parts, folder, tmp_path, kept
):
    if kept:
        write_parts(analysed, parts, folder)
        (folder / "b001.arrow").unlink()
    for number in range(3):
        table(n_groups=5).write_parquet(tmp_path / "data" / f"part-{number}.parquet")
    with pytest.raises(InputError, match=r"part-\d\.parquet has .*run the workflow again"):
        write_parts(analysed, parts, folder)
    assert {path.stem for path in folder.glob("*")} == ({"b000", "test"} if kept else set())


def test_a_part_without_rows_is_refused_before_any_file_is_written(analysed, parts, folder):
    empty = parts[-1]._replace(groups=parts[-1].groups.clear())
    with pytest.raises(InputError, match=r"test has no rows; .*--forcerun choose_test_groups"):
        write_parts(analysed, [*parts[:-1], empty], folder)
    assert not list(folder.glob("*"))


def test_rows_that_were_not_planned_are_refused(analysed, parts, folder):
    more = parts[0].groups.with_columns(pl.col("rows") + 1)
    message = r"b000 has 50 rows but 55 were planned; .*run the workflow again"
    with pytest.raises(InputError, match=message):
        write_parts(analysed, [parts[0]._replace(groups=more), *parts[1:]], folder)
    assert list(folder.iterdir()) == []


def test_every_file_is_open_at_once_or_the_remedy_is_named(analysed, parts, folder, monkeypatch):
    asked = []
    monkeypatch.setattr(row_pass, "allow_open_files", asked.append)
    write_row_files(
        analysed.shards, parts, features_of(analysed), analysed.table.labels, str(folder)
    )
    assert asked == [6]
