"""What a batch is worth, in figures and numbers."""

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from scipy.special import expit

from genebatch.dataset.rows import base_scores, label_codes, plain_weights
from genebatch.io.files import read_json, write_json
from genebatch.io.tables import read_tsv
from genebatch.report.figures import boosters as booster_plots
from genebatch.report.figures import scored_rows as plots
from genebatch.report.figures.scored_rows import Reliability, Scored
from genebatch.report.numbers import loss_text
from genebatch.training.explain import START
from genebatch.training.recipe import LOSSES

log = logging.getLogger(__name__)


BEESWARM_FEATURES = 15
TOP_FEATURES = 10


def diagnose_batch(
    inputs: Mapping[str, str | Path],
    batch: str,
    dataset: Mapping[str, Any],
    outputs: Mapping[str, str | Path],
) -> None:
    """Draw a batch's figures and sum its numbers up.

    Holds the out-of-fold table, and the SHAP values of the most important features.

    Parameters
    ----------
    inputs
        Paths `out_of_fold`, `folds`, `metrics`, `curves`, `calibration`, `shap`, `sample`,
        `importance` and `families` of the batch.
    batch
        Batch id.
    dataset
        Part of the config.
    outputs
        PNG paths `roc`, `pr`, `calibration`, `learning_curves`, `shap` and `importance`, and
        `summary` (JSON: see `summarise`).
    """
    classes = list(dataset["classes"])
    rows = pl.read_parquet(inputs["out_of_fold"])
    folds, metrics = read_tsv(inputs["folds"]), read_tsv(inputs["metrics"])
    calibration = read_json(inputs["calibration"])["classes"]
    importance, families = read_tsv(inputs["importance"]), read_tsv(inputs["families"])
    scored = out_of_fold(rows, classes)
    size = f"{rows.height:,} out-of-fold rows"
    plots.roc(outputs["roc"], scored, f"Batch {batch}: ROC of {size}")
    plots.precision_recall(outputs["pr"], scored, f"Batch {batch}: precision and recall of {size}")
    lines, heads = _calibrators(calibration)
    title = f"Batch {batch}: calibration of {size}, cross-fitted"
    plots.calibration(outputs["calibration"], lines, heads, title)
    title = f"Batch {batch}: log loss by trees, a line per fold"
    curves = pl.read_parquet(inputs["curves"])
    booster_plots.learning_curves(outputs["learning_curves"], curves, folds, classes, title)
    features = importance.filter(pl.col("feature") != START)
    values, heads = _swarms(inputs, features, classes)
    title = f"Batch {batch}: SHAP values; {START} is what the trees correct, mean ± mean deviation"
    booster_plots.shap_values(outputs["shap"], values, heads, title)
    title = f"Batch {batch}: importance of features and families"
    booster_plots.importance(outputs["importance"], features, families, classes, title)
    summary = summarise(classes, rows, folds, metrics, calibration, features)
    write_json(outputs["summary"], {"batch": batch} | summary)
    log.info("batch %s: 6 figures of %s rows", batch, f"{rows.height:,}")


def summarise(
    classes: Sequence[str],
    rows: pl.DataFrame,
    folds: pl.DataFrame,
    metrics: pl.DataFrame,
    calibration: Mapping[str, Any],
    features: pl.DataFrame,
) -> dict[str, Any]:
    """Numbers of a batch as plain JSON.

    Returns
    -------
    dict
        `rows`; `groups`; `classes`: for each its rows, trees over folds, counts of the folds'
        verdicts, calibrator with losses before and after (cross-fitted, weighted as in training)
        and most important features; `metrics`: the mean over folds of every metric, with the
        number of folds that have it, and the reason where one lacks it.
    """
    return {
        "rows": rows.height,
        "groups": rows["group"].n_unique(),
        "classes": {
            name: {
                "rows": int((rows["label"] == name).sum()),
                "trees": _spread(folds.filter(pl.col("class") == name)["n_trees"]),
                "verdicts": _counts(folds.filter(pl.col("class") == name)["verdict"]),
                "calibration": _calibration_summary(calibration[name]),
                "top_features": _top(features.filter(pl.col("class") == name)),
            }
            for name in classes
        },
        "metrics": _fold_means(metrics),
    }


def out_of_fold(rows: pl.DataFrame, classes: Sequence[str]) -> Scored:
    """Raw out-of-fold scores through the logistic, beside the base scores where there are any."""
    margins = rows.select(f"margin_{name}" for name in classes).to_numpy().astype(np.float64)
    systems = {"model": expit(margins)} | base_scores(rows, classes)
    return Scored(classes, label_codes(rows["label"], classes, None), systems, plain_weights(rows))


def _calibrators(
    calibration: Mapping[str, Any],
) -> tuple[dict[str, list[Reliability]], list[str]]:
    """Lines of each class's calibration panel, and its title."""
    lines, heads = {}, []
    for name, facts in calibration.items():
        shown = {side: facts[side] for side in ("before", "after")}
        # A class keeps its logistic and still moves where the calibrator of another one does.
        if facts["before"] == facts["after"]:
            shown = {"model": facts["before"]}
        lines[name] = [
            Reliability(side, f"{side}: {loss_text(worth)}", pl.DataFrame(worth["reliability"]))
            for side, worth in shown.items()
        ]
        heads.append(f"{name}: {facts['method']}")
    return lines, heads


def _swarms(
    inputs: Mapping[str, str | Path], features: pl.DataFrame, classes: Sequence[str]
) -> tuple[dict[str, booster_plots.Swarm], list[str]]:
    """SHAP and feature values of each class's most important features, and its panel's title."""
    lazy = pl.scan_parquet(inputs["shap"])
    swarms, heads = {}, []
    for name in classes:
        top = features.filter(pl.col("class") == name).head(BEESWARM_FEATURES)["feature"].to_list()
        table = lazy.filter(pl.col("class") == name).select(START, *top).collect()
        start = table[START].cast(pl.Float64)
        swing = (start - start.mean()).abs().mean()
        sample = pl.read_parquet(inputs["sample"], columns=top)
        swarms[name] = booster_plots.Swarm(table.drop(START), sample.select(top))
        heads.append(f"{name}; left out: {START} {start.mean():.2f} ± {swing:.2f}")
    return swarms, heads


def _spread(values: pl.Series) -> dict[str, float]:
    return {"median": values.median(), "min": values.min(), "max": values.max()}


def _counts(values: pl.Series) -> dict[str, int]:
    return dict(sorted(values.value_counts().iter_rows()))


def _calibration_summary(facts: Mapping[str, Any]) -> dict[str, Any]:
    losses = {side: {key: facts[side][key] for key in LOSSES} for side in ("before", "after")}
    return {"method": facts["method"], "reason": facts["reason"], **losses}


def _top(features: pl.DataFrame) -> list[dict[str, Any]]:
    ordered = features.sort("mean_abs_shap", "feature", descending=[True, False])
    return ordered.head(TOP_FEATURES).select("feature", "family", "mean_abs_shap").to_dicts()


def _fold_means(metrics: pl.DataFrame) -> list[dict[str, Any]]:
    """Mean over folds of every metric; a fold that lacks it is named with its reason."""
    keys = ["system", "class", "metric", "weighted"]
    lines = []
    for key, part in metrics.group_by(keys, maintain_order=True):
        lacking = part.filter(pl.col("value").is_null()).select("fold", "reason").iter_rows()
        reasons = [f"fold {fold}: {reason}" for fold, reason in lacking]
        line = dict(zip(keys, key, strict=True)) | {"mean": part["value"].mean()}
        line["folds"] = part.height - len(reasons)
        lines.append(line | {"reason": "; ".join(reasons) or None})
    return lines
