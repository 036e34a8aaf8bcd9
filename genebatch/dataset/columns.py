"""The input table as the config describes it: column roles, the feature set, rows of groups."""

import difflib
import fnmatch
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import polars as pl
import pyarrow as pa
from scipy import sparse

from genebatch.io.files import InputError, digest
from genebatch.io.tables import check_lacking, fingerprint, record_batches


class Shard(NamedTuple):
    """One Parquet file as it was analysed."""

    path: str
    rows: int
    row_groups: int
    bytes: int
    fingerprint: str


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


def described(profile: Mapping[str, Any]) -> tuple[Roles, list[Shard]]:
    """Give roles and shards of an analysed data set, from its JSON profile."""
    if any("fingerprint" not in shard for shard in profile["shards"]):
        raise InputError(
            "the data set was analysed by an earlier version of genebatch; run again with "
            "--forcerun analyze_dataset (finished batches stay)"
        )
    return Roles(**profile["roles"]), [Shard(**shard) for shard in profile["shards"]]


def assign_roles(schema: pa.Schema, dataset: Mapping[str, Any]) -> Roles:
    """Give every column of the table one role, as the `dataset` part of the config says.

    Raises
    ------
    InputError
        If a named column is missing, has a type that its role cannot use or two roles, or if a
        column that would become a feature is not numeric.
    """
    columns = schema.names
    scores = dataset["scores"] or {}
    named = {"dataset.group": dataset["group"], "dataset.label": dataset["label"]}
    named |= {f"dataset.{key}": dataset[key] for key in ("weight", "position") if dataset[key]}
    named |= {f"dataset.scores.{name}": column for name, column in scores.items()}
    for key, column in named.items():
        require(column, columns, key)
    _check_types(schema, dataset)
    metadata = match_columns(dataset["metadata"], columns, "dataset.metadata")
    excluded = match_columns(dataset["exclude"], columns, "dataset.exclude")
    _check_metadata(schema, metadata)
    _check_scores_free(scores, {"dataset.metadata": metadata, "dataset.exclude": excluded})
    taken = {dataset["group"], dataset["label"], dataset["weight"], dataset["position"]}
    taken |= set(metadata) | set(excluded)
    candidates = [name for name in columns if name not in taken]
    text = [name for name in candidates if not _is_numeric(schema.field(name).type)]
    if text:
        shown = ", ".join(f"'{name}' ({schema.field(name).type})" for name in text[:8])
        raise InputError(
            f"columns {shown} cannot be features as they are not numeric; "
            "list them in dataset.metadata or dataset.exclude"
        )
    return Roles(
        dataset["group"],
        dataset["label"],
        dataset["weight"],
        dataset["position"],
        scores,
        [name for name in metadata if name not in set(named.values())],
        excluded,
        candidates,
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


@dataclass(frozen=True)
class Features:
    """The ordered feature columns and how each is stored.

    Attributes
    ----------
    names
        Dense features first, then counts.
    n_dense
        How many are dense: kept as float32 with real zeros, null as missing. The others are
        counts whose zero is stored as absent, in training and in prediction alike.
    """

    names: tuple[str, ...]
    n_dense: int

    @classmethod
    def order(cls, kinds: Mapping[str, str]) -> "Features":
        """Order columns given as name to kind, `dense` or `count`."""
        dense = [name for name, kind in kinds.items() if kind == "dense"]
        counts = [name for name, kind in kinds.items() if kind == "count"]
        return cls((*dense, *counts), len(dense))

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> "Features":
        """Read the form written by `to_json`."""
        return cls(tuple(value["names"]), int(value["n_dense"]))

    def to_json(self) -> dict[str, Any]:
        """Plain JSON form."""
        return {"names": list(self.names), "n_dense": self.n_dense}

    @property
    def digest(self) -> str:
        """Identity of the names, their order and their kinds."""
        return digest(self.names, self.n_dense)

    def select(self, frame: pl.DataFrame) -> np.ndarray | sparse.csr_matrix:
        """Check, order and cast the feature columns of `frame`, whatever its column order.

        Returns
        -------
        numpy.ndarray or scipy.sparse.csr_matrix
            float32, (rows, features). Sparse if there are counts; a cell that is absent is a
            count of zero, a cell that is NaN is missing. Infinite values are missing.

        Raises
        ------
        InputError
            Naming the features that `frame` lacks or holds as text.
        """
        check_lacking(self.names, frame.columns)
        schema = frame.schema  # made anew at each access
        for name in self.names:
            kind = schema[name]
            if not kind.is_numeric() and kind not in (pl.Boolean, pl.Null):
                raise InputError(f"column '{name}' holds {kind}, but this feature must be a number")
        if self.n_dense:
            dense_names = list(self.names[: self.n_dense])
            dense = frame.select(pl.col(dense_names).cast(pl.Float32)).to_numpy(order="c")
            if np.isinf(dense).any():
                dense = np.where(np.isinf(dense), np.float32(np.nan), dense)
        else:
            dense = np.empty((frame.height, 0), np.float32)
        if self.n_dense == len(self.names):
            return np.ascontiguousarray(dense)
        return sparse.hstack([_explicit(dense), self._counts(frame)], format="csr")

    def _counts(self, frame: pl.DataFrame) -> sparse.csr_matrix:
        """Counts column by column, so that no dense block of them is ever held."""
        values, rows, lengths = [], [], []
        for name in self.names[self.n_dense :]:
            column = frame[name].cast(pl.Float32).to_numpy()
            held = np.flatnonzero(column)  # NaN is non-zero, so a null stays missing
            values.append(column[held])
            rows.append(held.astype(np.int32))
            lengths.append(len(held))
        shape = (frame.height, len(lengths))
        pointers = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int32)
        columns = sparse.csc_matrix(
            (np.concatenate(values), np.concatenate(rows), pointers), shape=shape
        )
        return columns.tocsr()


def read_groups(
    shards: Sequence[Shard],
    genes: pl.DataFrame,
    columns: Sequence[str],
    group: str,
) -> Iterator[pl.DataFrame]:
    """Stream the rows of some groups, in shard order.

    Parameters
    ----------
    shards
        The shards of the profile.
    genes
        Rows of the per-group table to read; its `chunks` name the row groups that hold them, so
        row groups without any of these groups are not touched.
    columns
        Columns to read; `group` is added if it is not among them.
    group
        Name of the group column.

    Yields
    ------
    polars.DataFrame
        At most `tables.BATCH_ROWS` rows with the group as text. One record batch is held.

    Raises
    ------
    InputError
        If a shard is not the one that was analysed.
    """
    wanted = genes["group"]
    held = set(genes["chunks"].explode().to_list())
    first_chunk = 0
    for shard in shards:
        row_groups = [number for number in range(shard.row_groups) if first_chunk + number in held]
        first_chunk += shard.row_groups
        if not row_groups:
            continue
        check_shard(shard)
        for batch in record_batches(shard.path, [*dict.fromkeys([group, *columns])], row_groups):
            frame = pl.from_arrow(batch)
            kept = frame.with_columns(pl.col(group).cast(pl.String)).filter(
                pl.col(group).is_in(wanted.implode())
            )
            if kept.height:
                yield kept


def check_shard(shard: Shard) -> None:
    """Raise if the file is no longer the one that was analysed (by size and footer)."""
    path = Path(shard.path)
    found = path.stat().st_size if path.exists() else None
    if found != shard.bytes:
        state = "is gone" if found is None else f"has {found:,} bytes"
        state += f" but had {shard.bytes:,} when the data set was analysed"
    elif fingerprint([path]) != shard.fingerprint:
        state = "has other values than when the data set was analysed"
    else:
        return
    raise InputError(
        f"{shard.path} {state}; "
        "run the workflow again from analyze_dataset (--forcerun analyze_dataset)"
    )


def _explicit(dense: np.ndarray) -> sparse.csr_matrix:
    """Dense cells as CSR with every cell stored, so that a real zero is not taken for absent."""
    rows, columns = dense.shape
    indices = np.tile(np.arange(columns, dtype=np.int32), rows)
    pointers = np.arange(rows + 1, dtype=np.int32) * columns
    return sparse.csr_matrix((dense.ravel(), indices, pointers), shape=dense.shape)


def _check_types(schema: pa.Schema, dataset: Mapping[str, Any]) -> None:
    """Refuse columns whose values would not mean the same everywhere, such as a label of 1.0."""
    wanted = {"group": _is_name, "label": _is_name, "weight": _is_numeric, "position": _is_numeric}
    for key, fits in wanted.items():
        column = dataset[key]
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
