"""How near a row lies to the groups that each member was trained on."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import polars as pl

from genebatch.dataset.similarity import centroids, standardise
from genebatch.io.files import read_json

DISTANCE = "distance_"  # begins the names of columns that hold a distance


def read_routing(inputs: Mapping[str, Any], members: Sequence[str]) -> dict[str, Any] | None:
    """What `distances` needs for some batches, or None where batches are not of similar groups.

    `inputs` has paths `similarity` and `group_features` (of the rule `describe_groups`) and `plan`.
    """
    if not inputs.get("similarity"):
        return None
    described = read_json(inputs["similarity"])
    features = pl.read_parquet(inputs["group_features"])
    plan = pl.read_parquet(inputs["plan"], columns=["group", "batch"])
    routing = {name: described[name] for name in ("columns", "mean", "scale")}
    return routing | {"centroids": centroids(features, plan, members).tolist()}


def distances(frame: pl.DataFrame, routing: Mapping[str, Any]) -> np.ndarray:
    """Root mean square distance of every row to each member's centroid, (rows, members).

    Parameters
    ----------
    frame
        Rows with the columns of the routing.
    routing
        `columns` (names), `mean` and `scale` (one number each) and `centroids` ((members,
        columns), standardised).
    """
    values = standardise(frame, routing)
    centres = np.asarray(routing["centroids"], float)
    squares = [((values - centre) ** 2).mean(axis=1) for centre in centres]
    return np.sqrt(np.column_stack(squares))


def distance_series(
    frame: pl.DataFrame, routing: Mapping[str, Any], members: Sequence[str]
) -> list[pl.Series]:
    """The distances as columns, float32."""
    found = distances(frame, routing)
    return [
        pl.Series(name, found[:, column], dtype=pl.Float32)
        for column, name in enumerate(distance_names(members))
    ]


def distance_names(members: Sequence[str]) -> list[str]:
    """Names of the columns that hold the distance of a row to each member's groups."""
    return [DISTANCE + member for member in members]
