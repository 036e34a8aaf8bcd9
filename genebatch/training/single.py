"""One model of all training rows, boosted out of core: the rival that an ensemble must better."""

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import polars as pl

from genebatch.io.files import write_json, write_parquet, write_tsv
from genebatch.model.held_out import score_series
from genebatch.training.all_rows import load_all
from genebatch.training.recipe import (
    Calibrated,
    as_model,
    calibrate,
    cross_validate,
    fold_metrics,
    median_trees,
    train_member,
)

log = logging.getLogger(__name__)

NAME = "single"


def train_single(
    inputs: Mapping[str, str | Path],
    dataset: Mapping[str, Any],
    cv: Mapping[str, Any],
    learner: Mapping[str, Any],
    calibration: Mapping[str, Any],
    outputs: Mapping[str, str | Path],
) -> None:
    """Train one model on the rows of every batch, as a batch's model is trained on its own.

    Folds are those of the batches put together, so every row gets a score of boosters that never
    saw its group, on which the calibrators are fitted and by which the model is compared with the
    ensemble. Then all rows, with the median of the folds' numbers of trees. See
    `out_of_core.load_all` for the memory held.

    Parameters
    ----------
    inputs
        Paths `profile`, `features` and `plan` (batches/genes.parquet).
    dataset, cv, learner, calibration
        Parts of the config.
    outputs
        Paths `model` (a model file with one member), `honest` (Parquet: identity columns and
        `single:{class}`, the cross-fitted probabilities of every training row, in the order of the
        shards), `folds`, `metrics` (TSV), `curves` (Parquet) and `calibration` (JSON), all as for
        a batch.
    """
    data = load_all(inputs, dataset, learner)
    found = cross_validate(data, NAME, dataset["classes"], cv, learner)
    trees = median_trees(found.folds)
    member = train_member(data, NAME, dataset["classes"], trees, learner)
    model = as_model(data, dataset, learner, [member])
    done = calibrate(model, found.out_of_fold, calibration["method"], learner["use_weights"])
    write_tsv(outputs["folds"], found.folds)
    write_tsv(outputs["metrics"], fold_metrics(found.out_of_fold, dataset))
    write_parquet(outputs["curves"], found.curves)
    write_json(outputs["calibration"], done.described)
    write_honest(outputs["honest"], NAME, found.out_of_fold, done)
    done.model.save(outputs["model"])


def write_honest(path: str | Path, name: str, rows: pl.DataFrame, done: Calibrated) -> None:
    """Write the cross-fitted probabilities of a model beside what its rows are."""
    classes = done.model.classes
    margins = [f"margin_{label}" for label in classes]
    series = score_series([name], classes, done.probability[:, None])
    write_parquet(path, rows.drop(margins).hstack(series))
