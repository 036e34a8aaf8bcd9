"""Trains boosters on all rows of a batch, and calibrates the model that they make."""

import logging
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np
import polars as pl
import xgboost as xgb

from genebatch import ALGORITHM
from genebatch.config.settings import Learner
from genebatch.dataset.rows import group_codes, label_codes, normalised, plain_weights, row_weights
from genebatch.io.files import digest
from genebatch.metrics.binary import METRICS, reliability
from genebatch.metrics.multiclass import score_table
from genebatch.model import boosting
from genebatch.model.calibration import Calibrator, choose
from genebatch.model.ensemble import EQUAL, EnsembleModel, Member
from genebatch.model.origin import Origin, training_settings
from genebatch.training.batch import Batch
from genebatch.training.matrices import training_part
from genebatch.training.selection import Pilot

log = logging.getLogger(__name__)

IDENTITY = Calibrator("identity", {})
LOSSES = ("log_loss", "brier", "ece")


class Calibrated(NamedTuple):
    """A model with calibrators, and its probabilities of rows that they were not fitted on.

    `probability` is (rows, classes), cross-fitted and divided by its sum over classes; `described`
    is the JSON of what was tried.
    """

    model: EnsembleModel
    probability: np.ndarray
    described: dict[str, Any]


def train_member(
    data: Batch,
    name: str,
    trees: Mapping[str, int],
    learner: Learner,
    targets: np.ndarray | None = None,
) -> Member:
    """Boosters on all rows of a batch, with given numbers of trees.

    Parameters
    ----------
    data
        The rows.
    name
        Name of the member.
    trees
        Class to number of trees.
    learner
        Settings.
    targets
        (rows, classes) in [0, 1], what the boosters are fitted to; None stands for the labels.
    """
    settings = training_settings(learner)
    learner = learner.for_rows(data.rows.height)
    pilot, everyone = Pilot(data, learner), np.ones(data.rows.height, bool)
    fitted = [
        None if targets is None else targets[:, column] for column in range(len(data.classes))
    ]
    picked = [pilot.columns(column, everyone, target) for column, target in enumerate(fitted)]
    del pilot  # its matrix is as large as those that follow
    boosters = []
    for column, (label, columns) in enumerate(zip(data.classes, picked, strict=True)):
        part = training_part(data, column, everyone, columns, learner)
        target = part.y if targets is None else fitted[column]
        n_trees = trees[label]
        booster = boosting.fit_trees(
            part.matrix, target, part.weight, part.margin, n_trees, learner
        )
        boosters.append(boosting.for_all_features(booster, columns, data.features, learner.threads))
        log.info("%s: class %s, %s trees of %d features", name, label, f"{n_trees:,}", len(columns))
    facts = {"rows": data.rows.height, "n_trees": dict(trees)}
    facts |= {name: getattr(learner, name) for name in ("learning_rate", "max_bin", "seed")}
    facts |= {**Origin(data.key, settings).facts(), **_class_sums(data)}
    weights = class_weight(data, np.ones(data.rows.height, bool))
    return as_member(name, boosters, data.groups, weights, facts)


def calibrate(
    model: EnsembleModel,
    rows: pl.DataFrame,
    method: str,
    use_weights: bool,
    settings: Mapping[str, str],
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
    settings
        What `origin.training_settings` gives of the rows' scores; the member records them.
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
    settings = dict(settings) | {"calibration": digest(method)}
    finished = member._replace(
        calibrators=tuple(choice.calibrator for choice in choices),
        facts=member.facts | {"settings": settings, "metrics": metrics},
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


def as_member(
    name: str,
    boosters: list[xgb.Booster],
    groups: list[str],
    class_weight: tuple[float, ...],
    facts: dict[str, Any],
) -> Member:
    """A member that is not calibrated yet."""
    calibrators = (IDENTITY,) * len(boosters)
    return Member(name, tuple(boosters), calibrators, tuple(groups), class_weight, facts)


def class_weight(data: Batch, rows: np.ndarray) -> tuple[float, ...]:
    """Weight of each class among some rows, given as a (rows,) bool mask."""
    return tuple(
        float(data.weight[rows & (data.codes == column)].sum())
        for column in range(len(data.classes))
    )


def _class_sums(data: Batch) -> dict[str, dict[str, float] | None]:
    """Rows and weights of each class, whether or not the boosters were trained with weights."""
    classes = data.classes
    rows = np.bincount(data.codes, minlength=len(classes))
    sums = {"class_rows": dict(zip(classes, rows.tolist(), strict=True)), "class_weights": None}
    weight = plain_weights(data.rows)
    if weight is not None:
        total = np.bincount(data.codes, weight, minlength=len(classes))
        sums["class_weights"] = dict(zip(classes, total.tolist(), strict=True))
    return sums


def as_model(data: Batch, learner: Learner, members: list[Member]) -> EnsembleModel:
    """A model of members that were trained on these features."""
    labels = data.labels
    return EnsembleModel(
        members=tuple(members),
        features=data.features,
        classes=labels.classes,
        scores=dict(labels.scores) if learner.from_scores(labels) else None,
        combiner=EQUAL,
        prevalence=None,
        columns={key: getattr(labels, key) for key in ("group", "label", "weight", "position")},
        facts={"algorithm": ALGORITHM, **data.facts},
        rest_class=labels.rest_class,
    )
