"""Tells files in which each transcript stands as a gene of its own."""

import logging
from pathlib import Path

import polars as pl

from genebatch.io.files import first_names

log = logging.getLogger(__name__)

# Even where genes are annotated with one transcript each, few of them share a splice site.
LONE = 0.95  # of the genes have one transcript
SHARING = 0.1  # of the spliced genes share a splice site


def warn_of_lone_transcripts(path: str | Path, exons: pl.DataFrame, key: str) -> None:
    """Warn if nearly all genes have one transcript and many share splice sites on their strand.

    Parameters
    ----------
    path
        The file.
    exons
        gene, key, chrom, strand, start, end; sorted by gene, key and start.
    key
        The config key or flag that names the file.
    """
    alone = exons.group_by("gene").agg(pl.col("key").n_unique() == 1)["key"].mean()
    sites = _sites(exons)
    spliced = sites["gene"].n_unique()
    if alone < LONE or not spliced:
        return
    shared = pl.col("gene").n_unique().over("chrom", "strand", "kind", "place") > 1
    sharing = sites.filter(shared)["gene"].unique(maintain_order=True)
    if sharing.len() <= SHARING * spliced:
        return
    log.warning(
        "%s: transcripts look like genes of their own: %.0f %% of the genes have one transcript, "
        "and %s of %s genes with introns share a splice site with another gene on their strand: "
        "%s; if gene_id repeats transcript_id, or GFF3 has no gene lines, set %s to a file that "
        "names the gene of each transcript (GTF: gene_id; GFF3: gene lines, or gene_id or geneID)",
        path,
        100 * alone,
        f"{sharing.len():,}",
        f"{spliced:,}",
        first_names(sharing),
        key,
    )


def _sites(exons: pl.DataFrame) -> pl.DataFrame:
    """gene, chrom, strand, kind and place of both ends of all introns."""
    same = (pl.col("gene") == pl.col("gene").shift(1)) & (pl.col("key") == pl.col("key").shift(1))
    ends = exons.with_columns(pl.col("end").shift(1).alias("before")).filter(same)
    return ends.select(
        "gene", "chrom", "strand", pl.col("before").alias("first"), pl.col("start").alias("last")
    ).unpivot(index=["gene", "chrom", "strand"], variable_name="kind", value_name="place")
