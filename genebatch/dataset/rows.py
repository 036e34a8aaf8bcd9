"""What is known about rows beside their features: identity, class, weight, base scores."""

from collections.abc import Collection, Mapping, Sequence
from typing import Any

import numpy as np
import polars as pl

from genebatch.dataset.columns import Features, Roles
from genebatch.metrics.binary import CLIP

MOST_OF_ONE = 1 - CLIP  # what the other classes may take together from that of the rest


def row_columns(features: Features, roles: Roles) -> list[str]:
    """Columns that `identity_columns` and `Features.select` read."""
    return [*dict.fromkeys([*features.names, *identity_sources(roles)])]


def identity_sources(roles: Roles) -> list[str]:
    """Columns that `identity_columns` reads."""
    wanted = [roles.group, roles.label, roles.weight, roles.position, *roles.scores.values()]
    return [name for name in wanted if name is not None]


def identity_columns(frame: pl.DataFrame, roles: Roles, dataset: Mapping[str, Any]) -> pl.DataFrame:
    """Everything about rows but their features, under names of our own."""
    label = pl.col(roles.label).cast(pl.String)
    if dataset["null_label"] is not None:
        label = label.fill_null(dataset["null_label"])
    columns = [pl.col(roles.group).alias("group"), label.alias("label")]
    if roles.position:
        columns.append(pl.col(roles.position).alias("position"))
    if roles.weight:
        columns.append(pl.col(roles.weight).cast(pl.Float64).alias("weight"))
    columns += [pl.col(roles.scores[name]).alias(f"score_{name}") for name in roles.scores]
    return frame.select(columns)


def identity_names(columns: Collection[str]) -> list[str]:
    """Which columns of a table of scores are identity columns, in their order."""
    known = ("group", "label", "position", "weight")
    return [name for name in columns if name in known or name.startswith("score_")]


def score_columns(classes: list[str]) -> dict[str, str]:
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
    """`probability_{class}` and `std_{class}` from two (rows, classes) arrays."""
    return [
        pl.Series(f"{prefix}_{name}", values[:, column])
        for prefix, values in (("probability", probability), ("std", deviation))
        for column, name in enumerate(classes)
    ]


def normalised(probabilities: np.ndarray, rest: int | None = None) -> np.ndarray:
    """One-against-rest probabilities of the classes as ones that sum to 1.

    Parameters
    ----------
    probabilities
        (..., classes), each above 0.
    rest
        The class of what is none of the others, if there is one. It gets what the others leave of
        1, and these stay as they are unless they sum to more than 1. Without it all are divided by
        their sum.
    """
    if rest is None:
        return probabilities / probabilities.sum(axis=-1, keepdims=True)
    found = probabilities.copy()
    found[..., rest] = 0
    total = found.sum(axis=-1, keepdims=True)
    found /= np.maximum(total / MOST_OF_ONE, 1)
    found[..., rest] = 1 - found.sum(axis=-1)
    return found


def rest_index(dataset: Mapping[str, Any]) -> int | None:
    """Place of `dataset.rest_class` among the classes, or None where there is none."""
    rest = dataset["rest_class"]
    return None if rest is None else dataset["classes"].index(rest)


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
