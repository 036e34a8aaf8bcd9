"""Which positions of a gene the model re-scores, by one rule, and what it says of them."""

from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

import numpy as np
import polars as pl

from genebatch.call_files import Answer
from genebatch.files import InputError
from genebatch.gene_models import Gene
from genebatch.genome import Genome, gene_blocks, score_blocks
from genebatch.model import EnsembleModel

# Positions of a block, and rows that go through the model at once, where few cost as much as a
# thousand: where few positions are re-scored, those of several blocks and genes gather. Fastest of
# 2,048 to 32,768 rows.
ROWS = 16_384
# Positions that wait for that at most: 20 MB as they are held.
WAITING = 524_288
# Scores between which the lower end of a band is looked for: 0, then 100 a decade from 1e-9 to 1.
EDGES = np.concatenate([[0], np.logspace(-9, 0, 901)]).astype(np.float32)


class Band(NamedTuple):
    """Which positions the model re-scores: those with `low` <= u < `high`.

    u is the larger of the donor and the acceptor base score, and at least the floor of the
    features, below which scores are not told apart. Compared in float32, the scores' own type.
    """

    low: float
    high: float

    def holds(self, scores: np.ndarray, floor: float) -> np.ndarray:
        """Whether each position of (2, n) scores is inside, (n,) bool."""
        uncertain = uncertainty(scores, floor)
        return (uncertain >= np.float32(self.low)) & (uncertain < np.float32(self.high))


# The bands of the modes; that of `hybrid` is an argument.
EVERYWHERE, NOWHERE = Band(0, np.inf), Band(np.inf, np.inf)
MODES = ("meta", "hybrid", "base")


def band_of_mode(mode: str, band: tuple[float, float], target_share: float | None = None) -> Band:
    """Give the band of a mode; that of `hybrid` is `band`.

    Raises
    ------
    InputError
        If the mode is unknown, the band no band, or a share is wanted where it means nothing.
    """
    if mode not in MODES:
        raise InputError(f"call.mode or --mode is {mode!r}; known: {', '.join(MODES)}")
    if target_share is not None and not (mode == "hybrid" and 0 < target_share <= 1):
        raise InputError(
            f"call.target_share or --target-share is {target_share} in mode {mode}; wanted a share "
            "above 0 and at most 1, in mode hybrid"
        )
    if not 0 <= band[0] < band[1]:
        raise InputError(
            f"call.band or --band is {list(band)}; wanted two rising numbers from 0 on"
        )
    return {"meta": EVERYWHERE, "hybrid": Band(*band), "base": NOWHERE}[mode]


def uncertainty(scores: np.ndarray, floor: float) -> np.ndarray:
    """The larger of the donor and acceptor base score, at least the floor; (2, n) to (n,)."""
    return np.maximum(scores.max(axis=0), np.float32(floor))


def band_of_share(genome: Genome, genes: Sequence[Gene], share: float, high: float) -> Band:
    """The widest band below `high` that holds at most `share` of all positions.

    One pass over the scores fills a histogram between `EDGES`, so the result depends on nothing
    but the scores. Where even the last bin holds too many, the band is empty.

    Parameters
    ----------
    genome
        Whose scores and floor count.
    genes
        The genes whose positions are counted.
    share
        Above 0, at most 1.
    high
        Upper end of the band.
    """
    counts = np.zeros(len(EDGES), np.int64)
    for gene in genes:
        for block in score_blocks(genome.scores, gene):
            values = uncertainty(block, genome.spec.floor)
            inside = values[values < np.float32(high)]
            bins = np.searchsorted(EDGES, inside, side="right") - 1
            counts += np.bincount(bins, minlength=len(EDGES))
    above = counts[::-1].cumsum()[::-1]
    fits = above <= share * sum(gene.length for gene in genes)
    fits &= np.float32(high) > EDGES
    return Band(float(EDGES[fits.argmax()]), high) if fits.any() else Band(high, high)


def answers(
    model: EnsembleModel, genome: Genome, genes: Iterable[Gene], band: Band
) -> Iterator[Answer]:
    """Score every position of some genes, by the model inside the band and by the base elsewhere.

    Parameters
    ----------
    model
        Of the genome's features.
    genome
        Sequence, base scores and features.
    genes
        The genes, one after the other.
    band
        Which positions the model re-scores.

    Yields
    ------
    Answer
        Successive positions in transcript orientation, fewer than `ROWS` more than `WAITING` of
        them. No value depends on how many. Holds the features of at most twice `ROWS` positions.
    """
    for held in _gathered(_pieces(genome, genes, band)):
        base = base_probabilities(np.hstack([piece.scores for piece in held]), model.classes)
        rescored = np.concatenate([piece.chosen for piece in held])
        probability, deviation = base.copy(), np.zeros_like(base)
        if rescored.any():
            rows = pl.concat([piece.rows for piece in held if piece.rows is not None])
            members = model.frame_probabilities(rows)
            probability[rescored] = model.combine(members)
            deviation[rescored] = members.std(axis=1)
        stretches = [(piece.gene, piece.start, len(piece.chosen)) for piece in held]
        yield Answer(stretches, base, probability, deviation, rescored)


def base_probabilities(scores: np.ndarray, classes: Sequence[str]) -> np.ndarray:
    """Base scores of the classes from (2, n) tracks as given; neither is what they leave of 1.

    Returns
    -------
    numpy.ndarray
        (n, classes) float32.
    """
    donor, acceptor = scores
    known = {"donor": donor, "acceptor": acceptor}
    known["neither"] = np.maximum(1 - donor.astype(np.float64) - acceptor, 0)
    return np.column_stack([known[name] for name in classes]).astype(np.float32)


class _Piece(NamedTuple):
    """A block of a gene that waits for the model; `rows` are the features where `chosen`."""

    gene: Gene
    start: int
    scores: np.ndarray
    chosen: np.ndarray
    rows: pl.DataFrame | None


def _pieces(genome: Genome, genes: Iterable[Gene], band: Band) -> Iterator[_Piece]:
    for gene in genes:
        for part in gene_blocks(genome, gene, ROWS):
            chosen = band.holds(part.scores, genome.spec.floor)
            places = part.start + np.flatnonzero(chosen)
            rows = part.features(places) if len(places) else None
            yield _Piece(gene, part.start, part.scores, chosen, rows)


def _gathered(pieces: Iterable[_Piece]) -> Iterator[list[_Piece]]:
    """Pieces until they have `ROWS` rows for the model or `WAITING` positions."""
    held: list[_Piece] = []
    rows = positions = 0
    for piece in pieces:
        held.append(piece)
        rows += 0 if piece.rows is None else piece.rows.height
        positions += len(piece.chosen)
        if rows >= ROWS or positions >= WAITING:
            yield held
            held, rows, positions = [], 0, 0
    if held:
        yield held
