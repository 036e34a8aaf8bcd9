"""The plan: which groups are test groups, which batch holds which groups, and what it will need."""

import logging
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import polars as pl

from genebatch.dataset.columns import Features
from genebatch.groups import folds, hold_out, overlapping
from genebatch.io.files import InputError, digest, read_json, write_json, write_parquet, write_tsv
from genebatch.io.tables import read_tsv
from genebatch.jobs.memory import thread_mb
from genebatch.jobs.needs import estimate_mb, estimate_minutes, largest_mb, rules_of
from genebatch.jobs.sizes import Shape, Whole
from genebatch.plan.coverage import check_coverage, coverage, times_held
from genebatch.plan.kept_plan import extended_test_groups, kept_folds, kept_members, read_plan
from genebatch.plan.strategies import SIMILAR, STRATEGIES

log = logging.getLogger(__name__)


class Plan(NamedTuple):
    """Batches and their members.

    Attributes
    ----------
    manifest
        One row per batch: `batch`, `key`, `genes`, `rows`, `rows_{class}`, `mem_mb_{rule}` with one
        thread, `thread_mb` for each further thread that boosts, and `minutes_{rule}`.
    genes
        One row per group and batch: the per-group table with `batch`, `fold` and `lent` (whether
        the batch borrows the group of another), null for test groups, and `test`.
    """

    manifest: pl.DataFrame
    genes: pl.DataFrame


def choose_test_groups(
    genes: str | Path, test: Mapping[str, Any], keep: str | None, out: str | Path
) -> None:
    """Write the test groups, before anything else looks at the data.

    Parameters
    ----------
    genes
        The per-group table.
    test
        The `test` part of the config.
    keep
        The genes.parquet of an earlier plan whose groups keep their role, or None.
    out
        TSV with the column `group`.
    """
    table = pl.read_parquet(genes)
    earlier = read_plan(keep)
    if earlier is not None and test["groups"] is None and test["column"] is None:
        chosen = extended_test_groups(table, earlier, test)
    else:
        chosen = hold_out(table, test)
    write_tsv(out, table.filter(chosen).select("group"))
    rows = int(table.filter(chosen)["rows"].sum())
    counts = (f"{count:,}" for count in (chosen.sum(), len(chosen), rows))
    log.info("%s of %s groups (%s rows) are test groups", *counts)


def plan_batches(
    profile: str | Path,
    genes: str | Path,
    test_groups: str | Path,
    features: str | Path,
    config: Mapping[str, Any],
    budget_mb: int,
    outputs: Mapping[str, str | Path],
    group_features: str | Path | None = None,
) -> None:
    """Write the manifest of batches, the role of every group, and what the plan covers.

    Parameters
    ----------
    profile, genes, test_groups, features
        Files of the earlier rules.
    config
        The whole config.
    budget_mb
        What the largest rule of a batch may need, in MB: the memory limit divided by
        `resources.mem_factor`.
    outputs
        Paths `manifest` (TSV), `genes` (Parquet), `coverage` and `times_held` (TSV), and `memory`
        (JSON: what the rules about all batches need, in MB by rule, and their `minutes`).
    group_features
        What `group_features.describe_groups` wrote; for the strategy `similarity`.
    """
    table = pl.read_parquet(genes)
    held_out = read_groups_list(test_groups)
    described = None if group_features is None else pl.read_parquet(group_features)
    known = read_json(features)
    made = make_plan(table, held_out, known, config, budget_mb, described)
    for row in made.manifest.iter_rows(named=True):
        need = max(row[f"mem_mb_{rule}"] for rule in rules_of("batch"))
        counts = (f"{count:,}" for count in (row["genes"], row["rows"], need))
        log.info("%s: %s groups, %s rows, %s MB", row["batch"], *counts)
    write_parquet(outputs["genes"], made.genes)
    write_tsv(outputs["coverage"], coverage(made.genes, config["dataset"]["classes"]))
    write_tsv(outputs["times_held"], times_held(made.genes))
    write_json(outputs["memory"], whole_needs(made, known, config))
    write_tsv(outputs["manifest"], made.manifest)


def whole_needs(
    plan: Plan, features: Mapping[str, Any], config: Mapping[str, Any]
) -> dict[str, Any]:
    """What each rule about all batches needs.

    In MB by rule, in MB of each further `thread` of one, and under `minutes` how long a rule may
    take.
    """
    rows = int(plan.genes.filter(~pl.col("test")).unique("group")["rows"].sum())
    whole = Whole(
        batch_shape(features, config)._replace(rows=rows),
        int(plan.manifest["rows"].max()),
        plan.manifest.height,
        int(plan.genes.filter("test")["rows"].sum()),
    )
    needs = {rule: estimate_mb(rule, whole) for rule in rules_of("whole")}
    minutes = {rule: estimate_minutes(rule, whole) for rule in rules_of("whole")}
    return needs | {"thread": thread_mb(whole.shape), "minutes": minutes}


def make_plan(
    genes: pl.DataFrame,
    test_groups: list[str],
    features: Mapping[str, Any],
    config: Mapping[str, Any],
    budget_mb: int,
    group_features: pl.DataFrame | None = None,
) -> Plan:
    """Deal the training groups into batches that fit, and check the plan.

    `group_features` has the standardised features of each training group, for the strategy
    `similarity`.

    Raises
    ------
    InputError
        If a group cannot fit, batches would be too small, or a class is too rare in a batch.
    """
    training = genes.filter(~pl.col("group").is_in(test_groups)).sort("group")
    shape = batch_shape(features, config)
    _check_groups(training, shape, config, budget_mb)
    earlier = read_plan(config["batching"]["keep"])
    if earlier is not None:
        members, owner = kept_members(training, earlier, config["batching"]["overlap"])
    else:
        described = _with_group_features(training, config["batching"]["strategy"], group_features)
        members, owner = _fitting_members(described, shape, config, budget_mb)
    assigned, rows = [], []
    for batch in sorted(members):
        part = training[members[batch]]
        _check_batch(part, batch, config)
        fold = _folds(part, batch, earlier, config["cv"])
        lent = owner[members[batch]] != batch
        part = part.with_columns(
            pl.lit(batch).alias("batch"),
            pl.Series("fold", fold, dtype=pl.Int32),
            pl.Series("lent", lent, dtype=pl.Boolean),
        )
        _check_fit(part, batch, shape, config, budget_mb)
        assigned.append(part)
        rows.append(_manifest_row(part, batch, shape, features, config))
    test = genes.filter(pl.col("group").is_in(test_groups)).with_columns(
        pl.lit(None, pl.String).alias("batch"),
        pl.lit(None, pl.Int32).alias("fold"),
        pl.lit(None, pl.Boolean).alias("lent"),
    )
    everything = pl.concat([*assigned, test]).with_columns(pl.col("batch").is_null().alias("test"))
    check_coverage(everything, genes, test_groups)
    return Plan(pl.DataFrame(rows), everything)


def batch_key(part: pl.DataFrame, features_digest: str) -> str:
    """Digest of what training reads: rows, folds and feature set; memory is no part of it."""
    return digest(part.sort("group").select("group", "digest", "fold").rows(), features_digest)


def read_groups_list(path: str | Path) -> list[str]:
    """Read the groups of a TSV with the column `group`."""
    return read_tsv(path)["group"].to_list()


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


def batch_shape(features: Mapping[str, Any], config: Mapping[str, Any]) -> Shape:
    """What the memory of a batch depends on but its rows, which are 0."""
    chosen = Features.from_json(features)
    return Shape(
        rows=0,
        n_dense=chosen.n_dense,
        n_wide=features["n_wide"],
        n_counts=len(chosen.names) - chosen.n_dense,
        n_frequent=features["n_frequent"],
        counts_per_row=features["counts_per_row"],
        n_classes=len(config["dataset"]["classes"]),
        n_splits=config["cv"]["n_splits"],
        max_bin=config["learner"]["max_bin"],
        max_depth=config["learner"]["max_depth"],
        explain_rows=config["explain"]["rows"],
        n_estimators=config["learner"]["n_estimators"],
    )


def _needed(shape: Shape, rows: int, config: Mapping[str, Any]) -> int:
    return largest_mb(shape._replace(rows=rows), config["learner"]["threads"])


def _check_groups(
    training: pl.DataFrame, shape: Shape, config: Mapping[str, Any], budget_mb: int
) -> None:
    """Refuse what no dealing can solve."""
    batching, n_splits = config["batching"], config["cv"]["n_splits"]
    fewest = max(batching["min_genes"], n_splits)
    if training.height < fewest:
        raise InputError(
            f"{training.height} training groups are fewer than a batch needs ({fewest}: the larger "
            "of batching.min_genes and cv.n_splits); give more groups or lower these keys"
        )
    largest = training.sort("rows", descending=True).row(0, named=True)
    need = _needed(shape, largest["rows"], config)
    if need > budget_mb:
        raise InputError(
            f"group '{largest['group']}' alone has {largest['rows']:,} rows and needs {need} MB, "
            f"but {budget_mb} MB may be used; raise resources.memory_mb and --resources mem_mb, or "
            "thin the rows of that group"
        )
    if batching["max_rows"] is not None and largest["rows"] > batching["max_rows"]:
        raise InputError(
            f"group '{largest['group']}' has {largest['rows']:,} rows, more than "
            f"batching.max_rows={batching['max_rows']}; raise that key"
        )


def _with_group_features(
    training: pl.DataFrame, strategy: str, group_features: pl.DataFrame | None
) -> pl.DataFrame:
    """The per-group table as the strategy `similarity` wants it; unchanged for the others."""
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
            "results/dataset/group_features.parquet, which is of other groups; run again from "
            "describe_groups (--forcerun describe_groups)"
        )
    return joined


def _fitting_members(
    training: pl.DataFrame, shape: Shape, config: Mapping[str, Any], budget_mb: int
) -> tuple[dict[str, np.ndarray], np.ndarray]:
    """Deal into the fewest batches that keep to max_genes, max_rows and the memory limit.

    Gives the row numbers of each batch and the batch that each group belongs to; another batch
    that holds it borrows it.
    """
    batching = config["batching"]
    total = int(training["rows"].sum())
    most_batches = max(training.height // max(batching["min_genes"], 1), 1)
    for_genes = math.ceil(training.height / batching["max_genes"])
    wanted = max(for_genes, math.ceil(total / (batching["max_rows"] or total)))
    rows = training["rows"].to_numpy().astype(int)
    reason = ""
    for n_batches in range(wanted, most_batches + 1):
        batches = STRATEGIES[batching["strategy"]](training, n_batches, batching)
        parts = overlapping(training, batches, batching["overlap"], batching["seed"])
        largest = max(int(rows[part].sum()) for part in parts)
        need = _needed(shape, largest, config)
        if need > budget_mb:
            reason = f"a batch of {largest:,} rows needs {need} MB of the {budget_mb} MB allowed"
        elif batching["max_rows"] is not None and largest > batching["max_rows"]:
            reason = f"a batch has {largest:,} rows, batching.max_rows={batching['max_rows']}"
        else:
            width = max(3, len(str(len(parts) - 1)))
            names = np.array([f"b{number:0{width}d}" for number in range(len(parts))], object)
            return dict(zip(names, parts, strict=True)), names[batches]
    if not reason:
        key = "max_genes" if wanted == for_genes else "max_rows"
        reason = (
            f"batching.{key}={batching[key]} asks for {wanted} batches of {training.height} groups"
        )
    raise InputError(
        f"{reason}, and more batches would have fewer than "
        f"batching.min_genes={batching['min_genes']} groups; raise resources.memory_mb (and "
        "--resources mem_mb), batching.max_rows or batching.max_genes, or lower batching.min_genes"
    )


def _folds(
    part: pl.DataFrame, batch: str, earlier: pl.DataFrame | None, cv: Mapping[str, Any]
) -> np.ndarray:
    if earlier is None:
        return folds(part, cv["n_splits"], cv["seed"])
    return kept_folds(part, batch, earlier, cv)


def _check_batch(part: pl.DataFrame, batch: str, config: Mapping[str, Any]) -> None:
    batching = config["batching"]
    if part.height < max(batching["min_genes"], config["cv"]["n_splits"]):
        raise InputError(
            f"batch {batch} has {part.height} groups, fewer than "
            f"batching.min_genes={batching['min_genes']} or cv.n_splits={config['cv']['n_splits']}"
        )
    for name in config["dataset"]["classes"]:
        found = int(part[f"n_{name}"].sum())
        if found < batching["min_positives"]:
            raise InputError(
                f"batch {batch} has {found} rows of class '{name}', fewer than "
                f"batching.min_positives={batching['min_positives']}; use larger batches "
                "(batching.max_genes), strategy: balanced, or lower that key (0 accepts a batch "
                "that lacks a class)"
            )


def _check_fit(
    part: pl.DataFrame, batch: str, shape: Shape, config: Mapping[str, Any], budget_mb: int
) -> None:
    need = _needed(shape, int(part["rows"].sum()), config)
    if need > budget_mb:
        raise InputError(
            f"batch {batch} needs {need} MB but {budget_mb} MB may be used; raise "
            "resources.memory_mb and --resources mem_mb, or set batching.keep: null to plan anew"
        )


def _manifest_row(
    part: pl.DataFrame,
    batch: str,
    shape: Shape,
    features: Mapping[str, Any],
    config: Mapping[str, Any],
) -> dict[str, Any]:
    rows = int(part["rows"].sum())
    classes = config["dataset"]["classes"]
    held = shape._replace(rows=rows, explain_rows=min(rows, config["explain"]["rows"]))
    key = batch_key(part, features["digest"])
    return (
        {"batch": batch, "key": key, "genes": part.height, "rows": rows}
        | {f"rows_{name}": int(part[f"n_{name}"].sum()) for name in classes}
        | {f"mem_mb_{rule}": estimate_mb(rule, held) for rule in rules_of("batch")}
        | {"thread_mb": thread_mb(held)}
        | {f"minutes_{rule}": estimate_minutes(rule, held) for rule in rules_of("batch")}
    )
