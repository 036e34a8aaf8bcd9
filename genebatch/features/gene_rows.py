"""Plans the genes of a training table from the scores: their labels, rows and shards."""

import itertools
import logging
import time
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import polars as pl

from genebatch.features.along_gene import Genome, score_blocks
from genebatch.features.base_scores import MARGIN
from genebatch.features.sampling import GeneSample, Strata, sample_gene
from genebatch.genome.alignment import SiteScores
from genebatch.genome.genes import Gene, foreign_sites, read_groups, splice_sites
from genebatch.groups import deal
from genebatch.io.files import InputError, first_names

log = logging.getLogger(__name__)

# The features of a position look at its neighbours on both sides.
MIN_LENGTH = 2 * MARGIN + 1  # nt


class Sites(NamedTuple):
    """Annotated sites of a gene, as sorted gene positions.

    Attributes
    ----------
    donors, acceptors
        The sites of the gene's labels, without positions that are both kinds in different
        transcripts.
    ambiguous
        Those of the sites that are both kinds: no label would be right.
    foreign
        Positions that are no site of this gene, but one of another gene on this strand, or of
        which the gene models do not tell the label.
    other
        Positions that are no site of the labels, but one of another annotated transcript of the
        gene.
    """

    donors: np.ndarray
    acceptors: np.ndarray
    ambiguous: np.ndarray
    foreign: np.ndarray
    other: np.ndarray = np.empty(0, np.int64)

    @property
    def left_out(self) -> np.ndarray:
        """Positions without a label, each once, in no order."""
        return np.concatenate([self.ambiguous, self.foreign, self.other])


class PlannedGene(NamedTuple):
    """A gene, its place in the table, and its rows to be."""

    gene: Gene
    group: str
    first_row: int  # `row` of position 0
    sites: Sites
    sample: GeneSample


def long_enough(genes: Sequence[Gene], source: str) -> list[Gene]:
    """Genes that are long enough for features; warns of the others. `source` names the file."""
    short = [gene.id for gene in genes if gene.length < MIN_LENGTH]
    if len(short) == len(genes):
        raise InputError(
            f"{source}: all {len(short):,} genes are shorter than {MIN_LENGTH} nt and have no "
            f"features ({first_names(short)}); wanted whole genes; set sequence.genes"
        )
    if short:
        log.warning(
            "%s: left out: %s genes shorter than %d nt, which have no features: %s",
            *(source, f"{len(short):,}", MIN_LENGTH, first_names(short)),
        )
    return [gene for gene in genes if gene.length >= MIN_LENGTH]


def label_sites(gene: Gene, foreign: np.ndarray) -> Sites:
    """Sort the annotated sites of a gene by the label of their rows.

    `foreign` are positions without a known label, see `genes.unlabelled`.
    """
    donors, acceptors = splice_sites(gene)
    own = np.union1d(donors, acceptors)
    every = splice_sites(gene, gene.transcripts + gene.others)
    both = np.intersect1d(np.intersect1d(*every), own)
    other = np.setdiff1d(np.concatenate(every), own)
    return Sites(
        np.setdiff1d(donors, both),
        np.setdiff1d(acceptors, both),
        both,
        np.setdiff1d(foreign, other),
        other,
    )


def plan_genes(
    genome: Genome,
    genes: Sequence[Gene],
    groups: Mapping[str, str],
    strata: Strata,
    site_scores: SiteScores,
) -> list[PlannedGene]:
    """Draw the rows of all genes, sorted by group and gene id.

    Makes one pass over the scores and reads no sequence. Holds five bytes per row, the sites of
    all genes, and the memory of `sampling.sample_gene` for one gene.

    Parameters
    ----------
    genome
        Its scores decide which positions become rows.
    genes
        All genes of the gene models: a site of one is foreign to the others.
    groups
        Gene id to group.
    strata
        How many rows are drawn.
    site_scores
        Collects the scores at the sites of every gene in the same pass.
    """
    foreign, none = foreign_sites(genes), np.empty(0, np.int64)
    planned, started = [], time.monotonic()
    for group, members in itertools.groupby(
        sorted(genes, key=lambda gene: (groups[gene.id], gene.id)), lambda gene: groups[gene.id]
    ):
        first_row = 0
        for gene in members:
            sites = label_sites(gene, foreign.get(gene.id, none))
            sample = sample_gene(
                site_scores.watch(gene, score_blocks(genome.scores, gene)),
                gene.length,
                np.concatenate([sites.donors, sites.acceptors]),
                sites.left_out,
                strata,
                gene.id,
            )
            planned.append(PlannedGene(gene, group, first_row, sites, sample))
            first_row += gene.length
    log_rate("rows drawn from the scores", planned, started)
    return planned


def deal_genes(planned: Sequence[PlannedGene], n_shards: int, seed: int) -> np.ndarray:
    """Shard of each gene: groups stay whole, and shards have about equal numbers of rows.

    Raises
    ------
    InputError
        If there are more shards than groups.
    """
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


def gene_table(planned: Sequence[PlannedGene], dealt: np.ndarray, strata: Strata) -> pl.DataFrame:
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


def read_gene_groups(table: str | Path) -> dict[str, str]:
    """Gene id to group, from the file of a `gene_table`, in its order."""
    return read_groups(table, key="sequence")


def genes_of_groups(
    group_of: Mapping[str, str], groups: Collection[str], table: str | Path, source: str | Path
) -> list[str]:
    """Ids of the genes that belong to some groups, in the order of `group_of`.

    Parameters
    ----------
    group_of
        Gene id to group, as `read_gene_groups` gives it.
    groups
        The wanted groups, such as the test groups.
    table, source
        The files of both, for the message.

    Raises
    ------
    InputError
        If a group has no gene.
    """
    wanted = set(groups)
    unknown = sorted(wanted - set(group_of.values()))
    if unknown:
        raise InputError(f"{source}: group {unknown[0]!r} has no gene in {table}")
    return [gene for gene, group in group_of.items() if group in wanted]


def log_rate(what: str, genes: Sequence[PlannedGene], started: float) -> None:
    """Log what was done with some genes, and the time since `started` (`time.monotonic`)."""
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
