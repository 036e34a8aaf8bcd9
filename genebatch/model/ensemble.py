"""The model file, and a model of one or many members with the interface of a single classifier."""

import hashlib
import json
import pickle
import platform
import zipfile
import zlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import polars as pl
import pyarrow as pa
import sklearn
import xgboost as xgb
from scipy.special import logit

from genebatch import __version__
from genebatch.dataset.columns import Features
from genebatch.io.files import InputError, digest, whole
from genebatch.io.tables import read_table
from genebatch.model import boosting as learner
from genebatch.model import combiners
from genebatch.model.booster_file import check_booster
from genebatch.model.calibration import Calibrator
from genebatch.model.description import read_description
from genebatch.model.routing import distances

FORMAT = 1
MODEL_JSON = "model.json"
# A file may unpack to so many times its size, or to so many bytes if that is more: boosters and
# names compress three- to tenfold, a bomb a thousandfold.
UNPACKED_TIMES = 50
UNPACKED_BYTES = 16 << 20
# The zip format needs a date; a fixed one makes equal models equal files.
EPOCH = (1980, 1, 1, 0, 0, 0)
# What zipfile, json, xgboost (a ValueError) and our own look-ups raise on broken content.
DAMAGED = (zipfile.BadZipFile, zlib.error, OSError, EOFError, LookupError, ValueError, TypeError)
DAMAGED += (AttributeError, RuntimeError)

EQUAL = {"name": "log_odds", "parameters": {}}  # the combiner of models that have none of their own

Table = pl.DataFrame | pa.Table | str | Path  # and pandas.DataFrame, which need not be installed


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
        Rows of each class as the boosters were trained on them: their weights' sum, or their
        number where weights were not used.
    facts
        Rows, trees, seeds and metrics, as plain JSON.
    """

    name: str
    boosters: tuple[xgb.Booster, ...]
    calibrators: tuple[Calibrator, ...]
    groups: tuple[str, ...]
    class_weight: tuple[float, ...]
    facts: dict[str, Any]

    def log_odds(self, margins: np.ndarray) -> np.ndarray:
        """Calibrated log-odds of each class against the rest, from raw ones; (rows, classes)."""
        calibrated = [
            logit(calibrator.apply(margins[:, column]))
            for column, calibrator in enumerate(self.calibrators)
        ]
        return np.column_stack(calibrated)

    @property
    def n_trees(self) -> int:
        """Trees of all its boosters, which is what a prediction costs."""
        return sum(booster.num_boosted_rounds() for booster in self.boosters)


class Predicted(NamedTuple):
    """What a model says of rows.

    Attributes
    ----------
    probability
        (rows, classes) float64; rows sum to 1.
    deviation
        (rows, classes) standard deviation of the members' probabilities, before a change of
        prevalence; zero for a model of one member.
    """

    probability: np.ndarray
    deviation: np.ndarray


@dataclass(frozen=True)
class EnsembleModel:
    """Batch models behind the interface of a single scikit-learn classifier.

    Attributes
    ----------
    members
        The batch models; a single batch's model has one.
    features
        Names, order and kinds of the features.
    classes
        Labels in the order of the probability columns.
    scores
        Base-score column of each class where boosters start from the base model's log-odds, else
        None.
    combiner
        Name and parameters of the combiner.
    prevalence
        Share of each class where the model is used, or None for that of the training rows.
    columns
        Names of the group and position columns of the training table.
    facts
        Data digest, missing batches and whatever else the training recorded.
    threads
        Threads of a prediction.
    rest_class
        The class of what is none of the others, or None.
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

    @property
    def rest(self) -> int | None:
        """Place of `rest_class` among the classes, see `rows.normalised`."""
        return None if self.rest_class is None else self.classes.index(self.rest_class)

    @property
    def groups(self) -> set[str]:
        """The groups that any member was trained on."""
        return {group for member in self.members for group in member.groups}

    @property
    def missing_batches(self) -> list[str]:
        """Batches of the plan that had no model when the ensemble was put together."""
        return self.facts.get("missing_batches", [])

    @property
    def origin(self) -> dict[str, str]:
        """What a Parquet file of predictions records of the model that made them."""
        return {
            "genebatch.members": ",".join(member.name for member in self.members),
            "genebatch.missing_batches": ",".join(self.missing_batches),
            "genebatch.data_digest": str(self.facts.get("data_digest", "")),
        }

    @property
    def n_trees(self) -> int:
        """Trees of all members, which is what a prediction costs."""
        return sum(member.n_trees for member in self.members)

    @cached_property
    def classes_(self) -> np.ndarray:
        """Labels, (classes,)."""
        return np.array(self.classes)

    @cached_property
    def feature_names_in_(self) -> np.ndarray:
        """Feature names in the order of training, (features,)."""
        return np.array(self.features.names)

    @property
    def n_features_in_(self) -> int:
        """Number of features."""
        return len(self.features.names)

    @property
    def columns_in_(self) -> list[str]:
        """Every column that a table must have: features, and base scores to start from."""
        return list(dict.fromkeys([*self.features.names, *(self.scores or {}).values()]))

    def predict_proba(self, table: Table) -> np.ndarray:
        """Probability of every class.

        Parameters
        ----------
        table
            polars, pandas or Arrow table, or the path of a Parquet or CSV file, or a folder or
            glob of Parquet shards. Columns are taken by name, in any order; others are ignored.

        Returns
        -------
        numpy.ndarray
            (rows, classes) float64; rows sum to 1.

        Raises
        ------
        InputError
            Naming the features that the table lacks.
        """
        return self._collect(
            table, lambda frame: self.frame_predictions(frame).probability, (len(self.classes),)
        )

    def predict(self, table: Table) -> np.ndarray:
        """The most probable label of every row, (rows,)."""
        return self.classes_[self.predict_proba(table).argmax(axis=1)]

    def member_proba(self, table: Table) -> np.ndarray:
        """Calibrated probabilities of every member, (rows, members, classes)."""
        shape = (len(self.members), len(self.classes))
        return self._collect(table, self.frame_probabilities, shape)

    def predict_std(self, table: Table) -> np.ndarray:
        """Standard deviation of the members' probabilities, before a change of prevalence.

        `predict_proba` is after it: where `prevalence` makes a class rare, its probabilities are
        smaller than the members' and their deviation is not of the same scale. Zero for a model of
        one member.

        Returns
        -------
        numpy.ndarray
            (rows, classes) float64.
        """
        return self._collect(
            table, lambda frame: self.frame_predictions(frame).deviation, (len(self.classes),)
        )

    def frame_predictions(self, frame: pl.DataFrame) -> Predicted:
        """Probabilities and their deviation for a frame that fits in memory."""
        log_odds = self.frame_log_odds(frame)
        probability = self.combine(log_odds, self.distance(frame))
        members = combiners.to_probabilities(log_odds, self.rest)
        return Predicted(probability, members.std(axis=1))

    def frame_probabilities(self, frame: pl.DataFrame) -> np.ndarray:
        """Calibrated probabilities of every member for a frame that fits in memory.

        The classes' log-odds become probabilities one by one, which `rows.normalised` makes sum
        to 1.

        Returns
        -------
        numpy.ndarray
            (rows, members, classes) float64.
        """
        return combiners.to_probabilities(self.frame_log_odds(frame), self.rest)

    def frame_log_odds(self, frame: pl.DataFrame) -> np.ndarray:
        """Calibrated log-odds of every member and class, (rows, members, classes) float32."""
        log_odds = self.frame_margins(frame)
        for row, member in enumerate(self.members):
            log_odds[:, row] = member.log_odds(log_odds[:, row])
        return log_odds

    def frame_margins(self, frame: pl.DataFrame) -> np.ndarray:
        """Raw log-odds of every member and class, (rows, members, classes) float32."""
        shape = (frame.height, len(self.members), len(self.classes))
        margins = np.empty(shape, np.float32)
        matrix = learner.to_matrix(self.features.select(frame), self.threads)
        starts = self.starts(frame)
        for column, start in enumerate(starts):
            for row, member in enumerate(self.members):
                booster = member.boosters[column]
                margins[:, row, column] = learner.predict_margin(booster, matrix, start)
        return margins

    def starts(self, frame: pl.DataFrame) -> list[np.ndarray | None]:
        """What each class's boosters start from: base log-odds, or None for zero."""
        if self.scores is None:
            return [None] * len(self.classes)
        margins = learner.base_margins(frame, self.scores)
        return [margins[name] for name in self.classes]

    def distance(self, frame: pl.DataFrame) -> np.ndarray | None:
        """Distance of every row to each member's groups where rows are routed, else None."""
        if self.combiner["name"] != "routed":
            return None
        return distances(frame, self.combiner["parameters"])

    def combine(self, log_odds: np.ndarray, distance: np.ndarray | None = None) -> np.ndarray:
        """From members' log-odds to the model's probabilities, at the prevalence of use.

        Parameters
        ----------
        log_odds
            (rows, members, classes), calibrated.
        distance
            (rows, members) as `distance` gives it.

        Returns
        -------
        numpy.ndarray
            (rows, classes) float64; rows sum to 1.
        """
        name, parameters = self.combiner["name"], self.combiner["parameters"]
        found = combiners.combine(name, parameters, log_odds, distance, self.rest)
        return self.at_prevalence(found)

    def at_prevalence(self, probability: np.ndarray) -> np.ndarray:
        """Probabilities at the prevalence of training as those at the prevalence of use.

        Multiplies each class by the ratio of its share in use to its share in training and divides
        by the sum (Saerens, Latinne and Decaestecker 2002).
        """
        if self.prevalence is None:
            return probability
        shifted = probability * self._prior_ratio
        return shifted / shifted.sum(axis=1, keepdims=True)

    @cached_property
    def _prior_ratio(self) -> np.ndarray:
        trained = np.sum([member.class_weight for member in self.members], axis=0)
        used = np.array([self.prevalence[name] for name in self.classes])
        return used / (trained / trained.sum())

    def _collect(self, table: Table, reduce: Any, shape: tuple[int, ...]) -> np.ndarray:
        parts = [reduce(frame) for frame in read_table(table, self.columns_in_)]
        return np.concatenate(parts) if parts else np.empty((0, *shape))

    def save(self, path: str | Path) -> None:
        """Write the model file whole; equal models give equal bytes."""
        contents = dict(self._contents())
        description = self._describe() | {
            "files": {
                name: {"sha256": hashlib.sha256(data).hexdigest(), "bytes": len(data)}
                for name, data in contents.items()
            }
        }
        text = json.dumps(description, indent=1, allow_nan=False, ensure_ascii=False)
        with whole(path) as temporary, zipfile.ZipFile(temporary, "w") as archive:
            for name, data in {MODEL_JSON: text.encode(), **contents}.items():
                info = zipfile.ZipInfo(name, EPOCH)
                info.compress_type = zipfile.ZIP_DEFLATED
                archive.writestr(info, data)

    def save_pickle(self, path: str | Path) -> None:
        """Write the dictionary that workflows made for `AllGenesBatchEnsemble` expect.

        Groups count once. `total_positions` is None where members share groups: a member knows
        its rows in all and not by group, so their sum would count shared rows again.
        """
        singles = [replace(self, members=(member,), combiner=EQUAL) for member in self.members]
        genes = self.groups
        shared = sum(len(member.groups) for member in self.members) > len(genes)
        rows = None if shared else sum(member.facts["rows"] for member in self.members)
        content = {
            "type": "AllGenesBatchEnsemble",
            "batch_models": [
                {
                    "model": single,
                    "batch_id": member.name,
                    "genes": list(member.groups),
                    "metrics": member.facts.get("metrics"),
                }
                for single, member in zip(singles, self.members, strict=True)
            ],
            "total_genes": len(genes),
            "unique_genes": len(genes),
            "total_positions": rows,
            "batch_count": len(self.members),
            "combination_method": self.combiner["name"],
            "feature_names": list(self.features.names),
            "ensemble": self,
        }
        with whole(path) as temporary, temporary.open("wb") as stream:
            pickle.dump(content, stream)

    def _contents(self) -> Iterator[tuple[str, bytes]]:
        for row, member in enumerate(self.members):
            for column, booster in enumerate(member.boosters):
                number = row * len(self.classes) + column
                yield f"members/{number:03d}.ubj", learner.to_bytes(booster)

    def _describe(self) -> dict[str, Any]:
        return {
            "format": FORMAT,
            "genebatch": __version__,
            "libraries": {
                "python": platform.python_version(),
                "xgboost": xgb.__version__,
                "numpy": np.__version__,
                "scikit-learn": sklearn.__version__,
            },
            "classes": list(self.classes),
            "features": self.features.to_json(),
            "scores": self.scores,
            "rest_class": self.rest_class,
            "combiner": self.combiner,
            "prevalence": self.prevalence,
            "columns": self.columns,
            "facts": self.facts,
            "members": [_member_json(member) for member in self.members],
        }


def load_model(path: str | Path, *, threads: int = 1, trust: bool = False) -> EnsembleModel:
    """Load a model file, or the one of a results folder.

    Parameters
    ----------
    path
        A `.gbm` file, the `.pkl` beside it, or a folder that holds `model_multiclass_all_genes.gbm`
        (directly, or in `model/`).
    threads
        Threads of a prediction.
    trust
        Reading a `.pkl` runs whatever code its author put there, so it needs `trust=True`.

    Raises
    ------
    InputError
        If the file is missing, of a later format, or its content is not what was saved: names
        and sizes of all entries and the SHA-256 of every booster are those of `model.json`, which
        is itself held to the checksum of the zip. Fields of the zip that change no content, such
        as dates, are not compared.
    """
    path = _locate(Path(path))
    if path.suffix == ".pkl":
        model = _load_pickle(path, trust)
    else:
        try:
            most = max(UNPACKED_BYTES, UNPACKED_TIMES * path.stat().st_size)
            with zipfile.ZipFile(path) as archive:
                model = _read(archive, most)
        except InputError as error:
            raise InputError(f"{path} is damaged or no model file: {error}") from error
        except DAMAGED as error:
            raise InputError(f"{path} is damaged or no model file: {error!r}") from error
    for member in model.members:
        for booster in member.boosters:
            booster.set_param({"nthread": threads})
    return replace(model, threads=threads)


def merge(
    models: Sequence[EnsembleModel], combiner: Mapping[str, Any], facts: Mapping[str, Any]
) -> EnsembleModel:
    """One model of all members of several.

    Parameters
    ----------
    models
        Models of batches.
    combiner
        Name and parameters of the combiner.
    facts
        What the model records of itself.

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
    return replace(first, members=members, combiner=dict(combiner), facts=dict(facts))


def used_at(model: EnsembleModel, prevalence: Mapping[str, float] | None) -> EnsembleModel:
    """The model for use at other shares of the classes than those of its training.

    Raises
    ------
    InputError
        If a class had no training rows, so that nothing leads from its share to another.
    """
    weights = np.sum([member.class_weight for member in model.members], axis=0)
    if prevalence is not None and not weights.all():
        raise InputError(
            f"calibration.prevalence needs training rows of every class, and '"
            f"{model.classes[int(np.argmin(weights))]}' has none"
        )
    return replace(model, prevalence=dict(prevalence) if prevalence is not None else None)


def prune(model: EnsembleModel) -> EnsembleModel:
    """The model without the members that its combiner gives no weight."""
    name, parameters = model.combiner["name"], model.combiner["parameters"]
    weights = combiners.member_weights(name, parameters, len(model.members))
    if weights is None or weights.all():
        return model
    kept = np.flatnonzero(weights).tolist()
    slim = combiners.without_members(name, parameters, kept)
    return replace(
        model,
        members=tuple(model.members[number] for number in kept),
        combiner={"name": name, "parameters": slim},
    )


def _locate(path: Path) -> Path:
    if path.is_dir():
        name = "model_multiclass_all_genes.gbm"
        for candidate in (path / name, path / "model" / name):
            if candidate.is_file():
                return candidate
        raise InputError(f"folder {path} holds no {name}, nor does its folder model/")
    if not path.is_file():
        raise InputError(f"model file {path} does not exist")
    return path


def _load_pickle(path: Path, trust: bool) -> EnsembleModel:
    if not trust:
        raise InputError(
            f"{path} is a pickle, and reading one runs the code inside; load the .gbm file beside "
            "it, or pass trust=True if you made the file yourself"
        )
    try:
        with path.open("rb") as stream:
            content = pickle.load(stream)
    except (pickle.UnpicklingError, EOFError, AttributeError, ImportError) as error:
        raise InputError(f"{path} is damaged or of another version: {error!r}") from error
    if not isinstance(content, dict) or content.get("type") != "AllGenesBatchEnsemble":
        raise InputError(f"{path} holds no AllGenesBatchEnsemble")
    return content["ensemble"]


def _read(archive: zipfile.ZipFile, most: int) -> EnsembleModel:
    """Read an archive that may unpack to `most` bytes."""
    for info in archive.infolist():
        if info.compress_type != zipfile.ZIP_DEFLATED:
            raise InputError(f"{info.filename} is not compressed as model files are")
    described = _read_bytes(archive, MODEL_JSON, most)
    description = read_description(described, FORMAT)
    if sorted(archive.namelist()) != sorted([MODEL_JSON, *description["files"]]):
        raise InputError("its list of members differs from model.json")
    total = len(described) + sum(facts["bytes"] for facts in description["files"].values())
    if total > most:
        raise InputError(f"it would unpack to {total:,} bytes, more than a model of its size does")
    data = {}
    for name, facts in description["files"].items():
        data[name] = _read_bytes(archive, name, facts["bytes"])
        if len(data[name]) != facts["bytes"]:
            raise InputError(f"{name} has {len(data[name]):,} bytes, not {facts['bytes']:,}")
        if hashlib.sha256(data[name]).hexdigest() != facts["sha256"]:
            raise InputError(f"{name} does not have the digest it was saved with")
    classes = tuple(description["classes"])
    combiner = description["combiner"]
    features = Features.from_json(description["features"])
    for name, booster in data.items():
        try:
            check_booster(booster, len(features.names))
        except InputError as error:
            raise InputError(f"{name}: {error}") from error
    n_members = len(description["members"])
    combiners.check(combiner["name"], combiner["parameters"], n_members, len(classes))
    return EnsembleModel(
        members=tuple(
            _member(
                value,
                [
                    data[f"members/{row * len(classes) + column:03d}.ubj"]
                    for column in range(len(classes))
                ],
            )
            for row, value in enumerate(description["members"])
        ),
        features=features,
        classes=classes,
        scores=description["scores"],
        combiner=description["combiner"],
        prevalence=description["prevalence"],
        columns=description["columns"],
        facts=description["facts"],
        rest_class=description.get("rest_class"),  # files before it divide by the sum
    )


def _read_bytes(archive: zipfile.ZipFile, name: str, size: int) -> bytes:
    """Read a member of at most `size` bytes, whatever the archive claims."""
    with archive.open(name) as stream:
        data = stream.read(size + 1)
    if len(data) > size:
        raise InputError(f"{name} is larger than it may be ({size:,} bytes)")
    return data


def _member_json(member: Member) -> dict[str, Any]:
    return {
        "name": member.name,
        "calibrators": [calibrator.to_json() for calibrator in member.calibrators],
        "groups": list(member.groups),
        "groups_digest": digest(sorted(member.groups)),
        "class_weight": list(member.class_weight),
        "facts": member.facts,
    }


def _member(value: Mapping[str, Any], boosters: Sequence[bytes]) -> Member:
    if digest(sorted(value["groups"])) != value["groups_digest"]:
        raise InputError(f"the groups of member {value['name']} do not have their digest")
    if not len(value["calibrators"]) == len(value["class_weight"]) == len(boosters):
        raise InputError(f"member {value['name']} does not have one calibrator for each class")
    return Member(
        value["name"],
        tuple(learner.from_bytes(data) for data in boosters),
        tuple(Calibrator.from_json(calibrator) for calibrator in value["calibrators"]),
        tuple(value["groups"]),
        tuple(value["class_weight"]),
        value["facts"],
    )
