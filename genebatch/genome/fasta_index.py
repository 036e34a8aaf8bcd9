"""The index of a FASTA file, made by samtools where it is missing."""

import logging
import os
import re
import subprocess
import sys
import tempfile
from contextlib import ExitStack
from pathlib import Path
from typing import NamedTuple

from genebatch.io.files import GZIP, InputError, whole
from genebatch.io.text import BYTE_ORDER_MARK, open_bytes, read_bytes

log = logging.getLogger(__name__)

WANTED = "a genome as FASTA, plain or compressed by bgzip"
END_OF_BGZF = bytes.fromhex("1f8b08040000000000ff0600424302001b0003000000000000000000")
CHUNK_BYTES = 16 << 20
# samtools tells of repeated names and of the lines of errors only on standard error, which pysam
# passes on unread.
FAIDX = "import pysam, sys; pysam.faidx(*sys.argv[1:])"
REPEATED = re.compile(r'duplicate sequence "(.*)" at byte offset (\d+)')


class Index(NamedTuple):
    """Paths of an index; `gzi` is None for plain files, `folder` None for an index that stays."""

    fai: Path
    gzi: Path | None
    folder: tempfile.TemporaryDirectory | None = None

    def close(self) -> None:
        """Remove the index if it is temporary."""
        if self.folder is not None:
            self.folder.cleanup()


def ensure_index(path: Path, key: str) -> Index:
    """Find the index of a FASTA file, or make it.

    An index older than the file is made anew; so is a missing one, which reads the whole file
    once. It stays beside the file, or goes with the process where that folder cannot be written.

    Raises
    ------
    InputError
        As `genebatch.genome.fasta.Fasta` says.
    """
    compressed = _check_ends(path, key)
    index = Index(Path(f"{path}.fai"), Path(f"{path}.gzi") if compressed else None)
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
    index = Index(fai, fai.with_suffix(".gzi") if compressed else None, folder)
    try:
        _make(path, [part for part in index[:2] if part], key)
    except BaseException:
        index.close()
        raise
    log.info("%s: indexed for this run alone, as its folder cannot be written", path)
    return index


def _check_ends(path: Path, key: str) -> bool:
    """Look at the first and last bytes of a file; say whether it is compressed."""
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


def _is_current(path: Path, index: Index) -> bool:
    changed = path.stat().st_mtime_ns
    parts = [part for part in index if part]
    return all(part.is_file() and part.stat().st_mtime_ns >= changed for part in parts)


def _check_length(path: Path, index: Index) -> None:
    """Refuse a plain file that is shorter than its index says."""
    if index.gzi is not None:
        return
    size = path.stat().st_size
    for line in index.fai.read_text().splitlines():
        name, length, offset, bases, width = line.split("\t")[:5]
        rows, rest = divmod(int(length), max(int(bases), 1))
        if int(offset) + rows * int(width) + rest - (int(width) - int(bases)) * (not rest) > size:
            raise InputError(
                f"{path} ends inside of {name}, as its index {index.fai} has it; copy the file "
                "again if it is truncated, delete the index if it belongs to another file"
            )


def _make(path: Path, parts: list[Path], key: str) -> None:
    """Index a file by samtools and read what it says of it."""
    options = [
        text
        for name, part in zip(("--fai-idx", "--gzi-idx"), parts, strict=False)
        for text in (name, str(part.absolute()))
    ]
    # Of relative paths samtools takes some for options, and htslib some for addresses.
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
        facts = [text.partition("] ")[2] for text in done.stderr.splitlines() if "[E::" in text]
        raise InputError(
            f"{path} is not a whole FASTA file: {facts[0] if facts else done.stderr[-300:]}; "
            f"wanted lines of one length in each sequence; set {key}"
        )


def _line_at(path: Path, offset: int, key: str) -> int:
    """Number of the line that holds the byte before `offset` of the plain text."""
    lines = 0
    with open_bytes(path, WANTED, key) as stream:
        while offset and (data := read_bytes(stream, min(offset, CHUNK_BYTES), path)):
            lines += data.count(b"\n")
            offset -= len(data)
    return lines
