"""Reads sequences of a FASTA file, plain or bgzip, in transcript orientation."""

from collections.abc import Iterable
from pathlib import Path
from typing import Self

import numpy as np
import pysam

from genebatch.genome.contigs import find_contig, other_names
from genebatch.genome.fasta_index import ensure_index
from genebatch.genome.genes import Gene, genomic_span
from genebatch.genome.nucleotides import CODES, FOREIGN, UNKNOWN, reverse_complement
from genebatch.io.files import InputError, first_names


class Fasta:
    """The sequences of a FASTA file, plain or bgzip; a context manager.

    Makes the index (`.fai`, and `.gzi` for bgzip) if it is missing, older than the file, or of
    another file. The index stays beside the file, or in a temporary folder if the file's folder
    cannot be written. Holds the index and one stretch at a time, 3 bytes per nt of the stretch.

    Parameters
    ----------
    path : str or Path
        The file.
    key : str
        The config key or flag that names it.

    Attributes
    ----------
    contigs : dict
        Name to length in nt, in the order of the file.

    Raises
    ------
    InputError
        If the file is absent, empty, no FASTA, compressed other than by bgzip, truncated, or has
        a sequence twice. The message names the line where there is one.
    """

    def __init__(self, path: str | Path, key: str = "sequence.fasta"):
        self.path, self._key = Path(path), key
        self._index = ensure_index(self.path, key)
        try:
            self._file = pysam.FastaFile(
                str(self.path.absolute()),
                filepath_index=str(self._index.fai.absolute()),
                filepath_index_compressed=(
                    str(self._index.gzi.absolute()) if self._index.gzi else None
                ),
            )
        except UnicodeDecodeError as error:
            self._index.close()
            raise InputError(
                f"{self.path} has a name that is not UTF-8 text; convert the file, for example "
                "`iconv -f latin1 -t utf-8`"
            ) from error
        except (OSError, ValueError) as error:
            self._index.close()
            raise InputError(f"{self.path} cannot be read: {error}; set {key}") from error
        self.contigs = dict(zip(self._file.references, self._file.lengths, strict=True))

    def name_of(self, chrom: str) -> str:
        """Name of a chromosome in this file: chr20 may be 20 here, chrM may be MT.

        Raises
        ------
        InputError
            If it has no such name; the message lists the first sequences of the file.
        """
        name = find_contig(chrom, self.contigs)
        if name is None:
            raise InputError(
                f"{self.path} has no sequence {' or '.join(map(repr, other_names(chrom)))} (it has "
                f"{_quoted(self.contigs)}); wanted the genome of the gene models; set "
                f"{self._key}"
            )
        return name

    def fetch(self, chrom: str, start: int, end: int, strand: str) -> np.ndarray:
        """Codes of a stretch of the genome in transcript orientation.

        Parameters
        ----------
        chrom
            Chromosome, by any of its names.
        start, end
            Genomic, 0-based half-open, on the plus strand; may reach outside of the chromosome.
        strand
            "+", or "-" for the reverse complement.

        Returns
        -------
        np.ndarray
            (end - start,) uint8: A 0, C 1, G 2, T or U 3 in either case; 4 for any other letter
            and outside of the chromosome.

        Raises
        ------
        InputError
            If the stretch cannot be read, or holds a letter that stands for no nucleotide.
        """
        name = self.name_of(chrom)
        codes = np.full(end - start, UNKNOWN, dtype=np.uint8)
        low, high = max(start, 0), min(end, self.contigs[name])
        if low < high:
            codes[low - start : high - start] = self._read(name, low, high)
        return codes if strand == "+" else reverse_complement(codes)

    def close(self) -> None:
        """Close the file and remove a temporary index."""
        self._file.close()
        self._index.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def letters(self, name: str, start: int, end: int) -> np.ndarray:
        """Bytes of a stretch inside of a sequence as they stand in the file; (end - start,) uint8.

        Raises
        ------
        InputError
            If the stretch cannot be read.
        """
        try:
            text = self._file.fetch(name, start, end).encode("latin-1")
        except (OSError, ValueError) as error:
            raise InputError(
                f"{self.path}: {name}:{start + 1:,}-{end:,} cannot be read ({error}); the file is "
                "damaged, copy it again"
            ) from error
        if len(text) != end - start:
            raise InputError(
                f"{self.path} ends inside of {name}:{start + 1:,}-{end:,}; the file is truncated, "
                "copy it again"
            )
        return np.frombuffer(text, dtype=np.uint8)

    def _read(self, name: str, start: int, end: int) -> np.ndarray:
        text = self.letters(name, start, end)
        codes = CODES[text]
        if codes.size and codes.max() == FOREIGN:
            place = int(np.argmax(codes == FOREIGN))
            raise InputError(
                f"{self.path} holds {chr(text[place])!r} at {name}:{start + place + 1:,}; wanted "
                f"DNA, so letters of nucleotides; set {self._key}"
            )
        return codes


def _quoted(names: Iterable[str]) -> str:
    """The first few names, in quotes: some differ by a blank at the end only."""
    return first_names(map(repr, names))


def gene_codes(fasta: Fasta, gene: Gene, start: int, stop: int) -> np.ndarray:
    """Codes of gene positions `start` to `stop - 1`, which may lie outside of the gene.

    (stop - start,) uint8 in transcript orientation, as `Fasta.fetch` gives and refuses them.
    """
    return fasta.fetch(gene.chrom, *genomic_span(gene, start, stop), gene.strand)
