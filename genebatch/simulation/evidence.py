"""Draws evidence along the simulated genome: conservation, noise, and splice junctions of reads.

Conservation is higher in exons and highest at sites. Noise has the same looks and knows nothing.
Junctions have reads of most introns of the genes that are expressed, and few reads of false ones.
Every file of a contig has a generator of its own, so that none moves another file.
"""

import itertools
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from genebatch.genome.genes import Gene, genomic_positions, splice_sites
from genebatch.genome.scores.bigwig import bigwig_library
from genebatch.io.files import whole
from genebatch.simulation.locus import Contig

CONSERVATION, NOISE, JUNCTIONS = "conservation.bw", "noise.bw", "SJ.out.tab"
# Means of the conservation, whose spread is 1: elsewhere 0.
IN_EXON, AT_SITE = 0.8, 2.0
SITE_REACH = 2  # nt on each side of a site
MISSING_RUN, MISSING_SHARE = (50, 500), 0.15  # nt; of all positions, as overlaps are few
EXPRESSED = 0.85  # share of the genes
READS = (15, 1.2)  # median and spread (of the logarithm) of the unique reads of an intron
MULTI_MAPPING = 0.1  # reads for each unique one
RARE = 0.3  # reads of an intron that the first transcript lacks, for each of another
NT_PER_FALSE = 2_500  # of a contig
FALSE_LENGTH = (60, 3_000)  # nt
FALSE_READS = (1, 4)
UNKNOWN_STRAND = 0.2  # share of the false junctions that have no motif
MOTIFS = {"+": 1, "-": 2}  # as STAR writes GT/AG and CT/AC; its codes of the strands are the same
ENDS = {"+": ((2, 3), (0, 2)), "-": ((1, 3), (0, 1))}  # bases of both ends: GT and AG, CT and AC


class Junction(NamedTuple):
    """A line of SJ.out.tab: first and last base of the intron from 1, codes, reads."""

    start: int
    end: int
    strand: int
    motif: int
    unique: int
    multi: int


class EvidenceFiles:
    """Writes the files of evidence contig by contig; a context manager.

    Needs pyBigWig. The files are complete once the block ends without an error. Holds 30 bytes per
    base of a contig while drawing.

    Parameters
    ----------
    folder
        Where `CONSERVATION`, `NOISE` and `JUNCTIONS` are written.
    contigs
        All contigs, in the order of the genome.
    seed
        Of the genome.
    """

    def __init__(self, folder: str | Path, contigs: Sequence[Contig], seed: int):
        self._seed = seed
        library = bigwig_library("the simulated evidence")
        header = [(contig.name, contig.length) for contig in contigs]
        self._files = ExitStack()
        self._tracks: dict[str, Any] = {}
        for name in (CONSERVATION, NOISE):
            path = self._files.enter_context(whole(Path(folder) / name))
            self._tracks[name] = self._files.enter_context(closing(library.open(str(path), "w")))
            self._tracks[name].addHeader(header)
        path = self._files.enter_context(whole(Path(folder) / JUNCTIONS))
        self._junctions = self._files.enter_context(path.open("w"))

    def __enter__(self) -> "EvidenceFiles":
        return self

    def __exit__(self, *exception: Any) -> None:
        self._files.__exit__(*exception)

    def write(self, contig: Contig, codes: np.ndarray) -> None:
        """Draw and write the evidence of a contig; `codes` are its bases."""
        for number, (name, mean) in enumerate(
            {CONSERVATION: conserved(contig), NOISE: np.zeros(contig.length)}.items(), start=4
        ):
            rng = np.random.default_rng([self._seed, number, contig.number])
            for start, values in _known_runs(noisy(mean, rng)):
                self._tracks[name].addEntries(contig.name, start, values=values, span=1, step=1)
        rng = np.random.default_rng([self._seed, 6, contig.number])
        for junction in junctions(contig, codes, rng):
            overhang = int(rng.integers(10, 60))
            fields = (contig.name, *junction[:4], 0, *junction[4:], overhang)
            self._junctions.write("\t".join(map(str, fields)) + "\n")


def conserved(contig: Contig) -> np.ndarray:
    """Mean conservation of the bases of a contig, (length,) float64."""
    mean = np.zeros(contig.length)
    for gene in contig.genes:
        for transcript in gene.transcripts:
            for start, end in transcript.exons:
                mean[start:end] = np.maximum(mean[start:end], IN_EXON)
    for gene in contig.genes:
        for sites in splice_sites(gene):
            for shift in range(-SITE_REACH, SITE_REACH + 1):
                mean[genomic_positions(gene, sites) + shift] = AT_SITE
    return mean


def noisy(mean: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Values around their means, (n,) float32; some stretches are NaN wherever they fall."""
    # Two digits, so that the file is small.
    values = np.round(mean + rng.standard_normal(len(mean)), 2).astype(np.float32)
    n_runs = int(MISSING_SHARE * len(mean) / np.mean(MISSING_RUN))
    for start in rng.integers(0, len(mean), n_runs):
        values[start : start + rng.integers(*MISSING_RUN)] = np.nan
    return values


def junctions(contig: Contig, codes: np.ndarray, rng: np.random.Generator) -> list[Junction]:
    """True and false junctions of a contig, sorted by their places."""
    found: dict[tuple[int, int, int], Junction] = {}
    for junction in (*_true(contig, rng), *_false(contig, codes, rng)):
        found.setdefault(junction[:3], junction)
    return sorted(found.values())


def _true(contig: Contig, rng: np.random.Generator) -> Iterator[Junction]:
    """Junctions of introns with reads."""
    for gene in contig.genes:
        expressed, level = rng.random() < EXPRESSED, rng.lognormal(np.log(READS[0]), READS[1])
        first = set(_introns(gene, 0))
        every = {intron for n in range(len(gene.transcripts)) for intron in _introns(gene, n)}
        for start, end in sorted(every):
            reads = rng.poisson(level * (1 if (start, end) in first else RARE))
            multi = rng.binomial(reads, MULTI_MAPPING)
            if expressed and reads:
                code = MOTIFS[gene.strand]
                yield Junction(start + 1, end, code, code, int(reads), int(multi))


def _introns(gene: Gene, transcript: int) -> Iterator[tuple[int, int]]:
    """Introns of a transcript, from 0 and half-open."""
    exons = gene.transcripts[transcript].exons
    yield from ((before[1], after[0]) for before, after in itertools.pairwise(exons))


def _false(contig: Contig, codes: np.ndarray, rng: np.random.Generator) -> Iterator[Junction]:
    """Junctions with the bases of an intron, or of an unknown strand, anywhere."""
    for strand, (first, last) in ENDS.items():
        starts = rng.choice(_pairs(codes, first), contig.length // NT_PER_FALSE // len(ENDS))
        ends = 1 + _pairs(codes, last)
        nearest = np.searchsorted(ends, starts + rng.integers(*FALSE_LENGTH, len(starts)))
        for start, number in zip(starts.tolist(), nearest.tolist(), strict=True):
            code = 0 if rng.random() < UNKNOWN_STRAND else MOTIFS[strand]
            reads, multi = rng.integers(*FALSE_READS), rng.integers(0, 3)
            if number < len(ends):
                end = int(ends[number])
                yield Junction(start + 1, end + 1, code, code, int(reads), int(multi))


def _pairs(codes: np.ndarray, pair: tuple[int, int]) -> np.ndarray:
    """First places of a pair of bases, but for the ends of the contig, where no exon fits."""
    found = np.flatnonzero((codes[:-1] == pair[0]) & (codes[1:] == pair[1]))
    return found[(found > 0) & (found < len(codes) - 2)]


def _known_runs(values: np.ndarray) -> Iterator[tuple[int, np.ndarray]]:
    """Start and values of each stretch without a missing value."""
    known = np.concatenate([[False], ~np.isnan(values), [False]])
    edges = np.flatnonzero(known[1:] != known[:-1])
    for first, stop in zip(edges[::2].tolist(), edges[1::2].tolist(), strict=True):
        yield first, values[first:stop]
