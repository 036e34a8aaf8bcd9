"""Writes calls and probabilities along the genome, as BED and bigWig files."""

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import quote

import numpy as np
import polars as pl
import pyarrow.parquet as pq

from genebatch.calls.positions_file import called, row_reader, row_starts
from genebatch.genome.genes import SITES, STRANDS, Gene
from genebatch.genome.scores.bigwig import bigwig_library

BED = "calls.bed"
BIGWIG = "{}.{}.bw"  # class, and plus or minus
BIGWIG_KEY = "call.bigwig or --bigwig"
BIGWIGS = {
    (name, strand): BIGWIG.format(name, word) for name in SITES for word, strand in STRANDS.items()
}
# Blue and vermilion of Okabe and Ito, which the colour blind tell apart; red, green, blue.
COLOURS = dict(zip(SITES, ("0,114,178", "213,94,0"), strict=True))
# nt of the genome that are read at once.
WINDOW = 262_144


class GeneStretch(NamedTuple):
    """Values of a gene in a window of the genome, (positions, columns), ascending from `start`."""

    gene: Gene
    start: int
    values: np.ndarray


class GenomeWindow(NamedTuple):
    """A window of a chromosome with the stretches of genes in it, in the order of the genes."""

    chrom: str
    start: int
    stop: int
    stretches: list[GeneStretch]


def windows(
    path: str | Path, genes: Sequence[Gene], columns: Sequence[str]
) -> Iterator[GenomeWindow]:
    """Walk along the genome over some columns of a positions file.

    Parameters
    ----------
    path
        A complete positions file.
    genes
        Its genes, in the order of the file.
    columns
        Float columns to read.

    Yields
    ------
    GenomeWindow
        Windows of `WINDOW` nt that hold a position of a gene, ascending. Holds one window and
        `KEPT_GROUPS` row groups, for genes of any length.
    """
    starts = row_starts(genes)
    with pq.ParquetFile(path) as file:
        read = row_reader(file, columns)
        for chrom, numbers in _by_chromosome(genes).items():
            last = max(genes[number].end for number in numbers)
            active: list[int] = []
            waiting = numbers[::-1]
            start = genes[numbers[0]].start // WINDOW * WINDOW
            while start < last:
                stop = start + WINDOW
                while waiting and genes[waiting[-1]].start < stop:
                    active.append(waiting.pop())
                active = [number for number in active if genes[number].end > start]
                if active:
                    yield GenomeWindow(
                        chrom,
                        start,
                        stop,
                        [_stretch(genes[n], int(starts[n]), start, stop, read) for n in active],
                    )
                start = stop


def write_bed(
    path: str | Path,
    positions: str | Path,
    genes: Sequence[Gene],
    thresholds: Mapping[str, float],
    origin: Mapping[str, str],
    notes: Sequence[str] = (),
) -> None:
    """Write the calls as BED9, sorted by chromosome and start.

    A call is one nt wide. Its name is `GENE:class`, its score 1000 times the probability, rounded,
    and its colour that of the class. The first lines are comments that state the thresholds,
    `origin` and `notes`. They begin with `#`, as all readers of BED expect. A `track` line is none
    of them: tabix, bigBed and readers of tables refuse it, see `ucsc.write_custom_track`.
    """
    columns = [f"probability_{name}" for name in SITES]
    with open(path, "wb") as stream:
        limits = ", ".join(f"{name} >= {thresholds[name]:.6g}" for name in SITES)
        stream.write(f"# probability of {limits}\n".encode())
        stream.writelines(f"# {key} {value}\n".encode() for key, value in origin.items())
        stream.writelines(f"# {note}\n".encode() for note in notes)
        for window in windows(positions, genes, columns):
            parts = [
                _calls(stretch, column, name, thresholds[name])
                for stretch in window.stretches
                for column, name in enumerate(SITES)
            ]
            lines = pl.concat(parts).sort("start", maintain_order=True)
            lines.write_csv(stream, separator="\t", include_header=False, quote_style="never")


def write_bigwigs(
    tracks: Mapping[tuple[str, str], str | Path],
    positions: str | Path,
    genes: Sequence[Gene],
    sizes: Mapping[str, int],
) -> None:
    """Write a bigWig file for each class and strand from a positions file.

    Every position of a gene has a value: the largest one, if genes of a strand overlap. Positions
    outside of genes have none. Walks along the genome once and holds a window.

    Parameters
    ----------
    tracks
        Class and strand ("+" or "-") to the file to write.
    positions
        A complete positions file.
    genes
        Its genes, in the order of the file.
    sizes
        Length of each chromosome in nt.
    """
    library = bigwig_library(BIGWIG_KEY)
    names = list(dict.fromkeys(name for name, _ in tracks))
    header = [(chrom, sizes[chrom]) for chrom in _by_chromosome(genes)]
    with ExitStack() as stack:
        files: dict[tuple[str, str], Any] = {}
        for key, path in tracks.items():
            files[key] = stack.enter_context(closing(library.open(str(path), "w")))
            files[key].addHeader(header)
        for window in windows(positions, genes, [f"probability_{name}" for name in names]):
            for (name, strand), file in files.items():
                for start, values in _runs(window, strand, names.index(name)):
                    file.addEntries(window.chrom, start, values=values, span=1, step=1)


def bed_name(name: str) -> str:
    """Escape as in a URL what ends a column or a line of BED for some reader, and the `%`."""
    return re.sub(r"[\s%\x00-\x1f\x7f]", lambda found: quote(found[0]), name)


def _calls(stretch: GeneStretch, column: int, name: str, threshold: float) -> pl.DataFrame:
    gene, values = stretch.gene, stretch.values[:, column]
    places = np.flatnonzero(called(values, threshold))
    start = stretch.start + places
    return pl.DataFrame(
        {
            "start": start,
            "end": start + 1,
            "score": np.rint(1000 * values[places].astype(np.float64)).astype(np.int64),
        }
    ).select(
        pl.lit(gene.chrom).alias("chrom"),
        "start",
        "end",
        pl.lit(f"{bed_name(gene.id)}:{name}").alias("name"),
        "score",
        pl.lit(gene.strand).alias("strand"),
        pl.col("start").alias("thick_start"),
        pl.col("end").alias("thick_end"),
        pl.lit(COLOURS[name]).alias("colour"),
    )


def _runs(window: GenomeWindow, strand: str, column: int) -> Iterator[tuple[int, np.ndarray]]:
    """Yield start and float32 values of each stretch without gaps on a strand."""
    highest = np.full(window.stop - window.start, np.nan, np.float32)
    for stretch in window.stretches:
        if stretch.gene.strand == strand:
            first = stretch.start - window.start
            part = highest[first : first + len(stretch.values)]
            np.fmax(part, stretch.values[:, column], out=part)
    filled = np.concatenate([[False], ~np.isnan(highest), [False]])
    edges = np.flatnonzero(filled[1:] != filled[:-1])
    for first, stop in zip(edges[::2].tolist(), edges[1::2].tolist(), strict=True):
        yield window.start + first, highest[first:stop]


def _by_chromosome(genes: Sequence[Gene]) -> dict[str, list[int]]:
    numbers: dict[str, list[int]] = {}
    for number in order_of_genes(genes):
        numbers.setdefault(genes[number].chrom, []).append(number)
    return numbers


def order_of_genes(genes: Sequence[Gene]) -> list[int]:
    """Numbers of genes by chromosome and start, as `sort -k1,1 -k2,2n` and bigBed order them.

    Genes of a file are sorted by its own names of chromosomes, which may not be those of the
    genome: MT and chrM are one there.
    """
    return sorted(range(len(genes)), key=lambda n: (genes[n].chrom, genes[n].start))


def _stretch(
    gene: Gene, row: int, start: int, stop: int, read: Callable[[int, int], np.ndarray]
) -> GeneStretch:
    low, high = max(gene.start, start), min(gene.end, stop)
    if gene.strand == "+":
        return GeneStretch(gene, low, read(row + low - gene.start, row + high - gene.start))
    return GeneStretch(gene, low, read(row + gene.end - high, row + gene.end - low)[::-1])
