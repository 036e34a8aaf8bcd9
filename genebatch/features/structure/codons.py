"""Finds the stop and start codons of a gene, and what they leave open in each reading frame."""

from collections.abc import Iterable
from itertools import product

import numpy as np

from genebatch.genome.nucleotides import UNKNOWN

CODON = 3  # nt
CODONS = tuple("".join(codon) for codon in product("ACGT", repeat=CODON))
N_CODONS = len(CODONS)
STOPS = ("TAA", "TAG", "TGA")
START = "ATG"
NONE_AHEAD = 1 << 40  # position of a stop that does not come


def codon_numbers(codes: np.ndarray) -> np.ndarray:
    """Number of the codon that begins at each but the last two nucleotides; -1 with unknown ones.

    Returns
    -------
    (n - 2,) int16
        Place in `CODONS`; empty for fewer than three nucleotides.
    """
    if len(codes) < CODON:
        return np.empty(0, np.int16)
    wide = codes.astype(np.int16)
    first, second, third = wide[:-2], wide[1:-1], wide[2:]
    known = (first < UNKNOWN) & (second < UNKNOWN) & (third < UNKNOWN)
    return np.where(known, 16 * first + 4 * second + third, -1)


_STOPS = [CODONS.index(codon) for codon in STOPS]
_START = CODONS.index(START)


class Codons:
    """Where the stop and start codons of a gene begin.

    Parameters
    ----------
    stops, starts : (n,) int
        Gene positions of the first nt of the codons, ascending.
    length : int
        Length of the gene in nt.

    Notes
    -----
    Holds 4 bytes a codon, which is about one byte per four nt of the gene.
    """

    def __init__(self, stops: np.ndarray, starts: np.ndarray, length: int):
        self._stops, self._starts = _by_frame(stops), _by_frame(starts)
        self.length = length
        self.stop_share = len(stops) / max(length, 1)

    @classmethod
    def collect(cls, blocks: Iterable[np.ndarray]) -> "Codons":
        """Find the codons of a gene from its sequence, one block in memory at a time.

        `blocks` are the codes of successive stretches, in transcript orientation.
        """
        stops, starts = [], []
        offset, before = 0, np.empty(0, np.uint8)
        for block in blocks:
            codes = np.concatenate([before, block])
            numbers = codon_numbers(codes)
            stops.append(offset + np.flatnonzero(np.isin(numbers, _STOPS)))
            starts.append(offset + np.flatnonzero(numbers == _START))
            before = codes[-2:]
            offset += len(codes) - len(before)
        none = np.empty(0, np.int64)
        length = offset + len(before)
        return cls(np.concatenate([none, *stops]), np.concatenate([none, *starts]), length)

    def next_stops(self, firsts: np.ndarray) -> np.ndarray:
        """First nt of the first stop codon in frame from each codon on.

        Parameters
        ----------
        firsts : (...) int
            Gene positions at which a codon begins.

        Returns
        -------
        (...) int64
            `NONE_AHEAD` where no stop follows before the end of the gene.
        """
        found = np.full(firsts.shape, NONE_AHEAD)
        for frame, stops in enumerate(self._stops):
            here = firsts % CODON == frame
            number = np.searchsorted(stops, firsts[here])
            found[here] = np.append(stops.astype(np.int64), NONE_AHEAD)[number]
        return found

    def open_starts(self, ends: np.ndarray) -> np.ndarray:
        """First nt of the last start codon before each end that no stop follows up to there.

        Parameters
        ----------
        ends : (...) int
            Gene positions behind a codon: the last codon begins three nt earlier.

        Returns
        -------
        (...) int64
            -1 where the last stop comes after the last start, or there is no start.
        """
        found = np.full(ends.shape, -1)
        for frame in range(CODON):
            here = ends % CODON == frame
            last = ends[here] - CODON
            start, stop = (
                np.insert(places.astype(np.int64), 0, -1)[np.searchsorted(places, last, "right")]
                for places in (self._starts[frame], self._stops[frame])
            )
            found[here] = np.where(start > stop, start, -1)
        return found


def _by_frame(places: np.ndarray) -> list[np.ndarray]:
    """Places by their frame, the position modulo 3."""
    return [places[places % CODON == frame].astype(np.int32) for frame in range(CODON)]
