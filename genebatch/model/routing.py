"""Measures how near a row lies to the groups that each member was trained on."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import polars as pl

from genebatch.dataset.similarity import centroids, standardise

DISTANCE = "distance_"  # prefix of the names of columns that hold a distance


def make_routing(
    similarity: Mapping[str, Any],
    group_features: pl.DataFrame,
    plan: pl.DataFrame,
    members: Sequence[str],
) -> dict[str, Any]:
    """Give what `distances` needs for some batches.

    Parameters
    ----------
    similarity, group_features
        What `dataset.similarity.describe` gives.
    plan
        Columns `group` and `batch` of a plan.
    members
        Batches, in the order of the distances.
    """
    routing = {name: similarity[name] for name in ("columns", "mean", "scale")}
    return routing | {"centroids": centroids(group_features, plan, members).tolist()}


def distances(frame: pl.DataFrame, routing: Mapping[str, Any]) -> np.ndarray:
    """Compute the root mean square distance of rows to members' centroids, (rows, members).

    Parameters
    ----------
    frame
        Rows with the columns of the routing.
    routing
        `columns` (names), `mean` and `scale` (a number for each column) and `centroids` ((members,
        columns), standardised).
    """
    values = standardise(frame, routing)
    centres = np.asarray(routing["centroids"], float)
    squares = [((values - centre) ** 2).mean(axis=1) for centre in centres]
    return np.sqrt(np.column_stack(squares))


def distance_series(
    frame: pl.DataFrame, routing: Mapping[str, Any], members: Sequence[str]
) -> list[pl.Series]:
    """Compute the distances as float32 columns."""
    values = distances(frame, routing)
    return [
        pl.Series(name, values[:, column], dtype=pl.Float32)
        for column, name in enumerate(distance_names(members))
    ]


def distance_names(members: Sequence[str]) -> list[str]:
    """Name the columns that hold the distance of a row to each member's groups."""
    return [DISTANCE + member for member in members]
