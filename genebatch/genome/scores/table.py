"""Reads base scores from a table, one gene at a time.

Rows may be in any order: a table that is not sorted by gene is sorted into a temporary copy first.
"""

import logging
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple, Self

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from genebatch.genome.gene_ids import id_hint
from genebatch.genome.genes import SITES, Gene
from genebatch.genome.scores.checks import refuse_unscored
from genebatch.genome.scores.rows import CheckedRows, ParquetRows, open_rows
from genebatch.io.files import InputError, first_names
from genebatch.io.numbers import clipped
from genebatch.io.tables import open_shard

log = logging.getLogger(__name__)

# A sorted table is read where it lies, if its row groups have at most so many rows: reading a gene
# decodes its row group, which takes some ms. A table of at most HELD_ROWS is decoded only once.
GROUP_ROWS = 1 << 18
HELD_ROWS = 1 << 20
STORED = pa.schema({"position": pa.int32(), "donor": pa.float32(), "acceptor": pa.float32()})
STORED_ROWS = 1 << 15  # of a row group of the sorted copy: 0.4 MB, decoded to read a gene
BUCKET_NT = 1 << 21  # total length of the genes that are sorted at once; 100 MB if all are scored
ENTRY = np.dtype(
    [("row", "i8"), ("code", "i4"), ("position", "i4"), ("donor", "f4"), ("acceptor", "f4")]
)

Places = dict[int, tuple[int, int]]  # gene code to its first row and number of rows


class Entries(NamedTuple):
    """Scores of a gene: (n,) ascending gene positions, (2, n) float32 donor and acceptor."""

    positions: np.ndarray
    scores: np.ndarray


class TableTracks:
    """Scores of genes whose entries lie together in Parquet files; a context manager.

    Holds the place of every gene, one row group, and the entries of one gene.

    Parameters
    ----------
    paths
        Parquet files with position, donor, acceptor; rows are counted over all of them.
    spans
        Gene id to first row and number of rows; the positions of a gene ascend.
    folder
        A temporary folder to remove when the tracks are closed, if there is one.
    """

    def __init__(
        self,
        paths: Sequence[Path],
        spans: dict[str, tuple[int, int]],
        folder: tempfile.TemporaryDirectory | None = None,
    ):
        self._spans, self._folder = spans, folder
        self._groups = [group for path in paths for group in _row_groups(path)]
        self._starts = np.cumsum([0, *(rows for *_, rows in self._groups)])
        self._file: tuple[Path, pq.ParquetFile] | None = None
        self._kept: tuple[int, pa.Table] | None = None
        self._gene: tuple[str, Entries] | None = None

    def fetch(self, gene: Gene, start: int, end: int) -> np.ndarray:
        """Donor and acceptor scores of gene positions start to end - 1.

        Returns
        -------
        np.ndarray
            (2, end - start) float32, 0 where the table has no entry and outside of the gene.
        """
        if self._gene is None or self._gene[0] != gene.id:
            self._gene = (gene.id, self._entries(gene.id))
        positions, scores = self._gene[1]
        inside = slice(*np.searchsorted(positions, (start, end)))
        track = np.zeros((2, end - start), dtype=np.float32)
        track[:, positions[inside] - start] = scores[:, inside]
        return track

    def close(self) -> None:
        """Close the file and remove a temporary one."""
        self._close_file()
        if self._folder is not None:
            self._folder.cleanup()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def _entries(self, gene: str) -> Entries:
        if gene not in self._spans:
            raise InputError(f"the scores were opened without gene {gene!r}")
        first, count = self._spans[gene]
        if not count:
            return Entries(np.empty(0, np.int64), np.empty((2, 0), np.float32))
        low, high = np.searchsorted(self._starts, (first, first + count - 1), side="right") - 1
        parts = []
        for group in range(low, high + 1):
            offset = max(first - self._starts[group], 0)
            parts.append(self._group(group)[offset : first + count - self._starts[group]])
        table = pa.concat_tables(parts)
        scores = np.stack([table[name].to_numpy().astype(np.float32) for name in SITES])
        return Entries(table["position"].to_numpy().astype(np.int64), clipped(scores))

    def _group(self, group: int) -> pa.Table:
        if self._kept is None or self._kept[0] != group:
            self._kept = None  # so that only one row group is held
            path, number, _ = self._groups[group]
            if self._file is None or self._file[0] != path:
                self._close_file()
                self._file = (path, open_shard(path))
            columns = ["position", *SITES]
            table = self._file[1].read_row_group(number, columns=columns, use_threads=False)
            self._kept = (group, table)
        return self._kept[1]

    def _close_file(self) -> None:
        if self._file is not None:
            self._file[1].close()


def _row_groups(path: Path) -> Iterator[tuple[Path, int, int]]:
    """Path, number and rows of each row group of a file."""
    with open_shard(path) as file:
        for group in range(file.num_row_groups):
            yield path, group, file.metadata.row_group(group).num_rows


def open_table(source: str | Path, genes: Sequence[Gene], unscored: str, key: str) -> TableTracks:
    """Open a score table, see `genebatch.genome.scores.tracks.open_scores`."""
    table = open_rows(source, key)
    rows = CheckedRows(table, genes)
    if isinstance(table, ParquetRows) and (
        table.largest_group <= GROUP_ROWS or table.rows <= HELD_ROWS
    ):
        places = find_places(rows)
        if places is not None:
            _check_scored(source, rows, places, unscored, key)
            return TableTracks(table.paths, _spans(genes, places))
    folder = tempfile.TemporaryDirectory(prefix="genebatch-scores-")
    try:
        path = Path(folder.name, "sorted.parquet")
        places = sorted_copy(rows, path)
        size = path.stat().st_size / 1e6
        log.info("%s: entries sorted by gene into %s (%.1f MB)", source, path, size)
        _check_scored(source, rows, places, unscored, key)
        return TableTracks([path], _spans(genes, places), folder)
    except BaseException:
        folder.cleanup()
        raise


def _spans(genes: Sequence[Gene], places: Places) -> dict[str, tuple[int, int]]:
    return {gene.id: places.get(code, (0, 0)) for code, gene in enumerate(genes)}


def _check_scored(
    source: str | Path, rows: CheckedRows, places: Places, unscored: str, key: str
) -> None:
    """Log the numbers of entries and genes; refuse genes without a score, see `unscored`."""
    log.info(
        "%s: %s entries of %s genes; %s genes that are not asked for are ignored",
        source,
        f"{sum(count for _, count in places.values()):,}",
        f"{len(places):,}",
        f"{len(rows.ignored):,}",
    )
    silent = [gene for code, gene in enumerate(rows.genes) if code not in places]
    hint = _hint(silent, rows)
    refuse_unscored(str(source), silent, len(rows.genes), unscored, key, hint)


def _hint(silent: Sequence[Gene], rows: CheckedRows) -> str:
    """Say how the ids of genes without scores resemble ids in the table."""
    hint = id_hint(silent, rows.ignored)
    if hint or len(silent) < len(rows.genes):
        return hint
    return f"; it has scores of {first_names(sorted(rows.ignored)) or 'no gene at all'}"


def find_places(rows: CheckedRows) -> Places | None:
    """Find the entries of each gene in a sorted table; None if the table is not sorted.

    Sorted means: the rows of a gene follow each other, and their positions ascend. Streams the
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

    Streams the table into files beside `path`, each for some of the genes, and sorts them one by
    one. Holds the entries of one such file.

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
    """Write entries into one file per `BUCKET_NT` of genes; yield the files in order."""
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
