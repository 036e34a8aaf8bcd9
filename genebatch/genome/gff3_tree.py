"""Reads the tree of a GFF3 file: exons, their parent transcripts, the genes of these."""

from pathlib import Path
from urllib.parse import unquote

import polars as pl

from genebatch.io.files import InputError

# Types of lines that are never the parent of an exon. All others may be genes or transcripts.
LEAVES = (
    *("exon", "CDS", "five_prime_UTR", "three_prime_UTR", "UTR", "start_codon", "stop_codon"),
    *("stop_codon_redefined_as_selenocysteine", "intron", "region", "chromosome", "scaffold"),
    *("supercontig", "contig", "biological_region", "match", "cDNA_match", "polypeptide"),
)
GENE = "gene$"  # gene, ncRNA_gene, pseudogene, ...; not V_gene_segment, which is a transcript
PREFIX = "^(gene|transcript|rna|id)[:-]"  # of Ensembl (colon) and of NCBI (hyphen)
DEEPEST = 10  # levels; NCBI has four: gene, primary_transcript, miRNA, exon
PLACE = ("chrom", "strand", "start", "end", "line")
NAMES = ("gene_name", "Name", "gene")
KINDS = ("gene_biotype", "gene_type", "biotype")


def read_block(path: str | Path, frame: pl.DataFrame) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Split a block of lines into exons, one row per parent, and lines that may be parents."""
    exons = frame.filter(pl.col("type") == "exon").select(*PLACE, _value("Parent"))
    lacking = exons.filter(pl.col("Parent").is_null())
    if lacking.height:
        raise InputError(
            f"{path}, line {lacking['line'][0]:,}: the exon has no Parent; wanted the ID of its "
            "transcript"
        )
    names, kinds = map(_value, NAMES), map(_value, KINDS)
    nodes = frame.filter(~pl.col("type").is_in(LEAVES)).select(
        *("type", *PLACE),
        *map(_value, ("ID", "Parent", "gene_id", "transcript_id")),
        pl.coalesce(names).alias("name"),
        pl.coalesce(kinds).alias("kind"),
    )
    nodes = nodes.filter(pl.col("ID").is_not_null())
    return _explode(exons), nodes


def join_blocks(
    path: str | Path, exons: pl.DataFrame, nodes: pl.DataFrame
) -> tuple[pl.DataFrame, pl.DataFrame, pl.DataFrame, int]:
    """Find the gene of every exon; return the fields of `annotation.Annotation`."""
    nodes = _decoded(nodes)
    unique = nodes.unique("ID", keep="first", maintain_order=True)
    owners = _owners(path, exons, unique)
    _refuse_scattered(path, nodes, owners)
    genes = nodes.select(
        pl.col("ID").alias("owner"),
        pl.coalesce("gene_id", _bare("ID")).alias("gene"),
        *(*PLACE, "name", "kind"),
    ).join(owners, on="owner", how="semi")
    transcripts = (
        owners.join(unique.rename({"ID": "key"}), on="key")
        .join(genes.unique("owner").select("owner", "gene"), on="owner")
        .select("gene", "key", pl.coalesce("transcript_id", _bare("key")).alias("transcript"))
    )
    exons = exons.rename({"Parent": "key"}).join(transcripts, on="key", maintain_order="left")
    childless = unique.filter(pl.col("type").str.contains(GENE)).join(
        owners, left_on="ID", right_on="owner", how="anti"
    )
    facts = genes.unique(["gene", "chrom"], keep="first", maintain_order=True)
    return (
        exons.select("gene", "key", "transcript", *PLACE),
        genes.select("gene", *PLACE),
        facts.select("gene", "chrom", "name", "kind"),
        childless.height,
    )


def _value(name: str) -> pl.Expr:
    """Value of an attribute, null where it is absent or empty."""
    value = pl.col("attributes").str.extract(rf"(?:^|;)\s*{name}=([^;]+)")
    return value.str.strip_chars().alias(name)


def _explode(frame: pl.DataFrame) -> pl.DataFrame:
    return frame.with_columns(pl.col("Parent").str.split(",")).explode("Parent")


def _bare(column: str) -> pl.Expr:
    return pl.col(column).str.replace(PREFIX, "")


def _decoded(nodes: pl.DataFrame) -> pl.DataFrame:
    """Resolve the percent escapes of GFF3 in names; IDs are compared as they stand."""
    columns = ("gene_id", "transcript_id", "name", "kind")
    for column in columns:
        escaped = nodes[column].filter(nodes[column].str.contains("%").fill_null(False)).unique()
        if escaped.len():
            plain = {text: unquote(text) for text in escaped}
            nodes = nodes.with_columns(pl.col(column).replace(plain))
    return nodes


def _owners(path: str | Path, exons: pl.DataFrame, nodes: pl.DataFrame) -> pl.DataFrame:
    """Climb from the parents of exons (`key`) to their genes (`owner`).

    A gene is the first ancestor whose type says so, else the one without a parent.
    """
    parents = nodes.select("ID", "type", "Parent")
    climb = exons.group_by("Parent", maintain_order=True).agg(pl.col("line").first())
    climb = climb.select(pl.col("Parent").alias("key"), pl.col("Parent").alias("node"), "line")
    owners = []
    for _ in range(DEEPEST):
        step = climb.join(parents, left_on="node", right_on="ID", how="left", maintain_order="left")
        lacking = step.filter(pl.col("type").is_null())
        if lacking.height:
            node, line = lacking.select("node", "line").row(0)
            raise InputError(
                f"{path}, line {line:,}: Parent {node!r} of this exon, or of its transcript, is "
                "the ID of no line that can be a transcript or gene"
            )
        top = pl.col("type").str.contains(GENE) | pl.col("Parent").is_null()
        owners.append(step.filter(top).select("key", pl.col("node").alias("owner")))
        climb = _explode(step.filter(~top)).select("key", pl.col("Parent").alias("node"), "line")
        if not climb.height:
            return pl.concat(owners).unique(maintain_order=True)
    raise InputError(
        f"{path}, line {climb['line'][0]:,}: the Parents of this exon lead through more than "
        f"{DEEPEST} lines, or in a circle; wanted gene, transcript, exon"
    )


def _refuse_scattered(path: str | Path, nodes: pl.DataFrame, owners: pl.DataFrame) -> None:
    """Refuse a gene or transcript whose lines are on two strands or chromosomes."""
    used = pl.concat([owners["key"], owners["owner"]]).unique()
    several = nodes.filter(pl.col("ID").is_duplicated() & pl.col("ID").is_in(used.implode()))
    places = several.group_by("ID", maintain_order=True).agg(
        pl.struct("chrom", "strand").n_unique().alias("places"), pl.col("line")
    )
    wrong = places.filter(pl.col("places") > 1)
    if wrong.height:
        name, lines = wrong.select("ID", "line").row(0)
        raise InputError(
            f"{path}, line {lines[1]:,}: ID {name!r} stands on line {lines[0]:,} too, on another "
            "chromosome or strand (trans-spliced?); give each its own ID, or take it out"
        )
