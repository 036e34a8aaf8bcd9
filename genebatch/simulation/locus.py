"""Places the genes of the simulated genome: contigs, gene spans, exons, transcripts.

Everything about a gene is planned here but its sequence. About a fifth of the genes overlap another
one, in pairs of four kinds by turns. Two neighbours share part of their outer exons, or a short
gene lies within an intron of a long one; each on the same strand or on opposite strands.
"""

from typing import NamedTuple

import numpy as np

from genebatch.genome.genes import Gene, Transcript
from genebatch.io.files import InputError

GENE_LENGTH = (1_500, 30_000)  # nt
EXONS = (2, 12)
SINGLE_EXON_SHARE = 0.06
SECOND_TRANSCRIPT_SHARE = 0.4  # of the genes with an inner exon to leave out
# Medians, spreads (of the logarithm) and limits of lengths in nt. Inner exons peak near 130 nt,
# as in vertebrates; introns are shorter than human ones, so that an example stays small.
INNER_EXON = (130, 0.4, 45, 450)
FIRST_EXON = (170, 0.5, 80, 600)
LAST_EXON = (600, 0.5, 200, 2_000)
ONLY_EXON = (2_200, 0.3, 1_500, 5_000)
INTRON = (850, 1.1, 80, 8_000)
GAP = (1_500, 0.8, 300, 10_000)
EDGE = 40  # nt before the first gene of a contig: windows around its first positions reach outside
GUEST_LENGTH = 5_000  # nt, the longest gene that lies within an intron
GUEST_GAP = 400  # nt between the host's exons and its guest
PAIR_KINDS = ((False, True), (False, False), (True, True), (True, False))  # nested, same strand


class Contig(NamedTuple):
    """A contig and its genes, ordered by start."""

    number: int
    length: int
    genes: tuple[Gene, ...]

    @property
    def name(self) -> str:
        """Name in the files."""
        return f"chr{self.number}"


class Structure(NamedTuple):
    """Lengths of the exons and introns of a gene in nt, in transcript orientation."""

    exons: np.ndarray
    introns: np.ndarray

    @property
    def length(self) -> int:
        """Length of the gene."""
        return int(self.exons.sum() + self.introns.sum())


class Placed(NamedTuple):
    """A structure on a contig."""

    structure: Structure
    strand: str
    start: int

    @property
    def end(self) -> int:
        """End of the gene on the contig, exclusive."""
        return self.start + self.structure.length

    def exons(self) -> tuple[tuple[int, int], ...]:
        """Genomic exons, ascending."""
        lengths = np.zeros(2 * len(self.structure.exons) - 1, dtype=int)
        lengths[::2], lengths[1::2] = self.structure
        if self.strand == "-":
            lengths = lengths[::-1]
        edges = self.start + np.concatenate([[0], np.cumsum(lengths)])
        return tuple(zip(edges[::2].tolist(), edges[1::2].tolist(), strict=True))


def plan_contigs(n_genes: int, n_chromosomes: int, seed: int) -> list[Contig]:
    """Plan the genes of contigs chr1, chr2, ..., of about as many genes each.

    Raises
    ------
    InputError
        If there are too few genes for a pair of every kind or for the contigs.
    """
    if n_genes < 8 or not 1 <= n_chromosomes <= n_genes // 2:
        raise InputError(
            f"{n_genes} genes on {n_chromosomes} chromosomes cannot be simulated; ask for at "
            "least 8 genes and for 1 chromosome to half as many as there are genes"
        )
    rng = np.random.default_rng([seed, 1])
    n_pairs = len(PAIR_KINDS) * max(1, n_genes // 40)
    n_units = n_genes - n_pairs
    kinds = np.full(n_units, -1)
    kinds[rng.choice(n_units, n_pairs, replace=False)] = np.arange(n_pairs) % len(PAIR_KINDS)
    contigs, first = [], 1
    for number, units in enumerate(np.array_split(kinds, n_chromosomes), start=1):
        contig = _contig(number, units, first, rng)
        contigs.append(contig)
        first += len(contig.genes)
    return contigs


def _contig(number: int, units: np.ndarray, first: int, rng: np.random.Generator) -> Contig:
    placed: list[Placed] = []
    start = EDGE
    for kind in units:
        placed += _pair(*PAIR_KINDS[kind], start, rng) if kind >= 0 else [_single(start, rng)]
        start = max(gene.end for gene in placed) + _length(GAP, rng)
    placed.sort(key=lambda gene: (gene.start, gene.end))
    genes = (_gene(f"chr{number}", *item, rng) for item in enumerate(placed, start=first))
    return Contig(number, start, tuple(genes))


def _single(start: int, rng: np.random.Generator) -> Placed:
    n_exons = 1 if rng.random() < SINGLE_EXON_SHARE else _n_exons(rng)
    return Placed(_structure(n_exons, GENE_LENGTH[1], rng), _strand(rng), start)


def _pair(nested: bool, same_strand: bool, start: int, rng: np.random.Generator) -> list[Placed]:
    strand = _strand(rng)
    other = strand if same_strand else "+-".replace(strand, "")
    if nested:
        return _nested(strand, other, start, rng)
    left, right = (_structure(_n_exons(rng), GENE_LENGTH[1], rng) for _ in range(2))
    first = Placed(left, strand, start)
    outer = min(left.exons[-1 if strand == "+" else 0], right.exons[0 if other == "+" else -1])
    return [first, Placed(right, other, first.end - int(outer) // 2)]


def _nested(strand: str, other: str, start: int, rng: np.random.Generator) -> list[Placed]:
    """A host, with its longest intron widened for the guest, and the guest."""
    guest = _structure(min(_n_exons(rng), 5), GUEST_LENGTH, rng)
    host = _structure(_n_exons(rng), GENE_LENGTH[1] - guest.length - 2 * GUEST_GAP, rng)
    widened = int(np.argmax(host.introns))
    host.introns[widened] += guest.length + 2 * GUEST_GAP
    outer = Placed(host, strand, start)
    exons = outer.exons()
    before = exons[widened if strand == "+" else len(exons) - 2 - widened]
    return [outer, Placed(guest, other, before[1] + GUEST_GAP)]


def _structure(n_exons: int, longest: int, rng: np.random.Generator) -> Structure:
    """Draw a structure of `GENE_LENGTH`, and of at most `longest` nt by shrinking the introns."""
    if n_exons == 1:
        return Structure(np.array([_length(ONLY_EXON, rng)]), np.zeros(0, dtype=int))
    inner = [_length(INNER_EXON, rng) for _ in range(n_exons - 2)]
    exons = np.array([_length(FIRST_EXON, rng), *inner, _length(LAST_EXON, rng)])
    introns = np.array([_length(INTRON, rng) for _ in range(n_exons - 1)])
    shortest = INTRON[2]
    excess = exons.sum() + introns.sum() - longest
    if excess > 0:
        spare = introns - shortest
        introns = shortest + (spare * (1 - excess / spare.sum())).astype(int)
    exons[-1] += max(0, GENE_LENGTH[0] - exons.sum() - introns.sum())
    return Structure(exons, introns)


def _gene(chrom: str, number: int, placed: Placed, rng: np.random.Generator) -> Gene:
    name = f"SIMG{number:05d}"
    exons = placed.exons()
    variants = [exons]
    if len(exons) > 2 and rng.random() < SECOND_TRANSCRIPT_SHARE:
        left_out = int(rng.integers(1, len(exons) - 1))
        variants.append(exons[:left_out] + exons[left_out + 1 :])
    return Gene(
        id=name,
        name=f"SIM{number}",
        chrom=chrom,
        strand=placed.strand,
        start=placed.start,
        end=placed.end,
        kind=str(rng.choice(["protein_coding", "lncRNA"], p=[0.85, 0.15])),
        transcripts=tuple(
            Transcript(f"{name}.{which}", variant) for which, variant in enumerate(variants, 1)
        ),
    )


def _n_exons(rng: np.random.Generator) -> int:
    return int(np.clip(EXONS[0] + rng.poisson(4.2), *EXONS))


def _strand(rng: np.random.Generator) -> str:
    return str(rng.choice(["+", "-"]))


def _length(law: tuple[float, float, int, int], rng: np.random.Generator) -> int:
    median, spread, low, high = law
    return int(np.clip(rng.lognormal(np.log(median), spread), low, high))
