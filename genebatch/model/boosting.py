"""Fits boosters on one binned matrix for all folds and classes, and predicts with them."""

import json
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import polars as pl
import xgboost as xgb
from scipy import sparse

from genebatch.config.settings import Learner
from genebatch.dataset.feature_set import Features
from genebatch.io.columns import is_number, no_number
from genebatch.io.files import InputError
from genebatch.io.numbers import beyond_rounding, digits
from genebatch.jobs.memory import CACHED_NODES
from genebatch.metrics.binary import log_loss_rows

Block = np.ndarray | sparse.csr_matrix

# A probability of exactly 0 or 1 has no finite log-odds. Scores are clipped to values that float32
# still tells from 0 and 1.
SCORE_FLOOR, SCORE_CEILING = 1e-9, 1 - 1e-6


class Fit(NamedTuple):
    """A booster whose number of trees was chosen on held-out groups.

    Attributes
    ----------
    booster
        The first `n_trees` trees.
    n_trees
        Trees at the lowest log loss of the stopping rows; 0 if no tree lowered it.
    margin
        (rows,) float32 log-odds of every row of the matrix at `n_trees`.
    curve
        Columns `n_trees`, `train_log_loss`, `stop_log_loss`; weighted means.
    stopped
        Whether patience ran out before the limit of trees.
    """

    booster: xgb.Booster
    n_trees: int
    margin: np.ndarray
    curve: pl.DataFrame
    stopped: bool


def build_matrix(
    blocks: Iterable[Block],
    n_features: int,
    max_bin: int,
    threads: int,
    pages: str | Path | None = None,
) -> xgb.QuantileDMatrix | xgb.ExtMemQuantileDMatrix:
    """Bin feature blocks into one matrix; labels, weights and margins are set later.

    Bin edges come from the features of all rows, without weights. All folds and classes share
    them. Holds the matrix and one block.

    Parameters
    ----------
    blocks
        float32 blocks of rows as `Features.select` gives them. XGBoost makes several passes (rows,
        sketch, row index, columns), each from the first block, so this cannot be an iterator.
    n_features
        Number of columns.
    max_bin, threads
        As in `Learner`.
    pages
        First part of the names of files that hold the matrix on disk, one page for each block.
        None keeps the matrix in memory. The trees are the same.
    """
    given = {"max_bin": max_bin, "nthread": threads, "missing": np.nan}
    if pages is None:
        return xgb.QuantileDMatrix(_Blocks(blocks, n_features, None), **given)
    return xgb.ExtMemQuantileDMatrix(_Blocks(blocks, n_features, str(pages)), **given)


def base_margins(frame: pl.DataFrame, scores: Mapping[str, str]) -> dict[str, np.ndarray]:
    """Compute the log-odds of the base scores, (rows,) float32 by class.

    Raises
    ------
    InputError
        If a score is missing, no number, or no probability by more than rounding.
    """
    margins = {}
    for name, column in scores.items():
        if not is_number(frame.schema[column]):
            raise InputError(no_number(frame[column]))
        score = frame[column].cast(pl.Float64).to_numpy()
        bad = beyond_rounding(score)
        if bad.any():
            raise InputError(
                f"column '{column}' has {int(bad.sum()):,} values that are not probabilities "
                f"(first: {digits(score[bad][0])}); dataset.scores.{name} must lie in [0, 1]"
            )
        clipped = np.clip(score, SCORE_FLOOR, SCORE_CEILING)
        margins[name] = (np.log(clipped) - np.log1p(-clipped)).astype(np.float32)
    return margins


def parameters(learner: Learner) -> dict[str, Any]:
    """Translate the settings into XGBoost's parameters."""
    names = ("learning_rate", "max_depth", "min_child_weight", "reg_lambda", "subsample")
    names += ("colsample_bytree", "max_bin", "device", "seed")
    chosen = {name: getattr(learner, name) for name in names}
    chosen["lambda"] = chosen.pop("reg_lambda")
    fixed = {"objective": "binary:logistic", "tree_method": "hist", "nthread": learner.threads}
    fixed |= {"disable_default_eval_metric": True}
    if learner.device == "cpu":
        fixed["max_cached_hist_node"] = CACHED_NODES
    return {"verbosity": 1} | learner.params | chosen | fixed


def fit_until_stopped(
    matrix: xgb.QuantileDMatrix,
    y: np.ndarray,
    weight: np.ndarray,
    train: np.ndarray,
    stop: np.ndarray,
    margin: np.ndarray | None,
    learner: Learner,
    target: np.ndarray | None = None,
) -> Fit:
    """Boost on the training rows until the log loss of the stopping rows no longer falls.

    All rows stay in the one matrix. Rows outside `train` have weight zero: the trees are exactly
    those of a matrix without these rows. Margins of all rows come from XGBoost's prediction cache,
    so early stopping needs no second matrix.

    Parameters
    ----------
    matrix
        All rows.
    y
        (rows,) bool, the class against the rest.
    weight
        (rows,) row weights.
    train, stop
        (rows,) bool masks; stopping rows belong to other groups than training rows.
    margin
        (rows,) log-odds to start from. None starts from the share of positive rows.
    learner
        Settings of the boosters.
    target
        (rows,) in [0, 1], fitted in place of `y`. Early stopping uses `y` all the same.

    Raises
    ------
    InputError
        If all training rows, or all stopping rows, have weight zero.
    """
    _check_weighed(weight, {"train": train, "stop": stop})
    fitted = y if target is None else target
    booster = _start(matrix, fitted, np.where(train, weight, 0), margin, learner)
    watch = _Watch(matrix, y, weight, train, stop, learner.early_stopping_rounds)
    watch.look(booster, 0)
    if 0 < fitted[train].sum() < train.sum():
        for n_trees in range(1, learner.n_estimators + 1):
            booster.update(matrix, n_trees - 1)
            if watch.look(booster, n_trees):
                break
    kept = (
        booster[: watch.best]
        if watch.best
        else _start(matrix, fitted, np.where(train, weight, 0), margin, learner)
    )
    return Fit(kept, watch.best, watch.margin, watch.curve(), watch.exhausted)


def fit_trees(
    matrix: xgb.QuantileDMatrix,
    y: np.ndarray,
    weight: np.ndarray,
    margin: np.ndarray | None,
    n_trees: int,
    learner: Learner,
) -> xgb.Booster:
    """Boost a fixed number of trees on all rows; `y` may be any target in [0, 1].

    The booster keeps its trees only, not the histograms and margins that training needs. A job
    holds the boosters of all classes at once.
    """
    booster = _start(matrix, y, weight, margin, learner)
    for number in range(n_trees):
        booster.update(matrix, number)
    return booster.reset()


def predict_margin(
    booster: xgb.Booster, matrix: xgb.DMatrix, margin: np.ndarray | None
) -> np.ndarray:
    """Predict the log-odds of the rows of a matrix, (rows,) float32."""
    matrix.set_base_margin(np.empty(0, np.float32) if margin is None else margin)
    return booster.predict(matrix, output_margin=True)


def contributions(
    booster: xgb.Booster, matrix: xgb.DMatrix, margin: np.ndarray | None
) -> np.ndarray:
    """Compute SHAP values of the margin, (rows, features + 1) float32.

    Uses XGBoost's own TreeSHAP, as shap.TreeExplainer does. The last column is the expectation
    before any feature is known: the row's base margin (the intercept where there is none) plus the
    mean of the trees over training rows, weighted by hessian. Each row sums to its margin.
    """
    matrix.set_base_margin(np.empty(0, np.float32) if margin is None else margin)
    return booster.predict(matrix, pred_contribs=True)


def to_matrix(block: Block, threads: int) -> xgb.DMatrix:
    """Make a plain matrix for prediction; absent cells count as in training."""
    return xgb.DMatrix(block, missing=np.nan, nthread=threads)


def to_bytes(booster: xgb.Booster) -> bytes:
    """Write the booster in XGBoost's binary JSON."""
    return bytes(booster.save_raw("ubj"))


def from_bytes(data: bytes, threads: int = 1) -> xgb.Booster:
    """Read what `to_bytes` wrote."""
    booster = xgb.Booster({"nthread": threads})
    booster.load_model(bytearray(data))
    return booster


def gains(booster: xgb.Booster, features: Features) -> np.ndarray:
    """Sum the gain of the splits on each feature, (features,)."""
    scores = booster.get_score(importance_type="total_gain")
    return np.array([scores.get(f"f{number}", 0.0) for number in range(len(features.names))])


def _start(
    matrix: xgb.QuantileDMatrix,
    y: np.ndarray,
    weight: np.ndarray,
    margin: np.ndarray | None,
    learner: Learner,
) -> xgb.Booster:
    matrix.set_label(y.astype(np.float32))
    matrix.set_weight(weight.astype(np.float32))
    matrix.set_base_margin(np.empty(0, np.float32) if margin is None else margin)
    given = parameters(learner)
    # A base margin replaces the intercept. Without one the intercept is the share of positive rows
    # with half a row added to both classes (Jeffreys), so that its log-odds are finite.
    positive, total = float((weight * y).sum()), float(weight.sum())
    rows = max(int((weight > 0).sum()), 1)
    half = 0.5 * total / rows if total else 0.5
    given["base_score"] = 0.5 if margin is not None else (positive + half) / (total + 2 * half)
    booster = xgb.Booster(given, cache=[matrix])
    _check_device(booster, learner.device)
    return booster


def _check_device(booster: xgb.Booster, device: str) -> None:
    """Raise if XGBoost found no such GPU: it then only warns and takes the CPU."""
    if device == "cpu":
        return
    used = json.loads(booster.save_config())["learner"]["generic_param"]["device"]
    if used == "cpu":
        raise InputError(
            f"learner.device is {device}, but XGBoost finds no such GPU here; run where there is "
            "one, or set learner.device: cpu"
        )


def _check_weighed(weight: np.ndarray, parts: Mapping[str, np.ndarray]) -> None:
    """Raise if all rows of a part have weight zero: their mean loss is not defined."""
    for part, rows in parts.items():
        if not weight[rows].any():
            raise InputError(
                f"the {int(rows.sum()):,} rows that {part} boosting all have weight 0; correct the "
                "column of dataset.weight, set learner.use_weights: false, or make batches larger"
            )


class _Watch:
    """Keeps the best number of trees, and the margins of all rows at that number."""

    def __init__(
        self,
        matrix: xgb.QuantileDMatrix,
        y: np.ndarray,
        weight: np.ndarray,
        train: np.ndarray,
        stop: np.ndarray,
        patience: int,
    ):
        self.matrix, self.patience = matrix, patience
        self.parts = [(np.flatnonzero(part), y[part], weight[part]) for part in (train, stop)]
        self.losses: list[tuple[float, float]] = []
        self.best = 0
        self.exhausted = False
        self.margin = np.empty(0, np.float32)

    def look(self, booster: xgb.Booster, n_trees: int) -> bool:
        """Score the booster; give true when patience has run out."""
        margin = booster.predict(self.matrix, output_margin=True)
        train, stop = (
            float(np.average(log_loss_rows(y, margin[rows]), weights=weight))
            for rows, y, weight in self.parts
        )
        if not self.losses or stop < self.losses[self.best][1]:
            self.best, self.margin = n_trees, margin
        self.losses.append((train, stop))
        self.exhausted = n_trees - self.best >= self.patience
        return self.exhausted

    def curve(self) -> pl.DataFrame:
        train, stop = zip(*self.losses, strict=True)
        numbers = np.arange(len(train), dtype=np.uint32)
        return pl.DataFrame({"n_trees": numbers, "train_log_loss": train, "stop_log_loss": stop})


class _Blocks(xgb.DataIter):
    """Gives feature blocks to XGBoost one at a time, in every pass from the first one."""

    def __init__(self, blocks: Iterable[Block], n_features: int, pages: str | None):
        super().__init__(cache_prefix=pages, release_data=True)
        self.blocks, self.n_features = blocks, n_features
        self.coming: Iterator[Block] | None = None

    def next(self, input_data: Any) -> bool:
        first = self.coming is None
        if self.coming is None:
            self.coming = iter(self.blocks)
        block = next(self.coming, None)
        if block is None:
            if first:
                raise InputError("there are no rows to train on")
            return False
        if block.shape[1] != self.n_features:
            raise ValueError(f"a block of {block.shape[1]} features, not of {self.n_features}")
        input_data(data=block)
        return True

    def reset(self) -> None:
        self.coming = None
