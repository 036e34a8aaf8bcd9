"""Sums up the results of a batch."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import polars as pl

from genebatch.dataset.columns import START

TOP_FEATURES = 10


@dataclass(frozen=True)
class BatchResults:
    """What the rules of a batch wrote about it.

    Attributes
    ----------
    name, classes
        The batch, and the names of the classes.
    rows
        The out-of-fold table.
    folds, metrics, curves, importance, families
        The tables of these names.
    calibration
        Class to its calibrator, from `calibration.json`.
    """

    name: str
    classes: list[str]
    rows: pl.DataFrame
    folds: pl.DataFrame
    metrics: pl.DataFrame
    curves: pl.DataFrame
    calibration: Mapping[str, Any]
    importance: pl.DataFrame
    families: pl.DataFrame

    @property
    def features(self) -> pl.DataFrame:
        """The importance of features, without that of the start."""
        return self.importance.filter(pl.col("feature") != START)


def summarise(results: BatchResults) -> dict[str, Any]:
    """Sum a batch up as plain JSON.

    Returns
    -------
    dict
        `batch`; `rows`; `groups`; `classes`: for each its rows, trees over folds, counts of the
        folds' verdicts, most important features, and calibrator with losses before and after
        (cross-fitted, weighted as in training); `metrics`: the mean over folds of every metric,
        the number of folds that have it, and the reasons of the folds that lack it.
    """
    return {
        "batch": results.name,
        "rows": results.rows.height,
        "groups": results.rows["group"].n_unique(),
        "classes": {name: _class_summary(results, name) for name in results.classes},
        "metrics": fold_means(results.metrics),
    }


def fold_means(metrics: pl.DataFrame) -> list[dict[str, Any]]:
    """Give the mean over folds of every metric; folds that lack it are named with the reason."""
    keys = ["system", "class", "metric", "weighted"]
    lines = []
    for key, part in metrics.group_by(keys, maintain_order=True):
        lacking = part.filter(pl.col("value").is_null()).select("fold", "reason").iter_rows()
        reasons = [f"fold {fold}: {reason}" for fold, reason in lacking]
        line = dict(zip(keys, key, strict=True)) | {"mean": part["value"].mean()}
        line["folds"] = part.height - len(reasons)
        lines.append(line | {"reason": "; ".join(reasons) or None})
    return lines


def _class_summary(results: BatchResults, name: str) -> dict[str, Any]:
    folds = results.folds.filter(pl.col("class") == name)
    return {
        "rows": int((results.rows["label"] == name).sum()),
        "trees": _spread(folds["n_trees"]),
        "verdicts": _counts(folds["verdict"]),
        "calibration": _calibration_summary(results.calibration[name]),
        "top_features": _top(results.features.filter(pl.col("class") == name)),
    }


def _spread(values: pl.Series) -> dict[str, float]:
    return {"median": values.median(), "min": values.min(), "max": values.max()}


def _counts(values: pl.Series) -> dict[str, int]:
    return dict(sorted(values.value_counts().iter_rows()))


def _calibration_summary(facts: Mapping[str, Any]) -> dict[str, Any]:
    losses = {
        side: {key: value for key, value in facts[side].items() if key != "reliability"}
        for side in ("before", "after")
    }
    return {"method": facts["method"], "reason": facts["reason"], **losses}


def _top(features: pl.DataFrame) -> list[dict[str, Any]]:
    ordered = features.sort("mean_abs_shap", "feature", descending=[True, False])
    return ordered.head(TOP_FEATURES).select("feature", "family", "mean_abs_shap").to_dicts()
