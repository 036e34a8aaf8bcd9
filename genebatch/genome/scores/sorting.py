"""Where the entries of each gene are in a score table, which is sorted where it has to be."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from genebatch.genome.scores.rows import CheckedRows
from genebatch.io.files import InputError

STORED = pa.schema({"position": pa.int32(), "donor": pa.float32(), "acceptor": pa.float32()})
STORED_ROWS = 1 << 15  # of a row group, which is decoded to read a gene: 0.4 MB
BUCKET_NT = 1 << 21  # length of the genes that are sorted at once: 100 MB where all are scored
ENTRY = np.dtype(
    [("row", "i8"), ("code", "i4"), ("position", "i4"), ("donor", "f4"), ("acceptor", "f4")]
)

Places = dict[int, tuple[int, int]]  # gene code to its first row and number of rows


def find_places(rows: CheckedRows) -> Places | None:
    """Find the entries of each gene in a table that is sorted; None if it is not.

    Sorted means that the rows of a gene follow each other, their positions ascending. Streams the
    table up to the first row that is out of order.
    """
    places: Places = {}
    last = (-1, -1, -1)
    for frame in filter(len, rows.frames()):
        row, code, position = (
            np.concatenate([[before], frame[name]])
            for before, name in zip(last, ("row", "code", "position"), strict=True)
        )
        last = (row[-1], code[-1], position[-1])
        continues = (np.diff(code) == 0) & (np.diff(row) == 1)
        starts = np.flatnonzero(~continues) + 1
        began = code[starts]
        if (
            (continues & (np.diff(position) <= 0)).any()
            or np.unique(began).size < began.size
            or not places.keys().isdisjoint(began.tolist())
        ):
            return None
        ends = np.append(starts, row.size)
        if ends[0] > 1:
            first, count = places[int(code[0])]
            places[int(code[0])] = (first, count + int(ends[0]) - 1)
        counts = np.diff(ends).tolist()
        places |= dict(
            zip(began.tolist(), zip(row[starts].tolist(), counts, strict=True), strict=True)
        )
    return places


def sorted_copy(rows: CheckedRows, path: Path) -> Places:
    """Write the entries of a table to a Parquet file, sorted by gene and position.

    Streams the table into files beside `path`, one for some genes each, and sorts these one by
    one. Holds the entries of one file.

    Raises
    ------
    InputError
        If a position of a gene has two entries.
    """
    places: Places = {}
    written = 0
    with pq.ParquetWriter(path, STORED, compression="zstd") as writer:
        for part in _buckets(rows, path.parent):
            entries = np.fromfile(part, dtype=ENTRY)
            part.unlink()
            entries = entries[np.lexsort((entries["row"], entries["position"], entries["code"]))]
            _refuse_repeats(entries, rows)
            codes, starts, counts = np.unique(
                entries["code"], return_index=True, return_counts=True
            )
            spans = zip((starts + written).tolist(), counts.tolist(), strict=True)
            places |= dict(zip(codes.tolist(), spans, strict=True))
            written += entries.size
            columns = {name: np.ascontiguousarray(entries[name]) for name in STORED.names}
            writer.write_table(pa.table(columns, schema=STORED), row_group_size=STORED_ROWS)
    return places


def _buckets(rows: CheckedRows, folder: Path) -> Iterator[Path]:
    """Deal entries into one file for every `BUCKET_NT` of genes; give the files in order."""
    lengths = np.array([gene.length for gene in rows.genes], dtype=np.int64)
    bucket_of = (np.cumsum(lengths) - lengths) // BUCKET_NT
    for frame in rows.frames():
        entries = np.empty(frame.height, dtype=ENTRY)
        for name in ENTRY.names:
            entries[name] = frame[name]
        buckets = bucket_of[entries["code"]]
        for bucket in np.unique(buckets):
            with (folder / f"{bucket}.entries").open("ab") as stream:
                stream.write(entries[buckets == bucket].tobytes())
    parts = (folder / f"{bucket}.entries" for bucket in np.unique(bucket_of))
    yield from (part for part in parts if part.exists())


def _refuse_repeats(entries: np.ndarray, rows: CheckedRows) -> None:
    repeated = (np.diff(entries["code"]) == 0) & (np.diff(entries["position"]) == 0)
    if repeated.any():
        first, second = entries[np.flatnonzero(repeated)[0] :][:2]
        raise InputError(
            f"{rows.source.where(second['row'])}: position {second['position']:,} of gene "
            f"{rows.genes[second['code']].id!r} is there before "
            f"({rows.source.where(first['row'])}); wanted one entry a position"
        )
