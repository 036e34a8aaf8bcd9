"""Gives the protein-coding genes of the simulated genome a reading frame.

The frame runs along the first transcript of a gene: a start codon in an early exon, codons drawn
from a fixed usage, a stop codon in the last exon. What the exons of other genes cover is left out.
"""

from typing import NamedTuple

import numpy as np

from genebatch.features.structure.codons import CODON, CODONS, START, STOPS
from genebatch.genome.genes import Gene
from genebatch.genome.nucleotides import encode
from genebatch.simulation.locus import Contig

PROTEIN_CODING = "protein_coding"  # kind of the genes that get a frame
# Share of A, C, G, T at each place of a codon. As in most genomes, codons prefer a purine in front
# and A or T in the middle. They have 49 % of G and C, like all exons (`sequence.EXON_GC`).
USAGE = ((0.28, 0.21, 0.31, 0.20), (0.32, 0.21, 0.18, 0.29), (0.22, 0.27, 0.25, 0.26))
# Medians and spreads (of the logarithm) of the untranslated parts in nt. The first is at most a
# share of the transcript, the second at most a share of the last exon.
FIVE_UTR, LARGEST_FIVE = (120, 0.6), 0.3
THREE_UTR, LARGEST_THREE = (400, 0.6), 0.8
FEWEST_CODONS = 30  # of a frame

Pieces = tuple[tuple[int, int], ...]


class Canvas(NamedTuple):
    """A contig while it is drawn.

    Attributes
    ----------
    codes
        (length,) uint8 of the plus strand: A 0, C 1, G 2, T 3, unknown 4.
    planted
        (length,) bool, part of a word or a motif.
    """

    codes: np.ndarray
    planted: np.ndarray


def plant_frames(canvas: Canvas, contig: Contig, rng: np.random.Generator) -> dict[str, Pieces]:
    """Draw a reading frame into each protein-coding gene that has room for one.

    Only bases of coding parts change. Planted bases stay, unless those of a codon make a stop: then
    one of them changes. Start and stop codons lie where nothing is planted.

    Returns
    -------
    dict
        Gene id to its coding part with start and stop codon: genomic (start, end), ascending, one
        for each exon. A gene without a frame is left out.
    """
    cover = np.zeros(len(canvas.codes), dtype=np.uint8)  # number of genes with an exon here
    for gene in contig.genes:
        for start, end in gene.transcripts[0].exons:
            cover[start:end] += 1
    coding = {}
    for gene in contig.genes:
        if gene.kind != PROTEIN_CODING:
            continue
        places = _place_frame(_own_places(gene, cover), canvas.planted, rng)
        if len(places):
            _write_codons(canvas, gene, places, rng)
            coding[gene.id] = _pieces(gene, places)
    return coding


def _own_places(gene: Gene, cover: np.ndarray) -> np.ndarray:
    """Genomic places of the longest part of the transcript that no exon of another gene covers.

    They are in transcript orientation.
    """
    places = np.concatenate([np.arange(*exon) for exon in gene.transcripts[0].exons])
    own = np.concatenate([[False], cover[places] == 1, [False]])
    edges = np.flatnonzero(np.diff(own)).reshape(-1, 2)
    if not len(edges):
        return places[:0]
    start, end = edges[np.argmax(np.diff(edges, axis=1))]
    return places[start:end] if gene.strand == "+" else places[start:end][::-1]


def _place_frame(places: np.ndarray, planted: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Choose the places of a frame, start and stop codon included; empty if there is no room."""
    five, three = (
        rng.lognormal(np.log(median), spread) for median, spread in (FIVE_UTR, THREE_UTR)
    )
    clear = ~planted[places]
    # The bases on either side of an intron are planted, so no clear codon spans one.
    codons = np.flatnonzero(clear[:-2] & clear[1:-1] & clear[2:])
    if not len(codons):
        return places[:0]
    start = _nearest(codons, min(five, LARGEST_FIVE * len(places)))
    stops = codons[(codons >= start + CODON * FEWEST_CODONS) & ((codons - start) % CODON == 0)]
    if not len(stops):
        return places[:0]
    introns = np.flatnonzero(np.abs(np.diff(places)) > 1)
    last_exon = len(places) - 1 - introns[-1] if len(introns) else len(places)
    stop = _nearest(stops, len(places) - min(three, LARGEST_THREE * last_exon))
    return places[start : stop + CODON]


def _nearest(choices: np.ndarray, wanted: float) -> int:
    return int(choices[np.argmin(np.abs(choices - wanted))])


def _write_codons(canvas: Canvas, gene: Gene, places: np.ndarray, rng: np.random.Generator) -> None:
    """Write a frame: a start codon, codons of `USAGE` that keep what is planted, a stop codon."""
    codes = canvas.codes[places].reshape(-1, CODON)
    codes = codes if gene.strand == "+" else 3 - codes
    fixed = canvas.planted[places].reshape(-1, CODON)[:, None]
    changed = (fixed & (codes[:, None] != _CODONS)).sum(axis=2)
    shares = np.where(changed == changed[:, _SHARES > 0].min(axis=1, keepdims=True), _SHARES, 0)
    cumulative = np.cumsum(shares, axis=1)
    drawn = rng.random((len(codes), 1)) * cumulative[:, -1:]
    codons = _CODONS[(drawn >= cumulative).sum(axis=1)]
    codons[0] = encode(START)
    codons[-1] = encode(STOPS[rng.integers(len(STOPS))])
    canvas.codes[places] = (codons if gene.strand == "+" else 3 - codons).ravel()


def _pieces(gene: Gene, places: np.ndarray) -> Pieces:
    """Coding part of each exon."""
    first, last = int(places.min()), int(places.max())
    exons = gene.transcripts[0].exons
    cut = [(max(start, first), min(end, last + 1)) for start, end in exons]
    return tuple((start, end) for start, end in cut if start < end)


_CODONS = np.array([encode(codon) for codon in CODONS])
_SHARES = np.array(USAGE)[np.arange(CODON), _CODONS].prod(axis=1)
_SHARES[[CODONS.index(stop) for stop in STOPS]] = 0
