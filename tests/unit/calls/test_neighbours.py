"""Windows around annotated sites of genes, scored along the gene or read from tracks."""

import numpy as np
import polars as pl
import pytest

from genebatch.calls import neighbours
from genebatch.calls.neighbours import read_windows, score_windows, site_windows
from genebatch.features.along_gene import Genome
from genebatch.genome.fasta import Fasta
from genebatch.genome.genes import SITES, foreign_sites, splice_sites
from genebatch.metrics.neighbours import ABSENT, OTHER, TEST, TRAINING, summarise
from tests.builders import called_genome as made_calls
from tests.builders import complete_tracks as made_tracks
from tests.builders.held_genome import HeldScores, made_gene


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    return made_calls.make(tmp_path_factory.mktemp("made"))


def windows_around(genes, n_sites=100):
    return site_windows("b000", genes, foreign_sites(genes), n_sites, seed=3)


def scored_along(made, scores=None):
    """The genes of the made genome, scored by its model; `scores` stand for its base scores."""
    with Fasta(made.folder / "genome.fa") as reader:
        genome = Genome(reader, HeldScores(scores or made.scores), made_calls.SPEC)
        models = dict.fromkeys((gene.id for gene in made.genes), made.model)
        return score_windows(windows_around(made.genes), genome, made.genes, models)


def offsets(windows, reason, position):
    lines = windows.filter(pl.col("left_out") == reason, pl.col("position") == position)
    return lines["offset"].to_list()


def test_sites_are_those_of_their_own_gene_in_the_direction_of_transcription():
    genes = [
        made_gene(0, 300, strand, strand, chrom, exons=[[(0, 60), (100, 140), (250, 300)]])
        for strand, chrom in (("+", "c"), ("-", "d"))
    ]
    windows = windows_around(genes)
    found = windows.filter(pl.col("offset") == 0).select("gene", "class", "position").rows()
    wanted = [
        (gene.id, name, position)
        for gene in genes
        for name, positions in zip(SITES, splice_sites(gene), strict=True)
        for position in positions.tolist()
    ]
    assert sorted(found) == sorted(wanted)
    assert (windows["at"] == windows["position"] + windows["offset"]).all()


def test_positions_outside_of_the_gene_are_absent():
    genes = [made_gene(0, 200, exons=[[(0, 5), (100, 140), (193, 200)]])]
    windows = windows_around(genes)
    assert offsets(windows, ABSENT, 4) == list(range(-10, -4))
    assert offsets(windows, ABSENT, 193) == [7, 8, 9, 10]
    assert offsets(windows, ABSENT, 100) == []


def test_other_sites_of_the_class_and_sites_of_other_genes_are_left_out():
    exons = [[(0, 50), (100, 200)], [(0, 54), (100, 200)]]
    other = made_gene(20, 180, name="other", exons=[[(20, 43), (107, 180)]])
    windows = windows_around([made_gene(0, 200, exons=exons), other])
    own = windows.filter(pl.col("gene") == "g")
    assert offsets(own, OTHER, 49) == [-7, 4]
    assert offsets(own, OTHER, 53) == [-4]
    assert offsets(own, OTHER, 100) == [7]


def test_scores_are_those_of_the_whole_gene_at_every_position(made, monkeypatch):
    monkeypatch.setattr(neighbours, "BLOCK", 60)
    monkeypatch.setattr(neighbours, "ROWS", 50)
    windows = scored_along(made)
    assert windows["gene"].unique().sort().to_list() == ["across", "inner", "long", "other"]
    for (name,), part in windows.partition_by("gene", as_dict=True).items():
        probability = made.model.frame_predictions(made.features(made.gene(name))).probability
        kept = part.filter(pl.col("left_out").is_null())
        at = (kept["position"] + kept["offset"]).to_numpy()
        column = (kept["class"] == "acceptor").to_numpy().astype(int)
        np.testing.assert_allclose(kept["model"], probability[at, 1 + column], rtol=1e-6)
        np.testing.assert_array_equal(kept["base"], made.scores[name][column, at])


@pytest.mark.parametrize("shift", [0, 1])
def test_shifted_base_scores_show_the_shift(made, shift):
    moved = {name: np.roll(track, shift, axis=1) for name, track in made.scores.items()}
    table = summarise(scored_along(made, moved), SITES, {TEST: None, TRAINING: None})
    lines = table.filter(part="b000", system="base", **{"class": "donor"})
    first = lines.sort("peak_share", descending=True).row(0, named=True)
    assert first["offset"] == shift
    assert first["peak_share"] > 0.5


def test_tracks_give_what_they_hold_at_every_position(tmp_path):
    made = made_tracks.make()
    made_tracks.positions(made.tested, made.scores).write_parquet(tmp_path / "positions.parquet")
    drawn = site_windows(TEST, made.tested, foreign_sites(made.genes), 30, seed=1)
    windows = read_windows(drawn, tmp_path / "positions.parquet", made.tested)
    assert windows["batch"].unique().to_list() == [TEST]
    kept = windows.filter(pl.col("left_out").is_null())
    for row in kept.iter_rows(named=True):
        scores = made.scores[row["gene"]][:, SITES.index(row["class"])]
        assert (row["base"], row["model"]) == tuple(scores[:, row["position"] + row["offset"]])
    assert windows.filter(pl.col("offset") == 0).height == 30
