"""What genebatch.simulated_measures promises."""

import numpy as np
import pytest

from genebatch.simulation.measures import COLUMNS, NOISE, TRACKS, Measures, measure
from genebatch.simulation.table import place_genes


def test_cell_adds_its_measures_times_their_signs():
    cells = np.array([[1, 2, 3, 4, *[9] * len(NOISE)], [0] * len(TRACKS)], dtype=np.float32)
    added = Measures(cells, np.array([1, -1, 1, 0.5]), 0.0).cell_log_odds()
    np.testing.assert_allclose(added, [0.8 * (1 - 2 + 3 + 2), 0])


def test_positions_of_a_cell_share_its_values():
    cells = np.arange(2 * len(TRACKS), dtype=np.float32).reshape(2, -1)
    columns = Measures(cells, np.ones(4), 3.0).at(np.array([0, 63, 64]))
    assert tuple(columns) == COLUMNS
    assert columns["accessibility"].tolist() == [1, 1, 1 + len(TRACKS)]
    assert columns["trait_marker"].tolist() == [3, 3, 3]


@pytest.mark.parametrize(
    ("gc", "kind", "signs"),
    [(0.55, "lncRNA", (1, 1, -1)), (0.35, "protein_coding", (1, -1, 1)), (0.45, "x", (1, 0, -1))],
)
def test_gc_and_type_of_the_gene_set_the_signs(gc, kind, signs):
    gene = place_genes(np.array([20]), np.random.default_rng(1), 1, ("chr1",))[0]
    made = measure(gene._replace(gc=gc, kind=kind), np.random.default_rng(2))
    np.testing.assert_allclose(made.signs[:3], signs, atol=1e-3)
    assert abs(made.signs[3]) == 1


def test_trait_differs_between_genes_and_its_marker_follows_it():
    gene = place_genes(np.array([20]), np.random.default_rng(1), 1, ("chr1",))[0]
    made = [measure(gene, np.random.default_rng(seed)) for seed in range(200)]
    trait = np.array([m.signs[3] for m in made])
    marker = np.array([m.marker for m in made])
    assert marker[trait > 0].mean() == pytest.approx(1, abs=0.3)
    assert marker[trait < 0].mean() == pytest.approx(-1, abs=0.3)
