"""Reads row files: the rows of a batch, or of the test groups, with what later rules need of them.

After the plan no rule opens a shard. A row file says everything: its metadata has the name, the
key, the labels, the feature set and the facts for models. Its columns are the identity of each row
and the features in their final order, in the types of the input table. Files are Arrow IPC, written
by `row_pass`.
"""

import json
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import chain
from pathlib import Path
from typing import Any, NamedTuple, Self

import numpy as np
import polars as pl
import pyarrow as pa

from genebatch.config.settings import Labels
from genebatch.dataset.feature_set import Block, Features, stacked
from genebatch.io.files import InputError
from genebatch.io.tables import BATCH_ROWS

FORMAT = 2
METADATA = b"genebatch.rows"  # key of the JSON in the schema metadata
KEYS = {"format", "name", "key", "stamp", "rows", "labels", "features", "facts"}  # of that JSON
FEATURE = "feature:"  # begins the name of a feature's column, so that it is no other column's
PLACE = "place"  # column with the place of a row in the data set; places rise
GENES = "trained_genes"
TABLE_FACTS = ("identity_kinds", "sequence")  # of the whole table
AGAIN = "run the workflow again, which writes it anew"


class Rows(NamedTuple):
    """Some rows: identity columns with `fold`, and the features under their own names."""

    identity: pl.DataFrame
    features: pl.DataFrame


class KnownRows(NamedTuple):
    """What is known of the rows of several files beside their features.

    Attributes
    ----------
    identity
        Identity columns with `fold`, file after file. A row of a group that several files hold
        stands once, as the first of them has it.
    places
        (rows,) place of each row in the data set.
    first
        (stored rows,) bool: which stored rows these are.
    """

    identity: pl.DataFrame
    places: np.ndarray
    first: np.ndarray


@dataclass(frozen=True)
class RowFile:
    """The rows of a batch or of the test groups.

    Attributes
    ----------
    path
        The file.
    name
        Batch id, or `test`.
    key
        Digest of rows, their order, folds, labels and features, as in the manifest.
    n_rows
        Number of rows.
    features
        The feature set.
    labels
        What the rows are.
    facts
        What a model of these rows records of its table; see `row_pass.Part`.
    """

    path: Path
    name: str
    key: str
    n_rows: int
    features: Features
    labels: Labels
    facts: dict[str, Any]

    @classmethod
    def open(cls, path: str | Path) -> Self:
        """Read what a row file is of; no rows.

        Raises
        ------
        InputError
            If the file is missing, damaged or of another version.
        """
        described = read_metadata(path) or {}
        try:
            return cls(
                Path(path),
                described["name"],
                described["key"],
                described["rows"],
                Features.from_json(described["features"]),
                Labels.build(described["labels"]),
                described["facts"],
            )
        except (KeyError, TypeError) as error:
            raise InputError(f"{path} is missing or no whole file of rows; {AGAIN}") from error

    @cached_property
    def identity(self) -> pl.DataFrame:
        """Everything about the rows but their features.

        Columns: `group`, `label`, and where the table has them `position`, `weight` and
        `score_{class}`; at last `fold`.
        """
        return self._identity(self._whole(self._known()))

    @property
    def groups(self) -> pl.DataFrame:
        """The groups of the file with their number of `rows`, sorted by name."""
        groups = self._whole(["group"])
        return groups.group_by("group").agg(pl.len().cast(pl.Int64).alias("rows")).sort("group")

    def frames(self, wanted: Collection[str] | None = None) -> Iterator[Rows]:
        """Stream the rows, with all features or those that are `wanted`; holds a record batch."""
        names = self._wanted(wanted)
        for frame in self._read([*self._known(), *(FEATURE + name for name in names)]):
            yield Rows(self._identity(frame), _features(frame, names))

    def placed_frames(
        self, wanted: Collection[str] | None = None, groups: pl.Series | None = None
    ) -> Iterator[pl.DataFrame]:
        """Stream the rows as they are stored, as `frames`, with the place of each.

        With `groups` only the rows of these. A record batch that has none of them is not read.
        """
        names = self._wanted(wanted)
        return self._read([*self._known(), *(FEATURE + name for name in names), PLACE], groups)

    def stored_features(self, names: Sequence[str]) -> Iterator[pl.DataFrame]:
        """Stream some features of the rows as they are stored."""
        return self._read([FEATURE + name for name in names] or [PLACE])

    def rows_of(self, stored: pl.DataFrame, wanted: Collection[str] | None = None) -> Rows:
        """Identity and features of rows that `placed_frames` gave."""
        return Rows(self._identity(stored), _features(stored, self._wanted(wanted)))

    def _known(self) -> list[str]:
        """Stored columns that the identity of a row is made from."""
        labels = self.labels
        columns = ["group", "label"]
        columns += ["position"] if labels.position else []
        columns += ["weight"] if labels.weight else []
        columns += [FEATURE + column for column in (labels.scores or {}).values()]
        return [*columns, "fold"]

    def _wanted(self, wanted: Collection[str] | None) -> list[str]:
        """Names of the features that are wanted, in the order of the feature set."""
        chosen = None if wanted is None else set(wanted)
        return [name for name in self.features.names if chosen is None or name in chosen]

    def _identity(self, frame: pl.DataFrame) -> pl.DataFrame:
        labels = self.labels
        names = pl.Series(labels.classes, dtype=pl.String)
        label = names.gather(frame["label"].cast(pl.UInt32)).alias("label")
        columns: list[Any] = ["group", label]
        columns += [pl.col("position")] if labels.position else []
        columns += [pl.col("weight")] if labels.weight else []
        columns += [
            pl.col(FEATURE + column).alias(f"score_{name}")
            for name, column in (labels.scores or {}).items()
        ]
        return frame.select(*columns, "fold")

    def _whole(
        self, columns: Sequence[str], kinds: Mapping[str, Any] | None = None
    ) -> pl.DataFrame:
        """All rows of some stored columns, some of them cast to other `kinds`.

        Raises if there are not as many rows as were planned.
        """
        rows = pl.concat(frame.cast(dict(kinds or {})) for frame in self._read(columns))
        if rows.height != self.n_rows:
            raise InputError(
                f"{self.path} has {rows.height:,} rows but {self.n_rows:,} were planned; "
                f"delete it and {AGAIN}"
            )
        return rows

    def _read(
        self, columns: Sequence[str], groups: pl.Series | None = None
    ) -> Iterator[pl.DataFrame]:
        """Stream some stored columns, of all rows or those of some groups; holds a record batch."""
        try:
            with pa.OSFile(str(self.path)) as source:
                reader = _reader(source, columns)
                names = None if groups is None else _reader(source, ["group"])
                for number in range(reader.num_record_batches):
                    if names is None:
                        yield _frame(reader, number)
                        continue
                    kept = _frame(names, number)["group"].is_in(groups.implode())
                    if kept.any():
                        yield _frame(reader, number).filter(kept)
        except (pa.ArrowException, OSError, ValueError) as error:
            raise InputError(
                f"{self.path} cannot be read ({error}); delete it and {AGAIN}"
            ) from error


class Blocks:
    """Some features of some rows of row files as blocks of numbers, read anew whenever iterated.

    Rows come as they are stored, file after file. Holds a record batch and a block.

    Parameters
    ----------
    files
        The row files.
    columns
        Places of the features, rising; None stands for all.
    kept
        (stored rows,) bool; None stands for all rows.
    size
        Least rows of a block, but for the last.
    zeros
        Whether counts of zero are stored.
    """

    def __init__(
        self,
        files: Sequence[RowFile],
        columns: np.ndarray | None = None,
        kept: np.ndarray | None = None,
        size: int = BATCH_ROWS,
        *,
        zeros: bool = False,
    ):
        everything = files[0].features
        self.features = everything if columns is None else everything.some(columns)
        self.files, self.kept, self.size, self.zeros = files, kept, size, zeros

    def __iter__(self) -> Iterator[Block]:
        blocks: list[Block] = []
        rows = 0
        for frame in self._frames():
            blocks.append(self.features.select(frame, self.zeros))
            rows += frame.height
            if rows >= self.size:
                yield stacked(blocks)
                blocks, rows = [], 0
        if blocks:
            yield stacked(blocks)

    def _frames(self) -> Iterator[pl.DataFrame]:
        """The features of the rows that are kept, under their own names."""
        names = self.features.names
        start = 0
        for stored in chain.from_iterable(file.stored_features(names) for file in self.files):
            if self.kept is not None:
                part = self.kept[start : start + stored.height]
                start += stored.height
                if not part.any():
                    continue
                stored = stored.filter(part)
            yield _features(stored, names)


def _reader(source: pa.OSFile, columns: Sequence[str]) -> pa.RecordBatchFileReader:
    """Open the columns of a row file that are read."""
    names = pa.ipc.open_file(source).schema.names
    fields = sorted(names.index(name) for name in set(columns))
    options = pa.ipc.IpcReadOptions(included_fields=fields, use_threads=False)
    return pa.ipc.open_file(source, options=options)


def _frame(reader: pa.RecordBatchFileReader, number: int) -> pl.DataFrame:
    """Read a record batch."""
    batch = reader.get_batch(number)
    batch.validate(full=True)  # polars crashes on damaged text
    return pl.from_arrow(batch)


def _features(stored: pl.DataFrame, names: Sequence[str]) -> pl.DataFrame:
    """Some features of stored rows under their own names."""
    return stored.select(pl.col(FEATURE + name).alias(name) for name in names)


def read_metadata(path: str | Path) -> dict[str, Any] | None:
    """Read what a row file says of itself; None if it is missing, damaged or of another version."""
    try:
        with pa.OSFile(str(path)) as source:
            stored = pa.ipc.open_file(source).schema.metadata or {}
        described = json.loads(stored[METADATA])
        return described if described.keys() >= KEYS and described["format"] == FORMAT else None
    except (pa.ArrowException, OSError, ValueError, KeyError, AttributeError):
        return None


def joined_facts(parts: Iterable[Mapping[str, Any]]) -> dict[str, Any]:
    """Facts of the rows of several files together, from those of each; other facts are left out.

    What says how the table was made is that of the first. The genes are those of all files, or not
    known where one of the files does not know its own.
    """
    first, *others = parts
    facts = {name: first[name] for name in TABLE_FACTS if name in first}
    genes = [part.get(GENES) for part in (first, *others)]
    if None in genes:
        return facts
    return facts | {GENES: sorted(set().union(*genes))}


def merged(
    files: Iterable[RowFile],
    wanted: Collection[str] | None = None,
    groups: pl.Series | None = None,
) -> Iterator[Rows]:
    """Stream the rows of several batches in the order of the data set, each row once.

    A row of a group that several batches hold is taken from the first of the files. Its identity
    has a further column `batch`, the name of that file, before `fold`. Only the features that are
    `wanted` are read, by default all, and only the rows of some `groups`, by default all.

    Yields
    ------
    Rows
        Of `BATCH_ROWS` rows, the last one of fewer. Holds a record batch of every file.
    """
    files = list(files)
    first = files[0]
    stored_rows = _in_order(
        [_named(file.placed_frames(wanted, groups), file.name) for file in files]
    )
    for stored in _regrouped(stored_rows, BATCH_ROWS):
        identity, features = first.rows_of(stored, wanted)
        identity.insert_column(identity.width - 1, stored["batch"])
        yield Rows(identity, features)


def known_rows(files: Sequence[RowFile]) -> KnownRows:
    """Everything about the rows of several files but their features, file after file.

    Holds 130 bytes a row while it is made.
    """
    names = pl.Categorical()  # each name once; the views of a text column take 16 bytes a row
    stored = pl.concat(file._whole([*file._known(), PLACE], {"group": names}) for file in files)
    places = stored[PLACE].to_numpy()
    first = np.zeros(len(places), bool)
    first[_order(places)] = True
    if not first.all():
        stored, places = stored.filter(first), places[first]
    identity = files[0]._identity(stored).cast({"group": pl.String})
    return KnownRows(identity, places, first)


def _in_order(coming: Sequence[Iterator[pl.DataFrame]]) -> Iterator[pl.DataFrame]:
    """Stored rows of several files by place, each once; parts of any size."""
    if len(coming) == 1:
        yield from coming[0]
        return
    waiting = [next(frames, None) for frames in coming]
    while any(frame is not None for frame in waiting):
        # No file has further rows up to the lowest of the last places that are waiting.
        end = min(frame[PLACE][-1] for frame in waiting if frame is not None)
        parts = []
        for number, frame in enumerate(waiting):
            if frame is None:
                continue
            cut = int(frame[PLACE].search_sorted(end, side="right"))
            parts.append(frame[:cut])
            waiting[number] = frame[cut:] if cut < frame.height else next(coming[number], None)
        together = pl.concat(parts)
        order = _order(together[PLACE].to_numpy())
        yield together[order]


def _order(places: np.ndarray) -> np.ndarray:
    """Order of rows by place, each place once, as the first row that has it."""
    return np.unique(places, return_index=True)[1]


def _named(frames: Iterable[pl.DataFrame], name: str) -> Iterator[pl.DataFrame]:
    for frame in frames:
        yield frame.with_columns(batch=pl.lit(name))


def _regrouped(frames: Iterable[pl.DataFrame], size: int) -> Iterator[pl.DataFrame]:
    """The same rows in frames of `size` rows, the last one of fewer."""
    waiting: list[pl.DataFrame] = []
    rows = 0
    for frame in frames:
        waiting.append(frame)
        rows += frame.height
        if rows < size:
            continue
        joined = pl.concat(waiting)
        whole = rows - rows % size
        yield from (joined[start : start + size] for start in range(0, whole, size))
        waiting, rows = [joined[whole:]], rows - whole
    if rows:
        yield pl.concat(waiting)
