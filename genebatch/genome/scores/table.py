"""Score tracks from a table: the entries of one gene at a time, in any order of rows."""

import logging
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple, Self

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from genebatch.genome.genes import SITES, Gene
from genebatch.genome.scores.checks import refuse_unscored
from genebatch.genome.scores.rows import CheckedRows, ParquetRows, open_rows
from genebatch.genome.scores.sorting import Places, find_places, sorted_copy
from genebatch.io.files import InputError, first_names
from genebatch.io.tables import open_shard

log = logging.getLogger(__name__)

# A gene is read by decoding its row group, some ms for so many rows; a small table is decoded once.
GROUP_ROWS = 1 << 18
HELD_ROWS = 1 << 20


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
        Gene id to first row and number of rows; positions ascend within.
    folder
        A temporary folder that goes with the tracks, if there is one.
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
        self._held: tuple[int, pa.Table] | None = None
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
        """Close the file; a temporary one goes."""
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
        scores = [table[name].to_numpy().astype(np.float32) for name in SITES]
        return Entries(table["position"].to_numpy().astype(np.int64), np.stack(scores))

    def _group(self, group: int) -> pa.Table:
        if self._held is None or self._held[0] != group:
            self._held = None
            path, number, _ = self._groups[group]
            if self._file is None or self._file[0] != path:
                self._close_file()
                self._file = (path, open_shard(path))
            columns = ["position", *SITES]
            table = self._file[1].read_row_group(number, columns=columns, use_threads=False)
            self._held = (group, table)
        return self._held[1]

    def _close_file(self) -> None:
        if self._file is not None:
            self._file[1].close()


def _row_groups(path: Path) -> Iterator[tuple[Path, int, int]]:
    """Path, number and rows of each row group of a file."""
    with open_shard(path) as file:
        for group in range(file.num_row_groups):
            yield path, group, file.metadata.row_group(group).num_rows


def open_table(source: str | Path, genes: Sequence[Gene], unscored: str, key: str) -> TableTracks:
    """Open a score table as `genebatch.genome.scores.tracks.open_scores` says."""
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
    """Log what was found; refuse genes without a score unless those count as 0."""
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
    """Say how the ids of genes without scores resemble those of scores without genes."""
    for gene in silent:
        if gene.name in rows.ignored:
            return f"; its ids look like gene names: {gene.name!r} is gene {gene.id!r}"
    bare = {name.partition(".")[0]: name for name in sorted(rows.ignored)}
    for gene in silent:
        near = bare.get(gene.id.partition(".")[0])
        if near:
            return f"; its ids have other versions: {near!r} there, {gene.id!r} in the gene models"
    if len(silent) < len(rows.genes):
        return ""
    return f"; it has scores of {first_names(sorted(rows.ignored)) or 'no gene at all'}"
