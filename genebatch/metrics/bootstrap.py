"""Computes metrics on resampled groups, and intervals from the resamples."""

from collections.abc import Iterator, Mapping

import numpy as np
from scipy import sparse

from genebatch.io.files import InputError
from genebatch.metrics.binary import check_length, checked_weights, group_numbers
from genebatch.metrics.ranking import Ranking, rank

# With fewer groups an interval means little: of three groups, one resample in nine is a single
# group repeated. Its percentiles show which groups were drawn, not how other groups would score.
MIN_GROUPS = 10
MIN_REPLICATES = 20  # with fewer, the 2.5 % and 97.5 % points are the extremes
# Sums by score and replicate that are held at a time: 16 MB, in about five arrays.
MOST_SUMS = 2_000_000


class GroupDraws:
    """Resamples of the groups of some rows, shared by all that is computed on these rows.

    A draw takes as many groups as there are, with replacement; rows follow their group. Holds 8
    bytes for each draw and group, and 8 bytes a row.

    Attributes
    ----------
    group
        (rows,) number of each row's group.
    times
        (replicates, groups), how often each group is drawn.
    """

    def __init__(self, groups: np.ndarray, n_replicates: int, seed: int):
        self.group = group_numbers(groups).astype(np.intp)
        self.n_groups = int(self.group.max(initial=-1)) + 1
        self.times = np.array(list(group_draws(self.n_groups, n_replicates, seed)))

    def sums(self, values: np.ndarray) -> np.ndarray:
        """Sum the values of the rows of each group, (groups,)."""
        return np.bincount(self.group, values, self.n_groups)

    def ratios(self, sums: np.ndarray, total: np.ndarray) -> np.ndarray:
        """Divide resampled sums by resampled totals, (replicates, ...), NaN where these are 0.

        `sums` is (groups, ...), and `total` (groups,).
        """
        drawn, mass = self.times @ sums, self.times @ total
        with np.errstate(divide="ignore", invalid="ignore"):
            ratios = drawn / mass.reshape(-1, *[1] * (sums.ndim - 1))
        ratios[~(mass > 0)] = np.nan
        return ratios

    def average_precision(
        self, y: np.ndarray, ranking: Ranking, weight: np.ndarray | None = None
    ) -> np.ndarray:
        """Compute average precision on every resample, (replicates,).

        NaN where no positive row with a weight above zero is drawn. The weights are summed by
        group and run of equal scores once. Replicates are columns of a matrix product, as many at
        a time as `MOST_SUMS` allows.
        """
        positive, everything = self._by_run(np.asarray(y, dtype=bool), ranking, weight)
        result = np.full(len(self.times), np.nan)
        size = max(MOST_SUMS // max(positive.shape[0], 1), 1)
        for start in range(0, len(self.times) if positive.shape[0] else 0, size):
            times = np.ascontiguousarray(self.times[start : start + size].T)
            gained, called = positive @ times, everything @ times
            np.cumsum(called, axis=0, out=called)
            recalled = np.cumsum(gained, axis=0)
            total = recalled[-1].copy()
            np.divide(recalled, called, out=recalled, where=called > 0)
            recalled *= gained
            found = np.divide(recalled.sum(axis=0), total, out=total * np.nan, where=total > 0)
            result[start : start + size] = found
        return result

    def _by_run(
        self, y: np.ndarray, ranking: Ranking, weight: np.ndarray | None
    ) -> tuple[sparse.csr_matrix, sparse.csr_matrix]:
        """Weights of the positive rows and of all rows, both (runs, groups).

        Average precision needs only runs of equal scores with a positive row. The rows between two
        of them count to the lower one, those below the last one nowhere.
        """
        group = self.group[ranking.order]
        mass = np.ones(len(group)) if weight is None else weight[ranking.order]
        positive = np.flatnonzero(y[ranking.order])
        last = ranking.last
        end, start = np.unique(last[np.searchsorted(last, positive)], return_index=True)
        shape = (len(end), self.n_groups)
        used = slice(0, int(end[-1]) + 1 if len(end) else 0)
        of_positive = (mass[positive], group[positive], np.append(start, len(positive)))
        of_all = (mass[used], group[used], np.append(0, end + 1))
        matrices = [sparse.csr_matrix(parts, shape=shape) for parts in (of_positive, of_all)]
        for matrix in matrices:
            matrix.sum_duplicates()
        return matrices[0], matrices[1]


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
    Each score is sorted once. Holds about 50 bytes per row, and what `GroupDraws` holds.
    """
    y = np.asarray(y, dtype=bool)
    weight = None if weight is None else checked_weights(weight, y.size)
    if not y.any():
        return {name: np.full(n_replicates, np.nan) for name in scores}
    check_length("groups", groups, y.size)
    draws = GroupDraws(groups, n_replicates, seed)
    result = {}
    for name, score in scores.items():
        score = np.asarray(score, dtype=np.float64)
        check_length(f"score {name!r}", score, y.size)
        if np.isnan(score).any():
            raise InputError(f"score {name!r} is NaN in {np.isnan(score).sum():,} rows; drop them")
        result[name] = draws.average_precision(y, rank(score), weight)
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
    draws = GroupDraws(groups, n_replicates, seed)
    size = draws.group.size
    weight = np.ones(size) if weight is None else checked_weights(weight, size)
    sums = np.column_stack([draws.sums(weight * loss) for loss in values.values()])
    return dict(zip(values, draws.ratios(sums, draws.sums(weight)).T, strict=True))


def positive_groups(y: np.ndarray, groups: np.ndarray, weight: np.ndarray | None = None) -> int:
    """Count the groups with a positive row; where there are weights, of weight above zero."""
    y = np.asarray(y, dtype=bool)
    used = y if weight is None else y & (np.asarray(weight) > 0)
    return int(np.count_nonzero(np.bincount(group_numbers(groups), used)))


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


def group_draws(n_groups: int, n_replicates: int, seed: int) -> Iterator[np.ndarray]:
    """Draw groups with replacement; yield how often each is drawn, for each replicate."""
    generator = np.random.default_rng(seed)
    for _ in range(n_replicates):
        drawn = generator.integers(n_groups, size=n_groups)
        yield np.bincount(drawn, minlength=n_groups).astype(float)
