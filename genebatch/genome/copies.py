"""Finds copies of a gene that have other ids, such as the pseudoautosomal genes of X and Y."""

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from genebatch.genome.genes import Gene

SEX = (
    *("X", "chrX", "Y", "chrY"),
    # X and Y of man and mouse in files of NCBI and GenBank
    *("NC_000023", "NC_000024", "NC_000086", "NC_000087"),
    *("CM000685", "CM000686", "CM001013", "CM001014"),
)
# GENCODE 24 and older: ENSGR0000182378 on chrY for ENSG00000182378
ENSEMBL_Y = re.compile(r"^ENSGR(?=\d{10})")
NUMBERED = re.compile(r"[-_]\d+$")  # of NCBI, and of Liftoff


def copy_labels(genes: Sequence["Gene"]) -> dict[str, set[str]]:
    """Labels of every gene; genes that share one are copies of each other.

    Copies are:

    - loci of one id (`ID`, `ID@chrY`), and `ID_PAR_Y`;
    - `ENSG0...` and `ENSGR...`;
    - `ID` and `ID-2` or `ID_1`, if both are ids in the file and the names are no contradiction;
    - genes with the same id in a public database;
    - genes with the same name, if one is on X and the other on Y, or if each chromosome has it
      once. Names such as Y_RNA, which a chromosome has many times, join nothing.
    """
    ids = {gene.id for gene in genes}
    labels: dict[str, set[str]] = {}
    on_chrom: dict[str, dict[str, int]] = {}
    for gene in genes:
        places = on_chrom.setdefault(gene.name, {})
        places[gene.chrom] = places.get(gene.chrom, 0) + 1
    for gene in genes:
        root = _root(gene)
        joined = {f"id {root}"}
        shorter = NUMBERED.sub("", root)
        if shorter != root and shorter in ids:
            joined.add(f"id {shorter}")
        if gene.link:
            joined.add(f"link {gene.link}")
        places = on_chrom[gene.name]
        if gene.name != root and max(places.values()) == 1:
            joined.add(f"name {gene.name}")
        if gene.chrom.split(".")[0] in SEX:
            joined.add(f"sex {gene.name}")
        labels[gene.id] = joined
    return labels


def _root(gene: "Gene") -> str:
    """The id without what tells copies apart."""
    plain = gene.copy_of or gene.id.removesuffix(f"@{gene.chrom}")
    return ENSEMBL_Y.sub("ENSG0", plain.removesuffix("_PAR_Y"))
