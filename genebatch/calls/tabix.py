"""Compresses sorted files by bgzip and indexes them, so that a browser reads a part of them."""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import pysam

from genebatch.genome.genes import Gene
from genebatch.io.files import InputError

BGZIP_KEY = "call.bgzip or --bgzip"
NONE, TBI, CSI = "none", "tbi", "csi"
INDEXES = (TBI, CSI)
PRESETS = {".bed": "bed", ".gff3": "gff"}
TBI_END = 1 << 29  # nt of a chromosome that a .tbi reaches, by its specification


class Compressed(NamedTuple):
    """Names of a compressed file and of its index."""

    file: str
    index: str

    @classmethod
    def of(cls, name: str, index: str) -> "Compressed":
        """Names for the plain file `name`."""
        return cls(f"{name}.gz", f"{name}.gz.{index}")


def check_reach(genes: Sequence[Gene], index: str) -> None:
    """Refuse an index that does not reach to the last gene.

    Raises
    ------
    InputError
        If a .tbi is wanted and a gene ends beyond what it reaches.
    """
    last = max(genes, key=lambda gene: gene.end)
    if index == TBI and last.end > TBI_END:
        raise InputError(
            f"gene {last.id} ends at {last.end:,} of {last.chrom}, and a .tbi index reaches to "
            f"{TBI_END:,} nt; set {BGZIP_KEY} to csi"
        )


def write_compressed(plain: Path, kind: str, file: Path, index: Path) -> None:
    """Compress a file that is sorted by chromosome and start, and index it.

    Parameters
    ----------
    plain
        The file.
    kind
        Its suffix, a key of `PRESETS`.
    file, index
        Files to write. The index is a .csi if its name ends so, else a .tbi.
    """
    pysam.tabix_compress(str(plain), str(file), force=True)
    pysam.tabix_index(
        str(file),
        preset=PRESETS[kind],
        force=True,
        csi=index.suffix == f".{CSI}",
        index=str(index),
    )
