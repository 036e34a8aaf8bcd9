"""Draws one gene of the example: sequence, candidate sites, sites, base scores, kept rows.

The chain runs one way, as in biology: sequence -> latent strength -> sites. The base model sees
most of the strength.
"""

from typing import NamedTuple

import numpy as np

from genebatch.features.words import gc_content, kmer_counts
from genebatch.genome.nucleotides import encode

CLASSES = ("donor", "acceptor")
WINDOW = 60  # nt on each side of a position that k-mers and local composition are counted over
CELL = 64  # nt around a candidate site that no other candidate writes into
CANDIDATES_PER_ROW = 0.33  # with a site in nearly every second candidate: 6.5 % of rows per class
KEEP_ALL_ABOVE = 0.05  # base score from which every position becomes a row
GREY_ABOVE = 1e-3  # base score from which half of the positions become rows
# (word, nt from the candidate to its first base, chance, log-odds of its presence). The base model
# does not see this part of the strength.
MOTIFS = (
    (("GTAAG", 0, 0.5, 2.5), ("CTTGG", 10, 0.4, -2.5)),
    (("TTTCA", -22, 0.5, 2.5), ("GAGGC", -38, 0.4, -2.5)),
)
SHARPNESS_EFFECT = 1.0  # log-odds per standard deviation
GC_EFFECT = 1.2  # log-odds per standard deviation of local GC, its sign set by the gene's GC
MEAN_GC, GENE_GC_SPREAD, LOCAL_GC_SPREAD = 0.45, 0.05, 0.08


class GenePlan(NamedTuple):
    """The plan of a gene before its sequence is drawn; lengths are in nt."""

    index: int
    name: str
    rows: int
    length: int
    quiet: bool
    gc: float
    chrom: str
    strand: str
    start: int
    cluster: str
    kind: str


class Candidates(NamedTuple):
    """Places that look like a splice site; arrays of one length, ordered by position."""

    position: np.ndarray
    kind: np.ndarray  # index into CLASSES
    base: np.ndarray  # log-odds that the base model gives
    sharpness: np.ndarray  # of the base model's peak, standard normal


class KeptRows(NamedTuple):
    """The positions of a gene that are kept, with their inverse sampling rates."""

    position: np.ndarray
    weight: np.ndarray


class Drawn(NamedTuple):
    """A gene and its kept rows; `label` is the class of every nt, empty where there is no site."""

    sequence: np.ndarray
    tracks: np.ndarray
    rows: KeptRows
    label: np.ndarray


def draw_gene(
    gene: GenePlan, rng: np.random.Generator, cell_log_odds: np.ndarray | None = None
) -> Drawn:
    """Draw a gene from its sequence to the rows that are kept.

    Parameters
    ----------
    gene : GenePlan
        What is decided about it.
    rng : numpy.random.Generator
        Of this gene alone.
    cell_log_odds : (length // CELL,) float, optional
        What every cell of `CELL` nt adds to the log-odds that a candidate in it is a site; the
        base model does not see it.

    Returns
    -------
    Drawn
        Holds 60 bytes per nt of the gene while drawing.
    """
    candidates = _candidates(gene, rng)
    sequence = _sequence(gene, candidates, rng)
    added = 0.0 if cell_log_odds is None else cell_log_odds[candidates.position // CELL]
    site = _sites(gene, candidates, sequence, added, rng)
    tracks = _tracks(gene, candidates, rng)
    rows = _thin(gene, candidates.position[site], tracks, rng)
    label = np.full(gene.length, "", dtype="U8")
    label[candidates.position[site]] = np.array(CLASSES)[candidates.kind[site]]
    return Drawn(sequence, tracks, rows, label)


def _candidates(gene: GenePlan, rng: np.random.Generator) -> Candidates:
    """Place donors and acceptors in turn; the base model finds nearly half of them strong.

    Acceptors of a quiet gene are all weak: its 3' end lies outside of the data.
    """
    n = max(1, round(CANDIDATES_PER_ROW * gene.rows))
    cells = np.sort(rng.choice(gene.length // CELL, n, replace=False))
    position = cells * CELL + 40 + rng.integers(0, 8, n)
    kind = (np.arange(n) + rng.integers(2)) % 2
    strong = (rng.random(n) < 0.45) & ~(gene.quiet & (kind == 1))
    base = np.where(strong, rng.normal(3.1, 2.2, n), rng.normal(-4.8, 2.3, n))
    return Candidates(position, kind, base, rng.standard_normal(n))


def _sequence(gene: GenePlan, candidates: Candidates, rng: np.random.Generator) -> np.ndarray:
    """Draw the gene with `WINDOW` nt on each side: 0 to 3 for A, C, G, T, GC drifting along it."""
    n = gene.length + 2 * WINDOW
    drift = rng.normal(0.0, LOCAL_GC_SPREAD, n // 200 + 1).repeat(200)[:n]
    strong = rng.random(n) < np.clip(gene.gc + drift, 0.1, 0.9)
    either = rng.integers(0, 2, n)
    sequence = np.where(strong, 1 + either, 3 * either).astype(np.uint8)
    start = candidates.position + WINDOW
    for kind, (core, offset) in enumerate((("GT", 0), ("AG", -1))):
        _plant(sequence, start[candidates.kind == kind] + offset, core)
        for word, shift, chance, _ in MOTIFS[kind]:
            chosen = (candidates.kind == kind) & (rng.random(len(start)) < chance)
            _plant(sequence, start[chosen] + shift, word)
    return sequence


def _plant(sequence: np.ndarray, starts: np.ndarray, word: str) -> None:
    sequence[starts[:, None] + np.arange(len(word))] = encode(word)


def _sites(
    gene: GenePlan,
    candidates: Candidates,
    sequence: np.ndarray,
    added: np.ndarray | float,
    rng: np.random.Generator,
) -> np.ndarray:
    """Decide which candidates are sites, by the base log-odds plus what the base model misses."""
    width = 2 * WINDOW + 1
    counts = kmer_counts(sequence, candidates.position, width, 5)
    missed = SHARPNESS_EFFECT * candidates.sharpness + added
    # In GC-rich genes GC around the site helps, in AT-rich genes it harms.
    direction = np.tanh((gene.gc - MEAN_GC) / (GENE_GC_SPREAD / 2))
    local = (gc_content(sequence, candidates.position, width) - gene.gc) / LOCAL_GC_SPREAD
    missed += GC_EFFECT * direction * local
    for kind, motifs in enumerate(MOTIFS):
        for word, _, chance, effect in motifs:
            present = counts[:, encode(word) @ 4 ** np.arange(5)[::-1]] > 0
            missed += (candidates.kind == kind) * effect * (present - chance)
    site = rng.random(len(missed)) < 1 / (1 + np.exp(-candidates.base - missed))
    return site & ~(gene.quiet & (candidates.kind == 1))


def _tracks(gene: GenePlan, candidates: Candidates, rng: np.random.Generator) -> np.ndarray:
    """Base scores of donor and acceptor: (2, length) float32, leaving the rest of 1 to neither."""
    logits = rng.normal(-16.0, 2.2, (2, gene.length)).clip(max=-4.0)
    at, kind = candidates.position, candidates.kind
    for shift, height in ((-2, -10.0), (-1, -8.5), (1, -8.5), (2, -10.0)):
        blur = -1.2 * candidates.sharpness + rng.normal(0.0, 0.8, len(at))
        logits[kind, at + shift] = (height + blur).clip(max=-4.0)
    logits[kind, at] = candidates.base
    odds = np.exp(logits)
    return (odds / (1 + odds.sum(axis=0))).astype(np.float32)


def _thin(
    gene: GenePlan, sites: np.ndarray, tracks: np.ndarray, rng: np.random.Generator
) -> KeptRows:
    """Keep every site and strong candidate, half of the grey zone and a random rest.

    Every stratum weighs as many positions as it had, so the weights of a gene sum to its length.
    """
    score = tracks.max(axis=0)
    must = score >= KEEP_ALL_ABOVE
    must[sites] = True
    grey = (score >= GREY_ABOVE) & ~must
    kept = [np.flatnonzero(must)]
    weights = [np.ones(len(kept[0]))]
    room = gene.rows - len(kept[0])
    n_grey = min((grey.sum() + 1) // 2, room // 2)
    for stratum, n in ((grey, n_grey), (~must & ~grey, room - n_grey)):
        kept.append(rng.choice(np.flatnonzero(stratum), n, replace=False))
        weights.append(np.full(n, stratum.sum() / max(n, 1)))
    position = np.concatenate(kept)
    order = np.argsort(position)
    return KeptRows(position[order], np.concatenate(weights)[order])
