"""Ranks the tags by which annotations mark the main transcript of a gene."""

from collections.abc import Callable

import polars as pl

from genebatch.genome.gtf_attributes import PLAIN, parse_values

# The best first. APPRIS has five grades of principal transcripts, and older files none.
TAGS = (
    "MANE_Select",
    "Ensembl_canonical",
    "RefSeq_Select",
    *("appris_principal", *(f"appris_principal_{grade}" for grade in range(1, 6))),
    "gencode_primary",
    "basic",
)
LOOKED_FOR = (
    "MANE_Select, Ensembl_canonical, RefSeq_Select, appris_principal, appris_principal_1 to _5, "
    "gencode_primary, basic"
)
OTHER_WORDS = {"gencode_basic": "basic"}  # Ensembl, from release 110 on
RANKS = {tag.lower(): rank for rank, tag in enumerate(TAGS)}
RANKS |= {word: RANKS[tag] for word, tag in OTHER_WORDS.items()}
# The field of each tag in attributes of GTF in which every value is plain.
GTF_TAG = r"(?:^|;)\s*tag\s[^;]*"


def rank_of(words: list[str]) -> int | None:
    """Place of the best tag among `TAGS`; None if no word is one.

    `MANE Select` of RefSeq is `MANE_Select` of Ensembl, in any case of letters.
    """
    plain = ("_".join(word.lower().split()) for word in words)
    return min((RANKS[word] for word in plain if word in RANKS), default=None)


def gtf_ranks(attributes: pl.Series) -> pl.Series:
    """Rank of the best tag in the attributes of each GTF line; null where there is none."""
    fields = attributes.str.extract_all(GTF_TAG).list.join("")
    odd = ~attributes.str.contains(PLAIN) & (fields != "")
    text = pl.select(pl.when(odd).then(attributes).otherwise(fields)).to_series()
    return _ranks(text, lambda value: rank_of(parse_values(value).get("tag", [])))


def list_ranks(tags: pl.Series) -> pl.Series:
    """Rank of the best of some tags that commas part; null where there is none."""
    return _ranks(tags, lambda value: rank_of(value.split(",")))


def _ranks(text: pl.Series, rank: Callable[[str], int | None]) -> pl.Series:
    known = {value: rank(value) for value in text.drop_nulls().unique()}
    found = {value: number for value, number in known.items() if number is not None}
    return text.replace_strict(found or {"": None}, default=None, return_dtype=pl.UInt8)
