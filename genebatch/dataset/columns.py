"""Gives every column of the input table one role."""

import difflib
import fnmatch
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import NamedTuple

import pyarrow as pa

from genebatch.config.settings import Labels, Table
from genebatch.io.files import InputError


class Roles(NamedTuple):
    """What each column of the input table is for; `candidates` may become features."""

    group: str
    label: str | None
    weight: str | None
    position: str | None
    scores: dict[str, str]
    metadata: list[str]
    excluded: list[str]
    candidates: list[str]


def assign_roles(schema: pa.Schema, table: Table) -> Roles:
    """Give every column of the table one role, as the section `dataset` says.

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
    _check_types(schema, labels)
    metadata = match_columns(table.metadata, columns, "dataset.metadata")
    excluded = match_columns(table.exclude, columns, "dataset.exclude")
    _check_metadata(schema, metadata)
    _check_scores_free(scores, {"dataset.metadata": metadata, "dataset.exclude": excluded})
    taken = {labels.group, labels.label, labels.weight, labels.position}
    taken |= set(metadata) | set(excluded)
    candidates = [name for name in columns if name not in taken]
    _check_numeric(schema, candidates)
    return Roles(
        labels.group,
        labels.label,
        labels.weight,
        labels.position,
        scores,
        [name for name in metadata if name not in set(named.values())],
        excluded,
        candidates,
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
            "list them in dataset.metadata or dataset.exclude"
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
    silently become a feature.
    """
    matched: set[str] = set()
    for pattern in patterns:
        if any(mark in pattern for mark in "*?["):
            matched.update(fnmatch.filter(columns, pattern))
        else:
            require(pattern, columns, key)
            matched.add(pattern)
    return [name for name in columns if name in matched]


def _check_types(schema: pa.Schema, labels: Labels) -> None:
    """Refuse columns whose values would not mean the same everywhere, such as a label of 1.0."""
    wanted = {"group": _is_name, "label": _is_name, "weight": _is_numeric, "position": _is_numeric}
    for key, fits in wanted.items():
        column = getattr(labels, key)
        if column is not None and not fits(schema.field(column).type):
            kinds = "text or whole numbers" if fits is _is_name else "numbers"
            raise InputError(
                f"column '{column}' is {schema.field(column).type}, but dataset.{key} must hold "
                f"{kinds}; store it so or name another column"
            )


def _check_metadata(schema: pa.Schema, metadata: Sequence[str]) -> None:
    for name in metadata:
        kind = schema.field(name).type
        if pa.types.is_nested(kind) or pa.types.is_binary(kind) or pa.types.is_large_binary(kind):
            raise InputError(
                f"column '{name}' ({kind}) cannot be metadata as it has no text form; "
                "list it in dataset.exclude"
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
    if pa.types.is_dictionary(kind):
        kind = kind.value_type
    text = pa.types.is_string(kind) or pa.types.is_large_string(kind)
    return text or pa.types.is_string_view(kind) or pa.types.is_integer(kind) or kind == pa.bool_()


def _is_numeric(kind: pa.DataType) -> bool:
    return pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_boolean(kind)
