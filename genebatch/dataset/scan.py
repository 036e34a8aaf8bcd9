"""Gathers facts of columns and groups over the record batches of one pass."""

from typing import Any, NamedTuple

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.compute as pc

from genebatch.dataset.column_facts import (
    CategoryFacts,
    ColumnFacts,
    add_bits,
    mix,
    multiplier,
)
from genebatch.dataset.columns import Roles
from genebatch.dataset.shards import Shard
from genebatch.io.files import digest
from genebatch.io.numbers import CLIPPED, clipped
from genebatch.metrics.binary import own_log_loss

# A group's digest is a polynomial in its rows modulo 2^64, so that their order counts; odd, from
# the fractional part of the golden ratio.
ORDER = 0x9E3779B97F4A7C15
MODULUS = 2**64


class Problem(NamedTuple):
    """Something in the data that the user should know; `error` stops the run."""

    level: str
    message: str


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
        bounds = dict.fromkeys(roles.scores.values(), (-CLIPPED, 1 + CLIPPED))
        bounds |= {roles.weight: (0.0, np.inf)} if roles.weight else {}
        self.scores = [roles.scores[name] for name in classes] if roles.scores else []
        self.columns = {
            name: CategoryFacts(name)
            if name in roles.categorical
            else ColumnFacts(name, bounds.get(name, (-np.inf, np.inf)))
            for name in [*roles.candidates, *filter(None, [roles.weight, roles.position])]
        }
        self.index: dict[str, int] = {}
        self.counts: list[np.ndarray] = []  # rows of each class
        self.weights: list[np.ndarray] = []  # weight of each class
        self.losses: list[float] = []  # weighted log loss of the base scores
        self.errors: list[int] = []  # rows that the base scores call wrong
        self.digests: list[int] = []
        self.chunks: list[list[int]] = []
        self.first: list[int] = []  # number of the first row in the first row group
        self.shards: list[set[int]] = []
        self.facts: dict[str, list[Any]] = {name: [] for name in roles.metadata}
        self.varying: dict[str, set[int]] = {name: set() for name in roles.metadata}
        self.unknown_labels: dict[str, list[Any]] = {}
        self.null_labels: dict[str, int] = {}
        self.null_groups: dict[str, int] = {}

    def add(self, batch: pa.RecordBatch, path: str, shard: int, chunk: int, start: int) -> None:
        """Take in a record batch of row group `chunk`, which begins at its row `start`."""
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
        hashes = np.zeros(len(labels), np.uint64)
        add_bits(hashes, labels.astype(np.uint64), multiplier("label"))  # of no column's name
        values_of: dict[str | None, np.ndarray] = {}
        for name, facts in self.columns.items():
            values = facts.add(batch.column(name), path, hashes)
            if name == self.roles.weight or name in self.scores:
                values_of[name] = np.nan_to_num(values.astype(np.float64))
            if name in self.scores:
                values_of[name] = clipped(values_of[name])
        weight = values_of.get(self.roles.weight, np.ones(len(labels)))
        members = self._members(names)
        _, first = np.unique(local, return_index=True)
        for member, row in zip(members, first.tolist(), strict=True):
            self.shards[member].add(shard)
            if not self.chunks[member]:
                self.first[member] = start + row
            if not self.chunks[member] or self.chunks[member][-1] != chunk:
                self.chunks[member].append(chunk)
        self._add_rows(members, local, labels, weight, mix(hashes))
        if self.scores:
            scores = np.column_stack([values_of[name] for name in self.scores])
            self._add_base(members, local, labels, weight, scores)
        self._add_facts(members, local, batch)

    def merge(self, later: "Scan") -> None:
        """Add the facts of another scan, which read later row groups of the same data set."""
        self.rows += later.rows
        for name, facts in self.columns.items():
            facts.merge(later.columns[name])
        members = self._members(list(later.index)).tolist()
        for number, member in enumerate(members):
            self._append_digest(member, later.digests[number])
            self.counts[member] += later.counts[number]
            self.weights[member] += later.weights[number]
            self.losses[member] += later.losses[number]
            self.errors[member] += later.errors[number]
            if not self.chunks[member]:
                self.first[member] = later.first[number]
            self.chunks[member] += later.chunks[number]
            self.shards[member] |= later.shards[number]
        for name, values in later.facts.items():
            self.varying[name].update(members[number] for number in later.varying[name])
            for member, value in zip(members, values, strict=True):
                self._add_fact(name, member, value)
        for path, (count, values) in later.unknown_labels.items():
            self._add_unknown(path, count, values)
        for own, more in (
            (self.null_labels, later.null_labels),
            (self.null_groups, later.null_groups),
        ):
            for path, count in more.items():
                own[path] = own.get(path, 0) + count

    def groups(self) -> pl.DataFrame:
        """The table of groups, sorted by group.

        Columns: `group`, `rows`, `n_{class}`, `weight_{class}`, `base_log_loss` (of the base
        scores: the sum over rows of weight times the negative log of the true class's share, in
        nats) and `base_errors` (rows whose highest base score is another class's), null where
        there are no base scores, `digest` (of the rows in their order), `chunks` (row groups of
        the data set), `first` (row number inside the first of them), `shards`, and
        `fact.{column}` for every metadata column that is constant inside each group. Numbers of
        rows are 64-bit, as sums of 32-bit ones would wrap round.
        """
        counts = np.array(self.counts, np.int64).reshape(-1, len(self.classes))
        weights = np.array(self.weights).reshape(-1, len(self.classes))
        columns: dict[str, Any] = {
            "group": pl.Series(list(self.index), dtype=pl.String),
            "rows": counts.sum(axis=1),
        }
        for number, name in enumerate(self.classes):
            columns[f"n_{name}"] = counts[:, number]
            columns[f"weight_{name}"] = weights[:, number]
        base = (self.losses, self.errors) if self.scores else ([None] * len(counts),) * 2
        columns["base_log_loss"] = pl.Series(base[0], dtype=pl.Float64)
        columns["base_errors"] = pl.Series(base[1], dtype=pl.Int64)
        columns["digest"] = [f"{value:016x}" for value in self.digests]
        columns["chunks"] = pl.Series(self.chunks, dtype=pl.List(pl.UInt32))
        columns["first"] = np.array(self.first, np.uint32)
        columns["shards"] = np.array([len(shards) for shards in self.shards], np.uint32)
        for name, values in self.facts.items():
            if not self.varying[name]:
                columns[f"fact.{name}"] = pl.Series(values, dtype=pl.String)
        return pl.DataFrame(columns).sort("group")

    def profile(
        self, shards: list[Shard], groups: pl.DataFrame, problems: list[Problem]
    ) -> dict[str, Any]:
        """The JSON profile of the data set."""
        kinds = {
            name: facts.summary(self.rows, _read_as(self.schema.field(name).type))
            for name, facts in self.columns.items()
        }
        return {
            "rows": self.rows,
            "groups": groups.height,
            "digest": digest(groups["group"].to_list(), groups["digest"].to_list()),
            "shards": [shard.to_json() for shard in shards],
            "classes": {name: int(groups[f"n_{name}"].sum()) for name in self.classes},
            "roles": self.roles._asdict() | {"left_out": dict(self.roles.left_out)},
            "columns": kinds,
            "problems": [problem._asdict() for problem in problems],
        }

    def _label_codes(self, column: pa.Array, path: str) -> np.ndarray:
        """Class index of each row; unknown and empty labels count as class 0, and are noted."""
        text = pc.cast(column, pa.string())
        codes = pc.index_in(text, value_set=pa.array(self.classes))
        places = codes.fill_null(-1).to_numpy(zero_copy_only=False).astype(np.int64)
        empty = column.is_null().to_numpy(zero_copy_only=False)
        unknown = (places < 0) & ~empty
        if unknown.any():
            values = text.filter(pa.array(unknown)).unique().to_pylist()
            self._add_unknown(path, int(unknown.sum()), set(values[:5]))
        if self.null_label is not None:
            places[empty] = self.classes.index(self.null_label)
        elif empty.any():
            self.null_labels[path] = self.null_labels.get(path, 0) + int(empty.sum())
        return np.maximum(places, 0)

    def _add_unknown(self, path: str, count: int, values: set[Any]) -> None:
        seen = self.unknown_labels.setdefault(path, [0, set()])
        seen[0] += count
        seen[1] |= values

    def _members(self, names: list[str]) -> np.ndarray:
        """Places of some groups in the table of groups; new groups are added."""
        for name in names:
            if name not in self.index:
                self.index[name] = len(self.index)
                self.counts.append(np.zeros(len(self.classes), np.int64))
                self.weights.append(np.zeros(len(self.classes)))
                self.losses.append(0.0)
                self.errors.append(0)
                self.digests.append(0)
                self.chunks.append([])
                self.first.append(0)
                self.shards.append(set())
        return np.array([self.index[name] for name in names], int)

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
        rank = np.arange(len(order)) - np.repeat(starts, counts.sum(axis=1))
        sums = np.add.reduceat(hashes[order] * _powers(len(order))[rank], starts)
        for row, member in enumerate(members):
            self._append_digest(member, int(sums[row]))
            self.counts[member] += counts[row]
            self.weights[member] += weights[row]

    def _append_digest(self, member: int, later: int) -> None:
        """Take in the digest of rows that follow those counted so far."""
        before = pow(ORDER, int(self.counts[member].sum()), MODULUS)
        self.digests[member] = (self.digests[member] + before * later) % MODULUS

    def _add_base(
        self,
        members: np.ndarray,
        local: np.ndarray,
        labels: np.ndarray,
        weight: np.ndarray,
        scores: np.ndarray,
    ) -> None:
        """Add how wrong the base scores are. The scores of a row are divided by their sum.

        Scores that are no probabilities are an error of the data set, which is reported later.
        """
        total = scores.sum(axis=1)
        own = scores[np.arange(len(labels)), labels] / np.where(total > 0, total, 1)
        loss = weight * own_log_loss(own)
        losses = np.bincount(local, loss, minlength=len(members))
        errors = np.bincount(local, scores.argmax(axis=1) != labels, minlength=len(members))
        for row, member in enumerate(members):
            self.losses[member] += float(losses[row])
            self.errors[member] += int(errors[row])

    def _add_facts(self, members: np.ndarray, local: np.ndarray, batch: pa.RecordBatch) -> None:
        _, first = np.unique(local, return_index=True)
        for name in self.facts:
            encoded = pc.cast(batch.column(name), pa.string()).dictionary_encode()
            codes = encoded.indices.fill_null(-1).to_numpy(zero_copy_only=False)
            differs = np.unique(local[codes != codes[first[local]]])
            self.varying[name].update(members[differs].tolist())
            words = encoded.dictionary.to_pylist()
            for member, code in zip(members.tolist(), codes[first].tolist(), strict=True):
                self._add_fact(name, member, words[code] if code >= 0 else None)

    def _add_fact(self, name: str, member: int, value: str | None) -> None:
        values = self.facts[name]
        if member == len(values):
            values.append(value)
        elif values[member] != value:
            self.varying[name].add(member)


def _read_as(kind: pa.DataType) -> pa.DataType:
    """The type of a column in the profile; one without any value is read as float32."""
    return pa.float32() if pa.types.is_null(kind) else kind


def _powers(count: int) -> np.ndarray:
    """ORDER to the power of 0, 1, ..., modulo 2^64."""
    powers = np.full(count, ORDER, np.uint64)
    powers[:1] = 1
    return np.multiply.accumulate(powers)
