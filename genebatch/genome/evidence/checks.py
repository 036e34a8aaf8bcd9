"""Checks that a file of evidence and a genome speak of the same chromosomes, and counts its use."""

from collections.abc import Collection, Mapping
from pathlib import Path
from typing import NamedTuple

from genebatch.genome.contigs import find_contig
from genebatch.io.files import InputError, first_names


class Assembly(NamedTuple):
    """The genome that evidence has to fit.

    Attributes
    ----------
    contigs
        Name to length in nt.
    path
        Its FASTA file, for messages.
    """

    contigs: Mapping[str, int]
    path: str | Path


class Count(NamedTuple):
    """How much of a track is used.

    Attributes
    ----------
    measure
        What is counted.
    count, of
        How many, of how many.
    reads
        Their reads, where reads are counted.
    """

    measure: str
    count: int
    of: int
    reads: int | None = None


def shared_contigs(
    path: str | Path, names: Collection[str], assembly: Assembly, key: str
) -> dict[str, str]:
    """Chromosome of a file to its name in the genome, for those that the genome has.

    Parameters
    ----------
    path
        The file.
    names
        Its chromosomes.
    assembly
        The genome.
    key
        The config key or flag that names the file.

    Raises
    ------
    InputError
        If there is none; the message shows names of both.
    """
    contigs = dict(assembly.contigs)
    found = {name: find_contig(name, contigs) for name in names}
    shared = {name: contig for name, contig in found.items() if contig is not None}
    if not shared:
        raise InputError(
            f"{path} has no chromosome of {assembly.path}: its names are {_quoted(names)}, those "
            f"of the genome are {_quoted(contigs)}; rename one (chr1 and 1 count as the same), or "
            f"set {key} to a file of this genome"
        )
    return shared


def _quoted(names: Collection[str]) -> str:
    return first_names(map(repr, names))
