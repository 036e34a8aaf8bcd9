"""Finds families of genes by the similarity of their spliced sequences.

Two transcripts are compared by the words that they share. A word is read through a spaced seed,
so that words at neighbouring places are nearly independent of each other. In sequences of identity
p, the share p ** `WEIGHT` of the words is the same. Two transcripts are aligned where they have the
same words at about the same distance and close to each other. How close these words lie tells how
similar the transcripts are. Words that match by chance lie apart.
"""

import logging
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from scipy.sparse import coo_array, csr_array
from scipy.sparse.csgraph import connected_components

from genebatch.genome.choice import canonical_transcript
from genebatch.genome.fasta import Fasta
from genebatch.genome.genes import Gene
from genebatch.genome.nucleotides import UNKNOWN
from genebatch.io.files import InputError, first_names

log = logging.getLogger(__name__)

COVER, IDENTITY = 0.5, 0.8
LEAST_IDENTITY = 0.7  # below, as many words match by chance
# The seed of PatternHunter (Ma, Tromp and Li 2002): a word is the letters at its ones.
SEED = np.flatnonzero([letter == "1" for letter in "111010010100110111"])
SPAN, WEIGHT = int(SEED[-1]) + 1, len(SEED)
MOST_COPIES = 8  # in one transcript; words that occur more often are low complexity or satellites
# Words are at the same distance if their distances differ by less than this: gaps may move them.
BAND = 32  # nt
# Neighbouring shared words lie at most this many times their expected distance apart.
REACH = 12
BLOCK = 256  # genes whose shared words with all others are counted at once
# A family is too large to be one if it has more than this share of the genes, and this many.
GIANT, LEAST_GIANT = 0.05, 10


class Words(NamedTuple):
    """Words of a sequence, ascending, with their places; words of many copies are left out."""

    words: np.ndarray
    places: np.ndarray
    length: int


def spliced(fasta: Fasta, gene: Gene) -> np.ndarray:
    """Codes of the exons of a gene's canonical transcript, in transcript orientation."""
    exons = canonical_transcript(gene).exons
    ordered = exons if gene.strand == "+" else exons[::-1]
    parts = [fasta.fetch(gene.chrom, start, end, gene.strand) for start, end in ordered]
    return np.concatenate(parts)


def words_of(codes: np.ndarray) -> Words:
    """Words of a sequence; those with an unknown letter count for nothing."""
    size = max(len(codes) - SPAN + 1, 0)
    words, known = np.zeros(size, np.int32), np.ones(size, bool)
    for place in SEED:
        letters = codes[place : place + size]
        known &= letters < UNKNOWN
        words = 4 * words + letters
    places = np.flatnonzero(known).astype(np.int32)
    order = np.argsort(words[places], kind="stable")
    words, places = words[places][order], places[order]
    _, first, copies = np.unique(words, return_inverse=True, return_counts=True)
    few = copies[first] <= MOST_COPIES
    return Words(words[few], places[few], len(codes))


def similarity(shorter: Words, other: Words, identity: float) -> tuple[float, float]:
    """Share of the shorter sequence that is aligned to the other, and its identity there.

    `identity` is what is wanted: the less, the farther apart words of one alignment may lie. Both
    are 0 where nothing is aligned.
    """
    here, there = _shared(shorter, other)
    reach = round(REACH / identity**WEIGHT)
    covered, spanned = (np.zeros(shorter.length + 1, np.int32) for _ in range(2))
    seeds = np.zeros(shorter.length, bool)
    for shift in (0, BAND // 2):  # two tilings, so that no border parts an alignment in both
        band = (there - here + shift) // BAND
        order = np.lexsort((here, band))
        band, places = band[order], here[order]
        near = (np.diff(band) == 0) & (np.diff(places) <= reach)
        first, last = places[:-1][near], places[1:][near]
        for marks, width in ((covered, SPAN), (spanned, 1)):
            np.add.at(marks, first, 1)
            np.add.at(marks, last + width, -1)
        seeds[first] = seeds[last] = True
    total = int((np.cumsum(spanned) > 0).sum())
    if not total:
        return 0.0, 0.0
    share = float((np.cumsum(covered) > 0).sum() / shorter.length)
    return share, float((seeds.sum() / total) ** (1 / WEIGHT))


def similar_pairs(sequences: Sequence[Words], cover: float, identity: float) -> np.ndarray:
    """Pairs of sequences of which the shorter is similar to the other, (pairs, 2), sorted.

    Holds about 45 bytes per nt.

    Parameters
    ----------
    sequences
        The sequences.
    cover
        Least share of the shorter sequence that must be aligned.
    identity
        Least share of identical letters in the aligned part.
    """
    found = [
        (one, other)
        for one, other in _candidates(sequences, cover * identity**WEIGHT / 2)
        if _is_similar(sequences[one], sequences[other], cover, identity)
    ]
    return np.array(found, np.int64).reshape(-1, 2)


def gene_families(names: Sequence[str], pairs: np.ndarray) -> dict[str, str]:
    """Gene to family: genes that pairs join, in chains; the name is the first of their ids."""
    ones = np.ones(len(pairs))
    graph = coo_array((ones, (pairs[:, 0], pairs[:, 1])), shape=(len(names), len(names)))
    family = connected_components(graph, directed=False)[1].tolist()
    first: dict[int, str] = {}
    for name, number in sorted(zip(names, family, strict=True)):
        first.setdefault(number, name)
    return {name: first[number] for name, number in zip(names, family, strict=True)}


def group_by_similarity(
    fasta: Fasta, genes: Sequence[Gene], cover: float = COVER, identity: float = IDENTITY
) -> dict[str, str]:
    """Gene id to its family of genes with similar spliced sequences.

    Each gene is compared by its canonical transcript, see `choice.canonical_transcript`, with all
    others, in the direction of transcription. A gene that is similar to no other is a family of its
    own, and so is one without words. Warns of a family that is too large to be one.

    Parameters
    ----------
    fasta
        The genome.
    genes
        The genes.
    cover, identity
        See `similar_pairs`. Pairs of just this identity are found about half of the time; with
        0.8 nearly all pairs of 0.85 are, and nearly none of 0.75.

    Raises
    ------
    InputError
        If `cover` or `identity` is out of range.
    """
    if not 0 < cover <= 1:
        raise InputError(f"cover is {cover:g}; wanted a share above 0 and up to 1 (--cover)")
    if not LEAST_IDENTITY <= identity <= 1:
        raise InputError(
            f"identity is {identity:g}; wanted {LEAST_IDENTITY:g} to 1 (--identity): below, "
            "nucleotides are alike by chance"
        )
    sequences = [words_of(spliced(fasta, gene)) for gene in genes]
    bare = [gene.id for gene, one in zip(genes, sequences, strict=True) if not len(one.words)]
    if bare:
        log.warning(
            "%s of %s genes have no words of %d known letters to compare; each is a family of its "
            "own: %s",
            *(f"{len(bare):,}", f"{len(genes):,}", SPAN, first_names(bare)),
        )
    families = gene_families([gene.id for gene in genes], similar_pairs(sequences, cover, identity))
    _warn_of_giants(families)
    return families


def _warn_of_giants(families: dict[str, str]) -> None:
    names, sizes = np.unique(list(families.values()), return_counts=True)
    largest = sizes.argmax()
    if sizes[largest] > max(LEAST_GIANT, GIANT * len(families)):
        log.warning(
            "the family of %s has %s of %s genes; chains of similar pairs may join what is no "
            "family: raise --cover or --identity",
            *(names[largest], f"{sizes[largest]:,}", f"{len(families):,}"),
        )


def _candidates(sequences: Sequence[Words], least: float) -> list[tuple[int, int]]:
    """Pairs of which the shorter shares at least this part of its words with the other."""
    unique = [np.unique(one.words) for one in sequences]
    sizes = np.array([len(words) for words in unique])
    ends = np.append(0, np.cumsum(sizes))
    columns = np.concatenate([np.empty(0, np.int32), *unique])
    shape = len(sequences), 4**WEIGHT
    table = csr_array((np.ones(len(columns), np.int32), columns, ends), shape=shape)
    turned = table.T.tocsr()
    lengths = np.array([one.length for one in sequences])
    found = []
    for start in range(0, len(sequences), BLOCK):
        shared = (table[start : start + BLOCK] @ turned).tocoo()
        one, other = shared.row + start, shared.col
        shorter = np.where(lengths[one] <= lengths[other], one, other)
        kept = (one < other) & (shared.data >= least * sizes[shorter])
        found += zip(one[kept].tolist(), other[kept].tolist(), strict=True)
    return sorted(found)


def _is_similar(one: Words, other: Words, cover: float, identity: float) -> bool:
    shorter, longer = (one, other) if one.length <= other.length else (other, one)
    share, found = similarity(shorter, longer, identity)
    return share >= cover and found >= identity


def _shared(one: Words, other: Words) -> tuple[np.ndarray, np.ndarray]:
    """Places of each shared word in both sequences, for all pairs of its copies."""
    first = np.searchsorted(other.words, one.words, "left")
    copies = np.searchsorted(other.words, one.words, "right") - first
    before = np.cumsum(copies) - copies
    partner = np.arange(copies.sum()) + np.repeat(first - before, copies)
    return np.repeat(one.places, copies), other.places[partner]
