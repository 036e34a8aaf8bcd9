"""The rows of every batch in a file of its own, so that a batch reads what is its own."""

import logging
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from typing import Any, NamedTuple

import polars as pl
import pyarrow as pa

from genebatch.dataset.columns import Features, Roles, described, read_groups
from genebatch.dataset.rows import row_columns
from genebatch.io.files import InputError, digest, read_json, whole
from genebatch.io.tables import BATCH_ROWS
from genebatch.jobs.limits import allow_open_files
from genebatch.plan.planning import batch_key

log = logging.getLogger(__name__)

SPLIT_BYTES = 32 << 20  # of rows that are sorted by batch at once
KEY = b"genebatch.key"  # in the schema metadata of a file of rows: what it holds
# Compressed so, a file is about as large as its Parquet source and is read 12 times faster.
WRITE = pa.ipc.IpcWriteOptions(compression="lz4", use_threads=False)


def split_batches(inputs: Mapping[str, str | Path], folder: str | Path) -> None:
    """Write the rows of every batch into a file of its own, in one pass over the data set.

    Groups are dealt to batches whatever shard they lie in, so without this every rule of every
    batch would read nearly all of the data set. A batch whose file already holds its rows, folds
    and features is passed over, and so are the row groups that only such batches need; files of
    batches that are no longer planned are removed. A thread of its own reads ahead. Holds
    `SPLIT_BYTES` of rows three times: as they are read, sorted by batch and written.

    Parameters
    ----------
    inputs
        Paths `profile`, `features` and `plan` (batches/genes.parquet).
    folder
        Where the files go: `{batch}.arrow`, Arrow IPC with columns and types of the data set, text
        as plain text. Rows of a batch are in the order of the shards.

    Raises
    ------
    InputError
        If the data set is no longer the one that was planned.
    """
    features = Features.from_json(read_json(inputs["features"]))
    roles, shards = described(read_json(inputs["profile"]))
    plan = pl.read_parquet(inputs["plan"]).filter(pl.col("batch").is_not_null())
    parts = {part["batch"][0]: part for part in plan.sort("batch").partition_by("batch")}
    keys = {batch: _file_key(part, features, roles) for batch, part in parts.items()}
    paths = {batch: Path(folder) / f"{batch}.arrow" for batch in parts}
    stale = [batch for batch in parts if _held_key(paths[batch]) != keys[batch]]
    rows = dict.fromkeys(stale, 0)
    if stale:
        lacking = plan.filter(pl.col("batch").is_in(stale))
        frames = read_groups(shards, lacking, row_columns(features, roles), roles.group)
        with ExitStack() as complete:
            allow_open_files(len(stale))
            files = {batch: _Writer(complete, paths[batch], keys[batch]) for batch in stale}
            for batch, part in _by_batch(_ahead(_chunks(frames)), lacking, roles.group):
                files[batch].write(part)
                rows[batch] += part.height
            for batch in stale:
                verify_rows(f"batch {batch}", rows[batch], parts[batch])
    log.info("%d of %d batches written, %s rows", len(stale), len(parts), f"{sum(rows.values()):,}")
    _remove_others(Path(folder), set(paths.values()))


class BatchRows(NamedTuple):
    """The file with the rows of one batch.

    Attributes
    ----------
    path
        The file.
    plan
        The lines of the plan of the batch's groups.
    features, roles
        The feature set and the roles of the columns.
    """

    path: Path
    plan: pl.DataFrame
    features: Features
    roles: Roles

    def frames(self, columns: Sequence[str]) -> Iterator[pl.DataFrame]:
        """Stream some columns of the rows; one record batch is held."""
        try:
            with pa.OSFile(str(self.path)) as source:
                names = pa.ipc.open_file(source).schema.names
                fields = sorted(names.index(name) for name in set(columns))
                options = pa.ipc.IpcReadOptions(included_fields=fields, use_threads=False)
                reader = pa.ipc.open_file(source, options=options)
                for number in range(reader.num_record_batches):
                    yield pl.from_arrow(reader.get_batch(number))
        except (pa.ArrowInvalid, OSError) as error:
            raise InputError(f"{self.path} cannot be read (truncated?): {error}") from error


def batch_rows(inputs: Mapping[str, str | Path], batch: str) -> BatchRows:
    """Find the file of a batch's rows.

    Parameters
    ----------
    inputs
        Paths `profile`, `features`, `plan` and `rows` (the file that `split_batches` wrote).
    batch
        Batch id.

    Raises
    ------
    InputError
        If the batch is not in the plan, or the file is missing or of another plan.
    """
    features = Features.from_json(read_json(inputs["features"]))
    roles, _ = described(read_json(inputs["profile"]))
    plan = pl.read_parquet(inputs["plan"]).filter(pl.col("batch") == batch)
    if not plan.height:
        raise InputError(f"batch {batch} is not in {inputs['plan']}")
    path = Path(inputs["rows"])
    held = _held_key(path)
    if held != _file_key(plan, features, roles):
        state = "is missing or no whole file" if held is None else "holds the rows of another plan"
        raise InputError(f"{path} {state}; run again with --forcerun plan_batches")
    return BatchRows(path, plan, features, roles)


def verify_rows(name: str, found: int, plan: pl.DataFrame) -> None:
    """Raise unless there are as many rows as were planned."""
    planned = int(plan["rows"].sum())
    if found != planned:
        raise InputError(
            f"{name} has {found:,} rows but {planned:,} were planned; the data set has "
            "changed, run again from analyze_dataset (--forcerun analyze_dataset)"
        )


class _Writer:
    """Appends frames to a file that is whole when the stack ends."""

    def __init__(self, complete: ExitStack, path: Path, key: str):
        self.complete, self.key = complete, key
        self.temporary = complete.enter_context(whole(path))
        self.file: Any = None

    def write(self, frame: pl.DataFrame) -> None:
        table = frame.to_arrow(compat_level=pl.CompatLevel.oldest())
        if self.file is None:
            schema = table.schema.with_metadata({KEY: self.key.encode()})
            opened = pa.ipc.new_file(str(self.temporary), schema, options=WRITE)
            self.file = self.complete.enter_context(opened)
        table = table.replace_schema_metadata({KEY: self.key.encode()})
        self.file.write_table(table, max_chunksize=BATCH_ROWS)


def _remove_others(folder: Path, wanted: set[Path]) -> None:
    """Remove files of batches that are no more, and what a killed job left."""
    for path in {*folder.glob("*.arrow"), *folder.glob(".*.arrow")} - wanted:
        path.unlink()


def _chunks(frames: Iterator[pl.DataFrame]) -> Iterator[pl.DataFrame]:
    """Frames put together to `SPLIT_BYTES`, text columns as plain text."""
    held: list[pl.DataFrame] = []
    size = 0
    for frame in frames:
        # Dictionaries differ from row group to row group, which a file of Arrow cannot hold.
        held.append(frame.with_columns(pl.col(pl.Categorical, pl.Enum).cast(pl.String)))
        size += held[-1].estimated_size()
        if size >= SPLIT_BYTES:
            yield pl.concat(held)
            held, size = [], 0
    if held:
        yield pl.concat(held)


def _ahead(chunks: Iterator[pl.DataFrame]) -> Iterator[pl.DataFrame]:
    """The same chunks, of which the next is read while the last is in use."""
    with ThreadPoolExecutor(1) as reader:
        coming = reader.submit(next, chunks, None)
        while (chunk := coming.result()) is not None:
            coming = reader.submit(next, chunks, None)
            yield chunk


def _by_batch(
    chunks: Iterator[pl.DataFrame], plan: pl.DataFrame, group: str
) -> Iterator[tuple[str, pl.DataFrame]]:
    """The rows of each chunk by batch, in their order; a row of a lent group more than once."""
    places = plan.select(pl.col("group").alias(group), "batch")
    for chunk in chunks:
        rows = chunk.select(group).with_row_index("row")
        rows = rows.join(places, on=group, how="inner").sort("batch", "row")
        for (batch,), part in rows.group_by("batch", maintain_order=True):
            yield batch, chunk[part["row"]]


def _file_key(plan: pl.DataFrame, features: Features, roles: Roles) -> str:
    """What a file of rows holds: rows and folds of the plan, and columns."""
    return digest(batch_key(plan, features.digest), row_columns(features, roles), roles.group)


def _held_key(path: Path) -> str | None:
    """The key of a file of rows; None of a file that is missing or not whole."""
    try:
        with pa.OSFile(str(path)) as source:
            found = pa.ipc.open_file(source).schema.metadata
    except (pa.ArrowInvalid, OSError):
        return None
    return (found or {}).get(KEY, b"").decode()
