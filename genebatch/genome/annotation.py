"""Reads GTF and GFF3 files as a table of exons, one of gene lines and one of names."""

from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import polars as pl

from genebatch.genome import gff3_tree, gtf_lines
from genebatch.io.files import InputError
from genebatch.io.text import line_blocks

WANTED = "gene models as GTF or GFF3"
COLUMNS = (
    *("chrom", "source", "type", "start", "end"),
    *("score", "strand", "phase", "attributes"),
)
SEQUENCES = "^(##FASTA|>)"
SKIPPED = pl.col("text").str.contains(r"^(#|track |browser |\s*$)")
# Two functions per format: one cuts a block of lines into tables, one joins the tables of all
# blocks.
FORMATS = {
    "GTF": (gtf_lines.read_block, gtf_lines.join_blocks),
    "GFF3": (gff3_tree.read_block, gff3_tree.join_blocks),
}
# Other formats, by a pattern of the first line that is no comment.
FOREIGN = {
    r"^>": "a FASTA file",
    r"^@(HD|SQ|PG|RG|CO)\t": "a SAM file",
    r"^@": "a FASTQ file",
    r"^LOCUS ": "a GenBank file",
    r"^[^\t]+\t[0-9]+\t[0-9]+(\t|$)": "a BED file",
    r"^[^\t]+\t[0-9]+\t[^\t]*\t[ACGTN]+\t": "a VCF file",
    r"^([^\t]+\t){1,3}[+-]\t[0-9]+\t[0-9]+\t": "a genePred or refFlat table",
    r"^gene_id[\t,]": "a table of scores or groups",
}


class Annotation(NamedTuple):
    """The genes of a file. Coordinates are 0-based half-open; `line` counts from 1.

    Attributes
    ----------
    exons : pl.DataFrame
        gene, key, transcript, chrom, strand, start, end, line: one row per exon and transcript.
        `key` tells the transcripts of a gene apart; `transcript` is their name.
    genes : pl.DataFrame
        gene, chrom, strand, start, end, line: the lines that describe whole genes, if any.
    facts : pl.DataFrame
        gene, chrom, name, kind; name and kind may be null.
    childless : int
        Number of genes without an exon.
    """

    exons: pl.DataFrame
    genes: pl.DataFrame
    facts: pl.DataFrame
    childless: int


def read_annotation(path: str | Path, key: str) -> Annotation:
    """Read the exons of a GTF or GFF3 file, plain or gzip.

    The attributes of the lines tell the two formats apart. Streams the file: holds a block of
    lines, and a few columns of the gene, transcript and exon lines.

    Raises
    ------
    InputError
        Naming the line that does not fit, and what was wanted.
    """
    read_block = join_blocks = None
    parts, types = [], Counter()
    for frame in _lines(path, key):
        if read_block is None:
            read_block, join_blocks = FORMATS[_format(path, frame, key)]
        types.update(dict(frame["type"].value_counts().iter_rows()))
        _refuse_unstranded(path, frame)
        parts.append(read_block(path, frame))
    if not types["exon"]:
        shown = ", ".join(f"{name} ({count:,})" for name, count in types.most_common(5))
        raise InputError(
            f"{path} has no line of type exon (its types: {shown or 'none, it has no lines'}); "
            f"wanted {WANTED} with exons; set {key}"
        )
    tables = (pl.concat(tables) for tables in zip(*parts, strict=True))
    return Annotation(*join_blocks(path, *tables))


def _lines(path: str | Path, key: str) -> Iterator[pl.DataFrame]:
    """Yield the columns of all lines but comments; stop at the sequences of a GFF3 file."""
    seen = False
    for block in line_blocks(path, WANTED, key):
        frame = pl.DataFrame({"text": block.lines}).with_row_index("line", offset=block.first)
        frame = frame.filter(~SKIPPED | pl.col("text").str.contains(SEQUENCES))
        if frame.height and not seen:
            _refuse_foreign(path, frame["text"][0], key)
            seen = True
        sequences = frame["text"].str.contains(SEQUENCES)
        ended = sequences.any()
        if ended:
            frame = frame.head(sequences.arg_max())
        if frame.height:
            yield _columns(path, frame)
        if ended:
            return


def _refuse_foreign(path: str | Path, line: str, key: str) -> None:
    text = pl.Series([line])
    for pattern, kind in FOREIGN.items():
        if text.str.contains(pattern)[0]:
            raise InputError(f"{path} looks like {kind}; wanted {WANTED}; set {key}")


def _columns(path: str | Path, frame: pl.DataFrame) -> pl.DataFrame:
    """Split lines at tabs and make starts 0-based.

    Refuses lines of fewer than 9 columns, and coordinates that are no whole numbers.
    """
    parts = pl.col("text").str.splitn("\t", 9).struct.rename_fields(list(COLUMNS)).struct.unnest()
    table = frame.select("line", parts)
    short = table["attributes"].is_null()
    if short.any():
        text = frame.filter(short)["text"][0]
        spaces = "; it has spaces where tabs belong" if len(text.split()) >= 9 else ""
        raise InputError(
            f"{path}, line {table.filter(short)['line'][0]:,}: {text.count(chr(9)) + 1} columns, "
            f"wanted {WANTED}, 9 columns separated by tabs{spaces}"
        )
    numbers = table.with_columns(
        pl.col("start").cast(pl.Int64, strict=False) - 1, pl.col("end").cast(pl.Int64, strict=False)
    )
    right = ((pl.col("start") >= 0) & (pl.col("start") < pl.col("end"))).fill_null(False)
    wrong = numbers.select(~right).to_series()
    if wrong.any():
        line, start, end = table.filter(wrong).select("line", "start", "end").row(0)
        raise InputError(
            f"{path}, line {line:,}: start {start!r} and end {end!r}; wanted {WANTED}, so whole "
            "numbers from 1 with start <= end"
        )
    return numbers


def _format(path: str | Path, frame: pl.DataFrame, key: str) -> str:
    """Tell GTF from GFF3 by the attributes of the first line that has any."""
    described = frame.filter(pl.col("attributes") != ".")
    line, attributes = (
        (described if described.height else frame).select("line", "attributes").row(0)
    )
    text = pl.Series([attributes])
    if text.str.contains(r'^\s*\w+\s+("|[^=;]*(;|$))')[0]:
        return "GTF"
    if text.str.contains(r"^\s*[^=;\s]+=")[0]:
        return "GFF3"
    raise InputError(
        f"{path}, line {line:,}: attributes {attributes[:60]!r} are neither those of GTF "
        f'(gene_id "X"; ...) nor of GFF3 (ID=X;...); set {key}'
    )


def _refuse_unstranded(path: str | Path, frame: pl.DataFrame) -> None:
    wrong = frame.filter((pl.col("type") == "exon") & ~pl.col("strand").is_in(["+", "-"]))
    if wrong.height:
        line, strand = wrong.select("line", "strand").row(0)
        raise InputError(
            f"{path}, line {line:,}: strand {strand!r} of an exon; wanted + or -, so take "
            "transcripts of unknown strand out of the file"
        )
