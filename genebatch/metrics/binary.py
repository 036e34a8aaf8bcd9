"""Computes metrics and the reliability of the probabilities of one class."""

from collections.abc import Callable
from functools import cached_property
from typing import NamedTuple

import numpy as np
import polars as pl

from genebatch.io.files import InputError
from genebatch.io.numbers import beyond_rounding, digits
from genebatch.metrics import ranking
from genebatch.metrics.ranking import Ranking

# Fewer than a billion rows cannot tell a smaller probability from this one. It limits the log loss
# of a row to 20.7 nats. It needs float64: 1 - 1e-9 is 1 in float32.
CLIP = 1e-9
N_BINS = 15  # of equal width, as in Guo et al. 2017
THRESHOLD = 0.5  # probability from which a row counts as called
COUNTS_ROWS = frozenset({"top_k"})  # metrics that ignore weights


class Metric(NamedTuple):
    """A value; or None, and the reason why there is no value."""

    value: float | None
    reason: str | None


class ScoredClass:
    """Labels and probabilities of one class. The rows are sorted once, when a metric needs it.

    Attributes
    ----------
    y
        (rows,) bool, the rows of the class.
    probability
        (rows,) float64.
    """

    def __init__(self, y: np.ndarray, probability: np.ndarray):
        self.y = np.asarray(y, dtype=bool)
        self.probability = checked_probabilities(probability)

    @cached_property
    def ranking(self) -> Ranking:
        """The rows by falling probability."""
        return ranking.rank(self.probability)

    @cached_property
    def losses(self) -> dict[str, np.ndarray]:
        """What `binary_losses` gives."""
        return binary_losses(self.y, self.probability)


class Measure(NamedTuple):
    """A metric of one class. It is None with a reason where it is not defined.

    Attributes
    ----------
    compute
        `compute(scored, weight, groups)`, called where the metric is defined.
    positive, negative
        Whether it needs rows of the class, and rows of the others, with a weight above zero.
    counts_rows
        Whether it ignores weights and needs groups.
    """

    compute: Callable[[ScoredClass, np.ndarray | None, np.ndarray | None], float]
    positive: bool = False
    negative: bool = False
    counts_rows: bool = False

    def __call__(
        self,
        y: np.ndarray,
        probability: np.ndarray,
        weight: np.ndarray | None = None,
        groups: np.ndarray | None = None,
    ) -> Metric:
        """Compute the metric from (rows,) arrays."""
        scored = ScoredClass(y, probability)
        if weight is not None:
            weight = checked_weights(weight, scored.y.size)
        return self.of(scored, weight, groups)

    def of(
        self,
        scored: ScoredClass,
        weight: np.ndarray | None = None,
        groups: np.ndarray | None = None,
    ) -> Metric:
        """Compute the metric; `weight` is checked already."""
        if self.counts_rows:
            weight = None
            if groups is None:
                return Metric(None, "no groups given")
        y = scored.y if weight is None else scored.y[weight > 0]
        reason = missing_rows(y, weight is not None, self.positive, self.negative)
        if reason is not None:
            return Metric(None, reason)
        return Metric(float(self.compute(scored, weight, groups)), None)


def _average_precision(scored: ScoredClass, weight: np.ndarray | None, _) -> float:
    return ranking.average_precision(ranking.called(scored.ranking, scored.y, weight))


def _auc(scored: ScoredClass, weight: np.ndarray | None, _) -> float:
    return ranking.auc(ranking.called(scored.ranking, scored.y, weight))


def _f1(scored: ScoredClass, weight: np.ndarray | None, _) -> float:
    called = scored.probability >= THRESHOLD
    mass = np.ones(called.size) if weight is None else weight
    return 2 * mass[called & scored.y].sum() / (mass[called].sum() + mass[scored.y].sum())


def _log_loss(scored: ScoredClass, weight: np.ndarray | None, _) -> float:
    return np.average(scored.losses["log_loss"], weights=weight)


def _brier(scored: ScoredClass, weight: np.ndarray | None, _) -> float:
    return np.average(scored.losses["brier"], weights=weight)


def _ece(scored: ScoredClass, weight: np.ndarray | None, _) -> float:
    """Average |mean probability - observed share| over bins, weighted (Naeini et al. 2015)."""
    table = reliability(scored.y, scored.probability, weight)
    gap = (table["mean_probability"] - table["observed"]).abs()
    return np.average(gap.to_numpy(), weights=table["weight"].to_numpy())


def _top_k(scored: ScoredClass, _, groups: np.ndarray) -> float:
    """Compute the share of positive rows among the k best-scored rows of a group.

    k is the number of the group's positive rows. The result is the mean over groups with at least
    one positive row. A tie across rank k counts with its expected value under random order:
    breaking ties against the score would punish rounded scores. Weights are ignored, because k
    counts rows to look at, and a row cannot be looked at 0.3 or 40 times.
    """
    group = group_numbers(groups)
    size, k = np.bincount(group), np.bincount(group, weights=scored.y)
    falling = scored.ranking.order
    order = falling[np.argsort(group[falling], kind="stable")]
    y, probability, group = scored.y[order], scored.probability[order], group[order]
    changes = (np.diff(group) != 0) | (np.diff(probability) != 0)
    run = np.flatnonzero(np.concatenate(([True], changes)))
    owner, length = group[run], np.diff(run, append=y.size)
    rank = run - (np.cumsum(size) - size)[owner]
    taken = np.clip(k[owner] - rank, 0, length)
    hits = np.bincount(owner, weights=taken * np.add.reduceat(y.astype(float), run) / length)
    return np.mean(hits[k > 0] / k[k > 0])


top_k = Measure(_top_k, positive=True, counts_rows=True)
METRICS: dict[str, Measure] = {
    "average_precision": Measure(_average_precision, positive=True),
    "auc": Measure(_auc, positive=True, negative=True),
    "f1": Measure(_f1, positive=True),
    "log_loss": Measure(_log_loss),
    "brier": Measure(_brier),
    "ece": Measure(_ece),
    "top_k": top_k,
}


def group_numbers(groups: np.ndarray) -> np.ndarray:
    """Number the groups in the order of their names: (rows,) in the narrowest unsigned type.

    NumPy sorts numbers of 16 bits in linear time.
    """
    groups = np.asarray(groups)
    if groups.dtype.kind in "iu" and groups.size and groups.min() >= 0:
        counts = np.bincount(groups) if groups.max() <= groups.size else None
        if counts is not None:
            number = (np.cumsum(counts > 0) - 1)[groups]
            return number.astype(np.min_scalar_type(number.max()))
    names, number = np.unique(groups, return_inverse=True)
    return number.astype(np.min_scalar_type(max(names.size - 1, 0)))


def reliability(
    y: np.ndarray,
    probability: np.ndarray,
    weight: np.ndarray | None = None,
    n_bins: int = N_BINS,
) -> pl.DataFrame:
    """Compute the mean probability and the observed share of positive rows in bins.

    Bins have equal widths, because positive rows are rare. With bins of equal mass, the last bin
    would hold nearly all positive rows. Fixed edges also let two candidates, weighted or not, be
    compared bin by bin.

    Returns
    -------
    polars.DataFrame
        Columns `bin` (0 to n_bins - 1), `n` (rows), `weight` (their sum; n without weights),
        `mean_probability`, `observed`. Bins without rows, or without weight, are left out.
    """
    y, probability = np.asarray(y, dtype=bool), checked_probabilities(probability)
    weight = None if weight is None else checked_weights(weight, y.size)
    index = np.minimum((probability * n_bins).astype(np.intp), n_bins - 1)

    def total(values: np.ndarray | None) -> np.ndarray:
        return np.bincount(index, weights=values, minlength=n_bins)

    counts = total(None)
    mass = counts.astype(np.float64) if weight is None else total(weight)
    sums = [total(values if weight is None else weight * values) for values in (probability, y)]
    full = np.flatnonzero(mass > 0)
    means = [values[full] / mass[full] for values in sums]
    names = ("bin", "n", "weight", "mean_probability", "observed")
    return pl.DataFrame(dict(zip(names, (full, counts[full], mass[full], *means), strict=True)))


def log_loss_rows(y: np.ndarray, margin: np.ndarray) -> np.ndarray:
    """Compute the log loss in nats of each row from log-odds, exactly near 0 and 1 too."""
    # log(1 + exp(x)), where x is the log-odds of the wrong label. np.logaddexp takes three times
    # as long: a tenth of a round of boosting.
    against = np.where(np.asarray(y, dtype=bool), -1.0, 1.0) * margin
    return np.maximum(against, 0.0) + np.log1p(np.exp(-np.abs(against)))


def own_log_loss(own: np.ndarray) -> np.ndarray:
    """Compute the log loss in nats of each row from the probability of its true class, clipped."""
    return -np.log(np.clip(own, CLIP, 1.0))


def binary_losses(y: np.ndarray, probability: np.ndarray) -> dict[str, np.ndarray]:
    """Compute the losses of each row by the probability of one class.

    They are `log_loss` (clipped, in nats) and `brier` (squared error); the mean of each is the
    metric of that name.
    """
    clipped = np.clip(probability, CLIP, 1 - CLIP)
    return {
        "log_loss": -np.log(np.where(y, clipped, 1 - clipped)),
        "brier": (probability - y) ** 2,
    }


def missing_rows(
    y: np.ndarray, weighted: bool, positive: bool = False, negative: bool = False
) -> str | None:
    """Name the rows that a metric needs and that are missing; None if none are."""
    kept = " with a weight above zero" if weighted else ""
    if not y.size:
        return f"no rows{kept}"
    if positive and not y.any():
        return f"no positive rows{kept}"
    if negative and y.all():
        return f"no negative rows{kept}"
    return None


def checked_probabilities(probability: np.ndarray) -> np.ndarray:
    """Check probabilities and give them as float64; rounding beyond [0, 1] is clipped."""
    probability = np.asarray(probability, dtype=np.float64)
    wrong = beyond_rounding(probability)
    if wrong.any():
        raise InputError(
            f"{wrong.sum():,} of {wrong.size:,} probabilities are NaN or outside 0 to 1 "
            f"(such as {digits(probability[wrong][0])}); margins go through the logistic first"
        )
    return np.clip(probability, 0.0, 1.0)


def checked_weights(weight: np.ndarray, n_rows: int) -> np.ndarray:
    """Check weights, finite and not below zero, and give them as float64, (n_rows,)."""
    weight = np.asarray(weight, dtype=np.float64)
    check_length("weight", weight, n_rows)
    wrong = ~(np.isfinite(weight) & (weight >= 0))
    if wrong.any():
        raise InputError(
            f"{wrong.sum():,} of {n_rows:,} row weights are negative, NaN or infinite "
            f"(such as {weight[wrong][0]:.6g}); give finite weights of 0 or more"
        )
    return weight


def check_length(name: str, values: np.ndarray, n_rows: int) -> None:
    """Raise unless `values` holds one value for each row."""
    if np.shape(values) != (n_rows,):
        raise InputError(f"{name} has shape {np.shape(values)}, wanted one value per row: {n_rows}")
