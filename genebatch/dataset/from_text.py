"""Writes a table of text as a Parquet shard, which every later rule reads."""

import logging
from collections.abc import Mapping
from os import PathLike

import polars as pl
import pyarrow.parquet as pq

from genebatch.config.settings import Table
from genebatch.dataset.columns import matching
from genebatch.io.files import InputError, first_names, whole
from genebatch.io.text_tables import table_kinds, text_columns, text_frames

log = logging.getLogger(__name__)

ROW_GROUP = 8_192  # rows


def identity_of(names: list[str], table: Table) -> dict[str, str]:
    """The columns of a text table that name or describe rows, and what is known of their types."""
    labels = table.labels
    named = [labels.group, labels.label, *([labels.position] if labels.position else [])]
    described = [name for pattern in table.metadata for name in matching(pattern, names)]
    kinds = {name: "" for name in [*named, *described] if name in names}
    return kinds | ({labels.label: "text"} if labels.label in names else {})


def shard_of_text(source: str | PathLike, table: Table, shard: str | PathLike) -> None:
    """Write a text table as Parquet, in the order of its rows, whole.

    Columns have the smallest type that holds all of their values. Columns of text that are no
    metadata stay text, and the screen leaves them out of the features. Reads the file twice, and
    three times with identity columns. Holds `text_tables.BLOCK_BYTES` of text and a row group.

    Parameters
    ----------
    source
        CSV, TSV or another text with a line of names; plain or gzip.
    table
        The section `dataset`.
    shard
        Parquet file to write.

    Raises
    ------
    InputError
        If the file is broken, or has no rows.
    """
    names = text_columns(source)
    identity = identity_of(names, table)
    kinds = table_kinds(source, identity)
    text = [name for name, kind in kinds.items() if kind == pl.String()]
    exact = {name: kinds[name] for name in {*identity, *text}}
    n_rows = 0
    schema = pl.DataFrame(schema=kinds).to_arrow(compat_level=pl.CompatLevel.oldest()).schema
    with whole(shard) as temporary, pq.ParquetWriter(temporary, schema, compression="zstd") as out:
        for frame in text_frames(source, names, exact):
            rows = _cast(frame, kinds).to_arrow(compat_level=pl.CompatLevel.oldest())
            out.write_table(rows.cast(schema), row_group_size=ROW_GROUP)
            n_rows += frame.height
        if not n_rows:
            raise InputError(f"{source} has no rows; set dataset.path")
    log.info(
        "%s: %s rows, %s columns, of which text: %s",
        *(source, f"{n_rows:,}", f"{len(names):,}", first_names(text) if text else "none"),
    )


def _cast(frame: pl.DataFrame, kinds: Mapping[str, pl.DataType]) -> pl.DataFrame:
    return frame.with_columns(frame[name].cast(kind) for name, kind in kinds.items())
