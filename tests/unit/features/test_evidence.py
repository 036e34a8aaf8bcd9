"""Features from tracks of evidence: hand-counted windows, both strands, any block."""

import math

import numpy as np
import polars as pl
import pytest

from genebatch.features.along_gene import Genome, gene_blocks
from genebatch.features.evidence import Evidence, by_role, number_features, track_columns
from genebatch.features.positions import Spec
from tests.builders.evidence import opened, star_line, values_of, write_bigwig
from tests.builders.held_genome import HeldFasta, HeldScores, made_codes, made_gene, made_scores

SPEC = Spec(families=("scores",))
NAN = math.nan
NUMBER = [f"track_x_{name}" for name in ("value", "mean_10", "max_10", "min_10")]
NUMBER += [f"track_x_{name}" for name in ("mean_50", "max_50", "min_50")]
READS = ("unique", "all", "junctions")


def features(section, gene, block=1000):
    """Features of every position of a gene, block by block."""
    fasta = HeldFasta({"chr1": made_codes(1000)})
    scores = HeldScores({gene.id: made_scores(gene.length)})
    with opened(section, [gene], {"chr1": 1000}) as sources:
        genome = Genome(fasta, scores, SPEC, evidence=by_role(sources)[0])
        parts = [
            part.features(np.arange(part.start, part.stop))
            for part in gene_blocks(genome, gene, block)
        ]
    return pl.concat(parts).select(pl.col("^track_.*$"))


def test_columns_are_named_by_track_and_measure():
    assert list(track_columns("x", "number")) == NUMBER
    junctions = [f"track_j_{site}_{what}" for site in ("donor", "acceptor") for what in READS]
    assert list(track_columns("j", "junctions")) == junctions


def test_windows_reach_so_far_and_no_further():
    values = np.full(301, NAN, np.float32)
    values[150] = 1
    values[[140, 160]] = 4, -2
    values[[139, 161, 100, 200]] = 9, -9, 20, 5
    values[[99, 201]] = 100, -100
    (value, *near) = (column.tolist() for column in number_features(values, np.array([150])))
    assert value == [1]
    assert near[:3] == [[1], [4], [-2]]  # mean of 1, 4 and -2
    assert near[3:] == [[np.float32(28 / 7)], [20], [-9]]


def test_missing_values_are_missing_and_never_zero():
    values = np.full(201, NAN, np.float32)
    columns = number_features(values, np.array([100]))
    assert all(np.isnan(column).all() for column in columns)
    values[110] = 3
    value, *ten = number_features(values, np.array([100, 120, 121]))[:4]
    assert np.isnan(value).all()
    for column in ten:
        np.testing.assert_array_equal(column, [3, 3, NAN])


@pytest.mark.parametrize("strand", "+-")
def test_values_count_in_the_direction_of_the_gene_and_from_outside_of_it(tmp_path, strand):
    path = write_bigwig(tmp_path / "x.bw", values_of("chr1", 95, range(1, 21)), {"chr1": 1000})
    gene = made_gene(100, 110, strand, "g", "chr1")
    found = features({"x": {"kind": "number", "file": path}}, gene)
    assert found.columns == NUMBER
    assert set(found.dtypes) == {pl.Float32}
    rising = [float(n) for n in range(6, 16)]  # of bases 100 to 109
    assert found["track_x_value"].to_list() == (rising if strand == "+" else rising[::-1])
    assert found["track_x_mean_50"].to_list() == [10.5] * 10
    # Base 100 sees bases 95 to 110, of values 1 to 16.
    at = 0 if strand == "+" else 9
    assert found.select(NUMBER[1:4]).row(at) == (8.5, 16, 1)


@pytest.mark.parametrize(("strand", "code"), [("+", 1), ("-", 2)])
def test_no_feature_depends_on_the_block(tmp_path, strand, code):
    rng = np.random.default_rng(0)
    values = np.where(rng.random(1000) < 0.3, NAN, rng.normal(size=1000))
    path = write_bigwig(tmp_path / "x.bw", values_of("chr1", 0, values), {"chr1": 1000})
    (tmp_path / "SJ.out.tab").write_text(star_line("chr1", 111, 150, code, unique=3, multi=1))
    section = {
        "x": {"kind": "number", "file": path},
        "j": {"kind": "junctions", "file": str(tmp_path / "SJ.out.tab")},
    }
    gene = made_gene(20, 320, strand, "g", "chr1")
    whole = features(section, gene)
    assert whole.equals(features(section, gene, 37), null_equal=True)
    assert whole["track_x_value"].is_nan().sum() == np.isnan(values[20:320]).sum()
    used = whole.select(pl.col("^track_j_.*$"))
    assert set(used.dtypes) == {pl.UInt32}
    assert used.sum().row(0) == (3, 4, 1, 3, 4, 1)


def test_ignored_track_makes_no_feature_and_is_carried(tmp_path):
    path = write_bigwig(tmp_path / "x.bw", {"chr1": {102: 7}}, {"chr1": 1000})
    (tmp_path / "SJ.out.tab").write_text(star_line("chr1", 111, 150, 1, unique=3))
    section = {
        "x": {"kind": "number", "file": path, "role": "ignore"},
        "j": {"kind": "junctions", "file": str(tmp_path / "SJ.out.tab"), "role": "ignore"},
    }
    gene = made_gene(100, 160, "+", "g", "chr1")
    assert features(section, gene).columns == []
    with opened(section, [gene], {"chr1": 1000}) as sources:
        made, carried = by_role(sources)
        columns = carried.of(gene, 2, 10)
    assert made == Evidence()
    assert [column.name for column in columns] == list(carried.schema)
    np.testing.assert_array_equal(columns[0].to_numpy(), [7] + [NAN] * 7)
    assert columns[1].to_list() == [0] * 7 + [3]


def test_only_tracks_of_wanted_columns_are_read(tmp_path):
    path = write_bigwig(tmp_path / "x.bw", {"chr1": {102: 7}}, {"chr1": 1000})
    section = {name: {"kind": "number", "file": path} for name in ("a", "a_b")}
    with opened(section, [], {"chr1": 1000}) as sources:
        evidence = Evidence(sources)
        assert [s.track.name for s in evidence.needing(["track_a_b_value"]).sources] == ["a_b"]
        assert evidence.needing(["donor_score"]) == Evidence()
        assert evidence.facts["a"] == {"kind": "number", "columns": [*track_columns("a", "number")]}


def test_a_track_is_read_once_for_each_block_and_not_before_it_is_needed(tmp_path, monkeypatch):
    path = write_bigwig(tmp_path / "x.bw", {"chr1": {102: 7}}, {"chr1": 1000})
    gene = made_gene(100, 160, "+", "g", "chr1")
    fasta, scores = HeldFasta({"chr1": made_codes(1000)}), HeldScores({"g": made_scores(60)})
    with opened({"x": {"kind": "number", "file": path}}, [gene], {"chr1": 1000}) as sources:
        data, asked = sources[0].data, []
        read = data.values
        monkeypatch.setattr(
            data, "values", lambda gene, *ends: asked.append(ends) or read(gene, *ends)
        )
        genome = Genome(fasta, scores, SPEC, evidence=Evidence(sources))
        first, second = gene_blocks(genome, gene, 30)
        assert asked == []
        for positions in ([31], [30, 59]):
            second.features(np.array(positions))
    assert asked == [(30 - 50, 60 + 50)]
    assert first.start == 0
