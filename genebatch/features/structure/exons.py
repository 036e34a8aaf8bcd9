"""Weighs the exons between sites of a gene by their length and by what is read in them.

A chain is in one of `N_STATES` states at each site. In the states 0, 1 and 2 the gene is coding,
and so many nt of a codon stand before the intron. In `FIVE` the start codon is still to come, in
`THREE` the stop codon is past. In `NON` the gene has no reading frame at all.
"""

import math
from typing import NamedTuple, TypeVar

import numpy as np

from genebatch.features.structure.coding import Coding
from genebatch.features.structure.codons import CODON, NONE_AHEAD, Codons
from genebatch.features.structure.lengths import Lengths

N_STATES = 6
PHASES = (0, 1, 2)
FIVE, THREE, NON = 3, 4, 5
# Probability of what an exon does. They are rough figures of human genes: one in eight or so has
# the stop codon, a third of the exons that are not yet coding have the start codon. Twice or half
# as much changes little.
OPEN, STOP = math.log(0.86), math.log(0.14)  # of a coding exon: stays coding, has the stop codon
# Of an exon before the start codon: stays there, has the start codon (in one of three phases
# behind it), has both codons.
STAY, START, BOTH = math.log(0.5), math.log(0.35 / 3), math.log(0.01)
PAST = math.log(0.95)  # of an exon behind the stop codon: is not the last
CODING, NOT_CODING = math.log(0.95), math.log(0.05)  # of a gene


Read = TypeVar("Read", "Begins", "Ends")


def _take(read: Read, which: np.ndarray | slice) -> Read:
    """What is read in some of the exons."""
    return type(read)(*(values[which] for values in read))


class Begins(NamedTuple):
    """What is read from the first nt of exons on; columns are the phases there.

    Attributes
    ----------
    places : (n,)
        First nt of the exons.
    firsts : (n, 3)
        First nt of the first whole codon.
    stops : (n, 3)
        First nt of the first stop codon in frame.
    score, score_to_stop : (n, 3)
        Cumulative score at the first codon, and score of the codons up to the stop.
    """

    places: np.ndarray
    firsts: np.ndarray
    stops: np.ndarray
    score: np.ndarray
    score_to_stop: np.ndarray

    take = _take


class Ends(NamedTuple):
    """What is read up to the last nt of exons; columns are the phases behind it.

    Attributes
    ----------
    places : (n,)
        Last nt of the exons.
    ends : (n, 3)
        Place behind the last whole codon.
    starts : (n, 3)
        First nt of the last start codon that is open up to there, -1 if there is none.
    score, score_from_start : (n, 3)
        Cumulative score behind the last codon, and score of the codons from the start on.
    """

    places: np.ndarray
    ends: np.ndarray
    starts: np.ndarray
    score: np.ndarray
    score_from_start: np.ndarray

    take = _take


class Exons:
    """The exons that a gene could have.

    Parameters
    ----------
    codons
        Stop and start codons of the gene.
    coding
        Scores of its codons.
    lengths
        Length distributions.
    whole
        Whether first and last exons reach to the ends of the gene. Otherwise there are none: the
        gene may be cut off anywhere.
    temperature
        All log weights are divided by it.
    """

    def __init__(
        self,
        codons: Codons,
        coding: Coding,
        lengths: Lengths,
        whole: bool = True,
        temperature: float = 1,
    ):
        self._codons, self._coding, self.lengths, self._whole = codons, coding, lengths, whole
        self._temperature = temperature
        self._whole_begin = self.begins(np.zeros(1, np.int64))
        self._whole_end = self.ends(np.full(1, codons.length - 1))

    def begins(self, places: np.ndarray) -> Begins:
        """What is read from some acceptors on."""
        firsts = places[:, None] + (-np.arange(CODON)) % CODON
        stops = self._codons.next_stops(firsts)
        score = self._coding.cumulative(firsts)
        ahead = np.where(stops < NONE_AHEAD, stops, firsts)
        return Begins(places, firsts, stops, score, self._coding.cumulative(ahead) - score)

    def ends(self, places: np.ndarray) -> Ends:
        """What is read up to some donors."""
        ends = places[:, None] + 1 - np.arange(CODON)
        starts = self._codons.open_starts(ends)
        score = self._coding.cumulative(ends)
        behind = np.where(starts >= 0, starts, ends)
        return Ends(places, ends, starts, score, score - self._coding.cumulative(behind))

    def inner(self, begins: Begins, ends: Ends) -> np.ndarray:
        """Log weights of exons between two introns, (n, state before, state behind)."""
        return self._weights("inner", begins, ends)

    def first(self, ends: Ends) -> np.ndarray:
        """Log weights of first exons from the gene's start to each end, (n, state behind)."""
        n = len(ends.places)
        if not self._whole:
            return np.full((n, N_STATES), -np.inf)
        weights = self._weights("first", self._whole_begin.take(np.zeros(n, int)), ends)
        coding, not_coding = CODING / self._temperature, NOT_CODING / self._temperature
        return np.logaddexp(coding + weights[:, FIVE], not_coding + weights[:, NON])

    def last(self, begins: Begins) -> np.ndarray:
        """Log weights of last exons from each begin to the gene's end, (n, state before)."""
        n = len(begins.places)
        if not self._whole:
            return np.full((n, N_STATES), -np.inf)
        weights = self._weights("last", begins, self._whole_end.take(np.zeros(n, int)))
        return np.logaddexp(weights[:, :, THREE], weights[:, :, NON])

    def introns(self, lengths: np.ndarray) -> np.ndarray:
        """Log weights of introns of some lengths in nt, (n,)."""
        return self.lengths.log_weight("intron", lengths) / self._temperature

    def _weights(self, kind: str, begins: Begins, ends: Ends) -> np.ndarray:
        """Log weights of the n exons from each of n begins to the end beside it."""
        n, length = len(begins.places), ends.places - begins.places + 1
        weights, each = np.full((n, N_STATES, N_STATES), -np.inf), np.arange(n)
        last = ends.places - (CODON - 1)  # where a codon begins at the latest
        for phase in PHASES:
            behind = (phase + length) % CODON
            whole = ends.ends[each, behind] >= begins.firsts[:, phase]
            score = np.where(whole, ends.score[each, behind] - begins.score[:, phase], 0)
            is_open = begins.stops[:, phase] > last
            weights[each, phase, behind] = np.where(is_open, OPEN + score, -np.inf)
            stopped = STOP + begins.score_to_stop[:, phase]
            weights[:, phase, THREE] = np.where(is_open, -np.inf, stopped)
            starts = ends.starts[:, phase] >= begins.places
            weights[:, FIVE, phase] = np.where(
                starts, START + ends.score_from_start[:, phase], -np.inf
            )
        weights[:, FIVE, FIVE], weights[:, FIVE, THREE] = STAY, BOTH
        weights[:, THREE, THREE], weights[:, NON, NON] = PAST, 0
        weights += self.lengths.log_weight(kind, length)[:, None, None]
        return weights / self._temperature
