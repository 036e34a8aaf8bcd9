"""Gives what is known about rows beside their features: identity, class, weight, base scores."""

from collections.abc import Collection, Sequence

import numpy as np
import polars as pl

from genebatch.config.settings import Labels
from genebatch.metrics.binary import CLIP

ROW_KEYS = ("group", "label", "position")  # by which rows of two tables are compared
MOST_OF_ONE = 1 - CLIP  # largest sum of the other classes, so that P(rest) stays above 0


def identity_sources(labels: Labels) -> list[str]:
    """Columns of the input table that `identity_columns` reads."""
    scores = (labels.scores or {}).values()
    wanted = [labels.group, labels.label, labels.weight, labels.position, *scores]
    return [name for name in wanted if name is not None]


def identity_columns(frame: pl.DataFrame, labels: Labels) -> pl.DataFrame:
    """Give everything about rows but their features, under names of our own.

    Columns: `group`, `label` (text), and where the table has them `position`, `weight` (float64)
    and `score_{class}`.
    """
    label = frame[labels.label].cast(pl.String)
    if labels.null_label is not None:
        label = label.fill_null(labels.null_label)
    columns = [frame[labels.group].alias("group"), label.alias("label")]
    if labels.position:
        columns.append(frame[labels.position].alias("position"))
    if labels.weight:
        columns.append(frame[labels.weight].cast(pl.Float64).alias("weight"))
    scores = (labels.scores or {}).items()
    # The analysis refuses scores that are further outside than rounding.
    columns += [frame[column].clip(0, 1).alias(f"score_{name}") for name, column in scores]
    return pl.DataFrame(columns)


def identity_names(columns: Collection[str]) -> list[str]:
    """Which columns of a table of scores are identity columns, in their order."""
    known = ("group", "label", "position", "weight")
    return [name for name in columns if name in known or name.startswith("score_")]


def score_columns(classes: Sequence[str]) -> dict[str, str]:
    """Name of the base-score column of each class among the identity columns."""
    return {name: f"score_{name}" for name in classes}


def base_scores(rows: pl.DataFrame, classes: Sequence[str]) -> dict[str, np.ndarray]:
    """Base scores as given, (rows, classes), as the system `base`; none where there are none."""
    columns = list(score_columns(list(classes)).values())
    if not set(columns) <= set(rows.columns):
        return {}
    return {"base": rows.select(columns).to_numpy().astype(np.float64)}


def probability_columns(
    classes: Sequence[str], probability: np.ndarray, deviation: np.ndarray
) -> list[pl.Series]:
    """`probability_{class}` and `std_{class}` from two (rows, classes) arrays; NaN is null."""
    return [
        pl.Series(f"{prefix}_{name}", values[:, column], nan_to_null=True)
        for prefix, values in (("probability", probability), ("std", deviation))
        for column, name in enumerate(classes)
    ]


def normalised(probabilities: np.ndarray, rest: int | None = None) -> np.ndarray:
    """Turn one-against-rest probabilities of the classes into probabilities that sum to 1.

    Parameters
    ----------
    probabilities
        (..., classes), each above 0.
    rest
        Place of the class of what is none of the others, or None. P(rest) = 1 - sum of the other
        classes; these stay as they are, unless they sum to more than 1. Without it each class is
        divided by the sum of all.
    """
    if rest is None:
        return probabilities / probabilities.sum(axis=-1, keepdims=True)
    normal = probabilities.copy()
    normal[..., rest] = 0
    total = normal.sum(axis=-1, keepdims=True)
    normal /= np.maximum(total / MOST_OF_ONE, 1)
    normal[..., rest] = 1 - normal.sum(axis=-1)
    return normal


def label_codes(labels: pl.Series, classes: Sequence[str], null_label: str | None) -> np.ndarray:
    """Class index of each label; an empty one counts as `null_label`."""
    text = labels.cast(pl.String)
    if null_label is not None:
        text = text.fill_null(null_label)
    return text.replace_strict(classes, range(len(classes)), return_dtype=pl.Int64).to_numpy()


def group_codes(rows: pl.DataFrame) -> np.ndarray:
    """Place of each row's group among the sorted names of all, (rows,) int64."""
    return rows["group"].rank("dense").to_numpy().astype(np.int64) - 1


def row_weights(rows: pl.DataFrame, use_weights: bool) -> np.ndarray:
    """Weights for fitting, (rows,): ones where there are none or they are not used."""
    if use_weights and "weight" in rows.columns:
        return rows["weight"].to_numpy()
    return np.ones(rows.height)


def plain_weights(rows: pl.DataFrame) -> np.ndarray | None:
    """Weights for metrics, or None where the data set has none."""
    return rows["weight"].to_numpy() if "weight" in rows.columns else None
