"""Finds the index of a FASTA file, or has samtools make it."""

import bisect
import itertools
import logging
import os
import re
import subprocess
import sys
import tempfile
import zlib
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import BinaryIO, NamedTuple

import numpy as np

from genebatch.io.files import GZIP, InputError, whole
from genebatch.io.text import BYTE_ORDER_MARK, open_bytes, read_bytes

log = logging.getLogger(__name__)

WANTED = "a genome as FASTA, plain or compressed by bgzip"
END_OF_BGZF = bytes.fromhex("1f8b08040000000000ff0600424302001b0003000000000000000000")
CHUNK_BYTES = 16 << 20
# samtools names repeated sequences and the lines of errors on standard error only. pysam does not
# read it, so samtools runs in a process of its own.
FAIDX = "import pysam, sys; pysam.faidx(*sys.argv[1:])"
# What samtools counts as letters of a sequence, and all else.
LETTER, BLANK = re.compile(rb"[!-~]"), re.compile(rb"[^!-~]")
REPEATED = re.compile(r'duplicate sequence "(.*)" at byte offset (\d+)')
HEADER_BYTES = 1 << 16  # before a sequence, among which its name is looked for
LOOKED_AT = 50  # sequences of a bgzip file whose names are looked for


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


class Record(NamedTuple):
    """A line of an index: a sequence, where it begins, and how its lines are cut."""

    name: bytes
    length: int
    offset: int
    bases: int
    width: int

    @property
    def end(self) -> int:
        """Where the last letter ends."""
        if not self.length:
            return self.offset
        lines, rest = divmod(self.length - 1, max(self.bases, 1))
        return self.offset + lines * self.width + rest + 1


Reader = Callable[[int, int], bytes]  # gives the bytes of the plain text from one place to another


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
    """Whether an index is there, is not older than the file, and is of this file."""
    changed = path.stat().st_mtime_ns
    parts = [part for part in index if part]
    if not all(part.is_file() and part.stat().st_mtime_ns >= changed for part in parts):
        return False
    # A file that was copied with its old time may be newer than the index and not look so.
    records = _records(index.fai)
    if not records:
        return False
    if index.gzi is None:
        return _lines_agree(path, records)
    return _blocks_agree(path, index.gzi, records)


def _records(fai: Path) -> list[Record]:
    records = []
    for line in fai.read_bytes().splitlines():
        name, *numbers = line.split(b"\t")
        try:
            records.append(Record(name, *map(int, numbers[:4])))
        except (TypeError, ValueError) as error:
            raise InputError(
                f"{fai} is no index of a FASTA file; delete it, it is made again"
            ) from error
    return records


def _lines_agree(path: Path, records: Sequence[Record]) -> bool:
    """Whether the sequences of a plain file stand where its index says, and the last ends there.

    Those that the file cuts off are passed over, as `_check_length` tells of them.
    """
    size = path.stat().st_size
    with path.open("rb") as stream:

        def read(start: int, stop: int) -> bytes:
            stream.seek(start)
            return stream.read(stop - start)

        if not all(_stands(record, read, size) for record in records if record.offset <= size):
            return False
        return any(record.end > size for record in records) or _nothing_behind(records, read, size)


def _stands(record: Record, read: Reader, size: int) -> bool:
    """Whether the name of a sequence stands before it, and its first line is as long as told."""
    start, edge = max(record.offset - HEADER_BYTES, 0), record.offset + record.bases
    if not _ends_in_name(read(start, record.offset), record.name):
        return False
    if edge > size:
        return True
    line = read(record.offset, min(edge, record.offset + HEADER_BYTES))
    rest = read(edge, min(record.offset + record.width, edge + HEADER_BYTES))
    ends = b"\n" in rest or record.length <= record.bases  # the last line may end with the file
    return ends and not BLANK.search(line) and not LETTER.search(rest)


def _nothing_behind(records: Sequence[Record], read: Reader, size: int) -> bool:
    """Whether the last sequence ends in a letter, and only blank lines follow."""
    end = max(record.end for record in records)
    pieces = (read(at, min(at + CHUNK_BYTES, size)) for at in range(end, size, CHUNK_BYTES))
    return bool(LETTER.match(read(end - 1, end))) and not any(map(LETTER.search, pieces))


def _ends_in_name(text: bytes, name: bytes) -> bool:
    """Whether the last line of a text is the line with this name."""
    line = text.rstrip(b"\r\n").rpartition(b"\n")[2]
    found = re.match(rb">(\S*)", line)
    return text.endswith(b"\n") and found is not None and found[1] == name


def _blocks_agree(path: Path, gzi: Path, records: Sequence[Record]) -> bool:
    """Whether blocks and sequences of a bgzip file stand where its indices say.

    Reads the frame of every block. Of many sequences some are looked at, and the end of the last.
    """
    numbers = np.fromfile(gzi, "<u8")
    if not len(numbers) or len(numbers) != 1 + 2 * numbers[0]:
        raise InputError(f"{gzi} is no index of a bgzip file; delete it, it is made again")
    blocks = [(0, 0), *map(tuple, numbers[1:].reshape(-1, 2).tolist())]
    with path.open("rb") as stream:
        for here, following in itertools.pairwise([*blocks, None]):
            end = _block_end(stream, *here)
            if end is None or following not in (None, end):
                return False
        packed, size = end
        stream.seek(packed)
        if stream.read(len(END_OF_BGZF) + 1) not in (b"", END_OF_BGZF):
            return False
        if any(record.end > size for record in records):
            return False

        def read(start: int, stop: int) -> bytes:
            return _unpacked(stream, blocks, start, stop)

        some = records[:: max(len(records) // LOOKED_AT, 1)]
        standing = all(_stands(record, read, size) for record in some)
        return standing and _nothing_behind(records, read, size)


def _block_end(stream: BinaryIO, packed: int, plain: int) -> tuple[int, int] | None:
    """Where the block after one begins, packed and plain; None if no block is there."""
    stream.seek(packed)
    head = stream.read(18)
    if len(head) < 18 or not head.startswith(GZIP) or head[12:14] != b"BC":
        return None
    end = packed + int.from_bytes(head[16:18], "little") + 1
    stream.seek(end - 4)
    return end, plain + int.from_bytes(stream.read(4), "little")


def _unpacked(stream: BinaryIO, blocks: Sequence[tuple[int, int]], start: int, stop: int) -> bytes:
    """Some bytes of the plain text of a bgzip file, from the blocks that its index names."""
    number = bisect.bisect_right(blocks, start, key=lambda block: block[1]) - 1
    first = blocks[number][1]
    text = b""
    for packed, plain in blocks[number:]:
        if plain >= stop:
            break
        end, _ = _block_end(stream, packed, plain)
        stream.seek(packed)
        try:
            text += zlib.decompress(stream.read(end - packed), wbits=31)
        except zlib.error:
            return b""  # pysam tells what is wrong with such a file
    return text[start - first : stop - first]


def _check_length(path: Path, index: FastaIndex) -> None:
    """Refuse a plain file that is shorter than its index says."""
    if index.gzi is not None:
        return
    size = path.stat().st_size
    for record in _records(index.fai):
        if record.end > size:
            name = record.name.decode(errors="replace")
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
    # -P: else modules of the user's folder come first.
    done = subprocess.run(
        [sys.executable, "-P", "-c", FAIDX, *options, str(path.absolute())],
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
