"""Holds the batch models of an ensemble, and predicts with them as one classifier does."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import chain
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import polars as pl
import pyarrow as pa
import xgboost as xgb
from scipy.special import logit

from genebatch import model_from_bytes
from genebatch.dataset.categories import Unseen
from genebatch.dataset.feature_set import Features
from genebatch.io.files import InputError, first_names
from genebatch.io.given_tables import named_columns
from genebatch.io.tables import read_table
from genebatch.model import boosting, combiners
from genebatch.model.calibration import Calibrator
from genebatch.model.classifier import FinishedClassifier
from genebatch.model.forest import Scorer
from genebatch.model.routing import distances

# The combiner of a model that was given none: the mean of the members' log-odds.
EQUAL = {"name": "log_odds", "parameters": {}}

# And pandas.DataFrame, which need not be installed.
Table = pl.DataFrame | pl.LazyFrame | pa.Table | np.ndarray | str | Path


class Member(NamedTuple):
    """One batch's model.

    Attributes
    ----------
    name
        Batch id.
    boosters, calibrators
        One per class, in the order of the classes.
    groups
        The groups it was trained on.
    class_weight
        Sum of the weights of each class's training rows; the number of rows where weights were not
        used.
    facts
        Rows, trees, seeds and metrics, as plain JSON.
    folds
        The boosters of each fold of its cross-validation, where they are kept; see
        `EnsembleModel.predict_std`.
    """

    name: str
    boosters: tuple[xgb.Booster, ...]
    calibrators: tuple[Calibrator, ...]
    groups: tuple[str, ...]
    class_weight: tuple[float, ...]
    facts: dict[str, Any]
    folds: tuple[tuple[xgb.Booster, ...], ...] = ()

    def log_odds(self, margins: np.ndarray) -> np.ndarray:
        """Calibrate raw log-odds; both are (rows, classes), each class against all others."""
        calibrated = [
            logit(calibrator.apply(margins[:, column]))
            for column, calibrator in enumerate(self.calibrators)
        ]
        return np.column_stack(calibrated)

    @property
    def n_trees(self) -> int:
        """Trees of all its boosters; a prediction takes time in proportion."""
        return sum(booster.num_boosted_rounds() for booster in self.boosters)


class Predicted(NamedTuple):
    """Predictions of a model for some rows.

    Attributes
    ----------
    probability
        (rows, classes) float64; rows sum to 1.
    deviation
        (rows, classes) standard deviation; see `EnsembleModel.predict_std`.
    """

    probability: np.ndarray
    deviation: np.ndarray


@dataclass(frozen=True, repr=False)
class EnsembleModel(FinishedClassifier):
    """Batch models behind the interface of a single scikit-learn classifier.

    Attributes
    ----------
    members
        The batch models; a single batch's model has one.
    features
        Names, order and kinds of the features that were offered in training. Boosters number
        features by it.
    classes
        Labels in the order of the probability columns.
    scores
        Class to its base-score column, where boosters start from the base scores' log-odds. None
        where they do not.
    combiner
        Name and parameters of the combiner.
    prevalence
        Share of each class where the model is used. None keeps the shares of the training rows.
    columns
        Names of the group, label, weight and position columns of the training table.
    facts
        Data digest, missing batches and whatever else the training recorded.
    threads
        Threads of a prediction.
    rest_class
        The class of rows that belong to no other class, or None.
    class_weight
        Sum of the weights of each class's training rows in all batches, where the members of some
        are missing or left out; else None.
    """

    members: tuple[Member, ...]
    features: Features
    classes: tuple[str, ...]
    scores: dict[str, str] | None
    combiner: dict[str, Any]
    prevalence: dict[str, float] | None
    columns: dict[str, str | None]
    facts: dict[str, Any]
    threads: int = 1
    rest_class: str | None = None
    class_weight: tuple[float, ...] | None = None

    @property
    def rest(self) -> int | None:
        """Index of `rest_class` among the classes; see `rows.normalised`."""
        return None if self.rest_class is None else self.classes.index(self.rest_class)

    @property
    def groups(self) -> set[str]:
        """The groups that any member was trained on."""
        return {group for member in self.members for group in member.groups}

    @property
    def learned_weight(self) -> np.ndarray:
        """Sum of the weights of each class's rows that the combiner learned from, (classes,)."""
        if self.class_weight is not None:
            return np.array(self.class_weight)
        return _sum_weights(self.members)

    @property
    def trained_weight(self) -> np.ndarray:
        """Weights of the classes whose shares the probabilities have, (classes,).

        A combiner that learned an intercept gives the shares of all rows that it learned from. The
        others give a mean of members, which has the shares of those that count, if these have rows
        of every class.
        """
        name, parameters = self.combiner["name"], self.combiner["parameters"]
        weights = combiners.member_weights(name, parameters, len(self.members))
        if name in combiners.OWN_SHARES or weights is None:
            return self.learned_weight
        pairs = zip(self.members, weights, strict=True)
        counted = _sum_weights([member for member, weight in pairs if weight])
        return counted if counted.all() else self.learned_weight

    @property
    def missing_batches(self) -> list[str]:
        """Batches of the plan that had no model when the ensemble was put together."""
        return self.facts.get("missing_batches", [])

    @property
    def origin(self) -> dict[str, str]:
        """Metadata that a Parquet file of predictions gets from its model."""
        return {
            **({"genebatch.std": self.spread} if len(self.members) == 1 else {}),
            "genebatch.members": ",".join(member.name for member in self.members),
            "genebatch.missing_batches": ",".join(self.missing_batches),
            "genebatch.data_digest": str(self.facts.get("data_digest", "")),
        }

    @property
    def fold_boosters(self) -> tuple[tuple[xgb.Booster, ...], ...]:
        """The boosters of the folds of a model of one member, where they are kept."""
        return self.members[0].folds if len(self.members) == 1 else ()

    @property
    def spread(self) -> str:
        """What `predict_std` is the standard deviation of, or why it is missing."""
        if len(self.members) > 1:
            return f"of {len(self.members):,} members"
        if self.fold_boosters:
            return f"of the models of {len(self.fold_boosters)} folds"
        known = "it keeps no models of its folds (ensemble.uncertainty)"
        return f"null: the model has one member, and {self.facts.get('no_std', known)}"

    @property
    def n_trees(self) -> int:
        """Trees of all members; a prediction takes time in proportion."""
        return sum(member.n_trees for member in self.members)

    @cached_property
    def classes_(self) -> np.ndarray:
        """Labels, (classes,)."""
        return np.array(self.classes)

    @cached_property
    def used(self) -> np.ndarray:
        """Places among `features` of those that the model reads, rising.

        They are those that some tree splits on, those of kept folds among them, and those that rows
        are routed by. Of a model without trees it is the first feature: a table needs a column to
        have rows.
        """
        boosters = [each for member in self.members for each in member.boosters]
        boosters += chain.from_iterable(self.fold_boosters)
        found = boosting.used_features(boosters)
        if self.combiner["name"] == "routed":
            routed = set(self.combiner["parameters"]["columns"])
            places = [n for n, name in enumerate(self.features.names) if name in routed]
            found = np.union1d(found, np.array(places, np.int64))
        return found if len(found) else np.zeros(1, np.int64)

    @cached_property
    def feature_names_in_(self) -> np.ndarray:
        """Names of the features that the model uses, in the order of training, (features,).

        `features` has all that were offered in training.
        """
        return np.array(self.features.some(self.used).names, dtype=object)

    @property
    def n_features_in_(self) -> int:
        """Number of features that the model uses."""
        return len(self.used)

    @property
    def categories_(self) -> dict[str, tuple[str, ...]]:
        """The categories of training, by feature that the model uses.

        Other categories in a table count as missing.
        """
        return dict(self.features.some(self.used).categories)

    @property
    def columns_in_(self) -> list[str]:
        """Columns that a table must have. Base scores are among them where boosters need them."""
        return list(dict.fromkeys([*self.feature_names_in_, *(self.scores or {}).values()]))

    def predict_proba(self, table: Table) -> np.ndarray:
        """Predict the probability of every class.

        Parameters
        ----------
        table
            polars, pandas or Arrow table (see `given_tables.given_frames`); path of a Parquet or
            CSV file; folder or glob of such files. Columns are taken by name, in any order. Other
            columns are ignored. Or a NumPy array with the columns of `columns_in_`, in their order,
            if the model has no categories.

        Returns
        -------
        numpy.ndarray
            (rows, classes) float64; rows sum to 1.

        Raises
        ------
        InputError
            Naming the features that the table lacks, has twice or holds as something else than
            numbers.
        """
        return self._collect(table, self.frame_probability, (len(self.classes),))

    def member_proba(self, table: Table) -> np.ndarray:
        """Predict calibrated probabilities of every member, (rows, members, classes)."""
        shape = (len(self.members), len(self.classes))
        return self._collect(table, self.frame_probabilities, shape)

    def predict_std(self, table: Table) -> np.ndarray:
        """Predict how far the members' probabilities lie apart, as their standard deviation.

        A model of one member takes the models of its folds, if it keeps them
        (`ensemble.uncertainty`). These share most of their rows, so they lie nearer together than
        models of other groups would. Otherwise it is NaN: one model says nothing of how sure it is.
        `spread` says which of these holds.

        It is that before the change of prevalence; `predict_proba` gives probabilities after it.
        Where `prevalence` makes a class rare, the two are not of the same scale.

        Returns
        -------
        numpy.ndarray
            (rows, classes) float64.
        """
        return self._collect(
            table, lambda frame: self.frame_predictions(frame).deviation, (len(self.classes),)
        )

    def explain(self, table: Table) -> pl.DataFrame:
        """Give SHAP values of every row and class, in log-odds.

        Parameters
        ----------
        table
            As `predict_proba` takes it.

        Returns
        -------
        polars.DataFrame
            `row` (from 0), `class`, `(start)`, and a column for each of `feature_names_in_`. Class
            after class in each piece of the table. `(start)` is what is known before any feature:
            the base score's log-odds where boosters start from them, plus the mean of the trees.
            It and the features sum to the log-odds of the class before calibration; of several
            members they are the mean by the combiner's weights.
        """
        from genebatch.model.explanation import explained

        parts, first = [], 0
        for frame in self._frames(table):
            parts.append(explained(self, frame, first))
            first += frame.height
        return pl.concat(parts) if parts else explained(self, self._empty())

    def feature_importance(self, table: Table | None = None) -> pl.DataFrame:
        """Give the importance of every feature for every class, the largest first.

        Parameters
        ----------
        table
            Rows to explain, as `predict_proba` takes them; rows that the model has not seen say
            most. All of them are held in memory.

        Returns
        -------
        polars.DataFrame
            `feature`, `class`, `gain` (sum over the splits of the trees; of several members the
            mean by the combiner's weights) and `mean_abs_shap` (mean absolute SHAP value in
            log-odds; null without a table). A feature that is no column here has no split.
        """
        from genebatch.model.explanation import importances

        frames = None if table is None else list(self._frames(table))
        return importances(self, pl.concat(frames) if frames else None)

    def frame_predictions(self, frame: pl.DataFrame) -> Predicted:
        """Predict probabilities and their deviation for a frame in memory."""
        log_odds, distance = self.frame_log_odds(frame), self.distance(frame)
        probability = self.combine(log_odds, distance)
        if len(self.members) > 1:
            members = combiners.to_probabilities(log_odds, self.rest)
        elif self.fold_boosters:
            members = self.fold_probabilities(frame, distance)
        else:
            return Predicted(probability, np.full_like(probability, np.nan))
        return Predicted(probability, members.std(axis=1))

    def frame_probability(self, frame: pl.DataFrame) -> np.ndarray:
        """Predict probabilities for a frame in memory, (rows, classes) float64."""
        return self.combine(self.frame_log_odds(frame), self.distance(frame))

    def fold_probabilities(self, frame: pl.DataFrame, distance: np.ndarray | None) -> np.ndarray:
        """Predict what the model would say with the boosters of each fold in place of its own.

        Its calibrators were learned from the log-odds of these boosters.

        Returns
        -------
        numpy.ndarray
            (rows, folds, classes) float64, before the change of prevalence.
        """
        (member,) = self.members
        name, parameters = self.combiner["name"], self.combiner["parameters"]
        margins = self._margins(frame, self.fold_scorer)
        each = [
            combiners.combine(name, parameters, member.log_odds(fold)[:, None], distance, self.rest)
            for fold in margins.transpose(1, 0, 2)
        ]
        return np.stack(each, axis=1)

    def frame_probabilities(self, frame: pl.DataFrame) -> np.ndarray:
        """Predict calibrated probabilities of every member for a frame in memory.

        Each class has its own log-odds; `rows.normalised` makes the probabilities sum to 1.

        Returns
        -------
        numpy.ndarray
            (rows, members, classes) float64.
        """
        return combiners.to_probabilities(self.frame_log_odds(frame), self.rest)

    def frame_log_odds(self, frame: pl.DataFrame) -> np.ndarray:
        """Predict calibrated log-odds of every member, (rows, members, classes) float32."""
        log_odds = self.frame_margins(frame)
        for row, member in enumerate(self.members):
            log_odds[:, row] = member.log_odds(log_odds[:, row])
        return log_odds

    def frame_margins(self, frame: pl.DataFrame) -> np.ndarray:
        """Predict raw log-odds of every member, (rows, members, classes) float32."""
        return self._margins(frame, self.scorer)

    def _margins(self, frame: pl.DataFrame, scorer: Scorer) -> np.ndarray:
        """Raw log-odds by sets of a booster for each class, (rows, sets, classes) float32."""
        block, starts = self.features.some(self.used).select(frame), self.starts(frame)
        shape = (len(scorer.boosters) // len(self.classes), len(self.classes), frame.height)
        margins = scorer.margins(block, starts * shape[0])
        return np.ascontiguousarray(margins.reshape(shape).transpose(2, 0, 1))

    @cached_property
    def scorer(self) -> Scorer:
        """What predicts with the boosters of all members."""
        boosters = [booster for member in self.members for booster in member.boosters]
        return Scorer(boosters, self.features, self.used, self.threads)

    @cached_property
    def fold_scorer(self) -> Scorer:
        """What predicts with the boosters of the folds."""
        boosters = list(chain.from_iterable(self.fold_boosters))
        return Scorer(boosters, self.features, self.used, self.threads)

    def starts(self, frame: pl.DataFrame) -> list[np.ndarray | None]:
        """Log-odds from which the boosters of each class start: base scores, or None for zero."""
        if self.scores is None:
            return [None] * len(self.classes)
        margins = boosting.base_margins(frame, self.scores)
        return [margins[name] for name in self.classes]

    def distance(self, frame: pl.DataFrame) -> np.ndarray | None:
        """Distance of every row to each member's groups, for the combiner `routed`; else None."""
        if self.combiner["name"] != "routed":
            return None
        return distances(frame, self.combiner["parameters"])

    def combine(self, log_odds: np.ndarray, distance: np.ndarray | None = None) -> np.ndarray:
        """Combine the members' log-odds into probabilities at the prevalence of use.

        Parameters
        ----------
        log_odds
            (rows, members, classes), calibrated.
        distance
            (rows, members), as the method `distance` gives it.

        Returns
        -------
        numpy.ndarray
            (rows, classes) float64; rows sum to 1.
        """
        name, parameters = self.combiner["name"], self.combiner["parameters"]
        probability = combiners.combine(name, parameters, log_odds, distance, self.rest)
        return self.at_prevalence(probability)

    def at_prevalence(self, probability: np.ndarray) -> np.ndarray:
        """Convert probabilities from the prevalence of training to that of use.

        P'(c) is proportional to P(c) * (share of c in use) / (share of c in training), and the
        classes sum to 1 (Saerens, Latinne and Decaestecker 2002).
        """
        if self.prevalence is None:
            return probability
        shifted = probability * self._prior_ratio
        return shifted / shifted.sum(axis=1, keepdims=True)

    @cached_property
    def _prior_ratio(self) -> np.ndarray:
        trained = self.trained_weight
        used = np.array([self.prevalence[name] for name in self.classes])
        return used / (trained / trained.sum())

    def _collect(
        self, table: Table, predict: Callable[[pl.DataFrame], np.ndarray], shape: tuple[int, ...]
    ) -> np.ndarray:
        """Predict a table in pieces; `shape` is that of one row's prediction."""
        parts, unseen = [], Unseen(self.categories_)
        for frame in self._frames(table):
            parts.append(predict(frame))
            unseen.count(frame)
        unseen.warn("table to predict")
        return np.concatenate(parts) if parts else np.empty((0, *shape))

    def _frames(self, table: Table) -> Iterable[pl.DataFrame]:
        """The needed columns of a table in pieces; those of an array have no names."""
        categories = self.categories_
        if isinstance(table, np.ndarray) and table.dtype.names is None:
            if categories:
                raise InputError(
                    f"the model has categories ({first_names(categories)}), which an array of "
                    "numbers cannot hold; give a polars, pandas or Arrow table, or a path"
                )
            table = named_columns(table, self.columns_in_)
        return read_table(table, self.columns_in_, dict.fromkeys(categories, "text"))

    def _empty(self) -> pl.DataFrame:
        return pl.DataFrame(schema=dict.fromkeys(self.columns_in_, pl.Float32))

    def _facts(self) -> dict[str, str]:
        offered = len(self.features.names)
        return {
            "classes": ", ".join(self.classes),
            "members": f"{len(self.members):,}",
            "trees": f"{self.n_trees:,}",
            "features": f"{self.n_features_in_:,} of the {offered:,} offered",
            "combiner": self.combiner["name"],
        }

    def save(self, path: str | Path) -> None:
        """Write the model file; see `archive.save_model`."""
        from genebatch.model.archive import save_model

        save_model(self, path)

    def save_pickle(self, path: str | Path) -> None:
        """Write the dictionary that older workflows load; see `pickle_file.save_pickle`."""
        from genebatch.model.pickle_file import save_pickle

        save_pickle(self, path)

    def __reduce__(self) -> tuple[Callable[..., "EnsembleModel"], tuple[bytes, int]]:
        """Pickle the bytes of the model file, so that a pickle names no module that may move."""
        from genebatch.model.archive import to_bytes

        return model_from_bytes, (to_bytes(self), self.threads)


def merge(
    models: Sequence[EnsembleModel], combiner: Mapping[str, Any], facts: Mapping[str, Any]
) -> EnsembleModel:
    """Put the members of several models into one model.

    Parameters
    ----------
    models
        Models of batches.
    combiner
        Name and parameters of the combiner.
    facts
        Facts of the new model; see `EnsembleModel`.

    Raises
    ------
    InputError
        If the models differ in features, classes or base scores.
    """
    first = models[0]
    for model in models[1:]:
        same = (model.features, model.classes, model.scores, model.rest_class)
        if same != (first.features, first.classes, first.scores, first.rest_class):
            raise InputError(
                f"batch {model.members[0].name} was trained on other features, classes or base "
                f"scores than {first.members[0].name}; delete its folder and run again"
            )
    members = tuple(member for model in models for member in model.members)
    weight = None
    if any(model.class_weight is not None for model in models):
        weight = tuple(np.sum([model.learned_weight for model in models], axis=0).tolist())
    return replace(
        first, members=members, combiner=dict(combiner), facts=dict(facts), class_weight=weight
    )


def used_at(model: EnsembleModel, prevalence: Mapping[str, float] | None) -> EnsembleModel:
    """Give the model for use where the classes have other shares than in training.

    Raises
    ------
    InputError
        If a class had no training rows: the ratio of its shares is not defined.
    """
    weights = model.trained_weight
    if prevalence is not None and not weights.all():
        raise InputError(
            f"calibration.prevalence needs training rows of every class, and '"
            f"{model.classes[int(np.argmin(weights))]}' has none"
        )
    return replace(model, prevalence=dict(prevalence) if prevalence is not None else None)


def prune(model: EnsembleModel) -> EnsembleModel:
    """Give the model without the members to which its combiner gives no weight.

    One stays in any case: without any weight the intercepts give the base rate. The model keeps
    the weights of the rows that its combiner learned from, those of all members.
    """
    name, parameters = model.combiner["name"], model.combiner["parameters"]
    weights = combiners.member_weights(name, parameters, len(model.members))
    if weights is None or weights.all():
        return model
    kept = np.flatnonzero(weights).tolist() or [0]
    slim = combiners.without_members(name, parameters, kept)
    return replace(
        model,
        members=tuple(model.members[number] for number in kept),
        combiner={"name": name, "parameters": slim},
        class_weight=tuple(model.learned_weight.tolist()),
    )


def _sum_weights(members: Sequence[Member]) -> np.ndarray:
    """Sum of the weights of each class's training rows, (classes,)."""
    return np.sum([member.class_weight for member in members], axis=0)
