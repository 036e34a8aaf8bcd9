"""Checks that exons can be transcripts: on one strand, apart, inside of their gene."""

import logging
from pathlib import Path

import polars as pl

from genebatch.genome.annotation import Annotation
from genebatch.io.files import InputError, first_names

log = logging.getLogger(__name__)


def check_exons(path: str | Path, annotation: Annotation) -> Annotation:
    """Refuse broken transcripts; sort exons by gene, transcript, start; make gene ids unique.

    A gene id on several chromosomes is several genes: the first in the file keeps the id, the
    others become `ID@chromosome`. Exons of a transcript that abut become one exon.

    Raises
    ------
    InputError
        Naming file and line; `genebatch.genome.genes.read_gene_models` lists the cases.
    """
    _refuse_scattered(path, annotation.exons)
    annotation = _split_copies(path, annotation)
    _refuse_both_strands(path, annotation.exons)
    exons = annotation.exons.sort("gene", "key", "start", "end", maintain_order=True)
    _refuse_overlaps(path, exons)
    _refuse_outside(path, exons, annotation.genes)
    return annotation._replace(exons=_joined(exons))


def _split_copies(path: str | Path, annotation: Annotation) -> Annotation:
    """Make ids unique: rename genes whose id stands on another chromosome before."""
    homes = annotation.exons.group_by("gene", "chrom").agg(pl.col("line").min()).sort("line")
    copies = homes.filter(~pl.col("gene").is_first_distinct())
    if not copies.height:
        return annotation
    copies = copies.with_columns(pl.format("{}@{}", "gene", "chrom").alias("copy"))
    log.info(
        "%s: %s gene ids stand on a second chromosome; the copies are called %s",
        path,
        f"{copies.height:,}",
        first_names(copies["copy"]),
    )

    def renamed(table: pl.DataFrame) -> pl.DataFrame:
        table = table.join(
            copies.drop("line"), on=["gene", "chrom"], how="left", maintain_order="left"
        )
        return table.with_columns(pl.coalesce("copy", "gene").alias("gene")).drop("copy")

    named = annotation.facts.with_columns(pl.coalesce("name", "gene").alias("name"))
    tables = (annotation.exons, annotation.genes, named)
    return Annotation(*map(renamed, tables), annotation.childless)


def _refuse_scattered(path: str | Path, exons: pl.DataFrame) -> None:
    """Refuse a transcript with exons on two chromosomes or strands."""
    place = pl.struct("chrom", "strand")
    several = exons.group_by("gene", "key").agg(place.n_unique().alias("places"))
    several = several.filter(pl.col("places") > 1)
    if not several.height:
        return
    wrong = exons.join(several, on=["gene", "key"], how="semi").sort("line")
    wrong = wrong.filter((pl.col("key") == wrong["key"][0]) & (pl.col("gene") == wrong["gene"][0]))
    here = wrong.row(0, named=True)
    away = wrong.filter(
        (pl.col("chrom") != here["chrom"]) | (pl.col("strand") != here["strand"])
    ).row(0, named=True)
    raise InputError(
        f"{path}, line {away['line']:,}: transcript {here['transcript']!r} has exons on "
        f"{here['chrom']} ({here['strand']}, line {here['line']:,}) and on {away['chrom']} "
        f"({away['strand']}); wanted one strand of one chromosome, so give copies ids of their "
        "own and take trans-spliced transcripts out"
    )


def _refuse_both_strands(path: str | Path, exons: pl.DataFrame) -> None:
    strands = exons.group_by("gene").agg(
        pl.col("strand").n_unique(), pl.col("line").filter(pl.col("strand") == "-").min()
    )
    wrong = strands.filter(pl.col("strand") > 1).sort("line")
    if wrong.height:
        raise InputError(
            f"{path}, line {wrong['line'][0]:,}: {wrong.height:,} genes have transcripts on both "
            f"strands ({first_names(wrong['gene'])}); give the transcripts of each strand a gene "
            "id of their own, or take these genes out of the file"
        )


def _refuse_overlaps(path: str | Path, exons: pl.DataFrame) -> None:
    """Refuse transcripts whose sorted exons overlap."""
    before = exons.shift(1)
    overlap = _same_transcript(exons, before) & (exons["start"] < before["end"])
    if not overlap.any():
        return
    row = int(overlap.fill_null(False).arg_max())
    pair = (exons.row(number, named=True) for number in (row - 1, row))
    first, second = sorted(pair, key=lambda exon: exon["line"])
    raise InputError(
        f"{path}, line {second['line']:,}: exon {second['start'] + 1}-{second['end']} overlaps "
        f"exon {first['start'] + 1}-{first['end']} (line {first['line']:,}) of the same transcript "
        f"{second['transcript']!r}; wanted exons that lie apart"
    )


def _joined(exons: pl.DataFrame) -> pl.DataFrame:
    """Join exons that abut, as nothing is spliced out between them."""
    before = exons.shift(1)
    abuts = _same_transcript(exons, before) & (exons["start"] == before["end"])
    opens = ~abuts.fill_null(False)
    last = opens.shift(-1, fill_value=True)
    return exons.filter(opens).with_columns(exons["end"].filter(last))


def _same_transcript(exons: pl.DataFrame, before: pl.DataFrame) -> pl.Series:
    return (exons["gene"] == before["gene"]) & (exons["key"] == before["key"])


def _refuse_outside(path: str | Path, exons: pl.DataFrame, genes: pl.DataFrame) -> None:
    """Refuse an exon that lies outside of its gene's line, or on another strand."""
    lines = genes.group_by("gene").agg(
        pl.col("start").min(), pl.col("end").max(), pl.col("strand", "line").first()
    )
    spans = exons.group_by("gene").agg(
        pl.col("start").min(), pl.col("end").max(), pl.col("strand").first()
    )
    outside = (
        (pl.col("start") < pl.col("start_gene"))
        | (pl.col("end") > pl.col("end_gene"))
        | (pl.col("strand") != pl.col("strand_gene"))
    )
    wrong = spans.join(lines, on="gene", suffix="_gene").filter(outside)
    if not wrong.height:
        return
    suspects = exons.join(lines.join(wrong, on="gene", how="semi"), on="gene", suffix="_gene")
    exon = suspects.filter(outside).sort("line").row(0, named=True)
    raise InputError(
        f"{path}, line {exon['line']:,}: exon {exon['start'] + 1}-{exon['end']} "
        f"({exon['strand']}) of gene {exon['gene']!r} is outside of its gene line "
        f"{exon['start_gene'] + 1}-{exon['end_gene']} ({exon['strand_gene']}, line "
        f"{exon['line_gene']:,}); wanted genes that contain their exons"
    )
