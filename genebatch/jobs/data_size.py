"""How large a data set is, as the footers of its files say."""

from collections.abc import Sequence
from pathlib import Path

import pyarrow as pa

from genebatch.io.tables import open_shard
from genebatch.jobs.memory import DataSet

TEXT_BYTES = 24  # of a value without a fixed width


def data_size(shards: Sequence[str | Path]) -> DataSet:
    """Size of a data set; reads the footers of its shards, one at a time, and no rows."""
    rows = largest = footer = 0
    for path in shards:
        with open_shard(path) as file:
            metadata, schema = file.metadata, file.schema_arrow
        rows += metadata.num_rows
        footer = max(footer, metadata.serialized_size)
        groups = (metadata.row_group(number) for number in range(metadata.num_row_groups))
        largest = max([largest, *(group.total_byte_size for group in groups)])
    row_bytes = sum(_width(kind) for kind in schema.types)
    return DataSet(rows, len(schema), row_bytes, largest, footer)


def groups_of(genes: str | Path) -> int:
    """Number of groups of a per-group table, from its footer."""
    with open_shard(genes) as file:
        return file.metadata.num_rows


def _width(kind: pa.DataType) -> int:
    try:
        return -(-kind.bit_width // 8)
    except ValueError:
        return TEXT_BYTES
