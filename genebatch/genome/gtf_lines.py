"""Reads GTF lines: pieces of transcripts, lines of transcripts and genes, facts of genes."""

import polars as pl

from genebatch.genome.gtf_attributes import joined_values, with_values
from genebatch.genome.left_out import LeftOut
from genebatch.genome.line_types import LAST_PIECE, Kind
from genebatch.genome.structure import (
    GENE_ID,
    PLACE,
    TRANS_SPLICED,
    Structure,
    best_tags,
    outside_exons,
    with_flaw,
)
from genebatch.genome.tags import gtf_ranks

NAMES = ("gene_name", "gene")
KINDS = ("gene_biotype", "gene_type", "biotype")


def read_block(frame: pl.DataFrame) -> tuple[pl.DataFrame, ...]:
    """Cut a block into pieces, transcript lines, gene lines, facts of genes and tags."""
    frame = with_flaw(frame.filter(pl.col("kind") <= Kind.TRANSCRIPT))
    is_coding = pl.col("kind") == Kind.CODING
    coding, frame = frame.filter(is_coding), _with_ids(frame.filter(~is_coding))
    frame = pl.concat([frame, _with_ids(_outside_transcripts(coding, frame))])
    pieces = outside_exons(frame.filter(pl.col("kind") <= LAST_PIECE))
    # The pieces of one exon have one number, so only those of one type tell a second copy.
    counted = (pl.col("kind") < Kind.CODING) | (pl.col("type").str.to_lowercase() == "cds")
    number = pl.when(counted).then(pl.col("exon_number").cast(pl.Int32, strict=False))
    genes = frame.filter(pl.col("kind") == Kind.GENE)
    first = _first_of_transcripts(frame.filter(pl.col("kind") < Kind.CODING))
    of_genes = _facts(genes)
    known = of_genes.drop_nulls(["name", "biotype", "link"])
    of_exons = _facts(first.join(known, on=["gene", "chrom"], how="anti", maintain_order="left"))
    transcripts = frame.filter(pl.col("kind") == Kind.TRANSCRIPT)
    return (
        pieces.select("gene", "key", *PLACE, "kind", number.alias("number"), "flaw"),
        transcripts.select("gene", "key", *PLACE, "flaw"),
        genes.select("gene", *PLACE, "flaw"),
        pl.concat([of_genes, of_exons]),
        _tags(frame),
    )


def _with_ids(frame: pl.DataFrame) -> pl.DataFrame:
    frame = with_values(frame, ("gene_id", "transcript_id", "exon_number"))
    return frame.rename({"gene_id": "gene", "transcript_id": "key"})


def _outside_transcripts(coding: pl.DataFrame, others: pl.DataFrame) -> pl.DataFrame:
    """CDS, UTR and codons but those in an exon of a transcript of their id.

    A quick look, which saves parsing the other attributes of nearly all of them.
    """
    columns = ("key", *PLACE, "kind", "flaw")
    keyed = with_values(coding, ("transcript_id",)).rename({"transcript_id": "key"})
    pieces = outside_exons(
        pl.concat(
            [others.filter(pl.col("kind") <= LAST_PIECE).select(columns), keyed.select(columns)]
        )
    )
    return coding.join(pieces.select("line"), on="line", how="semi", maintain_order="left")


def join_blocks(
    pieces: pl.DataFrame,
    transcripts: pl.DataFrame,
    genes: pl.DataFrame,
    facts: pl.DataFrame,
    tags: pl.DataFrame,
    left_out: LeftOut,
) -> Structure:
    """Join the tables of all blocks; leave out lines that name no gene or no transcript."""
    pieces = _with_gene(pieces)
    lacking = pieces.filter(pl.col("gene").is_null() | pl.col("key").is_null())
    for column, name in (("gene", "gene_id"), ("key", "transcript_id")):
        rows = lacking.filter(pl.col(column).is_null())
        left_out.add(f"exon or CDS lines without {name}", rows.select("line", "gene"))
    left_out.add(
        "gene lines without gene_id (not needed)",
        genes.filter(pl.col("gene").is_null()).select("line"),
        counts=False,
    )
    pieces = pieces.filter(pl.col("gene").is_not_null() & pl.col("key").is_not_null())
    pieces = _with_telling_numbers(outside_exons(pieces))
    transcripts = transcripts.drop_nulls(["gene", "key"])
    genes = genes.drop_nulls("gene")
    pieces = _flagged(pieces, transcripts, ["gene", "key"])
    pieces = _flagged(pieces, genes, ["gene"])
    transcripts, genes = (table.filter(pl.col("end") > 0) for table in (transcripts, genes))
    facts = _first_facts(facts.drop_nulls("gene"))
    hollow = pl.concat(
        [
            genes.join(pieces, on="gene", how="anti").select(
                pl.lit("gene").alias("what"), pl.col("gene").alias("name"), *PLACE
            ),
            transcripts.join(pieces, on=["gene", "key"], how="anti")
            .join(pieces, on="gene", how="semi")
            .select(pl.lit("transcript").alias("what"), pl.col("key").alias("name"), *PLACE),
        ]
    )
    return Structure(
        pieces.with_columns(pl.col("key").alias("transcript")),
        transcripts.drop("flaw"),
        genes.drop("flaw"),
        facts,
        hollow,
        lacking.select(*PLACE),
        best_tags(_own_first(tags).select("gene", "tag", transcript="key")),
        not transcripts.height and pieces["number"].null_count() == pieces.height,
    )


def _tags(lines: pl.DataFrame) -> pl.DataFrame:
    """Best tag of each transcript: of its own line, or of its pieces where that has none."""
    own = _tagged(lines.filter(pl.col("kind") == Kind.TRANSCRIPT))
    pieces = lines.filter(pl.col("kind") <= LAST_PIECE)
    pieces = _tagged(pieces.join(own, on=["gene", "key"], how="anti"))
    return pl.concat([own.with_columns(own=True), pieces.with_columns(own=False)])


def _own_first(tags: pl.DataFrame) -> pl.DataFrame:
    """Tags of transcript lines, and of pieces whose transcript line has none in any block."""
    own = tags.filter("own")
    return pl.concat([own, tags.filter(~pl.col("own")).join(own, on=["gene", "key"], how="anti")])


def _tagged(lines: pl.DataFrame) -> pl.DataFrame:
    tagged = lines.select("gene", "key", gtf_ranks(lines["attributes"]).alias("tag"))
    return tagged.drop_nulls().group_by("gene", "key", maintain_order=True).min()


def _first_of_transcripts(lines: pl.DataFrame) -> pl.DataFrame:
    """The first line of each transcript, which alone is asked, however the file is cut."""
    return lines.unique(["gene", "chrom", "key"], keep="first", maintain_order=True)


def _facts(lines: pl.DataFrame) -> pl.DataFrame:
    """Names, biotypes and links of genes, as some of their lines have them."""
    lines = lines.rename({"gene": "id"})  # there may be an attribute `gene`
    lines = with_values(lines, (*NAMES, *KINDS, "hgnc_id"))
    link = joined_values(lines["attributes"], "db_xref").str.extract(f"({GENE_ID})")
    return lines.select(
        pl.coalesce(NAMES).alias("name"),
        pl.col("id").alias("gene"),
        *("chrom", "key", (pl.col("kind") != Kind.GENE).alias("of_exon")),
        pl.coalesce(KINDS).alias("biotype"),
        pl.coalesce(link, "hgnc_id").alias("link"),
    )


def _with_gene(pieces: pl.DataFrame) -> pl.DataFrame:
    """Give pieces without a gene_id that of their transcript's other lines, where it is one."""
    if not pieces["gene"].null_count():
        return pieces
    known = (
        pieces.drop_nulls(["gene", "key"])
        .group_by("key")
        .agg(pl.col("gene").n_unique().alias("genes"), pl.col("gene").first().alias("its_gene"))
    )
    known = known.filter(pl.col("genes") == 1).drop("genes")
    pieces = pieces.join(known, on="key", how="left", maintain_order="left")
    return pieces.with_columns(pl.coalesce("gene", "its_gene").alias("gene")).drop("its_gene")


def _with_telling_numbers(pieces: pl.DataFrame) -> pl.DataFrame:
    """Drop exon numbers if all are alike in a file whose transcripts have several exons."""
    if pieces["number"].drop_nulls().n_unique() != 1:
        return pieces
    several = pieces.group_by("gene", "key").len().select((pl.col("len") > 1).mean()).item()
    if several <= 0.5:  # copies of transcripts of one exon
        return pieces
    return pieces.with_columns(pl.lit(None, pl.Int32).alias("number"))


def _flagged(pieces: pl.DataFrame, lines: pl.DataFrame, by: list[str]) -> pl.DataFrame:
    """Mark the pieces of genes or transcripts whose line says that they are trans-spliced."""
    named = lines.filter(pl.col("flaw") == TRANS_SPLICED).select(by).unique()
    if not named.height:
        return pieces
    named = named.with_columns(pl.lit(TRANS_SPLICED, pl.UInt8).alias("of_line"))
    pieces = pieces.join(named, on=by, how="left", maintain_order="left")
    flaw = pl.max_horizontal("flaw", pl.col("of_line").fill_null(0))
    return pieces.with_columns(flaw.alias("flaw")).drop("of_line")


def _first_facts(facts: pl.DataFrame) -> pl.DataFrame:
    """First name, biotype and link of each gene; those of its own lines have the say."""
    own = facts.filter(~pl.col("of_exon"))
    facts = pl.concat([own, _first_of_transcripts(facts.filter("of_exon"))])
    groups = facts.group_by("gene", "chrom", maintain_order=True)
    return groups.agg(pl.col("name", "biotype", "link").drop_nulls().first())
