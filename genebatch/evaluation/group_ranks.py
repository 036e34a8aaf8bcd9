"""Ranks groups by what more groups like them would gain."""

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
import polars as pl
from sklearn.neighbors import NearestNeighbors

from genebatch.evaluation.group_sums import WEIGHTED, GroupSums
from genebatch.io.files import InputError, first_names
from genebatch.metrics.multiclass import SUM_TOLERANCE

# With weights, the loss of weighted rows; benchmarks/gene_ranks.md has the choice.
BY = "log_loss"
NEIGHBOURS = 10  # groups of a kind, the group itself among them
ONE_MEMBER = "a single member has no ambiguity and no disagreement"
ERRORS = ("base_errors", "corrected", "made")
UNSCORED = "not scored by all members: not in the sample of ensemble.score_rows"


class Ranks(NamedTuple):
    """Groups by rank, the column they are ranked by, and the number of members."""

    table: pl.DataFrame
    by: str
    n_members: int

    @property
    def counted(self) -> str:
        """How many groups have a rank, and of how many if not all have one."""
        ranked, named = self.table["rank"].count(), self.table.height
        return f"{ranked:,}" if ranked == named else f"{ranked:,} of {named:,}"


def rank(sums: GroupSums, by: str | None = None, features: pl.DataFrame | None = None) -> Ranks:
    """Put the groups in order.

    Largest value of the column first; groups with equal values, or without one, by their held-out
    loss and then by name.

    Returns
    -------
    Ranks
        `table` has the columns `rank`, `group`, `batch`, the sums of `group_sums.row_values`, and
        made from them `mean_log_loss`, `mean_ambiguity` (per row), `error_of_ambiguity` (standard
        error of the sum, as if the rows were drawn at random), `disagreement` (mean), `gain` (loss
        of the base scores less that of the model), with features `similar_ambiguity`; all of them
        again for weighted rows as `weighted_{name}`. `reason` says why values are empty.

    Raises
    ------
    InputError
        If `by` is no column of numbers, or if groups lack features.
    """
    prefixes = ["", WEIGHTED] if sums.layout.weighted else [""]
    near = None if features is None else neighbours(features, sums.table["group"])
    made = [_made(sums, prefix, near) for prefix in prefixes]
    columns = pl.concat([sums.table.select("group", "batch"), *made], how="horizontal")
    table = columns.with_columns(_reasons(sums))
    chosen = by or prefixes[-1] + BY
    numbers = [name for name in table.columns if name not in ("group", "batch", "reason")]
    if chosen not in numbers:
        raise InputError(f"groups are not ranked by '{chosen}'; --by takes {', '.join(numbers)}")
    loss = prefixes[-1] + "log_loss"
    keys, falling = [chosen, loss, "group"], [True, True, False]
    # Values that differ by rounding alone, as they do with the order of rows, are equal.
    rounded = [pl.col(name).cast(pl.Float64).round_sig_figs(12) for name in keys[:2]]
    table = table.sort(*rounded, "group", descending=falling, nulls_last=True)
    return Ranks(table.with_row_index("rank", 1), chosen, len(sums.layout.members))


def with_unscored(ranks: Ranks, planned: pl.DataFrame) -> Ranks:
    """Put the training groups without scores behind the ranked ones, by name.

    Of these `batch`, `rows` and `reason` are known, and there is no rank.

    Parameters
    ----------
    ranks
        The groups with scores.
    planned
        Columns `group`, `batch` and `rows` of the plan; test groups have no batch.
    """
    names = pl.col("group").cast(pl.String)
    first = planned.filter(pl.col("batch").is_not_null()).sort("batch").unique(names, keep="first")
    missing = first.select(names, "batch", pl.col("rows").cast(pl.Int64)).join(
        ranks.table, on="group", how="anti"
    )
    lines = missing.sort("group").with_columns(pl.lit(UNSCORED).alias("reason"))
    return ranks._replace(table=pl.concat([ranks.table, lines], how="diagonal"))


def neighbours(features: pl.DataFrame, groups: pl.Series) -> np.ndarray:
    """Places of the groups most like each group, (groups, k), by Euclidean distance.

    Of k = 10, or all where there are fewer, the group itself is one.

    Raises
    ------
    InputError
        If a group lacks features, or if one is missing.
    """
    table = features.with_columns(pl.col("group").cast(pl.String))
    joined = pl.DataFrame({"group": groups}).join(
        table, on="group", how="left", maintain_order="left", validate="1:1"
    )
    values = joined.drop("group").cast(pl.Float64).to_numpy()
    bare = ~np.isfinite(values).all(axis=1)
    if bare.any():
        names = first_names(groups.filter(pl.Series(bare)))
        raise InputError(f"the features of groups lack numbers of {bare.sum():,} groups: {names}")
    search = NearestNeighbors(n_neighbors=min(NEIGHBOURS, len(groups))).fit(values)
    return search.kneighbors(values, return_distance=False)


def _made(sums: GroupSums, prefix: str, near: np.ndarray | None) -> pl.DataFrame:
    """All columns of plain, or of weighted, rows in their order."""
    classes = sums.layout.classes
    sums_of = {
        name.removeprefix(prefix): sums.table[name].to_numpy()
        for name in sums.table.columns
        if name.startswith(prefix) and name not in ("group", "batch")
    }
    per_class = {
        kind: {f"{kind}_{c}": sums_of.get(f"{kind}_{c}") for c in classes}
        for kind in ("rows", "ambiguity", "missed", "false")
    }
    n = sums.table["rows"].to_numpy()
    found = {"rows": sums_of["rows"], **per_class["rows"], **_losses(sums_of, sums.base_off)}
    found |= _spread(sums_of, n, near) | per_class["ambiguity"] | {"errors": sums_of["errors"]}
    found |= per_class["missed"] | per_class["false"] | {name: sums_of.get(name) for name in ERRORS}
    counted = {"rows", "errors", *ERRORS}
    counted.update(*(per_class[kind] for kind in ("rows", "missed", "false")))
    whole = set() if prefix else counted
    return pl.DataFrame(
        [
            _series(f"{prefix}{name}", values, len(n), pl.Int64 if name in whole else pl.Float64)
            for name, values in found.items()
        ]
    )


def _losses(
    known: Mapping[str, np.ndarray], base_off: float | None
) -> dict[str, np.ndarray | None]:
    """Losses of the model, of the base scores where these are distributions, and of the members."""
    losses = {"log_loss": known["log_loss"]}
    losses["mean_log_loss"] = _ratio(known["log_loss"], known["rows"])
    losses |= {"base_log_loss": None, "gain": None}
    if base_off is not None and base_off <= SUM_TOLERANCE:
        losses["base_log_loss"] = known["base_log_loss"]
        losses["gain"] = known["base_log_loss"] - known["log_loss"]
    return losses | {"member_log_loss": known["member_log_loss"]}


def _spread(
    known: Mapping[str, np.ndarray], n: np.ndarray, near: np.ndarray | None
) -> dict[str, np.ndarray | None]:
    """How far the members differ, in n rows; empty for a single member."""
    names = ["ambiguity", "mean_ambiguity", "error_of_ambiguity", "disagreement"]
    names += [] if near is None else ["similar_ambiguity"]
    if "ambiguity" not in known:
        return dict.fromkeys(names)
    spread, rows = known["ambiguity"], known["rows"]
    values = [spread, _ratio(spread, rows), _error_of_sum(spread, known["squares"], n)]
    values.append(_ratio(known["disagreement"], rows))
    if near is not None:
        values.append(_ratio(spread[near].sum(axis=1), rows[near].sum(axis=1)))
    return dict(zip(names, values, strict=True))


def _series(name: str, values: np.ndarray | None, size: int, kind: type) -> pl.Series:
    """A column; NaN becomes empty."""
    if values is None:
        return pl.Series(name, [None] * size, dtype=kind)
    return pl.Series(name, values, dtype=pl.Float64).fill_nan(None).cast(kind)


def _ratio(values: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """A mean, NaN where there are no rows or no weight."""
    return np.divide(values, rows, out=np.full(len(rows), np.nan), where=rows > 0)


def _error_of_sum(total: np.ndarray, squares: np.ndarray, n: np.ndarray) -> np.ndarray:
    """Standard error of a sum of n values drawn at random; NaN for one value."""
    spread = np.maximum(0.0, squares - total**2 / n)
    return np.sqrt(_ratio(n * spread, n - 1))


def _reasons(sums: GroupSums) -> pl.Expr:
    """Why values of each line are empty."""
    cases = []
    if len(sums.layout.members) == 1:
        cases.append(pl.lit(ONE_MEMBER))
    else:
        single = pl.lit("a single row has no standard error")
        cases.append(pl.when(pl.col("rows") == 1).then(single))
    if sums.base_off is None:
        cases.append(pl.lit("no base scores"))
    elif sums.base_off > SUM_TOLERANCE:
        off = f"the base scores of a row do not sum to 1 (off by up to {sums.base_off:.3g})"
        cases.append(pl.lit(off))
    if sums.layout.weighted:
        weightless = pl.lit("its rows have weight 0")
        cases.append(pl.when(pl.col(f"{WEIGHTED}rows") <= 0).then(weightless))
    joined = pl.concat_str(cases, separator="; ", ignore_nulls=True)
    return pl.when(joined != "").then(joined).alias("reason")
