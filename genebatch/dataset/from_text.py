"""Writes tables of text as Parquet shards, which every later rule reads."""

import glob
import json
import logging
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from os import PathLike
from pathlib import Path

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq

from genebatch.config.settings import Table
from genebatch.dataset.columns import matching
from genebatch.dataset.table_schema import check_same_columns
from genebatch.io.columns import check_needed
from genebatch.io.data_files import check_folder_column, find_files, find_shards, folder_columns
from genebatch.io.digests import content_digest, copies
from genebatch.io.files import InputError, first_names, whole
from genebatch.io.tables import identity_kinds
from genebatch.io.text_tables import Values, seen_values, text_columns, text_frames

log = logging.getLogger(__name__)

ROW_GROUP_BYTES = 32 << 20  # of a row group in memory
EVERY_SHARD = "part-*.parquet"
# In the metadata of each shard: what was left out when the files of text were found.
LEFT_OUT_KEY = b"genebatch.left_out"


def text_in_parquet(table: Table, folder: str | PathLike) -> Table:
    """Write a table of text into a folder; give the section `dataset` of what was written."""
    paths = find_shards(table.path, "dataset.path")
    shards_of_text(paths, table, [Path(folder) / shard_name(n) for n in range(len(paths))])
    return replace(table, path=str(Path(glob.escape(str(folder))) / EVERY_SHARD))


def shard_name(number: int) -> str:
    """Name of a shard that is made of a file of text."""
    return f"part-{number:03d}.parquet"


def shards_of_text(
    paths: Sequence[str | PathLike], table: Table, shards: Sequence[str | PathLike]
) -> None:
    """Write tables of text as Parquet, a shard for each file, in the order of its rows, whole.

    A column has one type in all files, the smallest that holds all of its values. Columns of text
    that are no metadata stay text, and the screen leaves them out of the features. Reads each file
    twice, and three times with identity columns. Holds `text_tables.BLOCK_BYTES` of text and a row
    group. Files that are left out of the table are logged, and noted in the metadata of the shards.

    Parameters
    ----------
    paths
        CSV, TSV or other text with a line of names; plain or gzip. The order of columns may differ.
    table
        The section `dataset`. Its path tells which folders `key=value` are columns.
    shards
        Parquet files to write, in the order of `paths`.

    Raises
    ------
    InputError
        If a file is broken or has other columns than the others, a column to compute with is text
        in some files only, two files have the same rows, or there are no rows.
    """
    paths = list(map(Path, paths))
    columns = {path: text_columns(path) for path in paths}
    for path, own in columns.items():
        check_needed(own, own, str(path))
    names = check_same_columns(columns)
    identity = identity_of(names, table)
    kinds = dict(identity_kinds(paths, identity))
    seen = seen_values(paths, [name for name in names if name not in kinds])
    _refuse_text_in_some(seen, table)
    kinds |= {name: values.kind for name, values in seen.items()}
    kinds = {name: pl.String() if kinds[name] == pl.Null else kinds[name] for name in names}
    given = _of_folders(table, paths, names)
    left_out = find_files(table.path, "dataset.path").notes
    for note in left_out:
        log.info("%s", note)
    metadata = {LEFT_OUT_KEY: json.dumps(left_out)} if left_out else {}
    rows = [
        _write_shard(path, kinds, set(identity), folders, metadata, shard)
        for path, folders, shard in zip(paths, given, shards, strict=True)
    ]
    if not sum(rows):
        raise InputError(f"{table.path} has no rows; set dataset.path")
    made = zip(paths, shards, rows, strict=True)
    _refuse_copies([(path, shard) for path, shard, n_rows in made if n_rows])
    text = [name for name, kind in kinds.items() if kind == pl.String()]
    log.info(
        "%s: %s rows, %s columns, of which text: %s",
        *(table.path, f"{sum(rows):,}", f"{len(names):,}", first_names(text) if text else "none"),
    )


def _refuse_copies(made: Sequence[tuple[Path, str | PathLike]]) -> None:
    """Refuse two files of text whose shards are the same; shards of other sizes are not read."""
    sizes = [Path(shard).stat().st_size for _, shard in made]
    alike = [each for each, size in zip(made, sizes, strict=True) if sizes.count(size) > 1]
    for fault in copies((path, content_digest(shard)) for path, shard in alike):
        raise InputError(fault)


def identity_of(names: Sequence[str], table: Table) -> dict[str, str]:
    """The columns of a text table that name or describe rows, and what is known of their types."""
    labels = table.labels
    named = [labels.group, labels.label, *([labels.position] if labels.position else [])]
    described = [name for pattern in table.metadata for name in matching(pattern, names)]
    kinds = {name: "" for name in [*named, *described] if name in names}
    texts = [labels.label] if labels.label in names else []
    texts += [name for pattern in table.categorical for name in matching(pattern, names)]
    return kinds | dict.fromkeys(texts, "text")


def _refuse_text_in_some(seen: Mapping[str, Values], table: Table) -> None:
    """Refuse a column that would be a feature but for a few files, and name the first of them."""
    excluded = {n for pattern in table.exclude for n in matching(pattern, list(seen))}
    for name, values in seen.items():
        if name in excluded or values.text_in is None or values.number_in is None:
            continue
        path, word = values.text_in
        if path != values.number_in:
            raise InputError(
                f"{path}: column '{name}' holds {word!r}, and numbers in {values.number_in}; "
                "write numbers, or list the column in dataset.categorical, dataset.metadata or "
                "dataset.exclude"
            )


def _of_folders(
    table: Table, paths: Sequence[Path], names: Sequence[str]
) -> list[dict[str, str | None]]:
    """Columns that the folders of each file stand for: those of the files, or of the config."""
    folders = [folder_columns(table.path, path) for path in paths]
    common = [name for name in folders[0] if all(name in each for each in folders)]
    wanted = {table.labels.group, table.labels.label, *names}
    for pattern in (*table.metadata, *table.exclude, *table.categorical):
        wanted.update(matching(pattern, common))
    return [{name: each[name] for name in common if name in wanted} for each in folders]


def _write_shard(
    path: Path,
    kinds: Mapping[str, pl.DataType],
    identity: set[str],
    folders: Mapping[str, str | None],
    metadata: Mapping[bytes, str],
    shard: str | PathLike,
) -> int:
    """Write a file as Parquet, and give its number of rows."""
    exact = {name: kind for name, kind in kinds.items() if name in identity or kind == pl.String()}
    own = {name: value for name, value in folders.items() if name not in kinds}
    added = [pl.lit(value, pl.String).alias(name) for name, value in own.items()]
    stored = pl.DataFrame(schema={**kinds, **dict.fromkeys(own, pl.String())})
    schema = _arrow(stored).schema.with_metadata(metadata)

    def tables() -> Iterator[pa.Table]:
        for frame in text_frames(path, list(kinds), exact):
            typed = frame.cast(dict(kinds))
            for name in folders.keys() & kinds.keys():
                values = typed[name].cast(pl.String).unique().to_list()
                check_folder_column(path, name, values, folders[name])
            yield _arrow(typed.with_columns(added)).cast(schema)

    rows = 0
    with whole(shard) as temporary, pq.ParquetWriter(temporary, schema, compression="zstd") as out:
        for group in _row_groups(tables()):
            out.write_table(group)
            rows += group.num_rows
    (log.info if rows else log.warning)("%s: %s rows", path, f"{rows:,}")
    return rows


def _arrow(frame: pl.DataFrame) -> pa.Table:
    return frame.to_arrow(compat_level=pl.CompatLevel.oldest())


def _row_groups(tables: Iterable[pa.Table]) -> Iterator[pa.Table]:
    """Put pieces of a table together into row groups of `ROW_GROUP_BYTES`.

    The writer keeps 2 kB of each column of a row group until the file ends.
    """
    waiting: list[pa.Table] = []
    for table in tables:
        waiting.append(table)
        if sum(each.nbytes for each in waiting) >= ROW_GROUP_BYTES:
            yield pa.concat_tables(waiting)
            waiting = []
    if waiting:
        yield pa.concat_tables(waiting)
