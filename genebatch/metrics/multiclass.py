"""Makes tables of metrics of all classes, and of errors corrected and made."""

from collections.abc import Sequence

import numpy as np
import polars as pl

from genebatch.io.files import InputError
from genebatch.metrics.binary import (
    COUNTS_ROWS,
    METRICS,
    Metric,
    ScoredClass,
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
    Holds one float64 copy of `probability`, and the order of the rows by one class at a time.
    """
    codes, probability = _checked(codes, probability, classes)
    weights = {False: None}
    if weight is not None:
        weights[True] = checked_weights(weight, codes.size)
    found = {weighted: {} for weighted in weights}
    for index, name in enumerate(classes):
        scored = ScoredClass(codes == index, probability[:, index])
        for weighted, used in weights.items():
            found[weighted][name] = _of_class(scored, used, groups)
    called = probability.argmax(axis=1)
    rows = []
    for weighted, used in weights.items():
        overall = _overall(codes, called, probability, found[weighted], used)
        for name, scores in (*found[weighted].items(), ("all", overall)):
            rows += [(candidate, name, key, weighted, *score) for key, score in scores.items()]
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


def _of_class(
    scored: ScoredClass, weight: np.ndarray | None, groups: np.ndarray | None
) -> dict[str, Metric]:
    """Compute all metrics of one class; those that count rows have no weighted value."""
    counted = Metric(None, "counts rows, which weights do not change")
    return {
        key: counted
        if weight is not None and key in COUNTS_ROWS
        else metric.of(scored, weight, groups)
        for key, metric in METRICS.items()
    }


def _overall(
    codes: np.ndarray,
    called: np.ndarray,
    probability: np.ndarray,
    of_classes: dict[str, dict[str, Metric]],
    weight: np.ndarray | None,
) -> dict[str, Metric]:
    """Compute metrics of all classes together; a macro mean needs rows of every class."""
    if weight is not None and not weight.all():
        used = weight > 0
        codes, called = codes[used], called[used]
        probability, weight = probability[used], weight[used]
    if not codes.size:
        undefined = Metric(None, missing_rows(codes, weight is not None))
        names = ("accuracy", "macro_f1", "log_loss", "macro_average_precision")
        return dict.fromkeys(names, undefined)
    right = called == codes
    macro = {"f1": _f1_by_class(codes, called, right, of_classes, weight)}
    macro["average_precision"] = [scores["average_precision"] for scores in of_classes.values()]
    classes = list(of_classes)
    return {
        "accuracy": Metric(float(np.average(right, weights=weight)), None),
        "macro_f1": _mean(macro["f1"], classes),
        "log_loss": _multiclass_log_loss(codes, probability, weight),
        "macro_average_precision": _mean(macro["average_precision"], classes),
    }


def _f1_by_class(
    codes: np.ndarray,
    called: np.ndarray,
    right: np.ndarray,
    of_classes: dict[str, dict[str, Metric]],
    weight: np.ndarray | None,
) -> list[Metric]:
    """F1 of each class, where a row is called as its most probable class."""
    hits, both = (
        np.bincount(rows, masses, minlength=len(of_classes))
        for rows, masses in (
            (codes[right], None if weight is None else weight[right]),
            (np.append(codes, called), None if weight is None else np.append(weight, weight)),
        )
    )
    return [
        Metric(None, scores["f1"].reason)
        if scores["f1"].value is None
        else Metric(float(2 * hits[index] / both[index]), None)
        for index, scores in enumerate(of_classes.values())
    ]


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
