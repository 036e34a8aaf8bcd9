"""Gives every column of the input table one role."""

import difflib
import fnmatch
import logging
from collections.abc import Collection, Iterable, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import NamedTuple

import pyarrow as pa

from genebatch.config.settings import Labels, Table
from genebatch.dataset.table_schema import is_text
from genebatch.io.files import InputError

log = logging.getLogger(__name__)

START = "(start)"  # what explanations call that which boosters start from


class Roles(NamedTuple):
    """What each column of the input table is for; `candidates` may become features.

    `left_out` tells of columns without a role why they are no features. The candidates that are
    `categorical` hold categories.
    """

    group: str
    label: str | None
    weight: str | None
    position: str | None
    scores: dict[str, str]
    metadata: list[str]
    excluded: list[str]
    candidates: list[str]
    left_out: Mapping[str, str] = MappingProxyType({})
    categorical: Sequence[str] = ()


def assign_roles(
    schema: pa.Schema,
    table: Table,
    left_out: Mapping[str, str] = MappingProxyType({}),
    odd: Mapping[str, Path] = MappingProxyType({}),
) -> Roles:
    """Give every column of the table one role, as the section `dataset` says.

    Parameters
    ----------
    schema
        The columns, and the types that they are read as.
    table
        The section `dataset`.
    left_out
        Columns that are no features unless the config names them, and why.
    odd
        Columns whose types differ between shards, and a shard to name.

    Raises
    ------
    InputError
        If a named column is missing, has a type that its role cannot use or two roles, or if a
        column that would become a feature is not numeric.
    """
    columns, labels = schema.names, table.labels
    scores = labels.scores or {}
    named = _named_columns(labels)
    for key, column in named.items():
        require(column, columns, key)
    _check_types(schema, labels, odd)
    metadata = match_columns(table.metadata, columns, "dataset.metadata")
    excluded = match_columns(table.exclude, columns, "dataset.exclude")
    categorical = match_columns(table.categorical, columns, "dataset.categorical")
    categorical = [name for name in categorical if name not in excluded]
    _check_metadata(schema, metadata)
    _check_categorical(
        schema,
        categorical,
        {
            **dict.fromkeys(metadata, "dataset.metadata"),
            **{column: key for key, column in named.items()},
        },
    )
    _check_scores_free(scores, {"dataset.metadata": metadata, "dataset.exclude": excluded})
    taken = {labels.group, labels.label, labels.weight, labels.position}
    taken |= set(metadata) | set(excluded)
    taken_as_is = taken | set(categorical)
    no_features = {name: why for name, why in left_out.items() if name not in taken_as_is}
    candidates = [name for name in columns if name not in taken and name not in no_features]
    _check_numeric(schema, [name for name in candidates if name not in categorical])
    _check_names([*named.values(), *metadata, *candidates])
    return Roles(
        labels.group,
        labels.label,
        labels.weight,
        labels.position,
        scores,
        [name for name in metadata if name not in set(named.values())],
        excluded,
        candidates,
        no_features,
        categorical,
    )


def _named_columns(labels: Labels) -> dict[str, str]:
    """Config key to the column that it names."""
    named = {"dataset.group": labels.group, "dataset.label": labels.label}
    optional = {"dataset.weight": labels.weight, "dataset.position": labels.position}
    named |= {key: column for key, column in optional.items() if column}
    return named | {
        f"dataset.scores.{name}": column for name, column in (labels.scores or {}).items()
    }


def _check_numeric(schema: pa.Schema, candidates: Sequence[str]) -> None:
    text = [name for name in candidates if not _is_numeric(schema.field(name).type)]
    if text:
        shown = ", ".join(f"'{name}' ({schema.field(name).type})" for name in text[:8])
        raise InputError(
            f"columns {shown} cannot be features as they are not numeric; "
            "list them in dataset.categorical, dataset.metadata or dataset.exclude"
        )


def _check_names(used: Iterable[str]) -> None:
    """Refuse names that mean something else: to Polars a pattern, in importances the start."""
    for name in used:
        pattern = name in ("", "*") or (name.startswith("^") and name.endswith("$"))
        if pattern or name == START:
            fact = "is a name of our own in results" if name == START else "reads as a pattern"
            raise InputError(
                f"column '{name}' {fact}; rename it in the table, or list it in dataset.exclude"
            )


def require(column: str, columns: Collection[str], key: str) -> None:
    """Raise unless `column` is among `columns`; the message names the nearest one."""
    if column in columns:
        return
    near = difflib.get_close_matches(column, columns, n=3)
    known = ", ".join(near) if near else ", ".join(list(columns)[:8]) + ", ..."
    raise InputError(
        f"column '{column}' is missing from the table (nearest or first columns: {known}); "
        f"set {key} if it has another name"
    )


def match_columns(patterns: Iterable[str], columns: Sequence[str], key: str) -> list[str]:
    """Columns that match any of the names or glob patterns, in table order.

    A plain name that matches nothing is an error, since a misspelt metadata column would
    silently become a feature. A pattern that matches nothing is logged.
    """
    matched: set[str] = set()
    for pattern in patterns:
        names = matching(pattern, columns)
        if not names and not is_pattern(pattern):
            require(pattern, columns, key)
        elif not names:
            log.warning("the pattern '%s' of %s matches no column", pattern, key)
        matched.update(names)
    return [name for name in columns if name in matched]


def matching(pattern: str, names: Sequence[str]) -> list[str]:
    """The name that is written exactly so, whatever marks it has; else those that match."""
    return [pattern] if pattern in names else fnmatch.filter(names, pattern)


def own_name(name: str, taken: Collection[str]) -> str:
    """The name of a column of our own beside columns of the table, with `row.` if it is taken."""
    while name in taken:
        name = f"row.{name}"
    return name


def is_pattern(text: str) -> bool:
    """Tell whether a text may match other names than itself."""
    return any(mark in text for mark in "*?[")


def _check_types(schema: pa.Schema, labels: Labels, odd: Mapping[str, Path]) -> None:
    """Refuse columns whose values would not mean the same everywhere, such as a label of 1.0."""
    wanted = {"group": _is_name, "label": _is_name, "weight": _is_numeric, "position": _is_numeric}
    for key, fits in wanted.items():
        column = getattr(labels, key)
        if column is not None and not fits(schema.field(column).type):
            kinds = "text or whole numbers" if fits is _is_name else "numbers"
            where = f" in {odd[column]}" if column in odd else ""
            raise InputError(
                f"column '{column}' is {schema.field(column).type}{where}, but dataset.{key} must "
                f"hold {kinds}; store it so or name another column"
            )


def _check_metadata(schema: pa.Schema, metadata: Sequence[str]) -> None:
    for name in metadata:
        kind = schema.field(name).type
        if not (_is_name(kind) or _is_numeric(kind) or pa.types.is_temporal(kind)) or (
            pa.types.is_interval(kind)
        ):
            raise InputError(
                f"column '{name}' ({kind}) cannot be metadata as it has no text form; store it as "
                "text, or list it in dataset.exclude"
            )


def _check_categorical(
    schema: pa.Schema, categorical: Sequence[str], others: Mapping[str, str]
) -> None:
    """Refuse categories that are no text, or that have another role; `others` has its key."""
    for name in categorical:
        kind = schema.field(name).type
        if name in others:
            raise InputError(
                f"column '{name}' is in dataset.categorical and in {others[name]} too; take it out "
                "of one of them"
            )
        if not _is_name(kind):
            raise InputError(
                f"column '{name}' ({kind}) cannot be in dataset.categorical; categories are text, "
                "whole numbers or truth values. A column of numbers is a feature as it is"
            )


def _check_scores_free(scores: Mapping[str, str], patterns: Mapping[str, Sequence[str]]) -> None:
    for name, column in scores.items():
        for key, matched in patterns.items():
            if column in matched:
                raise InputError(
                    f"column '{column}' is dataset.scores.{name} and in {key} too; a base score is "
                    f"always a feature: take it out of {key}, or set dataset.scores: null"
                )


def _is_name(kind: pa.DataType) -> bool:
    return (
        is_text(kind) or pa.types.is_integer(kind) or kind == pa.bool_() or pa.types.is_null(kind)
    )


def _is_numeric(kind: pa.DataType) -> bool:
    return (
        pa.types.is_integer(kind)
        or pa.types.is_floating(kind)
        or pa.types.is_boolean(kind)
        or pa.types.is_null(kind)
    )
