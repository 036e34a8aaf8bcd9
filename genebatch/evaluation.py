"""The finished model and the base scores on the groups that no batch has seen."""

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from genebatch.bootstrap import (
    bootstrap_average_precision,
    bootstrap_mean,
    interval,
    positive_groups,
)
from genebatch.dataset import described, read_groups
from genebatch.files import InputError, read_json, write_parquet, write_tsv
from genebatch.metrics import CLIP
from genebatch.model import EnsembleModel, load_model
from genebatch.planning import read_groups_list
from genebatch.rows import (
    base_scores,
    group_codes,
    identity_columns,
    label_codes,
    plain_weights,
    probability_columns,
    row_columns,
)
from genebatch.scoring import corrections, score_table

log = logging.getLogger(__name__)


def evaluate(
    inputs: Mapping[str, str | Path],
    dataset: Mapping[str, Any],
    evaluation: Mapping[str, Any],
    threads: int,
    outputs: Mapping[str, str | Path],
) -> None:
    """Judge a model file on the test groups.

    Holds identity, probabilities and members' probabilities of the test rows, no features.

    Parameters
    ----------
    inputs
        Paths `model`, `profile`, `genes` and `test_groups`.
    dataset, evaluation
        Parts of the config.
    threads
        Threads of the prediction.
    outputs
        Paths `metrics` (TSV, every metric of model, base scores and members, with and without
        weights), `comparison` (TSV, model beside base scores, with bootstrap intervals over
        groups for average precision, log loss and Brier score), `corrections` (TSV, errors of the
        base scores corrected and made) and `predictions` (Parquet, one line per test row, where
        `std_{class}` is of the members' probabilities, before a change of prevalence).

    Raises
    ------
    InputError
        If a member of the model was trained on a test group.
    """
    model = load_model(inputs["model"], threads=threads)
    test_groups = read_groups_list(inputs["test_groups"])
    refuse_seen_groups(model, test_groups)
    genes = pl.read_parquet(inputs["genes"]).filter(pl.col("group").is_in(test_groups))
    rows, members = predict_groups(model, read_json(inputs["profile"]), genes, dataset)
    log.info("%s rows of %s test groups", f"{rows.height:,}", f"{genes.height:,}")
    classes = list(model.classes)
    codes = label_codes(rows["label"], classes, None)
    systems = {"model": model.combine(members)}
    systems |= base_scores(rows, classes)
    for number, member in enumerate(model.members):
        systems[f"member {member.name}"] = members[:, number]
    weight = plain_weights(rows)
    groups = group_codes(rows)
    metrics = pl.concat(
        score_table(codes, probability, classes, weight, groups, system)
        for system, probability in systems.items()
    )
    intervals = _intervals(codes, systems, classes, weight, groups, evaluation)
    write_tsv(outputs["metrics"], metrics)
    write_tsv(outputs["comparison"], compare(metrics, intervals))
    write_tsv(outputs["corrections"], _corrections(codes, systems, classes, weight))
    predicted = probability_columns(classes, systems["model"], members.std(axis=1))
    write_parquet(outputs["predictions"], rows.hstack(predicted))


def refuse_seen_groups(model: EnsembleModel, test_groups: list[str]) -> None:
    """Raise if any member was trained on any of the groups."""
    for member in model.members:
        seen = sorted(set(member.groups) & set(test_groups))
        if seen:
            raise InputError(
                f"member {member.name} was trained on {len(seen)} of the test groups (for example "
                f"'{seen[0]}'), so an evaluation on them would flatter the model"
            )


def predict_groups(
    model: EnsembleModel,
    profile: Mapping[str, Any],
    genes: pl.DataFrame,
    dataset: Mapping[str, Any],
) -> tuple[pl.DataFrame, np.ndarray]:
    """Identity columns and members' probabilities, (rows, members, classes), of some groups."""
    roles, shards = described(profile)
    rows, members = [], []
    for frame in read_groups(shards, genes, row_columns(model.features, roles), roles.group):
        rows.append(identity_columns(frame, roles, dataset))
        members.append(model.frame_probabilities(frame))
    return pl.concat(rows), np.concatenate(members)


def compare(metrics: pl.DataFrame, intervals: pl.DataFrame) -> pl.DataFrame:
    """Every metric of the model beside the base scores.

    Returns
    -------
    polars.DataFrame
        Columns `class, metric, weighted, base, model, difference`, and, for average precision,
        log loss and Brier score, the number of `groups` with rows of the class and 95 % bootstrap
        intervals over groups of the three as `{name}_low` and `{name}_high`, null where these
        groups are too few.
    """
    keys = ["class", "metric", "weighted"]
    sides = {
        system: metrics.filter(pl.col("system") == system).select(
            *keys, pl.col("value").alias(system)
        )
        for system in ("base", "model")
    }
    joined = sides["model"].join(sides["base"], on=keys, how="left", maintain_order="left")
    return (
        joined.select(*keys, "base", "model")
        .with_columns((pl.col("model") - pl.col("base")).alias("difference"))
        .join(intervals, on=keys, how="left", maintain_order="left")
    )


def _intervals(
    codes: np.ndarray,
    systems: Mapping[str, np.ndarray],
    classes: list[str],
    weight: np.ndarray | None,
    groups: np.ndarray,
    evaluation: Mapping[str, Any],
) -> pl.DataFrame:
    lines = []
    judged = [system for system in ("model", "base") if system in systems]
    for column, name in enumerate(classes):
        scores = {system: systems[system][:, column] for system in judged}
        for weighted in [False] if weight is None else [False, True]:
            used = weight if weighted else None
            n_groups = positive_groups(codes == column, groups, used)
            resampled = _resampled(codes == column, scores, groups, used, evaluation)
            for metric, values in resampled.items():
                if "base" in values:
                    values["difference"] = values["model"] - values["base"]
                line = {"class": name, "metric": metric, "weighted": weighted, "groups": n_groups}
                for system in ("base", "model", "difference"):
                    ends = interval(values[system], n_groups) if system in values else None
                    line[f"{system}_low"], line[f"{system}_high"] = ends or (None, None)
                lines.append(line)
    ends = {
        f"{s}_{e}": pl.Float64 for s in ("base", "model", "difference") for e in ("low", "high")
    }
    return pl.DataFrame(lines, schema_overrides=ends)


def _resampled(
    y: np.ndarray,
    scores: Mapping[str, np.ndarray],
    groups: np.ndarray,
    weight: np.ndarray | None,
    evaluation: Mapping[str, Any],
) -> dict[str, dict[str, np.ndarray]]:
    """Metric to system to its values on resampled groups, the same groups for all."""
    draws = (groups, weight, evaluation["n_replicates"], evaluation["seed"])
    clipped = {system: np.clip(score, CLIP, 1 - CLIP) for system, score in scores.items()}
    losses = {system: -np.log(np.where(y, p, 1 - p)) for system, p in clipped.items()}
    squares = {system: (score - y) ** 2 for system, score in scores.items()}
    return {
        "average_precision": bootstrap_average_precision(y, scores, *draws),
        "log_loss": bootstrap_mean(losses, *draws),
        "brier": bootstrap_mean(squares, *draws),
    }


def _corrections(
    codes: np.ndarray,
    systems: Mapping[str, np.ndarray],
    classes: list[str],
    weight: np.ndarray | None,
) -> pl.DataFrame:
    if "base" not in systems:
        return pl.DataFrame(schema={"class": pl.String, "n": pl.Int64})
    return corrections(codes, systems["base"], systems["model"], classes, weight)
