"""Encodes nucleotides: A 0, C 1, G 2, T 3, an unknown one 4. U of RNA is T."""

import numpy as np

UNKNOWN = 4
FOREIGN = 255  # letters that stand for no nucleotide, as in proteins
CODES = np.full(256, FOREIGN, dtype=np.uint8)  # by the byte of the letter, in either case
for _letters in ("NRYSWKMBDHVX-", "nryswkmbdhvx-"):
    CODES[list(_letters.encode())] = UNKNOWN
for _letters in ("ACGT", "acgt", "ACGU", "acgu"):
    CODES[list(_letters.encode())] = range(4)


def encode(sequence: str | bytes) -> np.ndarray:
    """Codes of a sequence: A 0, C 1, G 2, T or U 3 in either case, everything else 4; uint8."""
    if isinstance(sequence, str):
        sequence = sequence.encode("latin-1", "replace")
    return np.minimum(CODES[np.frombuffer(sequence, dtype=np.uint8)], UNKNOWN)


def reverse_complement(codes: np.ndarray) -> np.ndarray:
    """Codes of the other strand, in its own orientation; unknown bases stay unknown."""
    return np.where(codes < UNKNOWN, 3 - codes, codes)[::-1]
