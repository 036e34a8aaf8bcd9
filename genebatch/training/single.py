"""Trains one model on all training rows, out of core: an ensemble must be better than it."""

from collections.abc import Mapping

import numpy as np
import polars as pl

from genebatch.config.settings import Folds, Learner
from genebatch.dataset.rows import ROW_KEYS
from genebatch.groups import deal
from genebatch.io.files import InputError
from genebatch.model.ensemble import EnsembleModel
from genebatch.model.held_out import score_series
from genebatch.training.batch import Batch, group_sizes
from genebatch.training.cross_validation import final_trees
from genebatch.training.recipe import Calibrated, as_model, train_member

NAME = "single"


def train_alone(data: Batch, folds: pl.DataFrame, learner: Learner) -> EnsembleModel:
    """Boost one model on the rows of every batch, as a batch's model is boosted on its own.

    It is not calibrated yet. Its calibrators are fitted on rows by boosters that never saw their
    group, and it is compared with the ensemble by them.

    Parameters
    ----------
    data
        What `batch.load_all` gives.
    folds
        Trees of every booster of the cross-validation; see `cross_validation.final_trees`.
    learner
        Settings.
    """
    trees = final_trees(folds, data.rows.height, learner.n_estimators)
    return as_model(data, learner, [train_member(data, NAME, trees, learner)])


def scored_rows(data: Batch, parts: Mapping[int, pl.DataFrame], cv: Folds) -> pl.DataFrame:
    """Put the out-of-fold log-odds of some folds together.

    Calibrators are cross-fitted by the column `fold`. Where there is one fold only, its groups are
    dealt anew into as many parts as the data has folds, which stand in that column.

    Parameters
    ----------
    data
        All training rows.
    parts
        Fold to what `cross_validate` gives of it.
    cv
        Settings.

    Returns
    -------
    polars.DataFrame
        Rows in the order of the data set.

    Raises
    ------
    InputError
        If a part is of other rows, or if the one fold has a single group.
    """
    fold = data.rows["fold"]
    margins = np.empty((len(fold), len(data.classes)), np.float32)
    names = [f"margin_{label}" for label in data.classes]
    for number, part in parts.items():
        own = data.rows.filter(fold == number)
        identity = [name for name in ROW_KEYS if name in own.columns]
        if not part.select(identity).equals(own.select(identity)):
            raise InputError(
                f"the scores of fold {number} of the single model are of other rows; delete "
                "single in the results folder and run again"
            )
        margins[(fold == number).to_numpy()] = part.select(names).to_numpy()
    scored = np.flatnonzero(fold.is_in(list(parts)).to_numpy())
    scored = scored[np.argsort(data.places[scored])]
    columns = [pl.Series(name, margins[scored, column]) for column, name in enumerate(names)]
    rows = data.rows[scored].with_columns(columns)
    return rows if len(parts) > 1 else _dealt_anew(rows, data, data.codes[scored], cv.seed)


def _dealt_anew(rows: pl.DataFrame, data: Batch, codes: np.ndarray, seed: int) -> pl.DataFrame:
    """Rows with their groups dealt into parts, which stand in the column `fold`."""
    groups, local, sizes = group_sizes(rows, codes, len(data.classes))
    if len(groups) < 2:
        raise InputError(
            f"the held-out fold of the single model has one group, '{groups[0]}': its calibrators "
            "need two; set single.n_splits to auto or 2"
        )
    parts = deal(groups, sizes, [1] * min(data.n_folds, len(groups)), seed)
    return rows.with_columns(fold=pl.Series(parts[local], dtype=pl.Int32))


def held_out_table(name: str, rows: pl.DataFrame, done: Calibrated) -> pl.DataFrame:
    """The cross-fitted probabilities of a model beside the identity of its rows."""
    classes = done.model.classes
    margins = [f"margin_{label}" for label in classes]
    return rows.drop(margins).hstack(score_series([name], classes, done.probability[:, None]))
