"""Makes tables of metrics of all classes, and of errors corrected and made."""

from collections.abc import Sequence

import numpy as np
import polars as pl

from genebatch.io.files import InputError
from genebatch.metrics.binary import (
    COUNTS_ROWS,
    METRICS,
    Metric,
    checked_probabilities,
    checked_weights,
    missing_rows,
    own_log_loss,
)

SUM_TOLERANCE = 1e-3  # allows for the rounding of published scores


def score_table(
    codes: np.ndarray,
    probability: np.ndarray,
    classes: Sequence[str],
    weight: np.ndarray | None = None,
    groups: np.ndarray | None = None,
    candidate: str = "model",
) -> pl.DataFrame:
    """Compute every metric of every class, and of all classes together as class "all".

    Parameters
    ----------
    codes : (n,) int
        True class of each row as an index into `classes`.
    probability : (n, k)
        One column per class.
    classes : sequence of str
        Names of the columns.
    weight : (n,), optional
        Row weights. With them the table has every metric twice, unweighted first. Metrics that
        count rows (`top_k`) have no weighted value.
    groups : (n,), optional
        Group of each row, for `top_k`.
    candidate : str
        Name of the candidate that gave the probabilities; stands in every row.

    Returns
    -------
    polars.DataFrame
        Columns `system, class, metric, weighted, value, reason`, one row a metric; `reason` says
        why a value is null.

    Raises
    ------
    InputError
        If shapes do not fit, codes are outside `classes`, or values are no probabilities or no
        weights.

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
                rows.append((candidate, name, key, weighted, *score))
        for key, score in _overall(codes, probability, classes, used).items():
            rows.append((candidate, "all", key, weighted, *score))
    schema = {
        "system": pl.String,
        "class": pl.String,
        "metric": pl.String,
        "weighted": pl.Boolean,
        "value": pl.Float64,
        "reason": pl.String,
    }
    return pl.DataFrame(rows, schema=schema, orient="row")


def corrections(
    codes: np.ndarray,
    base: np.ndarray,
    model: np.ndarray,
    classes: Sequence[str],
    weight: np.ndarray | None = None,
) -> pl.DataFrame:
    """Count the errors of the base scores that the model corrected, and the errors it made.

    A row is called as the class with the highest probability; on a tie as the first of `classes`.

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
        weight = checked_weights(weight, codes.size)
        columns |= {f"{name}_weight": per_class(weight * mark) for name, mark in marks.items()}
    return pl.DataFrame(columns)


def _overall(
    codes: np.ndarray,
    probability: np.ndarray,
    classes: Sequence[str],
    weight: np.ndarray | None,
) -> dict[str, Metric]:
    """Compute metrics of all classes together; a macro mean needs rows of every class."""
    if weight is not None:
        weight = checked_weights(weight, codes.size)
        used = weight > 0
        codes, probability, weight = codes[used], probability[used], weight[used]
    if not codes.size:
        undefined = Metric(None, missing_rows(codes, weight is not None))
        names = ("accuracy", "macro_f1", "log_loss", "macro_average_precision")
        return dict.fromkeys(names, undefined)
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
    """Average the negative log probability of the true class; rows must sum to 1."""
    total = probability.sum(axis=1)
    off = np.abs(total - 1).max()
    if off > SUM_TOLERANCE:
        return Metric(None, f"the probabilities of a row do not sum to 1 (off by up to {off:.3g})")
    own = probability[np.arange(codes.size), codes] / total
    return Metric(float(np.average(own_log_loss(own), weights=weight)), None)


def _checked(
    codes: np.ndarray, probability: np.ndarray, classes: Sequence[str]
) -> tuple[np.ndarray, np.ndarray]:
    """Check codes and probabilities; give int64 codes and float64 (rows, classes)."""
    codes, probability = np.asarray(codes, dtype=np.int64), checked_probabilities(probability)
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
