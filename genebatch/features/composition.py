"""What the sequence around a position is made of."""

from functools import lru_cache

import numpy as np

COLUMNS = ("gc_content", "sequence_complexity")
WORD = 3  # nt of the words whose entropy is the complexity


def gc_count(sequence: np.ndarray) -> int:
    """Number of G and C in a sequence of codes."""
    return np.count_nonzero(_strong(sequence))


def gc_share(sequence: np.ndarray) -> float:
    """Share of G and C in a sequence of codes; unknown bases are in its length."""
    return gc_count(sequence) / max(len(sequence), 1)


def gc_content(sequence: np.ndarray, starts: np.ndarray, width: int) -> np.ndarray:
    """`gc_share` of each window of `width` nt that begins at one of `starts`: (n,) float64."""
    total = np.concatenate([[0], np.cumsum(_strong(sequence))])
    return (total[starts + width] - total[starts]) / width


def composition_features(
    sequence: np.ndarray, starts: np.ndarray, width: int, triplets: np.ndarray
) -> dict[str, np.ndarray]:
    """GC content and sequence complexity of windows of a sequence.

    The GC content is the share of G and C in the window; an unknown base is neither. The complexity
    is the Shannon entropy in bits, not normalised, of the window's 3-mers that have no unknown
    base: 0 for a homopolymer or where nothing is known, 6 for 64 equally frequent words.

    Parameters
    ----------
    sequence : (m,) uint8
        Codes.
    starts : (n,) int
        First base of each window.
    width : int
        Length of a window in nt.
    triplets : (n, 64) int
        `kmers.kmer_counts` of the windows.

    Returns
    -------
    dict of (n,) float32
        Named and ordered as `COLUMNS`.
    """
    words, bits = np.zeros(len(starts)), np.zeros(len(starts))
    information = _count_bits(width)
    for count in triplets.T:  # one word after the other, so that no sum depends on the other rows
        words += count
        bits += information[count]
    words = np.maximum(words, 1)
    values = gc_content(sequence, starts, width), np.log2(words) - bits / words
    return {name: value.astype(np.float32) for name, value in zip(COLUMNS, values, strict=True)}


@lru_cache(maxsize=4)
def _count_bits(most: int) -> np.ndarray:
    """Information c log2 c of each count c from 0 to `most`."""
    counts = np.arange(most + 1)
    return counts * np.log2(np.maximum(counts, 1))


def _strong(sequence: np.ndarray) -> np.ndarray:
    return (sequence == 1) | (sequence == 2)
