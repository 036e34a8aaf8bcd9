"""Explains a finished model: SHAP values of rows, and the gain of its trees."""

import numpy as np
import polars as pl

from genebatch.dataset.columns import START, own_name
from genebatch.model import boosting
from genebatch.model.combiners import member_weights
from genebatch.model.ensemble import EnsembleModel


def shares(model: EnsembleModel) -> np.ndarray:
    """Share of every member in an explanation, (members,); they sum to 1.

    They are the combiner's weights, summed over classes. Where weights depend on the row, all
    members count alike.
    """
    name, parameters = model.combiner["name"], model.combiner["parameters"]
    weights = member_weights(name, parameters, len(model.members))
    if weights is None or not weights.sum():
        weights = np.ones(len(model.members))
    return weights / weights.sum()


def contributions(model: EnsembleModel, frame: pl.DataFrame) -> np.ndarray:
    """SHAP values of the raw log-odds, (classes, rows, used features + 1) float32.

    The last column is what is known before any feature: the log-odds that boosters start from plus
    the mean of the trees. Columns sum to the log-odds of the class before calibration; of several
    members they are the mean by `shares`. Uses XGBoost's TreeSHAP (Lundberg et al., 2020).
    """
    block = model.features.some(model.used).select(frame)
    matrix = boosting.to_matrix(model.features.spread(block, model.used), model.threads)
    starts, weights = model.starts(frame), shares(model)
    places = [*model.used.tolist(), len(model.features.names)]
    total = np.zeros((len(model.classes), frame.height, len(places)), np.float32)
    for column, start in enumerate(starts):
        for member, weight in zip(model.members, weights, strict=True):
            if weight:
                own = boosting.contributions(member.boosters[column], matrix, start)
                total[column] += np.float32(weight) * own[:, places]
    return total


def shap_table(model: EnsembleModel, leading: pl.DataFrame, values: np.ndarray) -> pl.DataFrame:
    """Put SHAP values into a table, class after class.

    Parameters
    ----------
    model
        The model.
    leading
        Columns in front of them, a row for each row explained.
    values
        What `contributions` gives.

    Returns
    -------
    polars.DataFrame
        The columns of `leading`, `class`, `(start)` and one column for each used feature. A name of
        `leading` or `class` that a feature has begins with `row.`.
    """
    names = model.feature_names_in_.tolist()
    taken = set(names)
    leading = leading.rename({name: own_name(name, taken) for name in leading.columns})
    label = own_name("class", taken)
    return pl.concat(
        leading.with_columns(
            pl.lit(name).alias(label),
            pl.Series(START, of_class[:, -1]),
            *(pl.Series(feature, of_class[:, n]) for n, feature in enumerate(names)),
        )
        for name, of_class in zip(model.classes, values, strict=True)
    )


def explained(model: EnsembleModel, frame: pl.DataFrame, first: int = 0) -> pl.DataFrame:
    """`EnsembleModel.explain` of a frame in memory; `first` is the number of its first row."""
    rows = pl.DataFrame({"row": np.arange(first, first + frame.height)})
    return shap_table(model, rows, contributions(model, frame))


def importances(model: EnsembleModel, frame: pl.DataFrame | None) -> pl.DataFrame:
    """`EnsembleModel.feature_importance`, with SHAP values of a frame in memory if it is given."""
    names, weights = model.feature_names_in_.tolist(), shares(model)
    values = None if frame is None else np.abs(contributions(model, frame))
    tables = []
    for column, label in enumerate(model.classes):
        gain = np.zeros(len(model.features.names))
        for member, weight in zip(model.members, weights, strict=True):
            gain += weight * boosting.gains(member.boosters[column], model.features)
        shap = None
        if values is not None:
            shap = values[column, :, :-1].mean(axis=0, dtype=np.float64)
        table = pl.DataFrame({"feature": names, "gain": gain[model.used]})
        tables.append(
            table.with_columns(
                pl.lit(label).alias("class"),
                pl.Series("mean_abs_shap", shap, dtype=pl.Float64)
                if shap is not None
                else pl.lit(None, pl.Float64).alias("mean_abs_shap"),
            ).select("feature", "class", "gain", "mean_abs_shap")
        )
    order = "gain" if values is None else "mean_abs_shap"
    return pl.concat(tables).sort(order, "feature", descending=[True, False])
