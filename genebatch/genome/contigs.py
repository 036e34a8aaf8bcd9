"""Finds a chromosome under the names that different sources give it."""

from collections.abc import Iterable

MITOCHONDRIA = ("chrM", "MT", "chrMT", "M")


def other_names(chrom: str) -> tuple[str, ...]:
    """Names of a chromosome, the given one first: chr20 is 20, chrM is MT.

    UCSC and GENCODE write chr20 and chrM, Ensembl writes 20 and MT.
    """
    if chrom in MITOCHONDRIA:
        return (chrom, *(name for name in MITOCHONDRIA if name != chrom))
    return (chrom, chrom[3:] if chrom.startswith("chr") else f"chr{chrom}")


def find_contig(chrom: str, contigs: Iterable[str]) -> str | None:
    """Name of `chrom` among `contigs`; None if they have it under no name."""
    names = contigs if isinstance(contigs, dict | set) else set(contigs)
    return next((name for name in other_names(chrom) if name in names), None)
