"""Describes groups by the means of features that hardly vary inside a group."""

import logging
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import polars as pl

from genebatch.dataset.columns import is_pattern, match_columns, own_name
from genebatch.dataset.shards import Shard, read_groups
from genebatch.io.files import InputError, first_names
from genebatch.io.tables import check_lacking

log = logging.getLogger(__name__)

# Share of a feature's variance that must lie between groups, so that a row shows its group.
LEAST_CORRELATION = 0.5
# Of two features whose group means correlate more than this, one is enough.
NEAR_DUPLICATE = 0.95
# Columns are read in blocks: at most so many cells of groups x columns, 16 bytes each, and so
# many columns of a record batch as float64 (16 MB, of which some copies are made).
BLOCK_CELLS = 8_000_000
BLOCK_COLUMNS = 256


class Moments(NamedTuple):
    """Moments of some columns over the rows of some groups.

    Attributes
    ----------
    count
        (groups, columns) rows with a value.
    mean
        (groups, columns) their mean, NaN where there are none.
    within
        (columns,) sum over rows of the squared distance from the mean of their group.
    """

    count: np.ndarray
    mean: np.ndarray
    within: np.ndarray


class Described(NamedTuple):
    """Standardised features of groups, and how they were standardised (JSON); see `describe`."""

    groups: pl.DataFrame
    similarity: dict[str, Any]


def describe(
    shards: Sequence[Shard],
    training: pl.DataFrame,
    group: str,
    names: Sequence[str],
    similar_by: Sequence[str] | None,
) -> Described:
    """Describe every training group, so that groups which are alike can share a batch.

    Reads the feature columns of the training groups once, labels not at all. Holds the means of
    a block of columns and those of the columns that are chosen.

    Parameters
    ----------
    shards
        The shards of the profile.
    training
        The table of groups, without test groups.
    group
        Name of the group column.
    names
        The features.
    similar_by
        Names or glob patterns of features; None takes those of which at least half of the
        variance lies between groups (`intraclass_correlation`). Either way two kinds of features
        are left out: those whose mean is the same in every group, and of those whose group means
        correlate above 0.95 all but the one with the highest intraclass correlation.

    Returns
    -------
    Described
        `groups` has the column `group`, and a float32 column for each chosen feature (`row.group`
        for one that is called `group`): the mean
        over the group's rows less its mean over training groups, divided by its standard deviation
        over them. Missing and infinite values do not count; a group without any value has 0.
        `similarity` has `columns`, `mean` and `scale` for `standardise`, `chosen_by`, and under
        `considered` the intraclass correlation of every column that was looked at and why it was
        left out.

    Raises
    ------
    InputError
        If `similar_by` names what is no feature, or no feature is left.
    """
    wanted = list(names) if similar_by is None else _named(similar_by, names)
    training = training.sort("group")
    correlations: dict[str, float | None] = {}
    means: dict[str, np.ndarray] = {}
    for block in _blocks(wanted, training.height):
        moments = group_moments(shards, training, block, group)
        shares = intraclass_correlation(moments)
        correlations |= dict(zip(block, (_number(value) for value in shares), strict=True))
        kept = shares >= LEAST_CORRELATION if similar_by is None else np.ones(len(block), bool)
        means |= {block[column]: moments.mean[:, column].copy() for column in np.flatnonzero(kept)}
    left_out = _redundant(means, correlations)
    chosen = [name for name in wanted if name in means and name not in left_out]
    if not chosen:
        raise InputError(_nothing_left(similar_by, correlations))
    table = pl.DataFrame({name: means[name] for name in chosen})
    facts = _similarity(table, similar_by, correlations, left_out)
    standardised = standardise(table, facts).astype(np.float32)
    counts = (f"{count:,}" for count in (training.height, len(chosen), len(wanted)))
    log.info("%s training groups are told apart by %s of %s features", *counts)
    stored = [own_name(name, {"group", *(set(chosen) - {name})}) for name in chosen]
    return Described(training.select("group").hstack(pl.DataFrame(standardised, stored)), facts)


def standardise(frame: pl.DataFrame, similarity: Mapping[str, Any]) -> np.ndarray:
    """The columns that tell groups apart, in units of the training groups.

    Parameters
    ----------
    frame
        Rows with at least the columns of `similarity`, in any order.
    similarity
        `Described.similarity`.

    Returns
    -------
    numpy.ndarray
        (rows, columns) float64, 0 where a value is missing or infinite: the mean of the training
        groups.

    Raises
    ------
    InputError
        Naming the columns that `frame` lacks.
    """
    values = _values(frame, similarity["columns"])
    values -= np.array(similarity["mean"])
    values /= np.array(similarity["scale"])
    values[np.isnan(values)] = 0.0
    return values


def centroids(
    group_features: pl.DataFrame, plan: pl.DataFrame, batches: Sequence[str]
) -> np.ndarray:
    """The mean of the standardised features of the groups of each batch.

    Parameters
    ----------
    group_features
        `Described.groups`.
    plan
        The table of groups of a plan; groups that a batch borrows count as its own.
    batches
        Names of batches, in the order of the rows of the result.

    Returns
    -------
    numpy.ndarray
        (batches, columns) float64, columns as in `group_features` and its JSON file.

    Raises
    ------
    InputError
        If a batch is not in the plan, or one of its groups has no features.
    """
    columns = [name for name in group_features.columns if name != "group"]
    rows = []
    for batch in batches:
        members = plan.filter(pl.col("batch") == batch).select("group")
        described = members.join(group_features, on="group", how="inner")
        if not members.height or described.height != members.height:
            lacking = members.join(group_features, on="group", how="anti")["group"].sort()
            raise InputError(
                f"batch {batch} has {members.height:,} groups in the plan, of which "
                f"{described.height:,} have features in group_features.parquet "
                f"(without: {first_names(lacking) or 'none'}); the two belong to different plans: "
                "delete dataset/group_features.parquet in the results folder and run again"
            )
        rows.append(described[columns].cast(pl.Float64).mean().row(0))
    return np.array(rows, np.float64)


def group_moments(
    shards: Sequence[Shard], groups: pl.DataFrame, columns: Sequence[str], group: str
) -> Moments:
    """Stream some columns of some groups, and gather count, mean and spread inside groups.

    Means of record batches are merged as by Chan, Golub and LeVeque (1979), so that large values
    cancel nothing. Holds one record batch as float64 and the result.

    Parameters
    ----------
    shards, groups, columns, group
        As for `read_groups`; the rows of the result are those of `groups`.
    """
    rows = pl.DataFrame({"name": groups["group"], "row": np.arange(groups.height)})
    count = np.zeros((groups.height, len(columns)), np.int64)
    mean = np.zeros((groups.height, len(columns)))
    within = np.zeros(len(columns))
    for frame in read_groups(shards, groups, columns, group):
        names = frame.select(frame[group].alias("name"))
        place = names.join(rows, on="name", how="left", maintain_order="left")["row"].to_numpy()
        order = np.argsort(place, kind="stable")
        members, starts = np.unique(place[order], return_index=True)
        values = _values(frame[order], columns)
        present = ~np.isnan(values)
        added = np.add.reduceat(present, starts, axis=0, dtype=np.int64)
        sums = np.add.reduceat(np.where(present, values, 0.0), starts, axis=0)
        means = sums / np.maximum(added, 1)
        lengths = np.diff(starts, append=len(order))
        values -= np.repeat(means, lengths, axis=0)
        within += np.where(present, values**2, 0.0).sum(axis=0)
        before, total = count[members], np.maximum(count[members] + added, 1)
        moved = means - mean[members]
        within += (moved**2 * before * added / total).sum(axis=0)
        mean[members] += moved * added / total
        count[members] += added
    return Moments(count, np.where(count > 0, mean, np.nan), within)


def intraclass_correlation(moments: Moments) -> np.ndarray:
    """Share of the variance of each column that lies between groups.

    The one-way analysis-of-variance estimator for groups of unequal size (Donner 1986):
    (B - W) / (B + (n0 - 1) W), with the mean squares B between and W within groups and n0 =
    (N - sum(n^2) / N) / (k - 1) for k groups of n rows, N in all. Below 0 where groups differ
    less than chance would have it.

    Returns
    -------
    numpy.ndarray
        (columns,); NaN where fewer than two groups have a value, no group has two, or all values
        are equal.
    """
    size = moments.count.astype(float)
    total, groups = size.sum(axis=0), (size > 0).sum(axis=0)
    means = np.where(size > 0, moments.mean, 0.0)
    defined = (groups > 1) & (total > groups)
    total, groups = np.where(defined, total, 3.0), np.where(defined, groups, 2.0)
    grand = (size * means).sum(axis=0) / total
    between = (size * (means - grand) ** 2).sum(axis=0) / (groups - 1)
    within = moments.within / (total - groups)
    typical = (total - (size**2).sum(axis=0) / total) / (groups - 1)
    spread = between + (typical - 1) * within
    defined &= spread > 0
    correlation = (between - within) / np.where(defined, spread, 1.0)
    return np.where(defined, correlation, np.nan)


def _values(frame: pl.DataFrame, columns: Sequence[str]) -> np.ndarray:
    """Columns rounded to float32, as boosters see them; missing and infinite values are NaN."""
    check_lacking(columns, frame.columns)
    values = frame[list(columns)].cast(pl.Float32).to_numpy().astype(np.float64)
    values[np.isinf(values)] = np.nan
    return values


def _named(similar_by: Sequence[str], names: Sequence[str]) -> list[str]:
    """Features that the config names."""
    plain = [name for name in similar_by if not is_pattern(name)]
    unknown = [name for name in plain if name not in set(names)]
    if unknown:
        raise InputError(
            f"batching.similar_by names '{unknown[0]}', which is no feature of numbers; "
            "features/screen.tsv in the results folder says what every column is and why"
        )
    return match_columns(similar_by, names, "batching.similar_by")


def _blocks(names: Sequence[str], n_groups: int) -> Iterator[list[str]]:
    size = max(min(BLOCK_COLUMNS, BLOCK_CELLS // max(n_groups, 1)), 1)
    for start in range(0, len(names), size):
        yield list(names[start : start + size])


def _redundant(
    means: Mapping[str, np.ndarray], correlations: Mapping[str, float | None]
) -> dict[str, str]:
    """Columns that tell no groups apart, or repeat another column, each with the reason."""
    ranked = sorted(means, key=lambda name: -(correlations[name] or 0.0))
    kept: dict[str, np.ndarray] = {}
    reasons = {}
    for name in ranked:
        vector = _unit(means[name])
        if vector is None:
            reasons[name] = "the same in every group"
            continue
        twin = next((n for n, v in kept.items() if abs(v @ vector) > NEAR_DUPLICATE), None)
        if twin is None:
            kept[name] = vector
        else:
            reasons[name] = f"correlates above {NEAR_DUPLICATE} with '{twin}'"
    return reasons


def _unit(mean: np.ndarray) -> np.ndarray | None:
    """Centred and of length 1, so that products are correlations; None of a constant."""
    present = ~np.isnan(mean)
    if not present.any():
        return None
    centred = np.where(present, mean - mean[present].mean(), 0.0)
    length = np.sqrt((centred**2).sum())
    return centred / length if length > 0 else None


def _similarity(
    table: pl.DataFrame,
    similar_by: Sequence[str] | None,
    correlations: Mapping[str, float | None],
    left_out: Mapping[str, str],
) -> dict[str, Any]:
    automatic = f"intraclass correlation of at least {LEAST_CORRELATION}"
    low = f"intraclass correlation below {LEAST_CORRELATION}, or unknown"
    return {
        "columns": table.columns,
        "mean": [float(np.nanmean(column)) for column in table.iter_columns()],
        "scale": [float(np.nanstd(column)) for column in table.iter_columns()],
        "chosen_by": automatic if similar_by is None else f"batching.similar_by {list(similar_by)}",
        "considered": [
            {
                "column": name,
                "intraclass_correlation": correlation,
                "chosen": name in table.columns,
                "reason": None if name in table.columns else left_out.get(name, low),
            }
            for name, correlation in correlations.items()
        ],
    }


def _nothing_left(
    similar_by: Sequence[str] | None, correlations: Mapping[str, float | None]
) -> str:
    remedy = "name features that tell groups apart in batching.similar_by, or choose another "
    remedy += "batching.strategy"
    if similar_by is not None:
        return (
            f"batching.similar_by {list(similar_by)} leaves no feature that differs between "
            f"groups; {remedy}"
        )
    measured = {name: value for name, value in correlations.items() if value is not None}
    best = max(measured, key=measured.__getitem__, default=None)
    highest = "" if best is None else f" (highest: '{best}', {measured[best]:.2f})"
    return (
        f"no feature has at least half of its variance between groups{highest}, so rows do not "
        f"show what kind of group they are of; {remedy}"
    )


def _number(value: float) -> float | None:
    return None if np.isnan(value) else float(value)
