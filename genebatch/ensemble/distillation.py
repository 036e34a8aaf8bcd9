"""One student that learns what the ensemble says, for a fraction of the cost of asking it."""

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import polars as pl

from genebatch.groups import deal
from genebatch.io.files import InputError, write_json, write_tsv
from genebatch.io.tables import record_batches
from genebatch.model.combiners import COMBINERS, combine, mean_log_loss, to_probabilities
from genebatch.model.ensemble import EnsembleModel, load_model
from genebatch.model.held_out import read_honest, read_scores, score_names
from genebatch.training.all_rows import load_all
from genebatch.training.batch import Batch, stopping_split
from genebatch.training.recipe import as_model, calibrate, fit_class, median_trees, train_member
from genebatch.training.single import write_honest

log = logging.getLogger(__name__)

NAME = "distilled"


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


def distil(
    inputs: Mapping[str, str | Path],
    dataset: Mapping[str, Any],
    cv: Mapping[str, Any],
    learner: Mapping[str, Any],
    calibration: Mapping[str, Any],
    ensemble: Mapping[str, Any],
    outputs: Mapping[str, str | Path],
) -> None:
    """Train one student on the ensemble's probabilities mixed with the labels.

    The mix is chosen by leaving whole batches out: of the batches, dealt into at most `cv.n_splits`
    parts, one part is left out with its groups and its models (a batch that is missing in the
    ensemble has groups only). The teacher is the ensemble of the
    other batches' models, its combiner learned anew on their rows, and every row gets its
    honest scores; so neither student nor teacher has seen a group that the student is judged on.
    The student that is kept learns from the honest probabilities of the whole ensemble.

    See `out_of_core.load_all` for the memory held; the teacher adds 4 bytes x rows x classes.

    Parameters
    ----------
    inputs
        Paths `profile`, `features`, `plan` (batches/genes.parquet), `ensemble` (its model file),
        `scores` (of `cross_batch.cross_batch_scores`) and `combined` (of
        `combining.combine_batches`).
    dataset, cv, learner, calibration, ensemble
        Parts of the config; `ensemble.distil_mix` are the mixes to try.
    outputs
        Paths `model` (a model file with one member), `honest` (Parquet: identity columns and
        `distilled:{class}`, cross-fitted, for every row that some student never saw), `mixes`
        (TSV: `mix, log_loss, chosen`) and `calibration` (JSON).

    Raises
    ------
    InputError
        If there is one batch only, so that no teacher has not seen its rows.
    """
    teacher = load_model(inputs["ensemble"])
    names = [member.name for member in teacher.members]
    if len(names) < 2:
        raise InputError(
            "a student needs the models of two batches or more, and there is one; take "
            "distilled out of ensemble.rivals and final, or lower batching.max_genes or "
            "batching.max_rows"
        )
    data = load_all(inputs, dataset, learner)
    parts = _parts(inputs["plan"], names, cv)
    place = _group_parts(inputs["plan"], parts, data.rows)
    trials = _trials(data, inputs, teacher, parts, place, ensemble, cv, learner)
    best = min(trials, key=lambda trial: trial.loss)
    targets = _mixed(_taught(inputs["combined"], teacher, data), data, best.mix)
    trees = median_trees(best.folds)
    member = train_member(data, NAME, dataset["classes"], trees, learner, targets)
    member = member._replace(facts=member.facts | {"mix": best.mix, "teachers": names})
    model = as_model(data, dataset, learner, [member])
    rows = _judged(best, data, place, dataset["classes"])
    done = calibrate(model, rows, calibration["method"], learner["use_weights"])
    lines = [(trial.mix, trial.loss, trial is best) for trial in trials]
    schema = ["mix", "log_loss", "chosen"]
    write_tsv(outputs["mixes"], pl.DataFrame(lines, schema=schema, orient="row"))
    write_json(outputs["calibration"], done.described)
    write_honest(outputs["honest"], NAME, rows, done)
    done.model.save(outputs["model"])


def _judged(trial: Trial, data: Batch, place: np.ndarray, classes: list[str]) -> pl.DataFrame:
    """The rows with a score by a student that never saw their group; `fold` is the part left out.

    A group whose batches are in two parts has none: one of them is always among the teachers.
    """
    columns = [
        pl.Series(f"margin_{name}", trial.margins[:, column]) for column, name in enumerate(classes)
    ]
    rows = data.rows.with_columns(pl.Series("fold", place[:, 0], dtype=pl.Int32), *columns)
    held = ~np.isnan(trial.margins[:, 0])
    left_out = rows.filter(~held)["group"].n_unique()
    if left_out:
        log.info("%d groups of batches in two parts are not judged", left_out)
    return rows.filter(held)


def _parts(plan: str | Path, names: Sequence[str], cv: Mapping[str, Any]) -> dict[str, int]:
    """Batch to the part in which it is left out, parts of about equal rows.

    Batches without a model come last, one to each part in turn.
    """
    genes = pl.read_parquet(plan, columns=["batch", "rows"]).drop_nulls("batch")
    rows = dict(genes.group_by("batch").agg(pl.col("rows").sum()).iter_rows())
    sizes = np.array([[rows[name], 1] for name in names])
    n_parts = min(cv["n_splits"], len(names))
    dealt = deal(names, sizes, np.ones(n_parts), cv["seed"], max_groups=-(-len(names) // n_parts))
    parts = dict(zip(names, dealt.tolist(), strict=True))
    absent = sorted(rows.keys() - parts.keys())
    return parts | {name: number % n_parts for number, name in enumerate(absent)}


def _group_parts(plan: str | Path, parts: Mapping[str, int], rows: pl.DataFrame) -> np.ndarray:
    """Lowest and highest part of the batches that hold the group of each row, (rows, 2)."""
    genes = pl.read_parquet(plan, columns=["group", "batch"]).drop_nulls("batch")
    part = pl.col("batch").replace_strict(parts, return_dtype=pl.Int32)
    ends = genes.group_by("group").agg(part.min().alias("low"), part.max().alias("high"))
    joined = rows.select("group").join(ends, on="group", how="left", maintain_order="left")
    return joined.select("low", "high").to_numpy()


def _trials(
    data: Batch,
    inputs: Mapping[str, str | Path],
    teacher: EnsembleModel,
    parts: Mapping[str, int],
    place: np.ndarray,
    ensemble: Mapping[str, Any],
    cv: Mapping[str, Any],
    learner: Mapping[str, Any],
) -> list[Trial]:
    """Every mix, judged on the parts left out."""
    mixes, classes = ensemble["distil_mix"], list(teacher.classes)
    margins = {mix: np.full((len(data.codes), len(classes)), np.nan, np.float32) for mix in mixes}
    lines: dict[float, list[tuple[str, int]]] = {mix: [] for mix in mixes}
    for number in sorted(set(parts.values())):
        held = (place == number).all(axis=1)
        training = (place != number).all(axis=1)
        outside = [
            row for row, member in enumerate(teacher.members) if parts[member.name] != number
        ]
        taught = _teach(inputs, teacher, outside, training, data, ensemble, learner)
        train, stop = stopping_split(data, training, len(classes), cv)
        for mix in mixes:
            targets = _mixed(taught, data, mix)
            for column, name in enumerate(classes):
                where = f"student without part {number}, mix {mix}, class {name}"
                fit = fit_class(data, column, name, train, stop, learner, where, targets[:, column])
                margins[mix][held, column] = fit.margin[held]
                lines[mix].append((name, fit.n_trees))
        log.info("student: part %d of %d left out", number + 1, len(set(parts.values())))
    return [
        Trial(
            mix,
            margins[mix],
            pl.DataFrame(lines[mix], schema=["class", "n_trees"], orient="row"),
            _loss(margins[mix], data, teacher.rest),
        )
        for mix in mixes
    ]


def _loss(margins: np.ndarray, data: Batch, rest: int | None) -> float:
    judged = ~np.isnan(margins[:, 0])
    probability = to_probabilities(margins[judged], rest)
    return mean_log_loss(probability, data.codes[judged], data.weight[judged])


def _mixed(taught: np.ndarray, data: Batch, mix: float) -> np.ndarray:
    """What the student is fitted to, (rows, classes) float32."""
    targets = (mix * taught).astype(np.float32)
    targets[np.arange(len(data.codes)), data.codes] += np.float32(1 - mix)
    return np.clip(targets, 0, 1)


def _teach(
    inputs: Mapping[str, str | Path],
    teacher: EnsembleModel,
    outside: list[int],
    training: np.ndarray,
    data: Batch,
    ensemble: Mapping[str, Any],
    learner: Mapping[str, Any],
) -> np.ndarray:
    """What the members outside of a part say together of the training rows, (rows, classes)."""
    groups = data.rows.filter(training)["group"].unique()
    use_weights, name = learner["use_weights"], teacher.combiner["name"]
    honest = read_honest(inputs["scores"], inputs["plan"], teacher, use_weights, groups)
    parameters = COMBINERS[name].fit(honest.of_members(outside), ensemble)
    taught = np.zeros((len(data.codes), len(teacher.classes)), np.float32)
    start = 0
    for scores in read_scores(inputs["scores"], teacher):
        end = start + scores.rows.height
        _check_rows(scores.rows, data, start, inputs["scores"])
        rows = np.flatnonzero(training[start:end])
        near = None if scores.distance is None else scores.distance[np.ix_(rows, outside)]
        said = scores.log_odds[np.ix_(rows, outside)]
        taught[start + rows] = combine(name, parameters, said, near, teacher.rest)
        start = end
    return taught


def _taught(path: str | Path, teacher: EnsembleModel, data: Batch) -> np.ndarray:
    """The honest probabilities of the whole ensemble, (rows, classes) float32."""
    columns = score_names(teacher.combiner["name"], teacher.classes)
    taught = np.empty((len(data.codes), len(columns)), np.float32)
    start = 0
    for batch in record_batches(path, ["group", *columns]):
        frame = pl.from_arrow(batch)
        _check_rows(frame, data, start, path)
        taught[start : start + frame.height] = frame.select(columns).to_numpy()
        start += frame.height
    return taught


def _check_rows(rows: pl.DataFrame, data: Batch, start: int, path: str | Path) -> None:
    if not rows["group"].equals(data.rows["group"][start : start + rows.height], check_names=False):
        raise InputError(f"{path} is not of the rows of the data set; delete it and run again")
