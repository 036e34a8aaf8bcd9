"""Tests of steps.sequence with tracks of evidence: the built table and what it tells of them."""

from pathlib import Path

import numpy as np
import polars as pl
import pytest

from genebatch.config.tracks import Tracks
from genebatch.features.evidence import track_columns
from genebatch.features.training_table import METADATA
from genebatch.io.files import InputError
from genebatch.io.tables import read_tsv
from genebatch.steps.sequence import build_dataset
from tests.builders.evidence import star_line, write_bigwig
from tests.steps import test_sequence

CONTIGS, SPEC, genome = test_sequence.CONTIGS, test_sequence.SPEC, test_sequence.genome


@pytest.fixture
def tracks(tmp_path):
    """A number that is its position on c1, junctions of alpha and gamma, and an ignored track."""
    path = write_bigwig(tmp_path / "x.bw", {"c1": {n: n for n in range(0, 3000, 2)}}, CONTIGS)
    # alpha's intron from 200 to 299 and gamma's from 2100 to 2499, counted from 0.
    lines = star_line("c1", 201, 300, 1, unique=5, multi=1) + star_line("c1", 2101, 2500, 2)
    (tmp_path / "SJ.out.tab").write_text(lines)
    return {
        "x": {"kind": "number", "file": path},
        "reads": {"kind": "junctions", "file": str(tmp_path / "SJ.out.tab")},
        "truth": {"kind": "number", "file": path, "role": "ignore"},
    }


def built(genome, folder, tracks):
    shards = [folder / "part-000.parquet"]
    files = {"shards": shards, "table": folder / "genes.tsv", "evidence": folder / "evidence.tsv"}
    build_dataset(**genome, tracks=Tracks.build(tracks), n_shards=1, **files)
    return pl.read_parquet(shards[0]), pl.read_parquet_metadata(shards[0])


def test_table_has_the_columns_of_tracks_last_and_none_of_an_ignored_one(
    genome,
    tracks,
    tmp_path,
):
    rows, _ = built(genome, tmp_path / "table", tracks)
    added = (*track_columns("x", "number"), *track_columns("reads", "junctions"))
    assert tuple(rows.columns) == (*METADATA, *SPEC.columns, *added)


def test_values_of_rows_are_those_of_their_positions_on_both_strands(
    genome,
    tracks,
    tmp_path,
):
    rows, _ = built(genome, tmp_path / "table", tracks)
    place = rows["genomic_position"].to_numpy()
    known = (rows["chrom"] == "c1").to_numpy() & (place % 2 == 0)
    np.testing.assert_array_equal(
        rows["track_x_value"].to_numpy(), np.where(known, place, np.nan).astype(np.float32)
    )
    used = rows.filter(pl.col("track_reads_donor_all") > 0)
    assert used.select("gene_id", "splice_type", "track_reads_donor_all").rows() == [
        ("alpha", "donor", 6),
        ("gamma", "donor", 1),
    ]
    ends = rows.filter(pl.col("track_reads_acceptor_unique") > 0)
    assert ends["splice_type"].to_list() == ["acceptor", "acceptor"]


def test_tracks_change_no_row_and_no_other_feature(genome, tracks, tmp_path):
    with_tracks, _ = built(genome, tmp_path / "a", tracks)
    without, _ = built(genome, tmp_path / "b", {})
    assert with_tracks.select(without.columns).equals(without)


def test_moved_sites_change_no_value_of_a_track(genome, tracks, tmp_path):
    before, _ = built(genome, tmp_path / "a", tracks)
    Path(genome["genes"]).write_text(test_sequence.gtf(test_sequence.MOVED))
    after, _ = built(genome, tmp_path / "b", tracks)
    columns = ["gene_id", "position", pl.col("^track_.*$")]
    both = [rows.select(columns).sort("gene_id", "position") for rows in (before, after)]
    shared = [
        one.join(other, on=["gene_id", "position"], how="semi", maintain_order="left")
        for one, other in (both, both[::-1])
    ]
    assert shared[0].height > 100
    assert shared[0].equals(shared[1])


def test_use_of_tracks_is_written(genome, tracks, tmp_path):
    built(genome, tmp_path / "table", tracks)
    use = read_tsv(tmp_path / "table/evidence.tsv")
    assert use.columns == ["track", "kind", "role", "measure", "count", "of", "reads"]
    assert use["track"].unique(maintain_order=True).to_list() == ["x", "reads", "truth"]
    # alpha from 100 to 1100, omega from 850 to 1500, gamma from 2000 to 2600; delta is on c2.
    first = use.row(0, named=True)
    assert (first["count"], first["of"]) == (500 + 325 + 300, 1000 + 650 + 600 + 2000)
    assert use.row(1, named=True)["count"] == 1
    assert use.filter(track="reads").row(0)[4:] == (2, 2, 7)


def test_shards_tell_the_tracks_of_their_features(genome, tracks, tmp_path):
    _, facts = built(genome, tmp_path / "table", tracks)
    assert (
        '"tracks": {"x": {"kind": "number", "columns": ["track_x_value"'
        in (facts["genebatch.sequence"])
    )
    assert "truth" not in facts["genebatch.sequence"]


def test_wrong_track_ends_the_build_before_a_file_is_written(
    genome,
    tracks,
    tmp_path,
):
    (tmp_path / "SJ.out.tab").write_text(star_line("c1", 201, 3300, 1))
    with pytest.raises(InputError, match=r"ends at 3,300 of c1, but c1 of .*genome\.fa has 3,000"):
        built(genome, tmp_path / "table", tracks)
    assert not list((tmp_path / "table").glob("*"))
