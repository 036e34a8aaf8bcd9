"""Reads an earlier plan whose groups keep their batch, fold and test role (`batching.keep`)."""

import logging

import numpy as np
import polars as pl

from genebatch.config.settings import HoldOut
from genebatch.groups import check_sides, deal, folds, measures
from genebatch.io.files import InputError, first_names, read_parquet
from genebatch.plan.coverage import FEWEST_OUTSIDE

log = logging.getLogger(__name__)

COLUMNS = ["group", "batch", "lent", "fold", "test"]


def read_plan(path: str | None) -> pl.DataFrame | None:
    """Read the columns that are kept of an earlier plan's batches/groups.parquet; None without one.

    Raises
    ------
    InputError
        If the file is something else, or gives a group to two batches.
    """
    if path is None:
        return None
    try:
        plan = read_parquet(path, columns=COLUMNS)
    except (OSError, pl.exceptions.PolarsError) as error:
        raise InputError(
            f"batching.keep: {path} is no batches/groups.parquet of an earlier plan ({error})"
        ) from error
    twice = plan.filter(~pl.col("lent").fill_null(False))["group"]
    twice = twice.filter(twice.is_duplicated()).sort()
    if len(twice):
        raise InputError(
            f"batching.keep: {path} deals group '{twice[0]}' twice; give the file as a plan wrote "
            "it, or set batching.keep: null"
        )
    return plan


def check_kept(path: str, earlier: pl.DataFrame, groups: pl.Series) -> None:
    """Log how many groups of an earlier plan are in the data, and warn of those that are not.

    Raises
    ------
    InputError
        If none is: the plan is one of other data, and would keep nothing.
    """
    planned, present = set(earlier["group"]), set(groups)
    absent = sorted(planned - present)
    if len(absent) == len(planned):
        raise InputError(
            f"batching.keep: none of the {len(planned):,} groups of {path} is in the data: "
            f"{first_names(absent)}; the data has {first_names(sorted(present))}; give a plan of "
            "these groups, or set batching.keep: null"
        )
    log.info(
        "%s of %s groups of the kept plan are in the data, which has %s new ones",
        *(f"{len(n):,}" for n in (planned & present, planned, present - planned)),
    )
    if absent:
        log.warning(
            "%s of %s groups of the kept plan are not in the data: %s",
            *(f"{len(absent):,}", f"{len(planned):,}", first_names(absent)),
        )


def kept_members(
    training: pl.DataFrame, earlier: pl.DataFrame, overlap: float
) -> tuple[dict[str, np.ndarray], np.ndarray]:
    """Give the earlier plan's batches their groups; new groups join the batch with most room.

    Parameters
    ----------
    training
        The table of groups of training groups.
    earlier
        What `read_plan` gives.
    overlap
        `batching.overlap`; with 0 a plan that lends groups is refused.

    Returns
    -------
    tuple
        Row numbers of `training` for each batch, and (groups,) the batch that each group belongs
        to; other batches that hold it borrow it.
    """
    trained = earlier.filter(~pl.col("test"))
    lent = trained.filter("lent")
    if lent.height and not overlap:
        raise InputError(
            f"batching.keep holds a plan in which {lent.height:,} groups are lent to a second "
            "batch, but batching.overlap is 0; set it to what it was, or set batching.keep: null"
        )
    batches = sorted(trained["batch"].unique().to_list())
    rows = {name: row for row, name in enumerate(training["group"])}
    members_of: dict[str, list[int]] = {batch: [] for batch in batches}
    owner = np.full(training.height, None, object)
    for group, batch, borrowed in trained.select("group", "batch", "lent").iter_rows():
        if group in rows:
            members_of[batch].append(rows[group])
            if not borrowed:
                owner[rows[group]] = batch
    new = np.flatnonzero(owner == None)  # noqa: E711
    sizes = measures(training)
    loads = np.array([sizes[members_of[batch]].sum(axis=0) for batch in batches])
    names = training["group"].gather(new).to_list()
    parts = deal(names, sizes[new], np.ones(len(batches)), seed=0, loads=loads)
    for row, part in zip(new.tolist(), parts.tolist(), strict=True):
        members_of[batches[part]].append(row)
        owner[row] = batches[part]
    members = {batch: np.sort(np.array(rows, int)) for batch, rows in members_of.items() if rows}
    return members, owner


def extended_test_groups(table: pl.DataFrame, earlier: pl.DataFrame, test: HoldOut) -> pl.Series:
    """Choose the test groups: those of the earlier plan, and a share of the new groups.

    Raises
    ------
    InputError
        If nothing is left on one side.
    """
    was_test = table["group"].is_in(earlier.filter("test")["group"].implode())
    new = ~table["group"].is_in(earlier["group"].implode())
    sizes = measures(table)
    loads = [
        sizes[was_test.to_numpy()].sum(axis=0),
        sizes[(~was_test & ~new).to_numpy()].sum(axis=0),
    ]
    names = table.filter(new)["group"].to_list()
    shares = [test.fraction, 1 - test.fraction]
    parts = deal(names, sizes[new.to_numpy()], shares, test.seed, loads=np.array(loads))
    chosen = was_test.to_numpy().copy()
    chosen[np.flatnonzero(new.to_numpy())[parts == 0]] = True
    given = pl.Series("test", chosen)
    check_sides(
        given,
        "the plan of batching.keep sets",
        "name test groups of this table by test.groups (or test.column and test.values), or set "
        "batching.keep: null to deal all groups anew",
    )
    return given


def kept_n_folds(earlier: pl.DataFrame) -> int:
    """Number of folds of an earlier plan."""
    return int(earlier["fold"].max()) + 1


def kept_folds(
    part: pl.DataFrame, batch: str, earlier: pl.DataFrame, n_folds: int, seed: int
) -> np.ndarray:
    """Give each group of a batch its earlier fold, or a new group the fold with most room.

    If a fold has no group, or leaves fewer than two to train and stop on, all groups of the batch
    are dealt anew. The batch has lost groups then, so it is trained again in any case.
    """
    if kept_n_folds(earlier) != n_folds:
        raise InputError(
            f"batching.keep holds {kept_n_folds(earlier)} folds but cv.n_splits is "
            f"{n_folds}; make the two agree or set batching.keep: null"
        )
    earlier_fold = dict(
        earlier.filter(pl.col("batch") == batch).select("group", "fold").iter_rows()
    )
    fold = np.array([earlier_fold.get(name, -1) for name in part["group"]])
    sizes, new = measures(part), np.flatnonzero(fold < 0)
    loads = np.array([sizes[fold == number].sum(axis=0) for number in range(n_folds)])
    names = part["group"].gather(new).to_list()
    fold[new] = deal(names, sizes[new], np.ones(n_folds), seed, loads=loads)
    left = np.bincount(fold, minlength=n_folds)
    if left.all() and len(fold) - left.max() >= FEWEST_OUTSIDE:
        return fold
    log.warning(
        "batch %s: of the kept plan its folds have %s groups left; the groups are dealt into folds "
        "anew, and the batch is trained again",
        *(batch, "/".join(map(str, left))),
    )
    return folds(part, n_folds, seed)
