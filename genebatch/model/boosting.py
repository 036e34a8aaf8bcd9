"""Fits boosters on one binned matrix for all folds and classes, and predicts with them."""

import json
import re
import warnings
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import polars as pl
import xgboost as xgb

from genebatch.config.settings import Learner
from genebatch.dataset.feature_set import Block, Features
from genebatch.io.columns import is_number, no_number
from genebatch.io.files import InputError
from genebatch.io.numbers import beyond_rounding, digits
from genebatch.jobs.memory import CACHED_NODES
from genebatch.metrics.binary import log_loss_rows

# A probability of exactly 0 or 1 has no finite log-odds. Scores are clipped to values that float32
# still tells from 0 and 1.
SCORE_FLOOR, SCORE_CEILING = 1e-9, 1 - 1e-6
EVERY_TREE = 30  # the loss of the training rows is measured for so many trees, then for some


class Part(NamedTuple):
    """The rows of a matrix, and what a booster of one class needs of them.

    Attributes
    ----------
    matrix
        Features: binned for training, as numbers for prediction.
    y
        (rows,) bool, the class against the rest.
    weight
        (rows,) row weights.
    margin
        (rows,) log-odds to start from. None starts from the share of positive training rows.
    """

    matrix: xgb.DMatrix
    y: np.ndarray
    weight: np.ndarray
    margin: np.ndarray | None


class Fit(NamedTuple):
    """A booster whose number of trees was chosen on held-out groups.

    Attributes
    ----------
    booster
        The first `n_trees` trees.
    n_trees
        Trees at the lowest log loss of the stopping rows; 0 if no tree lowered it.
    curve
        Columns `n_trees`, `train_log_loss`, `stop_log_loss`; weighted means. The training loss is
        measured for the first `EVERY_TREE` trees and then for each tenth, and else null.
    stopped
        Whether patience ran out before the limit of trees.
    """

    booster: xgb.Booster
    n_trees: int
    curve: pl.DataFrame
    stopped: bool

    @property
    def train_log_loss(self) -> float:
        """Loss of the training rows with the chosen trees, or where it was measured last before."""
        measured = self.curve["train_log_loss"][: self.n_trees + 1].drop_nulls()
        return float(measured[-1])


def build_matrix(
    blocks: Iterable[Block],
    n_features: int,
    max_bin: int,
    threads: int,
    pages: str | Path | None = None,
    types: Sequence[str] | None = None,
) -> xgb.QuantileDMatrix | xgb.ExtMemQuantileDMatrix:
    """Bin feature blocks into one matrix; labels, weights and margins are set later.

    Bin edges come from the features of all its rows, without weights. Holds the matrix and one
    block.

    Parameters
    ----------
    blocks
        Blocks of rows as `Features.select` gives them. XGBoost makes several passes (rows,
        sketch, row index, columns), each from the first block, so this cannot be an iterator.
    n_features
        Number of columns.
    max_bin, threads
        As in `Learner`.
    pages
        First part of the names of files that hold the matrix on disk, one page for each block.
        None keeps the matrix in memory. The trees are the same.
    types
        `Features.types`.
    """
    given = {"max_bin": max_bin, "nthread": threads, "missing": np.nan}
    if pages is None:
        return xgb.QuantileDMatrix(_Blocks(blocks, n_features, None, types), **given)
    return xgb.ExtMemQuantileDMatrix(_Blocks(blocks, n_features, str(pages), types), **given)


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
    """Translate the settings of a learner `for_rows` into XGBoost's parameters."""
    names = ("learning_rate", "max_depth", "min_child_weight", "reg_lambda", "subsample")
    names += ("colsample_bytree", "max_bin", "device", "seed")
    chosen = {name: getattr(learner, name) for name in names}
    chosen["lambda"] = chosen.pop("reg_lambda")
    fixed = {"objective": "binary:logistic", "tree_method": "hist", "nthread": learner.threads}
    fixed |= {"disable_default_eval_metric": True}
    if learner.device == "cpu":
        fixed["max_cached_hist_node"] = CACHED_NODES
    return {"verbosity": 1} | learner.params | chosen | fixed


def check_parameters(learner: Learner) -> None:
    """Refuse `learner.params` that XGBoost does not take, before there is anything to boost.

    Raises
    ------
    InputError
        Naming the parameter, or what is wrong with its value.
    """
    any_rows = xgb.DMatrix(np.zeros((2, 1), np.float32), np.array([0, 1]))
    here = replace(learner.for_rows(0), device="cpu")  # a GPU may be where the jobs run, not here
    _configured(parameters(here), [any_rows], learner.params)


def fit_until_stopped(
    train: Part, stop: Part, learner: Learner, target: np.ndarray | None = None
) -> Fit:
    """Boost on the training rows until the log loss of the stopping rows no longer falls.

    Margins of both parts come from XGBoost's prediction cache: a round costs its own tree only.

    Parameters
    ----------
    train
        Rows to boost on, binned.
    stop
        Rows of other groups.
    learner
        Settings of the boosters.
    target
        (training rows,) in [0, 1], fitted in place of `train.y`. Both losses are those of `y`.

    Raises
    ------
    InputError
        If all training rows, or all stopping rows, have weight zero.
    """
    _check_weighed({"train": train, "stop": stop})
    fitted = train.y if target is None else target
    booster = _start(train, fitted, learner, [stop])
    watch = _Watch(train, stop, learner.early_stopping_rounds)
    watch.look(booster, 0)
    if 0 < fitted.sum() < len(fitted):
        for n_trees in range(1, learner.n_estimators + 1):
            booster.update(train.matrix, n_trees - 1)
            if watch.look(booster, n_trees):
                break
    kept = booster[: watch.best] if watch.best else _start(train, fitted, learner)
    return Fit(kept, watch.best, watch.curve(), watch.exhausted)


def fit_trees(
    matrix: xgb.DMatrix,
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
    booster = _start(Part(matrix, y, weight, margin), y, learner)
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
    values = booster.predict(matrix, pred_contribs=True)
    return values.reshape(matrix.num_row(), booster.num_features() + 1)  # flat for no row


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


def for_all_features(
    booster: xgb.Booster, columns: np.ndarray, features: Features, threads: int
) -> xgb.Booster:
    """The same trees for rows of all features; those the booster was trained on stand at `columns`.

    XGBoost's JSON has the feature of each split by its number. Where zeros of counts were stored in
    training, each split of a count sends absent cells where it sends zeros.
    """
    filled = features.some(columns).stores_zeros and bool((columns >= features.n_dense).any())
    if len(columns) == len(features.names) and not filled:
        return booster
    document = json.loads(booster.save_raw("json"))
    width = str(len(features.names))
    document["learner"]["learner_model_param"]["num_feature"] = width
    document["learner"]["feature_types"] = []  # each split knows whether it is of categories
    for tree in document["learner"]["gradient_booster"]["model"]["trees"]:
        tree["tree_param"]["num_feature"] = width
        for node, left in enumerate(tree["left_children"]):
            if left < 0:
                continue
            feature = int(columns[tree["split_indices"][node]])
            tree["split_indices"][node] = feature
            if filled and feature >= features.n_dense:
                tree["default_left"][node] = int(tree["split_conditions"][node] > 0)
    return from_bytes(json.dumps(document).encode(), threads)


def used_features(boosters: Iterable[xgb.Booster]) -> np.ndarray:
    """Places of the features that some tree splits on, rising."""
    names = {name for each in boosters for name in each.get_score(importance_type="weight")}
    return np.sort(np.array([int(name[1:]) for name in names], np.int64))


def gains(booster: xgb.Booster, features: Features) -> np.ndarray:
    """Sum the gain of the splits on each feature, (features,)."""
    scores = booster.get_score(importance_type="total_gain")
    return np.array([scores.get(f"f{number}", 0.0) for number in range(len(features.names))])


def _start(
    part: Part, target: np.ndarray, learner: Learner, others: Sequence[Part] = ()
) -> xgb.Booster:
    """A booster without trees on the rows of a part; it also keeps margins of the other parts."""
    part.matrix.set_label(target.astype(np.float32))
    part.matrix.set_weight(part.weight.astype(np.float32))
    for each in (part, *others):
        margin = np.empty(0, np.float32) if each.margin is None else each.margin
        each.matrix.set_base_margin(margin)
    given = parameters(learner)
    # A base margin replaces the intercept. Without one the intercept is the share of positive rows
    # with half a row added to both classes (Jeffreys), so that its log-odds are finite.
    positive, total = float((part.weight * target).sum()), float(part.weight.sum())
    rows = max(int((part.weight > 0).sum()), 1)
    half = 0.5 * total / rows if total else 0.5
    share = (positive + half) / (total + 2 * half)
    given["base_score"] = share if part.margin is None else 0.5
    booster = _configured(given, [each.matrix for each in (part, *others)], learner.params)
    _check_device(booster, learner.device)
    return booster


def _configured(
    given: Mapping[str, Any], matrices: Sequence[xgb.DMatrix], params: Mapping[str, Any]
) -> xgb.Booster:
    """A booster with some parameters; refuses those of `learner.params` that have no effect."""
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        try:
            booster = xgb.Booster(given, cache=matrices)
            booster.num_features()  # XGBoost counts them now, while the matrix is there
        except ValueError as error:  # what XGBoost raises; of other things too
            fact = str(error).partition("\n")[0]
            if not params or " Parameter " not in fact:
                raise
            raise InputError(f"learner.params: {fact}; correct the value there") from error
    for warning in told:  # XGBoost only warns of a name that it does not know
        text = str(warning.message)
        unused = set(re.findall('"(.+?)"', text)) & params.keys() if "not used" in text else ()
        if unused:
            names = ", ".join(map(repr, sorted(unused)))
            raise InputError(
                f"learner.params: XGBoost does not use {names}; wanted names of its parameters of "
                "trees, such as gamma or max_leaves; correct learner.params"
            )
        warnings.warn_explicit(warning.message, warning.category, warning.filename, warning.lineno)
    return booster


def _check_device(booster: xgb.Booster, device: str) -> None:
    """Raise if XGBoost found no such GPU: it then only warns and takes the CPU."""
    if device == "cpu":
        return
    used = json.loads(booster.save_config())["learner"]["generic_param"]["device"]
    if used == "cpu" and not xgb.build_info()["USE_CUDA"]:
        raise InputError(
            f"learner.device is {device}, but this XGBoost is built without CUDA; run `pip "
            f"uninstall --yes xgboost-cpu` and `pip install xgboost=={xgb.__version__}`, or set "
            "learner.device: cpu"
        )
    if used == "cpu":
        raise InputError(
            f"learner.device is {device}, but XGBoost finds no such GPU here; run where there is "
            "one, or set learner.device: cpu"
        )


def _check_weighed(parts: Mapping[str, Part]) -> None:
    """Raise if all rows of a part have weight zero: their mean loss is not defined."""
    for name, part in parts.items():
        if not part.weight.any():
            raise InputError(
                f"the {len(part.weight):,} rows that {name} boosting all have weight 0; correct "
                "the column of dataset.weight, set learner.use_weights: false, or make batches "
                "larger"
            )


class _Watch:
    """Keeps the best number of trees."""

    def __init__(self, train: Part, stop: Part, patience: int):
        self.parts, self.patience = (train, stop), patience
        self.losses: list[tuple[float | None, float]] = []
        self.best = 0
        self.exhausted = False

    def look(self, booster: xgb.Booster, n_trees: int) -> bool:
        """Score the booster; give true when patience has run out."""
        train, stop = self.parts
        # It decides nothing, and takes longer than that of the stopping rows, which are fewer.
        measured = n_trees < EVERY_TREE or n_trees % 10 == 0
        train_loss, stop_loss = _loss(booster, train) if measured else None, _loss(booster, stop)
        if not self.losses or stop_loss < self.losses[self.best][1]:
            self.best = n_trees
        self.losses.append((train_loss, stop_loss))
        self.exhausted = n_trees - self.best >= self.patience
        return self.exhausted

    def curve(self) -> pl.DataFrame:
        train, stop = zip(*self.losses, strict=True)
        numbers = np.arange(len(train), dtype=np.uint32)
        losses = {"train_log_loss": train, "stop_log_loss": stop}
        return pl.DataFrame({"n_trees": numbers, **losses})


def _loss(booster: xgb.Booster, part: Part) -> float:
    """Weighted mean log loss of the rows of a part, in nats."""
    margin = booster.predict(part.matrix, output_margin=True)
    return float(np.average(log_loss_rows(part.y, margin), weights=part.weight))


class _Blocks(xgb.DataIter):
    """Gives feature blocks to XGBoost one at a time, in every pass from the first one."""

    def __init__(
        self,
        blocks: Iterable[Block],
        n_features: int,
        pages: str | None,
        types: Sequence[str] | None,
    ):
        super().__init__(cache_prefix=pages, release_data=True)
        self.blocks, self.n_features = blocks, n_features
        self.types = None if types is None else list(types)
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
        input_data(data=block, feature_types=self.types)
        return True

    def reset(self) -> None:
        self.coming = None
