"""Writes the rows of every batch, and of the test groups, into row files in one pass."""

import json
import logging
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

import polars as pl
import pyarrow as pa

from genebatch.config.settings import Labels
from genebatch.dataset.feature_set import Features
from genebatch.dataset.row_file import FEATURE, FORMAT, METADATA, PLACE, read_metadata
from genebatch.dataset.rows import identity_columns, identity_sources, label_codes
from genebatch.dataset.shards import Shard, read_groups
from genebatch.io.files import InputError, digest, whole
from genebatch.io.tables import BATCH_ROWS
from genebatch.jobs.limits import allow_open_files

log = logging.getLogger(__name__)

SPLIT_BYTES = 32 << 20  # of rows that are sorted by part at once
# Of sorted rows that wait until a record batch of their file is full. Reading a record batch takes
# as long for few rows as for a thousand.
WAITING_BYTES = 128 << 20
# Compressed so, a file is about as large as its Parquet source and is read 12 times faster.
WRITE = pa.ipc.IpcWriteOptions(compression="lz4", use_threads=False)


class Part(NamedTuple):
    """The groups of one row file.

    Attributes
    ----------
    name
        Batch id, or `test`.
    key
        Digest of the rows, their order, folds, labels and features.
    groups
        Their lines of the plan's table of groups.
    facts
        What a model of these rows records of its table: `identity_kinds`, and for a built table
        `sequence`, which says how features are made, and `trained_genes`. They are not in the key:
        a batch is not trained again because a fact changed and its rows did not.
    """

    name: str
    key: str
    groups: pl.DataFrame
    facts: Mapping[str, Any] = MappingProxyType({})


def write_row_files(
    shards: Sequence[Shard],
    parts: Sequence[Part],
    features: Features,
    labels: Labels,
    folder: str | Path,
) -> None:
    """Write the rows of every part into a file of its own, in one pass over the data set.

    Groups are dealt to batches whatever shard they lie in, so without this every rule of every
    batch would read nearly all of the data set. A part whose file already holds its rows is passed
    over, and so are the row groups that only such parts need; other files are removed. A thread of
    its own reads ahead. Holds `SPLIT_BYTES` of rows three times, as they are read, sorted by part
    and written, and `WAITING_BYTES` of rows that are sorted.

    Parameters
    ----------
    shards
        The shards of the profile.
    parts
        What each file holds.
    features, labels
        The feature set, and what the rows are.
    folder
        Where the files go, as `{name}.arrow`. Rows of a file are in the order of the shards.

    Raises
    ------
    InputError
        If a part has no rows, or the data set is no longer the one that was planned.
    """
    for part in parts:
        _check_filled(part)
    paths = {part.name: Path(folder) / f"{part.name}.arrow" for part in parts}
    stamps = {part.name: _stamp(part, shards, labels) for part in parts}
    stale = [part for part in parts if _stamp_of(paths[part.name]) != stamps[part.name]]
    rows = dict.fromkeys((part.name for part in stale), 0)
    if stale:
        columns = [*dict.fromkeys([*features.names, *identity_sources(labels)])]
        place = _free_name(PLACE, columns)
        lacking = pl.concat(part.groups.with_columns(part=pl.lit(part.name)) for part in stale)
        frames = read_groups(shards, lacking, columns, labels.group, place)
        with ExitStack() as complete:
            allow_open_files(2 * len(stale))  # a writer, and a lock until it is whole
            files = {
                part.name: _Writer(
                    complete,
                    paths[part.name],
                    _metadata(part, stamps[part.name], features, labels),
                )
                for part in stale
            }
            waiting = 0
            for name, chosen, fold in _by_part(_ahead(_chunks(frames)), lacking, labels.group):
                given, file = [fold, chosen[place].alias(PLACE)], files[name]
                waiting -= file.size
                file.put(_stored(chosen, given, features, labels))
                waiting += file.size
                rows[name] += chosen.height
                if waiting >= WAITING_BYTES:
                    fullest = max(files.values(), key=lambda file: file.size)
                    waiting -= fullest.size
                    fullest.flush()
            for part in stale:
                files[part.name].flush()
                _verify(part, rows[part.name])
    log.info("%d of %d files of rows written, %s rows", len(stale), len(parts), _sum(rows))
    _remove_others(Path(folder), set(paths.values()))


def _sum(rows: Mapping[str, int]) -> str:
    return f"{sum(rows.values()):,}"


def _free_name(name: str, columns: Sequence[str]) -> str:
    """A name that none of the columns has."""
    while name in columns:
        name += "_"
    return name


def _stored(
    rows: pl.DataFrame, known: Sequence[pl.Series], features: Features, labels: Labels
) -> pl.DataFrame:
    """Rows as a row file stores them: identity and `known`, then the features in their order."""
    identity = identity_columns(rows, labels)
    codes = label_codes(identity["label"], labels.classes, None)
    given = [identity[name] for name in ("position", "weight") if name in identity.columns]
    label = pl.Series("label", codes, dtype=pl.UInt16)
    values = (rows[name].alias(FEATURE + name) for name in features.names)
    return pl.DataFrame([identity["group"], label, *given, *known, *values])


def _check_filled(part: Part) -> None:
    if part.groups.is_empty():
        raise InputError(
            f"{part.name} has no rows; run the workflow again from the choice of test groups "
            "(--forcerun choose_test_groups)"
        )


def _verify(part: Part, written: int) -> None:
    planned = int(part.groups["rows"].sum())
    if written != planned:
        raise InputError(
            f"{part.name} has {written:,} rows but {planned:,} were planned; the data set has "
            "changed; run the workflow again, which analyses the data anew"
        )


class _Writer:
    """Appends frames to a file that is whole when the stack ends; `size` bytes of them wait."""

    def __init__(self, complete: ExitStack, path: Path, metadata: Mapping[bytes, bytes]):
        self.complete, self.metadata = complete, metadata
        self.temporary = complete.enter_context(whole(path))
        self.file: Any = None
        self.waiting: list[pl.DataFrame] = []
        self.size = 0

    def put(self, frame: pl.DataFrame) -> None:
        """Append rows, of which full record batches are written."""
        self.waiting.append(frame)
        self.size += frame.estimated_size()
        rows = sum(each.height for each in self.waiting)
        if rows >= BATCH_ROWS:
            self._write(rows - rows % BATCH_ROWS)

    def flush(self) -> None:
        """Write all rows that wait."""
        if self.waiting:
            self._write(sum(each.height for each in self.waiting))

    def _write(self, n_rows: int) -> None:
        rows = pl.concat(self.waiting, rechunk=True)  # else each frame is a record batch
        self.waiting = [rows[n_rows:]] if n_rows < rows.height else []
        self.size = sum(each.estimated_size() for each in self.waiting)
        table = rows[:n_rows].to_arrow(compat_level=pl.CompatLevel.oldest())
        table = table.replace_schema_metadata(self.metadata)
        if self.file is None:
            opened = pa.ipc.new_file(str(self.temporary), table.schema, options=WRITE)
            self.file = self.complete.enter_context(opened)
        self.file.write_table(table, max_chunksize=BATCH_ROWS)


def _metadata(part: Part, stamp: str, features: Features, labels: Labels) -> dict[bytes, bytes]:
    described = {
        "format": FORMAT,
        "name": part.name,
        "key": part.key,
        "stamp": stamp,
        "rows": int(part.groups["rows"].sum()),
        "labels": labels.plain(),
        "features": features.to_json(),
        "facts": dict(part.facts),
    }
    return {METADATA: json.dumps(described).encode()}


def _stamp(part: Part, shards: Sequence[Shard], labels: Labels) -> str:
    """Digest of what a file holds and from where: key, facts, places of the groups, shards."""
    places = part.groups.sort("group").select("group", "chunks", "first").rows()
    holding = set(part.groups["chunks"].explode().to_list())
    contents, start = [], 0
    for shard in shards:
        if not holding.isdisjoint(range(start, start + shard.row_groups)):
            contents.append(shard.content)
        start += shard.row_groups
    return digest(FORMAT, part.key, labels.plain(), dict(part.facts), places, contents)


def _stamp_of(path: Path) -> str | None:
    described = read_metadata(path)
    return None if described is None else described["stamp"]


def _remove_others(folder: Path, wanted: set[Path]) -> None:
    """Remove files of batches that are no more, and what a killed job left."""
    for path in {*folder.glob("*.arrow"), *folder.glob(".*.arrow")} - wanted:
        path.unlink()


def _chunks(frames: Iterator[pl.DataFrame]) -> Iterator[pl.DataFrame]:
    """Frames put together to `SPLIT_BYTES`, text columns as plain text."""
    waiting: list[pl.DataFrame] = []
    size = 0
    for frame in frames:
        # Dictionaries differ from row group to row group, which a file of Arrow cannot hold.
        waiting.append(frame.with_columns(pl.col(pl.Categorical, pl.Enum).cast(pl.String)))
        size += waiting[-1].estimated_size()
        if size >= SPLIT_BYTES:
            yield pl.concat(waiting)
            waiting, size = [], 0
    if waiting:
        yield pl.concat(waiting)


def _ahead(chunks: Iterator[pl.DataFrame]) -> Iterator[pl.DataFrame]:
    """The same chunks; while one is in use, the next is read."""
    with ThreadPoolExecutor(1) as reader:
        coming = reader.submit(next, chunks, None)
        while (chunk := coming.result()) is not None:
            coming = reader.submit(next, chunks, None)
            yield chunk


def _by_part(
    chunks: Iterator[pl.DataFrame], groups: pl.DataFrame, group: str
) -> Iterator[tuple[str, pl.DataFrame, pl.Series]]:
    """The rows of each chunk by part, in their order, and their folds.

    A row of a group that several batches hold is in the parts of all of them.
    """
    parts = groups.select("group", "part", "fold")
    for chunk in chunks:
        rows = chunk.select(chunk[group].alias("group")).with_row_index("row")
        rows = rows.join(parts, on="group", how="inner").sort("part", "row")
        for (name,), part in rows.group_by("part", maintain_order=True):
            yield name, chunk[part["row"]], part["fold"]
