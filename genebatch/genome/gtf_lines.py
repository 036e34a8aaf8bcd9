"""Reads GTF lines: exons with their genes and transcripts, names, kinds."""

from pathlib import Path

import polars as pl

from genebatch.io.files import InputError

PLACE = ("chrom", "strand", "start", "end", "line")
NAMES = ("gene_name", "gene")
KINDS = ("gene_biotype", "gene_type", "biotype")


def read_block(
    path: str | Path, frame: pl.DataFrame
) -> tuple[pl.DataFrame, pl.DataFrame, pl.DataFrame]:
    """Split a block of lines into exons, gene lines and facts of genes."""
    frame = frame.filter(pl.col("type").is_in(["gene", "exon"]))
    frame = frame.with_columns(_value("gene_id").alias("gene"))
    is_exon = pl.col("type") == "exon"
    exons = frame.filter(is_exon).with_columns(_value("transcript_id").alias("transcript"))
    _refuse_lacking(path, frame, "gene")
    _refuse_lacking(path, exons, "transcript")
    facts = frame.select(
        *("gene", "chrom", is_exon.alias("of_exon")),
        pl.coalesce(map(_value, NAMES)).alias("name"),
        pl.coalesce(map(_value, KINDS)).alias("kind"),
    )
    exons = exons.select("gene", pl.col("transcript").alias("key"), "transcript", *PLACE)
    return exons, frame.filter(~is_exon).select("gene", *PLACE), _first_facts(facts, "of_exon")


def join_blocks(
    path: str | Path, exons: pl.DataFrame, genes: pl.DataFrame, facts: pl.DataFrame
) -> tuple[pl.DataFrame, pl.DataFrame, pl.DataFrame, int]:
    """Return the fields of `annotation.Annotation`."""
    facts = _first_facts(facts.sort("of_exon", maintain_order=True))
    childless = genes.join(exons, on="gene", how="anti")["gene"].n_unique()
    return exons, genes, facts, childless


def _first_facts(facts: pl.DataFrame, *further: str) -> pl.DataFrame:
    """First name and first kind of each gene."""
    groups = facts.group_by("gene", "chrom", *further, maintain_order=True)
    return groups.agg(pl.col("name", "kind").drop_nulls().first())


def _value(name: str) -> pl.Expr:
    """Value of an attribute, null where it is absent or empty."""
    value = pl.col("attributes").str.extract(rf'(?:^|;)\s*{name}\s+"?([^";]+)"?')
    return value.str.strip_chars().alias(name)


def _refuse_lacking(path: str | Path, frame: pl.DataFrame, column: str) -> None:
    lacking = frame.filter(pl.col(column).is_null())
    if lacking.height:
        line, kind = lacking.select("line", "type").row(0)
        raise InputError(
            f"{path}, line {line:,}: the {kind} line has no {column}_id; wanted gene_id on gene "
            "lines, gene_id and transcript_id on exon lines"
        )
