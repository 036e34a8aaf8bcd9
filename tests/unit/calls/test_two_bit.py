"""Tests of calls.two_bit: a genome comes back letter by letter, also in small chunks."""

import struct

import numpy as np
import pytest

from genebatch.calls import two_bit
from genebatch.calls.two_bit import write_two_bit
from genebatch.genome.fasta import Fasta
from genebatch.io.files import InputError

BASES = "TCAG"  # their numbers are 0 to 3, the first of four in the highest bits


def write(folder, sequences):
    """The file of some sequences."""
    text = "".join(f">{name} words\n{letters}\n" for name, letters in sequences.items())
    (folder / "genome.fa").write_text(text)
    with Fasta(folder / "genome.fa") as fasta:
        write_two_bit(folder / "genome.2bit", fasta, "call.hub")
    return (folder / "genome.2bit").read_bytes()


def read(data):
    """The sequences of a file, by its specification."""
    signature, version, n, _ = struct.unpack_from("<IIII", data)
    assert signature == 0x1A412743
    sequences, place = {}, 16
    for _ in range(n):
        end = place + 1 + data[place]
        name = data[place + 1 : end].decode()
        (start,) = struct.unpack_from("<Q" if version else "<I", data, end)
        place = end + (8 if version else 4)
        sequences[name] = sequence(data[start:])
    assert place == 16 + sum(len(name) + (9 if version else 5) for name in sequences)
    return sequences


def sequence(data):
    """A sequence from its record on."""
    numbers = np.frombuffer(data[: len(data) // 4 * 4], "<u4")
    size, place, blocks = int(numbers[0]), 1, []
    for _ in range(2):  # stretches of N, then of lower case
        n = int(numbers[place])
        starts, lengths = numbers[place + 1 :][:n], numbers[place + 1 + n :][:n]
        blocks.append([(int(a), int(a) + int(b)) for a, b in zip(starts, lengths, strict=True)])
        place += 1 + 2 * n
    assert numbers[place] == 0
    packed = np.frombuffer(data, np.uint8, (size + 3) // 4, 4 * (place + 1))
    codes = (packed[:, None] >> np.array([6, 4, 2, 0])) & 3
    letters = [BASES[code] for code in codes.ravel()[:size]]
    for start, end in blocks[0]:
        letters[start:end] = "N" * (end - start)
    for start, end in blocks[1]:
        letters[start:end] = "".join(letters[start:end]).lower()
    return "".join(letters)


def test_bytes_are_those_of_the_specification(tmp_path):
    # TCAG is 00 01 10 11. The N counts as T; c stands alone in its byte, in the highest bits.
    data = write(tmp_path, {"s": "TCAGGNTAc"})
    head = struct.pack("<IIII", 0x1A412743, 0, 1, 0) + b"\x01s" + struct.pack("<I", 22)
    # Length, stretches of N (one at 5 of 1), of lower case (one at 8 of 1), and 0.
    record = struct.pack("<8I", 9, 1, 5, 1, 1, 8, 1, 0)
    assert data == head + record + bytes([0b00011011, 0b11000010, 0b01000000])


@pytest.mark.parametrize("chunk", [4, 12, 1 << 22])
def test_every_letter_comes_back(tmp_path, monkeypatch, chunk):
    monkeypatch.setattr(two_bit, "CHUNK", chunk)
    letters = np.array(list("ACGTacgtNn"))[np.random.default_rng(3).integers(0, 10, 1001)]
    sequences = {"chr1|x:1": "".join(letters), "all_n": "N" * 9, "one": "g", "low": "nnacgtNN" * 3}
    assert read(write(tmp_path, sequences)) == sequences


def test_what_is_no_base_becomes_n_and_u_becomes_t(tmp_path):
    assert read(write(tmp_path, {"s": "ACGURYKmacgu"})) == {"s": "ACGTNNNnacgt"}


def test_a_large_genome_has_long_offsets(tmp_path, monkeypatch):
    monkeypatch.setattr(two_bit, "MOST", 3)
    data = write(tmp_path, {"a": "ACGT" * 4, "b": "acgt"})
    assert struct.unpack_from("<I", data, 4) == (1,)
    assert read(data) == {"a": "ACGT" * 4, "b": "acgt"}


def test_a_name_that_the_format_cannot_hold_is_refused(tmp_path):
    write(tmp_path, {"x" * 255: "A"})
    with pytest.raises(InputError, match=r"longer than the 255 bytes of \.2bit.*call\.hub"):
        write(tmp_path, {"x" * 256: "A"})
