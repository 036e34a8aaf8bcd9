"""Reads the rows of some groups from the shards of an analysed data set."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

import polars as pl

from genebatch.dataset.columns import Roles
from genebatch.dataset.shard_batches import Stored, stored_batches
from genebatch.io.digests import State, content_digest, state
from genebatch.io.files import InputError
from genebatch.io.tables import open_shard


class Shard(NamedTuple):
    """One Parquet file as it was analysed.

    Attributes
    ----------
    path
        The file.
    rows, row_groups
        How many it holds.
    state
        What the file system said of it.
    content
        SHA-256 of its bytes.
    casts, folders
        As in `Stored`.
    """

    path: str
    rows: int
    row_groups: int
    state: State
    content: str
    casts: Mapping[str, str] = MappingProxyType({})
    folders: Mapping[str, str | None] = MappingProxyType({})

    @property
    def stored(self) -> Stored:
        """How the file stores its columns."""
        return Stored(self.path, self.casts, self.folders)

    def to_json(self) -> dict[str, Any]:
        """Plain JSON form; most shards have no casts and no folders."""
        plain = self._asdict() | {"state": [*self.state]}
        return {key: value for key, value in plain.items() if value != {}}


def described(profile: Mapping[str, Any]) -> tuple[Roles, list[Shard]]:
    """Give roles and shards of an analysed data set, from its JSON profile."""
    if any("content" not in shard for shard in profile["shards"]):
        raise InputError(
            "the data set was analysed by an earlier version of genebatch; delete "
            "dataset/profile.json in the results folder and run again (finished batches stay)"
        )
    shards = [Shard(**shard | {"state": State(*shard["state"])}) for shard in profile["shards"]]
    return Roles(**profile["roles"]), shards


def read_groups(
    shards: Sequence[Shard],
    groups: pl.DataFrame,
    columns: Sequence[str],
    group: str,
    place: str | None = None,
) -> Iterator[pl.DataFrame]:
    """Stream the rows of some groups, in the order of the shards.

    Parameters
    ----------
    shards
        The shards of the profile.
    groups
        Rows of the table of groups to read; its `chunks` name the row groups that hold them, so
        row groups without any of these groups are not touched.
    columns
        Columns to read; `group` is added if it is not among them.
    group
        Name of the group column.
    place
        Name of a further column, or None: the place of each row in the data set, UInt64, the
        number of its row group times 2^32 plus its number inside. Places rise.

    Yields
    ------
    polars.DataFrame
        At most `tables.BATCH_ROWS` rows with the group as text. One record batch is held.

    Raises
    ------
    InputError
        If a shard is not the one that was analysed.
    """
    wanted = groups["group"]
    for shard, first_chunk, row_groups in _with_row_groups(shards, groups):
        check_shard(shard)
        names = [*dict.fromkeys([group, *columns])]
        for frame in _frames(shard.stored, names, row_groups, first_chunk, place):
            named = frame.with_columns(frame[group].cast(pl.String))
            kept = named.filter(named[group].is_in(wanted.implode()))
            if kept.height:
                yield kept


def _with_row_groups(
    shards: Sequence[Shard], groups: pl.DataFrame
) -> Iterator[tuple[Shard, int, list[int]]]:
    """Shards that hold some of the groups, the number of their first row group, and which ones."""
    holding = set(groups["chunks"].explode().to_list())
    first_chunk = 0
    for shard in shards:
        row_groups = [n for n in range(shard.row_groups) if first_chunk + n in holding]
        if row_groups:
            yield shard, first_chunk, row_groups
        first_chunk += shard.row_groups


def _frames(
    file: Stored, columns: list[str], row_groups: list[int], first_chunk: int, place: str | None
) -> Iterator[pl.DataFrame]:
    if place is None:
        yield from map(pl.from_arrow, stored_batches(file, columns, row_groups))
        return
    with open_shard(file.path) as opened:
        metadata = opened.metadata
    for row_group in row_groups:
        start = (first_chunk + row_group) << 32
        for batch in stored_batches(file, columns, [row_group], metadata=metadata):
            end = start + batch.num_rows
            places = pl.int_range(start, end, dtype=pl.UInt64, eager=True).alias(place)
            yield pl.from_arrow(batch).with_columns(places)
            start = end


def check_shard(shard: Shard) -> None:
    """Raise if the file is no longer the one that was analysed.

    A file that only seems to have changed, such as a touched one, is read whole to tell.
    """
    path = Path(shard.path)
    if not path.exists():
        fact = "is gone"
    elif state(path) == shard.state:
        return
    elif state(path).size != shard.state.size:
        fact = f"has {state(path).size:,} bytes but had {shard.state.size:,} when it was analysed"
    elif content_digest(path) != shard.content:
        fact = "has other values than when it was analysed"
    else:
        return
    raise InputError(f"{shard.path} {fact}; run the workflow again, which analyses the data anew")
