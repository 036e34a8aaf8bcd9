"""Explains a finished model: SHAP values of rows, the gain of its trees, and tables of both."""

from collections.abc import Mapping, Sequence

import numpy as np
import polars as pl

from genebatch.dataset.columns import START, own_name
from genebatch.model import boosting
from genebatch.model.combiners import member_weights
from genebatch.model.ensemble import EnsembleModel

Rise = tuple[float | None, float | None]  # of a log loss, and its standard error


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


def gains(model: EnsembleModel) -> np.ndarray:
    """Gain of every used feature by class, the mean of the members by `shares`.

    (classes, used features) float64.
    """
    total = np.zeros((len(model.classes), len(model.used)))
    for member, share in zip(model.members, shares(model), strict=True):
        for column, booster in enumerate(member.boosters):
            total[column] += share * boosting.gains(booster, model.features)[model.used]
    return total


def importances(model: EnsembleModel, frame: pl.DataFrame | None) -> pl.DataFrame:
    """`EnsembleModel.feature_importance`, with SHAP values of a frame in memory if it is given."""
    shap: Sequence[np.ndarray | None] = [None] * len(model.classes)
    if frame is not None:
        of_rows = np.abs(contributions(model, frame)[:, :, :-1])
        shap = of_rows.mean(axis=1, dtype=np.float64)
    table = pl.concat(
        pl.DataFrame(
            {
                "feature": model.feature_names_in_.tolist(),
                "class": [label] * len(model.used),
                "gain": gain,
                "mean_abs_shap": mean,
            },
            schema_overrides={"mean_abs_shap": pl.Float64},
        )
        for label, gain, mean in zip(model.classes, gains(model), shap, strict=True)
    )
    order = "gain" if frame is None else "mean_abs_shap"
    return table.sort(order, "feature", descending=[True, False])


def feature_table(
    label: str, family_of: Mapping[str, str], values: np.ndarray, gain: np.ndarray
) -> pl.DataFrame:
    """Importance of the features for a class, the most important first.

    Parameters
    ----------
    label
        The class.
    family_of
        Family of each feature, in the order of the columns of `values`.
    values
        (rows, features + 1) SHAP values; the last column is what is known before any feature.
    gain
        (features,).

    Returns
    -------
    polars.DataFrame
        `class, feature, family, total_gain, mean_abs_shap`. The line `(start)` has the mean
        distance of the last column from its mean.
    """
    start = values[:, -1].astype(np.float64)
    lines = {
        "class": [label] * (len(family_of) + 1),
        "feature": [*family_of, START],
        "family": [*family_of.values(), START],
        "total_gain": [*gain.tolist(), None],
        "mean_abs_shap": [
            *np.abs(values[:, :-1]).mean(axis=0, dtype=np.float64).tolist(),
            float(np.abs(start - start.mean()).mean()),
        ],
    }
    table = pl.DataFrame(lines, schema_overrides={"total_gain": pl.Float64})
    return table.sort("mean_abs_shap", "feature", descending=[True, False])


def family_table(
    label: str,
    family_of: Mapping[str, str],
    values: np.ndarray,
    gain: np.ndarray,
    rises: Mapping[str, Rise],
) -> pl.DataFrame:
    """Importance of families for a class, in the order of `rises`.

    A family of `rises` without a feature has no gain and no SHAP values.

    Parameters
    ----------
    label, family_of, values, gain
        As `feature_table` takes them.
    rises
        Rise of the log loss of each family, with its standard error.

    Returns
    -------
    polars.DataFrame
        `class, family, features, gain_share, mean_abs_shap, log_loss_rise, standard_error`.
        `mean_abs_shap` is of the sum of a family's SHAP values. `gain_share` is null of a class
        without trees.
    """
    member, total = np.array(list(family_of.values())), gain.sum()
    lines = []
    for family, (rise, error) in rises.items():
        own = member == family
        lines.append(
            {
                "class": label,
                "family": family,
                "features": int(own.sum()),
                "gain_share": float(gain[own].sum() / total) if total else None,
                "mean_abs_shap": float(np.abs(values[:, :-1][:, own].sum(axis=1)).mean()),
                "log_loss_rise": rise,
                "standard_error": error,
            }
        )
    # A column of nulls alone needs the type of the other classes.
    kinds = dict.fromkeys(("gain_share", "log_loss_rise", "standard_error"), pl.Float64)
    return pl.DataFrame(lines, schema_overrides=kinds)
