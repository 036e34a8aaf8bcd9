"""Writes a genome as .2bit, the format in which a track hub brings a genome of its own."""

import struct
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

import numpy as np

from genebatch.genome.fasta import Fasta
from genebatch.genome.nucleotides import CODES, UNKNOWN
from genebatch.io.files import InputError

SIGNATURE = 0x1A412743
# Version 0 has offsets of 4 bytes. Version 1 has 8, for files beyond 4 GB. It is taken from 2 GB of
# bases on, since the stretches of N and lower case add what is not known beforehand.
OFFSETS = {0: "<I", 1: "<Q"}
MOST = 1 << 31  # bytes of bases in version 0
NAME_BYTES = 255
CHUNK = 1 << 22  # nt that are read at once; a multiple of the four of a byte
# Numbers of A, C, G and T in the file, by their letters; all others are `UNKNOWN`.
NUMBERS = np.array([2, 1, 3, 0, 4], np.uint8)[np.minimum(CODES, UNKNOWN)]
LOWER = np.zeros(256, bool)
LOWER[ord("a") : ord("z") + 1] = True


def write_two_bit(path: Path, fasta: Fasta, key: str) -> None:
    """Write all sequences of a genome; holds a chunk, and the stretches of one sequence.

    Whatever is no A, C, G, T or U becomes N. Lower case stays marked. `key` is the config key or
    flag that asks for the file.

    Raises
    ------
    InputError
        If a name is longer than the format allows.
    """
    names = {name: name.encode() for name in fasta.contigs}
    for name, text in names.items():
        if len(text) > NAME_BYTES:
            raise InputError(
                f"{fasta.path} has the name {name[:40]!r}..., which is longer than the "
                f"{NAME_BYTES} bytes of .2bit; shorten it, or name a genome of UCSC; set {key}"
            )
    version = int(sum(fasta.contigs.values()) // 4 > MOST)
    offset = struct.Struct(OFFSETS[version])
    with open(path, "wb") as stream:
        stream.write(struct.pack("<IIII", SIGNATURE, version, len(names), 0))
        places = {}
        for name, text in names.items():
            stream.write(bytes([len(text)]) + text)
            places[name] = stream.tell()
            stream.write(bytes(offset.size))
        for name, place in places.items():
            start = stream.tell()
            _write_sequence(stream, fasta, name)
            stream.seek(place)
            stream.write(offset.pack(start))
            stream.seek(0, 2)


def _write_sequence(stream: BinaryIO, fasta: Fasta, name: str) -> None:
    unknown, lower = _Stretches(), _Stretches()
    for letters in _chunks(fasta, name):
        unknown.add(NUMBERS[letters] == UNKNOWN)
        lower.add(LOWER[letters])
    stream.write(struct.pack("<I", fasta.contigs[name]))
    stream.write(unknown.packed() + lower.packed() + bytes(4))
    for letters in _chunks(fasta, name):
        numbers = NUMBERS[letters] % 4
        numbers = np.pad(numbers, (0, -len(numbers) % 4)).reshape(-1, 4)
        stream.write((numbers << np.array([6, 4, 2, 0], np.uint8)).sum(1, dtype=np.uint8).tobytes())


def _chunks(fasta: Fasta, name: str) -> Iterator[np.ndarray]:
    size = fasta.contigs[name]
    for start in range(0, size, CHUNK):
        yield fasta.letters(name, start, min(start + CHUNK, size))


class _Stretches:
    """Stretches of a sequence where something holds, told chunk after chunk."""

    def __init__(self) -> None:
        self._length = 0
        self._edges: list[np.ndarray] = []

    def add(self, flags: np.ndarray) -> None:
        """Take the next chunk."""
        beside = np.concatenate([[False], flags, [False]])
        self._edges.append(np.flatnonzero(beside[1:] != beside[:-1]) + self._length)
        self._length += len(flags)

    def packed(self) -> bytes:
        """Number of stretches, their starts and their lengths."""
        edges = np.concatenate([np.empty(0, np.int64), *self._edges])
        starts, stops = edges[::2], edges[1::2]
        meet = np.flatnonzero(starts[1:] == stops[:-1])  # of two chunks
        starts, stops = np.delete(starts, meet + 1), np.delete(stops, meet)
        columns = [[len(starts)], starts, stops - starts]
        return np.concatenate(columns).astype("<u4").tobytes()
