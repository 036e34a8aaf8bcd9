"""Learns the categories of text columns from training groups, and gives them as numbers."""

import logging
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import polars as pl

from genebatch.dataset.shards import Shard, read_groups
from genebatch.io.files import InputError, first_names

log = logging.getLogger(__name__)

# Share of the rows with a category, from which on a column tells the group: so many have a category
# that no other training group has. Of a new group it says nothing.
TELLS_GROUP = 0.5
TEXT = (pl.String, pl.Categorical, pl.Enum, pl.Boolean, pl.Null)
LARGEST = 2.0**53  # of whole numbers stored as float64, so that each is exact


class Learned(NamedTuple):
    """The categories of a column in training groups.

    Attributes
    ----------
    names
        Sorted. The place of a category is its number.
    alone
        Share of the rows with a category whose category is in no other training group.
    """

    names: tuple[str, ...]
    alone: float


def learn(
    shards: Sequence[Shard],
    training: pl.DataFrame,
    group: str,
    columns: Sequence[str],
    most: int,
) -> dict[str, Learned]:
    """Learn the categories of some columns from all rows of the training groups.

    Reads these columns alone. Holds `most` categories of each.

    Parameters
    ----------
    shards
        The shards of the profile.
    training
        The table of groups, without test groups.
    group
        Name of the group column.
    columns
        Columns of text.
    most
        Most categories of a column (`screen.max_categories`).

    Raises
    ------
    InputError
        If a column has more.
    """
    met = {name: _Met() for name in columns}
    for frame in read_groups(shards, training, columns, group) if columns else ():
        for name in columns:
            met[name].add(as_text(frame[name]), frame[group])
            if len(met[name].rows) > most:
                raise InputError(
                    f"column '{name}' has more than {most} categories in training groups, such as "
                    f"{first_names(map(repr, sorted(met[name].rows)))}; raise "
                    "screen.max_categories (up to 250), or take the column out of "
                    "dataset.categorical and list it in dataset.metadata"
                )
    found = {name: Learned(tuple(sorted(of.rows)), of.alone) for name, of in met.items()}
    for name, learned in found.items():
        shown = first_names(learned.names)
        log.info("category '%s': %d categories (%s)", name, len(learned.names), shown)
    return found


class _Met:
    """Categories of a column with their rows, and the group of each as long as it is one."""

    def __init__(self) -> None:
        self.rows: Counter[str] = Counter()
        self.only: dict[str, str | None] = {}

    def add(self, values: pl.Series, groups: pl.Series) -> None:
        named = pl.DataFrame({"name": values, "group": groups.cast(pl.String)}).drop_nulls("name")
        found = named.group_by("name").agg(
            pl.len().alias("rows"), pl.col("group").first(), pl.col("group").n_unique().alias("n")
        )
        for name, rows, group, n_groups in found.iter_rows():
            self.rows[name] += rows
            one = n_groups == 1 and self.only.get(name, group) == group
            self.only[name] = group if one else None

    @property
    def alone(self) -> float:
        total = sum(self.rows.values())
        own = sum(rows for name, rows in self.rows.items() if self.only[name] is not None)
        return own / total if total else 0.0


def as_text(values: pl.Series) -> pl.Series:
    """The categories of a column as text; empty text is missing.

    Whole numbers are categories by their digits, however they are stored. pandas stores them as
    floating-point numbers where some are missing.

    Raises
    ------
    InputError
        If the column has numbers with decimals, or another type.
    """
    kind = values.dtype
    if kind.is_float():
        present = values.fill_nan(None).drop_nulls()
        whole = ((present % 1) == 0) & (present.abs() < LARGEST)
        if not whole.all():
            other = present.filter(~whole)[0]
            raise InputError(
                f"column '{values.name}' holds {other}, but it has categories; wanted text or "
                "whole numbers, or null where they are missing"
            )
        values = values.fill_nan(None).cast(pl.Int64)
    elif not (kind.is_integer() or kind in TEXT):
        raise InputError(
            f"column '{values.name}' holds {kind}, but it has categories; wanted text or whole "
            "numbers, or null where they are missing"
        )
    text = values.cast(pl.String)
    return text.set(text == "", None)


def numbered(values: pl.Series, names: Sequence[str]) -> pl.Series:
    """The number of the category of each row as float32; null where missing or not in `names`."""
    known = as_text(values).cast(pl.Enum(list(names)), strict=False)
    return known.to_physical().cast(pl.Float32).alias(values.name)


def named(numbers: pl.Series, names: Sequence[str]) -> pl.Series:
    """The categories that `numbered` gave numbers; null where missing."""
    places = numbers.fill_nan(None).cast(pl.UInt32)
    return pl.Series(list(names), dtype=pl.String).gather(places).alias(numbers.name)


class Unseen:
    """Counts the rows whose category was in no training group, as predictions go on.

    Parameters
    ----------
    categories
        Column to the categories of training.
    """

    def __init__(self, categories: Mapping[str, Sequence[str]]):
        self.categories = categories
        self.rows: dict[str, Counter[str]] = {name: Counter() for name in categories}

    def count(self, frame: pl.DataFrame) -> None:
        """Take in some rows."""
        for name, known in self.categories.items():
            text = as_text(frame[name]).drop_nulls()
            other = text.filter(~text.is_in(list(known))).value_counts()
            self.rows[name].update(dict(other.iter_rows()))

    def warn(self, table: str) -> None:
        """Log a warning for each column that has such rows."""
        for name, others in self.rows.items():
            if others:
                log.warning(
                    "%s: in %s rows column '%s' has a category that no training group has (%s); "
                    "it counts as missing",
                    *(table, f"{others.total():,}", name),
                    first_names(map(repr, (word for word, _ in others.most_common()))),
                )
