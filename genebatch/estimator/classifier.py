"""Trains batches, combines them and predicts behind the interface of a scikit-learn classifier."""

import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np
import polars as pl
from joblib import effective_n_jobs
from numpy.random import RandomState
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.utils import Tags, check_consistent_length
from sklearn.utils.validation import check_is_fitted

from genebatch.estimator.parameters import in_words_of_parameters, settings_of
from genebatch.estimator.run import Run
from genebatch.estimator.table import (
    Target,
    checked_features,
    checked_groups,
    checked_scores,
    checked_target,
    named_scores,
    write_table,
)
from genebatch.io.files import InputError


class BatchEnsembleClassifier(ClassifierMixin, BaseEstimator):
    """Batches of whole groups, each a calibrated model, combined into one classifier.

    For tables that fit in memory. It runs the steps of the workflow in this process: the plan, the
    cross-validation, boosters and calibration of every batch, the combiner, the candidates beside
    the ensemble, and the choice among them. With the same rows, batches, seed and order of classes
    the model is that of the workflow, bit for bit; here classes are sorted. The table and what the
    steps make are written to a temporary folder (`$TMPDIR`), which is removed. It needs about twice
    the disk of the table.

    Three things are the workflow's alone. No test groups are set aside: keep your own apart, or use
    `cross_val_score`. No column is screened: leave out those that give the label away. Nothing is
    reported.

    Parameters have the names and defaults of the configuration, which explains them.

    Parameters
    ----------
    strategy, similar_by, max_groups, max_rows, min_groups, min_positives, overlap
        How groups are dealt into batches, as in `batching`.
    n_splits, stop_fraction
        Cross-validation inside a batch, as in `cv`.
    n_estimators, learning_rate, max_depth, min_child_weight, reg_lambda, subsample, \
colsample_bytree, max_bin, early_stopping_rounds, device, params
        The boosters, as in `learner`; `reg_lambda` is `learner.lambda`.
    select_top
        Most features of a booster, which a pilot picks (`learner.select.top`); "auto" goes by the
        number of rows. None boosts on all.
    calibration, prevalence
        `calibration.method` and `calibration.prevalence`.
    combiner, top_k, score_rows, rivals, with_single, distil_mix, uncertainty
        How batches become one model, as in `ensemble`.
    single_n_splits
        How many folds the single model of all rows is judged on (`single.n_splits`).
    final
        The candidate that becomes the model: `best`, `ensemble`, `single`, `both` or `distilled`.
    rest_class
        The class of rows that belong to no other class (`dataset.rest_class`).
    categorical
        Names of the columns of a table that hold categories (`dataset.categorical`). They may be
        text. A category that was not in the fit counts as missing.
    memory_mb
        Memory that a batch may need, in MB (`resources.memory_mb`). None: 90 % of what this
        process may use when it fits.
    random_state
        Seed of batches, folds and boosters.
    n_jobs
        Threads that boost and predict; -1 takes all cores. They change no model.

    Attributes
    ----------
    classes_
        Labels, sorted; the order of the probabilities, (classes,).
    n_features_in_
        Number of columns of X.
    feature_names_in_
        Their names, where they have any.
    model_
        The `EnsembleModel`. `model_.save("model.gbm")` writes the file that `load_model` reads. It
        names the classes by their text, and the columns of an array `x0`, `x1` and so on.
    candidates_
        How the candidates compared on held-out rows, a polars table.
    held_out_proba_
        Probabilities of the training rows by models of the same kind that never saw their group,
        (rows, classes). NaN where there is none: of a single model that was judged on some folds,
        or where a sample of the groups was scored.

    Examples
    --------
    >>> model = BatchEnsembleClassifier(max_groups=300, random_state=1)  # doctest: +SKIP
    >>> model.fit(X, y, groups=genes)  # doctest: +SKIP
    >>> model.predict_proba(X_new)  # doctest: +SKIP

    Whole groups stay together inside of each fit only if `fit` is given them. In a
    cross-validation `params` hands them to `fit`:

    >>> cross_val_score(  # doctest: +SKIP
    ...     model, X, y, cv=GroupKFold(), groups=genes, params={"groups": genes}
    ... )
    """

    # With scikit-learn's metadata routing, groups go to `fit` unless they are refused.
    __metadata_request__fit: ClassVar = {"groups": True}

    def __init__(
        self,
        *,
        strategy: str = "balanced",
        similar_by: list[str] | None = None,
        max_groups: int = 1200,
        max_rows: int | None = None,
        min_groups: int = 20,
        min_positives: int = 10,
        overlap: float = 0.0,
        n_splits: int | str = "auto",
        stop_fraction: float = 0.125,
        n_estimators: int = 800,
        learning_rate: float | str = "auto",
        max_depth: int = 4,
        min_child_weight: float = 2,
        reg_lambda: float = 2,
        subsample: float = 0.8,
        colsample_bytree: float = 0.8,
        max_bin: int | str = "auto",
        early_stopping_rounds: int = 30,
        select_top: int | str | None = "auto",
        device: str = "cpu",
        params: dict[str, Any] | None = None,
        calibration: str = "auto",
        prevalence: dict[Any, float] | str | None = None,
        combiner: str = "stacked",
        top_k: int | None = None,
        score_rows: int | None = 1_000_000,
        rivals: tuple[str, ...] = ("single",),
        with_single: bool | None = None,
        distil_mix: tuple[float, ...] = (0.5, 1.0),
        uncertainty: bool = False,
        single_n_splits: int | str = "auto",
        final: str = "best",
        rest_class: Any = None,
        categorical: tuple[str, ...] = (),
        memory_mb: int | None = None,
        random_state: int | RandomState | None = 7,
        n_jobs: int | None = None,
    ):
        self.strategy = strategy
        self.similar_by = similar_by
        self.max_groups = max_groups
        self.max_rows = max_rows
        self.min_groups = min_groups
        self.min_positives = min_positives
        self.overlap = overlap
        self.n_splits = n_splits
        self.stop_fraction = stop_fraction
        self.n_estimators = n_estimators
        self.learning_rate = learning_rate
        self.max_depth = max_depth
        self.min_child_weight = min_child_weight
        self.reg_lambda = reg_lambda
        self.subsample = subsample
        self.colsample_bytree = colsample_bytree
        self.max_bin = max_bin
        self.early_stopping_rounds = early_stopping_rounds
        self.select_top = select_top
        self.device = device
        self.params = params
        self.calibration = calibration
        self.prevalence = prevalence
        self.combiner = combiner
        self.top_k = top_k
        self.score_rows = score_rows
        self.rivals = rivals
        self.with_single = with_single
        self.distil_mix = distil_mix
        self.uncertainty = uncertainty
        self.single_n_splits = single_n_splits
        self.final = final
        self.rest_class = rest_class
        self.categorical = categorical
        self.memory_mb = memory_mb
        self.random_state = random_state
        self.n_jobs = n_jobs

    def fit(
        self,
        X: Any,
        y: Any,
        *,
        groups: Any = None,
        sample_weight: Any = None,
        base_scores: Any = None,
    ) -> Self:
        """Train the model.

        Parameters
        ----------
        X
            (rows, features) NumPy array, or polars, pandas or Arrow table of numbers. NaN and null
            are missing.
        y
            (rows,) labels of two classes or more.
        groups
            (rows,) group of each row. Rows of a group are never separated: not in batches, not in
            folds. None: every row is a group of its own, and `max_groups` is then a number of rows.
        sample_weight
            (rows,) how many rows of the full population each row stands for, or None.
        base_scores
            Probabilities of an existing model, from whose log-odds the boosters start, or None.
            (rows, classes) values in the order of the sorted classes, which predictions then need
            too. Or the columns of X that hold them, by class: `{"donor": "donor_score", ...}`, or
            their places.

        Raises
        ------
        ValueError
            If something that was given is wrong, or does not suffice for batches and folds.
        """
        target = checked_target(self, y)
        features = checked_features(self, X, categorical=self.categorical)
        check_consistent_length(features, target.codes)
        groups = checked_groups(groups, features.height)
        columns = features.columns
        scores = None
        if isinstance(base_scores, Mapping):
            scores = named_scores(base_scores, columns)
        elif base_scores is not None:
            beside = checked_scores(base_scores, target.names, features)
            features = features.hstack(beside)
            scores = dict(zip(target.names, beside.columns, strict=True))
        trained = self._trained(features, target, groups, sample_weight, scores)
        self.classes_ = target.classes
        self.model_, self.candidates_ = trained.model, trained.candidates
        self.held_out_proba_ = self._held_out(groups, trained.held_out)
        self._columns = columns
        self._scores_given = features.width > len(columns)
        return self

    def predict_proba(self, X: Any, base_scores: Any = None) -> np.ndarray:
        """Predict the probability of every class, (rows, classes) float64; rows sum to 1.

        Parameters
        ----------
        X
            As in `fit`, with the same columns in the same order.
        base_scores
            (rows, classes), needed if `fit` was given values.
        """
        table = self._table(X, base_scores)
        return self.model_.predict_proba(table)

    def predict_log_proba(self, X: Any, base_scores: Any = None) -> np.ndarray:
        """Predict the natural logarithm of `predict_proba`, (rows, classes) float64."""
        return np.log(self.predict_proba(X, base_scores))

    def predict(self, X: Any, base_scores: Any = None) -> np.ndarray:
        """Predict the most probable label of every row, (rows,)."""
        probability = self.predict_proba(X, base_scores)
        return self.classes_[probability.argmax(axis=1)]

    def predict_std(self, X: Any, base_scores: Any = None) -> np.ndarray:
        """Predict how far the members' probabilities lie apart, (rows, classes) float64.

        NaN for a model of one member without `uncertainty`; see `EnsembleModel.predict_std`.
        """
        table = self._table(X, base_scores)
        return self.model_.predict_std(table)

    def _trained(
        self,
        features: pl.DataFrame,
        target: Target,
        groups: pl.Series,
        sample_weight: Any,
        scores: dict[str, str] | None,
    ) -> Any:
        """Train on a table in a temporary folder."""
        with tempfile.TemporaryDirectory(prefix="genebatch-") as name:
            folder = Path(name)
            path = folder / "table.parquet"
            with in_words_of_parameters(path):
                dataset = write_table(path, features, target, groups, sample_weight)
                settings = settings_of(self.get_params(), dataset | {"scores": scores})
                return Run(folder, settings, effective_n_jobs(self.n_jobs)).train()

    def _held_out(self, groups: pl.Series, held_out: pl.DataFrame) -> np.ndarray:
        """The held-out probabilities of all rows, in their order."""
        values = np.full((len(groups), len(self.classes_)), np.nan)
        scored = groups.is_in(held_out["group"].unique().implode()).to_numpy()
        given = held_out.drop("group").to_numpy().astype(np.float64)
        values[scored] = self.model_.at_prevalence(given)
        return values

    def _table(self, X: Any, base_scores: Any) -> pl.DataFrame:
        """The table that the model predicts."""
        check_is_fitted(self)
        features = checked_features(self, X, self._columns, self.categorical)
        if not self._scores_given:
            if base_scores is not None:
                raise InputError(
                    "base_scores are given, but the model was fitted without values of them"
                )
            return features
        if base_scores is None:
            raise InputError(
                "the model was fitted with values of base_scores and needs those of these rows: "
                "predict_proba(X, base_scores=...)"
            )
        return features.hstack(checked_scores(base_scores, list(self.model_.classes), features))

    def __sklearn_tags__(self) -> Tags:
        tags = super().__sklearn_tags__()
        tags.input_tags.allow_nan = True
        return tags
