"""Distils the ensemble into one student, which predicts for a fraction of the cost."""

import logging
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import polars as pl

from genebatch.config.settings import Combining, Folds, Learner
from genebatch.dataset.row_file import RowFile
from genebatch.groups import deal
from genebatch.io.files import InputError
from genebatch.io.tables import record_batches
from genebatch.model.combiners import COMBINERS, combine, mean_log_loss, to_probabilities
from genebatch.model.ensemble import EnsembleModel, Member
from genebatch.model.held_out import read_held_out, read_scores, score_names
from genebatch.training.batch import Batch, stopping_split
from genebatch.training.cross_validation import final_trees, fit_class
from genebatch.training.matrices import predicted
from genebatch.training.recipe import train_member
from genebatch.training.selection import Pilot

log = logging.getLogger(__name__)

NAME = "distilled"
TREES = ["class", "n_trees", "train_rows"]  # of a booster


class Trial(NamedTuple):
    """A mix of teacher and labels, tried on batches that were left out.

    Attributes
    ----------
    mix
        Share of the teacher in what the student is fitted to; the rest is the label.
    margins
        (rows, classes) log-odds by a student that never saw the row's group, and whose teacher
        never did; NaN where no such student can be.
    folds
        Trees of every booster by part and class.
    loss
        Weighted multiclass log loss of these rows, in nats.
    """

    mix: float
    margins: np.ndarray
    folds: pl.DataFrame
    loss: float


class Teacher(NamedTuple):
    """The ensemble, and where its held-out scores are.

    Attributes
    ----------
    model
        All members.
    scores
        Parquet: scores of every training row by members that never saw its group.
    combined
        Parquet: the same rows with the probabilities of every combiner.
    groups
        Columns `group`, `batch` and `rows` of the training groups, a line for each batch that
        holds a group.
    """

    model: EnsembleModel
    scores: str | Path
    combined: str | Path
    groups: pl.DataFrame

    @property
    def names(self) -> list[str]:
        """Names of the members."""
        return [member.name for member in self.model.members]

    @property
    def sizes(self) -> pl.DataFrame:
        """Columns `group` and `rows`, each group once."""
        return self.groups.unique("group").select("group", "rows")


class Student(NamedTuple):
    """A student: its member, the rows that it can be judged on, and all mixes that were tried."""

    member: Member
    held_out: pl.DataFrame
    mixes: pl.DataFrame


def groups_by_batch(files: Sequence[RowFile]) -> pl.DataFrame:
    """Columns `group`, `rows` and `batch` of all row files."""
    return pl.concat(file.groups.with_columns(batch=pl.lit(file.name)) for file in files)


def distil_ensemble(
    teacher: Teacher, data: Batch, settings: Combining, cv: Folds, learner: Learner
) -> Student:
    """Train one student on the ensemble's probabilities mixed with the labels.

    The mix is chosen by leaving whole batches out. The batches are dealt into at most as many
    parts as they have folds, and one part is left out with its groups and its models (a batch that
    is missing in the ensemble has groups only). The teacher is then the ensemble of the other
    batches' models. Its combiner is learned anew on their rows, and every row gets its held-out
    scores. So neither student nor teacher has seen a group that the student is judged on. The
    final student learns from the held-out probabilities of the whole ensemble.

    See `batch.Batch` for the memory held; the teacher adds 4 bytes x rows x classes.

    Parameters
    ----------
    teacher
        The ensemble.
    data
        All training rows.
    settings
        The section `ensemble`; `distil_mix` are the mixes to try.
    cv, learner
        Settings.

    Raises
    ------
    InputError
        If there is one batch only, so that no teacher has not seen its rows.
    """
    parts = _parts(teacher, data.n_folds, cv.seed)
    place = _group_parts(teacher.groups, parts, data.rows)
    trials = _trials(teacher, data, parts, place, settings, cv, learner)
    best = min(trials, key=lambda trial: trial.loss)
    targets = _mixed(_taught(teacher, data), data, best.mix)
    trees = final_trees(best.folds, data.rows.height, learner.n_estimators)
    member = train_member(data, NAME, trees, learner, targets)
    member = member._replace(facts=member.facts | {"mix": best.mix, "teachers": teacher.names})
    lines = [(trial.mix, trial.loss, trial is best) for trial in trials]
    mixes = pl.DataFrame(lines, schema=["mix", "log_loss", "chosen"], orient="row")
    return Student(member, _held_out_rows(best, data, place), mixes)


def refuse_one_batch(model: EnsembleModel) -> None:
    """Raise if the ensemble has one member only."""
    if len(model.members) < 2:
        raise InputError(
            "a student needs the models of two batches or more, and there is one; take "
            "distilled out of ensemble.rivals and final, or lower batching.max_groups or "
            "batching.max_rows"
        )


def _held_out_rows(trial: Trial, data: Batch, place: np.ndarray) -> pl.DataFrame:
    """The rows with a score by a student that never saw their group, in the order of the data set.

    `fold` is the part left out.

    A group whose batches are in two parts has none: one of them is always among the teachers.
    """
    columns = [
        pl.Series(f"margin_{name}", trial.margins[:, column])
        for column, name in enumerate(data.classes)
    ]
    rows = data.rows.with_columns(pl.Series("fold", place[:, 0], dtype=pl.Int32), *columns)
    scored = ~np.isnan(trial.margins[:, 0])
    left_out = rows.filter(~scored)["group"].n_unique()
    if left_out:
        log.info("%d groups of batches in two parts are not judged", left_out)
    order = data.in_order
    return rows[order[scored[order]]]


def _parts(teacher: Teacher, n_folds: int, seed: int) -> dict[str, int]:
    """Batch to the part in which it is left out, parts of about equal rows.

    Batches without a model come last, one to each part in turn.
    """
    names = teacher.names
    rows = dict(teacher.groups.group_by("batch").agg(pl.col("rows").sum()).iter_rows())
    sizes = np.array([[rows[name], 1] for name in names])
    n_parts = min(n_folds, len(names))
    dealt = deal(names, sizes, np.ones(n_parts), seed, max_groups=-(-len(names) // n_parts))
    parts = dict(zip(names, dealt.tolist(), strict=True))
    absent = sorted(rows.keys() - parts.keys())
    return parts | {name: number % n_parts for number, name in enumerate(absent)}


def _group_parts(groups: pl.DataFrame, parts: Mapping[str, int], rows: pl.DataFrame) -> np.ndarray:
    """Lowest and highest part of the batches that hold the group of each row, (rows, 2)."""
    part = pl.col("batch").replace_strict(parts, return_dtype=pl.Int32)
    ends = groups.group_by("group").agg(part.min().alias("low"), part.max().alias("high"))
    joined = rows.select("group").join(ends, on="group", how="left", maintain_order="left")
    return joined.select("low", "high").to_numpy()


def _trials(
    teacher: Teacher,
    data: Batch,
    parts: Mapping[str, int],
    place: np.ndarray,
    settings: Combining,
    cv: Folds,
    learner: Learner,
) -> list[Trial]:
    """Try every mix, and judge it on the parts left out."""
    mixes, classes = settings.distil_mix, data.classes
    margins = {mix: np.full((len(data.codes), len(classes)), np.nan, np.float32) for mix in mixes}
    lines: dict[float, list[tuple[str, int, int]]] = {mix: [] for mix in mixes}
    learner = learner.for_rows(data.rows.height)
    pilot = Pilot(data, learner)
    for number in sorted(set(parts.values())):
        left_out, training = (place == number).all(axis=1), (place != number).all(axis=1)
        outside = [row for row, name in enumerate(teacher.names) if parts[name] != number]
        taught = _teach(teacher, outside, training, data, settings, learner.use_weights)
        train, stop = stopping_split(data, training, cv)
        for mix in mixes:
            targets = _mixed(taught, data, mix)
            boosters = []
            for column, name in enumerate(classes):
                where = f"student without part {number}, mix {mix}, class {name}"
                target = targets[:, column]
                columns = pilot.columns(column, train, target)
                fit = fit_class(data, column, train, stop, learner, where, columns, target)
                boosters.append(fit.booster)
                lines[mix].append((name, fit.n_trees, int(train.sum())))
            margins[mix][left_out] = predicted(data, boosters, left_out, learner.threads)
        log.info("student: part %d of %d left out", number + 1, len(set(parts.values())))
    return [
        Trial(
            mix,
            margins[mix],
            pl.DataFrame(lines[mix], schema=TREES, orient="row"),
            _loss(margins[mix], data, teacher.model.rest),
        )
        for mix in mixes
    ]


def _loss(margins: np.ndarray, data: Batch, rest: int | None) -> float:
    scored = ~np.isnan(margins[:, 0])
    probability = to_probabilities(margins[scored], rest)
    return mean_log_loss(probability, data.codes[scored], data.weight[scored])


def _mixed(taught: np.ndarray, data: Batch, mix: float) -> np.ndarray:
    """Targets of the student, (rows, classes) float32."""
    targets = (mix * taught).astype(np.float32)
    targets[np.arange(len(data.codes)), data.codes] += np.float32(1 - mix)
    return np.clip(targets, 0, 1)


def _teach(
    teacher: Teacher,
    outside: list[int],
    training: np.ndarray,
    data: Batch,
    settings: Combining,
    use_weights: bool,
) -> np.ndarray:
    """Combine the scores of the members outside of a part, (rows, classes) of training rows."""
    model, name = teacher.model, teacher.model.combiner["name"]
    groups = data.rows.filter(training)["group"].unique()
    held_out = read_held_out(teacher.scores, teacher.sizes, model, use_weights, groups)
    parameters = COMBINERS[name].fit(held_out.of_members(outside), settings)
    taught = np.zeros((len(data.codes), len(model.classes)), np.float32)
    order, start = data.in_order, 0
    for scores in read_scores(teacher.scores, model):
        here = order[start : start + scores.rows.height]
        _check_rows(scores.rows, data, here, teacher.scores)
        rows = np.flatnonzero(training[here])
        near = None if scores.distance is None else scores.distance[np.ix_(rows, outside)]
        log_odds = scores.log_odds[np.ix_(rows, outside)]
        taught[here[rows]] = combine(name, parameters, log_odds, near, model.rest)
        start += len(here)
    return taught


def _taught(teacher: Teacher, data: Batch) -> np.ndarray:
    """The held-out probabilities of the whole ensemble, (rows, classes) float32."""
    columns = score_names(teacher.model.combiner["name"], teacher.model.classes)
    taught = np.empty((len(data.codes), len(columns)), np.float32)
    order, start = data.in_order, 0
    for frame in _frames(teacher.combined, ["group", *columns]):
        here = order[start : start + frame.height]
        _check_rows(frame, data, here, teacher.combined)
        taught[here] = frame.select(columns).to_numpy()
        start += frame.height
    return taught


def _frames(path: str | Path, columns: list[str]) -> Iterator[pl.DataFrame]:
    return map(pl.from_arrow, record_batches(path, columns))


def _check_rows(rows: pl.DataFrame, data: Batch, here: np.ndarray, path: str | Path) -> None:
    if not rows["group"].equals(data.rows["group"][here], check_names=False):
        raise InputError(f"{path} is not of the rows of the data set; delete it and run again")
