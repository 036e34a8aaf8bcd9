"""Sorts the types of annotation lines by what they tell of a transcript."""

import re
from enum import IntEnum
from functools import cache

import polars as pl


class Kind(IntEnum):
    """What a line tells. The first three are pieces of a transcript, the best first."""

    EXON = 0
    OTHER_EXON = 1  # coding_exon, pseudogenic_exon, the exons of gene finders
    CODING = 2  # CDS, UTR and codons: together they are the exons of a transcript
    GENE = 3
    TRANSCRIPT = 4
    CONTAINER = 5  # holds genes, or is a part of a transcript that has no structure of its own
    OTHER = 6  # may be a gene or transcript, if it has exons


LAST_PIECE = int(Kind.CODING)
# AUGUSTUS, Genscan, geneid and SNAP have exon types of their own.
FINDERS = ("first", "initial", "internal", "terminal", "single", "einit", "eterm", "esngl")
PATTERNS = {
    Kind.EXON: r"exon",
    Kind.OTHER_EXON: rf".*[_-]exon|{'|'.join(FINDERS)}",
    Kind.CODING: r".*cds|.*utr.?|.*untranslated_region|start_codon|stop_codon",
    # Not V_gene_segment, which is a transcript.
    Kind.GENE: r".*gene",
    Kind.TRANSCRIPT: r".*rna|.*transcript|.*gene_segment",
    Kind.CONTAINER: (
        r"operon|.*region|chromosome|.*scaffold|.*contig|.*assembly|gene_(group|array|cassette)"
        r"|.*intron|.*match.*|polypeptide|protein|stop_codon_.*|.*splice_site|.*_site"
    ),
}


@cache
def kind_of(name: str) -> Kind:
    """Kind of a type, in any case of letters."""
    plain = name.strip().lower()
    return next((kind for kind, text in PATTERNS.items() if re.fullmatch(text, plain)), Kind.OTHER)


def with_kind(frame: pl.DataFrame) -> pl.DataFrame:
    """Add the column `kind` of lines by their `type`."""
    types = frame["type"].unique().to_list()
    kinds = {name: int(kind_of(name)) for name in types}
    other = int(Kind.OTHER)
    kind = pl.col("type").replace_strict(kinds or {"": other}, return_dtype=pl.UInt8)
    return frame.with_columns(kind.alias("kind"))
