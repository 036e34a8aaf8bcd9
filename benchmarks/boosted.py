"""Boosts one class on rows that are held in memory, with the engine and settings of the package."""

from typing import Any, NamedTuple

import numpy as np

from genebatch.config.schema import resolve
from genebatch.config.settings import Learner
from genebatch.dataset.feature_set import Block
from genebatch.model import boosting
from genebatch.model.boosting import Fit, Part


class OneClass(NamedTuple):
    """Rows of a block, and what a booster of one class needs of them; see `boosting.Part`."""

    block: Block
    y: np.ndarray
    weight: np.ndarray
    start: np.ndarray | None

    def binned(self, kept: np.ndarray, learner: Learner) -> Part:
        """Rows to boost on."""
        block = self.block[kept]
        size = (block.shape[1], learner.max_bin, learner.threads)
        return self._part(boosting.build_matrix([block], *size), kept)

    def plain(self, kept: np.ndarray, learner: Learner) -> Part:
        """Rows to predict."""
        return self._part(boosting.to_matrix(self.block[kept], learner.threads), kept)

    def _part(self, matrix: Any, kept: np.ndarray) -> Part:
        start = None if self.start is None else self.start[kept]
        return Part(matrix, self.y[kept], self.weight[kept], start)


def fit(rows: OneClass, train: np.ndarray, stop: np.ndarray, learner: Learner) -> Fit:
    """Boost on the rows of one mask, with all features, until those of the other no longer gain.

    There is no pilot: `learner.select` counts for nothing.
    """
    return boosting.fit_until_stopped(
        rows.binned(train, learner), rows.plain(stop, learner), learner
    )


def predict(fitted: Fit, rows: OneClass, kept: np.ndarray, learner: Learner) -> np.ndarray:
    """Log-odds of some rows."""
    part = rows.plain(kept, learner)
    return boosting.predict_margin(fitted.booster, part.matrix, part.margin)


def defaults(section: str = "learner") -> dict[str, Any]:
    """A section of the config with nothing but defaults; `auto` as for few rows."""
    dataset = {"path": "-", "group": "group", "label": "label", "classes": ["no", "yes"]}
    dataset |= {"scores": {name: f"{name}_score" for name in dataset["classes"]}}
    found = resolve({"dataset": dataset})[section]
    return Learner.build(found).for_rows(0).plain() if section == "learner" else found
