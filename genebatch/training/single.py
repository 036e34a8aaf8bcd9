"""Trains one model on all training rows, out of core: an ensemble must be better than it."""

from typing import NamedTuple

import polars as pl

from genebatch.config.settings import Folds, Learner
from genebatch.model.held_out import score_series
from genebatch.training.batch import Batch
from genebatch.training.cross_validation import CrossValidation, cross_validate, median_trees
from genebatch.training.recipe import Calibrated, as_model, calibrate, train_member

NAME = "single"


class Single(NamedTuple):
    """The single model: its cross-validation, and the calibrated model with what it is worth."""

    folds: CrossValidation
    calibrated: Calibrated


def train_alone(data: Batch, cv: Folds, learner: Learner, method: str) -> Single:
    """Train one model on the rows of every batch, as a batch's model is trained on its own.

    Folds are those of the batches put together. So every row gets a score of boosters that never
    saw its group. Calibrators are fitted on these scores, and the model is compared with the
    ensemble by them. Then boosters are trained on all rows, with the median of the folds' numbers
    of trees.

    Parameters
    ----------
    data
        What `batch.load_all` gives.
    cv, learner
        Settings.
    method
        `calibration.method`.
    """
    folds = cross_validate(data, cv, learner)
    member = train_member(data, NAME, median_trees(folds.folds), learner)
    model = as_model(data, learner, [member])
    settings = folds.origin.settings
    done = calibrate(model, folds.out_of_fold, method, learner.use_weights, settings)
    return Single(folds, done)


def held_out_table(name: str, rows: pl.DataFrame, done: Calibrated) -> pl.DataFrame:
    """The cross-fitted probabilities of a model beside the identity of its rows."""
    classes = done.model.classes
    margins = [f"margin_{label}" for label in classes]
    return rows.drop(margins).hstack(score_series([name], classes, done.probability[:, None]))
