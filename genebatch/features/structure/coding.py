"""Scores codons: how much more likely they are where a gene is coding than elsewhere."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, ClassVar, Protocol, Self

import numpy as np

from genebatch.features.structure.codons import CODON, N_CODONS, Codons, codon_numbers
from genebatch.io.files import InputError

# Neighbouring pairs are not independent, so their scores say less than their sum. Flat from .3 to
# 1 on real genes.
PAIR_SHARE = 0.6
PRIOR = 20.0  # number of pairs by which the share of a codon alone counts
BLOCK = 3 * 2_730  # nt between the kept cumulative scores; a multiple of a codon
BLOCKS = 64  # blocks of scores that are held; 64 kB each

Fetch = Callable[[int, int], np.ndarray]


class Coding(Protocol):
    """Cumulative score of the codons of a gene in each reading frame."""

    def cumulative(self, places: np.ndarray) -> np.ndarray:
        """Score of all codons that begin before each place, in its frame.

        The difference between two places of one frame is the score of the codons between them: the
        log of their probability where the gene is coding, over that elsewhere.
        """


class OpenFrames:
    """Scores every codon alike, for not being a stop: nothing is learned.

    Elsewhere a codon is a stop as often as three nt of the gene are one.
    """

    def __init__(self, codons: Codons):
        self._per_nt = -np.log1p(-codons.stop_share) / CODON

    def cumulative(self, places: np.ndarray) -> np.ndarray:
        """See `Coding`."""
        return self._per_nt * places


@dataclass(frozen=True)
class CodonPairs:
    """Scores of codons behind the codon before them.

    Parameters
    ----------
    scores : (64, 64) float64
        By the codon before and the codon, in the order of `codons.codon_numbers`.
    """

    scores: np.ndarray
    SHAPE: ClassVar[tuple[int, int]] = (N_CODONS, N_CODONS)

    @classmethod
    def learn(cls, coding: np.ndarray, elsewhere: np.ndarray) -> Self:
        """Learn the scores from counts of pairs in coding exons and of pairs anywhere, (64, 64)."""
        log = np.log(_shares(coding)) - np.log(_shares(elsewhere))
        return cls(np.round(PAIR_SHARE * log, 3))

    @classmethod
    def build(cls, values: Any) -> Self:
        """Build from rows of numbers.

        Raises
        ------
        InputError
            If they are not 64 rows of 64 finite numbers.
        """
        scores = np.asarray(values, np.float64)
        if scores.shape != cls.SHAPE or not np.isfinite(scores).all():
            raise InputError(
                f"codon pairs: wanted {N_CODONS} rows of {N_CODONS} finite numbers, got the shape "
                f"{scores.shape}"
            )
        return cls(scores)

    def plain(self) -> list[list[float]]:
        """The scores as JSON holds them."""
        return self.scores.tolist()


class PairScores:
    """Scores codons by the pairs that they are in.

    Parameters
    ----------
    pairs
        Scores of pairs.
    fetch
        Gives the codes of the gene between two positions.
    length
        Length of the gene in nt.

    Notes
    -----
    Keeps the cumulative scores at every `BLOCK` nt, and computes those between them from the
    sequence when they are asked for.
    """

    def __init__(self, pairs: CodonPairs, fetch: Fetch, length: int):
        self._pairs, self._fetch, self._length = pairs, fetch, length
        sums = [self._block_scores(start).reshape(-1, CODON).sum(0) for start in self._starts()]
        self._before = np.concatenate([np.zeros((1, CODON)), np.cumsum(sums, axis=0)])
        self._cumulative = lru_cache(BLOCKS)(self._block_cumulative)

    def cumulative(self, places: np.ndarray) -> np.ndarray:
        """See `Coding`."""
        flat = np.clip(places.ravel(), 0, self._length)
        block = flat // BLOCK
        values = np.empty(len(flat))
        for number in np.unique(block):
            here = block == number
            values[here] = self._cumulative(int(number))[flat[here] - number * BLOCK]
        return values.reshape(places.shape)

    def _starts(self) -> range:
        return range(0, self._length, BLOCK)

    def _block_scores(self, start: int) -> np.ndarray:
        """Score of the codon at each of `BLOCK` positions; 0 where a codon is not known."""
        first, stop = max(start - CODON, 0), min(start + BLOCK + CODON - 1, self._length)
        numbers = codon_numbers(self._fetch(first, stop))
        padded = np.full(BLOCK + CODON, -1, np.int16)
        at = CODON - (start - first)
        padded[at : at + len(numbers)] = numbers[: BLOCK + CODON - at]
        before, codon = padded[:-CODON], padded[CODON:]
        known = (before >= 0) & (codon >= 0)
        return np.where(known, self._pairs.scores[before, codon], 0)

    def _block_cumulative(self, number: int) -> np.ndarray:
        """Cumulative scores at the places of a block."""
        scores = self._block_scores(number * BLOCK).reshape(-1, CODON)
        sums = np.cumsum(scores, axis=0) - scores + self._before[number]
        return sums.ravel()


def count_pairs(codes: np.ndarray, step: int) -> np.ndarray:
    """Count pairs of successive codons from the first nt on, (64, 64) int64.

    `step` is 3 to count in frame, 1 to count in all three frames.
    """
    numbers = codon_numbers(codes)
    codon = numbers[CODON::step]
    before = numbers[::step][: len(codon)]
    known = (before >= 0) & (codon >= 0)
    at = before[known].astype(np.int64) * N_CODONS + codon[known]
    return np.bincount(at, minlength=N_CODONS**2).reshape(N_CODONS, N_CODONS)


def _shares(counts: np.ndarray) -> np.ndarray:
    """Probability of each codon behind each codon, smoothed towards that of the codon alone."""
    alone = (counts.sum(axis=0) + 1) / (counts.sum() + N_CODONS)
    return (counts + PRIOR * alone) / (counts.sum(axis=1, keepdims=True) + PRIOR)
