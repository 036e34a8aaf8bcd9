"""Which positions of a gene the model re-scores, by one rule, and what it says of them."""

import logging
from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

import numpy as np
import polars as pl

from genebatch.calls.positions_file import Answer
from genebatch.features.along_gene import Genome, gene_blocks, score_blocks
from genebatch.features.positions import Spec
from genebatch.genome.genes import SITES, Gene
from genebatch.io.files import InputError
from genebatch.model.ensemble import EnsembleModel

log = logging.getLogger(__name__)

# Positions of a block, and rows that go through the model at once, where few cost as much as a
# thousand: where few positions are re-scored, those of several blocks and genes gather. Fastest of
# 2,048 to 32,768 rows.
ROWS = 16_384
# Positions that wait for that at most: 20 MB as they are held.
WAITING = 524_288
# Scores between which the lower end of a band is looked for: 0, then 100 a decade from 1e-9 to 1.
EDGES = np.concatenate([[0], np.logspace(-9, 0, 901)]).astype(np.float32)
# Scores may end this many times above those of the training before that is worth a word: the
# smallest of few positions is larger than that of many.
CUT_SLACK = 3


class Band(NamedTuple):
    """Which positions the model re-scores: those with `low` <= u < `high`.

    u is the larger of the donor and the acceptor base score, and at least the floor of the
    features, below which scores are not told apart. A `high` of 1 or more is no upper end, so that
    a base score of exactly 1 is inside too. Compared in float32, the scores' own type.
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


# The bands of the modes; that of `hybrid` is an argument. No score is above 1.
EVERYWHERE, NOWHERE = Band(0, 1), Band(2, 2)
MODES = ("meta", "hybrid", "base")


def band_of_mode(mode: str, band: tuple[float, float], target_share: float | None = None) -> Band:
    """Give the band of a mode; that of `hybrid` is `band`, whose upper end from 1 on is none.

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


def below(uncertain: np.ndarray, high: float) -> np.ndarray:
    """Whether values of `uncertainty` are below the upper end of a band, (n,) bool."""
    return (uncertain < np.float32(high)) | (high >= 1)


def band_of_share(genome: Genome, genes: Sequence[Gene], share: float, high: float) -> Band:
    """The widest band below `high` that holds at most `share` of all positions.

    One pass over the scores fills a histogram between `EDGES`, so the result depends on nothing
    but the scores. Where even the last bin holds too many, the band is `NOWHERE`.

    Parameters
    ----------
    genome
        Whose scores and floor count.
    genes
        The genes whose positions are counted.
    share
        Above 0, at most 1.
    high
        Upper end of the band; none from 1 on.
    """
    counts = np.zeros(len(EDGES), np.int64)
    for gene in genes:
        for block in score_blocks(genome.scores, gene):
            values = uncertainty(block, genome.spec.floor)
            inside = values[below(values, high)]
            bins = np.searchsorted(EDGES, inside, side="right") - 1
            counts += np.bincount(bins, minlength=len(EDGES))
    above = counts[::-1].cumsum()[::-1]
    # As quotients, not products: 123 / 300 is .41, and .41 * 300 is 122.99999999999999.
    fits = above / sum(gene.length for gene in genes) <= share
    fits &= below(EDGES, high)
    return Band(float(EDGES[fits.argmax()]), high) if fits.any() else NOWHERE


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
        them; `deviation` is of the members' probabilities, before a change of prevalence, and
        `probability` after it. No value depends on how many. Holds the features of at most twice
        `ROWS` positions.
    """
    for held in _gathered(_pieces(genome, genes, band)):
        base = base_probabilities(np.hstack([piece.scores for piece in held]), model.classes)
        rescored = np.concatenate([piece.chosen for piece in held])
        probability, deviation = base.copy(), np.zeros_like(base)
        if rescored.any():
            rows = pl.concat([piece.rows for piece in held if piece.rows is not None])
            found = model.frame_predictions(rows)
            probability[rescored], deviation[rescored] = found.probability, found.deviation
        stretches = [(piece.gene, piece.start, len(piece.chosen)) for piece in held]
        yield Answer(stretches, base, probability, deviation, rescored)


def warn_of_cut(scored: Iterable[Answer], model: EnsembleModel, source: str) -> Iterator[Answer]:
    """Pass answers on, then warn if the base scores end far above those of the training.

    Weak sites that `source` leaves out are missing from the features of their neighbours. Where
    the model does not say how far down the scores of its training went, nothing is said.
    """
    sites = [list(model.classes).index(name) for name in SITES]
    least = np.inf
    for answer in scored:
        larger = answer.base[:, sites].max(axis=1)
        least = min(least, float(larger.min(where=larger > 0, initial=np.inf)))
        yield answer
    facts = model.facts["sequence"]
    trained = facts.get("least_score")
    if trained is None or not np.isfinite(least):
        return
    limit = max(trained, Spec.from_json(facts["features"]).floor)
    if least > CUT_SLACK * limit:
        log.warning(
            "the base scores of %s end at %.3g, those of the training at %.3g: features around "
            "weak sites will differ from training; use scores cut at %.3g or lower",
            *(source, least, limit, limit),
        )


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
