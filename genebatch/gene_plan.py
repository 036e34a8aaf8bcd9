"""The genes of a training table: their groups, labels, rows and shards, from the scores alone."""

import itertools
import logging
import time
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
import polars as pl

from genebatch.files import InputError
from genebatch.gene_models import Gene, foreign_sites, splice_sites
from genebatch.genome import Genome, score_blocks
from genebatch.partition import deal
from genebatch.sampling import Sample, Strata, sample_gene
from genebatch.score_features import MARGIN

log = logging.getLogger("genebatch")

# The features of a position look at its neighbours on both sides.
MIN_LENGTH = 2 * MARGIN + 1  # nt


class Sites(NamedTuple):
    """Annotated sites of a gene, as sorted gene positions.

    Attributes
    ----------
    donors, acceptors
        The gene's own; a position that is both, by different transcripts, is in neither.
    ambiguous
        The positions that are both: no label would be right.
    foreign
        Sites of other genes on this strand, which are sites but none of this gene.
    """

    donors: np.ndarray
    acceptors: np.ndarray
    ambiguous: np.ndarray
    foreign: np.ndarray


class Planned(NamedTuple):
    """A gene, its place in the table and the rows it will have."""

    gene: Gene
    group: str
    first_row: int  # `row` of position 0
    sites: Sites
    sample: Sample


def check_lengths(genes: Sequence[Gene], source: str) -> None:
    """Raise unless every gene is long enough for its features; `source` names the gene models."""
    short = [gene.id for gene in genes if gene.length < MIN_LENGTH]
    if short:
        raise InputError(
            f"{source} has {len(short):,} genes shorter than {MIN_LENGTH} nt, which have no "
            f"features ({', '.join(short[:8])}{', ...' if len(short) > 8 else ''}); take them out "
            "of sequence.genes"
        )


def label_sites(gene: Gene, foreign: np.ndarray) -> Sites:
    """Sort the annotated sites of a gene by the label that their rows take.

    `foreign` are positions of other genes' sites in this gene, from `gene_models.foreign_sites`.
    """
    donors, acceptors = splice_sites(gene)
    both = np.intersect1d(donors, acceptors)
    return Sites(np.setdiff1d(donors, both), np.setdiff1d(acceptors, both), both, foreign)


def plan_genes(
    genome: Genome, genes: Sequence[Gene], groups: Mapping[str, str], strata: Strata
) -> list[Planned]:
    """Draw the rows of all genes, by group and gene, from the scores alone."""
    foreign, none = foreign_sites(genes), np.empty(0, np.int64)
    planned, started = [], time.monotonic()
    for group, members in itertools.groupby(
        sorted(genes, key=lambda gene: (groups[gene.id], gene.id)), lambda gene: groups[gene.id]
    ):
        first_row = 0
        for gene in members:
            sites = label_sites(gene, foreign.get(gene.id, none))
            sample = sample_gene(
                score_blocks(genome.scores, gene),
                gene.length,
                np.concatenate([sites.donors, sites.acceptors]),
                np.concatenate([sites.ambiguous, sites.foreign]),
                strata,
                gene.id,
            )
            planned.append(Planned(gene, group, first_row, sites, sample))
            first_row += gene.length
    log_rate("rows drawn from the scores", planned, started)
    return planned


def deal_genes(planned: Sequence[Planned], n_shards: int, seed: int) -> np.ndarray:
    """Shard of each gene: whole groups, so that the shards have about the same rows."""
    rows: dict[str, int] = {}
    for gene in planned:
        rows[gene.group] = rows.get(gene.group, 0) + len(gene.sample.positions)
    if n_shards > len(rows):
        raise InputError(
            f"{len(rows)} groups of genes cannot fill {n_shards} shards; set sequence.n_shards to "
            f"at most {len(rows)}"
        )
    sizes = np.array(list(rows.values()))[:, None]
    dealt = deal(list(rows), sizes, np.ones(n_shards), seed)
    shard = dict(zip(rows, dealt, strict=True))
    return np.array([shard[gene.group] for gene in planned])


def gene_table(planned: Sequence[Planned], dealt: np.ndarray, strata: Strata) -> pl.DataFrame:
    """One row per gene, in the order of `planned`."""
    drawn = np.array([gene.sample.drawn for gene in planned])
    return pl.DataFrame(
        {
            "gene_id": [gene.gene.id for gene in planned],
            "group": [gene.group for gene in planned],
            "chrom": [gene.gene.chrom for gene in planned],
            "strand": [gene.gene.strand for gene in planned],
            "start": [gene.gene.start for gene in planned],
            "end": [gene.gene.end for gene in planned],
            "length": [gene.gene.length for gene in planned],
            "transcripts": [len(gene.gene.transcripts) for gene in planned],
            **{
                name: [len(positions) for positions in column]
                for name, column in zip(
                    Sites._fields, zip(*(gene.sites for gene in planned), strict=True), strict=True
                )
            },
            **{f"rows_{source}": drawn[:, code] for code, source in enumerate(strata.sources)},
            "shard": dealt,
        }
    )


def log_rate(what: str, genes: Sequence[Planned], started: float) -> None:
    """Log what was done with some genes since `started`, by `time.monotonic`."""
    seconds = time.monotonic() - started
    positions = sum(gene.gene.length for gene in genes)
    log.info(
        "%s: %s genes, %s rows of %s positions, %.1f s, %s positions/s",
        what,
        f"{len(genes):,}",
        f"{sum(len(gene.sample.positions) for gene in genes):,}",
        f"{positions:,}",
        seconds,
        f"{positions / max(seconds, 1e-9):,.0f}",
    )
