"""Measured features of the simulated data set: some of them act otherwise in other genes.

A measure is a track of one value per `CELL` nt, as of a conservation or an accessibility assay. It
is drawn before the sites, and the sites depend on it; it never looks at a label.
"""

from typing import NamedTuple

import numpy as np

from genebatch.simulation.gene import CELL, GENE_GC_SPREAD, MEAN_GC, Gene

EFFECT = 0.8  # log-odds of a site per standard deviation of a track that acts
# Each track that acts, with what decides on the sign of its effect in a gene.
ACTING = {
    "conservation": "nothing: more makes a site likelier in every gene",
    "accessibility": "gene_gc_content: positive in GC-rich genes, negative in AT-rich ones",
    "methylation": "gene_type: positive in protein-coding genes, negative in the others",
    "occupancy": "a hidden trait of the gene, which trait_marker tells with noise",
}
NOISE = tuple(f"noise_{number}" for number in range(5))  # tracks that no site depends on
TRACKS = (*ACTING, *NOISE)
MARKER = "trait_marker"
COLUMNS = (*TRACKS, MARKER)


class Measures(NamedTuple):
    """Measures of one gene."""

    cells: np.ndarray  # (cells, tracks) float32
    signs: np.ndarray  # effect of each of `ACTING`, -1 to 1
    marker: float

    def cell_log_odds(self) -> np.ndarray:
        """What each cell adds to the log-odds of a site in it."""
        return EFFECT * (self.cells[:, : len(ACTING)] @ self.signs)

    def at(self, positions: np.ndarray) -> dict[str, np.ndarray]:
        """Columns `COLUMNS` of positions of the gene."""
        values = self.cells[positions // CELL].T
        return dict(zip(TRACKS, values, strict=True)) | {
            MARKER: np.full(len(positions), self.marker)
        }


def measure(gene: Gene, rng: np.random.Generator) -> Measures:
    """Draw the measures of a gene, standard normal in every cell."""
    cells = rng.standard_normal((gene.length // CELL + 1, len(TRACKS)), dtype=np.float32)
    trait = rng.choice([-1.0, 1.0])
    gc_rich = np.tanh((gene.gc - MEAN_GC) / (GENE_GC_SPREAD / 2))
    coding = 1.0 if gene.kind == "protein_coding" else -1.0
    marker = float(rng.normal(trait, 1.0))
    return Measures(cells, np.array([1.0, gc_rich, coding, trait]), marker)
