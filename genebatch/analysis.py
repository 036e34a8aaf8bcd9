"""One streamed pass over the data set: the input contract, column facts, the per-group table."""

import logging
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.compute as pc

from genebatch.dataset import (
    BATCH_ROWS,
    SPARSE_BELOW,
    Roles,
    Shard,
    assign_roles,
    common_schema,
    find_shards,
    open_shard,
    read_groups,
)
from genebatch.files import InputError, digest, whole, write_json

log = logging.getLogger(__name__)

# Rows whose positions are held at once while looking for duplicates: 1 M x (group, position)
# is some 30 MB, whatever the size of the data set.
DUPLICATE_ROWS = 1_000_000
NULL_BITS = np.uint64(0x9E3779B97F4A7C15)


class Problem(NamedTuple):
    """Something in the data that the user should know; `error` stops the run."""

    level: str
    message: str


def analyze_dataset(
    dataset: Mapping[str, Any], test_column: str | None, profile: str | Path, genes: str | Path
) -> None:
    """Check the data set and write its profile and its per-group table.

    Holds the per-group table and one record batch in memory.

    Parameters
    ----------
    dataset
        The `dataset` part of the config.
    test_column
        A metadata column that must be constant inside each group, or None.
    profile, genes
        Output paths, JSON and Parquet.

    Raises
    ------
    InputError
        Listing every violation of the contract; nothing is written then.
    """
    paths = find_shards(dataset["path"])
    schema = common_schema(paths)
    roles = assign_roles(schema, dataset)
    shards = [_describe(path) for path in paths]
    scan = Scan(roles, list(dataset["classes"]), dataset["null_label"], schema)
    chunk = 0
    for number, shard in enumerate(shards):
        for row_group in range(shard.row_groups):
            for batch in _record_batches(shard, row_group):
                scan.add(batch, shard.path, number, chunk)
            chunk += 1
        log.info("%s: %s rows", shard.path, f"{shard.rows:,}")
    table = scan.genes()
    problems = scan.problems(dataset, test_column)
    if roles.position:
        problems += _duplicates(shards, table, roles)
    errors = [problem.message for problem in problems if problem.level == "error"]
    if errors:
        raise InputError(f"data set {dataset['path']}:\n  " + "\n  ".join(errors))
    for problem in problems:
        log.info("%s", problem.message)
    write_json(profile, scan.profile(shards, table, problems))
    with whole(genes) as temporary:
        table.write_parquet(temporary)
    log.info("%s rows, %s groups in %d shards", f"{scan.rows:,}", f"{table.height:,}", len(shards))


class Scan:
    """Accumulates facts of columns and groups over record batches.

    Parameters
    ----------
    roles
        The roles of the columns.
    classes
        Known labels.
    null_label
        The class of an empty label, or None.
    schema
        Arrow schema of the shards.
    """

    def __init__(self, roles: Roles, classes: list[str], null_label: str | None, schema: pa.Schema):
        self.roles, self.classes, self.null_label = roles, classes, null_label
        self.schema = schema
        self.rows = 0
        self.columns = {
            name: ColumnFacts(name)
            for name in [*roles.candidates, *filter(None, [roles.weight, roles.position])]
        }
        self.index: dict[str, int] = {}
        self.counts: list[np.ndarray] = []  # rows of each class
        self.weights: list[np.ndarray] = []  # weight of each class
        self.digests: list[int] = []
        self.chunks: list[list[int]] = []
        self.shards: list[set[int]] = []
        self.facts: dict[str, list[Any]] = {name: [] for name in roles.metadata}
        self.varying: dict[str, set[int]] = {name: set() for name in roles.metadata}
        self.unknown_labels: dict[str, list[Any]] = {}
        self.null_labels: dict[str, int] = {}
        self.null_groups: dict[str, int] = {}

    def add(self, batch: pa.RecordBatch, path: str, shard: int, chunk: int) -> None:
        """Take in one record batch of row group `chunk`."""
        self.rows += batch.num_rows
        groups = batch.column(self.roles.group)
        if groups.null_count:
            self.null_groups[path] = self.null_groups.get(path, 0) + groups.null_count
            batch = batch.filter(groups.is_valid())
            if not batch.num_rows:
                return
            groups = batch.column(self.roles.group)
        encoded = pc.cast(groups, pa.string()).dictionary_encode()
        local = encoded.indices.to_numpy()
        names = encoded.dictionary.to_pylist()
        labels = self._label_codes(batch.column(self.roles.label), path)
        hashes = np.multiply(labels.astype(np.uint64), _multiplier("label"))
        weight = np.ones(len(labels))
        for name, facts in self.columns.items():
            values = facts.add(batch.column(name), path, hashes)
            if name == self.roles.weight:
                weight = np.nan_to_num(values.astype(np.float64))
        members = self._members(names, shard, chunk)
        self._add_rows(members, local, labels, weight, _mix(hashes))
        self._add_facts(members, local, batch)

    def genes(self) -> pl.DataFrame:
        """The per-group table, sorted by group.

        Columns: `group`, `rows`, `n_{class}`, `weight_{class}`, `digest` (of the rows, whatever
        their order), `chunks` (row groups of the data set), `shards`, and `fact.{column}` for
        every metadata column that is constant inside each group.
        """
        counts = np.array(self.counts).reshape(-1, len(self.classes))
        weights = np.array(self.weights).reshape(-1, len(self.classes))
        columns: dict[str, Any] = {
            "group": pl.Series(list(self.index), dtype=pl.String),
            "rows": counts.sum(axis=1).astype(np.uint32),
        }
        for number, name in enumerate(self.classes):
            columns[f"n_{name}"] = counts[:, number].astype(np.uint32)
            columns[f"weight_{name}"] = weights[:, number]
        columns["digest"] = [f"{value:016x}" for value in self.digests]
        columns["chunks"] = pl.Series(self.chunks, dtype=pl.List(pl.UInt32))
        columns["shards"] = np.array([len(shards) for shards in self.shards], np.uint32)
        for name, values in self.facts.items():
            if not self.varying[name]:
                columns[f"fact.{name}"] = pl.Series(values, dtype=pl.String)
        return pl.DataFrame(columns).sort("group")

    def problems(self, dataset: Mapping[str, Any], test_column: str | None) -> list[Problem]:
        """Every violation of the contract and every fact worth saying."""
        return [
            *self._label_problems(),
            *self._group_problems(test_column),
            *self._column_problems(dataset["infinite"]),
        ]

    def profile(
        self, shards: list[Shard], genes: pl.DataFrame, problems: list[Problem]
    ) -> dict[str, Any]:
        """The JSON profile of the data set."""
        kinds = {
            name: facts.summary(self.rows, self.schema.field(name).type)
            for name, facts in self.columns.items()
        }
        return {
            "rows": self.rows,
            "groups": genes.height,
            "digest": digest(genes["group"].to_list(), genes["digest"].to_list()),
            "shards": [shard._asdict() for shard in shards],
            "classes": {name: int(genes[f"n_{name}"].sum()) for name in self.classes},
            "roles": self.roles._asdict(),
            "columns": kinds,
            "problems": [problem._asdict() for problem in problems],
        }

    def _label_codes(self, column: pa.Array, path: str) -> np.ndarray:
        """Class index of each row; unknown and refused labels are counted as class 0."""
        text = pc.cast(column, pa.string())
        codes = pc.index_in(text, value_set=pa.array(self.classes))
        known = codes.fill_null(-1).to_numpy(zero_copy_only=False).astype(np.int64)
        empty = column.is_null().to_numpy(zero_copy_only=False)
        unknown = (known < 0) & ~empty
        if unknown.any():
            seen = self.unknown_labels.setdefault(path, [0, set()])
            seen[0] += int(unknown.sum())
            seen[1] |= set(text.filter(pa.array(unknown)).unique().to_pylist()[:5])
        if self.null_label is not None:
            known[empty] = self.classes.index(self.null_label)
        elif empty.any():
            self.null_labels[path] = self.null_labels.get(path, 0) + int(empty.sum())
        return np.maximum(known, 0)

    def _members(self, names: list[str], shard: int, chunk: int) -> np.ndarray:
        """Rows of the per-group table for the groups of a record batch."""
        for name in names:
            if name not in self.index:
                self.index[name] = len(self.index)
                self.counts.append(np.zeros(len(self.classes), np.int64))
                self.weights.append(np.zeros(len(self.classes)))
                self.digests.append(0)
                self.chunks.append([])
                self.shards.append(set())
        members = np.array([self.index[name] for name in names])
        for member in members:
            self.shards[member].add(shard)
            if not self.chunks[member] or self.chunks[member][-1] != chunk:
                self.chunks[member].append(chunk)
        return members

    def _add_rows(
        self,
        members: np.ndarray,
        local: np.ndarray,
        labels: np.ndarray,
        weight: np.ndarray,
        hashes: np.ndarray,
    ) -> None:
        n_classes = len(self.classes)
        cell = local * n_classes + labels
        size = len(members) * n_classes
        counts = np.bincount(cell, minlength=size).reshape(-1, n_classes)
        weights = np.bincount(cell, weight, minlength=size).reshape(-1, n_classes)
        order = np.argsort(local, kind="stable")
        starts = np.searchsorted(local[order], np.arange(len(members)))
        sums = np.add.reduceat(hashes[order], starts)
        for row, member in enumerate(members):
            self.counts[member] += counts[row]
            self.weights[member] += weights[row]
            self.digests[member] = (self.digests[member] + int(sums[row])) % 2**64

    def _add_facts(self, members: np.ndarray, local: np.ndarray, batch: pa.RecordBatch) -> None:
        _, first = np.unique(local, return_index=True)
        for name, values in self.facts.items():
            encoded = pc.cast(batch.column(name), pa.string()).dictionary_encode()
            codes = encoded.indices.fill_null(-1).to_numpy(zero_copy_only=False)
            differs = np.unique(local[codes != codes[first[local]]])
            self.varying[name].update(members[differs].tolist())
            words = encoded.dictionary.to_pylist()
            for member, code in zip(members.tolist(), codes[first].tolist(), strict=True):
                value = words[code] if code >= 0 else None
                if member == len(values):
                    values.append(value)
                elif values[member] != value:
                    self.varying[name].add(member)

    def _label_problems(self) -> Iterator[Problem]:
        column = self.roles.label
        for path, (count, values) in self.unknown_labels.items():
            shown = ", ".join(repr(value) for value in sorted(values, key=str))
            yield Problem(
                "error",
                f"{path}: column '{column}' has {count:,} rows with unknown labels ({shown}); "
                f"dataset.classes knows {', '.join(self.classes)}",
            )
        for path, count in self.null_labels.items():
            yield Problem(
                "error",
                f"{path}: column '{column}' is empty in {count:,} rows; "
                "set dataset.null_label to the class that an empty label means",
            )
        totals = np.sum(self.counts, axis=0) if self.counts else np.zeros(len(self.classes))
        for name, total in zip(self.classes, totals, strict=True):
            if total == 0:
                yield Problem(
                    "error",
                    f"column '{column}' has no row of class '{name}' in the whole data set; "
                    "correct dataset.label or take the class out of dataset.classes",
                )

    def _group_problems(self, test_column: str | None) -> Iterator[Problem]:
        group = self.roles.group
        for path, count in self.null_groups.items():
            yield Problem(
                "error",
                f"{path}: column '{group}' is null in {count:,} rows; every row needs a group "
                "(dataset.group)",
            )
        spread = sum(len(shards) > 1 for shards in self.shards)
        if spread:
            yield Problem("note", f"{spread:,} groups are spread over several shards (allowed)")
        if test_column is not None and test_column not in self.facts:
            yield Problem(
                "error",
                f"test.column '{test_column}' is not among the metadata columns; "
                "list it in dataset.metadata",
            )
        elif test_column is not None and self.varying[test_column]:
            names = list(self.index)
            example = names[min(self.varying[test_column])]
            yield Problem(
                "error",
                f"test.column '{test_column}' has several values inside "
                f"{len(self.varying[test_column]):,} groups (for example {example!r}), so whole "
                "groups cannot be set aside by it; use test.fraction or test.groups",
            )

    def _column_problems(self, infinite: str) -> Iterator[Problem]:
        for facts in self.columns.values():
            name, strict = facts.name, facts.name in (self.roles.weight, self.roles.position)
            for path, count in facts.infinite.items():
                if strict or infinite == "error":
                    yield Problem(
                        "error",
                        f"{path}: column '{name}' is infinite in {count:,} rows; set "
                        "dataset.infinite: missing, or list the column in dataset.exclude",
                    )
                else:
                    yield Problem(
                        "note", f"{path}: {count:,} infinite values of '{name}' are missing values"
                    )
            if strict and facts.nulls + facts.nans:
                key = "weight" if name == self.roles.weight else "position"
                yield Problem(
                    "error",
                    f"column '{name}' is empty in {facts.nulls + facts.nans:,} rows; "
                    f"dataset.{key} must be there in every row",
                )
            elif facts.nulls == self.rows:
                yield Problem("note", f"column '{name}' is empty in every row")
            elif facts.nans:
                yield Problem("note", f"column '{name}': {facts.nans:,} NaN are missing values")
            elif facts.constant:
                yield Problem("note", f"column '{name}' is constant ({facts.minimum:g})")
        weight = self.columns.get(self.roles.weight) if self.roles.weight else None
        if weight is not None and weight.minimum < 0:
            yield Problem("error", f"column '{weight.name}' (dataset.weight) has negative values")


class ColumnFacts:
    """Counts, range and density of one column."""

    def __init__(self, name: str):
        self.name = name
        self.nulls = self.nans = self.nonzero = 0
        self.infinite: dict[str, int] = {}
        self.minimum, self.maximum = np.inf, -np.inf
        self._multiplier = _multiplier(name)

    def add(self, column: pa.Array, path: str, hashes: np.ndarray) -> np.ndarray:
        """Take in a column of a record batch, add its bits to `hashes`, and give its values."""
        values, missing = _values(column)
        bits = _bits(values)
        if missing is not None:
            bits[missing] = NULL_BITS
            self.nulls += int(missing.sum())
        bits *= self._multiplier
        hashes += bits
        finite = values if missing is None else values[~missing]
        if values.dtype.kind == "f":
            finite = self._finite(finite, path)
        if len(finite):
            self.minimum = min(self.minimum, float(finite.min()))
            self.maximum = max(self.maximum, float(finite.max()))
            self.nonzero += int(np.count_nonzero(finite))
        return values

    def summary(self, rows: int, kind: pa.DataType) -> dict[str, Any]:
        """JSON facts; `kind` is `count` for sparse non-negative integers, else `dense`."""
        density = self.nonzero / max(rows, 1)
        # A missing count has no place in a matrix where absent means zero.
        sparse = pa.types.is_integer(kind) and self.minimum >= 0 and not self.nulls
        return {
            "type": str(kind),
            "kind": "count" if sparse and density < SPARSE_BELOW else "dense",
            "nulls": self.nulls,
            "nans": self.nans,
            "infinite": sum(self.infinite.values()),
            "minimum": self.minimum if np.isfinite(self.minimum) else None,
            "maximum": self.maximum if np.isfinite(self.maximum) else None,
            "density": density,
            "constant": self.constant,
        }

    @property
    def constant(self) -> bool:
        """Whether all values are equal and none is missing."""
        return self.minimum == self.maximum and not self.nulls + self.nans

    def _finite(self, values: np.ndarray, path: str) -> np.ndarray:
        # Features are float32: what is too large for it is infinite there.
        with np.errstate(over="ignore"):
            finite = np.isfinite(values.astype(np.float32, copy=False))
        if finite.all():
            return values
        nans = int(np.isnan(values).sum())
        infinite = len(values) - int(finite.sum()) - nans
        if infinite:
            self.infinite[path] = self.infinite.get(path, 0) + infinite
        self.nans += nans
        return values[finite]


def _describe(path: Path) -> Shard:
    with open_shard(path) as file:
        rows, row_groups = file.metadata.num_rows, file.metadata.num_row_groups
    return Shard(str(path), rows, row_groups, path.stat().st_size)


def _record_batches(shard: Shard, row_group: int) -> Iterator[pa.RecordBatch]:
    with open_shard(shard.path) as file:
        try:
            yield from file.iter_batches(BATCH_ROWS, row_groups=[row_group], use_threads=False)
        except (pa.ArrowInvalid, OSError) as error:
            raise InputError(f"{shard.path} cannot be read (truncated?): {error}") from error


def _duplicates(shards: list[Shard], genes: pl.DataFrame, roles: Roles) -> list[Problem]:
    """Rows that share group and position, found some groups at a time in order of appearance."""
    ordered = genes.sort(pl.col("chunks").list.first(), "group")
    part = (ordered["rows"].cast(pl.UInt64).cum_sum() - 1) // DUPLICATE_ROWS
    found = 0
    example = None
    for genes_part in ordered.with_columns(part.alias("part")).partition_by("part"):
        keys = pl.concat(list(read_groups(shards, genes_part, [roles.position], roles.group)))
        repeated = keys.group_by(roles.group, roles.position).len().filter(pl.col("len") > 1)
        found += int((repeated["len"] - 1).sum())
        if repeated.height and example is None:
            example = repeated.sort(roles.group, roles.position).row(0)
    if not found:
        return []
    return [
        Problem(
            "error",
            f"{found:,} rows repeat a ({roles.group}, {roles.position}) pair, for example "
            f"({example[0]}, {example[1]}); remove them, or set dataset.position to the column "
            "that names a row, or to null",
        )
    ]


def _values(column: pa.Array) -> tuple[np.ndarray, np.ndarray | None]:
    """A column as numpy with nulls as zeros, and the mask of its nulls."""
    missing = None
    if column.null_count:
        missing = column.is_null().to_numpy(zero_copy_only=False)
        column = column.fill_null(False if pa.types.is_boolean(column.type) else 0)
    values = column.to_numpy(zero_copy_only=False)
    if values.dtype == bool:
        values = values.astype(np.uint8)
    return values, missing


def _bits(values: np.ndarray) -> np.ndarray:
    """The bits of each value as a fresh uint64 array."""
    if values.dtype.kind == "f":
        values = np.ascontiguousarray(values).view(f"u{values.dtype.itemsize}")
    return values.astype(np.uint64)


def _multiplier(name: str) -> np.uint64:
    """Odd 64-bit multiplier of a column: equal values in two columns give different hashes."""
    return np.uint64(int(digest("column", name), 16) | 1)


def _mix(hashes: np.ndarray) -> np.ndarray:
    """Finalise as splitmix64 does (Steele, Lea and Flood 2014), so that sums tell rows apart."""
    hashes = (hashes ^ (hashes >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    hashes = (hashes ^ (hashes >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return hashes ^ (hashes >> np.uint64(31))
