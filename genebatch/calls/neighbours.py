"""Finds the positions around annotated sites of genes, and scores them along the gene."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import polars as pl

from genebatch.calls.evaluation.reading import read_tracks
from genebatch.features.along_gene import Genome, gene_blocks
from genebatch.features.gene_rows import Sites, label_sites
from genebatch.features.training_table import BLOCK
from genebatch.genome.genes import SITES, Gene
from genebatch.metrics.neighbours import (
    ABSENT,
    OTHER,
    draw_sites,
    of_own_class,
    score_names,
    windows_of,
)
from genebatch.model.ensemble import EnsembleModel

ROWS = 4_096  # that wait for a model; a frame of 1,187 columns of them takes 40 MB
SCORES = score_names(SITES)


def site_windows(
    batch: str,
    genes: Sequence[Gene],
    foreign: Mapping[str, np.ndarray],
    n_sites: int,
    seed: int,
) -> pl.DataFrame:
    """Draw annotated sites of some genes, and give the positions around them.

    Parameters
    ----------
    batch
        Whose genes they are: a batch, or `metrics.neighbours.TEST`.
    genes
        The genes; a site is drawn with its own gene.
    foreign
        Gene id to positions whose label is not known, see `genes.foreign_sites`.
    n_sites, seed
        See `metrics.neighbours.draw_sites`.

    Returns
    -------
    polars.DataFrame
        Windows, see `metrics.neighbours`, without scores, but with the position `at`.
    """
    labelled = {gene.id: label_sites(gene, foreign[gene.id]) for gene in genes}
    pieces = [
        pl.DataFrame({"gene": name, "class": kind, "position": positions})
        for name, sites in labelled.items()
        for kind, positions in zip(SITES, (sites.donors, sites.acceptors), strict=True)
    ]
    kinds = {"gene": pl.String, "class": pl.String, "position": pl.Int64}
    sites = pl.concat([pl.DataFrame(schema=kinds), *(piece.cast(kinds) for piece in pieces)])
    drawn = draw_sites(sites, n_sites, seed).with_columns(pl.lit(batch).alias("batch"))
    windows = windows_of(drawn)
    lengths = {gene.id: gene.length for gene in genes}
    parts = [
        _left_out(part, labelled[name], lengths[name])
        for (name,), part in windows.partition_by("gene", as_dict=True).items()
    ]
    return pl.concat([windows.clear().with_columns(_text([])), *parts])


def score_windows(
    windows: pl.DataFrame,
    genome: Genome,
    genes: Sequence[Gene],
    models: Mapping[str, EnsembleModel],
) -> pl.DataFrame:
    """Score windows as calling does: features along the gene, then the model.

    Holds one block of one gene, and the features of `ROWS` positions.

    Parameters
    ----------
    windows
        What `site_windows` gives.
    genome
        Sequence, base scores and features.
    genes
        The genes of the windows, and maybe others.
    models
        Gene id to the model that scores it. Genes of a model are scored together.

    Returns
    -------
    polars.DataFrame
        Windows, see `metrics.neighbours`.
    """
    wanted = _positions(windows)
    by_model: dict[int, list[Gene]] = {}
    for gene in genes:
        if gene.id in wanted:
            by_model.setdefault(id(models[gene.id]), []).append(gene)
    scored = [
        _predicted(rows, models[members[0].id])
        for members in by_model.values()
        for rows in _gathered(_rows(genome, members, wanted))
    ]
    return _filled(windows, scored)


def read_windows(windows: pl.DataFrame, tracks: str | Path, genes: Sequence[Gene]) -> pl.DataFrame:
    """Read the scores of windows from complete tracks, as `score_windows` gives them.

    Parameters
    ----------
    windows
        What `site_windows` gives.
    tracks, genes
        A positions file in mode "meta" and all its genes, see `reading.read_tracks`.
    """
    wanted = _positions(windows)
    scored = []
    for place, scores in read_tracks(tracks, genes):
        name = genes[place].id
        if name in wanted:
            values = scores[:, :, wanted[name]].reshape(len(SCORES), -1)
            known = {"gene": [name] * len(wanted[name]), "at": wanted[name]}
            scored.append(pl.DataFrame(known | dict(zip(SCORES, values, strict=True))))
    return _filled(windows, scored)


def _left_out(windows: pl.DataFrame, sites: Sites, length: int) -> pl.DataFrame:
    """Mark the positions of one gene's windows that are left out."""
    at, kind = windows["at"].to_numpy(), windows["class"].to_numpy()
    own = windows["offset"].to_numpy() == 0
    other = np.isin(at, sites.left_out)
    for name, positions in zip(SITES, (sites.donors, sites.acceptors), strict=True):
        other |= (kind == name) & np.isin(at, positions)
    absent = (at < 0) | (at >= length)
    reasons = np.select([absent, other & ~own], [ABSENT, OTHER], default="")
    return windows.with_columns(_text(reasons))


def _text(reasons: Sequence[str] | np.ndarray) -> pl.Series:
    column = pl.Series("left_out", list(reasons), dtype=pl.String)
    return column.replace({"": None})


def _positions(windows: pl.DataFrame) -> dict[str, np.ndarray]:
    """Gene id to the sorted positions that are scored, each once."""
    scored = windows.filter(pl.col("left_out").is_null())
    return {
        name: np.unique(part["at"].to_numpy())
        for (name,), part in scored.partition_by("gene", as_dict=True).items()
    }


class _Rows(NamedTuple):
    """Positions of genes: `gene`, `at` and base scores, and their features."""

    known: pl.DataFrame
    features: pl.DataFrame


def _rows(
    genome: Genome, genes: Sequence[Gene], wanted: Mapping[str, np.ndarray]
) -> Iterator[_Rows]:
    """Yield the wanted positions block by block."""
    for gene in genes:
        positions = wanted[gene.id]
        for block in gene_blocks(genome, gene, BLOCK):
            here = positions[slice(*np.searchsorted(positions, (block.start, block.stop)))]
            if len(here):
                base = block.scores[:, here - block.start]
                known = {"gene": [gene.id] * len(here), "at": here}
                known |= dict(zip(SCORES, base, strict=False))
                yield _Rows(pl.DataFrame(known), block.features(here))


def _gathered(pieces: Iterable[_Rows]) -> Iterator[_Rows]:
    """Join pieces until they have `ROWS` rows."""
    waiting: list[_Rows] = []
    for piece in pieces:
        waiting.append(piece)
        if sum(rows.known.height for rows in waiting) >= ROWS:
            yield _Rows(*map(pl.concat, zip(*waiting, strict=True)))
            waiting = []
    if waiting:
        yield _Rows(*map(pl.concat, zip(*waiting, strict=True)))


def _predicted(rows: _Rows, model: EnsembleModel) -> pl.DataFrame:
    """The positions with their base scores and the model's probabilities."""
    probability = model.frame_predictions(rows.features).probability
    columns = [list(model.classes).index(name) for name in SITES]
    values = zip(SCORES[len(SITES) :], probability[:, columns].T, strict=True)
    return rows.known.with_columns(pl.Series(name, column) for name, column in values)


def _filled(windows: pl.DataFrame, scored: Sequence[pl.DataFrame]) -> pl.DataFrame:
    """Windows with the scores of their class at each position."""
    kinds = {"gene": pl.String, "at": pl.Int64} | dict.fromkeys(SCORES, pl.Float32)
    table = pl.concat([pl.DataFrame(schema=kinds), *(part.cast(kinds) for part in scored)])
    rows = windows.join(table, on=["gene", "at"], how="left", maintain_order="left")
    return of_own_class(rows, SITES)
