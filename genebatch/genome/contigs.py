"""One chromosome under the names that different sources give it."""

from collections.abc import Iterable

MITOCHONDRIA = ("chrM", "MT", "chrMT", "M")


def other_names(chrom: str) -> tuple[str, ...]:
    """Give the names of a chromosome, its own first: chr20 is 20, chrM is MT.

    UCSC and GENCODE write chr20 and chrM, Ensembl writes 20 and MT.
    """
    if chrom in MITOCHONDRIA:
        return (chrom, *(name for name in MITOCHONDRIA if name != chrom))
    return (chrom, chrom[3:] if chrom.startswith("chr") else f"chr{chrom}")


def find_contig(chrom: str, contigs: Iterable[str]) -> str | None:
    """Name that `chrom` has among `contigs`, or None if it is under no name there."""
    known = contigs if isinstance(contigs, dict | set) else set(contigs)
    return next((name for name in other_names(chrom) if name in known), None)
