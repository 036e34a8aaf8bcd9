"""Base scores of genes from tables of every kind, and the error for each wrong table."""

import gzip
import re

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from genebatch.genome.genes import Gene
from genebatch.genome.scores import rows as rows_module
from genebatch.genome.scores import table as table_module
from genebatch.genome.scores.tracks import open_scores
from genebatch.io import text as text_module
from genebatch.io.files import InputError


def gene(name, length, start=0, strand="+", chrom="chr1"):
    return Gene(name, f"name of {name}", chrom, strand, start, start + length, "", ())


A, B = gene("A", 10), gene("B", 20, start=100, strand="-")
TABLE = pl.DataFrame(
    {
        "gene_id": ["A", "A", "B", "B", "B"],
        "position": [2, 9, 0, 4, 19],
        "donor": [0.5, 0.0, 0.25, 0.0, 1.0],
        "acceptor": [0.25, 0.75, 0.0, 0.5, 0.0],
    },
    schema_overrides={"donor": pl.Float32, "acceptor": pl.Float32},
)


def write(path, table=TABLE):
    """Write a table in the format of the name of its file."""
    if path.suffix == ".parquet":
        table.write_parquet(path)
        return path
    text = table.write_csv(separator="," if ".csv" in path.name else "\t").encode()
    path.write_bytes(gzip.compress(text) if path.suffix == ".gz" else text)
    return path


def whole(source, genes=(A, B), **options):
    with open_scores(source, genes, **options) as tracks:
        return [tracks.fetch(one, 0, one.length).tolist() for one in genes]


@pytest.fixture
def expected():
    tracks = [np.zeros((2, one.length)) for one in (A, B)]
    tracks[0][:, 2], tracks[0][:, 9] = (0.5, 0.25), (0, 0.75)
    tracks[1][:, 0], tracks[1][:, 4], tracks[1][:, 19] = (0.25, 0), (0, 0.5), (1, 0)
    return [track.tolist() for track in tracks]


@pytest.mark.parametrize("name", ["s.parquet", "s.tsv", "s.csv", "s.tsv.gz", "s.csv.gz"])
@pytest.mark.parametrize(
    "order", [[0, 1, 2, 3, 4], [4, 0, 3, 1, 2], [2, 3, 4, 0, 1], [1, 0, 2, 3, 4]]
)
def test_every_format_and_order_of_rows_gives_the_same_tracks(tmp_path, expected, name, order):
    assert whole(write(tmp_path / name, TABLE[order])) == expected


def test_format_is_told_by_content_and_not_by_the_name(tmp_path, expected):
    for name in ("s.parquet", "s.tsv.gz", "s.csv"):
        path = write(tmp_path / name).rename(tmp_path / "scores.txt")
        assert whole(path) == expected


@pytest.mark.parametrize("ending", ["parquet", "tsv", "csv.gz"])
def test_folders_and_globs_of_shards_are_one_table(tmp_path, expected, ending):
    for number, rows in enumerate([[3], [0, 1, 2], [4]]):
        write(tmp_path / f"part-{number}.{ending}", TABLE[rows])
    assert whole(tmp_path) == whole(f"{tmp_path}/part-*.{ending}") == expected


@pytest.mark.parametrize("group", [1, 2, 5])
def test_a_gene_may_span_row_groups_and_shards(tmp_path, expected, group):
    for number, rows in enumerate([slice(0, 1), slice(1, 4), slice(4, 5)]):
        TABLE[rows].write_parquet(tmp_path / f"part-{number}.parquet", row_group_size=group)
    assert whole(tmp_path) == expected


@pytest.mark.parametrize("kind", [pl.Categorical, pl.Enum(["B", "A"])])
def test_dictionary_ids_are_read_as_text(tmp_path, expected, kind):
    assert whole(write(tmp_path / "s.parquet", TABLE.cast({"gene_id": kind}))) == expected


def test_other_widths_of_numbers_and_further_columns_are_read(tmp_path, expected):
    table = TABLE.cast({"position": pl.UInt16, "donor": pl.Float64}).with_columns(x=1)
    assert whole(write(tmp_path / "s.parquet", table.select(sorted(table.columns)))) == expected
    assert whole(write(tmp_path / "s.tsv", table.select(sorted(table.columns)))) == expected


def test_sorted_parquet_is_read_where_it_lies_and_other_tables_by_a_copy(
    tmp_path, caplog, monkeypatch
):
    caplog.set_level("INFO")
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    monkeypatch.setattr(table_module.tempfile, "tempdir", str(scratch))
    with open_scores(write(tmp_path / "s.parquet"), [B]):
        assert not list(scratch.iterdir())
    assert "3 entries of 1 genes; 1 genes that are not asked for are ignored" in caplog.text
    for path, rows in ((tmp_path / "t.parquet", [1, 0, 2, 3, 4]), (tmp_path / "t.tsv", range(5))):
        with open_scores(write(path, TABLE[list(rows)]), [A, B]):
            assert [part.name for part in scratch.glob("*/*")] == ["sorted.parquet"]
        assert f"{path}: entries sorted by gene into" in caplog.text
        assert not list(scratch.iterdir())


def test_rows_of_other_genes_may_lie_between_those_of_a_gene(tmp_path, expected):
    other = TABLE[:1].with_columns(gene_id=pl.lit("other"))
    table = pl.concat([other, TABLE[:3], other, TABLE[3:4], other, TABLE[4:], other])
    assert whole(write(tmp_path / "s.parquet", table)) == expected


def test_no_genes_need_no_scores(tmp_path):
    open_scores(write(tmp_path / "s.parquet"), []).close()
    open_scores(write(tmp_path / "s.tsv"), []).close()


def test_large_row_groups_are_copied_so_that_no_gene_costs_one(tmp_path, monkeypatch, expected):
    monkeypatch.setattr(table_module, "GROUP_ROWS", 4)
    monkeypatch.setattr(table_module, "HELD_ROWS", 4)
    copies = []
    copy = table_module.sorted_copy
    monkeypatch.setattr(table_module, "sorted_copy", lambda *a: copies.append(1) or copy(*a))
    assert whole(write(tmp_path / "s.parquet")) == expected
    assert copies == [1]


def test_blocks_and_halos_are_cut_from_the_tracks(tmp_path):
    with open_scores(write(tmp_path / "s.parquet"), [A, B]) as tracks:
        track = tracks.fetch(B, -2, 22)
        assert track.dtype == np.float32
        assert np.flatnonzero(track[0]).tolist() == [2, 21]
        assert tracks.fetch(A, 2, 4).tolist() == [[0.5, 0], [0.25, 0]]
        assert tracks.fetch(B, 4, 5).tolist() == [[0], [0.5]]
        assert tracks.fetch(A, 3, 3).shape == (2, 0)
        assert not tracks.fetch(A, 3, 9).any()


@settings(max_examples=25)
@given(st.data())
def test_tracks_depend_neither_on_the_order_of_rows_nor_on_sizes_of_pieces(tmp_path_factory, data):
    places = data.draw(st.sets(st.tuples(st.integers(0, 3), st.integers(0, 29)), min_size=4))
    genes = [gene(f"g{number}", 30) for number in range(4)]
    rows = data.draw(st.permutations(sorted(places)))
    values = {place: (number + 1) / 1000 for number, place in enumerate(sorted(places))}
    table = pl.DataFrame(
        {
            "gene_id": [f"g{number}" for number, _ in rows],
            "position": [position for _, position in rows],
            "donor": [values[place] for place in rows],
            "acceptor": [0.0] * len(rows),
        }
    )
    folder = tmp_path_factory.mktemp("scores")
    path = write(folder / data.draw(st.sampled_from(["s.parquet", "s.tsv"])), table)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(rows_module, "BATCH_ROWS", data.draw(st.integers(1, 9)))
        patch.setattr(table_module, "BUCKET_NT", data.draw(st.integers(1, 100)))
        patch.setattr(table_module, "STORED_ROWS", data.draw(st.integers(1, 9)))
        patch.setattr(text_module, "BLOCK_BYTES", data.draw(st.integers(20, 200)))
        found = np.array(whole(path, genes, unscored="zero"))
    wanted = np.zeros((4, 2, 30), dtype=np.float32)
    for (number, position), value in values.items():
        wanted[number, 0, position] = value
    assert np.array_equal(found, wanted)


def changed(row, **cells):
    """The table with some cells of a row replaced."""
    chosen = pl.int_range(pl.len()) == row
    return TABLE.with_columns(
        pl.when(chosen).then(pl.lit(value)).otherwise(name).alias(name)
        for name, value in cells.items()
    ).cast(TABLE.schema)


@pytest.mark.parametrize(
    ("row", "cells", "message"),
    [
        (3, {"donor": 1.5}, "donor 1.5 of gene 'B'; wanted a probability, 0 to 1"),
        (3, {"acceptor": -0.1}, "acceptor -0.1 of gene 'B'; wanted a probability"),
        (
            3,
            {"acceptor": float("nan")},
            "acceptor of gene 'B' is NaN; wanted .* leave out the rows",
        ),
        (3, {"acceptor": float("inf")}, "acceptor inf of gene 'B'; wanted a probability"),
        (3, {"donor": float("-inf")}, "donor -inf of gene 'B'; wanted a probability"),
        (3, {"donor": 1.00001}, "donor 1.00001 of gene 'B'; wanted a probability"),
        (3, {"donor": -1e-5}, r"donor -1e-05 of gene 'B'; wanted a probability"),
        (0, {"donor": 0.9, "acceptor": 0.2}, "donor and acceptor of gene 'A' sum to 1.1; wanted"),
        (1, {"position": 10}, "position 10 of gene 'A', which has 10 nt .* wanted 0 to 9, counted"),
        (1, {"position": -1}, "position -1 of gene 'A', which has 10 nt"),
        (4, {"position": 0}, "position 0 of gene 'B' is there before"),
        (2, {"gene_id": "A", "position": 9}, "position 9 of gene 'A' is there before"),
    ],
)
@pytest.mark.parametrize("name", ["s.parquet", "s.tsv"])
def test_impossible_entries_are_named_with_their_row_or_line(tmp_path, name, row, cells, message):
    path = write(tmp_path / name, changed(row, **cells))
    where = f", row {row} .from 0." if name == "s.parquet" else f", line {row + 2}"
    with pytest.raises(InputError, match=f"{re.escape(str(path))}{where}: {message}"):
        open_scores(path, [A, B])


def test_rows_are_counted_within_their_shard(tmp_path):
    write(tmp_path / "a.parquet", TABLE[:3])
    write(tmp_path / "b.parquet", changed(4, donor=2.0)[3:])
    with pytest.raises(InputError, match=r"b\.parquet, row 1 \(from 0\): donor 2 of gene 'B'"):
        open_scores(tmp_path, [A, B])


def test_lines_are_counted_within_their_file(tmp_path):
    write(tmp_path / "a.tsv", TABLE[:3])
    write(tmp_path / "b.csv", changed(4, donor=2.0)[3:])
    with pytest.raises(InputError, match=r"b\.csv, line 3: donor 2 of gene 'B'"):
        open_scores(tmp_path, [A, B])
    write(tmp_path / "b.csv", pl.concat([TABLE[3:], TABLE[:1]]))
    with pytest.raises(InputError, match=r"b\.csv, line 4"):
        open_scores(tmp_path, [A, B])


@pytest.mark.parametrize("name", ["s.parquet", "s.tsv", "s.csv.gz"])
@pytest.mark.parametrize("order", [[0, 1, 2, 3, 4], [4, 0, 3, 1, 2]])
def test_rounding_beyond_0_and_1_is_cut_off(tmp_path, name, order):
    table = changed(2, donor=1.0000001, acceptor=-1e-9)
    a, b = np.array(whole(write(tmp_path / name, table[order]))[1])
    assert (a[0], b[0]) == (1, 0)


def test_sums_that_rounding_explains_are_taken(tmp_path):
    assert whole(write(tmp_path / "s.tsv", changed(0, donor=0.5005, acceptor=0.5)))


def test_null_scores_are_not_zeros(tmp_path):
    table = TABLE.with_columns(pl.when(pl.col("position") != 4).then("donor").alias("donor"))
    with pytest.raises(InputError, match=r"row 3 \(from 0\): donor is empty; wanted a value"):
        open_scores(write(tmp_path / "s.parquet", table), [A, B])


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "gene_id\tposition\tdonor\n",
            "line 1: the column 'acceptor' is missing .columns: gene_id, ",
        ),
        ("##description: genes\nchr1\tx\n", "line 1: the column 'gene_id' is missing"),
        (
            "gene_id,position,donor,acceptor\nA,2,0.1\n",
            "line 2: 3 columns, wanted 4 as in the first",
        ),
        (
            "gene_id,position,donor,acceptor\nA,2.0,0,0\n",
            "line 2: position '2.0' is not a whole num",
        ),
        (
            "gene_id,position,donor,acceptor\nA,2,0,0\nA,3,NA,0\n",
            "line 3: donor 'NA' is not a numb",
        ),
        ("gene_id,position,donor,acceptor\nA,2,0,\n", "line 2: acceptor '' is not a number"),
        ("gene_id,position,donor,acceptor\n,2,0,0\n", "line 2: gene_id is empty"),
        (
            "gene_id,position,donor,acceptor\n",
            "no score of 2 of 2 genes: A, B; it has scores of no g",
        ),
        ("", "is empty; wanted scores as Parquet, TSV or CSV"),
    ],
)
def test_wrong_text_tables_are_named_with_their_line(tmp_path, text, message):
    path = tmp_path / "scores.tsv"
    path.write_text(text)
    with pytest.raises(InputError, match=f"{re.escape(str(path))}.*{message}"):
        open_scores(path, [A, B])


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ({"acceptor": None}, "lacks 1 of the columns needed: 'acceptor'; .* set my.key"),
        (
            {"position": pa.float64()},
            "column 'position' is double; wanted whole numbers; set my.key",
        ),
        ({"donor": pa.int64()}, "column 'donor' is int64; wanted floating-point numbers"),
    ],
)
def test_wrong_parquet_columns_are_named(tmp_path, columns, message):
    kinds = dict(
        gene_id=pa.string(), position=pa.int32(), donor=pa.float32(), acceptor=pa.float32()
    )
    schema = {name: kind for name, kind in (kinds | columns).items() if kind is not None}
    pq.write_table(pa.schema(schema).empty_table(), tmp_path / "s.parquet")
    with pytest.raises(InputError, match=message):
        open_scores(tmp_path / "s.parquet", [A], key="my.key")


def test_genes_without_scores_are_an_error_unless_they_count_as_zero(tmp_path, caplog):
    path = write(tmp_path / "s.parquet")
    genes = [A, gene("C", 5), B]
    with pytest.raises(
        InputError, match=r"no score of 1 of 3 genes: C; score them, .* or set seq"
    ) as e:
        open_scores(path, genes)
    assert "set sequence.unscored to zero" in str(e.value)
    assert not np.any(whole(path, genes, unscored="zero")[1])
    assert "no score of 1 of 3 genes: C; their scores count as 0" in caplog.text
    with pytest.raises(InputError, match="unscored is 'skip'; known: error, zero"):
        open_scores(path, genes, unscored="skip")


@pytest.mark.parametrize(
    ("ids", "hint"),
    [
        (["ENSG1"], "its ids have other versions: 'ENSG1' there, 'ENSG1.5' in the gene models"),
        (["name of ENSG1.5"], "its ids look like gene names: 'name of ENSG1.5' is gene 'ENSG1.5'"),
        (["X", "Y"], "it has scores of X, Y"),
    ],
)
def test_ids_of_another_kind_are_recognised(tmp_path, ids, hint):
    table = pl.DataFrame({"gene_id": ids, "position": 0, "donor": 0.5, "acceptor": 0.5})
    with pytest.raises(InputError, match=hint):
        open_scores(write(tmp_path / "s.tsv", table), [gene("ENSG1.5", 9)])


def test_wrong_files_are_named(tmp_path):
    with pytest.raises(InputError, match=r"nowhere does not exist .*; set sequence\.scores"):
        open_scores(tmp_path / "nowhere", [A])
    with pytest.raises(
        InputError, match=r"is one bigWig file; set sequence.scores to plus and minus"
    ):
        open_scores(tmp_path / "scores.bw", [A])
    path = write(tmp_path / "s.parquet")
    path.write_bytes(path.read_bytes()[:-9])
    with pytest.raises(InputError, match=r"s\.parquet is not a readable Parquet file .truncated"):
        open_scores(path, [A])
    (tmp_path / "genome.fa").write_text(">chr1\nACGT\n")
    with pytest.raises(InputError, match=r"the column 'gene_id' is missing .columns: >chr1"):
        open_scores(tmp_path / "genome.fa", [A])


def test_a_gene_that_was_not_asked_for_is_not_zero(tmp_path):
    with (
        open_scores(write(tmp_path / "s.parquet"), [A]) as tracks,
        pytest.raises(InputError, match="the scores were opened without gene 'B'"),
    ):
        tracks.fetch(B, 0, 5)


def test_a_failed_opening_leaves_no_copy_behind(tmp_path, monkeypatch):
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    monkeypatch.setattr(table_module.tempfile, "tempdir", str(scratch))
    for table, genes in ((changed(4, position=0), [A, B]), (TABLE, [A, gene("C", 5)])):
        with pytest.raises(InputError):
            open_scores(write(tmp_path / "s.tsv", table), genes)
    assert not list(scratch.iterdir())
