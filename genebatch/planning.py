"""The plan: which groups are test groups, which batch holds which groups, and what it will need."""

import logging
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import polars as pl

from genebatch.dataset import Features
from genebatch.files import InputError, digest, read_json, write_json, write_parquet, write_tsv
from genebatch.partition import STRATEGIES, deal, folds, hold_out, measures, overlapping
from genebatch.resources import (
    RULES,
    WHOLE_RULES,
    Shape,
    Whole,
    estimate_mb,
    estimate_whole_mb,
    largest_mb,
)
from genebatch.tables import read_tsv

log = logging.getLogger(__name__)


class Plan(NamedTuple):
    """Batches and their members.

    Attributes
    ----------
    manifest
        One row per batch: `batch`, `key`, `genes`, `rows`, `rows_{class}` and `mem_mb_{rule}`.
    genes
        One row per group and batch: the per-group table with `batch` (null for test groups),
        `fold` (null for test groups) and `test`.
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
    earlier = _read_plan(keep)
    if earlier is not None and test["groups"] is None and test["column"] is None:
        chosen = _extended_test_groups(table, earlier, test)
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
    manifest: str | Path,
    plan: str | Path,
    memory: str | Path,
) -> None:
    """Write the manifest of batches and the role of every group.

    Parameters
    ----------
    profile, genes, test_groups, features
        Files of the earlier rules.
    config
        The whole config.
    budget_mb
        What the largest rule of a batch may need, in MB: the memory limit divided by
        `resources.mem_factor`.
    manifest, plan
        Output paths, TSV and Parquet.
    memory
        Output path, JSON: what the rules about all batches need, in MB by rule.
    """
    table = pl.read_parquet(genes)
    held_out = read_groups_list(test_groups)
    made = make_plan(table, held_out, read_json(features), config, budget_mb)
    for row in made.manifest.iter_rows(named=True):
        need = max(row[f"mem_mb_{rule}"] for rule in RULES)
        counts = (f"{count:,}" for count in (row["genes"], row["rows"], need))
        log.info("%s: %s groups, %s rows, %s MB", row["batch"], *counts)
    write_parquet(plan, made.genes)
    write_json(memory, whole_memory(made, read_json(features), config))
    write_tsv(manifest, made.manifest)


def whole_memory(
    plan: Plan, features: Mapping[str, Any], config: Mapping[str, Any]
) -> dict[str, int]:
    """Estimate of each rule about all batches, in MB."""
    rows = int(plan.genes.filter(~pl.col("test")).unique("group")["rows"].sum())
    whole = Whole(
        _shape(features, config)._replace(rows=rows),
        int(plan.manifest["rows"].max()),
        plan.manifest.height,
        config["learner"]["n_estimators"],
        int(plan.genes.filter("test")["rows"].sum()),
    )
    return {rule: estimate_whole_mb(rule, whole) for rule in WHOLE_RULES}


def make_plan(
    genes: pl.DataFrame,
    test_groups: list[str],
    features: Mapping[str, Any],
    config: Mapping[str, Any],
    budget_mb: int,
) -> Plan:
    """Deal the training groups into batches that fit, and check the plan.

    Raises
    ------
    InputError
        If a group cannot fit, batches would be too small, or a class is too rare in a batch.
    """
    training = genes.filter(~pl.col("group").is_in(test_groups)).sort("group")
    shape = _shape(features, config)
    _check_groups(training, shape, config, budget_mb)
    earlier = _read_plan(config["batching"]["keep"])
    if earlier is not None:
        members = _kept_members(training, earlier)
    else:
        members = _fitting_members(training, shape, config, budget_mb)
    assigned, rows = [], []
    for batch in sorted(members):
        part = training[members[batch]]
        _check_batch(part, batch, config)
        fold = _folds(part, batch, earlier, config["cv"])
        part = part.with_columns(
            pl.lit(batch).alias("batch"), pl.Series("fold", fold, dtype=pl.Int32)
        )
        _check_fit(part, batch, shape, budget_mb)
        assigned.append(part)
        rows.append(_manifest_row(part, batch, shape, features, config))
    test = genes.filter(pl.col("group").is_in(test_groups)).with_columns(
        pl.lit(None, pl.String).alias("batch"), pl.lit(None, pl.Int32).alias("fold")
    )
    everything = pl.concat([*assigned, test]).with_columns(pl.col("batch").is_null().alias("test"))
    _check_coverage(everything, genes)
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
    largest = manifest.select(pl.max_horizontal(pl.col("^mem_mb_.*$"))).to_series()
    running = used = 0
    for need in largest.sort(descending=True)[: max(cores // threads, 1)]:
        if used + need > memory_mb:
            break
        running, used = running + 1, used + need
    return running, used


def _shape(features: Mapping[str, Any], config: Mapping[str, Any]) -> Shape:
    chosen = Features.from_json(features)
    return Shape(
        rows=0,
        n_dense=chosen.n_dense,
        n_counts=len(chosen.names) - chosen.n_dense,
        counts_per_row=features["counts_per_row"],
        n_classes=len(config["dataset"]["classes"]),
        n_splits=config["cv"]["n_splits"],
        max_bin=config["learner"]["max_bin"],
        max_depth=config["learner"]["max_depth"],
        explain_rows=config["explain"]["rows"],
    )


def _needed(shape: Shape, rows: int) -> int:
    return largest_mb(shape._replace(rows=rows))


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
    need = _needed(shape, largest["rows"])
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


def _fitting_members(
    training: pl.DataFrame, shape: Shape, config: Mapping[str, Any], budget_mb: int
) -> dict[str, np.ndarray]:
    """Deal into the fewest batches that keep to max_genes, max_rows and the memory limit."""
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
        need = _needed(shape, largest)
        if need > budget_mb:
            reason = f"a batch of {largest:,} rows needs {need} MB of the {budget_mb} MB allowed"
        elif batching["max_rows"] is not None and largest > batching["max_rows"]:
            reason = f"a batch has {largest:,} rows, batching.max_rows={batching['max_rows']}"
        else:
            width = max(3, len(str(len(parts) - 1)))
            return {f"b{number:0{width}d}": part for number, part in enumerate(parts)}
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


def _kept_members(training: pl.DataFrame, earlier: pl.DataFrame) -> dict[str, np.ndarray]:
    """Members of the earlier plan's batches; new groups join the batch with most room."""
    batches = sorted(earlier["batch"].drop_nulls().unique().to_list())
    rows = {name: row for row, name in enumerate(training["group"])}
    held: dict[str, list[int]] = {batch: [] for batch in batches}
    for group, batch in earlier.filter(~pl.col("test")).select("group", "batch").iter_rows():
        if group in rows:
            held[batch].append(rows[group])
    known = {group for groups in held.values() for group in groups}
    new = np.array([row for row in rows.values() if row not in known], int)
    sizes = measures(training)
    loads = np.array([sizes[held[batch]].sum(axis=0) for batch in batches])
    names = training["group"].gather(new).to_list()
    parts = deal(names, sizes[new], np.ones(len(batches)), seed=0, loads=loads)
    for row, part in zip(new.tolist(), parts.tolist(), strict=True):
        held[batches[part]].append(row)
    return {batch: np.sort(np.array(members, int)) for batch, members in held.items() if members}


def _extended_test_groups(
    table: pl.DataFrame, earlier: pl.DataFrame, test: Mapping[str, Any]
) -> pl.Series:
    """Test groups of the earlier plan, and a share of the new groups."""
    was_test = table["group"].is_in(earlier.filter("test")["group"].implode())
    new = ~table["group"].is_in(earlier["group"].implode())
    sizes = measures(table)
    loads = [
        sizes[was_test.to_numpy()].sum(axis=0),
        sizes[(~was_test & ~new).to_numpy()].sum(axis=0),
    ]
    names = table.filter(new)["group"].to_list()
    shares = [test["fraction"], 1 - test["fraction"]]
    parts = deal(names, sizes[new.to_numpy()], shares, test["seed"], loads=np.array(loads))
    chosen = was_test.to_numpy().copy()
    chosen[np.flatnonzero(new.to_numpy())[parts == 0]] = True
    return pl.Series("test", chosen)


def _folds(
    part: pl.DataFrame, batch: str, earlier: pl.DataFrame | None, cv: Mapping[str, Any]
) -> np.ndarray:
    if earlier is None:
        return folds(part, cv["n_splits"], cv["seed"])
    known = dict(earlier.filter(pl.col("batch") == batch).select("group", "fold").iter_rows())
    if known and max(known.values()) + 1 != cv["n_splits"]:
        raise InputError(
            f"batching.keep holds {max(known.values()) + 1} folds but cv.n_splits is "
            f"{cv['n_splits']}; make the two agree or set batching.keep: null"
        )
    fold = np.array([known.get(name, -1) for name in part["group"]])
    sizes, new = measures(part), np.flatnonzero(fold < 0)
    loads = np.array([sizes[fold == number].sum(axis=0) for number in range(cv["n_splits"])])
    names = part["group"].gather(new).to_list()
    fold[new] = deal(names, sizes[new], np.ones(cv["n_splits"]), cv["seed"], loads=loads)
    return fold


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


def _check_fit(part: pl.DataFrame, batch: str, shape: Shape, budget_mb: int) -> None:
    need = _needed(shape, int(part["rows"].sum()))
    if need > budget_mb:
        raise InputError(
            f"batch {batch} needs {need} MB but {budget_mb} MB may be used; raise "
            "resources.memory_mb and --resources mem_mb, or set batching.keep: null to plan anew"
        )


def _check_coverage(everything: pl.DataFrame, genes: pl.DataFrame) -> None:
    both = set(everything.filter("test")["group"]) & set(
        everything.filter(~pl.col("test"))["group"]
    )
    if both or set(everything["group"]) != set(genes["group"]):
        raise RuntimeError("a group has no place, or two, in the plan")


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
        | {f"mem_mb_{rule}": estimate_mb(rule, held) for rule in RULES}
    )


def _read_plan(path: str | None) -> pl.DataFrame | None:
    if path is None:
        return None
    try:
        return pl.read_parquet(path, columns=["group", "batch", "fold", "test"])
    except (OSError, pl.exceptions.PolarsError) as error:
        raise InputError(
            f"batching.keep: {path} is no batches/genes.parquet of an earlier plan ({error})"
        ) from error
