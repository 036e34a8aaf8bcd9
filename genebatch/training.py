"""One batch: cross-validation, the model on all rows, calibrators."""

import logging
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import xgboost as xgb

from genebatch import ALGORITHM
from genebatch import learner as boosting
from genebatch.batch import Batch, load_batch, stopping_split
from genebatch.calibration import Calibrator, choose
from genebatch.files import InputError, write_json, write_parquet, write_tsv
from genebatch.metrics import METRICS, reliability
from genebatch.model import EnsembleModel, Member, load_model
from genebatch.rows import (
    base_scores,
    group_codes,
    label_codes,
    normalised,
    plain_weights,
    row_weights,
)
from genebatch.scoring import score_table
from genebatch.tables import read_tsv

log = logging.getLogger(__name__)

IDENTITY = Calibrator("identity", {})
LOSSES = ("log_loss", "brier", "ece")


def cross_validate_batch(
    inputs: Mapping[str, str | Path],
    batch: str,
    dataset: Mapping[str, Any],
    cv: Mapping[str, Any],
    learner: Mapping[str, Any],
    outputs: Mapping[str, str | Path],
) -> None:
    """Score every row of a batch by boosters that never saw its group.

    Rows of one group are always in the same fold. In each fold boosting stops on whole groups
    taken from the training part, so the fold's own groups decide nothing. Holds the batch's
    matrix.

    Parameters
    ----------
    inputs
        Paths `profile`, `features` and `plan`.
    batch
        Batch id.
    dataset, cv, learner
        Parts of the config.
    outputs
        Paths `out_of_fold` (Parquet: identity columns, fold and one log-odds `margin_{class}` a
        row), `folds` (TSV: trees, losses and verdict of every booster), `metrics` (TSV: metrics of
        model and base scores by fold and class), `curves` (Parquet: log loss by trees) and
        `models` (model file with a member for each fold).
    """
    data = load_batch(inputs, batch, dataset, learner)
    classes = dataset["classes"]
    fold = data.rows["fold"].to_numpy()
    margins = np.full((len(fold), len(classes)), np.nan, np.float32)
    lines, curves, members = [], [], []
    for number in range(cv["n_splits"]):
        train, stop = stopping_split(data, fold != number, len(classes), cv)
        fits = [
            _fit(data, column, name, train, stop, learner) for column, name in enumerate(classes)
        ]
        held = fold == number
        for column, (name, fit) in enumerate(zip(classes, fits, strict=True)):
            margins[held, column] = fit.margin[held]
            lines.append(_fold_line(data, number, name, column, held, fit, learner))
            curve = fit.curve.with_columns(
                pl.lit(number).alias("fold"), pl.lit(name).alias("class")
            )
            curves.append(curve)
        log.info(
            "batch %s: fold %d/%d, %s rows, trees %s",
            batch,
            number + 1,
            cv["n_splits"],
            f"{held.sum():,}",
            "/".join(str(fit.n_trees) for fit in fits),
        )
        seen = sorted(set(data.rows["group"].to_numpy()[~held].tolist()))
        facts = {"rows": int((~held).sum()), "fold": number}
        weights = _class_weight(data, classes, train | stop)
        boosters = [fit.booster for fit in fits]
        members.append(_member(f"fold{number}", boosters, seen, weights, facts))
    if np.isnan(margins).any():
        raise RuntimeError("a row has no out-of-fold score")
    out_of_fold = data.rows.with_columns(
        pl.Series(f"margin_{name}", margins[:, column]) for column, name in enumerate(classes)
    )
    write_parquet(outputs["out_of_fold"], out_of_fold)
    write_tsv(outputs["folds"], pl.DataFrame(lines))
    write_tsv(outputs["metrics"], fold_metrics(out_of_fold, classes))
    write_parquet(outputs["curves"], pl.concat(curves))
    _model(data, dataset, learner, members).save(outputs["models"])


def train_batch(
    inputs: Mapping[str, str | Path],
    batch: str,
    dataset: Mapping[str, Any],
    learner: Mapping[str, Any],
    output: str | Path,
) -> None:
    """Train a batch's boosters on all its rows, with the cross-validation's number of trees.

    The median over folds. Holds the batch's matrix.

    Parameters
    ----------
    inputs
        Paths `profile`, `features`, `plan` and `folds`.
    batch, dataset, learner
        As in `cross_validate_batch`.
    output
        Model file with one member that is not yet calibrated.
    """
    data = load_batch(inputs, batch, dataset, learner)
    folds = read_tsv(inputs["folds"])
    boosters, trees = [], {}
    for column, name in enumerate(dataset["classes"]):
        trees[name] = round(folds.filter(pl.col("class") == name)["n_trees"].median())
        boosters.append(
            boosting.fit_trees(
                data.matrix,
                data.codes == column,
                data.weight,
                data.starts[name],
                trees[name],
                learner,
            )
        )
        log.info("batch %s: class %s, %s trees", batch, name, f"{trees[name]:,}")
    facts = {"key": data.key, "rows": data.rows.height, "n_trees": trees}
    facts |= {"seed": learner["seed"], **_class_sums(data, dataset["classes"])}
    weights = _class_weight(data, dataset["classes"], np.ones(data.rows.height, bool))
    member = _member(batch, boosters, data.groups, weights, facts)
    _model(data, dataset, learner, [member]).save(output)


def calibrate_batch(
    inputs: Mapping[str, str | Path],
    dataset: Mapping[str, Any],
    calibration: Mapping[str, Any],
    use_weights: bool,
    outputs: Mapping[str, str | Path],
) -> None:
    """Choose a calibrator per class on out-of-fold scores, and finish the batch's model.

    Parameters
    ----------
    inputs
        Paths `out_of_fold` and `model` (not calibrated).
    dataset, calibration
        Parts of the config.
    use_weights
        `learner.use_weights`.
    outputs
        Paths `calibration` (JSON: method and parameters of each class, the losses of every method
        that it was chosen by, and losses and reliability before and after, of probabilities that
        are cross-fitted and divided by their sum over classes as the model's are) and `model`
        (the batch's finished model file).
    """
    rows = pl.read_parquet(inputs["out_of_fold"])
    codes = label_codes(rows["label"], dataset["classes"], None)
    weight = row_weights(rows, use_weights)
    choices, raw = [], []
    for column, name in enumerate(dataset["classes"]):
        margin = rows[f"margin_{name}"].to_numpy().astype(np.float64)
        y = codes == column
        choice = choose(margin, y, rows["fold"].to_numpy(), weight, calibration["method"])
        choices.append(choice)
        raw.append(IDENTITY.apply(margin))
        log.info("class %s: %s", name, choice.calibrator.method)
    before = normalised(np.column_stack(raw))
    after = normalised(np.column_stack([choice.cross_fitted for choice in choices]))
    described = {
        name: {
            **choice.calibrator.to_json(),
            "reason": choice.reason,
            "methods": choice.table.to_dicts(),
            "before": _worth(codes == column, before[:, column], weight),
            "after": _worth(codes == column, after[:, column], weight),
        }
        for column, (name, choice) in enumerate(zip(dataset["classes"], choices, strict=True))
    }
    table = score_table(codes, after, dataset["classes"], plain_weights(rows), group_codes(rows))
    metrics = table.drop("system").to_dicts()
    write_json(outputs["calibration"], {"classes": described, "out_of_fold_metrics": metrics})
    model = load_model(inputs["model"])
    member = model.members[0]
    facts = member.facts | {"metrics": metrics}
    finished = member._replace(calibrators=tuple(c.calibrator for c in choices), facts=facts)
    replace(model, members=(finished,)).save(outputs["model"])


def _worth(y: np.ndarray, probability: np.ndarray, weight: np.ndarray) -> dict[str, Any]:
    """Losses and reliability of the probabilities of one class."""
    losses = {key: METRICS[key](y, probability, weight).value for key in LOSSES}
    return losses | {"reliability": reliability(y, probability, weight).to_dicts()}


def fold_metrics(rows: pl.DataFrame, classes: list[str]) -> pl.DataFrame:
    """Metrics of the raw out-of-fold scores and of the base scores, by fold and class."""
    tables = []
    for number in sorted(rows["fold"].unique().to_list()):
        part = rows.filter(pl.col("fold") == number)
        codes = label_codes(part["label"], classes, None)
        weight, groups = plain_weights(part), group_codes(part)
        margins = part.select(f"margin_{name}" for name in classes).to_numpy().astype(np.float64)
        systems = {"model": normalised(IDENTITY.apply(margins.ravel()).reshape(margins.shape))}
        systems |= base_scores(part, classes)
        for system, probability in systems.items():
            table = score_table(codes, probability, classes, weight, groups, system)
            tables.append(table.with_columns(pl.lit(number).alias("fold")))
    return pl.concat(tables)


def _fit(
    data: Batch,
    column: int,
    name: str,
    train: np.ndarray,
    stop: np.ndarray,
    learner: Mapping[str, Any],
) -> boosting.Fit:
    try:
        return boosting.fit_until_stopped(
            data.matrix, data.codes == column, data.weight, train, stop, data.starts[name], learner
        )
    except InputError as error:
        fold = data.rows["fold"].to_numpy()[~(train | stop)][0]
        raise InputError(
            f"batch of {len(data.groups)} groups from '{data.groups[0]}' to '{data.groups[-1]}', "
            f"fold {fold}, class {name}: {error}"
        ) from error


def _fold_line(
    data: Batch,
    number: int,
    name: str,
    column: int,
    held: np.ndarray,
    fit: boosting.Fit,
    learner: Mapping[str, Any],
) -> dict[str, Any]:
    best = fit.curve.row(fit.n_trees, named=True)
    start, last = fit.curve.row(0, named=True), fit.curve.row(-1, named=True)
    return {
        "fold": number,
        "class": name,
        "test_groups": data.rows.filter(held)["group"].n_unique(),
        "test_rows": int(held.sum()),
        "test_positives": int((data.codes[held] == column).sum()),
        "n_trees": fit.n_trees,
        "start_log_loss": start["stop_log_loss"],
        "train_log_loss": best["train_log_loss"],
        "stop_log_loss": best["stop_log_loss"],
        "last_stop_log_loss": last["stop_log_loss"],
        "verdict": verdict(fit, learner["n_estimators"]),
    }


def verdict(fit: boosting.Fit, n_estimators: int) -> str:
    """What the learning curve says about a booster.

    `constant class`: training rows held one side only. `learned nothing`: no tree lowered the
    loss of unseen groups. `tree limit`: the loss still fell when the trees ran out. `overfitting`:
    the training loss is less than half of the stopping groups' at the chosen trees. `good`:
    none of these.
    """
    if fit.curve.height == 1:
        return "constant class"
    if fit.n_trees == 0:
        return "learned nothing"
    if not fit.stopped and fit.n_trees > 0.95 * n_estimators:
        return "tree limit"
    best = fit.curve.row(fit.n_trees, named=True)
    return "overfitting" if best["train_log_loss"] < best["stop_log_loss"] / 2 else "good"


def _member(
    name: str,
    boosters: list[xgb.Booster],
    groups: list[str],
    class_weight: tuple[float, ...],
    facts: dict[str, Any],
) -> Member:
    calibrators = (IDENTITY,) * len(boosters)
    return Member(name, tuple(boosters), calibrators, tuple(groups), class_weight, facts)


def _class_weight(data: Batch, classes: list[str], rows: np.ndarray) -> tuple[float, ...]:
    return tuple(
        float(data.weight[rows & (data.codes == column)].sum()) for column in range(len(classes))
    )


def _class_sums(data: Batch, classes: list[str]) -> dict[str, dict[str, float] | None]:
    """Rows and weights of each class, whichever of them the boosters were trained at."""
    rows = np.bincount(data.codes, minlength=len(classes))
    sums = {"class_rows": dict(zip(classes, rows.tolist(), strict=True)), "class_weights": None}
    weight = plain_weights(data.rows)
    if weight is not None:
        total = np.bincount(data.codes, weight, minlength=len(classes))
        sums["class_weights"] = dict(zip(classes, total.tolist(), strict=True))
    return sums


def _model(
    data: Batch, dataset: Mapping[str, Any], learner: Mapping[str, Any], members: list[Member]
) -> EnsembleModel:
    return EnsembleModel(
        members=tuple(members),
        features=data.features,
        classes=tuple(dataset["classes"]),
        scores=dict(dataset["scores"]) if learner["start_from"] == "scores" else None,
        combiner={"name": "voting", "parameters": {}},
        prevalence=None,
        columns={key: dataset[key] for key in ("group", "label", "weight", "position")},
        facts={"algorithm": ALGORITHM},
    )
