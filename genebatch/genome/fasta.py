"""Reads sequences of a FASTA file, plain or bgzip, in transcript orientation.

samtools makes the index where it is missing.
"""

import logging
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterable
from contextlib import ExitStack
from pathlib import Path
from typing import NamedTuple, Self

import numpy as np
import pysam

from genebatch.genome.contigs import find_contig, other_names
from genebatch.genome.genes import Gene, genomic_span
from genebatch.genome.nucleotides import CODES, FOREIGN, UNKNOWN, reverse_complement
from genebatch.io.files import GZIP, InputError, first_names, whole
from genebatch.io.text import BYTE_ORDER_MARK, open_bytes, read_bytes

log = logging.getLogger(__name__)

WANTED = "a genome as FASTA, plain or compressed by bgzip"
END_OF_BGZF = bytes.fromhex("1f8b08040000000000ff0600424302001b0003000000000000000000")
CHUNK_BYTES = 16 << 20
# samtools names repeated sequences and the lines of errors on standard error only. pysam does not
# read it, so samtools runs in a process of its own.
FAIDX = "import pysam, sys; pysam.faidx(*sys.argv[1:])"
REPEATED = re.compile(r'duplicate sequence "(.*)" at byte offset (\d+)')


class Fasta:
    """The sequences of a FASTA file, plain or bgzip; a context manager.

    Makes the index (`.fai`, and `.gzi` for bgzip) if it is missing or older than the file. The
    index stays beside the file, or in a temporary folder if the file's folder cannot be written.
    Holds the index and one stretch at a time, 3 bytes per nt of the stretch.

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

    def check_genes(self, genes: Iterable[Gene], source: str | Path) -> None:
        """Refuse genes on a chromosome that the file lacks, or that end beyond it.

        Parameters
        ----------
        genes
            The genes.
        source
            The file of the genes, for the message.

        Raises
        ------
        InputError
            Naming the missing chromosomes, or the gene and the length of its chromosome.
        """
        ends: dict[str, Gene] = {}
        for gene in genes:
            if gene.chrom not in ends or gene.end > ends[gene.chrom].end:
                ends[gene.chrom] = gene
        missing = [chrom for chrom in ends if find_contig(chrom, self.contigs) is None]
        if missing:
            raise InputError(
                f"{len(missing)} of {len(ends)} chromosomes of {source} are not in {self.path}: "
                f"{_quoted(missing)}. The first of {source} are {_quoted(ends)}, the first of "
                f"{self.path} are {_quoted(self.contigs)}; set {self._key} to the "
                "genome of the gene models, or rename one"
            )
        for chrom, gene in ends.items():
            length = self.contigs[self.name_of(chrom)]
            if gene.end > length:
                raise InputError(
                    f"gene {gene.id!r} of {source} ends at {gene.end:,} but {chrom} of {self.path} "
                    f"has {length:,} nt; wanted the same assembly; set {self._key}"
                )

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

    def _read(self, name: str, start: int, end: int) -> np.ndarray:
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
        codes = CODES[np.frombuffer(text, dtype=np.uint8)]
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


class FastaIndex(NamedTuple):
    """Paths of an index.

    Attributes
    ----------
    fai, gzi
        The files; a plain FASTA file has no `gzi`.
    folder
        The folder of a temporary index; None for an index that stays.
    """

    fai: Path
    gzi: Path | None
    folder: tempfile.TemporaryDirectory | None = None

    def close(self) -> None:
        """Remove the index if it is temporary."""
        if self.folder is not None:
            self.folder.cleanup()


def ensure_index(path: Path, key: str) -> FastaIndex:
    """Find the index of a FASTA file, or make it as `Fasta` says; that reads the file once.

    Raises
    ------
    InputError
        As `Fasta` says.
    """
    compressed = _check_ends(path, key)
    index = FastaIndex(Path(f"{path}.fai"), Path(f"{path}.gzi") if compressed else None)
    if _is_current(path, index):
        _check_length(path, index)
        return index
    if os.access(path.parent, os.W_OK):
        with ExitStack() as stack:
            _make(path, [stack.enter_context(whole(part)) for part in index if part], key)
        log.info("%s: index written to %s", path, index.fai)
        return index
    folder = tempfile.TemporaryDirectory(prefix="genebatch-fasta-")
    fai = Path(folder.name, "index.fai")
    index = FastaIndex(fai, fai.with_suffix(".gzi") if compressed else None, folder)
    try:
        _make(path, [part for part in index[:2] if part], key)
    except BaseException:
        index.close()
        raise
    log.info("%s: indexed for this run only, because its folder cannot be written", path)
    return index


def _check_ends(path: Path, key: str) -> bool:
    """Check the first and last bytes of a file; return whether it is compressed."""
    with open_bytes(path, WANTED, key) as stream:
        start = read_bytes(stream, 3, path)
    with path.open("rb") as stream:
        head = stream.read(14)
        stream.seek(-min(len(END_OF_BGZF), path.stat().st_size), os.SEEK_END)
        end = stream.read()
    compressed = head.startswith(GZIP)
    if not start:
        raise InputError(f"{path} is empty; wanted {WANTED}; set {key}")
    if start.startswith(BYTE_ORDER_MARK):
        raise InputError(
            f"{path} begins with a byte order mark; take it off: `sed -i '1s/^\\xEF\\xBB\\xBF//'`"
        )
    if not start.startswith(b">"):
        raise InputError(f"{path} does not begin with '>'; wanted {WANTED}; set {key}")
    if compressed and head[12:14] != b"BC":
        raise InputError(
            f"{path} is compressed by gzip, which cannot be read at random; compress it again: "
            f"`gunzip -c {path.name} | bgzip > genome.fa.gz`; set {key}"
        )
    if compressed and end != END_OF_BGZF:
        raise InputError(f"{path} lacks the end of a bgzip file (truncated?); copy it again")
    return compressed


def _is_current(path: Path, index: FastaIndex) -> bool:
    changed = path.stat().st_mtime_ns
    parts = [part for part in index if part]
    return all(part.is_file() and part.stat().st_mtime_ns >= changed for part in parts)


def _check_length(path: Path, index: FastaIndex) -> None:
    """Refuse a plain file that is shorter than its index says."""
    if index.gzi is not None:
        return
    size = path.stat().st_size
    for line in index.fai.read_bytes().splitlines():
        name, *numbers = line.decode(errors="replace").split("\t")
        try:
            length, offset, bases, width = map(int, numbers[:4])
        except ValueError as error:
            raise InputError(
                f"{index.fai} is no index of a FASTA file; delete it, it is made again"
            ) from error
        rows, rest = divmod(length, max(bases, 1))
        if offset + rows * width + rest - (width - bases) * (not rest) > size:
            raise InputError(
                f"{path} ends inside of {name}, as its index {index.fai} has it; copy the file "
                "again if it is truncated, delete the index if it belongs to another file"
            )


def _make(path: Path, parts: list[Path], key: str) -> None:
    """Index a file by samtools; turn what samtools reports into an `InputError`."""
    options = [
        text
        for name, part in zip(("--fai-idx", "--gzi-idx"), parts, strict=False)
        for text in (name, str(part.absolute()))
    ]
    # Absolute, as samtools takes some relative paths for options and htslib some for addresses.
    done = subprocess.run(
        [sys.executable, "-c", FAIDX, *options, str(path.absolute())],
        capture_output=True,
        text=True,
        check=False,
    )
    repeated = REPEATED.search(done.stderr)
    if repeated:
        name, line = repeated[1], _line_at(path, int(repeated[2]), key)
        raise InputError(
            f"{path}, line {line:,}: the sequence {name!r} is there before; wanted every name once"
        )
    if done.returncode:
        _refuse_known(path, key)
        facts = [text.partition("] ")[2] for text in done.stderr.splitlines() if "[E::" in text]
        raise InputError(
            f"{path} is not a whole FASTA file: {facts[0] if facts else done.stderr[-300:]}; "
            f"wanted lines of one length in each sequence; set {key}"
        )


def _refuse_known(path: Path, key: str) -> None:
    """Refuse a file that samtools cannot index for a reason that it does not tell."""
    last = b""
    with open_bytes(path, WANTED, key) as stream:
        while data := read_bytes(stream, CHUNK_BYTES, path):
            if b"\r" in data.replace(b"\r\n", b"").removesuffix(b"\r"):
                raise InputError(
                    f"{path} has lines that end in CR alone, as old Macintosh files; convert it: "
                    "`tr '\\r' '\\n'`"
                )
            last = (last + data).rstrip()[-CHUNK_BYTES:].rpartition(b"\n")[2]
    if last.startswith(b">"):
        name = last[1:].decode(errors="replace").split(maxsplit=1)[:1]
        raise InputError(
            f"{path}: its last sequence {name[0] if name else ''!r} is empty; take out that line"
        )


def _line_at(path: Path, offset: int, key: str) -> int:
    """Line number of the byte before `offset` of the plain text."""
    lines = 0
    with open_bytes(path, WANTED, key) as stream:
        while offset and (data := read_bytes(stream, min(offset, CHUNK_BYTES), path)):
            lines += data.count(b"\n")
            offset -= len(data)
    return lines
