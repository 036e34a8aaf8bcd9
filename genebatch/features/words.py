"""Counts words of k nt around positions of a sequence, and computes its composition there."""

from functools import lru_cache
from itertools import product

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from genebatch.genome.nucleotides import UNKNOWN
from genebatch.io.files import InputError

BLOCK_CELLS = 2**18  # counted at a time: 2 MB as int64, about the size of a core's cache
COMPOSITION = ("gc_content", "sequence_complexity")
COMPLEXITY_WORD = 3  # nt; the complexity is the entropy of the words of this length


def kmer_names(k: int) -> tuple[str, ...]:
    """Column names of the words of k nt, in the order of `kmer_counts`: `3mer_AAA`, `3mer_AAC`."""
    return tuple(f"{k}mer_{''.join(word)}" for word in product("ACGT", repeat=k))


def count_type(width: int) -> np.dtype:
    """Smallest unsigned type for the count of a word that fills a window of `width` nt."""
    return np.min_scalar_type(width)


def kmer_counts(
    sequence: np.ndarray, starts: np.ndarray, width: int, k: int, words: np.ndarray | None = None
) -> np.ndarray:
    """Count words of k nt inside each window of a sequence.

    A word counts if it lies wholly inside the window. Overlapping words all count, so a window
    without unknown bases holds `width - k + 1` words. A word with an unknown base does not count.

    Parameters
    ----------
    sequence : (m,) uint8
        Codes: A 0, C 1, G 2, T 3, everything else 4.
    starts : (n,) int
        First base of each window, in any order; windows may overlap.
    width : int
        Length of a window in nt.
    k : int
        Length of a word in nt.
    words : (m,) int, optional
        Places in `kmer_names` of the words that are counted, rising; all of them by default. Few
        words are counted several times as fast.

    Returns
    -------
    (n, 4**k) or (n, m) of `count_type(width)`
        Words in alphabetical order, as `kmer_names` has them. Stored by column, so that a column
        is contiguous. Counting also holds 8 MB, and 5 bytes per nt of the sequence.

    Raises
    ------
    InputError
        If a window is too short for a word.
    IndexError
        If a window is not inside the sequence.
    """
    starts = np.asarray(starts, dtype=np.int64)
    words_inside = width - k + 1
    if words_inside < 1:
        raise InputError(
            f"a window of {width} nt holds no word of {k} nt; set features.window to {k // 2} "
            "or more"
        )
    if len(starts) and not 0 <= starts.min() <= starts.max() <= len(sequence) - width:
        raise IndexError(
            f"windows of {width} nt from {starts.min()} to {starts.max() + width} are not inside "
            f"a sequence of {len(sequence)} nt"
        )
    words = np.arange(4**k) if words is None else np.asarray(words)
    counts = np.empty((len(words), len(starts)), dtype=count_type(width)).T
    if not len(starts):
        return counts
    bins = len(words) + 1  # the last bin is for other words and those with an unknown base
    bin_of = np.full(4**k + 1, len(words), np.int32)
    bin_of[words] = np.arange(len(words))
    windows = sliding_window_view(bin_of[_words(sequence, k)], words_inside)
    rows = max(1, BLOCK_CELLS // max(bins, words_inside))
    offsets = bins * np.arange(rows)[:, None]
    for first in range(0, len(starts), rows):
        part = windows[starts[first : first + rows]]
        cells = part + offsets[: len(part)]
        filled = np.bincount(cells.ravel(), minlength=bins * len(part)).astype(counts.dtype)
        counts[first : first + rows] = filled.reshape(len(part), bins)[:, :-1]
    return counts


def gc_count(sequence: np.ndarray) -> int:
    """Number of G and C in a sequence of codes."""
    return np.count_nonzero(_strong(sequence))


def gc_share(sequence: np.ndarray) -> float:
    """Share of G and C in a sequence of codes; unknown bases count in its length."""
    return gc_count(sequence) / max(len(sequence), 1)


def gc_content(sequence: np.ndarray, starts: np.ndarray, width: int) -> np.ndarray:
    """`gc_share` of each window of `width` nt that begins at one of `starts`: (n,) float64."""
    total = np.concatenate([[0], np.cumsum(_strong(sequence))])
    return (total[starts + width] - total[starts]) / width


def composition_features(
    sequence: np.ndarray, starts: np.ndarray, width: int, triplets: np.ndarray
) -> dict[str, np.ndarray]:
    """GC content and sequence complexity of windows of a sequence.

    GC content: the share of G and C in the window; an unknown base is neither. Complexity: the
    Shannon entropy in bits, not normalised, of the window's 3-mers without unknown bases. It is 0
    for a homopolymer and for a window of unknown bases, and 6 for 64 equally frequent words.

    Parameters
    ----------
    sequence : (m,) uint8
        Codes.
    starts : (n,) int
        First base of each window.
    width : int
        Length of a window in nt.
    triplets : (n, 64) int
        `kmer_counts` of the windows.

    Returns
    -------
    dict of (n,) float32
        Named and ordered as `COMPOSITION`.
    """
    words, bits = np.zeros(len(starts)), np.zeros(len(starts))
    information = _count_bits(width)
    for count in triplets.T:  # word by word, so that no sum depends on the other rows
        words += count
        bits += information[count]
    words = np.maximum(words, 1)
    values = gc_content(sequence, starts, width), np.log2(words) - bits / words
    columns = zip(COMPOSITION, values, strict=True)
    return {name: value.astype(np.float32) for name, value in columns}


@lru_cache(maxsize=4)
def _count_bits(most: int) -> np.ndarray:
    """Information c log2 c of each count c from 0 to `most`."""
    counts = np.arange(most + 1)
    return counts * np.log2(np.maximum(counts, 1))


def _strong(sequence: np.ndarray) -> np.ndarray:
    return (sequence == 1) | (sequence == 2)


def _words(sequence: np.ndarray, k: int) -> np.ndarray:
    """Rank of the word that starts at each base; 4**k if it has an unknown base."""
    n = len(sequence) - k + 1
    ranks = np.zeros(n, dtype=np.int32)
    unknown = np.zeros(n, dtype=bool)
    for shift in range(k):
        letters = sequence[shift : shift + n]
        ranks *= 4
        ranks += letters
        unknown |= letters >= UNKNOWN
    ranks[unknown] = 4**k
    return ranks
