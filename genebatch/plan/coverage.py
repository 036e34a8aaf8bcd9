"""Tells what a plan covers: what each batch holds, and how often every group is held."""

import logging
from collections.abc import Sequence

import numpy as np
import polars as pl

from genebatch.io.files import InputError, first_names
from genebatch.plan.strategies import complexity

log = logging.getLogger(__name__)

FEWEST_OUTSIDE = 2  # groups outside of a fold: one to train, one to stop boosting on


def coverage(plan: pl.DataFrame, classes: Sequence[str]) -> pl.DataFrame:
    """What each batch of a plan holds.

    Parameters
    ----------
    plan
        The batches/groups.parquet of a plan.
    classes
        Names of the classes.

    Returns
    -------
    polars.DataFrame
        A line per batch: `batch`, `groups` (of its own), `lent` (groups that it borrows);
        of both together `rows`, `rows_{class}`, `weight_share` (of the weight of all training
        groups), `rows_per_group` (mean) and `complexity` (their shares of that of all training
        groups, see `strategies.complexity`). With groups that are lent the shares sum to more
        than 1.
    """
    trained = plan.filter(~pl.col("test"))
    own = trained.filter(~pl.col("lent"))
    weight = pl.sum_horizontal(f"weight_{name}" for name in classes)
    shares = own.select(
        "group", pl.Series("complexity", complexity(own)), (weight / weight.sum()).alias("share")
    )
    return (
        trained.join(shares, on="group", how="left")
        .group_by("batch")
        .agg(
            (~pl.col("lent")).sum().cast(pl.Int64).alias("groups"),
            pl.col("lent").sum().cast(pl.Int64),
            pl.col("rows").sum(),
            *(pl.col(f"n_{name}").sum().alias(f"rows_{name}") for name in classes),
            pl.col("share").sum().alias("weight_share"),
            pl.col("rows").mean().alias("rows_per_group"),
            pl.col("complexity").sum(),
        )
        .sort("batch")
    )


def times_held(plan: pl.DataFrame) -> pl.DataFrame:
    """How many groups are held by no batch, by one and by two.

    Returns
    -------
    polars.DataFrame
        Columns `role` (training or test), `batches`, `groups` and `rows`; for each role the lines
        0, 1 and 2, the rows of a group counted once.
    """
    batches_of = plan.group_by("group").agg(
        pl.col("test").first(), pl.col("batch").count().alias("batches"), pl.col("rows").first()
    )
    lines = []
    for role, part in (
        ("training", batches_of.filter(~pl.col("test"))),
        ("test", batches_of.filter("test")),
    ):
        for batches in range(3):
            chosen = part.filter(pl.col("batches") == batches)
            line = {"role": role, "batches": batches, "groups": chosen.height}
            lines.append(line | {"rows": int(chosen["rows"].sum())})
    return pl.DataFrame(lines)


def check_classes(
    training: pl.DataFrame, groups: pl.DataFrame, classes: Sequence[str], *, weighted: bool
) -> None:
    """Raise if a class has no row in training groups; warn if one group has all of them.

    Parameters
    ----------
    training
        The training groups of the table of groups.
    groups
        The table of groups.
    classes
        Names of the classes.
    weighted
        Whether boosters are trained with weights: a row of weight 0 is then as good as none.

    Raises
    ------
    InputError
        Naming the class, and the test groups that have its rows.
    """
    for name in classes:
        measure = f"weight_{name}" if weighted else f"n_{name}"
        holding = training.filter(training[measure] > 0)
        if holding.height > 1:
            continue
        if holding.height:
            rows = f"({holding[f'n_{name}'][0]:,})"
            log.warning(
                "class '%s': all training rows %s are in one group, '%s'; no model that never saw "
                "this group knows the class",
                name,
                "with a weight above 0" if weighted else rows,
                holding["group"][0],
            )
            continue
        _refuse_class(name, training, groups.filter(groups[measure] > 0))


def _refuse_class(name: str, training: pl.DataFrame, test: pl.DataFrame) -> None:
    """Raise for a class that some test groups alone have."""
    rows, where = training[f"n_{name}"].sum(), first_names(test["group"])
    others = "choose other test groups (test.groups, test.values, test.seed), or "
    if rows:
        raise InputError(
            f"class '{name}' has no weight in training groups: its {rows:,} rows there have weight "
            f"0 (dataset.weight), unlike those in test groups ({where}); correct the column of "
            f"dataset.weight, {others}set learner.use_weights: false"
        )
    raise InputError(
        f"class '{name}' has no row in training groups: its {test[f'n_{name}'].sum():,} rows "
        f"are in test groups ({where}); {others}take the class out of dataset.classes"
    )


def check_folds(fold: np.ndarray, batch: str) -> None:
    """Raise unless `FEWEST_OUTSIDE` groups are outside of each fold.

    Parameters
    ----------
    fold
        (groups,) fold of each group of the batch.
    batch
        Its name.
    """
    numbers, sizes = np.unique(fold, return_counts=True)
    fewest = len(fold) - int(sizes.max())
    if fewest < FEWEST_OUTSIDE:
        raise InputError(
            f"batch {batch} has {len(fold)} groups, of which fold {numbers[sizes.argmax()]} leaves "
            f"{fewest}: training and stopping need two groups outside of each fold; raise "
            "batching.min_groups to 4 or more, or give more groups"
        )


def check_coverage(plan: pl.DataFrame, groups: pl.DataFrame, test: Sequence[str]) -> None:
    """Raise unless every training group is dealt to exactly one batch and no test group to any.

    A group may be lent to one other batch.

    Parameters
    ----------
    plan
        The plan.
    groups
        The table of groups that it is made from.
    test
        The test groups.
    """
    held = plan.filter(pl.col("batch").is_not_null())
    own = held.filter(~pl.col("lent"))["group"].sort()
    lent = held.filter("lent")
    training = groups.filter(~pl.col("group").is_in(list(test)))["group"].sort()
    aside = plan.filter("test")["group"].sort()
    faults = {
        "training groups are not dealt exactly once": not own.equals(training),
        "groups are lent twice": lent["group"].is_duplicated().any(),
        "groups are held twice by a batch": held.select("group", "batch").is_duplicated().any(),
        "test groups are not those that were set aside": not aside.equals(
            groups.filter(pl.col("group").is_in(list(test)))["group"].sort()
        ),
        "a group is lent that no batch owns": not np.isin(lent["group"], own).all(),
    }
    wrong = [fault for fault, found in faults.items() if found]
    if wrong:
        raise RuntimeError(f"the plan is wrong: {'; '.join(wrong)}")
