"""LightGBM with early stopping, beside genebatch: the folds, and the groups that stop boosting, are
the same for all.

Each way of LightGBM gives a function that fits a class on the training and the stopping rows of a
fold.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import polars as pl
from peer_jobs import Job, Phases, lightgbm_parameters, phase_package, read_sparse

PATIENCE = 30


class Fitted(NamedTuple):
    """A booster, and what scores rows with it."""

    n_trees: int
    predict: Callable[[np.ndarray], np.ndarray]  # mask of rows -> their scores


FitClass = Callable[[np.ndarray, np.ndarray, int], Fitted]  # training rows, stopping rows, class


def as_people_do(job: Job, work: Path, settings: dict, phases: Phases) -> FitClass:
    """A classifier with the defaults of LightGBM on a table of pandas."""
    import lightgbm as lgb
    import pandas as pd

    with phases("read"):
        X = pd.read_parquet(job.folder, columns=job.features).astype("float32")

    def fit(train: np.ndarray, stop: np.ndarray, column: int) -> Fitted:
        y = job.codes == column
        model = lgb.LGBMClassifier(n_estimators=job.n_trees, n_jobs=1, verbosity=-1)
        stopping = [lgb.early_stopping(PATIENCE, verbose=False)]
        with phases("build"):
            held = {"eval_X": X.iloc[np.flatnonzero(stop)], "eval_y": y[stop]}
            model.fit(X.iloc[np.flatnonzero(train)], y[train], callbacks=stopping, **held)

        def predict(held: np.ndarray) -> np.ndarray:
            with phases("predict"):
                return model.predict_proba(X.iloc[np.flatnonzero(held)])[:, 1]

        return Fitted(model.best_iteration_, predict)

    return fit


def sparse_once(job: Job, work: Path, settings: dict, phases: Phases) -> FitClass:
    """All features, sparse, binned once; the settings are those of the package."""
    import lightgbm as lgb

    with phases("read"):
        X = read_sparse(job)
    given = lightgbm_parameters(job.learner)
    with phases("build"):
        binned = lgb.Dataset(X, label=job.codes, params=given, free_raw_data=False).construct()

    def fit(train: np.ndarray, stop: np.ndarray, column: int) -> Fitted:
        y = job.codes == column
        with phases("build"):
            part, held = (
                binned.subset(np.flatnonzero(kept)).construct().set_label(y[kept])
                for kept in (train, stop)
            )
            booster = boosted(given, part, held, job.n_trees)

        def predict(kept: np.ndarray) -> np.ndarray:
            with phases("predict"):
                return booster.predict(X[kept])

        return Fitted(booster.best_iteration, predict)

    return fit


def picked(job: Job, work: Path, settings: dict, phases: Phases) -> FitClass:
    """The features that the pilots of the package pick in the fold, and nothing else."""
    import lightgbm as lgb
    import memory

    from genebatch.config.settings import Learner
    from genebatch.dataset.row_file import RowFile
    from genebatch.training import selection
    from genebatch.training.batch import load_batch
    from genebatch.training.matrices import held_block

    with phases("read"):
        learner = Learner.build(settings["learner"])
        data = load_batch(RowFile.open(memory.paths(work)["rows"]), learner)
    with phases("build"):
        pilot = selection.Pilot(data, learner.for_rows(len(job.codes)))
    given = lightgbm_parameters(job.learner)

    def block(kept: np.ndarray, columns: np.ndarray) -> Any:
        with phases("read"):
            return held_block(data, kept, columns, data.features.some(columns).stores_zeros)

    def fit(train: np.ndarray, stop: np.ndarray, column: int) -> Fitted:
        y = job.codes == column
        with phases("pick"):
            columns = pilot.columns(column, train)
        with phases("build"):
            part = lgb.Dataset(block(train, columns), label=y[train], params=given)
            held = part.create_valid(block(stop, columns), label=y[stop])
            booster = boosted(given, part, held, job.n_trees)

        def predict(kept: np.ndarray) -> np.ndarray:
            rows = block(kept, columns)
            with phases("predict"):
                return booster.predict(rows)

        return Fitted(booster.best_iteration, predict)

    return fit


def boosted(given: dict[str, Any], part: Any, held: Any, trees: int) -> Any:
    """Boost until patience runs out."""
    import lightgbm as lgb

    stopping = lgb.early_stopping(PATIENCE, verbose=False)
    return lgb.train(given, part, trees, valid_sets=[held], callbacks=[stopping])


STOPPED = {"f": as_people_do, "g": picked, "c": sparse_once}


def tell_stops(work: Path, settings: dict, phases: Phases) -> None:
    """Write which rows stop boosting in each fold, (folds, rows) bool, in the order of shards."""
    import memory

    from genebatch.config.settings import Folds, Learner
    from genebatch.dataset.row_file import RowFile
    from genebatch.training.batch import load_batch, stopping_split

    data = load_batch(RowFile.open(memory.paths(work)["rows"]), Learner.build(settings["learner"]))
    names = pl.read_parquet(
        work / "data" / "batch" / "*.parquet", columns=[settings["dataset"]["group"]]
    )
    if not names.to_series().cast(pl.String).equals(data.rows["group"].cast(pl.String)):
        raise SystemExit("the rows of the batch are in another order than those of the shards")
    cv, fold = Folds.build(settings["cv"]), data.rows["fold"].to_numpy()
    splits = [stopping_split(data, fold != number, cv) for number in range(data.n_folds)]
    np.save(work / "stops.npy", np.array([stop for _, stop in splits]))


def run_stopped(
    way: str, work: Path, settings: dict, n_folds: int, phases: Phases
) -> dict[str, Any]:
    """Cross-validation of the first folds with early stopping.

    Returns
    -------
    dict
        `scores` of the rows out of fold, and the mean `trees` of the folds by class.
    """
    import lightgbm as lgb

    from genebatch.config.settings import Learner

    phases.wrap(lgb.Booster, "update", "boost")
    phases.wrap(lgb.Booster, "eval_valid", "predict")
    job, stops = Job.load(work, settings), np.load(work / "stops.npy")
    learner = Learner.build(settings["learner"]).for_rows(len(job.codes))
    job = job._replace(learner=learner.plain())
    fit = STOPPED[way](job, work, settings, phases)
    classes, lines = settings["dataset"]["classes"], []
    scores = np.full((len(job.codes), len(classes)), np.nan)
    for number, stop in enumerate(stops[:n_folds]):
        held = job.fold == number
        for column, label in enumerate(classes):
            fitted = fit(~held & ~stop, stop, column)
            scores[held, column] = fitted.predict(held)
            lines.append({"class": label, "n_trees": fitted.n_trees})
    return {"scores": scores, "trees": mean_trees(pl.DataFrame(lines))}


def run_ours(work: Path, settings: dict, n_folds: int, phases: Phases) -> dict[str, Any]:
    """The same by the package, as the rule of a batch calls it; see `run_stopped`."""
    import memory

    phase_package(phases)
    from genebatch.config.settings import Folds, Learner
    from genebatch.dataset.row_file import RowFile
    from genebatch.training import batch
    from genebatch.training.cross_validation import cross_validate

    learner = Learner.build(settings["learner"])
    data = batch.load_batch(RowFile.open(memory.paths(work)["rows"]), learner)
    numbers = range(min(n_folds, data.n_folds))
    found = cross_validate(data, Folds.build(settings["cv"]), learner, numbers)
    scores = np.full((len(data.codes), len(data.classes)), np.nan)
    held = np.isin(data.rows["fold"].to_numpy(), list(numbers))
    scores[held] = found.out_of_fold.select(f"margin_{name}" for name in data.classes).to_numpy()
    return {"scores": scores, "trees": mean_trees(found.folds)}


def mean_trees(folds: pl.DataFrame) -> dict[str, float]:
    """Trees of the folds' boosters by class."""
    means = folds.group_by("class", maintain_order=True).agg(pl.col("n_trees").mean())
    return dict(means.iter_rows())
