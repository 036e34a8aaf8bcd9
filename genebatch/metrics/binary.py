"""Computes metrics and the reliability of the probabilities of one class."""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import polars as pl
from sklearn.metrics import (
    average_precision_score,
    brier_score_loss,
    f1_score,
    log_loss,
    roc_auc_score,
)

from genebatch.io.files import InputError
from genebatch.io.numbers import beyond_rounding, digits

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


def _f1(y: np.ndarray, p: np.ndarray, sample_weight: np.ndarray | None) -> float:
    return f1_score(y, p >= THRESHOLD, sample_weight=sample_weight, zero_division=0.0)


def _log_loss(y: np.ndarray, p: np.ndarray, sample_weight: np.ndarray | None) -> float:
    return log_loss(
        y, np.clip(p, CLIP, 1 - CLIP), sample_weight=sample_weight, labels=[False, True]
    )


def _ece(y: np.ndarray, p: np.ndarray, sample_weight: np.ndarray | None) -> float:
    """Average |mean probability - observed share| over bins, weighted (Naeini et al. 2015)."""
    table = reliability(y, p, sample_weight)
    gap = (table["mean_probability"] - table["observed"]).abs()
    return float(np.average(gap.to_numpy(), weights=table["weight"].to_numpy()))


def top_k(
    y: np.ndarray,
    probability: np.ndarray,
    weight: np.ndarray | None = None,
    groups: np.ndarray | None = None,
) -> Metric:
    """Compute the share of positive rows among the k best-scored rows of a group.

    k is the number of the group's positive rows. The result is the mean over groups with at least
    one positive row. A tie across rank k counts with its expected value under random order:
    breaking ties against the score would punish rounded scores. `weight` is ignored, because k
    counts rows to look at, and a row cannot be looked at 0.3 or 40 times.
    """
    if groups is None:
        return Metric(None, "no groups given")
    y, probability = np.asarray(y, dtype=bool), checked_probabilities(probability)
    if not y.any():
        return Metric(None, missing_rows(y, weighted=False, positive=True))
    _, group = np.unique(groups, return_inverse=True)
    size, k = np.bincount(group), np.bincount(group, weights=y)
    order = np.lexsort((-probability, group))
    y, probability, group = y[order], probability[order], group[order]
    changes = (np.diff(group) != 0) | (np.diff(probability) != 0)
    run = np.flatnonzero(np.concatenate(([True], changes)))
    owner, length = group[run], np.diff(run, append=y.size)
    rank = run - (np.cumsum(size) - size)[owner]
    taken = np.clip(k[owner] - rank, 0, length)
    hits = np.bincount(owner, weights=taken * np.add.reduceat(y.astype(float), run) / length)
    return Metric(float(np.mean(hits[k > 0] / k[k > 0])), None)


def _guarded(compute: Callable[..., float], positive: bool = False, negative: bool = False):
    """Make a metric of `compute`: it gives None and a reason where it is not defined."""

    def metric(
        y: np.ndarray,
        probability: np.ndarray,
        weight: np.ndarray | None = None,
        groups: np.ndarray | None = None,
    ) -> Metric:
        y, probability = np.asarray(y, dtype=bool), checked_probabilities(probability)
        if weight is not None:
            weight = checked_weights(weight, y.size)
            used = weight > 0
            y, probability, weight = y[used], probability[used], weight[used]
        reason = missing_rows(y, weight is not None, positive, negative)
        if reason is not None:
            return Metric(None, reason)
        return Metric(float(compute(y, probability, sample_weight=weight)), None)

    return metric


METRICS: dict[str, Callable[..., Metric]] = {
    "average_precision": _guarded(average_precision_score, positive=True),
    "auc": _guarded(roc_auc_score, positive=True, negative=True),
    "f1": _guarded(_f1, positive=True),
    "log_loss": _guarded(_log_loss),
    "brier": _guarded(brier_score_loss),
    "ece": _guarded(_ece),
    "top_k": top_k,
}


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
    weight = np.ones(y.size) if weight is None else checked_weights(weight, y.size)
    index = np.minimum((probability * n_bins).astype(int), n_bins - 1)

    def total(values: np.ndarray | None) -> np.ndarray:
        return np.bincount(index, weights=values, minlength=n_bins)

    mass = total(weight)
    full = np.flatnonzero(mass > 0)
    return pl.DataFrame(
        {
            "bin": full,
            "n": total(None)[full],
            "weight": mass[full],
            "mean_probability": total(weight * probability)[full] / mass[full],
            "observed": total(weight * y)[full] / mass[full],
        }
    )


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


def last_of_ties(ordered: np.ndarray) -> np.ndarray:
    """Find the last position of each run of equal values, ascending; ties are called together."""
    return np.flatnonzero(np.append(ordered[1:] != ordered[:-1], True))


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
