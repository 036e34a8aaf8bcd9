"""Finds a chromosome under the names that different sources give it."""

import re
from collections.abc import Iterable

# KI270742.1 of GenBank and Ensembl is chrUn_KI270742v1, or chr1_KI270742v1_random, of UCSC.
ACCESSION = re.compile(r"^([A-Z]{1,6}[0-9]{5,9})\.([0-9]+)$")
UCSC_SCAFFOLD = re.compile(r"^chr[^_]+_([A-Z]{1,6}[0-9]{5,9})v([0-9]+)(_[a-z]+)?$")
MITOCHONDRIA = ("chrM", "MT", "chrMT", "M")


def other_names(chrom: str) -> tuple[str, ...]:
    """Names of a chromosome, the given one first: chr20 is 20, chrM is MT.

    UCSC and GENCODE write chr20 and chrM, Ensembl writes 20 and MT. UCSC names scaffolds by their
    accession among others.
    """
    scaffold = UCSC_SCAFFOLD.match(chrom)
    if scaffold:
        return (chrom, f"{scaffold[1]}.{scaffold[2]}")
    if chrom in MITOCHONDRIA:
        return (chrom, *(name for name in MITOCHONDRIA if name != chrom))
    return (chrom, chrom[3:] if chrom.startswith("chr") else f"chr{chrom}")


def find_contig(chrom: str, contigs: Iterable[str]) -> str | None:
    """Name of `chrom` among `contigs`; None if they have it under no name."""
    names = contigs if isinstance(contigs, dict | set) else set(contigs)
    found = next((name for name in other_names(chrom) if name in names), None)
    accession = ACCESSION.match(chrom)
    if found or not accession:
        return found
    return next((name for name in names if _accession(name) == accession.groups()), None)


def _accession(name: str) -> tuple[str, str] | None:
    scaffold = UCSC_SCAFFOLD.match(name)
    return (scaffold[1], scaffold[2]) if scaffold else None
