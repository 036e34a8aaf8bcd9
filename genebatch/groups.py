"""Deals whole groups into parts: test groups, batches, folds, stopping groups and samples."""

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import numpy as np
import polars as pl

from genebatch.config.settings import HoldOut
from genebatch.io.files import InputError
from genebatch.io.tables import read_tsv

SAMPLE_SEED = -1  # unlike any seed of the config by default: lent groups are no likelier drawn
LEAST_SAMPLED = 2  # groups of a fold of a batch that a sample has at least


def deal(
    names: Sequence[str],
    sizes: np.ndarray,
    shares: Sequence[float],
    seed: int,
    max_groups: int | None = None,
    loads: np.ndarray | None = None,
) -> np.ndarray:
    """Deal groups into parts so that every measure follows the shares of the parts.

    Greedy, largest group first (longest processing time, Graham 1969, with several measures): each
    group joins the part in which it least increases the squared relative excess over the share,
    summed over measures. Ties go by a seeded hash of the name, so the result depends neither on
    the order of rows nor on that of groups.

    Parameters
    ----------
    names
        Group names, unique.
    sizes
        (groups, measures), for example rows and rows of each class; non-negative.
    shares
        Wanted share of each part; any positive numbers.
    seed
        Seed of the hash.
    max_groups
        Most groups in a part, or None.
    loads
        (parts, measures) already in the parts, or None.

    Returns
    -------
    numpy.ndarray
        Part of each group, in the order of `names`.
    """
    sizes = np.asarray(sizes, float)
    wanted = np.asarray(shares, float) / np.sum(shares)
    filled = np.zeros((len(wanted), sizes.shape[1])) if loads is None else np.array(loads, float)
    total = sizes.sum(axis=0) + filled.sum(axis=0)
    scale = np.where(total > 0, total, 1)
    parts_sizes, filled = sizes / scale, filled / scale
    room = np.full(len(wanted), np.inf if max_groups is None else max_groups)
    ties = np.array([hashed(name, seed) for name in names])
    order = np.lexsort((ties, -parts_sizes.max(axis=1))) if len(names) else np.empty(0, int)
    parts = np.empty(len(names), int)
    for group in order:
        size = parts_sizes[group]
        # Increase of sum((load / share - 1)^2 * share) when the group joins each part.
        cost = (2 * size * (filled / wanted[:, None] - 1) + size**2 / wanted[:, None]).sum(axis=1)
        cost[room <= 0] = np.inf
        part = int(np.argmin(cost))
        parts[group] = part
        filled[part] += size
        room[part] -= 1
    return parts


def measures(groups: pl.DataFrame) -> np.ndarray:
    """Give what dealing balances: rows, rows of each class and the number of groups."""
    counts = groups.select(pl.col("rows"), pl.col("^n_.*$")).to_numpy()
    return np.column_stack([counts, np.ones(groups.height)]).astype(float)


def read_groups_list(path: str | Path) -> list[str]:
    """Read the groups of a TSV with the column `group`."""
    return read_tsv(path)["group"].to_list()


def read_group_of(table: str | Path) -> dict[str, str]:
    """Read the group of every gene of a built table, from its `genes.tsv`."""
    return dict(read_tsv(table).select("gene_id", "group").iter_rows())


def genes_of(groups: Iterable[str], group_of: Mapping[str, str]) -> list[str]:
    """Sorted ids of the genes of some groups; `group_of` gives the group of a gene."""
    wanted = frozenset(groups)
    return sorted(gene for gene, group in group_of.items() if group in wanted)


def hold_out(groups: pl.DataFrame, test: HoldOut) -> pl.Series:
    """Choose the test groups, as the section `test` says.

    Parameters
    ----------
    groups
        The table of groups.
    test
        `fraction`, or `groups`, or `column` with `values`.

    Returns
    -------
    polars.Series
        Boolean, one for each row of `groups`.

    Raises
    ------
    InputError
        If a named group or value does not exist, or nothing is left on one side.
    """
    if test.groups is not None:
        chosen = _named_groups(groups, test.groups)
    elif test.column is not None:
        chosen = _groups_with(groups, test)
    else:
        shares = [test.fraction, 1 - test.fraction]
        parts = deal(groups["group"].to_list(), measures(groups), shares, test.seed)
        chosen = pl.Series(parts == 0)
    check_sides(chosen, "the test keys set", "change test.fraction, test.groups or test.values")
    return chosen.alias("test")


def check_sides(chosen: pl.Series, told: str, remedy: str) -> None:
    """Raise unless there are test groups and training groups.

    Parameters
    ----------
    chosen
        (groups,) bool, the test groups.
    told, remedy
        What set them aside, with its verb, and what to do about it.
    """
    if not chosen.any() or chosen.all():
        raise InputError(
            f"{told} aside {int(chosen.sum())} of {len(chosen)} groups; both test and training "
            f"groups are needed: {remedy}"
        )


def _named_groups(groups: pl.DataFrame, names: Sequence[str]) -> pl.Series:
    unknown = sorted(set(names) - set(groups["group"]))
    if unknown:
        raise InputError(f"test.groups names groups that are not in the data: {unknown[:5]}")
    return groups["group"].is_in(list(names))


def _groups_with(groups: pl.DataFrame, test: HoldOut) -> pl.Series:
    """Groups whose value of `test.column` is one of `test.values`."""
    facts = groups[f"fact.{test.column}"]
    values = [str(value) for value in test.values or ()]
    unknown = sorted(set(values) - set(facts.drop_nulls()))
    if unknown:
        values_text = ", ".join(facts.drop_nulls().unique().sort().to_list()[:20])
        raise InputError(
            f"test.values {unknown} are not in column '{test.column}' (values: {values_text})"
        )
    return facts.is_in(values).fill_null(False)


def overlapping(
    groups: pl.DataFrame, batches: np.ndarray, overlap: float, seed: int
) -> list[np.ndarray]:
    """Members of each batch, with a share of each batch's groups lent to the next batch as well.

    The lent groups are drawn by a seeded hash; the last batch lends to the first.

    Returns
    -------
    list of numpy.ndarray
        Row numbers of `groups` for each batch.
    """
    n_batches = int(batches.max()) + 1
    own = [np.flatnonzero(batches == batch) for batch in range(n_batches)]
    if not overlap or n_batches == 1:
        return own
    names = groups["group"].to_list()
    lent = []
    for members in own:
        order = sorted(members, key=lambda row: hashed(names[row], seed + 1))
        lent.append(np.array(order[: round(overlap * len(members))], int))
    return [np.sort(np.concatenate([own[b], lent[b - 1]])) for b in range(n_batches)]


def folds(groups: pl.DataFrame, n_splits: int, seed: int) -> np.ndarray:
    """Fold of each group, balanced by rows and by class.

    Raises
    ------
    InputError
        If there are fewer groups than folds.
    """
    if groups.height < n_splits:
        raise InputError(
            f"{groups.height} groups cannot make cv.n_splits={n_splits} folds of whole groups; "
            "lower cv.n_splits or enlarge the batch"
        )
    return deal(groups["group"].to_list(), measures(groups), np.ones(n_splits), seed)


def sampled(planned: pl.DataFrame, most_rows: int | None) -> pl.Series | None:
    """Draw whole training groups that have about so many rows together.

    Every fold of every batch gives the same share of its groups, and at least `LEAST_SAMPLED` of
    them if it has so many. A group belongs to the first batch that holds it. Groups of a fold are
    drawn by a hash of the name, whatever their rows, so that a sum over the sample is that of all
    groups times the share, but for chance. Many small batches may need more than `most_rows`.

    Parameters
    ----------
    planned
        Columns `group`, `batch`, `fold` and `rows`; test groups have no batch.
    most_rows
        Rows of the sample, or None for all.

    Returns
    -------
    polars.Series or None
        Sorted names; None where all groups are taken.
    """
    owned = (
        planned.filter(pl.col("batch").is_not_null()).sort("batch").unique("group", keep="first")
    )
    total = int(owned["rows"].sum())
    if most_rows is None or total <= most_rows:
        return None
    names = owned["group"].cast(pl.String)
    ties = pl.Series("tie", [hashed(name, SAMPLE_SEED) for name in names], dtype=pl.Int64)
    fold = ["batch", "fold"]
    drawn = (
        owned.select(names.alias("group"), *fold)
        .with_columns(ties)
        .sort("tie", "group")
        .filter(
            pl.int_range(pl.len()).over(fold)
            < (pl.len() * (most_rows / total)).round().clip(LEAST_SAMPLED).over(fold)
        )
    )
    return None if drawn.height == owned.height else drawn["group"].sort()


def hashed(name: str, seed: int) -> int:
    """A number that breaks ties, by name and seed alone."""
    return int.from_bytes(hashlib.sha256(f"{seed}:{name}".encode()).digest()[:7], "big")
