"""One batch: cross-validation, the model on all rows, calibrators."""

import logging
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import polars as pl
import xgboost as xgb

from genebatch import ALGORITHM
from genebatch import learner as boosting
from genebatch.calibration import Calibrator, choose
from genebatch.dataset import Features, Roles, Shard, read_groups
from genebatch.files import InputError, read_json, whole, write_json
from genebatch.metrics import reliability, score_table
from genebatch.model import EnsembleModel, Member, load_model
from genebatch.partition import deal
from genebatch.screen import label_codes

log = logging.getLogger(__name__)

IDENTITY = Calibrator("identity", {})


class Batch(NamedTuple):
    """The rows of one batch.

    Attributes
    ----------
    matrix
        Binned features of all rows.
    rows
        Identity columns: `group`, `position` and `fold` where known, `label`, `weight`, and
        `score_{class}`.
    codes
        (rows,) class of each row.
    weight
        (rows,) weights for training: ones where weights are not used.
    starts
        (rows,) base log-odds by class, or None for each where boosters start from zero.
    groups
        Names of the batch's groups, sorted.
    features
        The feature set.
    """

    matrix: xgb.QuantileDMatrix
    rows: pl.DataFrame
    codes: np.ndarray
    weight: np.ndarray
    starts: dict[str, np.ndarray | None]
    groups: list[str]
    features: Features


def cross_validate_batch(
    inputs: Mapping[str, str | Path],
    batch: str,
    dataset: Mapping[str, Any],
    cv: Mapping[str, Any],
    learner: Mapping[str, Any],
    outputs: Mapping[str, str | Path],
) -> None:
    """Score every row of a batch by boosters that never saw its group.

    Rows of one group are always in the same fold. In each fold boosting stops on whole groups
    taken from the training part, so the fold's own groups decide nothing. Holds the batch's
    matrix.

    Parameters
    ----------
    inputs
        Paths `profile`, `features` and `plan`.
    batch
        Batch id.
    dataset, cv, learner
        Parts of the config.
    outputs
        Paths `out_of_fold` (Parquet: identity columns, fold and one log-odds `margin_{class}` a
        row), `folds` (TSV: trees, losses and verdict of every booster), `metrics` (TSV: metrics of
        model and base scores by fold and class), `curves` (Parquet: log loss by trees) and
        `models` (model file with a member for each fold).
    """
    data = load_batch(inputs, batch, dataset, learner)
    classes = dataset["classes"]
    fold = data.rows["fold"].to_numpy()
    margins = np.full((len(fold), len(classes)), np.nan, np.float32)
    boosters, lines, curves, members = [], [], [], []
    for number in range(cv["n_splits"]):
        train, stop = stopping_split(data, fold != number, len(classes), cv)
        fits = [
            _fit(data, column, name, train, stop, learner) for column, name in enumerate(classes)
        ]
        held = fold == number
        for column, (name, fit) in enumerate(zip(classes, fits, strict=True)):
            margins[held, column] = fit.margin[held]
            lines.append(_fold_line(data, number, name, column, held, fit, learner))
            curve = fit.curve.with_columns(
                pl.lit(number).alias("fold"), pl.lit(name).alias("class")
            )
            curves.append(curve)
        log.info(
            "batch %s: fold %d/%d, %s rows, trees %s",
            batch,
            number + 1,
            cv["n_splits"],
            f"{held.sum():,}",
            "/".join(str(fit.n_trees) for fit in fits),
        )
        boosters.append([fit.booster for fit in fits])
        seen = sorted(set(data.rows["group"].to_numpy()[~held].tolist()))
        facts = {"rows": int((~held).sum()), "fold": number}
        weights = _class_weight(data, classes, train | stop)
        members.append(_member(f"fold{number}", boosters[-1], seen, weights, facts))
    if np.isnan(margins).any():
        raise RuntimeError("a row has no out-of-fold score")
    out_of_fold = data.rows.with_columns(
        pl.Series(f"margin_{name}", margins[:, column]) for column, name in enumerate(classes)
    )
    _write_parquet(outputs["out_of_fold"], out_of_fold)
    _write_tsv(outputs["folds"], pl.DataFrame(lines))
    _write_tsv(outputs["metrics"], fold_metrics(out_of_fold, classes))
    _write_parquet(outputs["curves"], pl.concat(curves))
    _model(data, dataset, learner, members).save(outputs["models"])


def train_batch(
    inputs: Mapping[str, str | Path],
    batch: str,
    dataset: Mapping[str, Any],
    learner: Mapping[str, Any],
    output: str | Path,
) -> None:
    """Train a batch's boosters on all its rows, with the cross-validation's number of trees.

    The median over folds. Holds the batch's matrix.

    Parameters
    ----------
    inputs
        Paths `profile`, `features`, `plan` and `folds`.
    batch, dataset, learner
        As in `cross_validate_batch`.
    output
        Model file with one member that is not yet calibrated.
    """
    data = load_batch(inputs, batch, dataset, learner)
    folds = pl.read_csv(inputs["folds"], separator="\t", schema_overrides={"class": pl.String})
    boosters, trees = [], {}
    for column, name in enumerate(dataset["classes"]):
        trees[name] = round(folds.filter(pl.col("class") == name)["n_trees"].median())
        boosters.append(
            boosting.fit_trees(
                data.matrix,
                data.codes == column,
                data.weight,
                data.starts[name],
                trees[name],
                learner,
            )
        )
        log.info("batch %s: class %s, %d trees", batch, name, trees[name])
    facts = {"rows": data.rows.height, "n_trees": trees, "seed": learner["seed"]}
    weights = _class_weight(data, dataset["classes"], np.ones(data.rows.height, bool))
    member = _member(batch, boosters, data.groups, weights, facts)
    _model(data, dataset, learner, [member]).save(output)


def calibrate_batch(
    inputs: Mapping[str, str | Path],
    dataset: Mapping[str, Any],
    calibration: Mapping[str, Any],
    use_weights: bool,
    outputs: Mapping[str, str | Path],
) -> None:
    """Choose a calibrator per class on out-of-fold scores, and finish the batch's model.

    Parameters
    ----------
    inputs
        Paths `out_of_fold` and `model` (not calibrated).
    dataset, calibration
        Parts of the config.
    use_weights
        `learner.use_weights`.
    outputs
        Paths `calibration` (JSON: method and parameters of each class, losses of every method,
        reliability before and after, cross-fitted) and `model` (the batch's finished model file).
    """
    rows = pl.read_parquet(inputs["out_of_fold"])
    codes = label_codes(rows["label"], dataset["classes"], None)
    weight = row_weights(rows, use_weights)
    chosen, described, after = [], {}, []
    for column, name in enumerate(dataset["classes"]):
        margin = rows[f"margin_{name}"].to_numpy().astype(np.float64)
        y = codes == column
        choice = choose(margin, y, rows["fold"].to_numpy(), weight, calibration["method"])
        chosen.append(choice.calibrator)
        after.append(choice.cross_fitted)
        described[name] = {
            **choice.calibrator.to_json(),
            "reason": choice.reason,
            "methods": choice.table.to_dicts(),
            "before": reliability(y, IDENTITY.apply(margin), weight).to_dicts(),
            "after": reliability(y, choice.cross_fitted, weight).to_dicts(),
        }
        log.info("class %s: %s", name, choice.calibrator.method)
    probabilities = np.column_stack(after)
    probabilities /= probabilities.sum(axis=1, keepdims=True)
    table = score_table(codes, probabilities, dataset["classes"], plain_weights(rows), _codes(rows))
    metrics = _metrics_json(table)
    write_json(outputs["calibration"], {"classes": described, "out_of_fold_metrics": metrics})
    model = load_model(inputs["model"])
    member = model.members[0]
    facts = member.facts | {"metrics": metrics}
    finished = member._replace(calibrators=tuple(chosen), facts=facts)
    replace(model, members=(finished,)).save(outputs["model"])


def load_batch(
    inputs: Mapping[str, str | Path],
    batch: str,
    dataset: Mapping[str, Any],
    learner: Mapping[str, Any],
) -> Batch:
    """Read the rows of a batch and bin them once.

    Rows go from Parquet record batches into feature blocks and from there into the matrix; the
    blocks are freed when the matrix stands.
    """
    frames, blocks = [], []
    features = Features.from_json(read_json(inputs["features"]))
    profile = read_json(inputs["profile"])
    roles = Roles(**profile["roles"])
    plan = pl.read_parquet(inputs["plan"]).filter(pl.col("batch") == batch)
    if not plan.height:
        raise InputError(f"batch {batch} is not in {inputs['plan']}")
    shards = [Shard(**shard) for shard in profile["shards"]]
    for frame in read_groups(shards, plan, row_columns(features, roles), roles.group):
        frames.append(identity_columns(frame, roles, dataset))
        blocks.append(features.select(frame))
    rows = pl.concat(frames).join(
        plan.select("group", "fold"), on="group", how="left", maintain_order="left"
    )
    verify_rows(batch, rows.height, plan)
    matrix = boosting.build_matrix(
        blocks, len(features.names), learner["max_bin"], learner["threads"]
    )
    starts: dict[str, np.ndarray | None] = dict.fromkeys(dataset["classes"])
    if learner["start_from"] == "scores":
        starts |= boosting.base_margins(rows, score_columns(dataset["classes"]))
    codes = label_codes(rows["label"], dataset["classes"], None)
    weight = row_weights(rows, learner["use_weights"])
    groups = sorted(plan["group"].to_list())
    log.info("batch %s: %d groups, %s rows", batch, len(groups), f"{rows.height:,}")
    return Batch(matrix, rows, codes, weight, starts, groups, features)


def verify_rows(batch: str, found: int, plan: pl.DataFrame) -> None:
    """Raise unless a batch has as many rows as were planned."""
    planned = int(plan["rows"].sum())
    if found != planned:
        raise InputError(
            f"batch {batch} has {found:,} rows but {planned:,} were planned; the data set has "
            "changed, run again from analyze_dataset (--forcerun analyze_dataset)"
        )


def row_columns(features: Features, roles: Roles) -> list[str]:
    """Columns that `identity_columns` and `Features.select` read."""
    wanted = [*features.names, roles.label, roles.weight, roles.position, *roles.scores.values()]
    return [name for name in dict.fromkeys(wanted) if name is not None]


def identity_columns(frame: pl.DataFrame, roles: Roles, dataset: Mapping[str, Any]) -> pl.DataFrame:
    """Everything about rows but their features, under names of our own."""
    label = pl.col(roles.label).cast(pl.String)
    if dataset["null_label"] is not None:
        label = label.fill_null(dataset["null_label"])
    columns = [pl.col(roles.group).alias("group"), label.alias("label")]
    if roles.position:
        columns.append(pl.col(roles.position).alias("position"))
    if roles.weight:
        columns.append(pl.col(roles.weight).cast(pl.Float64).alias("weight"))
    columns += [pl.col(roles.scores[name]).alias(f"score_{name}") for name in roles.scores]
    return frame.select(columns)


def score_columns(classes: list[str]) -> dict[str, str]:
    """Name of the base-score column of each class among the identity columns."""
    return {name: f"score_{name}" for name in classes}


def row_weights(rows: pl.DataFrame, use_weights: bool) -> np.ndarray:
    """Weights for fitting, (rows,): ones where there are none or they are not used."""
    if use_weights and "weight" in rows.columns:
        return rows["weight"].to_numpy()
    return np.ones(rows.height)


def plain_weights(rows: pl.DataFrame) -> np.ndarray | None:
    """Weights for metrics, or None where the data set has none."""
    return rows["weight"].to_numpy() if "weight" in rows.columns else None


def stopping_split(
    data: Batch, training: np.ndarray, n_classes: int, cv: Mapping[str, Any]
) -> tuple[np.ndarray, np.ndarray]:
    """Split training rows by whole groups into those that train and those that say when to stop.

    Returns
    -------
    tuple of numpy.ndarray
        Two (rows,) bool masks.
    """
    groups, local = np.unique(data.rows["group"].to_numpy()[training], return_inverse=True)
    counts = np.bincount(
        local * n_classes + data.codes[training], minlength=len(groups) * n_classes
    )
    sizes = np.column_stack([np.bincount(local), counts.reshape(-1, n_classes)])
    share = cv["stop_fraction"]
    parts = deal(groups.tolist(), sizes, [share, 1 - share], cv["seed"])
    stop = np.zeros(len(training), bool)
    stop[np.flatnonzero(training)[parts[local] == 0]] = True
    if not stop.any():
        raise InputError(
            "no group is left to stop boosting on; enlarge the batch or cv.stop_fraction"
        )
    return training & ~stop, stop


def fold_metrics(rows: pl.DataFrame, classes: list[str]) -> pl.DataFrame:
    """Metrics of the raw out-of-fold scores and of the base scores, by fold and class."""
    tables = []
    for number in sorted(rows["fold"].unique().to_list()):
        part = rows.filter(pl.col("fold") == number)
        codes = label_codes(part["label"], classes, None)
        weight, groups = plain_weights(part), _codes(part)
        margins = part.select(f"margin_{name}" for name in classes).to_numpy().astype(np.float64)
        systems = {"model": normalised(IDENTITY.apply(margins.ravel()).reshape(margins.shape))}
        if set(score_columns(classes).values()) <= set(part.columns):
            scores = part.select(score_columns(classes).values()).to_numpy().astype(np.float64)
            systems["base"] = normalised(scores)
        for system, probability in systems.items():
            table = score_table(codes, probability, classes, weight, groups, system)
            tables.append(table.with_columns(pl.lit(number).alias("fold")))
    return pl.concat(tables)


def normalised(probabilities: np.ndarray) -> np.ndarray:
    """Rows divided by their sum."""
    return probabilities / probabilities.sum(axis=1, keepdims=True)


def _fit(
    data: Batch,
    column: int,
    name: str,
    train: np.ndarray,
    stop: np.ndarray,
    learner: Mapping[str, Any],
) -> boosting.Fit:
    return boosting.fit_until_stopped(
        data.matrix, data.codes == column, data.weight, train, stop, data.starts[name], learner
    )


def _fold_line(
    data: Batch,
    number: int,
    name: str,
    column: int,
    held: np.ndarray,
    fit: boosting.Fit,
    learner: Mapping[str, Any],
) -> dict[str, Any]:
    best = fit.curve.row(fit.n_trees, named=True)
    start, last = fit.curve.row(0, named=True), fit.curve.row(-1, named=True)
    return {
        "fold": number,
        "class": name,
        "test_groups": data.rows.filter(held)["group"].n_unique(),
        "test_rows": int(held.sum()),
        "test_positives": int((data.codes[held] == column).sum()),
        "n_trees": fit.n_trees,
        "start_log_loss": start["stop_log_loss"],
        "train_log_loss": best["train_log_loss"],
        "stop_log_loss": best["stop_log_loss"],
        "last_stop_log_loss": last["stop_log_loss"],
        "verdict": verdict(fit, learner["n_estimators"]),
    }


def verdict(fit: boosting.Fit, n_estimators: int) -> str:
    """What the learning curve says about a booster.

    `constant class`: training rows held one side only. `learned nothing`: no tree lowered the
    loss of unseen groups. `tree limit`: the loss still fell when the trees ran out. `overfitting`:
    the training loss is less than half of the stopping groups' at the chosen trees. `good`:
    none of these.
    """
    if fit.curve.height == 1:
        return "constant class"
    if fit.n_trees == 0:
        return "learned nothing"
    if not fit.stopped and fit.n_trees > 0.95 * n_estimators:
        return "tree limit"
    best = fit.curve.row(fit.n_trees, named=True)
    return "overfitting" if best["train_log_loss"] < best["stop_log_loss"] / 2 else "good"


def _member(
    name: str,
    boosters: list[xgb.Booster],
    groups: list[str],
    class_weight: tuple[float, ...],
    facts: dict[str, Any],
) -> Member:
    calibrators = (IDENTITY,) * len(boosters)
    return Member(name, tuple(boosters), calibrators, tuple(groups), class_weight, facts)


def _class_weight(data: Batch, classes: list[str], rows: np.ndarray) -> tuple[float, ...]:
    return tuple(
        float(data.weight[rows & (data.codes == column)].sum()) for column in range(len(classes))
    )


def _model(
    data: Batch, dataset: Mapping[str, Any], learner: Mapping[str, Any], members: list[Member]
) -> EnsembleModel:
    return EnsembleModel(
        members=tuple(members),
        features=data.features,
        classes=tuple(dataset["classes"]),
        scores=dict(dataset["scores"]) if learner["start_from"] == "scores" else None,
        combiner={"name": "voting", "parameters": {}},
        prevalence=None,
        columns={key: dataset[key] for key in ("group", "label", "weight", "position")},
        facts={"algorithm": ALGORITHM},
    )


def _metrics_json(table: pl.DataFrame) -> list[dict[str, Any]]:
    return table.drop("system").to_dicts()


def _codes(rows: pl.DataFrame) -> np.ndarray:
    return rows["group"].rank("dense").to_numpy().astype(np.int64) - 1


def _write_parquet(path: str | Path, table: pl.DataFrame) -> None:
    with whole(path) as temporary:
        table.write_parquet(temporary)


def _write_tsv(path: str | Path, table: pl.DataFrame) -> None:
    with whole(path) as temporary:
        table.write_csv(temporary, separator="\t")
