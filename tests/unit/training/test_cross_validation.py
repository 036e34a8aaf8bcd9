"""What training.cross_validation promises: every fold judged alike, and what its curve shows."""

import numpy as np
import polars as pl
import pytest

from genebatch.dataset.row_file import RowFile
from genebatch.io.files import InputError
from genebatch.model import boosting
from genebatch.training import cross_validation
from genebatch.training.batch import load_batch

CLASSES = ["neither", "donor", "acceptor"]


@pytest.fixture(scope="module")
def batch(toy):
    """The rows of the first batch, loaded."""
    return load_batch(RowFile.open(toy.paths("b000")["rows"]), toy.settings.learner)


# Metrics of the folds


def test_base_scores_are_judged_as_they_are(toy):
    scores = {f"score_{name}": [0.9, 0.0, 0.4, 0.8] for name in CLASSES}
    out_of_fold = pl.read_parquet(toy.paths("b000")["out_of_fold"])
    rows = out_of_fold[:4].with_columns(
        pl.Series("label", ["donor", "neither", "acceptor", "neither"]),
        pl.lit(0).alias("fold"),
        *(pl.Series(name, values) for name, values in scores.items()),
    )
    table = cross_validation.fold_metrics(rows, toy.settings.table.labels)
    table = table.filter(system="base", weighted=False)
    donor = table.filter(pl.col("class") == "donor", pl.col("metric") == "brier")["value"].item()
    assert donor == pytest.approx((0.1**2 + 0 + 0.4**2 + 0.8**2) / 4)
    overall = table.filter(pl.col("class") == "all", pl.col("metric") == "log_loss")
    assert overall["value"].item() is None
    assert "do not sum to 1" in overall["reason"].item()


# Numbers of trees


def trees_of(folds, train_rows, n_rows, most=800):
    folds = pl.DataFrame(folds).with_columns(train_rows=pl.lit(train_rows))
    return cross_validation.final_trees(folds, n_rows, most)


def test_numbers_of_trees_are_medians():
    folds = {"class": ["a"] * 3 + ["b"] * 3, "n_trees": [1, 5, 9, 4, 4, 0]}
    assert trees_of(folds, 70, 100) == {"a": 5, "b": 4}


def test_numbers_of_trees_of_many_rows_grow_as_the_rows_do():
    folds = {"class": ["a"] * 3 + ["b"] * 3, "n_trees": [1, 50, 90, 400, 600, 700]}
    assert trees_of(folds, 125_000, 200_000) == {"a": 80, "b": 800}  # b: 960, and 800 at most
    assert trees_of(folds, 125_000, 199_999) == {"a": 50, "b": 600}


def test_trees_beyond_the_limit_are_told(caplog):
    folds = {"class": ["a", "b", "c"], "n_trees": [500, 600, 700]}
    trees_of(folds, 125_000, 200_000)
    (told,) = caplog.messages
    assert "more trees than learner.n_estimators allows (800): b 960, c 1,120; raise it" in told


def test_median_trees_stand_in_the_order_of_the_classes():
    names = [f"class {number}" for number in range(40)]
    folds = {"class": names * 3, "n_trees": [4] * 40 + [9] * 40 + [1] * 40}
    assert list(trees_of(folds, 70, 100).items()) == [(name, 4) for name in names]


# Verdicts


def fit(train, stop, n_trees, stopped):
    numbers = np.arange(len(train), dtype=np.uint32)
    curve = pl.DataFrame({"n_trees": numbers, "train_log_loss": train, "stop_log_loss": stop})
    return boosting.Fit(None, n_trees, curve, stopped)


@pytest.mark.parametrize(
    ("given", "limit", "expected"),
    [
        (fit([0.1], [0.1], 0, False), 100, "constant class"),
        (fit([0.5, 0.4], [0.5, 0.6], 0, True), 100, "learned nothing"),
        (fit([0.5, 0.4, 0.3], [0.5, 0.4, 0.3], 2, False), 2, "tree limit"),
        (fit([0.5, 0.4, 0.3], [0.5, 0.4, 0.3], 2, True), 2, "good"),
        (fit([0.5, 0.14, 0.1], [0.5, 0.3, 0.4], 1, True), 100, "overfitting"),
        (fit([0.5, 0.15, 0.1], [0.5, 0.3, 0.4], 1, True), 100, "good"),
        (fit([0.5, 0.14, None], [0.5, 0.4, 0.3], 2, True), 100, "overfitting"),
    ],
)
def test_verdict_says_what_the_curve_shows(given, limit, expected):
    assert cross_validation.verdict(given, limit) == expected


def test_stopping_groups_without_weight_are_named_with_their_fold(toy, batch):
    fold = batch.rows["fold"].to_numpy()
    stop = (fold != 1) & (batch.rows["group"] == batch.groups[0]).to_numpy()
    if not stop.any():
        stop = (fold != 1) & (batch.rows["group"] == batch.groups[1]).to_numpy()
    train = (fold != 1) & ~stop
    light = batch._replace(weight=np.where(stop, 0.0, batch.weight))
    where = "batch b000, fold 1, class donor"
    message = r"batch b000, fold 1, class donor \(\d+ groups from '.*' to '.*'\): .*stop"
    every = np.arange(len(light.features.names))
    with pytest.raises(InputError, match=message):
        cross_validation.fit_class(light, 1, train, stop, toy.settings.learner, where, every)
