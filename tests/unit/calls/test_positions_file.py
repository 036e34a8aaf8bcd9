"""The positions file, and the count that finds every gap in it."""

from contextlib import suppress

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from genebatch.calls import positions_file
from genebatch.calls.positions_file import (
    Positions,
    count_coverage,
    remove_unfinished,
    write_positions,
)
from genebatch.io.files import whole
from tests.builders.held_genome import made_gene

CLASSES = ("acceptor", "neither", "donor")
GENES = [made_gene(100, 103, name="p"), made_gene(7, 12, "-", name="m", chrom="d")]
LIMITS = {"donor": 0.5, "acceptor": 0.3}
# Columns in the order of the classes above.
VALUES = np.array(
    [
        [0.1, 0.3, 0.6],
        [0.3, 0.2, 0.5],
        [0, 1, 0],
        [0.3, 0.7, 0],
        [0.29, 0.71, 0],
        [0, 0.51, 0.49],
        [1, 0, 0],
        [0.5, 0, 0.5],
    ],
    np.float32,
)
RESCORED = np.array([True, False, False, True, True, False, False, True])


def answer(stretches, rows):
    return Positions(stretches, VALUES[rows] / 2, VALUES[rows], VALUES[rows] / 4, RESCORED[rows])


@pytest.mark.parametrize(
    "name",
    [
        "positions.parquet",
        "calls.bed",
        "coverage.tsv",
        "donor.plus.bw",
        "calls_igv.xml",
        "calls.bed.gz",
        "calls.bed.gz.tbi",
        "transcripts.gff3.gz.csi",
        "calls_hub.txt",
        "calls.bb",
    ],
)
def test_unfinished_files_go_and_no_others(tmp_path, name):
    kept = {".gitignore", "notes.part.bed", name}
    for other in kept:
        (tmp_path / other).write_text("mine")
    with suppress(FileNotFoundError), whole(tmp_path / name) as temporary:
        remove_unfinished(tmp_path)
        assert not temporary.exists()
    assert {path.name for path in tmp_path.iterdir()} == kept
    remove_unfinished(tmp_path / "absent")


@pytest.fixture
def path(tmp_path):
    """Two genes, the second in two answers."""
    first = answer([(GENES[0], 0, 3), (GENES[1], 0, 2)], slice(0, 5))
    answers = [first, answer([(GENES[1], 2, 3)], slice(5, 8))]
    write_positions(tmp_path / "p.parquet", answers, CLASSES, {"made": "by hand"})
    return tmp_path / "p.parquet"


def rewritten(path, change):
    """The file after a change of its rows, with row groups of three."""
    table = change(pq.read_table(path))
    pq.write_table(table, path, row_group_size=3)
    return path


def test_minus_gene_ascends_from_its_end(path):
    found = pl.read_parquet(path)
    assert found["gene_id"].cast(pl.String).to_list() == ["p"] * 3 + ["m"] * 5
    assert found["chrom"].cast(pl.String).to_list() == ["c"] * 3 + ["d"] * 5
    assert found["strand"].cast(pl.String).to_list() == ["+"] * 3 + ["-"] * 5
    assert found["position"].to_list() == [0, 1, 2, 0, 1, 2, 3, 4]
    assert found["genomic_position"].to_list() == [100, 101, 102, 11, 10, 9, 8, 7]


def test_columns_are_named_after_their_class(path):
    found = pl.read_parquet(path)
    for kind, scale in (("base", 2), ("probability", 1)):
        columns = found.select(f"{kind}_{name}" for name in CLASSES)
        np.testing.assert_array_equal(columns.to_numpy(), VALUES / scale)
        assert set(columns.dtypes) == {pl.Float32}


def test_deviation_is_null_where_the_model_was_not_asked(path):
    for column, name in enumerate(CLASSES):
        found = pl.read_parquet(path)[f"std_{name}"]
        assert found.is_null().to_list() == (~RESCORED).tolist()
        np.testing.assert_array_equal(found.drop_nulls(), VALUES[RESCORED, column] / 4)


def test_text_is_a_dictionary_and_the_origin_is_kept(path):
    schema = pq.read_schema(path)
    for name in ("gene_id", "chrom", "strand"):
        assert pa.types.is_dictionary(schema.field(name).type)
    assert schema.metadata[b"made"] == b"by hand"


def test_row_groups_are_bounded(tmp_path, monkeypatch):
    monkeypatch.setattr(positions_file, "ROW_GROUP", 2)
    whole = answer([(GENES[0], 0, 3), (GENES[1], 0, 5)], slice(0, 8))
    write_positions(tmp_path / "p.parquet", [whole], CLASSES, {})
    metadata = pq.read_metadata(tmp_path / "p.parquet")
    assert [metadata.row_group(n).num_rows for n in range(4)] == [2, 2, 2, 2]


def test_coverage_is_counted_gene_by_gene(path):
    found = count_coverage(path, GENES, LIMITS)
    assert found.to_dicts() == [
        {
            **{"gene_id": "p", "chrom": "c", "strand": "+", "expected": 3, "written": 3},
            **{"rescored": 1, "rescored_share": 1 / 3, "donors": 2, "acceptors": 1},
        },
        {
            **{"gene_id": "m", "chrom": "d", "strand": "-", "expected": 5, "written": 5},
            **{"rescored": 3, "rescored_share": 0.6, "donors": 1, "acceptors": 3},
        },
    ]


def test_count_does_not_depend_on_row_groups(path):
    found = count_coverage(path, GENES, LIMITS)
    assert count_coverage(rewritten(path, lambda table: table), GENES, LIMITS).equals(found)


def test_threshold_is_reached_by_what_it_rounds_to():
    # 0.3 as float32 is a little more than 0.3, 0.7 a little less.
    assert positions_file.called(np.array([0.3, 0.7], np.float32), 0.7).tolist() == [False, True]


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([0, 1, 2, 3, 4, 5, 6], "ends after 7 of 8 positions, in m"),
        ([0, 2, 3, 4, 5, 6, 7], "row 1: position 2 .*wanted p:1;"),
        ([0, 1, 2, 3, 4, 5, 5, 6, 7], "row 6: position 2 .*wanted m:3;"),
        ([0, 1, 2, 3, 4, 6, 5, 7], "row 5: position 3 .*wanted m:2;"),
        ([3, 4, 5, 6, 7, 0, 1, 2], "row 0: position 0 of gene number 1, wanted p:0;"),
        ([0, 1, 2, 3, 4, 5, 6, 7, 7], "row 8: position 4 .*wanted the end;"),
        ([], "ends after 0 of 8 positions, in p"),
    ],
)
def test_what_is_not_every_position_once_is_found(path, rows, message):
    rewritten(path, lambda table: table.take(pa.array(rows, pa.int64())))
    with pytest.raises(RuntimeError, match=message):
        count_coverage(path, GENES, LIMITS)


def test_gene_that_was_not_asked_for_is_found(path):
    with pytest.raises(RuntimeError, match="row 3: position 0 of gene number -1, wanted the end"):
        count_coverage(path, GENES[:1], LIMITS)
