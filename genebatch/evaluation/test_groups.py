"""Judges the finished model and the base scores on groups that no batch has seen."""

from typing import NamedTuple

import numpy as np
import polars as pl

from genebatch.config.settings import Evaluation
from genebatch.dataset.rows import (
    base_scores,
    group_codes,
    label_codes,
    plain_weights,
    probability_columns,
)
from genebatch.evaluation.systems import FINAL, MEMBER, Compared, Predictions
from genebatch.metrics.binary import ScoredClass
from genebatch.metrics.bootstrap import GroupDraws, interval, positive_groups
from genebatch.metrics.multiclass import corrections, score_table

# Every model is compared with these, if there are any, on the same resampled groups.
REFERENCES = ("base", "single")
# Three members stand for all, metric by metric: the best, the median and the worst.
RANKS = {"member best": 0.0, "member median": 0.5, "member worst": 1.0}
LOWER_IS_BETTER = frozenset({"log_loss", "brier", "ece"})


class HeldOutRows(NamedTuple):
    """Test rows and what every model says of them.

    Attributes
    ----------
    codes
        (rows,) class of each row.
    systems
        Name to (rows, classes) probabilities.
    classes
        Labels.
    weight
        (rows,) weights, or None.
    groups
        (rows,) codes of the groups.
    """

    codes: np.ndarray
    systems: dict[str, np.ndarray]
    classes: list[str]
    weight: np.ndarray | None
    groups: np.ndarray

    @property
    def counted(self) -> list[bool]:
        """Ways of counting: plain rows, and by weight where there are weights."""
        return [False] if self.weight is None else [False, True]


# Values on resampled groups: (class, metric, weighted) to system to (replicates,).
Resampled = dict[tuple[str, str, bool], dict[str, np.ndarray]]


class Tables(NamedTuple):
    """The judgement on test groups.

    Attributes
    ----------
    metrics
        Every metric of every model, with and without weights.
    systems
        See `compare_systems`.
    comparison
        The model beside base scores; see `compare`.
    corrections
        Errors of the base scores corrected and made by the model.
    predictions
        One line per test row; `std_{class}` is of the members' probabilities, before a change of
        prevalence.
    """

    metrics: pl.DataFrame
    systems: pl.DataFrame
    comparison: pl.DataFrame
    corrections: pl.DataFrame
    predictions: pl.DataFrame


def judge(compared: Compared, predicted: Predictions, evaluation: Evaluation) -> Tables:
    """Judge the finished model on the test groups, beside all that it could have been.

    Holds identity columns and the probabilities of every model of the test rows, no features.
    """
    classes = list(compared.final.classes)
    codes = label_codes(predicted.rows["label"], classes, None)
    systems = base_scores(predicted.rows, classes) | predicted.systems
    weight, groups = plain_weights(predicted.rows), group_codes(predicted.rows)
    rows = HeldOutRows(codes, systems, classes, weight, groups)
    metrics = pl.concat(
        score_table(codes, probability, classes, weight, groups, system)
        for system, probability in systems.items()
    )
    resampled = resample(rows, evaluation)
    chosen = compared.final.facts["final"]
    in_use = compared.ensemble.combiner["name"] if chosen == "ensemble" else chosen
    columns = probability_columns(classes, systems[FINAL], predicted.deviation)
    return Tables(
        metrics,
        compare_systems(rows, metrics, resampled, in_use),
        compare(rows, metrics, resampled),
        _corrections(rows, FINAL),
        predicted.rows.hstack(columns),
    )


def resample(rows: HeldOutRows, evaluation: Evaluation) -> Resampled:
    """Average precision, log loss and Brier score of all models but members, on the same draws."""
    judged = {name: p for name, p in rows.systems.items() if not name.startswith(MEMBER)}
    draws = GroupDraws(rows.groups, evaluation.n_replicates, evaluation.seed)
    weights = {weighted: rows.weight if weighted else None for weighted in rows.counted}
    found: Resampled = {}
    for column, name in enumerate(rows.classes):
        y = rows.codes == column
        for system, probability in judged.items():
            scored = ScoredClass(y, probability[:, column])
            for weighted, weight in weights.items():
                for metric, drawn in _resampled(scored, weight, draws).items():
                    found.setdefault((name, metric, weighted), {})[system] = drawn
    return found


def _resampled(
    scored: ScoredClass, weight: np.ndarray | None, draws: GroupDraws
) -> dict[str, np.ndarray]:
    """Metrics of one class by one model on the draws, (replicates,) each."""
    found = {"average_precision": draws.average_precision(scored.y, scored.ranking, weight)}
    mass = np.ones(len(scored.y)) if weight is None else weight
    total = draws.sums(mass)
    for metric, loss in scored.losses.items():
        found[metric] = draws.ratios(draws.sums(mass * loss), total)
    return found


def compare(rows: HeldOutRows, metrics: pl.DataFrame, resampled: Resampled) -> pl.DataFrame:
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
        for system in ("base", FINAL)
    }
    joined = sides[FINAL].join(sides["base"], on=keys, how="left", maintain_order="left")
    return (
        joined.select(*keys, "base", FINAL)
        .with_columns((pl.col(FINAL) - pl.col("base")).alias("difference"))
        .join(_intervals(rows, resampled), on=keys, how="left", maintain_order="left")
    )


def compare_systems(
    rows: HeldOutRows, metrics: pl.DataFrame, resampled: Resampled, in_use: str
) -> pl.DataFrame:
    """Every system on the same rows, with what it gains over the base scores and the single model.

    Returns
    -------
    polars.DataFrame
        One line per system, class, metric and way of counting: `system` (the base scores; the
        best, median and worst member by this metric; every combiner; the models that are no
        ensemble), `in_use` (whether the finished model is this one), `class`, `metric`, `weighted`,
        `value`, `reason`; and for average precision, log loss and Brier score `over_base` and
        `over_single`, the differences, with 95 % intervals over groups as `{name}_low` and
        `{name}_high`. The metrics `corrected` and `made` count the errors of the base scores that
        the system corrects and makes, by true class.
    """
    keys = ["class", "metric", "weighted"]
    shown = metrics.filter(~pl.col("system").str.starts_with(MEMBER), pl.col("system") != FINAL)
    lines = pl.concat([shown, _ranked_members(metrics), *_counts(rows)], how="diagonal")
    for reference in REFERENCES:
        if reference not in rows.systems:
            continue
        references = shown.filter(pl.col("system") == reference).select(
            *keys, pl.col("value").alias("reference")
        )
        name = f"over_{reference}"
        gained = _gains(rows, resampled, reference, name)
        lines = (
            lines.join(references, on=keys, how="left", maintain_order="left")
            .with_columns((pl.col("value") - pl.col("reference")).alias(name))
            .drop("reference")
            .join(gained, on=["system", *keys], how="left", maintain_order="left")
        )
    order = {
        system: place for place, system in enumerate(lines["system"].unique(maintain_order=True))
    }
    place = pl.col("system").replace_strict(order, return_dtype=pl.Int64)
    lines = lines.sort(place, maintain_order=True)
    return lines.with_columns((pl.col("system") == in_use).alias("in_use"))


def _ranked_members(metrics: pl.DataFrame) -> pl.DataFrame:
    """The best, median and worst member of every metric."""
    members = metrics.filter(pl.col("system").str.starts_with(MEMBER))
    ranked = []
    for key, part in members.group_by("class", "metric", "weighted", maintain_order=True):
        values = part["value"].drop_nulls().sort(descending=key[1] not in LOWER_IS_BETTER)
        reason = None if len(values) else part["reason"].item(0)
        for system, share in RANKS.items():
            # For an even number the better of the two in the middle, so that it is a member.
            value = values[int(share * (len(values) - 1))] if len(values) else None
            ranked.append((system, *key, value, reason))
    return pl.DataFrame(ranked, schema=metrics.schema, orient="row")


def _counts(rows: HeldOutRows) -> list[pl.DataFrame]:
    """Errors of the base scores that each system corrects and makes, as metrics."""
    if "base" not in rows.systems:
        return []
    tables = []
    for system in rows.systems:
        if system in ("base", FINAL) or system.startswith(MEMBER):
            continue
        table = _corrections(rows, system)
        for metric in ("corrected", "made"):
            for weighted in rows.counted:
                value = pl.col(f"{metric}_weight" if weighted else metric).cast(pl.Float64)
                tables.append(
                    table.select(
                        pl.lit(system).alias("system"),
                        "class",
                        pl.lit(metric).alias("metric"),
                        pl.lit(weighted).alias("weighted"),
                        value.alias("value"),
                    )
                )
    return tables


def _gains(rows: HeldOutRows, resampled: Resampled, reference: str, name: str) -> pl.DataFrame:
    """Intervals of every system's difference to a reference."""
    lines = []
    for (label, metric, weighted), values in resampled.items():
        n_groups = _n_groups(rows, label, weighted)
        for system, drawn in values.items():
            if system == reference:
                continue
            ends = interval(drawn - values[reference], n_groups) or (None, None)
            lines.append((system, label, metric, weighted, *ends))
    columns = ["system", "class", "metric", "weighted", f"{name}_low", f"{name}_high"]
    kinds = {f"{name}_low": pl.Float64, f"{name}_high": pl.Float64}
    return pl.DataFrame(lines, schema=columns, schema_overrides=kinds, orient="row")


def _n_groups(rows: HeldOutRows, label: str, weighted: bool) -> int:
    y = rows.codes == rows.classes.index(label)
    return positive_groups(y, rows.groups, rows.weight if weighted else None)


def _intervals(rows: HeldOutRows, resampled: Resampled) -> pl.DataFrame:
    """Intervals of the model, of the base scores and of their difference."""
    lines = []
    for (label, metric, weighted), values in resampled.items():
        n_groups = _n_groups(rows, label, weighted)
        line = {"class": label, "metric": metric, "weighted": weighted, "groups": n_groups}
        sides = {system: values[system] for system in ("base", FINAL) if system in values}
        if "base" in sides:
            sides["difference"] = sides[FINAL] - sides["base"]
        for side in ("base", FINAL, "difference"):
            ends = interval(sides[side], n_groups) if side in sides else None
            line[f"{side}_low"], line[f"{side}_high"] = ends or (None, None)
        lines.append(line)
    ends = {f"{s}_{e}": pl.Float64 for s in ("base", FINAL, "difference") for e in ("low", "high")}
    return pl.DataFrame(lines, schema_overrides=ends)


def _corrections(rows: HeldOutRows, system: str) -> pl.DataFrame:
    if "base" not in rows.systems:
        return pl.DataFrame(schema={"class": pl.String, "n": pl.Int64})
    return corrections(
        rows.codes, rows.systems["base"], rows.systems[system], rows.classes, rows.weight
    )
