"""Cross-validates a model on whole groups."""

import logging
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import polars as pl
import xgboost as xgb

from genebatch.config.settings import MANY_ROWS, Folds, Labels, Learner
from genebatch.dataset.rows import (
    base_scores,
    group_codes,
    label_codes,
    normalised,
    plain_weights,
)
from genebatch.io.files import InputError
from genebatch.metrics.multiclass import score_table
from genebatch.model import boosting
from genebatch.model.ensemble import Member
from genebatch.model.origin import Origin, training_settings
from genebatch.training.batch import Batch, stopping_split
from genebatch.training.matrices import predicted, stopping_part, training_part
from genebatch.training.recipe import IDENTITY, as_member, class_weight
from genebatch.training.selection import Pilot

log = logging.getLogger(__name__)


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
    origin
        The rows and settings that all of it was made from.
    """

    out_of_fold: pl.DataFrame
    folds: pl.DataFrame
    curves: pl.DataFrame
    members: list[Member]
    origin: Origin


def cross_validate(
    data: Batch, cv: Folds, learner: Learner, numbers: Sequence[int] | None = None
) -> CrossValidation:
    """Score the rows of all folds, or of some `numbers`, by boosters that never saw their group.

    Rows of one group are always in the same fold. In each fold boosting stops on whole groups
    taken from the training part, so the fold's own groups decide nothing. Features are picked by
    the rows that are boosted on, so neither the fold's nor the stopping groups have a say in them.
    """
    fold = data.rows["fold"].to_numpy()
    margins = np.full((len(fold), len(data.classes)), np.nan, np.float32)
    lines, curves, members = [], [], []
    origin = Origin(data.key, training_settings(learner, cv))
    learner = learner.for_rows(data.rows.height)
    numbers = range(data.n_folds) if numbers is None else numbers
    splits = [stopping_split(data, fold != number, cv) for number in numbers]
    picked = _picked(data, [train for train, _ in splits], learner)
    for number, split, columns in zip(numbers, splits, picked, strict=True):
        where = f"{data.name}, fold {number}"
        fits = [
            fit_class(data, column, *split, learner, f"{where}, class {label}", own)
            for column, (label, own) in enumerate(zip(data.classes, columns, strict=True))
        ]
        boosters, held_out = [fit.booster for fit in fits], fold == number
        margins[held_out] = predicted(data, boosters, held_out, learner.threads)
        for column, (label, fit) in enumerate(zip(data.classes, fits, strict=True)):
            offered = len(columns[column])
            facts = {"train_rows": int(split[0].sum()), "n_features": offered}
            lines.append(_fold_line(data, number, column, held_out, fit, facts, learner))
            curves.append(
                fit.curve.with_columns(pl.lit(number).alias("fold"), pl.lit(label).alias("class"))
            )
        rows, trees = f"{held_out.sum():,}", "/".join(str(fit.n_trees) for fit in fits)
        log.info(
            "%s: fold %d/%d, %s rows, trees %s", data.name, number + 1, data.n_folds, rows, trees
        )
        members.append(_fold_member(data, number, boosters, origin))
    scored = np.isin(fold, list(numbers))
    out_of_fold = data.rows.filter(scored).with_columns(
        pl.Series(f"margin_{name}", margins[scored, column])
        for column, name in enumerate(data.classes)
    )
    if any(out_of_fold[f"margin_{name}"].is_nan().any() for name in data.classes):
        raise RuntimeError("a row has no out-of-fold score")
    return CrossValidation(out_of_fold, pl.DataFrame(lines), pl.concat(curves), members, origin)


def _picked(data: Batch, training: list[np.ndarray], learner: Learner) -> list[list[np.ndarray]]:
    """Features of every fold and class, picked by the training rows of the fold alone.

    All pilots run before the first booster: the matrix of the pilots is then given back.
    """
    pilot = Pilot(data, learner)
    return [
        [pilot.columns(column, train) for column in range(len(data.classes))] for train in training
    ]


def _fold_member(data: Batch, number: int, boosters: list[xgb.Booster], origin: Origin) -> Member:
    seen = data.rows["fold"].to_numpy() != number
    groups = data.rows.filter(seen)["group"].unique().sort().to_list()
    facts = {"rows": int(seen.sum()), "fold": number, **origin.facts()}
    return as_member(f"fold{number}", boosters, groups, class_weight(data, seen), facts)


def final_trees(folds: pl.DataFrame, n_rows: int, n_estimators: int) -> dict[str, int]:
    """Number of trees of each class for a model of all rows: the median over folds.

    Of `MANY_ROWS` rows or more, each fold's number first grows as the rows do, because the model
    has rows that the fold left out: the best number of trees grows with the rows. With few rows
    boosting stops by the chance of few groups, and more trees are as often worse as better. See
    benchmarks/folds.md.

    Parameters
    ----------
    folds
        `class`, `n_trees` and `train_rows`, the rows that were boosted on, of every booster.
    n_rows
        Rows of the model.
    n_estimators
        Most trees.
    """
    grown = pl.col("n_trees") * n_rows / pl.col("train_rows")
    trees = grown if n_rows >= MANY_ROWS else pl.col("n_trees")
    medians = folds.group_by("class", maintain_order=True).agg(trees.median().alias("median"))
    wanted = {name: round(median) for name, median in medians.iter_rows()}
    beyond = [f"{name} {most:,}" for name, most in wanted.items() if most > n_estimators]
    if beyond:
        log.warning(
            "the folds ask for more trees than learner.n_estimators allows (%s): %s; raise it, "
            "or leave the loss a little higher",
            *(f"{n_estimators:,}", ", ".join(beyond)),
        )
    return {name: min(number, n_estimators) for name, number in wanted.items()}


def fold_metrics(rows: pl.DataFrame, labels: Labels) -> pl.DataFrame:
    """Metrics of the raw out-of-fold scores and of the base scores, by fold and class."""
    classes = list(labels.classes)
    tables = []
    for number in sorted(rows["fold"].unique().to_list()):
        part = rows.filter(pl.col("fold") == number)
        codes = label_codes(part["label"], classes, None)
        weight, groups = plain_weights(part), group_codes(part)
        margins = part.select(f"margin_{name}" for name in classes).to_numpy().astype(np.float64)
        raw = IDENTITY.apply(margins.ravel()).reshape(margins.shape)
        systems = {"model": normalised(raw, labels.rest)}
        systems |= base_scores(part, classes)
        for system, probability in systems.items():
            table = score_table(codes, probability, classes, weight, groups, system)
            tables.append(table.with_columns(pl.lit(number).alias("fold")))
    return pl.concat(tables)


def fit_class(
    data: Batch,
    column: int,
    train: np.ndarray,
    stop: np.ndarray,
    learner: Learner,
    where: str,
    columns: np.ndarray,
    target: np.ndarray | None = None,
) -> boosting.Fit:
    """Boost one class on some features until the stopping rows no longer gain.

    Parameters
    ----------
    data
        The rows.
    column
        The class.
    train, stop
        (rows,) bool.
    learner
        Settings.
    where
        What is boosted, for an error.
    columns
        Places of the features, rising.
    target
        (rows,) in [0, 1], fitted in place of the class.

    Returns
    -------
    boosting.Fit
        Its booster takes rows of all features.
    """
    try:
        fit = boosting.fit_until_stopped(
            training_part(data, column, train, columns, learner),
            stopping_part(data, column, stop, columns, learner),
            learner,
            None if target is None else target[train],
        )
    except InputError as error:
        groups = data.groups
        raise InputError(
            f"{where} ({len(groups)} groups from '{groups[0]}' to '{groups[-1]}'): {error}"
        ) from error
    booster = boosting.for_all_features(fit.booster, columns, data.features, learner.threads)
    return fit._replace(booster=booster)


def _fold_line(
    data: Batch,
    number: int,
    column: int,
    held_out: np.ndarray,
    fit: boosting.Fit,
    facts: dict[str, int],
    learner: Learner,
) -> dict[str, Any]:
    best = fit.curve.row(fit.n_trees, named=True)
    start, last = fit.curve.row(0, named=True), fit.curve.row(-1, named=True)
    return {
        "fold": number,
        "class": data.classes[column],
        "test_groups": data.rows.filter(held_out)["group"].n_unique(),
        "test_rows": int(held_out.sum()),
        "test_positives": int((data.codes[held_out] == column).sum()),
        **facts,
        "n_trees": fit.n_trees,
        "start_log_loss": start["stop_log_loss"],
        "train_log_loss": fit.train_log_loss,
        "stop_log_loss": best["stop_log_loss"],
        "last_stop_log_loss": last["stop_log_loss"],
        "verdict": verdict(fit, learner.n_estimators),
    }


def verdict(fit: boosting.Fit, n_estimators: int) -> str:
    """Tell what the learning curve says about a booster.

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
    return "overfitting" if fit.train_log_loss < best["stop_log_loss"] / 2 else "good"
