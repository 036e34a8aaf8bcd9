"""Checks base scores against the sequence alone, where few splice sites are annotated.

A base model gives a high donor score where GT or GC follows, and a high acceptor score behind AG.
Scores that are shifted, swapped or of another genome do not.
"""

import logging
from collections.abc import Collection, Iterator, Sequence

import numpy as np

from genebatch.genome.alignment import (
    AT_SITE,
    FITTING_SHARE,
    LEAST_SHARE,
    MOTIFS,
    OFFSETS,
    SCORES_WANTED,
    explain,
    motifs_near,
    refuse_or_warn,
)
from genebatch.genome.fasta import Fasta
from genebatch.genome.genes import SITES, STRANDS, Gene, stretches
from genebatch.genome.scores.tracks import ScoreTracks

log = logging.getLogger(__name__)

STRONG = 0.5  # base score from which a position must look like a site
ENOUGH = 200  # strong positions of a kind and strand; no gene is read after them
BLOCK = 262_144  # positions read at a time; 2 MB


def check_strong_scores(
    fasta: Fasta,
    scores: ScoreTracks,
    genes: Sequence[Gene],
    kinds: Collection[tuple[str, int]],
    key: str = "sequence.scores",
) -> None:
    """Refuse strong scores that do not stand at the bases of splice sites.

    Reads gene after gene until `ENOUGH` strong positions are seen. Holds one block of scores.

    Parameters
    ----------
    fasta, scores
        The genome, and the base scores of the genes.
    genes
        The genes; their annotated sites are not used.
    kinds
        Strand ("+", "-") and kind of site (0 donor, 1 acceptor) to check.
    key
        The config key or flag of the scores.

    Raises
    ------
    InputError
        If fewer than half of at least 20 strong donor scores are followed by GT or GC, or of
        acceptor scores preceded by AG. The message says what would fit. From 4 on it is a warning.
    """
    for name, strand in STRANDS.items():
        for kind in range(len(SITES)):
            if (strand, kind) in kinds:
                there = [gene for gene in genes if gene.strand == strand]
                _check(fasta, scores, there, kind, name, key)


def _check(
    fasta: Fasta, scores: ScoreTracks, genes: Sequence[Gene], kind: int, strand: str, key: str
) -> None:
    # By motif (own, other), along or against the gene, offset.
    matches = np.zeros((2, 2, len(OFFSETS)), np.int64)
    n = 0
    for gene, places in _strong_places(scores, genes, kind):
        n += len(places)
        for other, motif in enumerate((MOTIFS[kind], MOTIFS[1 - kind])):
            for mirrored, at in enumerate((places, gene.length - 1 - places)):
                matches[other, mirrored] += motifs_near(fasta, gene, at, motif)
        if n >= ENOUGH:
            break
    shares = matches / max(n, 1)
    own = shares[0, 0, AT_SITE]
    what = f"{n:,} {SITES[kind]} scores of {STRONG:g} and above on the {strand} strand"
    log.info("of %s, %.1f %% are %s", what, 100 * own, MOTIFS[kind].text)
    if own < LEAST_SHARE:
        fault = f"of {what}, {own:.1%} are {MOTIFS[kind].text} in {fasta.path}"
        fault += f", wanted at least {LEAST_SHARE:.0%}: {_reason(shares, strand)}"
        refuse_or_warn(f"{fault}; {SCORES_WANTED}; set {key}", n)


def _strong_places(
    scores: ScoreTracks, genes: Sequence[Gene], kind: int
) -> Iterator[tuple[Gene, np.ndarray]]:
    """Yield the gene positions of strong scores, block by block."""
    for gene in genes:
        for start, stop in stretches(gene, BLOCK):
            places = np.flatnonzero(scores.fetch(gene, start, stop)[kind] >= STRONG)
            if places.size:
                yield gene, start + places


def _reason(shares: np.ndarray, strand: str) -> str:
    """Say what would fit better; a motif that is 1 nt further on means scores 1 nt too early."""
    if strand == "plus":
        shares = shares[:, :1]
    other, mirrored, offset = np.unravel_index(shares.argmax(), shares.shape)
    if shares[other, mirrored, offset] < FITTING_SHARE:
        return "the scores are of another sequence or assembly, or of the other strand"
    return explain(other, mirrored, -int(OFFSETS[offset]))
