"""Picks the features that a booster is worth boosting on, by a pilot of few rounds on few rows."""

from dataclasses import replace

import numpy as np
import xgboost as xgb

from genebatch.config.settings import Learner, Selection
from genebatch.model.boosting import build_matrix, fit_trees, gains
from genebatch.training.batch import Batch
from genebatch.training.matrices import held_block

# Rounds are few, so that each has to count. With .05 a pilot of 40 rounds would see the features
# that matter most, time and again.
LEARNING_RATE = 0.3
LEAST_ROWS = 1000  # of each class in the draw, where there are as many


class Pilot:
    """A draw of the rows of a batch with all features, on which pilots are boosted.

    The rows are drawn and binned once. Each pilot sees only those of its own training rows: the
    others have weight zero. Without a selection every feature is picked, and nothing is drawn.

    Parameters
    ----------
    data
        The rows of a batch, or of all batches.
    learner
        Settings with numbers in place of `auto` (`Learner.for_rows`); `select` is the selection.
    """

    def __init__(self, data: Batch, learner: Learner):
        self.data, self.learner = data, learner
        self.every = np.arange(len(data.features.names))
        self.matrix: xgb.QuantileDMatrix | None = None
        select = learner.select
        if select is None or len(self.every) <= select.top:
            return
        self.drawn, self.factor = draw(data.codes, select, learner.seed)
        kept = np.zeros(len(data.codes), bool)
        kept[self.drawn] = True
        block = held_block(data, kept, None)
        size = (len(self.every), learner.max_bin, learner.threads)
        self.matrix = build_matrix([block], *size, types=data.features.types)

    def columns(
        self, column: int, train: np.ndarray, target: np.ndarray | None = None
    ) -> np.ndarray:
        """Pick the features of largest total gain for a class, by some training rows.

        Parameters
        ----------
        column
            The class.
        train
            (rows,) bool.
        target
            (rows,) in [0, 1], fitted in place of the class.

        Returns
        -------
        numpy.ndarray
            Places of the features, rising; at most `learner.select.top`. All features if no tree of
            the pilot found a split.
        """
        select = self.learner.select
        if self.matrix is None or select is None:
            return self.every
        data, drawn = self.data, self.drawn
        fitted = data.codes == column if target is None else target
        start = data.starts[data.classes[column]]
        fast = replace(self.learner, learning_rate=LEARNING_RATE)
        booster = fit_trees(
            self.matrix,
            fitted[drawn],
            np.where(train[drawn], data.weight[drawn] * self.factor, 0),
            None if start is None else start[drawn],
            select.rounds,
            fast,
        )
        gain = gains(booster, data.features)
        found = np.argsort(-gain, kind="stable")[: min(select.top, np.count_nonzero(gain))]
        return np.sort(found) if len(found) else self.every


def draw(codes: np.ndarray, select: Selection, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Draw rows of every class: their share of the draw, but at least `LEAST_ROWS` or all.

    Returns
    -------
    tuple of numpy.ndarray
        Places of the rows, rising, and a factor for the weight of each, so that the classes weigh
        as they do among all rows.
    """
    wanted = min(select.share * len(codes), select.max_rows)
    rng = np.random.default_rng(seed)
    places, factors = [], []
    for code in np.unique(codes):
        own = np.flatnonzero(codes == code)
        fair = wanted * len(own) / len(codes)
        size = min(len(own), max(round(fair), LEAST_ROWS))
        places.append(rng.choice(own, size, replace=False))
        factors.append(np.full(size, fair / size))
    order = np.argsort(np.concatenate(places))
    return np.concatenate(places)[order], np.concatenate(factors)[order]
