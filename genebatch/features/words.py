"""Counts of the words of k nt around positions of a sequence."""

from itertools import product

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from genebatch.genome.nucleotides import UNKNOWN
from genebatch.io.files import InputError

BLOCK_CELLS = 2**18  # counted at a time: 2 MB as int64, about what a core's cache holds


def kmer_names(k: int) -> tuple[str, ...]:
    """Column names of the words of k nt, in the order of `kmer_counts`: `3mer_AAA`, `3mer_AAC`."""
    return tuple(f"{k}mer_{''.join(word)}" for word in product("ACGT", repeat=k))


def count_type(width: int) -> np.dtype:
    """Smallest unsigned type that counts a word that fills a window of `width` nt."""
    return np.min_scalar_type(width)


def kmer_counts(sequence: np.ndarray, starts: np.ndarray, width: int, k: int) -> np.ndarray:
    """Count the words of k nt inside each window of a sequence.

    A word counts where it lies wholly inside the window; overlapping words all count, so a window
    without unknown bases holds `width - k + 1`. A word that touches an unknown base is not counted.

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

    Returns
    -------
    (n, 4**k) of `count_type(width)`
        Words in alphabetical order, as `kmer_names` has them; stored by column, so that a column is
        contiguous. Holds some 8 MB and 5 bytes per nt of the sequence beside it while counting.

    Raises
    ------
    InputError
        Where a window holds no word.
    IndexError
        Where a window is not inside the sequence.
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
    counts = np.empty((4**k, len(starts)), dtype=count_type(width)).T
    if not len(starts):
        return counts
    windows = sliding_window_view(_words(sequence, k), words_inside)
    bins = 4**k + 1  # the last one takes the words with an unknown base
    rows = max(1, BLOCK_CELLS // max(bins, words_inside))
    offsets = bins * np.arange(rows)[:, None]
    for first in range(0, len(starts), rows):
        part = windows[starts[first : first + rows]]
        cells = part + offsets[: len(part)]
        found = np.bincount(cells.ravel(), minlength=bins * len(part)).astype(counts.dtype)
        counts[first : first + rows] = found.reshape(len(part), bins)[:, :-1]
    return counts


def _words(sequence: np.ndarray, k: int) -> np.ndarray:
    """Rank of the word that starts at each base, 4**k where it touches an unknown base."""
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
