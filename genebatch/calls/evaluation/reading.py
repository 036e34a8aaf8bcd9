"""Reads complete tracks from a positions file, gene by gene."""

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import polars as pl

from genebatch.genome.genes import SITES, Gene
from genebatch.io.files import InputError, scan_parquet
from genebatch.io.tables import record_batches

CANDIDATES = {"base": "base", "model": "probability"}  # candidate to the prefix of its columns


def read_tracks(path: str | Path, genes: Sequence[Gene]) -> Iterator[tuple[int, np.ndarray]]:
    """Stream complete tracks gene by gene, for row groups of any size.

    Holds one gene, 16 bytes per position.

    Parameters
    ----------
    path
        Positions file of a call in mode "meta": genes one after the other, each with every
        position in transcript orientation.
    genes
        The genes that must be in it, in any order.

    Yields
    ------
    tuple of int and numpy.ndarray
        Place of the gene among `genes`, and (candidates, sites, length) scores.

    Raises
    ------
    InputError
        Naming a gene that is missing, there twice, not asked for or incomplete; or a gene with
        scores that are no probabilities or not the model's.
    """
    place = {gene.id: number for number, gene in enumerate(genes)}
    missing = dict(place)
    open_gene: _GeneScores | None = None
    for name, piece in _pieces(path):
        if open_gene is None or open_gene.gene.id != name:
            if open_gene is not None:
                yield place[open_gene.gene.id], open_gene.complete()
            if missing.pop(name, None) is None:
                fact = "twice" if name in place else "but is no test gene of the gene models"
                raise InputError(f"{path} has gene '{name}' {fact}; call the test genes again")
            open_gene = _GeneScores(path, genes[place[name]])
        open_gene.add(piece)
    if open_gene is not None:
        yield place[open_gene.gene.id], open_gene.complete()
    if missing:
        raise InputError(
            f"{path} lacks {len(missing):,} of {len(genes):,} test genes (for example "
            f"'{min(missing)}'); call all of them again"
        )


def read_some_tracks(path: str | Path, genes: Sequence[Gene]) -> dict[str, np.ndarray]:
    """Read the tracks of a few genes of a file that `read_tracks` has read.

    Holds these genes, 16 bytes per position.

    Returns
    -------
    dict
        Gene id to (candidates, sites, length) scores.
    """
    name = pl.col("gene_id").cast(pl.String)
    wanted = scan_parquet(path).filter(name.is_in([gene.id for gene in genes]))
    rows = wanted.select(name, *_columns()).collect(engine="streaming")
    parts = rows.partition_by("gene_id", as_dict=True, include_key=False, maintain_order=True)
    shape = (len(CANDIDATES), len(SITES), -1)
    return {gene: part.to_numpy().T.reshape(shape) for (gene,), part in parts.items()}


class _GeneScores:
    """Collects the scores of one gene; refuses rows that are not its next positions."""

    def __init__(self, path: str | Path, gene: Gene):
        self.path, self.gene = path, gene
        self._scores: np.ndarray | None = None
        self._filled = 0

    def add(self, rows: pl.DataFrame) -> None:
        start, end = self._filled, self._filled + rows.height
        if not np.array_equal(rows["position"].to_numpy(), np.arange(start, end)):
            raise self._incomplete()
        if not rows["rescored"].all():
            raise InputError(
                f"{self.path}: gene '{self.gene.id}' has base scores in place of the model's; call "
                "the test genes in mode meta"
            )
        scores = rows.select(_columns()).to_numpy().T
        if not ((scores >= 0) & (scores <= 1)).all():
            raise InputError(
                f"{self.path}: gene '{self.gene.id}' has scores that are no probabilities"
            )
        if self._scores is None:
            self._scores = np.empty((len(scores), self.gene.length), scores.dtype)
        if end > self.gene.length:
            raise self._incomplete()
        self._scores[:, start:end] = scores
        self._filled = end

    def complete(self) -> np.ndarray:
        """The scores, (candidates, sites, length)."""
        if self._filled != self.gene.length:
            raise self._incomplete()
        return self._scores.reshape(len(CANDIDATES), len(SITES), -1)

    def _incomplete(self) -> InputError:
        return InputError(
            f"{self.path}: the rows of gene '{self.gene.id}' are not the positions 0 to "
            f"{self.gene.length - 1:,} of the gene models in order (the first "
            f"{self._filled:,} are); call the test genes again"
        )


def _pieces(path: str | Path) -> Iterator[tuple[str, pl.DataFrame]]:
    """Yield successive rows of one gene, with its name."""
    columns = ["gene_id", "position", "rescored", *_columns()]
    for batch in record_batches(path, columns):
        frame = pl.from_arrow(batch).with_columns(pl.col("gene_id").cast(pl.String))
        for piece in frame.partition_by("gene_id", maintain_order=True):
            yield piece.item(0, "gene_id"), piece


def _columns() -> list[str]:
    return [f"{prefix}_{name}" for prefix in CANDIDATES.values() for name in SITES]
