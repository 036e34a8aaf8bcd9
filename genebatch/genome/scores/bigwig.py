"""Reads base scores from bigWig files: donor and acceptor scores of each strand."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any, Self

import numpy as np

from genebatch.genome.contigs import find_contig, other_names
from genebatch.genome.genes import SITES, STRANDS, Gene, genomic_span, stretches
from genebatch.genome.scores.checks import SUM_TOLERANCE, refuse_unscored
from genebatch.io.files import InputError, first_names
from genebatch.io.numbers import clipped, digits

BLOCK = 65_536  # positions read at a time to find any value of a gene


class BigWigTracks:
    """Scores of genes from four bigWig files, in genomic coordinates; a context manager.

    Holds the scores of one stretch of a gene.

    Parameters
    ----------
    tracks
        "plus" and "minus" to "donor" and "acceptor" to path.
    genes
        The genes that will be asked for.
    unscored
        "error" to refuse genes without a value, "zero" to give them scores of 0.
    key
        The config key or flag that names the files.
    """

    def __init__(
        self,
        tracks: Mapping[str, Mapping[str, str | Path]],
        genes: Sequence[Gene],
        unscored: str,
        key: str,
    ):
        self._key = key
        self._paths = _paths(tracks, key)
        self._files: dict[tuple[str, str], Any] = {}
        try:
            for track, path in self._paths.items():
                self._files[track] = open_bigwig(path, key)
                self._check_genome(track, genes)
            silent = [gene for gene in genes if not self._has_values(gene)]
            names = ", ".join(map(str, self._paths.values()))
            refuse_unscored(names, silent, len(genes), unscored, key)
        except BaseException:
            self.close()
            raise

    def fetch(self, gene: Gene, start: int, end: int) -> np.ndarray:
        """Donor and acceptor scores of gene positions start to end - 1.

        Returns
        -------
        np.ndarray
            (2, end - start) float32, 0 where a file has no value or NaN, and outside of the gene.

        Raises
        ------
        InputError
            If a score is outside of 0 to 1 by more than rounding, or the two of a position sum to
            more than 1.
        """
        track = np.zeros((2, end - start), dtype=np.float32)
        low, high = max(start, 0), min(end, gene.length)
        if low >= high:
            return track
        for row, kind in enumerate(SITES):
            values = self._values(gene, kind, low, high)
            track[row, low - start : high - start] = np.where(np.isnan(values), 0, values)
        track = clipped(track)
        self._check(gene, start, track)
        return track

    def close(self) -> None:
        """Close the files."""
        for file in self._files.values():
            file.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def _check_genome(self, track: tuple[str, str], genes: Sequence[Gene]) -> None:
        """Refuse a file of another genome; it may lack chromosomes that have no value."""
        path, lengths = self._paths[track], self._files[track].chroms()
        there = [gene for gene in genes if gene.strand == track[0]]
        located = [gene for gene in there if find_contig(gene.chrom, lengths)]
        if there and not located:
            raise InputError(
                f"{path} has none of the chromosomes of the genes, such as "
                f"{' or '.join(other_names(there[0].chrom))} (it has {first_names(lengths)}); "
                f"wanted the genome of the gene models; set {self._key}"
            )
        for gene in located:
            chrom = find_contig(gene.chrom, lengths)
            if gene.end > lengths[chrom]:
                raise InputError(
                    f"gene {gene.id} ends at {gene.end:,} but {chrom} of {path} has "
                    f"{lengths[chrom]:,} nt; wanted the same assembly; set {self._key}"
                )

    def _has_values(self, gene: Gene) -> bool:
        """Tell whether any position of a gene has a value other than NaN, which is none."""
        # The file's own statistics say None if the first value of a stretch is NaN.
        return any(
            not np.isnan(self._values(gene, kind, *stretch)).all()
            for kind in SITES
            for stretch in stretches(gene, BLOCK)
        )

    def _values(self, gene: Gene, kind: str, low: int, high: int) -> np.ndarray:
        """Scores of one kind for gene positions low to high - 1; NaN where the file has none."""
        file = self._files[gene.strand, kind]
        chrom = find_contig(gene.chrom, file.chroms())
        if chrom is None:
            return np.full(high - low, np.nan, np.float32)
        path = self._paths[gene.strand, kind]
        values = read_values(file, path, chrom, *genomic_span(gene, low, high))
        return values if gene.strand == "+" else values[::-1]

    def _check(self, gene: Gene, start: int, track: np.ndarray) -> None:
        for kind, scores in zip(SITES, track, strict=True):
            wrong = np.flatnonzero((scores < 0) | (scores > 1))
            if wrong.size:
                raise InputError(
                    f"{self._paths[gene.strand, kind]} has {digits(scores[wrong[0]])} at position "
                    f"{start + wrong[0]:,} of gene {gene.id!r}; wanted probabilities, 0 to 1, on "
                    f"either strand; set {self._key}"
                )
        total = track.sum(axis=0)
        if (total > 1 + SUM_TOLERANCE).any():
            worst = int(total.argmax())
            paths = " and ".join(str(self._paths[gene.strand, kind]) for kind in SITES)
            raise InputError(
                f"{paths} sum to {digits(total[worst])} at position {start + worst:,} of gene "
                f"{gene.id!r}; wanted probabilities, so a sum of at most 1; set {self._key}"
            )


def bigwig_library(wanting: str) -> ModuleType:
    """Import pyBigWig; if it is missing, raise an `InputError` that says what needs it."""
    try:
        import pyBigWig
    except ImportError as error:
        raise InputError(
            f"{wanting} needs pyBigWig, which is not installed: `pip install genebatch[genomics]`"
        ) from error
    return pyBigWig


def _paths(tracks: Mapping[str, Any], key: str) -> dict[tuple[str, str], Path]:
    """Map strand sign and kind of site to the path, for all four files."""
    paths = {}
    for strand, sign in STRANDS.items():
        for kind in SITES:
            path = (tracks.get(strand) or {}).get(kind)
            if path is None:
                raise InputError(f"{key}.{strand}.{kind} is not set; wanted a bigWig file")
            paths[sign, kind] = Path(path)
    repeated = [path for path in paths.values() if list(paths.values()).count(path) > 1]
    if repeated:
        raise InputError(
            f"{key} names {repeated[0]} twice; wanted a file of its own for each strand and kind"
        )
    return paths


def open_bigwig(path: Path, key: str) -> Any:
    """Open a bigWig file for reading.

    Raises
    ------
    InputError
        If pyBigWig is missing, or the file is absent or no bigWig. The message names `key`.
    """
    library = bigwig_library(str(path))
    if not path.is_file():
        raise InputError(f"{path} does not exist; wanted a bigWig file; set {key}")
    try:
        file = library.open(str(path))
    except RuntimeError as error:
        raise InputError(f"{path} is not a bigWig file, or is damaged; set {key}") from error
    if not file.isBigWig():
        file.close()
        raise InputError(f"{path} is a bigBed file; wanted bigWig; set {key}")
    return file


def read_values(file: Any, path: Path, chrom: str, start: int, end: int) -> np.ndarray:
    """Values of a stretch of a chromosome of an open file; (end - start,) float32, NaN for none.

    Raises
    ------
    InputError
        If the file, which lies at `path`, is damaged there.
    """
    try:
        values = file.values(chrom, start, end, numpy=True)
    except RuntimeError as error:
        raise InputError(f"{path} is damaged: {error}; copy it again") from error
    if not values.size:  # the file holds no value at all
        return np.full(end - start, np.nan, np.float32)
    return values
