"""Average precision on resampled groups, and the interval that the resamples give."""

from collections.abc import Iterator, Mapping
from typing import NamedTuple

import numpy as np

from genebatch.files import InputError
from genebatch.metrics import check_length, checked_weights

MIN_REPLICATES = 20  # below this the 2.5 % and 97.5 % points are the extremes themselves


def bootstrap_average_precision(
    y: np.ndarray,
    scores: Mapping[str, np.ndarray],
    groups: np.ndarray,
    weight: np.ndarray | None = None,
    n_replicates: int = 500,
    seed: int = 0,
) -> dict[str, np.ndarray]:
    """Average precision on resampled groups, with the same groups drawn for every score.

    As many groups as there are, drawn with replacement; rows follow their group. The draws are
    shared, so that the difference of two scores is a paired one.

    Parameters
    ----------
    y : (n,) bool
        Which rows are positive.
    scores : dict of (n,)
        Any monotone score of each system: probabilities or margins.
    groups : (n,)
        Group of each row.
    weight : (n,), optional
        Row weights, multiplied by how often the row's group is drawn.
    n_replicates : int
        Number of draws.
    seed : int
        The same seed and groups give the same draws.

    Returns
    -------
    dict of (n_replicates,) float64
        NaN where a replicate has no positive row with a weight above zero. Tied scores count as
        in scikit-learn.

    Notes
    -----
    Each score is sorted once. Holds about 24 bytes per row and score.
    """
    y = np.asarray(y, dtype=bool)
    weight = np.ones(y.size) if weight is None else checked_weights(weight, y.size)
    if not y.any():
        return {name: np.full(n_replicates, np.nan) for name in scores}
    check_length("groups", groups, y.size)
    names, group = np.unique(groups, return_inverse=True)
    ranked = {}
    for name, score in scores.items():
        score = np.asarray(score, dtype=np.float64)
        check_length(f"score {name!r}", score, y.size)
        if np.isnan(score).any():
            raise InputError(f"score {name!r} is NaN in {np.isnan(score).sum():,} rows; drop them")
        ranked[name] = _ranked(y, score, group, weight)
    result = {name: np.empty(n_replicates) for name in scores}
    for replicate, multiplicity in enumerate(_draws(names.size, n_replicates, seed)):
        for name, rows in ranked.items():
            result[name][replicate] = rows.average_precision(multiplicity)
    return result


def interval(values: np.ndarray, level: float = 0.95) -> tuple[float, float] | None:
    """Percentile interval of the values that are not NaN; None if fewer than 20 are left."""
    values = np.asarray(values, dtype=np.float64)
    values = values[~np.isnan(values)]
    if values.size < MIN_REPLICATES:
        return None
    low, high = np.quantile(values, [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)


class _Ranked(NamedTuple):
    """Rows by falling score; only runs of tied scores that hold a positive row matter to AP."""

    weight: np.ndarray  # (n,)
    group: np.ndarray  # (n,)
    positive: np.ndarray  # places of the positive rows
    start: np.ndarray  # first of each run's places in `positive`
    end: np.ndarray  # last row of each such run

    def average_precision(self, multiplicity: np.ndarray) -> float:
        """Average precision with each row's weight times its group's multiplicity."""
        weight = self.weight * multiplicity[self.group]
        gained = np.add.reduceat(weight[self.positive], self.start)
        found = np.cumsum(gained)
        if not found[-1] > 0:
            return np.nan
        called = np.cumsum(weight)[self.end]
        precision = np.divide(found, called, out=np.zeros_like(found), where=called > 0)
        return float(gained @ precision / found[-1])


def _ranked(y: np.ndarray, score: np.ndarray, group: np.ndarray, weight: np.ndarray) -> _Ranked:
    order = np.argsort(-score, kind="stable")
    falling = score[order]
    last = np.flatnonzero(np.append(falling[1:] != falling[:-1], True))
    positive = np.flatnonzero(y[order])
    end, start = np.unique(last[np.searchsorted(last, positive)], return_index=True)
    return _Ranked(weight[order], group[order], positive, start, end)


def _draws(n_groups: int, n_replicates: int, seed: int) -> Iterator[np.ndarray]:
    """How often each group is drawn, one replicate after the other."""
    generator = np.random.default_rng(seed)
    for _ in range(n_replicates):
        drawn = generator.integers(n_groups, size=n_groups)
        yield np.bincount(drawn, minlength=n_groups).astype(float)
