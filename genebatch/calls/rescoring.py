"""Chooses the positions of genes that the model re-scores, and scores them."""

import logging
from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

import numpy as np
import polars as pl

from genebatch.calls.positions_file import Positions
from genebatch.features.along_gene import Genome, gene_blocks, score_blocks
from genebatch.features.positions import Spec
from genebatch.genome.genes import SITES, Gene
from genebatch.io.files import InputError
from genebatch.model.ensemble import EnsembleModel

log = logging.getLogger(__name__)

# Positions of a block, and rows that go through the model at once. A few rows cost as much as a
# thousand, so rows of several blocks and genes are gathered. Fastest of 2,048 to 32,768 rows.
ROWS = 16_384
# Most positions that wait for the model; they take 20 MB.
WAITING = 524_288
# Candidates for the lower end of a band: 0, then 100 per decade from 1e-9 to 1.
EDGES = np.concatenate([[0], np.logspace(-9, 0, 901)]).astype(np.float32)
# Warn if the smallest score is more than so many times that of the training. The smallest score of
# few positions is naturally larger than that of many.
CUT_SLACK = 3


class Band(NamedTuple):
    """The positions that the model re-scores: those with `low <= u < high`.

    u = max(donor, acceptor, floor of the features). A `high` of 1 or more means no upper end, so
    that a base score of exactly 1 is inside too. Compared in float32, the type of the scores.
    """

    low: float
    high: float

    def holds(self, scores: np.ndarray, floor: float) -> np.ndarray:
        """Whether each position of (2, n) scores is inside, (n,) bool."""
        uncertain = uncertainty(scores, floor)
        return (uncertain >= np.float32(self.low)) & below(uncertain, self.high)

    def __str__(self) -> str:
        if self == NOWHERE:
            return "nowhere"
        end = f" and below {self.high:g}" if self.high < 1 else ""
        return f"where the larger base score is at least {self.low:g}{end}"


# The bands of the modes `meta` and `base`; no score is above 1.
EVERYWHERE, NOWHERE = Band(0, 1), Band(2, 2)
MODES = ("meta", "hybrid", "base")


def band_of_mode(mode: str, band: tuple[float, float], target_share: float | None = None) -> Band:
    """Band of a mode; the mode `hybrid` has the band given.

    Raises
    ------
    InputError
        If the mode is unknown, the band does not rise, or a share is given in another mode.
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
    """`max(donor, acceptor, floor)` of each position of (2, n) scores, (n,)."""
    return np.maximum(scores.max(axis=0), np.float32(floor))


def below(uncertain: np.ndarray, high: float) -> np.ndarray:
    """Whether values of `uncertainty` are below the upper end of a band, (n,) bool."""
    return (uncertain < np.float32(high)) | (high >= 1)


def band_of_share(genome: Genome, genes: Sequence[Gene], share: float, high: float) -> Band:
    """Find the widest band below `high` that holds at most `share` of all positions.

    Makes one pass over the scores and fills a histogram between `EDGES`, so only the scores decide
    the result. If even the last bin holds too many, the band is `NOWHERE`.

    Parameters
    ----------
    genome
        Its scores and the floor of its features count.
    genes
        The genes whose positions are counted.
    share
        Above 0, at most 1.
    high
        Upper end of the band; 1 or more means none.
    """
    counts = np.zeros(len(EDGES), np.int64)
    for gene in genes:
        for block in score_blocks(genome.scores, gene):
            values = uncertainty(block, genome.spec.floor)
            inside = values[below(values, high)]
            bins = np.searchsorted(EDGES, inside, side="right") - 1
            counts += np.bincount(bins, minlength=len(EDGES))
    above = counts[::-1].cumsum()[::-1]
    # Compare quotients, not products: 123 / 300 is .41, but .41 * 300 is 122.99999999999999.
    fits = above / sum(gene.length for gene in genes) <= share
    fits &= below(EDGES, high)
    return Band(float(EDGES[fits.argmax()]), high) if fits.any() else NOWHERE


def score_positions(
    model: EnsembleModel, genome: Genome, genes: Iterable[Gene], band: Band
) -> Iterator[Positions]:
    """Score every position of some genes: by the model inside the band, by the base elsewhere.

    Parameters
    ----------
    model
        A model of the genome's features.
    genome
        Sequence, base scores and features.
    genes
        The genes, one after the other.
    band
        The positions that the model re-scores.

    Yields
    ------
    Positions
        Successive positions in transcript orientation, fewer than `WAITING + ROWS` of them. No
        value depends on their number. Holds the features of at most twice `ROWS` positions.
    """
    for pieces in _gathered(_pieces(genome, genes, band)):
        base = base_probabilities(np.hstack([piece.scores for piece in pieces]), model.classes)
        rescored = np.concatenate([piece.chosen for piece in pieces])
        probability, deviation = base.copy(), np.zeros_like(base)
        if rescored.any():
            rows = pl.concat([piece.rows for piece in pieces if piece.rows is not None])
            predicted = model.frame_predictions(rows)
            probability[rescored] = predicted.probability
            deviation[rescored] = predicted.deviation
        stretches = [(piece.gene, piece.start, len(piece.chosen)) for piece in pieces]
        carried = pl.concat([piece.carried for piece in pieces])
        yield Positions(stretches, base, probability, deviation, rescored, carried)


def warn_of_cut(
    scored: Iterable[Positions], model: EnsembleModel, source: str
) -> Iterator[Positions]:
    """Pass positions on, then warn if the base scores end far above those of the training.

    Weak sites that `source` leaves out are missing from the features of their neighbours. Does not
    warn if the model does not know where the scores of its training ended.
    """
    sites = [list(model.classes).index(name) for name in SITES]
    least = np.inf
    for positions in scored:
        larger = positions.base[:, sites].max(axis=1)
        least = min(least, float(larger.min(where=larger > 0, initial=np.inf)))
        yield positions
    facts = model.facts["sequence"]
    trained = facts.get("least_score")
    if trained is None or not np.isfinite(least):
        return
    limit = max(trained, Spec.build(facts["features"]).floor)
    if least > CUT_SLACK * limit:
        log.warning(
            "the base scores of %s end at %.3g, those of the training at %.3g: features around "
            "weak sites will differ from training; use scores cut at %.3g or lower",
            *(source, least, limit, limit),
        )


def base_probabilities(scores: np.ndarray, classes: Sequence[str]) -> np.ndarray:
    """Base scores of the classes from (2, n) tracks: neither = 1 - donor - acceptor, at least 0.

    Returns
    -------
    numpy.ndarray
        (n, classes) float32.
    """
    donor, acceptor = scores
    by_class = {"donor": donor, "acceptor": acceptor}
    by_class["neither"] = np.maximum(1 - donor.astype(np.float64) - acceptor, 0)
    return np.column_stack([by_class[name] for name in classes]).astype(np.float32)


class _Piece(NamedTuple):
    """A block of a gene that waits for the model.

    `rows` has the features of `chosen` positions, `carried` the columns of the calls of all.
    """

    gene: Gene
    start: int
    scores: np.ndarray
    chosen: np.ndarray
    rows: pl.DataFrame | None
    carried: pl.DataFrame


def _pieces(genome: Genome, genes: Iterable[Gene], band: Band) -> Iterator[_Piece]:
    for gene in genes:
        for part in gene_blocks(genome, gene, ROWS):
            chosen = band.holds(part.scores, genome.spec.floor)
            places = part.start + np.flatnonzero(chosen)
            rows = part.features(places) if len(places) else None
            carried = pl.DataFrame(genome.carried.of(gene, part.start, part.stop))
            yield _Piece(gene, part.start, part.scores, chosen, rows, carried)


def _gathered(pieces: Iterable[_Piece]) -> Iterator[list[_Piece]]:
    """Gather pieces until they have `ROWS` rows for the model or `WAITING` positions."""
    waiting: list[_Piece] = []
    rows = positions = 0
    for piece in pieces:
        waiting.append(piece)
        rows += 0 if piece.rows is None else piece.rows.height
        positions += len(piece.chosen)
        if rows >= ROWS or positions >= WAITING:
            yield waiting
            waiting, rows, positions = [], 0, 0
    if waiting:
        yield waiting
