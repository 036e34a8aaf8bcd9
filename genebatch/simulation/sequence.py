"""Draws the sequence of a contig of the simulated genome over its planned genes.

In order: background, exons of another composition, words that help real sites, motifs of the sites,
decoys, reading frames. Motifs of sites and of decoys are drawn alike from the consensus matrices.
Only their surroundings differ: a partner at the distance of an exon, composition, words, frames.
"""

from typing import NamedTuple

import numpy as np

from genebatch.genome.genes import Gene, genomic_positions, splice_sites
from genebatch.genome.nucleotides import UNKNOWN
from genebatch.genome.scores.light import ACCEPTOR, DONOR, Consensus
from genebatch.simulation.frames import Canvas, Pieces, plant_frames
from genebatch.simulation.locus import Contig

BACKGROUND_GC = 0.41
GC_SPREAD = 0.05  # of stretches of GC_STRETCH nt
GC_STRETCH = 400
EXON_GC = 0.49
NT_PER_DECOY = 5_000  # outside of exons, of either kind and on either strand
CLEAR = 80  # nt around exons without planted decoys
UNKNOWN_RUN, NT_PER_UNKNOWN_RUN = (5, 60), 25_000  # nt
SOFT_MASK, NT_PER_SOFT_MASK = (100, 600), 1_500  # nt; about a fifth of all


class Word(NamedTuple):
    """A word that is found near real sites more often than elsewhere.

    Attributes
    ----------
    spellings
        Of one length.
    nearest, farthest
        From the site to the first base of the word, in nt.
    chance
        Of a site to have it.
    """

    spellings: tuple[str, ...]
    nearest: int
    farthest: int
    chance: float


class Kind(NamedTuple):
    """How sites of a kind are drawn.

    Attributes
    ----------
    consensus
        The matrix.
    power
        Mean, spread, lowest and highest power of the matrix that a motif is drawn from: 1 is the
        matrix itself, more is nearer to the consensus.
    words
        What helps real sites.
    """

    consensus: Consensus
    power: tuple[float, float, float, float]
    words: tuple[Word, ...]


# Purine-rich exonic enhancers on either side, G triplets behind the donor, a branch point before
# the acceptor.
ENHANCERS = ("GAAGAA", "GAGGAA", "AAGAAG", "GGAAGA", "TGAAGC")
BRANCH_POINTS = ("CTAAC", "CTGAC", "CTCAC")
KINDS = (
    Kind(
        DONOR,
        (1.7, 0.5, 0.4, 3.0),
        (Word(ENHANCERS, -45, -10, 0.4), Word(("GGG",), 10, 40, 0.4)),
    ),
    Kind(
        ACCEPTOR,
        (1.4, 0.4, 0.4, 2.5),
        (Word(BRANCH_POINTS, -40, -26, 0.6), Word(ENHANCERS, 6, 36, 0.4)),
    ),
)


class Painted(NamedTuple):
    """A contig as it is written.

    Attributes
    ----------
    codes
        (length,) uint8 of the plus strand: A 0, C 1, G 2, T 3, unknown 4.
    soft_masked
        (length,) bool, written in lower case.
    coding
        Gene id to the coding part of its first transcript; see `frames.plant_frames`.
    """

    codes: np.ndarray
    soft_masked: np.ndarray
    coding: dict[str, Pieces]


def paint(contig: Contig, seed: int) -> Painted:
    """Draw the sequence of a contig; it depends on the plan and `seed` alone.

    - Every intron begins with GT and ends with AG on its strand.
    - No unknown base lies in an exon or within `CLEAR` nt of one.
    - Protein-coding genes have a reading frame where there is room for one.

    Holds 20 bytes per base of the contig while drawing.
    """
    rng = np.random.default_rng([seed, 2, contig.number])
    codes = _draw(_drifting_gc(contig.length, rng), rng)
    for gene in contig.genes:
        for start, end in gene.transcripts[0].exons:
            codes[start:end] = _draw(np.full(end - start, EXON_GC), rng)
    canvas = Canvas(codes, np.zeros(contig.length, dtype=bool))
    # Motifs come after the words of all genes, so that no word overwrites a site.
    for gene in contig.genes:
        for kind, sites in zip(KINDS, splice_sites(gene), strict=True):
            for word in kind.words:
                _plant_word(canvas, gene, sites, word, rng)
    for gene in contig.genes:
        for kind, sites in zip(KINDS, splice_sites(gene), strict=True):
            _plant_motifs(canvas, gene, sites, kind, rng)
    far = _far_from_exons(contig)
    _plant_decoys(canvas, contig, far, rng)
    _lose_runs(codes, far, rng)
    soft_masked = _soft_mask(contig.length, rng)
    # Frames are drawn last and by a generator of their own: they move nothing else.
    frames_rng = np.random.default_rng([seed, 3, contig.number])
    return Painted(codes, soft_masked, plant_frames(canvas, contig, frames_rng))


def _drifting_gc(length: int, rng: np.random.Generator) -> np.ndarray:
    levels = rng.normal(BACKGROUND_GC, GC_SPREAD, length // GC_STRETCH + 1)
    return levels.clip(0.2, 0.7).repeat(GC_STRETCH)[:length]


def _draw(gc: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Draw one base per entry of `gc`, its chance to be G or C."""
    strong = rng.random(len(gc)) < gc
    either = rng.integers(0, 2, len(gc), dtype=np.uint8)
    return np.where(strong, 1 + either, 3 * either).astype(np.uint8)


def _plant_word(
    canvas: Canvas, gene: Gene, sites: np.ndarray, word: Word, rng: np.random.Generator
) -> None:
    chosen = sites[rng.random(len(sites)) < word.chance]
    starts = chosen + rng.integers(word.nearest, word.farthest + 1, len(chosen))
    texts = np.array([["ACGT".index(base) for base in text] for text in word.spellings], np.uint8)
    starts = starts.clip(0, gene.length - texts.shape[1])
    _write(canvas, gene, starts, texts[rng.integers(0, len(texts), len(starts))])


def _plant_motifs(
    canvas: Canvas, gene: Gene, sites: np.ndarray, kind: Kind, rng: np.random.Generator
) -> None:
    """Write a motif around each site, each drawn from the matrix to a power of its own."""
    mean, spread, low, high = kind.power
    powers = rng.normal(mean, spread, len(sites)).clip(low, high)
    share = (np.array(kind.consensus.percent) / 100) ** powers[:, None, None]
    cumulative = np.cumsum(share / share.sum(axis=2, keepdims=True), axis=2)[..., :3]
    drawn = rng.random((*cumulative.shape[:2], 1))
    texts = (drawn >= cumulative).sum(axis=2).astype(np.uint8)
    _write(canvas, gene, sites + kind.consensus.first, texts)


def _write(canvas: Canvas, gene: Gene, starts: np.ndarray, texts: np.ndarray) -> None:
    """Write texts, (starts, width) codes, from gene positions on, on the gene's strand."""
    places = genomic_positions(gene, starts[:, None] + np.arange(texts.shape[1]))
    canvas.codes[places] = texts if gene.strand == "+" else 3 - texts
    canvas.planted[places] = True


def _far_from_exons(contig: Contig) -> np.ndarray:
    """Mark positions that are more than `CLEAR` nt from every exon and from the contig's ends."""
    far = np.zeros(contig.length, dtype=bool)
    far[CLEAR:-CLEAR] = True
    for gene in contig.genes:
        for start, end in gene.transcripts[0].exons:
            far[max(start - CLEAR, 0) : end + CLEAR] = False
    return far


def _plant_decoys(
    canvas: Canvas, contig: Contig, far: np.ndarray, rng: np.random.Generator
) -> None:
    """Plant motifs where there is no site, independently of each other."""
    places = np.flatnonzero(far)
    for strand in "+-":
        anywhere = Gene("", "", contig.name, strand, 0, contig.length, "", ())
        for kind in KINDS:
            sites = rng.choice(places, len(places) // NT_PER_DECOY, replace=False)
            _plant_motifs(canvas, anywhere, genomic_positions(anywhere, sites), kind, rng)


def _lose_runs(codes: np.ndarray, far: np.ndarray, rng: np.random.Generator) -> None:
    """Make runs of bases unknown, far from exons."""
    for start in rng.choice(np.flatnonzero(far), len(codes) // NT_PER_UNKNOWN_RUN, replace=False):
        run = slice(start, start + rng.integers(*UNKNOWN_RUN))
        codes[run][far[run]] = UNKNOWN


def _soft_mask(length: int, rng: np.random.Generator) -> np.ndarray:
    """Mark stretches inside and outside of exons."""
    masked = np.zeros(length, dtype=bool)
    for start in rng.integers(0, length, length // NT_PER_SOFT_MASK):
        masked[start : start + rng.integers(*SOFT_MASK)] = True
    return masked
