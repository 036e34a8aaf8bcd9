"""Predicts with the trees of many boosters at once, in a fraction of XGBoost's time, bit for bit.

A row reaches the leftmost leaf that no split takes from it (QuickScorer: Lucchese et al., SIGIR
2015). Each split is a comparison and a mask of leaves, for 256 rows side by side. Values are
compared by their rank among the thresholds of a feature, in two bytes.
"""

import json
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cache, cached_property
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np
import xgboost as xgb
from scipy import sparse

from genebatch.dataset.feature_set import Block, Features
from genebatch.model.boosting import predict_margin, to_matrix

SIDE_BY_SIDE = 256  # rows; their masks stay in the processor's first cache
RANKED = 4_096  # rows that are ranked at once, by one thread
MOST_LEAVES = 64  # of a tree, one bit each
MOST_THRESHOLDS = 2**16 - 2  # of a feature, since ranks have two bytes
LARGEST_RANK = np.uint16(2**16 - 1)
# Trees x rows from which it is worth compiling: XGBoost takes some seconds for as many.
WORTH = 200_000_000
# Multiplied with a power of two it has the exponent in its highest six bits (a de Bruijn sequence).
SEQUENCE = 0x03F79D71B4CB0A89
EXPONENTS = np.empty(64, np.int64)
EXPONENTS[[(SEQUENCE << exponent) % 2**64 >> 58 for exponent in range(64)]] = np.arange(64)


class Scorer:
    """Predicts with boosters: by XGBoost at first, and by a `Forest` once that is worth it.

    Which of them predicts changes no bit.

    Parameters
    ----------
    boosters
        Of rows of all `features`.
    features
        The features that were offered in training.
    used
        Places of the features that some tree splits on, rising; there may be others.
    threads
        Threads of a prediction.
    """

    def __init__(
        self, boosters: Sequence[xgb.Booster], features: Features, used: np.ndarray, threads: int
    ):
        self.boosters, self.features, self.used = boosters, features, used
        self.threads = threads
        self.n_trees = sum(booster.num_boosted_rounds() for booster in boosters)
        self.asked = 0  # trees x rows until now

    @cached_property
    def forest(self) -> "Forest | None":
        """The trees, or None if they are not those of a `Forest`."""
        return flattened(self.boosters, self.used)

    def margins(self, block: Block, starts: Sequence[np.ndarray | None]) -> np.ndarray:
        """Log-odds of some rows by every booster, (boosters, rows) float32.

        Parameters
        ----------
        block
            The features `used`.
        starts
            Where each booster starts, (rows,) float32; None is its intercept, which XGBoost knows.
        """
        self.asked += self.n_trees * block.shape[0]
        known = all(start is not None for start in starts)
        if known and self.asked >= WORTH and self.forest is not None:
            margins = np.array(starts, np.float32)
            self.forest.add_to(margins, in_columns(block), self.threads)
            return margins
        margins = np.empty((len(self.boosters), block.shape[0]), np.float32)
        matrix = to_matrix(self.features.spread(block, self.used), self.threads)
        for number, (booster, start) in enumerate(zip(self.boosters, starts, strict=True)):
            margins[number] = predict_margin(booster, matrix, start)
        return margins


class Forest(NamedTuple):
    """Trees of several boosters as flat arrays.

    Attributes
    ----------
    thresholds
        Of each feature, rising.
    feature, rank, kept
        Of each split: twice the place of its feature, plus one if a missing value goes right; the
        least rank that goes right; the leaves that a row keeps if it goes right, as bits.
    splits, leaves
        Of each tree, the first of its splits and of its leaves; `splits` ends with their number.
    values
        Of the leaves of all trees, from left to right.
    booster
        Of each tree.
    """

    thresholds: list[np.ndarray]
    feature: np.ndarray
    rank: np.ndarray
    kept: np.ndarray
    splits: np.ndarray
    leaves: np.ndarray
    values: np.ndarray
    booster: np.ndarray

    def add_to(self, margins: np.ndarray, columns: np.ndarray, threads: int) -> None:
        """Add the trees of every booster to its margins, in their order, in float32.

        Parameters
        ----------
        margins
            (boosters, rows) float32, where each booster starts.
        columns
            (features, rows) float32, NaN where missing.
        threads
            `RANKED` rows are given to a thread at a time.
        """
        add, n_rows = compiled(), columns.shape[1]

        def part(start: int) -> None:
            stop = min(start + RANKED, n_rows)
            ranks = self._ranks(columns[:, start:stop])
            add(start, stop, ranks, *self[1:], EXPONENTS, margins)

        with ThreadPoolExecutor(threads) as pool:
            list(pool.map(part, range(0, n_rows, RANKED)))

    def _ranks(self, columns: np.ndarray) -> np.ndarray:
        """Ranks of values, (2 x features, rows): missing ones lowest, and once more highest."""
        ranks = np.empty((2 * len(columns), columns.shape[1]), np.uint16)
        for place, (column, thresholds) in enumerate(zip(columns, self.thresholds, strict=True)):
            found = np.searchsorted(thresholds, column, side="right").astype(np.uint16)
            missing = np.isnan(column)
            ranks[2 * place] = np.where(missing, 0, found)
            ranks[2 * place + 1] = np.where(missing, LARGEST_RANK, found)
        return ranks


def flattened(boosters: Sequence[xgb.Booster], used: np.ndarray) -> Forest | None:
    """The trees of boosters of the features at the places `used`.

    None if they do not fit: a tree has more than `MOST_LEAVES` leaves, a feature more than
    `MOST_THRESHOLDS` thresholds, a split goes by a set of categories, or boosters are not of plain
    trees.
    """
    splits: list[tuple[int, float, int, int, int]] = []
    firsts, leaves, values, owner = [0], [], [], []
    for number, booster in enumerate(boosters):
        model = json.loads(booster.save_raw("json"))["learner"]["gradient_booster"]
        if model["name"] != "gbtree":
            return None
        for tree in model["model"]["trees"]:
            if any(tree["split_type"]):
                return None
            own = _leaves_and_splits(tree, splits)
            if len(own) > MOST_LEAVES:
                return None
            leaves.append(len(values))
            values += own
            firsts.append(len(splits))
            owner.append(number)
    feature, condition, default_left, first, left = np.array(splits, np.float64).reshape(-1, 5).T
    places = np.searchsorted(used, feature)
    rank = np.empty(len(splits), np.uint16)
    thresholds = []
    for place in range(len(used)):
        own = places == place
        found = np.unique(condition[own].astype(np.float32))
        if len(found) > MOST_THRESHOLDS:
            return None
        rank[own] = np.searchsorted(found, condition[own].astype(np.float32)) + 1
        thresholds.append(found)
    most = max((b - a + 1 for a, b in pairwise(firsts)), default=1)
    kind = np.uint16 if most <= 16 else np.uint64
    lost = [((1 << int(n)) - 1) << int(a) for a, n in zip(first, left, strict=True)]
    kept = [~bits & int(np.iinfo(kind).max) for bits in lost]
    return Forest(
        thresholds,
        (2 * places + (default_left == 0)).astype(np.int32),
        rank,
        np.array(kept, kind),
        np.array(firsts, np.int64),
        np.array(leaves, np.int64),
        np.array(values, np.float32),
        np.array(owner, np.int32),
    )


def _leaves_and_splits(
    tree: Mapping[str, Any], splits: list[tuple[int, float, int, int, int]]
) -> list[float]:
    """The values of a tree's leaves from left to right; its splits are appended.

    A split has its feature, threshold, whether missing values go left, its first leaf, and how many
    leaves are on its left.
    """
    left, right = tree["left_children"], tree["right_children"]
    values: list[float] = []

    def walk(node: int) -> int:
        if left[node] < 0:
            values.append(tree["split_conditions"][node])
            return 1
        first = len(values)
        on_left = walk(left[node])
        on_right = walk(right[node])
        given = tree["split_indices"][node], tree["split_conditions"][node]
        splits.append((*given, tree["default_left"][node], first, on_left))
        return on_left + on_right

    walk(0)
    return values


def in_columns(block: Block) -> np.ndarray:
    """A block as (features, rows) float32; absent cells are NaN."""
    if not sparse.issparse(block):
        return np.ascontiguousarray(block.T, np.float32)
    columns = np.full(block.shape[::-1], np.nan, np.float32)
    rows = np.repeat(np.arange(block.shape[0]), np.diff(block.indptr))
    columns[block.indices, rows] = block.data
    return columns


@cache
def compiled() -> Any:
    """The loop over trees, compiled at the first call; Numba keeps it for later processes."""
    import numba

    try:
        return numba.njit(nogil=True, cache=True)(_add)
    except RuntimeError:  # no folder to keep it in
        return numba.njit(nogil=True)(_add)


def _add(
    start, stop, ranks, feature, rank, kept, splits, leaves, values, booster, exponents, margins
):
    """Add all trees to the margins of the rows from `start` to `stop`, whose ranks are given."""
    masks = np.empty(SIDE_BY_SIDE, kept.dtype)
    everything = np.zeros(1, kept.dtype)
    everything[0] = ~everything[0]
    for begin in range(start, stop, SIDE_BY_SIDE):
        end = min(begin + SIDE_BY_SIDE, stop)
        mask = masks[: end - begin]
        for tree in range(len(booster)):
            mask[:] = everything[0]
            for split in range(splits[tree], splits[tree + 1]):
                own = ranks[feature[split], begin - start : end - start]
                least, right = rank[split], kept[split]
                for row in range(len(mask)):
                    here = mask[row]
                    there = here & right
                    mask[row] = there if own[row] >= least else here
            margin = margins[booster[tree], begin:end]
            first = leaves[tree]
            for row in range(len(mask)):
                bits = np.uint64(mask[row])
                lowest = bits & (~bits + np.uint64(1))
                place = (lowest * np.uint64(SEQUENCE)) >> np.uint64(58)
                margin[row] += values[first + exponents[place]]
