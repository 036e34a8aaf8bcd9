"""Computes metrics on resampled groups, and intervals from the resamples."""

from collections.abc import Iterator, Mapping
from typing import NamedTuple

import numpy as np

from genebatch.io.files import InputError
from genebatch.metrics.binary import check_length, checked_weights, last_of_ties

# With fewer groups an interval means little: of three groups, one resample in nine is a single
# group repeated. Its percentiles show which groups were drawn, not how other groups would score.
MIN_GROUPS = 10
MIN_REPLICATES = 20  # with fewer, the 2.5 % and 97.5 % points are the extremes


def bootstrap_average_precision(
    y: np.ndarray,
    scores: Mapping[str, np.ndarray],
    groups: np.ndarray,
    weight: np.ndarray | None = None,
    n_replicates: int = 500,
    seed: int = 0,
) -> dict[str, np.ndarray]:
    """Compute average precision on resampled groups, with the same draws for every score.

    A draw takes as many groups as there are, with replacement; rows follow their group. All scores
    share the draws, so differences between two scores are paired.

    Parameters
    ----------
    y : (n,) bool
        Which rows are positive.
    scores : dict of (n,)
        Scores of each candidate: probabilities, margins or any monotone function of them.
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
    for replicate, multiplicity in enumerate(group_draws(names.size, n_replicates, seed)):
        for name, rows in ranked.items():
            result[name][replicate] = rows.average_precision(multiplicity)
    return result


def bootstrap_mean(
    values: Mapping[str, np.ndarray],
    groups: np.ndarray,
    weight: np.ndarray | None = None,
    n_replicates: int = 500,
    seed: int = 0,
) -> dict[str, np.ndarray]:
    """Compute the weighted mean of a loss on resampled groups, with shared draws.

    Parameters
    ----------
    values : dict of (n,)
        Loss of each row, by candidate.
    groups, weight, n_replicates, seed
        As in `bootstrap_average_precision`; the draws are the same.

    Returns
    -------
    dict of (n_replicates,) float64
        NaN where a replicate has no weight.
    """
    names, group = np.unique(groups, return_inverse=True)
    weight = np.ones(group.size) if weight is None else checked_weights(weight, group.size)
    drawn = np.array(list(group_draws(names.size, n_replicates, seed)), dtype=np.float64)
    total = drawn @ np.bincount(group, weight)
    empty = np.full(n_replicates, np.nan)
    return {
        name: np.divide(
            drawn @ np.bincount(group, weight * loss), total, out=empty.copy(), where=total > 0
        )
        for name, loss in values.items()
    }


def positive_groups(y: np.ndarray, groups: np.ndarray, weight: np.ndarray | None = None) -> int:
    """Count the groups with a positive row; where there are weights, of weight above zero."""
    y = np.asarray(y, dtype=bool)
    used = y if weight is None else y & (np.asarray(weight) > 0)
    return int(np.unique(np.asarray(groups)[used]).size)


def interval(values: np.ndarray, n_groups: int, level: float = 0.95) -> tuple[float, float] | None:
    """Compute the percentile interval of the values that are not NaN.

    Parameters
    ----------
    values : (n,)
        One value per resample of the groups.
    n_groups : int
        Groups that hold positive rows (`positive_groups`).
    level : float
        Share of the values inside.

    Returns
    -------
    tuple of float, or None
        None if there are fewer than 10 such groups or fewer than 20 values; `why_no_interval`
        gives the reason.
    """
    values = np.asarray(values, dtype=np.float64)
    values = values[~np.isnan(values)]
    if n_groups < MIN_GROUPS or values.size < MIN_REPLICATES:
        return None
    low, high = np.quantile(values, [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)


def why_no_interval(name: str, n_groups: int) -> str:
    """Say why `interval` gave None for the class `name`."""
    if n_groups < MIN_GROUPS:
        plural = "s" if n_groups != 1 else ""
        return f"only {n_groups} test group{plural} with {name} rows, fewer than {MIN_GROUPS}"
    return "too few resamples have a positive row"


class _Ranked(NamedTuple):
    """Rows by falling score. Average precision needs only runs of ties with a positive row."""

    weight: np.ndarray  # (n,)
    group: np.ndarray  # (n,)
    positive: np.ndarray  # positions of the positive rows
    start: np.ndarray  # index into `positive` of the first positive row of each such run
    end: np.ndarray  # position of the last row of each such run

    def average_precision(self, multiplicity: np.ndarray) -> float:
        """Compute average precision with each row's weight times its group's multiplicity."""
        weight = self.weight * multiplicity[self.group]
        gained = np.add.reduceat(weight[self.positive], self.start)
        recalled = np.cumsum(gained)
        if not recalled[-1] > 0:
            return np.nan
        called = np.cumsum(weight)[self.end]
        precision = np.divide(recalled, called, out=np.zeros_like(recalled), where=called > 0)
        return float(gained @ precision / recalled[-1])


def _ranked(y: np.ndarray, score: np.ndarray, group: np.ndarray, weight: np.ndarray) -> _Ranked:
    order = np.argsort(-score, kind="stable")
    falling = score[order]
    last = last_of_ties(falling)
    positive = np.flatnonzero(y[order])
    end, start = np.unique(last[np.searchsorted(last, positive)], return_index=True)
    return _Ranked(weight[order], group[order], positive, start, end)


def group_draws(n_groups: int, n_replicates: int, seed: int) -> Iterator[np.ndarray]:
    """Draw groups with replacement; yield how often each is drawn, for each replicate."""
    generator = np.random.default_rng(seed)
    for _ in range(n_replicates):
        drawn = generator.integers(n_groups, size=n_groups)
        yield np.bincount(drawn, minlength=n_groups).astype(float)
