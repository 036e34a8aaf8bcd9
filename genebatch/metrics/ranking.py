"""Orders rows by a score once, for all metrics that need the order."""

from typing import NamedTuple

import numpy as np


class Ranking(NamedTuple):
    """The rows by falling score.

    Attributes
    ----------
    order
        (rows,) places of the rows; of rows with equal scores the first comes first.
    last
        Position in `order` of the last row of each run of equal scores: ties are called together.
    """

    order: np.ndarray
    last: np.ndarray


class Called(NamedTuple):
    """Weight of the rows at and above each distinct score, from the highest score down.

    Attributes
    ----------
    positive
        Of the positive rows.
    rows
        Of all rows.
    """

    positive: np.ndarray
    rows: np.ndarray


def rank(score: np.ndarray) -> Ranking:
    """Order rows by falling score, (n,) without NaN."""
    order = falling_order(score)
    return Ranking(order, last_of_ties(score[order]))


def falling_order(score: np.ndarray) -> np.ndarray:
    """Give the stable order of falling scores, (n,) without NaN."""
    with np.errstate(over="ignore"):  # what float32 does not hold becomes infinite and differs
        narrow = score.astype(np.float32)
    if not (narrow == score).all():
        return np.argsort(-score, kind="stable")
    # Scores that float32 holds, as most tables do, are sorted as integers, with the place of the
    # row in the lower half: a third of the time of a stable sort of float64.
    bits = (-narrow + np.float32(0)).view(np.uint32)  # + 0: no negative zero
    sign = np.uint32(1 << 31)
    keys = np.where(bits & sign, ~bits, bits | sign).astype(np.uint64)
    keys <<= np.uint64(32)
    keys |= np.arange(len(keys), dtype=np.uint64)
    keys.sort()
    return (keys & np.uint64(0xFFFFFFFF)).astype(np.int64)


def last_of_ties(ordered: np.ndarray) -> np.ndarray:
    """Find the last position of each run of equal values, ascending; ties are called together."""
    return np.flatnonzero(np.append(ordered[1:] != ordered[:-1], True))


def called(ranking: Ranking, y: np.ndarray, weight: np.ndarray | None = None) -> Called:
    """Sum the weights of called rows at each distinct score; without weights, count the rows."""
    order, last = ranking
    if weight is None:
        positive = np.cumsum(y[order])[last]
        return Called(positive.astype(np.float64), last + 1.0)
    mass = weight[order]
    return Called(np.cumsum(mass * y[order])[last], np.cumsum(mass)[last])


def average_precision(counts: Called) -> float:
    """Average the precision over the positive rows, without interpolation."""
    gained = np.diff(counts.positive, prepend=0.0)
    return float(gained @ precision(counts) / counts.positive[-1])


def precision(counts: Called) -> np.ndarray:
    """Share of positive rows among the called; 0 where no called row has a weight."""
    empty = np.zeros(len(counts.rows))
    return np.divide(counts.positive, counts.rows, out=empty, where=counts.rows > 0)


def auc(counts: Called) -> float:
    """Compute the area under the ROC curve; a pair of equal scores counts one half."""
    negative = counts.rows - counts.positive
    gained = np.diff(negative, prepend=0.0)
    middle = (counts.positive + np.append(0.0, counts.positive[:-1])) / 2
    return float(gained @ middle / (negative[-1] * counts.positive[-1]))


def roc_points(counts: Called) -> tuple[np.ndarray, np.ndarray]:
    """False and true positive rates from 0 to 1, without points on a straight line."""
    negative = np.append(0.0, counts.rows - counts.positive)
    positive = np.append(0.0, counts.positive)
    bends = (np.diff(negative, 2) != 0) | (np.diff(positive, 2) != 0)
    kept = np.concatenate([[True], bends, [True]])
    return negative[kept] / negative[-1], positive[kept] / positive[-1]


def precision_recall_points(counts: Called) -> tuple[np.ndarray, np.ndarray]:
    """Precision and recall, from a recall of 1 down to 0 with precision 1.

    Of points with the same recall only the first and the last are given.
    """
    gained = np.diff(counts.positive) != 0
    kept = np.concatenate([[True], gained[:-1] | gained[1:], [True]])[: len(counts.rows)]
    shares, recall = precision(counts)[kept], counts.positive[kept] / counts.positive[-1]
    return np.append(shares[::-1], 1.0), np.append(recall[::-1], 0.0)
