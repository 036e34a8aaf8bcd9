"""Computes what the chains of a gene say of its positions."""

from collections.abc import Sequence
from functools import cached_property

import numpy as np

from genebatch.features.structure.chain import LEAST, Chain, Nodes, Sums, log_sum
from genebatch.features.structure.coding import Fetch, count_pairs
from genebatch.features.structure.codons import CODON, N_CODONS, Codons
from genebatch.features.structure.exons import FIVE, PHASES, Exons
from genebatch.features.structure.model import StructureModel
from genebatch.features.structure.paths import Paths

CHANNELS = ("donor", "acceptor")
STRONG = 1e-3  # chains pass positions from this score on; .0001 was slower and no better
# At most one site in so many nt is strong, whatever the scores: time and memory have a bound.
SPACING = 100  # nt
FEWEST = 30  # sites that are strong in any gene
LIKELY = 0.5  # share of chains from which an exon teaches codons
BLOCK = 262_144  # nt of sequence read at a time
LARGEST_SCORE = 12.0  # log-odds; one score of 1 does not decide the chain
LARGEST = 30.0  # log-odds in the columns
NO_CHAIN = (-LARGEST, 0.0, 0.0)  # columns of a position that no chain can pass
NEVER = 1e-12  # least share of chains that leave a site out
COLUMNS = tuple(
    f"{channel}_chain_{name}" for channel in CHANNELS for name in ("logodds", "coding", "five")
)


class Structure:
    """The chains of sites of one gene.

    Blind to labels and to annotation but for the ends of the gene. Holds 500 bytes for each strong
    site, and one byte per four nt.

    Parameters
    ----------
    kept : sequence of (places, scores)
        Positions of the gene whose donor, and whose acceptor score reaches the floor, ascending.
    fetch
        Gives the codes of the gene between two positions, in transcript orientation.
    length
        Length of the gene in nt.
    model
        Lengths, codon scores and how ends are seen.
    floor
        No chain passes positions with no higher score.
    temperature
        All log weights are divided by it. Above 1, chains differ less in weight; which one is best
        hardly changes.
    """

    def __init__(
        self,
        kept: Sequence[tuple[np.ndarray, np.ndarray]],
        fetch: Fetch,
        length: int,
        model: StructureModel,
        floor: float,
        temperature: float = 1,
    ):
        self._fetch, self._length, self._model = fetch, length, model
        self._temperature = temperature
        self._floor = np.float32(floor)
        self._limits, self._nodes = [], []
        for places, scores in kept:
            limit = _strong_from(scores, length)
            strong = scores >= limit
            self._nodes.append(
                Nodes(places[strong].astype(np.int64), self._weights(scores[strong]))
            )
            self._limits.append(limit)

    @cached_property
    def _chain(self) -> Chain:
        """Weighed when it is first asked for: a call may re-score no position of a gene."""
        fetch, length, model = self._fetch, self._length, self._model
        starts = range(0, length, BLOCK)
        codons = Codons.collect(fetch(start, min(start + BLOCK, length)) for start in starts)
        coding, whole = model.coding(codons, fetch), model.ends == "known"
        exons = Exons(codons, coding, model.lengths, whole, self._temperature)
        return Chain(exons, *self._nodes, model.loose_end / self._temperature)

    def _weights(self, scores: np.ndarray) -> np.ndarray:
        """Log weights of sites."""
        return _log_odds(scores) / self._temperature

    def features(self, positions: np.ndarray, scores: np.ndarray) -> dict[str, np.ndarray]:
        """Columns of some positions of the gene.

        Parameters
        ----------
        positions : (n,) int
            Gene positions, in any order.
        scores : (2, n) float32
            Their own donor and acceptor scores.

        Returns
        -------
        dict of (n,) float32
            Named and ordered as `COLUMNS`, all finite. Positions do not depend on each other.
            Where the score of the class is not above the floor, no chain can pass: the log-odds
            are at their least and the shares are 0.

            - `logodds`: log-odds that a chain passes the position, without its own score.
            - `coding`: share of these chains that are coding there.
            - `five`: share of these chains in which the start codon is still to come.
        """
        columns = []
        for kind, own in enumerate(scores):
            values = np.repeat(np.float32([NO_CHAIN]).T, len(positions), axis=1)
            here = own > self._floor
            places = np.asarray(positions, np.int64)[here]
            sums = (self._chain.at_donors, self._chain.at_acceptors)[kind](places)
            included = np.where(own[here] >= self._limits[kind], self._weights(own[here]), -np.inf)
            values[:, here] = _passing(sums, included, self._chain.log_total)
            columns += list(values)
        return dict(zip(COLUMNS, columns, strict=True))

    def paths(self) -> Paths:
        """The single chains."""
        return Paths(self._chain)

    def count_pairs(self) -> np.ndarray:
        """Count pairs of successive codons, (2, 64, 64) int64.

        First those in frame in coding exons that most chains have, then those at any position.
        """
        coding = np.zeros((N_CODONS, N_CODONS), np.int64)
        for first, last, phase in self._chain.likely_exons(LIKELY):
            coding += count_pairs(self._fetch(first + -phase % CODON, last + 1), CODON)
        anywhere = np.zeros_like(coding)
        for start in range(0, self._length, BLOCK):
            # The pairs that begin in the block end 5 nt further on.
            stop = min(start + BLOCK + 2 * CODON - 1, self._length)
            anywhere += count_pairs(self._fetch(start, stop), 1)
        return np.stack([coding, anywhere])


def _strong_from(scores: np.ndarray, length: int) -> np.float32:
    """Score from which the sites of a gene are strong."""
    most = max(length // SPACING, FEWEST)
    if (scores >= np.float32(STRONG)).sum() <= most:
        return np.float32(STRONG)
    # The next higher score, so that ties do not exceed the bound.
    return np.nextafter(np.partition(scores, -most - 1)[-most - 1], np.float32(2))


def _log_odds(scores: np.ndarray) -> np.ndarray:
    wide = scores.astype(np.float64)
    with np.errstate(divide="ignore"):
        odds = np.log(wide) - np.log1p(-np.minimum(wide, 1))
    return np.clip(odds, -LARGEST_SCORE, LARGEST_SCORE)


def _passing(sums: Sums, included: np.ndarray, log_total: float) -> tuple[np.ndarray, ...]:
    """Log-odds that a chain passes, and shares of two kinds of states in the chains that do.

    `included` is the log weight of the own score as far as the total of all chains has it.
    """
    by_state = sums.before + sums.behind
    through = log_sum(by_state, 1)
    share = np.minimum(through + included - log_total, 0)
    others = log_total + np.log(np.maximum(-np.expm1(share), NEVER))
    odds = np.clip(through - others, -LARGEST, LARGEST)
    shares = np.exp(by_state - np.maximum(through, LEAST)[:, None])
    return odds, shares[:, list(PHASES)].sum(axis=1), shares[:, FIVE]
