"""Rows of some groups are read from the shards that were analysed."""

import os

import polars as pl
import pytest

from genebatch.dataset.shards import read_groups
from genebatch.io import tables
from genebatch.io.files import InputError


def rows_of(analysed, names, columns, place=None):
    groups = analysed.groups.filter(pl.col("group").is_in(names))
    return pl.concat(read_groups(analysed.shards, groups, columns, "gene_id", place))


def test_all_rows_of_the_wanted_groups_come_and_no_others(table, analyse):
    frame = table()
    analysed = analyse(frame.sample(fraction=1, shuffle=True, seed=1), shards=3, row_group_size=7)
    found = rows_of(analysed, ["g03", "g07"], ["position", "noise"])
    wanted = frame.filter(pl.col("gene_id").is_in(["g03", "g07"]))
    assert found.columns == ["gene_id", "position", "noise"]
    assert found.sort("gene_id", "position").equals(wanted.select(found.columns))


def test_only_row_groups_that_hold_the_groups_are_touched(table, analyse, monkeypatch):
    analysed = analyse(table(), shards=3, row_group_size=10)  # one gene a row group
    read = {}
    iterate = tables.pq.ParquetFile.iter_batches

    def counted(self, *args, row_groups, **options):
        read[len(read)] = row_groups
        return iterate(self, *args, row_groups=row_groups, **options)

    monkeypatch.setattr(tables.pq.ParquetFile, "iter_batches", counted)
    assert rows_of(analysed, ["g01", "g11"], ["noise"]).height == 20
    assert read == {0: [1], 1: [3]}  # the second gene of part-0, the last of part-2


def test_rows_come_in_pieces_of_at_most_a_batch(table, analyse, monkeypatch):
    analysed = analyse(table())
    monkeypatch.setattr(tables, "BATCH_ROWS", 16)
    pieces = list(read_groups(analysed.shards, analysed.groups, ["noise"], "gene_id"))
    assert max(piece.height for piece in pieces) <= 16
    assert pl.concat(pieces)["noise"].equals(table()["noise"])


@pytest.mark.parametrize("kind", [pl.Int32, pl.Categorical, pl.Boolean])
def test_groups_need_not_be_text(table, analyse, kind):
    numbers = pl.col("gene_id").str.slice(1).cast(pl.Int32)
    made = {
        pl.Int32: numbers,
        pl.Categorical: pl.col("gene_id").cast(pl.Categorical),
        pl.Boolean: numbers % 2 == 0,
    }
    frame = table().with_columns(
        made[kind].alias("gene_id"), pl.int_range(pl.len()).alias("position")
    )
    analysed = analyse(frame, shards=2)
    name = analysed.groups["group"][1]
    found = rows_of(analysed, [name], ["noise"])
    assert found["gene_id"].unique().to_list() == [name]
    assert found.height == analysed.groups["rows"][1]


@pytest.mark.parametrize("state", ["changed", "gone"])
def test_a_shard_that_is_not_the_analysed_one_is_refused(table, analyse, state, tmp_path):
    analysed = analyse(table())
    path = tmp_path / "data" / "part-0.parquet"
    if state == "gone":
        path.unlink()
    else:
        table(n_groups=13).write_parquet(path)
    with pytest.raises(
        InputError, match=r"part-0\.parquet (is gone; run|has [\d,]+ bytes but had)"
    ):
        rows_of(analysed, ["g03"], ["noise"])


def test_a_shard_that_changed_to_the_same_size_is_refused(table, analyse, tmp_path):
    """One changed byte is seen wherever it stands, and whatever its time says."""
    analysed = analyse(table())
    path = tmp_path / "data" / "part-0.parquet"
    before, times = path.read_bytes(), path.stat()
    for place in range(0, len(before), 997):
        changed = bytearray(before)
        changed[place] ^= 1
        path.write_bytes(changed)
        os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))
        with pytest.raises(InputError, match=r"part-0\.parquet has other values than when"):
            rows_of(analysed, ["g03"], ["noise"])
    path.write_bytes(before)
    assert rows_of(analysed, ["g03"], ["noise"]).height == 10


def test_places_rise_with_the_rows_and_do_not_depend_on_what_is_read(table, analyse, monkeypatch):
    frame = table().sample(fraction=1, shuffle=True, seed=1)
    analysed = analyse(frame, shards=3, row_group_size=7)
    every = rows_of(analysed, analysed.groups["group"].to_list(), ["noise"], "place")
    assert every["noise"].equals(frame["noise"])
    assert every["place"].dtype == pl.UInt64
    assert (every["place"].diff().drop_nulls() > 0).all()
    monkeypatch.setattr(tables, "BATCH_ROWS", 3)
    some = rows_of(analysed, ["g03", "g07"], ["noise"], "place")
    assert some.equals(every.filter(pl.col("gene_id").is_in(["g03", "g07"])))
