"""One batch: cross-validation, the model on all rows, calibrators."""

import logging
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import polars as pl
import xgboost as xgb

from genebatch import ALGORITHM
from genebatch.dataset.rows import (
    base_scores,
    group_codes,
    label_codes,
    normalised,
    plain_weights,
    rest_index,
    row_weights,
)
from genebatch.io.files import InputError, write_json, write_parquet, write_tsv
from genebatch.io.tables import read_tsv
from genebatch.metrics.binary import METRICS, reliability
from genebatch.metrics.multiclass import score_table
from genebatch.model import boosting
from genebatch.model.calibration import Calibrator, choose
from genebatch.model.ensemble import EQUAL, EnsembleModel, Member, load_model
from genebatch.training.batch import Batch, load_batch, stopping_split

log = logging.getLogger(__name__)

IDENTITY = Calibrator("identity", {})
LOSSES = ("log_loss", "brier", "ece")


class CrossValidation(NamedTuple):
    """Scores of rows by boosters that never saw their group.

    Attributes
    ----------
    out_of_fold
        Identity columns, fold and one log-odds `margin_{class}` a row.
    folds
        Trees, losses and verdict of every booster.
    curves
        Log loss by trees.
    members
        One for each fold.
    """

    out_of_fold: pl.DataFrame
    folds: pl.DataFrame
    curves: pl.DataFrame
    members: list[Member]


class Calibrated(NamedTuple):
    """A model with calibrators, and what they do to rows that they were not fitted on.

    `probability` is (rows, classes), cross-fitted and divided by its sum over classes; `described`
    is the JSON of what was tried.
    """

    model: EnsembleModel
    probability: np.ndarray
    described: dict[str, Any]


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
    found = cross_validate(data, f"batch {batch}", dataset["classes"], cv, learner)
    write_parquet(outputs["out_of_fold"], found.out_of_fold)
    write_tsv(outputs["folds"], found.folds)
    write_tsv(outputs["metrics"], fold_metrics(found.out_of_fold, dataset))
    write_parquet(outputs["curves"], found.curves)
    as_model(data, dataset, learner, found.members).save(outputs["models"])


def cross_validate(
    data: Batch, name: str, classes: list[str], cv: Mapping[str, Any], learner: Mapping[str, Any]
) -> CrossValidation:
    """Score the rows of a matrix fold by fold; see `cross_validate_batch`.

    `name` says in messages what the rows are.
    """
    fold = data.rows["fold"].to_numpy()
    margins = np.full((len(fold), len(classes)), np.nan, np.float32)
    lines, curves, members = [], [], []
    for number in range(cv["n_splits"]):
        train, stop = stopping_split(data, fold != number, len(classes), cv)
        held = fold == number
        fits = []
        for column, label in enumerate(classes):
            where = f"{name}, fold {number}, class {label}"
            fit = fit_class(data, column, label, train, stop, learner, where)
            margins[held, column] = fit.margin[held]
            lines.append(_fold_line(data, number, label, column, held, fit, learner))
            curves.append(
                fit.curve.with_columns(pl.lit(number).alias("fold"), pl.lit(label).alias("class"))
            )
            fits.append(fit)
        log.info(
            "%s: fold %d/%d, %s rows, trees %s",
            name,
            number + 1,
            cv["n_splits"],
            f"{held.sum():,}",
            "/".join(str(fit.n_trees) for fit in fits),
        )
        seen = data.rows.filter(~held)["group"].unique().sort().to_list()
        facts = {"rows": int((~held).sum()), "fold": number}
        weights = _class_weight(data, classes, train | stop)
        boosters = [fit.booster for fit in fits]
        members.append(_member(f"fold{number}", boosters, seen, weights, facts))
    if np.isnan(margins).any():
        raise RuntimeError("a row has no out-of-fold score")
    out_of_fold = data.rows.with_columns(
        pl.Series(f"margin_{name}", margins[:, column]) for column, name in enumerate(classes)
    )
    return CrossValidation(out_of_fold, pl.DataFrame(lines), pl.concat(curves), members)


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
    member = train_member(data, batch, dataset["classes"], median_trees(folds), learner)
    as_model(data, dataset, learner, [member]).save(output)


def median_trees(folds: pl.DataFrame) -> dict[str, int]:
    """Median over folds of the number of trees of each class."""
    medians = folds.group_by("class", maintain_order=True).agg(pl.col("n_trees").median())
    return {name: round(median) for name, median in medians.iter_rows()}


def train_member(
    data: Batch,
    name: str,
    classes: list[str],
    trees: Mapping[str, int],
    learner: Mapping[str, Any],
    targets: np.ndarray | None = None,
) -> Member:
    """Boosters on all rows of a matrix, with given numbers of trees.

    Parameters
    ----------
    data
        The rows.
    name
        Name of the member.
    classes
        Labels.
    trees
        Class to number of trees.
    learner
        Part of the config.
    targets
        (rows, classes) in [0, 1], what the boosters are fitted to where it is not the labels.
    """
    boosters = []
    for column, label in enumerate(classes):
        target = data.codes == column if targets is None else targets[:, column]
        start, n_trees = data.starts[label], trees[label]
        boosters.append(
            boosting.fit_trees(data.matrix, target, data.weight, start, n_trees, learner)
        )
        log.info("%s: class %s, %s trees", name, label, f"{n_trees:,}")
    facts = {"key": data.key, "rows": data.rows.height, "n_trees": dict(trees)}
    facts |= {"seed": learner["seed"], **_class_sums(data, classes)}
    weights = _class_weight(data, classes, np.ones(data.rows.height, bool))
    return _member(name, boosters, data.groups, weights, facts)


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
    model = load_model(inputs["model"])
    found = calibrate(model, rows, calibration["method"], use_weights)
    write_json(outputs["calibration"], found.described)
    found.model.save(outputs["model"])


def calibrate(
    model: EnsembleModel, rows: pl.DataFrame, method: str, use_weights: bool
) -> Calibrated:
    """Choose the calibrators of a model of one member on its out-of-fold log-odds.

    Parameters
    ----------
    model
        Not yet calibrated.
    rows
        Identity columns, `fold` and `margin_{class}`.
    method
        `calibration.method`.
    use_weights
        `learner.use_weights`.
    """
    classes = list(model.classes)
    codes = label_codes(rows["label"], classes, None)
    weight = row_weights(rows, use_weights)
    choices, raw = [], []
    for column, name in enumerate(classes):
        margin = rows[f"margin_{name}"].to_numpy().astype(np.float64)
        choice = choose(margin, codes == column, rows["fold"].to_numpy(), weight, method)
        choices.append(choice)
        raw.append(IDENTITY.apply(margin))
        log.info("class %s: %s", name, choice.calibrator.method)
    before = normalised(np.column_stack(raw), model.rest)
    after = normalised(np.column_stack([choice.cross_fitted for choice in choices]), model.rest)
    described = {
        name: {
            **choice.calibrator.to_json(),
            "reason": choice.reason,
            "methods": choice.table.to_dicts(),
            "before": _worth(codes == column, before[:, column], weight),
            "after": _worth(codes == column, after[:, column], weight),
        }
        for column, (name, choice) in enumerate(zip(classes, choices, strict=True))
    }
    table = score_table(codes, after, classes, plain_weights(rows), group_codes(rows))
    metrics = table.drop("system").to_dicts()
    (member,) = model.members
    finished = member._replace(
        calibrators=tuple(choice.calibrator for choice in choices),
        facts=member.facts | {"metrics": metrics},
    )
    return Calibrated(
        replace(model, members=(finished,)),
        after,
        {"classes": described, "out_of_fold_metrics": metrics},
    )


def _worth(y: np.ndarray, probability: np.ndarray, weight: np.ndarray) -> dict[str, Any]:
    """Losses and reliability of the probabilities of one class."""
    losses = {key: METRICS[key](y, probability, weight).value for key in LOSSES}
    return losses | {"reliability": reliability(y, probability, weight).to_dicts()}


def fold_metrics(rows: pl.DataFrame, dataset: Mapping[str, Any]) -> pl.DataFrame:
    """Metrics of the raw out-of-fold scores and of the base scores, by fold and class."""
    classes, rest = dataset["classes"], rest_index(dataset)
    tables = []
    for number in sorted(rows["fold"].unique().to_list()):
        part = rows.filter(pl.col("fold") == number)
        codes = label_codes(part["label"], classes, None)
        weight, groups = plain_weights(part), group_codes(part)
        margins = part.select(f"margin_{name}" for name in classes).to_numpy().astype(np.float64)
        raw = IDENTITY.apply(margins.ravel()).reshape(margins.shape)
        systems = {"model": normalised(raw, rest)}
        systems |= base_scores(part, classes)
        for system, probability in systems.items():
            table = score_table(codes, probability, classes, weight, groups, system)
            tables.append(table.with_columns(pl.lit(number).alias("fold")))
    return pl.concat(tables)


def fit_class(
    data: Batch,
    column: int,
    name: str,
    train: np.ndarray,
    stop: np.ndarray,
    learner: Mapping[str, Any],
    where: str,
    target: np.ndarray | None = None,
) -> boosting.Fit:
    """Boost one class until the stopping rows no longer gain; an error says where."""
    y, start = data.codes == column, data.starts[name]
    try:
        return boosting.fit_until_stopped(
            data.matrix, y, data.weight, train, stop, start, learner, target
        )
    except InputError as error:
        raise InputError(
            f"{where} ({len(data.groups)} groups from '{data.groups[0]}' to '{data.groups[-1]}'): "
            f"{error}"
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


def as_model(
    data: Batch, dataset: Mapping[str, Any], learner: Mapping[str, Any], members: list[Member]
) -> EnsembleModel:
    """A model of members that were trained on these features."""
    return EnsembleModel(
        members=tuple(members),
        features=data.features,
        classes=tuple(dataset["classes"]),
        scores=dict(dataset["scores"]) if learner["start_from"] == "scores" else None,
        combiner=EQUAL,
        prevalence=None,
        columns={key: dataset[key] for key in ("group", "label", "weight", "position")},
        facts={"algorithm": ALGORITHM},
        rest_class=dataset["rest_class"],
    )
