"""Reads text files of any size, plain or gzip, as numbered lines in blocks."""

import gzip
import re
import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import BinaryIO, NamedTuple

import polars as pl

from genebatch.io.files import GZIP, InputError

# Memory is about ten times this: lines of a block, and the columns that are cut from them.
BLOCK_BYTES = 8 << 20
BYTE_ORDER_MARK = b"\xef\xbb\xbf"
MAGIC = {
    b"PAR1": "a Parquet file",
    b"BAM\x01": "a BAM file",
    b"CRAM": "a CRAM file",
    b"BCF\x02": "a BCF file",
    b"\x26\xfc\x8f\x88": "a bigWig file",
    b"\xeb\xf2\x89\x87": "a bigBed file",
    b"PK\x03\x04": "a zip archive",
    b"BZh": "compressed by bzip2",
    b"\xfd7zXZ": "compressed by xz",
    b"\x28\xb5\x2f\xfd": "compressed by zstd",
    b"\x89HDF": "an HDF5 file",
    b"\xff\xfe": "UTF-16 text",
    b"\xfe\xff": "UTF-16 text",
}


class Block(NamedTuple):
    """Successive lines of a file: the number of the first, counted from 1, and their text."""

    first: int
    lines: pl.Series


def line_blocks(path: str | Path, wanted: str, key: str) -> Iterator[Block]:
    """Stream the lines of a text file, without their ends and a byte order mark.

    Lines end in a line feed, a carriage return, or both.

    Holds about `BLOCK_BYTES` of text.

    Parameters
    ----------
    path
        Plain or gzip (bgzip too), told by content.
    wanted
        What the file should be, for messages.
    key
        The config key or flag that names the file.

    Raises
    ------
    InputError
        If the file is absent, empty, truncated, binary or not UTF-8.
    """
    first, rest = 1, b""
    for data in _with_line_feeds(_read(path, wanted, key)):
        data = rest + data
        cut = data.rfind(b"\n") + 1
        rest = data[cut:]
        if cut:
            block = _block(path, first, data[:cut])
            yield block
            first += block.lines.len()
    if rest:
        yield _block(path, first, rest + b"\n")


def whole_text(path: str | Path, wanted: str, key: str) -> str:
    """Read a small text file as a whole; parameters and errors as those of `line_blocks`."""
    blocks = line_blocks(path, wanted, key)
    return "\n".join(line for block in blocks for line in block.lines) + "\n"


def _block(path: str | Path, first: int, data: bytes) -> Block:
    try:
        text = data[:-1].decode("utf-8")
    except UnicodeDecodeError as error:
        line = first + data.count(b"\n", 0, error.start)
        raise InputError(
            f"{path}, line {line:,}: not UTF-8 text; convert the file, for example "
            "`iconv -f latin1 -t utf-8`"
        ) from error
    return Block(first, pl.Series("text", [text]).str.split("\n").explode())


def _with_line_feeds(parts: Iterator[bytes]) -> Iterator[bytes]:
    """Make every end of a line a line feed. A file has ends of one kind, as a rule."""
    held = b""
    for data in parts:
        data = held + data
        held = data[-1:] if data.endswith(b"\r") else b""  # a line feed may follow
        if b"\r" in data:
            data = data[: len(data) - len(held)]
            data = re.sub(rb"\r*\n", b"\n", data).replace(b"\r", b"\n")
        yield data
    yield held.replace(b"\r", b"\n")


def _read(path: str | Path, wanted: str, key: str) -> Iterator[bytes]:
    """Give the bytes of a file, decompressed, after looking at the first of them."""
    with open_bytes(path, wanted, key) as stream:
        start = True
        while data := read_bytes(stream, BLOCK_BYTES, path):
            if start:
                _refuse_binary(data, path, wanted, key)
                data = data.removeprefix(BYTE_ORDER_MARK)
                start = not data  # a mark alone is as empty as no byte
            yield data
    if start:
        raise InputError(f"{path} is empty; wanted {wanted}; set {key}")


def open_bytes(path: str | Path, wanted: str, key: str) -> BinaryIO:
    """Open a plain or gzip file for reading its text as bytes."""
    path = Path(path)
    if not path.is_file():
        fact = "is a folder" if path.is_dir() else "does not exist"
        raise InputError(f"{path} {fact}; wanted {wanted}; set {key}")
    try:
        with path.open("rb") as stream:
            compressed = stream.read(2) == GZIP
        return gzip.open(path) if compressed else path.open("rb")
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error}; set {key}") from error


def read_bytes(stream: BinaryIO, size: int, path: str | Path) -> bytes:
    """Read up to `size` bytes, or say that the file is truncated or damaged."""
    try:
        return stream.read(size)
    except (EOFError, zlib.error, OSError) as error:
        raise InputError(f"{path} is truncated or damaged ({error}); copy it again") from error


def _refuse_binary(data: bytes, path: str | Path, wanted: str, key: str) -> None:
    kind = next((name for magic, name in MAGIC.items() if data.startswith(magic)), None)
    if kind is None and b"\0" in data[:4096]:
        kind = "a binary file"
    if kind is not None:
        raise InputError(f"{path} is {kind}; wanted {wanted}, plain or gzip; set {key}")


def read_columns(
    path: str | Path, columns: Sequence[str], wanted: str, key: str
) -> Iterator[pl.DataFrame]:
    """Stream columns of a TSV or CSV file (by its first line) as text, with the line numbers.

    Gives frames of `line` and the `columns`. Quotes around a value are taken off. Holds about
    `BLOCK_BYTES` of text.

    Raises
    ------
    InputError
        Naming the columns that the first line lacks, or the line that has too few or too many.
    """
    header: list[str] = []
    for block in line_blocks(path, wanted, key):
        lines = block.lines
        frame = pl.DataFrame({"text": lines}).with_row_index("line", offset=block.first)
        if not header:
            separator = "\t" if "\t" in lines[0] else ","
            header = [name.strip().strip('"') for name in lines[0].split(separator)]
            _refuse_header(path, header, columns, wanted, key)
            frame = frame.slice(1)
        frame = frame.filter(pl.col("text") != "")
        fields = frame["text"].str.count_matches(separator, literal=True) + 1
        wrong = frame.filter(fields != len(header))
        if wrong.height:
            n_fields = fields.filter(fields != len(header))[0]
            raise InputError(
                f"{path}, line {wrong['line'][0]:,}: {n_fields} columns, wanted {len(header)} as "
                "in the first line"
            )
        parts = pl.col("text").str.splitn(separator, len(header)).struct
        parts = parts.rename_fields([str(number) for number in range(len(header))]).struct.unnest()
        named = {
            name: pl.col(str(header.index(name))).str.strip_chars(' "').alias(name)
            for name in columns
        }
        yield frame.select("line", parts).select("line", *named.values())


def _refuse_header(
    path: str | Path, header: list[str], columns: Sequence[str], wanted: str, key: str
) -> None:
    lacking = [name for name in columns if name not in header]
    if lacking:
        shown = ", ".join(header)[:120]
        raise InputError(
            f"{path}, line 1: the column {lacking[0]!r} is missing (columns: {shown}); wanted "
            f"{wanted}; set {key}"
        )
    repeated = [name for name in columns if header.count(name) > 1]
    if repeated:
        raise InputError(f"{path}, line 1, has several columns {repeated[0]!r}; rename all but one")
