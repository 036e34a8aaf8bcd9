"""Scores positions for the example, by two position weight matrices and a logistic.

This is no model of biology. It knows the textbook consensus of human splice sites and nothing of
the sequence further away, so it finds far too many sites on real sequence. It serves the examples
and the tests only. Real work needs the scores of a real splice model.
"""

from collections.abc import Iterable, Iterator
from typing import NamedTuple

import numpy as np

from genebatch.genome.fasta import Fasta, gene_codes
from genebatch.genome.genes import Gene, stretches
from genebatch.genome.scores.sparse_file import ScoredStretch

BLOCK = 262_144  # positions scored at a time; takes 10 MB
PRIOR = 1 / 1_800  # donors (or acceptors) per position of a simulated gene, about
# Least share of a base in a column: without GT or AG a position scores very low whatever the other
# bases are.
RARE = 1e-5


class Consensus(NamedTuple):
    """The bases around a kind of site.

    Attributes
    ----------
    percent
        Percentages of A, C, G, T in each column.
    first
        Distance from the site to the base of the first column, in nt.
    """

    percent: tuple[tuple[int, int, int, int], ...]
    first: int


# MAG|GTRAGT: the last 3 bases of the exon, the site being the last, and 6 of the intron.
DONOR = Consensus(
    (
        *((33, 37, 18, 12), (60, 13, 12, 15), (8, 4, 81, 7)),
        *((0, 0, 100, 0), (0, 0, 0, 100)),
        *((50, 3, 45, 2), (71, 8, 12, 9), (7, 5, 81, 7), (16, 17, 20, 47)),
    ),
    first=-2,
)
# Polypyrimidine tract, NCAG|G: the last 20 bases of the intron and 3 of the exon, the site being
# the first.
ACCEPTOR = Consensus(
    (
        *((18, 25, 15, 42),) * 6,
        *((12, 30, 12, 46),) * 4,
        *((8, 33, 9, 50),) * 6,
        *((24, 28, 21, 27), (4, 65, 1, 30), (100, 0, 0, 0), (0, 0, 100, 0)),
        *((25, 14, 50, 11), (24, 19, 19, 38), (26, 23, 24, 27)),
    ),
    first=-20,
)
BEFORE, AFTER = 20, 6  # bases before and after a position that decide its scores


def score_sequence(sequence: np.ndarray) -> np.ndarray:
    """Score the positions of a sequence as donor and acceptor.

    Log-odds of a class against neither = sum of the log-odds of the bases around the position
    against equal shares of the four + log-odds of `PRIOR`. An unknown base counts as the least
    likely one. Each position is scored by itself, so cutting a sequence changes nothing. Holds 40
    bytes per position.

    Parameters
    ----------
    sequence
        Codes (A 0, C 1, G 2, T 3, unknown 4) of the positions, in transcript orientation, with
        `BEFORE` bases in front and `AFTER` behind.

    Returns
    -------
    numpy.ndarray
        Donor and acceptor probability, (2, positions) float32; their sum is below 1.
    """
    length = len(sequence) - BEFORE - AFTER
    odds = np.empty((2, length), np.float32)
    for row, consensus in zip(odds, (DONOR, ACCEPTOR), strict=True):
        row[:] = np.log(PRIOR / (1 - PRIOR))
        for column, values in enumerate(_log_odds(consensus), start=BEFORE + consensus.first):
            row += values[sequence[column : column + length]]
    np.exp(odds, out=odds)
    odds /= 1 + odds.sum(axis=0)
    return odds


def score_genes(
    genome: Fasta, genes: Iterable[Gene], block: int = BLOCK
) -> Iterator[ScoredStretch]:
    """Score every position of the genes, in the order given.

    No result depends on `block`, the positions scored at a time. Holds one block.
    """
    for gene in genes:
        for start, stop in stretches(gene, block):
            codes = gene_codes(genome, gene, start - BEFORE, stop + AFTER)
            yield ScoredStretch(gene.id, start, score_sequence(codes))


def _log_odds(consensus: Consensus) -> np.ndarray:
    """Log-odds of the codes 0 to 4 against equal shares, (columns, 5) float32."""
    share = np.maximum(np.array(consensus.percent) / 100, RARE)
    odds = np.log(share / share.sum(axis=1, keepdims=True) / 0.25)
    return np.hstack([odds, odds.min(axis=1, keepdims=True)]).astype(np.float32)
