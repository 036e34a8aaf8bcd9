"""A gene is drawn as planned: its rows, its sites, its base scores."""

import numpy as np
import pytest

from genebatch.simulation.gene import CLASSES, WINDOW, draw_gene
from genebatch.simulation.table import plan_genes


@pytest.fixture(scope="module")
def drawn():
    gene = plan_genes(5, 500, 1, 1, ("chr1",))[-1]
    return gene, draw_gene(gene, np.random.default_rng(3))


def test_sequence_has_the_flanks_and_scores_cover_the_gene(drawn):
    gene, (sequence, tracks, _, label) = drawn
    assert sequence.shape == (gene.length + 2 * WINDOW,)
    assert tracks.shape == (2, gene.length)
    assert label.shape == (gene.length,)


def test_sites_stand_on_their_dinucleotides(drawn):
    _, (sequence, _, _, label) = drawn
    for name, word, shift in zip(CLASSES, ((2, 3), (0, 2)), (0, -1), strict=True):
        first = np.flatnonzero(label == name) + WINDOW + shift
        assert len(first)
        assert {(int(sequence[i]), int(sequence[i + 1])) for i in first} == {word}


def test_scores_are_probabilities_that_leave_room_for_neither(drawn):
    _, (_, tracks, _, _) = drawn
    assert tracks.min() >= 0
    assert tracks.sum(axis=0).max() <= 1 + 1e-6


def test_every_site_is_a_row_of_weight_one(drawn):
    _, (_, _, rows, label) = drawn
    assert set(np.flatnonzero(label != "")) <= set(rows.position)
    assert set(rows.weight[label[rows.position] != ""]) == {1.0}
