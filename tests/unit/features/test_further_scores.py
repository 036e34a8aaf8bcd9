"""Features of further base models: those of the first under other names, and the disagreement."""

import numpy as np
import polars as pl
import pytest

from genebatch.features.along_gene import Genome, gene_blocks
from genebatch.features.further_scores import FurtherScores, further_columns, of_scores
from genebatch.features.positions import FAMILIES, Spec
from tests.builders.held_genome import HeldFasta, HeldScores, made_codes, made_gene, made_scores

ALL = Spec(families=FAMILIES, kmers=(2,), window=10)
GENE = made_gene(20, 620)
CODES = HeldFasta({"c": made_codes(700)})
FIRST, OTHER = HeldScores({"g": made_scores(600, 1)}), HeldScores({"g": made_scores(600, 2)})


def features(genome, block=50):
    return pl.concat(
        part.features(np.arange(part.start, part.stop)) for part in gene_blocks(genome, GENE, block)
    )


def genome_with(*further, spec=ALL):
    return Genome(CODES, FIRST, spec, further=further)


def test_a_further_base_model_gives_what_it_would_give_as_the_first():
    found = features(genome_with(FurtherScores.of("other", OTHER, ALL)))
    alone = features(Genome(CODES, OTHER, ALL))
    for column in of_scores(ALL).columns:
        assert found[f"scores_other_{column}"].equals(alone[column], check_names=False), column
    first = features(Genome(CODES, FIRST, ALL))
    assert found.select(first.columns).equals(first)
    assert set(found.columns) == {*first.columns, *further_columns("other", ALL)}


def test_words_and_composition_stand_once():
    names = further_columns("other", ALL)
    assert "scores_other_donor_score" in names
    assert not any("mer_" in name or "gc" in name for name in names)


def test_a_gap_is_the_difference_of_the_log_odds():
    tracks = np.full((2, 600), 0.5, np.float32)
    other = tracks.copy()
    other[0, 7], other[1, 9] = 0.9, 0.0
    genome = Genome(CODES, HeldScores({"g": tracks}), ALL)
    genome = genome._replace(further=(FurtherScores.of("o", HeldScores({"g": other}), ALL),))
    found = features(genome)
    donor, acceptor = found["scores_o_donor_gap"], found["scores_o_acceptor_gap"]
    assert donor[7] == pytest.approx(np.log(9), rel=1e-6)
    assert acceptor[9] == pytest.approx(np.log(1e-5 / (1 - 1e-5)), rel=1e-5)  # the floor
    assert donor.drop_nulls().abs().sum() == pytest.approx(donor[7])
    assert acceptor.abs().sum() == pytest.approx(-acceptor[9])


@pytest.mark.parametrize("block", [1, 33, 600])
def test_no_block_changes_a_feature(block):
    genome = genome_with(FurtherScores.of("other", OTHER, ALL))
    assert features(genome, block).equals(features(genome, 100))


def test_only_the_wanted_columns_are_made():
    two = [FurtherScores.of(name, OTHER, ALL) for name in ("one", "two")]
    wanted = ["donor_score", "scores_two_donor_gap", "scores_two_donor_max_upstream_10"]
    genome = genome_with(*two).needing(wanted)
    assert [model.name for model in genome.further] == ["two"]
    (model,) = genome.further
    assert model.gaps == ("donor_gap",)
    assert set(model.spec.families) <= {"scores", "landscape"}
    everything = features(genome_with(*two))
    found = features(genome)
    for name in {*wanted} & {*found.columns}:
        assert found[name].equals(everything[name])
    assert "scores_two_donor_gap" in found.columns
