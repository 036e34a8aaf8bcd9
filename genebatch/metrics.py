"""What a set of probabilities is worth: scores, reliability, and intervals from whole groups."""

from collections.abc import Callable, Iterator, Mapping, Sequence
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

from genebatch.files import InputError

# Fewer than a billion rows cannot tell a smaller probability from this one, and it bounds the
# log loss of one row at 20.7 nats. It needs float64: 1 - 1e-9 is 1 in float32.
CLIP = 1e-9
N_BINS = 15  # of equal width; the number of Guo et al. 2017
THRESHOLD = 0.5  # probability from which a row counts as called
SUM_TOLERANCE = 1e-3  # rounding of published scores; beyond it a row is no distribution
MIN_REPLICATES = 20  # below this the 2.5 % and 97.5 % points are the extremes themselves
COUNTS_ROWS = frozenset({"top_k"})  # metrics that weights do not change


class Metric(NamedTuple):
    """A number, or None with the reason why there is none."""

    value: float | None
    reason: str | None


def _f1(y: np.ndarray, p: np.ndarray, sample_weight: np.ndarray | None) -> float:
    return f1_score(y, p >= THRESHOLD, sample_weight=sample_weight, zero_division=0.0)


def _log_loss(y: np.ndarray, p: np.ndarray, sample_weight: np.ndarray | None) -> float:
    return log_loss(
        y, np.clip(p, CLIP, 1 - CLIP), sample_weight=sample_weight, labels=[False, True]
    )


def _ece(y: np.ndarray, p: np.ndarray, sample_weight: np.ndarray | None) -> float:
    """Weighted mean over the bins of |mean probability - observed share| (Naeini et al. 2015)."""
    table = reliability(y, p, sample_weight)
    gap = (table["mean_probability"] - table["observed"]).abs()
    return float(np.average(gap.to_numpy(), weights=table["weight"].to_numpy()))


def top_k(
    y: np.ndarray,
    probability: np.ndarray,
    weight: np.ndarray | None = None,
    groups: np.ndarray | None = None,
) -> Metric:
    """Share of a group's positive rows among its k best-scored rows, k being their number.

    The mean is over groups with at least one positive row. A tie across rank k counts with its
    expected value under random order: breaking ties against the score would punish rounded
    scores, and so flatter whatever is compared with them. `weight` is ignored, because k is a
    number of rows to look at and a row cannot be looked at 0.3 or 40 times.
    """
    if groups is None:
        return Metric(None, "no groups given")
    y, probability = np.asarray(y, dtype=bool), _probabilities(probability)
    if not y.any():
        return Metric(None, _missing(y, weighted=False, positive=True))
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
    """Make `compute` a metric that answers None and a reason on rows it is not defined for."""

    def metric(
        y: np.ndarray,
        probability: np.ndarray,
        weight: np.ndarray | None = None,
        groups: np.ndarray | None = None,
    ) -> Metric:
        y, probability = np.asarray(y, dtype=bool), _probabilities(probability)
        if weight is not None:
            weight = _weights(weight, y.size)
            used = weight > 0
            y, probability, weight = y[used], probability[used], weight[used]
        reason = _missing(y, weight is not None, positive, negative)
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


def score_table(
    codes: np.ndarray,
    probability: np.ndarray,
    classes: Sequence[str],
    weight: np.ndarray | None = None,
    groups: np.ndarray | None = None,
    system: str = "model",
) -> pl.DataFrame:
    """Every metric of every class, one a row, and of all classes together as class "all".

    Parameters
    ----------
    codes : (n,) int
        True class of each row as an index into `classes`.
    probability : (n, k)
        One column per class.
    classes : sequence of str
        Names of the columns.
    weight : (n,), optional
        Row weights; with them every metric is given twice, unweighted first. Metrics that count
        rows (`top_k`) have no weighted value.
    groups : (n,), optional
        Group of each row, for `top_k`.
    system : str
        What gave the probabilities; repeated in every row.

    Returns
    -------
    polars.DataFrame
        Columns `system, class, metric, weighted, value, reason`; `reason` says why a value is
        null.

    Raises
    ------
    InputError
        Shapes that do not fit, codes outside `classes`, or numbers that are no probabilities or
        no weights.

    Notes
    -----
    Holds one float64 copy of `probability`.
    """
    codes, probability = _checked(codes, probability, classes)
    rows = []
    for weighted in [False] if weight is None else [False, True]:
        used = weight if weighted else None
        for index, name in enumerate(classes):
            for key, metric in METRICS.items():
                if weighted and key in COUNTS_ROWS:
                    score = Metric(None, "counts rows, which weights do not change")
                else:
                    score = metric(codes == index, probability[:, index], used, groups)
                rows.append((system, name, key, weighted, *score))
        for key, score in _overall(codes, probability, classes, used).items():
            rows.append((system, "all", key, weighted, *score))
    schema = {
        "system": pl.String,
        "class": pl.String,
        "metric": pl.String,
        "weighted": pl.Boolean,
        "value": pl.Float64,
        "reason": pl.String,
    }
    return pl.DataFrame(rows, schema=schema, orient="row")


def _overall(
    codes: np.ndarray,
    probability: np.ndarray,
    classes: Sequence[str],
    weight: np.ndarray | None,
) -> dict[str, Metric]:
    """Metrics of all classes together; a macro mean exists only where every class has rows."""
    if weight is not None:
        weight = _weights(weight, codes.size)
        used = weight > 0
        codes, probability, weight = codes[used], probability[used], weight[used]
    if not codes.size:
        nothing = Metric(None, _missing(codes, weight is not None))
        names = ("accuracy", "macro_f1", "log_loss", "macro_average_precision")
        return dict.fromkeys(names, nothing)
    called = probability.argmax(axis=1)
    scores = {"accuracy": Metric(float(np.average(called == codes, weights=weight)), None)}
    macro = {"macro_f1": [], "macro_average_precision": []}
    for index in range(len(classes)):
        y = codes == index
        macro["macro_f1"].append(METRICS["f1"](y, (called == index).astype(float), weight))
        precision = METRICS["average_precision"](y, probability[:, index], weight)
        macro["macro_average_precision"].append(precision)
    scores["macro_f1"] = _mean(macro["macro_f1"], classes)
    scores["log_loss"] = _multiclass_log_loss(codes, probability, weight)
    scores["macro_average_precision"] = _mean(macro["macro_average_precision"], classes)
    return scores


def _mean(scores: list[Metric], classes: Sequence[str]) -> Metric:
    for name, score in zip(classes, scores, strict=True):
        if score.value is None:
            return Metric(None, f"{name}: {score.reason}")
    return Metric(float(np.mean([score.value for score in scores])), None)


def _multiclass_log_loss(
    codes: np.ndarray, probability: np.ndarray, weight: np.ndarray | None
) -> Metric:
    """Mean negative log probability of the true class, of rows that sum to one."""
    total = probability.sum(axis=1)
    off = np.abs(total - 1).max()
    if off > SUM_TOLERANCE:
        return Metric(None, f"the probabilities of a row do not sum to 1 (off by up to {off:.3g})")
    own = probability[np.arange(codes.size), codes] / total
    return Metric(float(np.average(-np.log(np.clip(own, CLIP, 1.0)), weights=weight)), None)


def reliability(
    y: np.ndarray,
    probability: np.ndarray,
    weight: np.ndarray | None = None,
    n_bins: int = N_BINS,
) -> pl.DataFrame:
    """Mean probability and observed share of positive rows in bins of equal width.

    The width is equal because positive rows are rare: of bins of equal mass all but the last
    would hold negative rows only, and that last one everything worth looking at. Fixed edges
    also let two systems, weighted or not, be compared bin by bin.

    Returns
    -------
    polars.DataFrame
        Columns `bin` (0 to n_bins - 1), `n` (rows), `weight` (their sum; n without weights),
        `mean_probability`, `observed`. Bins without rows, or without weight, are left out.
    """
    y, probability = np.asarray(y, dtype=bool), _probabilities(probability)
    weight = np.ones(y.size) if weight is None else _weights(weight, y.size)
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
    """Log loss in nats of each row from its log-odds, exact where the probability is 0 or 1."""
    margin = np.asarray(margin, dtype=np.float64)
    return np.logaddexp(0.0, np.where(np.asarray(y, dtype=bool), -margin, margin))


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
    weight = np.ones(y.size) if weight is None else _weights(weight, y.size)
    if not y.any():
        return {name: np.full(n_replicates, np.nan) for name in scores}
    _same_length("groups", groups, y.size)
    names, group = np.unique(groups, return_inverse=True)
    ranked = {}
    for name, score in scores.items():
        score = np.asarray(score, dtype=np.float64)
        _same_length(f"score {name!r}", score, y.size)
        if np.isnan(score).any():
            raise InputError(f"score {name!r} is NaN in {np.isnan(score).sum():,} rows; drop them")
        ranked[name] = _ranked(y, score, group, weight)
    result = {name: np.empty(n_replicates) for name in scores}
    for replicate, multiplicity in enumerate(_draws(names.size, n_replicates, seed)):
        for name, rows in ranked.items():
            result[name][replicate] = rows.average_precision(multiplicity)
    return result


def _draws(n_groups: int, n_replicates: int, seed: int) -> Iterator[np.ndarray]:
    """How often each group is drawn, one replicate after the other."""
    generator = np.random.default_rng(seed)
    for _ in range(n_replicates):
        drawn = generator.integers(n_groups, size=n_groups)
        yield np.bincount(drawn, minlength=n_groups).astype(float)


def interval(values: np.ndarray, level: float = 0.95) -> tuple[float, float] | None:
    """Percentile interval of the values that are not NaN; None if fewer than 20 are left."""
    values = np.asarray(values, dtype=np.float64)
    values = values[~np.isnan(values)]
    if values.size < MIN_REPLICATES:
        return None
    low, high = np.quantile(values, [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)


def corrections(
    codes: np.ndarray,
    base: np.ndarray,
    model: np.ndarray,
    classes: Sequence[str],
    weight: np.ndarray | None = None,
) -> pl.DataFrame:
    """Errors of the base scores that the model corrected, beside those it made itself.

    A call is the class with the highest probability, the first of `classes` on a tie.

    Returns
    -------
    polars.DataFrame
        Per true class and for "all": `class`, `n`, `corrected` (base wrong, model right), `made`
        (base right, model wrong); with weights also their sums as `n_weight`,
        `corrected_weight`, `made_weight`.
    """
    codes, base = _checked(codes, base, classes)
    _, model = _checked(codes, model, classes)
    base_right, model_right = base.argmax(axis=1) == codes, model.argmax(axis=1) == codes
    marks = {
        "n": np.ones(codes.size, dtype=bool),
        "corrected": ~base_right & model_right,
        "made": base_right & ~model_right,
    }

    def per_class(values: np.ndarray) -> np.ndarray:
        sums = np.bincount(codes, weights=values, minlength=len(classes))
        return np.append(sums, sums.sum())

    columns = {"class": [*classes, "all"]}
    columns |= {name: per_class(mark).astype(np.int64) for name, mark in marks.items()}
    if weight is not None:
        weight = _weights(weight, codes.size)
        columns |= {f"{name}_weight": per_class(weight * mark) for name, mark in marks.items()}
    return pl.DataFrame(columns)


def _missing(
    y: np.ndarray, weighted: bool, positive: bool = False, negative: bool = False
) -> str | None:
    """Which rows a metric needs and does not have."""
    kept = " with a weight above zero" if weighted else ""
    if not y.size:
        return f"no rows{kept}"
    if positive and not y.any():
        return f"no positive rows{kept}"
    if negative and y.all():
        return f"no negative rows{kept}"
    return None


def _probabilities(probability: np.ndarray) -> np.ndarray:
    """`probability` as float64 in [0, 1]; what rounding put outside is moved back."""
    probability = np.asarray(probability, dtype=np.float64)
    wrong = ~((probability >= -1e-6) & (probability <= 1 + 1e-6))
    if wrong.any():
        raise InputError(
            f"{wrong.sum():,} of {wrong.size:,} probabilities are NaN or outside 0 to 1 "
            f"(such as {probability[wrong][0]:.6g}); margins go through the logistic first"
        )
    return np.clip(probability, 0.0, 1.0)


def _weights(weight: np.ndarray, n_rows: int) -> np.ndarray:
    weight = np.asarray(weight, dtype=np.float64)
    _same_length("weight", weight, n_rows)
    wrong = ~(np.isfinite(weight) & (weight >= 0))
    if wrong.any():
        raise InputError(
            f"{wrong.sum():,} of {n_rows:,} row weights are negative, NaN or infinite "
            f"(such as {weight[wrong][0]:.6g}); give finite weights of 0 or more"
        )
    return weight


def _same_length(name: str, values: np.ndarray, n_rows: int) -> None:
    if np.shape(values) != (n_rows,):
        raise InputError(f"{name} has shape {np.shape(values)}, wanted one value per row: {n_rows}")


def _checked(
    codes: np.ndarray, probability: np.ndarray, classes: Sequence[str]
) -> tuple[np.ndarray, np.ndarray]:
    """Integer class codes, with one float64 probability per row and class."""
    codes, probability = np.asarray(codes, dtype=np.int64), _probabilities(probability)
    if probability.shape != (codes.size, len(classes)):
        raise InputError(
            f"probabilities have shape {probability.shape}, wanted {codes.size} rows x "
            f"{len(classes)} classes ({', '.join(classes)})"
        )
    if codes.size and not 0 <= codes.min() <= codes.max() < len(classes):
        raise InputError(
            f"class codes run from {codes.min()} to {codes.max()}, wanted 0 to "
            f"{len(classes) - 1}, an index into {', '.join(classes)}"
        )
    return codes, probability
