"""Reads a number along the genome, such as conservation or coverage, from bigWig files."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from genebatch.config.tracks import Track
from genebatch.genome.contigs import find_contig
from genebatch.genome.evidence.checks import Assembly, Count, shared_contigs
from genebatch.genome.genes import STRANDS, Gene, genomic_span, stretches
from genebatch.genome.scores.bigwig import open_bigwig, read_values
from genebatch.io.files import InputError

BLOCK = 65_536  # positions read at a time to count values


class _File(NamedTuple):
    """An open file: its handle of pyBigWig, and the lengths of its chromosomes."""

    path: Path
    handle: Any
    lengths: dict[str, int]


class NumberTrack:
    """Values of a track in genomic coordinates.

    Holds the open files, and the values of one stretch of a gene.

    Parameters
    ----------
    track
        Its files: one for both strands, or one for each.
    genes
        The genes that will be asked for.
    assembly
        The genome.
    key
        The config key or flag that names the track.

    Raises
    ------
    InputError
        If a file is absent or no bigWig, has no chromosome of the genome, or another length of a
        chromosome with genes.
    """

    def __init__(self, track: Track, genes: Sequence[Gene], assembly: Assembly, key: str):
        self._key = key
        self._files: dict[str, _File] = {}
        try:
            for side, path in track.files.items():
                place = f"{key}.file" if side == "both" else f"{key}.strands.{side}"
                handle = open_bigwig(Path(path), place)
                file = _File(Path(path), handle, handle.chroms())
                signs = STRANDS.values() if side == "both" else [STRANDS[side]]
                self._files |= dict.fromkeys(signs, file)
                _check_assembly(file, genes, assembly, place)
        except BaseException:
            self.close()
            raise

    def values(self, gene: Gene, start: int, stop: int) -> np.ndarray:
        """Values of gene positions start to stop - 1, which may lie outside of the gene.

        Returns
        -------
        numpy.ndarray
            (stop - start,) float32 in transcript orientation; NaN where the file has no value, and
            outside of the chromosome.

        Raises
        ------
        InputError
            If the file is damaged or has an infinite value.
        """
        values = np.full(stop - start, np.nan, np.float32)
        file = self._files[gene.strand]
        chrom = find_contig(gene.chrom, file.lengths)
        if chrom is None:
            return values
        first, end = genomic_span(gene, start, stop)
        low, high = max(first, 0), min(end, file.lengths[chrom])
        if low < high:
            read = read_values(file.handle, file.path, chrom, low, high)
            self._refuse_infinite(file.path, chrom, low, read)
            values[low - first : high - first] = read
        return values if gene.strand == "+" else values[::-1]

    def counts(self, genes: Sequence[Gene]) -> Iterator[Count]:
        """Count the positions of genes with a value. Reads every gene once."""
        with_value = lacking = 0
        for gene in genes:
            parts = (self.values(gene, *stretch) for stretch in stretches(gene, BLOCK))
            found = sum(int(np.count_nonzero(~np.isnan(part))) for part in parts)
            with_value += found
            lacking += found == 0
        yield Count("positions of genes with a value", with_value, sum(g.length for g in genes))
        yield Count("genes without any value", lacking, len(genes))

    def close(self) -> None:
        """Close the files."""
        for file in {id(file): file for file in self._files.values()}.values():
            file.handle.close()

    def _refuse_infinite(self, path: Path, chrom: str, start: int, values: np.ndarray) -> None:
        wrong = np.flatnonzero(np.isinf(values))
        if wrong.size:
            raise InputError(
                f"{path} has an infinite value at {chrom}:{start + wrong[0] + 1:,}; wanted "
                f"numbers, and no value where nothing is known; set {self._key}"
            )


def _check_assembly(file: _File, genes: Sequence[Gene], assembly: Assembly, key: str) -> None:
    shared = shared_contigs(file.path, file.lengths, assembly, key)
    contigs = dict(assembly.contigs)
    with_genes = {find_contig(chrom, contigs) for chrom in {gene.chrom for gene in genes}}
    for name, contig in shared.items():
        own, wanted = file.lengths[name], contigs[contig]
        if contig in with_genes and own != wanted:
            raise InputError(
                f"{name} of {file.path} has {own:,} nt, but {contig} of {assembly.path} has "
                f"{wanted:,}; wanted the same assembly; set {key}"
            )
