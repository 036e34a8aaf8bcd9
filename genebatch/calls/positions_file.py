"""Writes every position of a set of genes as Parquet, and counts the positions in the file."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from types import MappingProxyType
from typing import NamedTuple

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq

from genebatch.genome.genes import SITES, Gene, genomic_positions

POSITIONS, COVERAGE = "positions.parquet", "coverage.tsv"
# Most rows of a row group: 1 MB of two columns. A reader along the genome holds several of them.
ROW_GROUP = 131_072
# Row groups that a reader keeps. Walking along the genome, as many overlapping genes are read once.
KEPT_GROUPS = 16
# 17 bytes a position, where dictionaries take 28. Writing and reading take a third of the time.
ENCODINGS = {
    pa.int32(): "DELTA_BINARY_PACKED",
    pa.int64(): "DELTA_BINARY_PACKED",
    pa.float32(): "BYTE_STREAM_SPLIT",
}
ARROW = {pl.Float32(): pa.float32(), pl.UInt32(): pa.uint32()}  # of columns from tracks
# The names that `files.whole` gives the files of a call until they are finished.
ENDINGS = ["parquet", "bed", "tsv", "bw", "gff3", "xml", "gz", "tbi", "csi", "txt", "bb", "2bit"]
UNFINISHED = [f".????????.part.{ending}" for ending in ENDINGS]


class Positions(NamedTuple):
    """Scored successive positions of one gene or several.

    Attributes
    ----------
    stretches
        Gene, first gene position and number of positions.
    base, probability
        (n, classes) float32; `probability` is after a change of prevalence.
    deviation
        (n, classes) float32: standard deviation of the members' probabilities, before a change of
        prevalence. Only valid where `rescored`.
    rescored
        (n,) bool, whether the model scored the position.
    carried
        n rows, columns of tracks that give no features; no column where there are none.
    """

    stretches: list[tuple[Gene, int, int]]
    base: np.ndarray
    probability: np.ndarray
    deviation: np.ndarray
    rescored: np.ndarray
    carried: pl.DataFrame = pl.DataFrame()


def positions_schema(
    classes: Sequence[str],
    origin: Mapping[str, str],
    carried: Mapping[str, pl.DataType] = MappingProxyType({}),
) -> pa.Schema:
    """Columns of the positions file; `origin` becomes its metadata."""
    text = pa.dictionary(pa.int32(), pa.string())
    columns = {"gene_id": text, "chrom": text, "strand": text}
    columns |= {"position": pa.int32(), "genomic_position": pa.int64()}
    for kind in ("base", "probability", "std"):
        columns |= {f"{kind}_{name}": pa.float32() for name in classes}
    columns |= {"rescored": pa.bool_()} | {name: ARROW[kind] for name, kind in carried.items()}
    return pa.schema(columns, metadata=dict(origin))


def write_positions(
    path: str | Path,
    scored: Iterable[Positions],
    classes: Sequence[str],
    origin: Mapping[str, str],
    carried: Mapping[str, pl.DataType] = MappingProxyType({}),
) -> None:
    """Write every position in the order given; holds one `Positions`.

    Parameters
    ----------
    path
        Parquet file to write.
    scored
        Genes one after the other, each in transcript orientation.
    classes
        The columns of the arrays in `scored`.
    origin
        Metadata of the file.
    carried
        Names and types of the columns `carried`.
    """
    schema = positions_schema(classes, origin, carried)
    text = [field.name for field in schema if pa.types.is_dictionary(field.type)]
    encodings = {f.name: ENCODINGS[f.type] for f in schema if f.type in ENCODINGS}
    with pq.ParquetWriter(
        path, schema, compression="zstd", use_dictionary=text, column_encoding=encodings
    ) as writer:
        for positions in scored:
            writer.write_table(_table(positions, classes, schema), row_group_size=ROW_GROUP)


def count_coverage(
    path: str | Path, genes: Sequence[Gene], thresholds: Mapping[str, float]
) -> pl.DataFrame:
    """Count a positions file gene by gene, and check that it has every position once.

    Reads the columns that it needs, one row group at a time.

    Parameters
    ----------
    path
        The file.
    genes
        The genes that should be in it, in that order.
    thresholds
        Probability from which a position is called, by class.

    Returns
    -------
    polars.DataFrame
        A line per gene: `gene_id, chrom, strand, expected, written, rescored, rescored_share,
        donors, acceptors`.

    Raises
    ------
    RuntimeError
        Naming the first row with another position than expected.
    """
    number = {gene.id: place for place, gene in enumerate(genes)}
    starts = row_starts(genes)
    counts = np.zeros((2 + len(SITES), len(genes)), np.int64)
    columns = ["gene_id", "position", "rescored", *(f"probability_{name}" for name in SITES)]
    first = 0
    with pq.ParquetFile(path) as file:
        for group in range(file.num_row_groups):
            part = file.read_row_group(group, columns=columns)
            numbers = _gene_numbers(part["gene_id"], number)
            position = part["position"].to_numpy()
            _check_rows(path, genes, starts, first, numbers, position)
            flags = [np.ones(len(numbers), bool), part["rescored"].to_numpy()]
            flags += [called(part[f"probability_{n}"].to_numpy(), thresholds[n]) for n in SITES]
            for line, flag in zip(counts, flags, strict=True):
                line += np.bincount(numbers[flag], minlength=len(genes))
            first += len(numbers)
    if first != starts[-1]:
        gene = genes[int(np.searchsorted(starts, first, side="right")) - 1]
        raise RuntimeError(f"{path} ends after {first:,} of {starts[-1]:,} positions, in {gene.id}")
    return _coverage_table(genes, counts)


def remove_unfinished(folder: Path) -> None:
    """Remove the temporary files that a killed call left in a folder."""
    for pattern in UNFINISHED:
        for path in folder.glob(pattern):
            path.unlink()


def called(probability: np.ndarray, threshold: float) -> np.ndarray:
    """Whether float32 probabilities reach the threshold, rounded to float32 as well."""
    return probability >= np.float32(threshold)


def _table(positions: Positions, classes: Sequence[str], schema: pa.Schema) -> pa.Table:
    genes = [gene for gene, _, _ in positions.stretches]
    sizes = [size for _, _, size in positions.stretches]
    places = [np.arange(start, start + size) for _, start, size in positions.stretches]
    genomic = [genomic_positions(g, p) for g, p in zip(genes, places, strict=True)]
    columns = [_repeated([getattr(g, key) for g in genes], sizes) for key in ("id", "chrom")]
    columns += [_repeated([g.strand for g in genes], sizes)]
    columns += [np.concatenate(places).astype(np.int32), np.concatenate(genomic)]
    numbers = range(len(classes))
    columns += [values[:, n] for values in (positions.base, positions.probability) for n in numbers]
    known = positions.rescored[:, None] & ~np.isnan(positions.deviation)
    columns += [pa.array(positions.deviation[:, n], mask=~known[:, n]) for n in numbers]
    columns += [positions.rescored, *(column.to_numpy() for column in positions.carried)]
    return pa.Table.from_arrays([pa.array(column) for column in columns], schema=schema)


def _repeated(names: Sequence[str], sizes: Sequence[int]) -> pa.DictionaryArray:
    code_of = {name: code for code, name in enumerate(dict.fromkeys(names))}
    codes = np.repeat(np.array([code_of[name] for name in names], np.int32), sizes)
    return pa.DictionaryArray.from_arrays(codes, pa.array(list(code_of), pa.string()))


def row_starts(genes: Sequence[Gene]) -> np.ndarray:
    """First row of each gene, and the number of rows; (genes + 1,) int64."""
    return np.concatenate([[0], np.cumsum([gene.length for gene in genes])]).astype(np.int64)


def row_reader(file: pq.ParquetFile, columns: Sequence[str]) -> Callable[[int, int], np.ndarray]:
    """Make a function that reads rows `first` to `stop` as (rows, columns) float32.

    It keeps the last `KEPT_GROUPS` row groups.
    """
    sizes = [file.metadata.row_group(n).num_rows for n in range(file.num_row_groups)]
    starts = np.concatenate([[0], np.cumsum(sizes)])

    @lru_cache(maxsize=KEPT_GROUPS)
    def group(number: int) -> np.ndarray:
        part = file.read_row_group(number, columns=list(columns))
        return np.column_stack([part[name].to_numpy() for name in columns])

    def rows(first: int, stop: int) -> np.ndarray:
        low, high = np.searchsorted(starts, [first, stop - 1], side="right") - 1
        parts = [
            group(n)[max(first - starts[n], 0) : stop - starts[n]] for n in range(low, high + 1)
        ]
        return np.concatenate(parts)

    return rows


def _gene_numbers(ids: pa.ChunkedArray, number: Mapping[str, int]) -> np.ndarray:
    """Place of each row's gene among the genes, -1 for a gene that is not one of them."""
    numbers = [np.empty(0, np.int64)]
    for chunk in ids.chunks:
        by_code = np.array([number.get(name, -1) for name in chunk.dictionary.to_pylist()])
        numbers.append(by_code[chunk.indices.to_numpy()])
    return np.concatenate(numbers)


def _check_rows(
    path: str | Path,
    genes: Sequence[Gene],
    starts: np.ndarray,
    first: int,
    numbers: np.ndarray,
    position: np.ndarray,
) -> None:
    """Raise unless the rows from `first` on are the next positions of the next genes."""
    rows = first + np.arange(len(numbers))
    wanted = np.searchsorted(starts, rows, side="right") - 1
    inside = wanted < len(genes)
    wanted = np.minimum(wanted, len(genes) - 1)
    wrong = ~inside | (numbers != wanted) | (position != rows - starts[wanted])
    if wrong.any():
        at = int(wrong.argmax())
        expected = f"{genes[wanted[at]].id}:{rows[at] - starts[wanted[at]]:,}"
        raise RuntimeError(
            f"{path}, row {rows[at]:,}: position {position[at]:,} of gene number {numbers[at]}, "
            f"wanted {expected if inside[at] else 'the end'}; the coverage is not complete"
        )


def _coverage_table(genes: Sequence[Gene], counts: np.ndarray) -> pl.DataFrame:
    written, rescored, *calls = counts
    return pl.DataFrame(
        {
            "gene_id": [gene.id for gene in genes],
            "chrom": [gene.chrom for gene in genes],
            "strand": [gene.strand for gene in genes],
            "expected": [gene.length for gene in genes],
            "written": written,
            "rescored": rescored,
            "rescored_share": rescored / written,
            **{f"{name}s": line for name, line in zip(SITES, calls, strict=True)},
        }
    )
