"""Proposes a configuration for a table of one's own: the role of each column, with the reason."""

import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import polars as pl
import yaml

from genebatch.config.settings import Labels, Table
from genebatch.dataset.categories import TELLS_GROUP
from genebatch.dataset.from_text import text_in_parquet
from genebatch.io.columns import check_needed
from genebatch.io.data_files import find_files, find_shards, holds_text
from genebatch.io.files import InputError, first_names, scan_parquet

MOST_CLASSES = 50
WEIGHTS = ("sample_weight", "row_weight", "weight", "weights")
POSITIONS = ("position", "pos", "row")
SCORES = ("{}_score", "score_{}", "{}_prob", "prob_{}", "{}_probability", "probability_{}")
TEXT = (pl.String, pl.Categorical, pl.Enum)
MOST_CATEGORIES = 64  # the default of screen.max_categories; a test compares
SMALL = (pl.UInt8, pl.Int8, pl.UInt16, pl.Int16)  # types of counts, which are no ids
# Defaults of the configuration, as far as a small table needs lower ones.
TEST_SHARE, MIN_GROUPS, MIN_POSITIVES, N_SPLITS = 0.2, 20, 10, 5


@dataclass
class Proposal:
    """A configuration, and why it is so.

    Attributes
    ----------
    config
        The keys that differ from the defaults.
    notes
        A sentence for each choice.
    """

    config: dict[str, Any]
    notes: list[str] = field(default_factory=list)

    def text(self) -> str:
        """The configuration as YAML, with the notes in front."""
        # A name with a line end would end the comment.
        head = "".join(f"# - {' '.join(note.splitlines())}\n" for note in self.notes)
        head = f"# Proposed by `genebatch init`. `genebatch config` has every key.\n{head}"
        return head + yaml.safe_dump(self.config, sort_keys=False, allow_unicode=True)


def propose(path: str | Path, label: str, group: str) -> Proposal:
    """Propose a configuration for a table.

    Streams the table. Holds the distinct values of whole numbers and of groups.

    Parameters
    ----------
    path
        Parquet or text: a file, a folder or a glob.
    label, group
        The columns of the class and of the group.

    Raises
    ------
    InputError
        If the table lacks a column, has missing labels or groups, or a label of one class or of
        more than `MOST_CLASSES`.
    """
    with _scanned(path, label, group) as rows:
        schema = rows.collect_schema()
        check_needed([label, group], schema.names(), str(path))
        classes, counts, n_groups = _classes(rows, path, label, group)
        proposal = Proposal({"dataset": {"path": str(Path(path).absolute()), "group": group}})
        dataset = proposal.config["dataset"]
        dataset |= {"label": label, "classes": classes}
        shown = ", ".join(f"{name} {counts[name]:,}" for name in classes)
        proposal.notes.append(f"{sum(counts.values()):,} rows of {n_groups:,} groups: {shown}")
        proposal.notes += find_files(path).notes
        others = [name for name in schema.names() if name not in (label, group)]
        _add_scores(proposal, others, schema, classes)
        _add_weight(proposal, others, schema)
        _add_position(proposal, rows, others, schema)
        _add_columns(proposal, rows, others, schema, sum(counts.values()))
        _add_limits(proposal, counts, n_groups)
    return proposal


@contextmanager
def _scanned(path: str | Path, label: str, group: str) -> Iterator[pl.LazyFrame]:
    """The table as a plan; a table of text is written as Parquet for a time."""
    if not holds_text(path):
        yield scan_parquet(find_shards(path))
        return
    labels = Labels(group, label, (), None, None, None, None, None)
    # Which columns are features is not known yet, so that text in some files only is no fault.
    table = Table(str(path), labels, (), ("*",), "error", ())
    with tempfile.TemporaryDirectory() as folder:
        written = text_in_parquet(table, folder)
        yield scan_parquet(find_shards(written.path))


def _classes(
    rows: pl.LazyFrame, path: str | Path, label: str, group: str
) -> tuple[list[str], dict[str, int], int]:
    """Labels, the most frequent first, their numbers of rows, and the number of groups."""
    missing = rows.select(pl.col(label, group).null_count()).collect().row(0, named=True)
    for name, count in missing.items():
        if count:
            raise InputError(
                f"{path}: {count:,} rows have no value in column '{name}'; every row needs a "
                "label and a group (dataset.null_label can stand for empty labels)"
            )
    found = rows.group_by(pl.col(label).cast(pl.String)).len().sort("len", label, descending=True)
    table = found.collect(engine="streaming")
    if not 2 <= table.height <= MOST_CLASSES:
        raise InputError(
            f"{path}: column '{label}' has {table.height:,} different values "
            f"({first_names(table[label])}); wanted 2 to {MOST_CLASSES} classes"
        )
    counts = dict(table.iter_rows())
    n_groups = rows.select(pl.col(group).n_unique()).collect(engine="streaming").item()
    return list(counts), counts, n_groups


def _add_scores(
    proposal: Proposal, others: list[str], schema: pl.Schema, classes: Sequence[str]
) -> None:
    for pattern in SCORES:
        columns = {name: pattern.format(name) for name in classes}
        if all(column in others and schema[column].is_float() for column in columns.values()):
            proposal.config["dataset"]["scores"] = columns
            proposal.notes.append(
                f"base scores: {first_names(columns.values())}; boosters start from them"
            )
            return
    proposal.notes.append("no base scores: boosters start from nothing (dataset.scores)")


def _add_weight(proposal: Proposal, others: list[str], schema: pl.Schema) -> None:
    for name in WEIGHTS:
        if name in others and schema[name].is_numeric():
            proposal.config["dataset"]["weight"] = name
            others.remove(name)
            proposal.notes.append(f"'{name}' is taken for the weight of a row, by its name")
            return


def _add_position(
    proposal: Proposal, rows: pl.LazyFrame, others: list[str], schema: pl.Schema
) -> None:
    group = proposal.config["dataset"]["group"]
    for name in POSITIONS:
        if name in others and schema[name].is_integer():
            pairs = pl.struct(group, name)
            repeated = rows.select(pairs.n_unique() < pl.len()).collect(engine="streaming").item()
            if not repeated:
                proposal.config["dataset"]["position"] = name
                others.remove(name)
                proposal.notes.append(f"'{name}' tells the rows of a group apart")
                return


def _add_columns(
    proposal: Proposal,
    rows: pl.LazyFrame,
    others: Sequence[str],
    schema: pl.Schema,
    n_rows: int,
) -> None:
    """Columns of text that are categories, and those that are no features: other text, and ids."""
    text = [name for name in others if schema[name] in TEXT]
    whole = [name for name in others if schema[name].is_integer() and schema[name] not in SMALL]
    distinct: Mapping[str, int] = {}
    if text or whole:
        values = [*map(_category, text), *map(pl.col, whole)]
        counting = rows.select(value.drop_nulls().n_unique() for value in values)
        distinct = counting.collect(engine="streaming").row(0, named=True)
    categorical, reasons = [], {}
    for name in others:
        kind = schema[name]
        if name in text:
            reason = _no_category(rows, name, distinct[name], proposal.config["dataset"]["group"])
            if reason is None:
                categorical.append(name)
                continue
        elif not (kind.is_numeric() or kind == pl.Boolean):
            reason = f"{kind} is no number"
        elif distinct.get(name, 0) == n_rows > 1:
            reason = "another whole number in every row, so an id"
        else:
            continue
        reasons.setdefault(reason, []).append(name)
    dataset = proposal.config["dataset"]
    if categorical:
        dataset["categorical"] = categorical
        shown = first_names(f"'{name}' ({distinct[name]} values)" for name in categorical)
        proposal.notes.append(f"text of few values is categories: {shown}")
    if reasons:
        dataset["metadata"] = [n for names in reasons.values() for n in names]
    proposal.notes += [
        f"no features: {first_names(map(repr, names))} ({reason})"
        for reason, names in reasons.items()
    ]


def _category(name: str) -> pl.Expr:
    """A column of text with empty text as missing."""
    return pl.col(name).cast(pl.String).replace("", None)


def _no_category(rows: pl.LazyFrame, name: str, n_values: int, group: str) -> str | None:
    """Why a column of text is no feature; None if it is one."""
    if n_values < 2:
        return "text that is the same in every row"
    if n_values > MOST_CATEGORIES:
        return f"text of more than {MOST_CATEGORIES} values"
    of_each = rows.with_columns(_category(name)).drop_nulls(name).group_by(name)
    rows_of_each = pl.len().cast(pl.Int64).alias("rows")
    counts = of_each.agg(rows_of_each, (pl.col(group).n_unique() == 1).alias("alone"))
    rows_of = counts.collect(engine="streaming")
    if rows_of.filter("alone")["rows"].sum() > TELLS_GROUP * rows_of["rows"].sum():
        return "text that tells the group"
    return None


def _add_limits(proposal: Proposal, counts: Mapping[str, int], n_groups: int) -> None:
    """Lower limits for a table that is too small for the defaults."""
    training = int(n_groups * (1 - TEST_SHARE))
    batching: dict[str, int] = {}
    if training < 4:
        raise InputError(
            f"the table has {n_groups:,} groups; wanted at least 5: one to test, and four to train "
            "and stop on in two folds"
        )
    if training < MIN_GROUPS:
        batching["min_groups"] = training
        proposal.notes.append(f"batching.min_groups is lower, as {training} groups are to train on")
    least = int(min(counts.values()) * (1 - TEST_SHARE) / 2)
    if least < MIN_POSITIVES:
        batching["min_positives"] = max(least, 1)
        rare = min(counts, key=lambda name: counts[name])
        proposal.notes.append(f"batching.min_positives is lower, as class '{rare}' is rare")
    if batching:
        proposal.config["batching"] = batching
    if training < 2 * N_SPLITS:
        proposal.config["cv"] = {"n_splits": max(training // 2, 2)}
        proposal.notes.append("cv.n_splits is lower, as the groups are few")
