"""Genes in six groups, complete tracks of them, and the files that an evaluation of them reads."""

from typing import NamedTuple

import numpy as np
import polars as pl

from genebatch.calls.evaluation.counts import TIERS
from genebatch.features.gene_rows import Sites
from genebatch.genome.genes import Gene, genomic_positions, overlap_groups, splice_sites
from tests.builders.held_genome import made_gene

CLASSES = ("neither", "donor", "acceptor")
SITES = ("donor", "acceptor")
THRESHOLDS = {"donor": 0.4, "acceptor": 0.3}


class Made(NamedTuple):
    """Genes, those of them that are test genes, their groups and their scores.

    `scores` is gene id to (systems, sites, length) float32, base first.
    """

    genes: list[Gene]
    tested: list[Gene]
    groups: np.ndarray
    scores: dict[str, np.ndarray]


def make(n_genes: int = 24, seed: int = 0, length: int = 400) -> Made:
    """Genes of two introns on both strands, every fourth overlapped by one with sites of its own.

    The last three genes are no test genes. Two genes in a row are a group, and more where they
    overlap. The base scores know half of what the model knows.
    """
    rng = np.random.default_rng(seed)
    genes = []
    for number in range(n_genes):
        start, strand = 1000 * number, "+-"[number % 2]
        cuts = start + np.sort(rng.choice(np.arange(20, length - 20), 4, replace=False))
        exons = list(zip([start, *cuts[1::2]], [*cuts[::2], start + length], strict=True))
        genes.append(made_gene(start, start + length, strand, f"g{number:02d}", exons=[exons]))
        if number % 4 == 0:
            inner = [(start + 30, start + 60), (start + 90, start + 130)]
            genes.append(made_gene(start + 30, start + 130, strand, f"i{number}", exons=[inner]))
    tested = genes[:-3]
    pairs = {gene.id: f"pair{int(gene.id[1:]) // 2}" for gene in genes}
    joined = overlap_groups(genes, pairs)
    groups = np.unique([joined[gene.id] for gene in tested], return_inverse=True)[1]
    scores = {gene.id: made_scores(gene, rng) for gene in tested}
    return Made(genes, tested, groups, scores)


def made_scores(gene: Gene, rng: np.random.Generator) -> np.ndarray:
    """Scores between 1e-8 and 1, of which some are tied."""
    signal = np.stack([np.isin(np.arange(gene.length), sites) for sites in splice_sites(gene)])
    log_odds = rng.normal(-11, 2.5, (2, 2, gene.length))
    log_odds += signal * rng.normal([[[10]], [[13]]], [[[4]], [[2]]], (2, 2, gene.length))
    scores = 1 / (1 + np.exp(-log_odds))
    return np.where(scores > 0.01, np.round(scores, 2), scores).astype(np.float32)


def canonical_tiers(sites: Sites, length: int) -> np.ndarray:
    """Tiers of a gene whose sites are all those of its canonical transcript."""
    codes = np.full((2, length), TIERS.index("none"), np.int8)
    codes[:, sites.left_out] = TIERS.index("unknown")
    for row, own in zip(codes, (sites.donors, sites.acceptors), strict=True):
        row[own] = TIERS.index("canonical")
    return codes


def positions(tested: list[Gene], scores: dict[str, np.ndarray]) -> pl.DataFrame:
    """The table of positions that calling writes in mode meta, of the columns that are read."""
    parts = []
    for gene in tested:
        (base_donor, base_acceptor), (donor, acceptor) = scores[gene.id]
        places = np.arange(gene.length)
        columns = {
            "gene_id": [gene.id] * gene.length,
            "position": places.astype(np.int32),
            "genomic_position": genomic_positions(gene, places),
            "base_donor": base_donor,
            "base_acceptor": base_acceptor,
            "probability_donor": donor,
            "probability_acceptor": acceptor,
            "rescored": np.ones(gene.length, bool),
        }
        parts.append(pl.DataFrame(columns))
    return pl.concat(parts).with_columns(pl.col("gene_id").cast(pl.Categorical))
