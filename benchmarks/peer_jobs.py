"""What the processes of the benchmark of peers do: the same boosters, each package in its way.

Every peer gives a function that takes the rows of a fold, which gives one that fits a class on
them, which gives one that scores other rows; folds, classes and the number of trees are the same.
"""

import json
import multiprocessing
import os
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import wraps
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

RULES = ("cross_validate_batch", "train_batch")  # rules of a batch
PHASES = ("start", "read", "build", "pick", "boost", "predict", "rest")
PREPARATION = {
    ("steps.dataset", "analyze_dataset"): "analyse",
    ("steps.dataset", "choose_test_groups"): "plan",
    ("steps.dataset", "screen_features"): "screen",
    ("steps.dataset", "plan_batches"): "plan",
    ("dataset.row_pass", "write_row_files"): "split",
}

Predict = Callable[[np.ndarray], np.ndarray]  # mask of rows -> their scores
Fit = Callable[[np.ndarray], Predict]  # (rows,) bool, whether a row is of the class
Take = Callable[[np.ndarray], Fit]  # mask of the rows to train on


class Phases:
    """CPU seconds of this process by phase; one inside another is taken off the outer one.

    What comes before the first phase, the interpreter and its imports, is `start`; what is in no
    phase after that is `rest`.
    """

    def __init__(self) -> None:
        self.seconds: Counter[str] = Counter()
        self.open = ["start"]
        self.since = 0.0  # of process time, so that `start` begins with the process

    @contextmanager
    def __call__(self, phase: str) -> Iterator[None]:
        """Charge what runs inside to a phase."""
        self.charge()
        if self.open == ["start"]:
            self.open = ["rest"]
        self.open.append(phase)
        try:
            yield
        finally:
            self.charge()
            self.open.pop()

    def charge(self) -> None:
        """Charge the time since the last call to the innermost open phase."""
        now = time.process_time()
        self.seconds[self.open[-1]] += now - self.since
        self.since = now

    def wrap(self, owner: Any, name: str, phase: str | Callable[..., str]) -> None:
        """Make a function of a module or class a phase, which its arguments may choose."""
        inner = getattr(owner, name)

        @wraps(inner)
        def timed(*arguments: Any, **named: Any) -> Any:
            with self(phase(*arguments, **named) if callable(phase) else phase):
                return inner(*arguments, **named)

        setattr(owner, name, timed)


class Job(NamedTuple):
    """What every peer is given."""

    folder: str  # shards with the rows of the batch and no others
    features: list[str]
    n_dense: int
    codes: np.ndarray  # (rows,) class
    fold: np.ndarray  # (rows,)
    learner: dict[str, Any]

    @classmethod
    def load(cls, work: Path, settings: dict) -> "Job":
        """Read what the preparation told."""
        features = json.loads((work / "features.json").read_text())
        with np.load(work / "rows.npz") as rows:
            codes, fold = rows["codes"], rows["fold"]
        names, learner = features["names"], settings["learner"]
        return cls(str(work / "data" / "batch"), names, features["n_dense"], codes, fold, learner)

    @property
    def n_trees(self) -> int:
        """Trees of every booster."""
        return self.learner["n_estimators"]


def pandas_classifier(job: Job, phases: Phases) -> Take:
    import pandas as pd
    import xgboost as xgb

    phases.wrap(xgb.Booster, "update", "boost")
    with phases("read"):
        X = pd.read_parquet(job.folder, columns=job.features).astype("float64")
    given = xgboost_parameters(job.learner) | {"n_estimators": job.n_trees, "n_jobs": 1}

    def take(train: np.ndarray) -> Fit:
        def fit(y: np.ndarray) -> Predict:
            model = xgb.XGBClassifier(**given)
            with phases("build"):
                model.fit(X if train.all() else X.iloc[np.flatnonzero(train)], y[train])

            def predict(held: np.ndarray) -> np.ndarray:
                with phases("predict"):
                    return model.predict_proba(X.iloc[np.flatnonzero(held)])[:, 1]

            return predict

        return fit

    return take


def polars_matrices(job: Job, phases: Phases) -> Take:
    import xgboost as xgb

    phases.wrap(xgb.Booster, "update", unless_first)
    with phases("read"):
        X = read_float32(job)
    given = xgboost_parameters(job.learner)
    given |= {"objective": "binary:logistic", "nthread": 1}

    def take(train: np.ndarray) -> Fit:
        def fit(y: np.ndarray) -> Predict:
            with phases("build"):
                part = X if train.all() else X.filter(train)
                booster = xgb.train(
                    given, xgb.DMatrix(part, label=y[train], nthread=1), job.n_trees
                )

            def predict(held: np.ndarray) -> np.ndarray:
                with phases("predict"):
                    return booster.predict(xgb.DMatrix(X.filter(held), nthread=1))

            return predict

        return fit

    return take


def lightgbm_sparse(job: Job, phases: Phases) -> Take:
    import lightgbm as lgb

    phases.wrap(lgb.Booster, "update", "boost")
    with phases("read"):
        X = read_sparse(job)
    given = lightgbm_parameters(job.learner)
    with phases("build"):
        binned = lgb.Dataset(X, label=job.codes, params=given, free_raw_data=False).construct()

    def take(train: np.ndarray) -> Fit:
        with phases("build"):
            part = binned if train.all() else binned.subset(np.flatnonzero(train)).construct()

        def fit(y: np.ndarray) -> Predict:
            with phases("build"):
                booster = lgb.train(given, part.set_label(y[train]), job.n_trees)

            def predict(held: np.ndarray) -> np.ndarray:
                with phases("predict"):
                    return booster.predict(X[held])

            return predict

        return fit

    return take


def sklearn_histogram(job: Job, phases: Phases) -> Take:
    from sklearn.ensemble import HistGradientBoostingClassifier

    with phases("read"):
        X = read_float32(job).to_numpy()
    learner = job.learner
    given = {"learning_rate": learner["learning_rate"], "l2_regularization": learner["lambda"]}
    given |= {"max_depth": learner["max_depth"], "max_leaf_nodes": 2 ** learner["max_depth"]}
    given |= {"max_bins": learner["max_bin"] - 1, "max_iter": job.n_trees}  # 255 is its most
    given |= {"early_stopping": False}

    def take(train: np.ndarray) -> Fit:
        with phases("build"):
            part = X if train.all() else X[train]

        def fit(y: np.ndarray) -> Predict:
            model = HistGradientBoostingClassifier(**given)
            with phases("boost"):
                model.fit(part, y[train])

            def predict(held: np.ndarray) -> np.ndarray:
                with phases("predict"):
                    return model.predict_proba(X[held])[:, 1]

            return predict

        return fit

    return take


PEERS = {
    "a": pandas_classifier,
    "b": polars_matrices,
    "c": lightgbm_sparse,
    "d": sklearn_histogram,
}


def unless_first(booster: Any, matrix: Any, iteration: int, *rest: Any, **named: Any) -> str:
    """Phase of a round on a plain matrix, whose first round bins it."""
    return "boost" if iteration else "build"


def xgboost_parameters(learner: dict[str, Any]) -> dict[str, Any]:
    names = ("learning_rate", "max_depth", "min_child_weight", "max_bin")
    return {name: learner[name] for name in names} | {
        "reg_lambda": learner["lambda"],
        "tree_method": "hist",
    }


def lightgbm_parameters(learner: dict[str, Any]) -> dict[str, Any]:
    """The settings of the package, as LightGBM calls them."""
    given = {"learning_rate": learner["learning_rate"], "lambda_l2": learner["lambda"]}
    given |= {"max_depth": learner["max_depth"], "num_leaves": 2 ** learner["max_depth"]}
    given |= {"min_sum_hessian_in_leaf": learner["min_child_weight"], "min_data_in_leaf": 1}
    given |= {"max_bin": learner["max_bin"] - 1, "objective": "binary"}  # 255 is one byte there
    return given | {"num_threads": 1, "verbosity": -1, "force_row_wise": True}  # else tried


def read_float32(job: Job) -> Any:
    import polars as pl

    return pl.scan_parquet(job.folder).select(pl.col(job.features).cast(pl.Float32)).collect()


def read_sparse(job: Job) -> Any:
    """Counts without their zeros, the other features in full."""
    from scipy import sparse

    return sparse.vstack(blocks(job), format="csr")


def blocks(job: Job) -> list:
    """Feature blocks as the package stores them."""
    import polars as pl

    from genebatch.dataset.feature_set import Features

    features = Features(tuple(job.features), job.n_dense)
    shards = sorted(Path(job.folder).glob("*.parquet"))
    frames = (pl.read_parquet(shard, columns=job.features) for shard in shards)
    return [features.select(part) for frame in frames for part in frame.iter_slices(8192)]


def run_peer(peer: str, work: Path, settings: dict, phases: Phases) -> np.ndarray:
    """Cross-validation and the model of all rows; gives the out-of-fold scores."""
    job = Job.load(work, settings)
    take = PEERS[peer](job, phases)
    classes, n_splits = settings["dataset"]["classes"], int(job.fold.max()) + 1
    scores = np.full((len(job.codes), len(classes)), np.nan)
    for number in range(n_splits):
        train = job.fold != number
        fit = take(train)
        for column in range(len(classes)):
            scores[~train, column] = fit(job.codes == column)(~train)
        del fit  # and the rows it holds, before the next are taken
    fit = take(np.ones(len(job.codes), bool))
    for column in range(len(classes)):
        fit(job.codes == column)
    return scores


def run_rule(rule: str, work: Path, settings: dict, phases: Phases) -> None:
    """One rule of a batch as the workflow runs it, its parts made phases."""
    import memory

    phase_package(phases)
    with phases("rest"):
        memory.run_batch_rule(rule, memory.paths(work), settings)


def phase_package(phases: Phases) -> None:
    """Make the parts of the package phases, before others import them by their names."""
    import xgboost as xgb

    from genebatch.model import boosting as learner
    from genebatch.training import batch

    phases.wrap(batch, "load_batch", "read")
    phases.wrap(learner, "build_matrix", "build")

    from genebatch.training import matrices

    phases.wrap(matrices, "held_block", "read")
    phases.wrap(matrices, "predicted", "predict")

    from genebatch.training import selection

    phases.wrap(selection.Pilot, "columns", "pick")
    phases.wrap(xgb.Booster, "update", lambda *_: "pick" if "pick" in phases.open else "boost")
    phases.wrap(xgb.Booster, "predict", "predict")


def prepare(work: Path, settings: dict, phases: Phases) -> None:
    """Everything before the rules of a batch, and what of it the peers are told."""
    from importlib import import_module

    import memory

    for (module, name), phase in PREPARATION.items():
        phases.wrap(import_module(f"genebatch.{module}"), name, phase)
    memory.prepare(work, settings)
    phases.charge()
    tell_peers(work, settings["dataset"])


def tell_peers(work: Path, dataset: dict) -> None:
    """Class and fold of every row of the batch, in the order of its shards."""
    import polars as pl

    from genebatch.dataset.rows import label_codes

    plan = pl.read_parquet(work / "planned.parquet").filter(~pl.col("test"))
    if plan["batch"].n_unique() != 1:
        raise SystemExit("the rows were dealt into several batches")
    rows = pl.read_parquet(work / "data" / "batch" / "*.parquet", columns=identity(dataset))
    group = rows.select(pl.col(dataset["group"]).cast(pl.String).alias("group"))
    fold = group.join(plan.select("group", "fold"), on="group", how="left", maintain_order="left")
    codes = label_codes(rows[dataset["label"]], dataset["classes"], dataset["null_label"])
    np.savez(work / "rows.npz", codes=codes, fold=fold["fold"].to_numpy())


def identity(dataset: dict) -> list[str]:
    return [dataset["group"], dataset["label"]]


def measured(function: Callable, *arguments: Any) -> dict[str, Any]:
    """Run a job in a process of its own on one core, and give what it cost.

    The job is called with its arguments and the phases; what it returns is `found`.
    """
    os.environ |= dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "1")
    os.environ |= {"POLARS_MAX_THREADS": "1", "ARROW_DEFAULT_MEMORY_POOL": "system"}
    here, there = multiprocessing.get_context("spawn").Pipe(duplex=False)
    process = multiprocessing.get_context("spawn").Process(
        target=_measure, args=(there, function, arguments)
    )
    start = time.perf_counter()
    process.start()
    there.close()
    try:
        cost = here.recv()
    except EOFError:
        raise SystemExit(f"{function.__name__}{arguments[:1]} failed") from None
    process.join()
    return cost | {"wall": time.perf_counter() - start}


def _measure(answer: Any, function: Callable, arguments: tuple) -> None:
    os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
    phases = Phases()
    found = function(*arguments, phases)
    phases.charge()
    from genebatch.jobs.run import peak_mb

    cost = {"seconds": dict(phases.seconds), "cpu": sum(phases.seconds.values())}
    answer.send(cost | {"peak": peak_mb(), "found": found})
