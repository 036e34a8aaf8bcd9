"""Plans batches: deals training groups into batches that fit in memory."""

import math
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, NamedTuple

import numpy as np
import polars as pl

from genebatch.config.settings import Batching, Labels, Planning
from genebatch.dataset.feature_set import Features
from genebatch.dataset.row_file import GENES
from genebatch.dataset.row_pass import Part
from genebatch.groups import folds, genes_of, overlapping, sampled
from genebatch.io.files import InputError, digest
from genebatch.jobs.limits import RUN_MEMORY
from genebatch.jobs.memory import thread_mb
from genebatch.jobs.needs import (
    SINGLE_RULES,
    estimate_core_hours,
    estimate_mb,
    estimate_minutes,
    estimate_seconds,
    largest_mb,
    rules_of,
)
from genebatch.jobs.sizes import Shape, Whole
from genebatch.plan.coverage import check_classes, check_coverage, check_folds
from genebatch.plan.kept_plan import kept_folds, kept_members, kept_n_folds
from genebatch.plan.strategies import SIMILAR, STRATEGIES

TEST = "test"  # name of the row file of the test groups


class Plan(NamedTuple):
    """Batches and their members.

    Attributes
    ----------
    manifest
        One row per batch: `batch`, `key`, `groups`, `folds`, `rows`, `rows_{class}`,
        `mem_mb_{rule}` with one thread, `thread_mb` for each further thread that boosts,
        `minutes_{rule}` that a scheduler grants, and `seconds_{rule}` that a core may take.
    groups
        One row per group and batch: the table of groups with `batch`, `fold` and `lent` (whether
        the batch borrows the group of another), null for test groups, and `test`.
    """

    manifest: pl.DataFrame
    groups: pl.DataFrame


class Data(NamedTuple):
    """What is dealt.

    Attributes
    ----------
    groups
        The table of groups, test groups among them.
    test_groups
        Names of the test groups.
    features
        The feature set as the screen wrote it.
    described
        Standardised features of each training group, for the strategy `similarity`, or None.
    earlier
        What `kept_plan.read_plan` gives, or None.
    """

    groups: pl.DataFrame
    test_groups: list[str]
    features: dict[str, Any]
    described: pl.DataFrame | None = None
    earlier: pl.DataFrame | None = None


class Limits(NamedTuple):
    """Limits of a batch: MB that its largest rule may need, and the threads that boost."""

    budget_mb: int
    threads: int


def make_plan(data: Data, batching: Batching, planning: Planning, limits: Limits) -> Plan:
    """Deal the training groups into batches that fit, and check the plan.

    Raises
    ------
    InputError
        If a group cannot fit, batches would be too small, or a class is too rare in a batch.
    """
    training = data.groups.filter(~pl.col("group").is_in(data.test_groups)).sort("group")
    # Before batches are known, as many folds are reckoned with as they may have.
    shape = batch_shape(data.features, planning, planning.n_folds(0, 0))
    check_classes(training, data.groups, planning.labels.classes, weighted=planning.weighted)
    _check_groups(training, shape, batching, planning, limits)
    if data.earlier is not None:
        members, owner = kept_members(training, data.earlier, batching.overlap)
    else:
        described = _with_group_features(training, batching.strategy, data.described)
        members, owner = _fitting_members(described, shape, batching, limits)
    n_folds = _n_folds(training, members, data.earlier, planning)
    shape = shape._replace(n_splits=n_folds)
    assigned, rows = [], []
    for batch in sorted(members):
        part = training[members[batch]]
        _check_batch(part, batch, batching, planning, n_folds)
        fold = _folds(part, batch, data.earlier, n_folds, planning.seed)
        check_folds(fold, batch)
        part = part.with_columns(
            pl.lit(batch).alias("batch"),
            pl.Series("fold", fold, dtype=pl.Int32),
            pl.Series("lent", owner[members[batch]] != batch, dtype=pl.Boolean),
        )
        _check_fit(part, batch, shape, limits)
        assigned.append(part)
        rows.append(_manifest_row(part, batch, shape, data.features, planning))
    groups = pl.concat([*assigned, _aside(data)])
    groups = groups.with_columns(pl.col("batch").is_null().alias("test"))
    check_coverage(groups, data.groups, data.test_groups)
    return Plan(pl.DataFrame(rows), groups)


def _aside(data: Data) -> pl.DataFrame:
    """The test groups, with the columns of groups that are dealt."""
    return data.groups.filter(pl.col("group").is_in(data.test_groups)).with_columns(
        pl.lit(None, pl.String).alias("batch"),
        pl.lit(None, pl.Int32).alias("fold"),
        pl.lit(None, pl.Boolean).alias("lent"),
    )


def whole_needs(plan: Plan, features: dict[str, Any], planning: Planning) -> dict[str, Any]:
    """What each rule about all batches needs.

    In MB by rule, in MB of each further `thread` of one, under `minutes` how long a scheduler lets
    a rule run, and under `seconds` how long a core takes at most. `core_hours` are those of the
    single model, by rule. `sampled` has MB, minutes and seconds again, where all members score the
    sample of `ensemble.score_rows` alone; it is None where that is all rows.
    """
    training = plan.groups.filter(~pl.col("test"))
    sizes = training.unique("group").select("group", "rows")
    rows, n_folds = int(sizes["rows"].sum()), int(plan.manifest["folds"].max())
    whole = Whole(
        batch_shape(features, planning, n_folds)._replace(rows=rows),
        int(plan.manifest["rows"].max()),
        plan.manifest.height,
        int(plan.groups.filter("test")["rows"].sum()),
        rows,
        n_folds if planning.uncertainty else 0,
    )
    groups = sampled(training, planning.score_rows)
    hours = {rule: estimate_core_hours(rule, whole) for rule in SINGLE_RULES}
    needs = {"thread": thread_mb(whole.shape), "core_hours": hours, "sampled": None}
    if groups is not None:
        scored = int(sizes.filter(pl.col("group").is_in(groups.implode()))["rows"].sum())
        needs["sampled"] = _needs_of(whole._replace(scored=scored))
    return _needs_of(whole) | needs


def _needs_of(whole: Whole) -> dict[str, Any]:
    """MB of each rule about all batches, `minutes` and `seconds`."""
    needs: dict[str, Any] = {rule: estimate_mb(rule, whole) for rule in rules_of("whole")}
    for name, estimate in (("minutes", estimate_minutes), ("seconds", estimate_seconds)):
        needs[name] = {rule: estimate(rule, whole) for rule in rules_of("whole")}
    return needs


def batch_key(part: pl.DataFrame, features_digest: str, labels: Labels) -> str:
    """Digest of what training reads: rows in their order, folds, labels and the feature set.

    Memory is no part of it, and neither is where the rows lie, as long as the groups follow each
    other in the same order.
    """
    ordered = part.sort(pl.col("chunks").list.first(), "first", "group")
    rows = ordered.select("group", "digest", "fold").rows()
    return digest(rows, features_digest, labels.plain())


def row_parts(
    plan: Plan,
    features_digest: str,
    labels: Labels,
    facts: Mapping[str, Any] = MappingProxyType({}),
    group_of: Mapping[str, str] | None = None,
) -> list[Part]:
    """What each row file holds: one for each batch, and one for the test groups if there are any.

    Parameters
    ----------
    plan
        The plan.
    features_digest, labels
        The feature set, and what the rows are.
    facts
        What models record of the table.
    group_of
        Group of every gene of a built table; with it a batch's model records its genes.
    """
    batches = plan.groups.filter(~pl.col("test")).partition_by("batch", as_dict=True)
    keys = dict(plan.manifest.select("batch", "key").iter_rows())
    parts = [
        Part(batch, keys[batch], groups, {**facts, **_genes(groups, group_of)})
        for batch in sorted(keys)
        for groups in [batches[(batch,)]]
    ]
    test = plan.groups.filter("test")
    if test.height:
        parts.append(Part(TEST, batch_key(test, features_digest, labels), test, facts))
    return parts


def _genes(groups: pl.DataFrame, group_of: Mapping[str, str] | None) -> dict[str, list[str]]:
    """The fact `trained_genes`, where genes are known."""
    if group_of is None:
        return {}
    return {GENES: genes_of(groups["group"].cast(pl.String), group_of)}


def side_by_side(
    manifest: pl.DataFrame, memory_mb: int, cores: int, threads: int
) -> tuple[int, int]:
    """How many of the largest batches run at the same time, and the memory they then need in MB."""
    threads = min(threads, cores)  # as Snakemake does
    most = pl.max_horizontal(pl.col("^mem_mb_.*$")) + (threads - 1) * pl.col("thread_mb")
    largest = manifest.select(most).to_series()
    running = used = 0
    for need in largest.sort(descending=True)[: cores // threads]:
        if used + need > memory_mb:
            break
        running, used = running + 1, used + need
    return running, used


def batch_shape(features: dict[str, Any], planning: Planning, n_folds: int) -> Shape:
    """What the memory of a batch depends on; its rows are 0."""
    chosen = Features.from_json(features)
    return Shape(
        rows=0,
        n_dense=chosen.n_dense,
        n_wide=features["n_wide"],
        n_counts=len(chosen.names) - chosen.n_dense,
        n_frequent=features["n_frequent"],
        counts_per_row=features["counts_per_row"],
        n_classes=len(planning.labels.classes),
        n_splits=n_folds,
        max_bin=planning.max_bin,
        max_depth=planning.max_depth,
        explain_rows=planning.explain_rows,
        n_estimators=planning.n_estimators,
        select=planning.select,
    )


def _needed(shape: Shape, rows: int, limits: Limits) -> int:
    return largest_mb(shape._replace(rows=rows), limits.threads)


def _check_groups(
    training: pl.DataFrame, shape: Shape, batching: Batching, planning: Planning, limits: Limits
) -> None:
    """Refuse what no dealing can solve."""
    fewest = max(batching.min_groups, shape.n_splits)
    if training.height < fewest:
        raise InputError(
            f"{training.height} training groups are fewer than a batch needs ({fewest}: the larger "
            "of batching.min_groups and cv.n_splits); give more groups or lower these keys"
        )
    largest = training.sort("rows", descending=True).row(0, named=True)
    need = _needed(shape, largest["rows"], limits)
    if need > limits.budget_mb:
        least = _needed(shape, 0, limits)
        thinner = least < limits.budget_mb and need > 2 * least
        rows = ", or thin the rows of that group" if thinner else ""
        raise InputError(
            f"group '{largest['group']}' alone has {largest['rows']:,} rows and needs {need} MB, "
            f"{least} MB of them whatever its rows, but {limits.budget_mb} MB may be used; raise "
            f"resources.memory_mb and {RUN_MEMORY} to {need} times resources.mem_factor or "
            f"more{rows}"
        )
    if batching.max_rows is not None and largest["rows"] > batching.max_rows:
        raise InputError(
            f"group '{largest['group']}' has {largest['rows']:,} rows, more than "
            f"batching.max_rows={batching.max_rows}; raise that key"
        )


def _with_group_features(
    training: pl.DataFrame, strategy: str, group_features: pl.DataFrame | None
) -> pl.DataFrame:
    """The table of groups as the strategy `similarity` wants it; unchanged for the others."""
    if strategy != "similarity":
        return training
    if group_features is None:
        raise ValueError("batching.strategy similarity needs the features of groups")
    columns = group_features.select("group", pl.exclude("group").name.prefix(SIMILAR))
    joined = training.join(columns, on="group", how="left", maintain_order="left")
    lacking = training.join(columns, on="group", how="anti")["group"]
    if len(lacking):
        raise InputError(
            f"training group '{lacking[0]}' (of {len(lacking):,}) has no features in "
            "dataset/group_features.parquet, which is of other groups; delete that file in the "
            "results folder and run again"
        )
    return joined


def _fitting_members(
    training: pl.DataFrame, shape: Shape, batching: Batching, limits: Limits
) -> tuple[dict[str, np.ndarray], np.ndarray]:
    """Deal into the fewest batches that keep to max_groups, max_rows and the memory limit.

    Gives the row numbers of each batch and the batch that each group belongs to; another batch
    that holds it borrows it.
    """
    total = int(training["rows"].sum())
    most_batches = max(training.height // max(batching.min_groups, 1), 1)
    for_groups = math.ceil(training.height / batching.max_groups)
    wanted = max(for_groups, math.ceil(total / (batching.max_rows or total)))
    rows = training["rows"].to_numpy().astype(int)
    reason = ""
    for n_batches in range(wanted, most_batches + 1):
        batches = STRATEGIES[batching.strategy](training, n_batches, batching)
        parts = overlapping(training, batches, batching.overlap, batching.seed)
        largest = max(int(rows[part].sum()) for part in parts)
        need = _needed(shape, largest, limits)
        if need > limits.budget_mb:
            reason = (
                f"a batch of {largest:,} rows needs {need} MB of the {limits.budget_mb} MB allowed"
            )
        elif batching.max_rows is not None and largest > batching.max_rows:
            reason = f"a batch has {largest:,} rows, batching.max_rows={batching.max_rows}"
        else:
            width = max(3, len(str(len(parts) - 1)))
            names = np.array([f"b{number:0{width}d}" for number in range(len(parts))], object)
            return dict(zip(names, parts, strict=True)), names[batches]
    if not reason:
        key = "max_groups" if wanted == for_groups else "max_rows"
        reason = f"batching.{key}={getattr(batching, key)} asks for {wanted} batches of "
        reason += f"{training.height} groups"
    raise InputError(
        f"{reason}, and more batches would have fewer than "
        f"batching.min_groups={batching.min_groups} groups; raise resources.memory_mb and "
        f"{RUN_MEMORY}, batching.max_rows or batching.max_groups, or lower "
        "batching.min_groups"
    )


def _n_folds(
    training: pl.DataFrame,
    members: dict[str, np.ndarray],
    earlier: pl.DataFrame | None,
    planning: Planning,
) -> int:
    """Folds of every batch. Where the config leaves the number open, a kept plan has it."""
    if planning.n_splits == "auto" and earlier is not None:
        return kept_n_folds(earlier)
    rows = training["rows"].to_numpy().astype(int)
    return planning.n_folds(
        min(len(part) for part in members.values()),
        min(int(rows[part].sum()) for part in members.values()),
    )


def _folds(
    part: pl.DataFrame, batch: str, earlier: pl.DataFrame | None, n_folds: int, seed: int
) -> np.ndarray:
    if earlier is None:
        return folds(part, n_folds, seed)
    return kept_folds(part, batch, earlier, n_folds, seed)


def _check_batch(
    part: pl.DataFrame, batch: str, batching: Batching, planning: Planning, n_folds: int
) -> None:
    if part.height < max(batching.min_groups, n_folds):
        anew = "set batching.keep: null to deal all groups anew"
        raise InputError(
            f"batch {batch} has {part.height} groups, fewer than "
            f"batching.min_groups={batching.min_groups} or cv.n_splits={n_folds}; lower that key, "
            f"or {anew if batching.keep else 'use larger batches (batching.max_groups)'}"
        )
    for name in planning.labels.classes:
        positives, counted = int(part[f"n_{name}"].sum()), ""
        if positives and planning.weighted and not part[f"weight_{name}"].sum() > 0:
            positives, counted = 0, " with a weight above 0 (dataset.weight)"
        if positives < batching.min_positives:
            raise InputError(
                f"batch {batch} has {positives} rows of class '{name}'{counted}, fewer than "
                f"batching.min_positives={batching.min_positives}; use larger batches "
                "(batching.max_groups), strategy: balanced, or lower that key (0 accepts a batch "
                "that lacks a class)"
            )


def _check_fit(part: pl.DataFrame, batch: str, shape: Shape, limits: Limits) -> None:
    need = _needed(shape, int(part["rows"].sum()), limits)
    if need > limits.budget_mb:
        raise InputError(
            f"batch {batch} needs {need} MB but {limits.budget_mb} MB may be used; raise "
            f"resources.memory_mb and {RUN_MEMORY}, or set batching.keep: null to plan anew"
        )


def _manifest_row(
    part: pl.DataFrame,
    batch: str,
    shape: Shape,
    features: dict[str, Any],
    planning: Planning,
) -> dict[str, Any]:
    rows = int(part["rows"].sum())
    classes = planning.labels.classes
    filled = shape._replace(rows=rows, explain_rows=min(rows, planning.explain_rows))
    key = batch_key(part, features["digest"], planning.labels)
    return (
        {"batch": batch, "key": key, "groups": part.height}
        | {"folds": shape.n_splits, "rows": rows}
        | {f"rows_{name}": int(part[f"n_{name}"].sum()) for name in classes}
        | {f"mem_mb_{rule}": estimate_mb(rule, filled) for rule in rules_of("batch")}
        | {"thread_mb": thread_mb(filled)}
        | {f"minutes_{rule}": estimate_minutes(rule, filled) for rule in rules_of("batch")}
        | {f"seconds_{rule}": estimate_seconds(rule, filled) for rule in rules_of("batch")}
    )
