"""What the lines of an annotation say of transcripts, before these are put together."""

from typing import NamedTuple

import polars as pl

from genebatch.genome.line_types import Kind

PLACE = ("chrom", "strand", "start", "end", "line")
# What is wrong with a line: its transcript cannot be used.
TRANS_SPLICED, MISPLACED = 1, 2
# Of all links to databases, this alone is of one gene.
GENE_ID = r"\bGeneID:\d+"
# The value of `exception` in files of NCBI. A note may tell of another kind of trans-splicing.
EXCEPTION = r'(?i)(?:^|;)\s*exception[\s=]+"?[^";]*trans(?:-|_|%20|%2D|\s)?splic'


class Structure(NamedTuple):
    """Tables of an annotation. Coordinates are 0-based half-open; `line` counts from 1.

    Attributes
    ----------
    pieces : pl.DataFrame
        gene, key, chrom, strand, start, end, line, kind, number, flaw, transcript: exons, and
        CDS, UTR and codons that lie in no exon of their transcript. `key` tells the transcripts of
        a gene apart, `transcript` is their name. `number` is the exon's, or null. `flaw` is not 0
        if the transcript cannot be used.
    transcripts : pl.DataFrame
        gene, key, chrom, strand, start, end, line: lines of transcripts. Several lines of one are
        its loci.
    genes : pl.DataFrame
        gene, chrom, strand, start, end, line: lines of genes.
    facts : pl.DataFrame
        gene, chrom, name, biotype, link: the last three may be null. `link` is the gene's id in a
        public database.
    hollow : pl.DataFrame
        what, name, chrom, strand, start, end, line: genes and transcripts without any piece.
    loose : pl.DataFrame
        chrom, strand, start, end, line: pieces that belong to no known transcript.
    tags : pl.DataFrame
        gene, transcript, tag: place of a transcript's best tag among `tags.TAGS`, where it has one.
    bare : bool
        Whether the file has neither lines of transcripts nor numbers of exons.
    """

    pieces: pl.DataFrame
    transcripts: pl.DataFrame
    genes: pl.DataFrame
    facts: pl.DataFrame
    hollow: pl.DataFrame
    loose: pl.DataFrame
    tags: pl.DataFrame
    bare: bool = False


def with_flaw(frame: pl.DataFrame) -> pl.DataFrame:
    """Add the column `flaw` of lines: 0, or what is wrong with them."""
    spliced = pl.lit(False)
    if frame["attributes"].str.contains("xception", literal=True).any():
        spliced = pl.col("attributes").str.contains(EXCEPTION)
    flaw = pl.when(pl.col("start") == pl.col("end")).then(MISPLACED).when(spliced)
    return frame.with_columns(flaw.then(TRANS_SPLICED).otherwise(0).cast(pl.UInt8).alias("flaw"))


def best_tags(tags: pl.DataFrame) -> pl.DataFrame:
    """The best tag of each transcript, of a table of gene, transcript and tag."""
    return tags.drop_nulls().group_by("gene", "transcript", maintain_order=True).min()


def outside_exons(pieces: pl.DataFrame) -> pl.DataFrame:
    """Leave out pieces that lie inside of a better piece of their transcript.

    Nearly all CDS, UTR and codons lie in an exon. They tell nothing more about splice sites.
    """
    for better in (Kind.EXON, Kind.OTHER_EXON):
        exons, others = (
            pieces.filter(condition)
            for condition in (pl.col("kind") == better, pl.col("kind") != better)
        )
        inner = others.filter(pl.col("kind") > better)
        if exons.height and inner.height:
            kept = _outside(inner, exons)
            parts = [exons, others.filter(pl.col("kind") < better), kept]
            pieces = pl.concat(parts)
            if kept.height or better:
                pieces = pieces.sort("line", maintain_order=True)
    return pieces


def _outside(inner: pl.DataFrame, exons: pl.DataFrame) -> pl.DataFrame:
    by = [name for name in ("gene", "key", "chrom", "strand") if name in inner.columns]
    exons = exons.join(inner.select(by).unique(), on=by, how="semi")
    reach = exons.select(*by, "start", pl.col("end").alias("reach")).sort("start")
    placed = inner.sort("start").join_asof(reach, on="start", by=by, check_sortedness=False)
    inside = (pl.col("end") <= pl.col("reach")) & (pl.col("flaw") == 0)
    return placed.filter(~inside.fill_null(False)).select(inner.columns)
