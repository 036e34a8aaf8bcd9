"""Checks the data set against the input contract, in one streamed pass."""

import json
import logging
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from genebatch.config.settings import Labels, Table
from genebatch.dataset.column_facts import CategoryFacts, ColumnFacts
from genebatch.dataset.columns import Roles, assign_roles
from genebatch.dataset.from_text import LEFT_OUT_KEY
from genebatch.dataset.scan import Problem, Scan
from genebatch.dataset.shard_batches import Stored, stored_batches
from genebatch.dataset.shards import Shard, read_groups
from genebatch.dataset.table_schema import TableSchema, read_schema
from genebatch.io.data_files import check_folder_column, find_files, folder_columns
from genebatch.io.digests import KeptDigests, copies, state
from genebatch.io.files import InputError, first_names, unprintable
from genebatch.io.numbers import digits
from genebatch.io.tables import open_shard
from genebatch.io.text_tables import MISSING

log = logging.getLogger(__name__)


# Rows whose positions are held at once while looking for duplicates: 1 M x (number of the group,
# position) is some 10 MB, whatever the size of the data set.
DUPLICATE_ROWS = 1_000_000
# Rows that a thread scans at a time, in whole row groups. Scanning them takes 0.4 s; setting the
# scan up and merging it takes 4 ms (1,160 columns).
STRETCH_ROWS = 32_768
NO_NAMES = (*MISSING, "n/a", "#n/a", "<na>")  # how programs write a missing name, in any case
SEQUENCE_KEY = b"genebatch.sequence"  # in the schema metadata of a table that was built here


class RowGroups(NamedTuple):
    """Consecutive row groups of a shard, the first of which is `chunk` of the data set.

    `folders` are the columns that the folders of the shard stand for, those of the file too.
    """

    file: Stored
    shard: int
    metadata: pq.FileMetaData
    row_groups: range
    chunk: int
    folders: Mapping[str, str | None]


class Analysis(NamedTuple):
    """What a pass over the data set gives: its JSON profile and its table of groups."""

    profile: dict[str, Any]
    groups: pl.DataFrame


def analyze(
    table: Table,
    test_column: str | None,
    threads: int = 1,
    digests: KeptDigests | None = None,
) -> Analysis:
    """Check the data set, and describe its columns and groups.

    Holds the table of groups, and for each thread a record batch and the compressed row group
    that it comes from.

    Parameters
    ----------
    table
        The section `dataset`.
    test_column
        A metadata column that must be constant inside each group, or None.
    threads
        Stretches of row groups that are scanned side by side; the result is the same.
    digests
        Content digests of files that are known already. Other files are read once more.

    Raises
    ------
    InputError
        Listing every violation of the contract, or naming a file that changed meanwhile.
    """
    paths, left_out = find_files(table.path, "dataset.path")
    given = [folder_columns(table.path, path) for path in paths]
    columns = read_schema(paths, given, _named(table))
    schema = columns.schema
    roles = assign_roles(schema, table, _no_features(columns), columns.odd)
    shards = _describe(paths, columns, roles, digests or KeptDigests())
    used = _used(roles, columns)
    sequence = _sequence_facts(paths)
    labels = table.labels

    def begin() -> Scan:
        return Scan(roles, list(labels.classes), labels.null_label, schema)

    scan = begin()
    stretches = _stretches(shards, given)
    for part in _side_by_side(lambda rows: _scan(begin(), rows, used), stretches, threads):
        scan.merge(part)
    groups = scan.groups()
    problems = [Problem("note", note) for note in (*_left_out_of_text(paths), *left_out)]
    problems += [
        Problem("note", f"column '{name}' is no feature: {reason}")
        for name, reason in roles.left_out.items()
    ]
    # A file may stand in several folders `key=value`, whose columns tell its rows apart.
    contents = [(s.path, (s.content, *sorted(s.folders.items()))) for s in shards if s.rows]
    problems += [Problem("error", fault) for fault in copies(contents)]
    problems += find_problems(scan, table.infinite, test_column)
    if roles.position:
        problems += _duplicates(shards, groups, roles)
    errors = [problem.message for problem in problems if problem.level == "error"]
    if errors:
        raise InputError(f"data set {table.path}:\n  " + "\n  ".join(errors))
    _refuse_changed(shards)
    for problem in problems:
        (log.warning if problem.level == "warning" else log.info)("%s", problem.message)
    log.info("%s rows, %s groups in %d shards", f"{scan.rows:,}", f"{groups.height:,}", len(shards))
    facts = {"identity_kinds": identity_kinds(schema, labels), "sequence": sequence}
    return Analysis(scan.profile(shards, groups, problems) | facts, groups)


def identity_kinds(schema: pa.Schema, labels: Labels) -> dict[str, str]:
    """What the columns of group and position hold: "text", "integer" or "number".

    Tables of text to predict are read accordingly: the group 001 is text or a number.
    """
    named = {"group": labels.group, "position": labels.position}
    return {key: _kind(schema.field(name).type) for key, name in named.items() if name}


def _kind(kind: pa.DataType) -> str:
    if pa.types.is_dictionary(kind):
        kind = kind.value_type
    if pa.types.is_integer(kind):
        return "integer"
    return "number" if pa.types.is_floating(kind) or pa.types.is_decimal(kind) else "text"


def _named(table: Table) -> set[str]:
    """Columns that the config names exactly."""
    labels = table.labels
    named = {labels.group, labels.label, labels.weight, labels.position, *table.metadata}
    return (named | set((labels.scores or {}).values())) - {None}


def _no_features(columns: TableSchema) -> dict[str, str]:
    """Columns that become no features by themselves, and why."""
    reason = "it is the index of a data frame; to make it one, reset the index before writing"
    index = dict.fromkeys((n for n in columns.index if n in columns.schema.names), reason)
    folders = columns.folders[0]
    return index | dict.fromkeys(folders, "it stands in the names of folders only")


def _used(roles: Roles, columns: TableSchema) -> list[str] | None:
    """Columns to scan, or None if these are all columns of the files."""
    single = filter(None, (roles.group, roles.label, roles.weight, roles.position))
    used = list(dict.fromkeys([*single, *roles.metadata, *roles.candidates]))
    return None if set(used) == set(columns.stored[0]) else used


def _stretches(
    shards: Sequence[Shard], given: Sequence[Mapping[str, str | None]]
) -> Iterator[RowGroups]:
    """Cut each shard into runs of row groups of at least `STRETCH_ROWS` rows, the last one shorter.

    The footer of one shard is held: of some 1,000 columns it takes 1 MB for each row group.
    """
    chunk = 0
    for number, shard in enumerate(shards):
        log.info("%s: %s rows", shard.path, f"{shard.rows:,}")
        with open_shard(shard.path) as file:
            metadata = file.metadata
        first = rows = 0
        for row_group in range(shard.row_groups):
            rows += metadata.row_group(row_group).num_rows
            if rows >= STRETCH_ROWS or row_group == shard.row_groups - 1:
                row_groups = range(first, row_group + 1)
                first_chunk = chunk + first
                yield RowGroups(
                    shard.stored, number, metadata, row_groups, first_chunk, given[number]
                )
                first, rows = row_group + 1, 0
        chunk += shard.row_groups


def _scan(scan: Scan, rows: RowGroups, columns: list[str] | None) -> Scan:
    file = rows.file
    for chunk, row_group in enumerate(rows.row_groups, rows.chunk):
        start = 0
        for batch in stored_batches(file, columns, [row_group], metadata=rows.metadata):
            _check_folders(batch, rows)
            scan.add(batch, file.path, rows.shard, chunk, start)
            start += batch.num_rows
    return scan


def _check_folders(batch: pa.RecordBatch, rows: RowGroups) -> None:
    """Refuse a file whose column says something else than the folder that is named after it."""
    for name in rows.folders.keys() & set(batch.schema.names) - rows.file.folders.keys():
        values = pc.cast(batch.column(name), pa.string()).unique().to_pylist()
        check_folder_column(rows.file.path, name, values, rows.folders[name])


def _side_by_side(
    work: Callable[[RowGroups], Scan], stretches: Iterable[RowGroups], threads: int
) -> Iterator[Scan]:
    """Scans in the order of the rows, so that sums of floats never depend on the threads."""
    with ThreadPoolExecutor(threads) as pool:
        begun: deque = deque()
        for stretch in stretches:
            begun.append(pool.submit(work, stretch))
            if len(begun) > threads:  # one more than there are threads, so that none waits
                yield begun.popleft().result()
        while begun:
            yield begun.popleft().result()


def find_problems(scan: Scan, infinite: str, test_column: str | None) -> list[Problem]:
    """Every violation of the contract and every fact worth saying."""
    return [
        *_label_problems(scan),
        *_group_problems(scan, test_column),
        *_role_problems(scan),
        *_weight_problems(scan),
        *_column_problems(scan, infinite),
    ]


def _label_problems(scan: Scan) -> Iterator[Problem]:
    column = scan.roles.label
    for path, (count, values) in scan.unknown_labels.items():
        shown = ", ".join(repr(value) for value in sorted(values, key=str))
        yield Problem(
            "error",
            f"{path}: column '{column}' has {count:,} rows with unknown labels ({shown}); "
            f"dataset.classes knows {', '.join(scan.classes)}",
        )
    for path, count in scan.null_labels.items():
        yield Problem(
            "error",
            f"{path}: column '{column}' is empty in {count:,} rows; "
            "set dataset.null_label to the class that an empty label means",
        )
    totals = np.sum(scan.counts, axis=0) if scan.counts else np.zeros(len(scan.classes))
    for name, total in zip(scan.classes, totals, strict=True):
        if total == 0:
            yield Problem(
                "error",
                f"column '{column}' has no row of class '{name}' in the whole data set; "
                "correct dataset.label or take the class out of dataset.classes",
            )


def _group_problems(scan: Scan, test_column: str | None) -> Iterator[Problem]:
    group = scan.roles.group
    for path, count in scan.null_groups.items():
        yield Problem(
            "error",
            f"{path}: column '{group}' is null in {count:,} rows; every row needs a group "
            "(dataset.group)",
        )
    wrong = [name for name in scan.index if unprintable(name)]
    if wrong:
        yield Problem(
            "error",
            f"column '{group}' has {len(wrong):,} groups whose names are empty or have control "
            f"characters such as tabs ({first_names(map(repr, wrong))}); rename them in the table "
            "(dataset.group)",
        )
    missing = [name for name in scan.index if name and name.strip().lower() in NO_NAMES]
    if missing:
        rows = [int(scan.counts[scan.index[name]].sum()) for name in missing]
        shown = first_names(f"{n:,} in {name!r}" for name, n in zip(missing, rows, strict=True))
        yield Problem(
            "warning",
            f"column '{group}' has {sum(rows):,} rows of groups that are called as a missing value "
            f"is written ({shown}). All rows of such a name are kept together as one group; leave "
            "them out of the table, or give each row its group (dataset.group)",
        )
    spread = sum(len(shards) > 1 for shards in scan.shards)
    if spread:
        yield Problem("note", f"{spread:,} groups are spread over several shards (allowed)")
    if test_column is not None and test_column not in scan.facts:
        yield Problem(
            "error",
            f"test.column '{test_column}' is not among the metadata columns; "
            "list it in dataset.metadata",
        )
    elif test_column is not None and scan.varying[test_column]:
        names = list(scan.index)
        example = names[min(scan.varying[test_column])]
        yield Problem(
            "error",
            f"test.column '{test_column}' has several values inside "
            f"{len(scan.varying[test_column]):,} groups (for example {example!r}), so whole "
            "groups cannot be set aside by it; use test.fraction or test.groups",
        )


def _role_problems(scan: Scan) -> Iterator[Problem]:
    """Values of base scores, weight and position that their role does not allow."""
    wanted = {
        column: f"dataset.scores.{name} must lie in [0, 1] in every row"
        for name, column in scan.roles.scores.items()
    }
    if scan.roles.weight:
        wanted[scan.roles.weight] = "dataset.weight must be finite and 0 or more in every row"
    if scan.roles.position:
        wanted[scan.roles.position] = "dataset.position must be a finite number in every row"
    for column, rule in wanted.items():
        facts = scan.columns[column]
        ends = f"outside 0 to 1 ({digits(facts.minimum)} to {digits(facts.maximum)})"
        outside = "negative" if column == scan.roles.weight else ends
        for fact, counts in (
            ("null or NaN", facts.empty),
            ("infinite", facts.infinite),
            (outside, facts.outside),
        ):
            for path, count in counts.items():
                message = f"{path}: column '{column}' is {fact} in {count:,} rows; {rule}"
                yield Problem("error", message)


def _weight_problems(scan: Scan) -> Iterator[Problem]:
    """Classes without weight: nothing could be learned about them."""
    if not scan.roles.weight or not scan.counts:
        return
    rows, weights = np.sum(scan.counts, axis=0), np.sum(scan.weights, axis=0)
    for name, count, weight in zip(scan.classes, rows, weights, strict=True):
        if count and not weight > 0:
            yield Problem(
                "error",
                f"column '{scan.roles.weight}' (dataset.weight) sums to {weight:g} over the "
                f"{count:,} rows of class '{name}'; every class needs a weight above 0, or set "
                "dataset.weight: null",
            )


def _column_problems(scan: Scan, infinite: str) -> Iterator[Problem]:
    strict = {scan.roles.weight, scan.roles.position, *scan.roles.scores.values()}
    for name, facts in scan.columns.items():
        if name not in strict:
            yield from _feature_problems(facts, infinite)
        elif facts.constant:
            yield Problem("note", f"column '{name}' is constant ({facts.example})")


def _feature_problems(facts: ColumnFacts | CategoryFacts, infinite: str) -> Iterator[Problem]:
    name = facts.name
    for path, count in facts.infinite.items():
        if infinite == "error":
            yield Problem(
                "error",
                f"{path}: column '{name}' is infinite in {count:,} rows; set "
                "dataset.infinite: missing, or list the column in dataset.exclude",
            )
        else:
            yield Problem(
                "note", f"{path}: {count:,} infinite values of '{name}' are missing values"
            )
    if facts.blank:
        yield Problem("note", f"column '{name}' is empty in every row")
    elif facts.constant:
        yield Problem("note", f"column '{name}' is constant ({facts.example})")
    for path, count in facts.nans.items():
        yield Problem("note", f"{path}: column '{name}': {count:,} NaN are missing values")


def _describe(
    paths: Sequence[Path], columns: TableSchema, roles: Roles, digests: KeptDigests
) -> list[Shard]:
    states = [state(path) for path in paths]
    texts = (roles.group, roles.label, *roles.categorical)
    numbers = [*filter(None, (roles.weight, roles.position)), *roles.candidates]
    numbers = [name for name in numbers if name not in roles.categorical]
    shards = []
    for number, (path, told, content) in enumerate(
        zip(paths, states, digests.of(paths), strict=True)
    ):
        with open_shard(path) as file:
            rows, row_groups = file.metadata.num_rows, file.metadata.num_row_groups
        casts = columns.casts(number, text=texts, numbers=numbers)
        folders = {n: v for n, v in columns.folders[number].items() if n not in roles.left_out}
        shards.append(Shard(str(path), rows, row_groups, told, content, casts, folders))
    return shards


def _refuse_changed(shards: Sequence[Shard]) -> None:
    """Raise if a file was written while it was read."""
    changed = [shard.path for shard in shards if state(shard.path) != shard.state]
    if changed:
        raise InputError(
            f"{first_names(changed)} changed while the data set was analysed; run the workflow "
            "again once nothing writes there"
        )


def _left_out_of_text(paths: Sequence[Path]) -> list[str]:
    """What was left out when the shards were made of tables of text."""
    with open_shard(paths[0]) as file:
        metadata = file.schema_arrow.metadata or {}
    return json.loads(metadata.get(LEFT_OUT_KEY, b"[]"))


def _sequence_facts(paths: Sequence[Path]) -> dict[str, Any] | None:
    """Read from the shards how the features of a built table were made; None for other tables."""
    facts_of = {}
    for path in paths:
        with open_shard(path) as file:
            facts_of[path] = (file.schema_arrow.metadata or {}).get(SEQUENCE_KEY)
    first = facts_of[paths[0]]
    other = next((path for path in paths if facts_of[path] != first), None)
    if other is not None:
        raise InputError(
            f"{other} was not built with the features and sampling of {paths[0]} (they differ in "
            f"the schema metadata '{SEQUENCE_KEY.decode()}'); build all shards of dataset.path anew"
        )
    try:
        return None if first is None else json.loads(first)
    except ValueError as error:
        raise InputError(
            f"{paths[0]}: the schema metadata '{SEQUENCE_KEY.decode()}' is no JSON: {error}"
        ) from error


def _duplicates(shards: list[Shard], groups: pl.DataFrame, roles: Roles) -> list[Problem]:
    """Find rows that share group and position, some groups at a time in order of appearance."""
    ordered = groups.sort(pl.col("chunks").list.first(), "group")
    part = (ordered["rows"].cum_sum() - 1) // DUPLICATE_ROWS
    n_repeated = 0
    example = None
    for some in ordered.with_columns(part.alias("part")).partition_by("part"):
        numbers = some.select(pl.col("group").sort()).with_row_index("n")
        frames = read_groups(shards, some, [roles.position], roles.group)
        pairs = [
            pl.DataFrame([f[roles.group].alias("group"), f[roles.position].alias("p")])
            for f in frames
        ]
        keys = [pair.join(numbers, on="group").select("n", "p") for pair in pairs]
        ordered_keys = pl.concat(keys).sort("n", "p")
        repeated = ordered_keys.filter(pl.all_horizontal(pl.all() == pl.all().shift()))
        n_repeated += repeated.height
        if repeated.height and example is None:
            number, position = repeated.row(0)
            example = numbers["group"][number], position
    if not n_repeated:
        return []
    return [
        Problem(
            "error",
            f"{n_repeated:,} rows repeat a ({roles.group}, {roles.position}) pair, for example "
            f"({example[0]}, {example[1]}); remove them, or set dataset.position to the column "
            "that names a row, or to null",
        )
    ]
