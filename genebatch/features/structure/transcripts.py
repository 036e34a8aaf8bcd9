"""Turns a chain of sites into a transcript: its exons, and the coding sequence in them."""

from collections.abc import Iterator
from itertools import pairwise
from typing import NamedTuple

import numpy as np

from genebatch.features.structure.coding import Fetch
from genebatch.features.structure.codons import CODON, CODONS, START, STOPS, codon_numbers
from genebatch.features.structure.exons import FIVE, NON, PHASES, THREE
from genebatch.features.structure.lengths import Lengths
from genebatch.features.structure.paths import Path

UNKNOWN = -1  # state before a transcript that begins within the gene, or behind one that ends there
_STOPS = np.array([CODONS.index(codon) for codon in STOPS])
_START = CODONS.index(START)


class Coding(NamedTuple):
    """A coding stretch of an exon: gene positions, half-open, and nt before its first codon."""

    start: int
    stop: int
    phase: int


class Transcript(NamedTuple):
    """A transcript in gene positions, half-open, in transcript orientation.

    Attributes
    ----------
    exons
        Start and stop of each exon.
    coding
        The coding stretches, none where the chain has no reading frame. They have no stop codon
        but the last one. The coding sequence begins with a start codon unless the transcript is
        open at its 5' end, and ends with a stop codon unless it is open at its 3' end.
    open_ends
        Whether the transcript may go on beyond its 5' end, and beyond its 3' end. The chain then
        begins, or ends, somewhere in the gene.
    early_stop
        Whether the coding sequence ends at a stop codon that an intron splits. Chains do not see
        such codons; the frame of the chain goes on behind it.
    """

    exons: tuple[tuple[int, int], ...]
    coding: tuple[Coding, ...]
    open_ends: tuple[bool, bool]
    early_stop: bool


class _Exon(NamedTuple):
    """An exon, with the states before and behind it."""

    start: int
    stop: int
    before: int
    behind: int


def transcript(path: Path, fetch: Fetch, length: int, lengths: Lengths) -> Transcript:
    """The transcript of a chain.

    - A first or last exon whose outer end is not known gets the median length of its kind, as far
      as the gene, and where it is coding the reading frame, allow it.
    - The coding sequence begins at the first start codon that is in frame and open in the exon in
      which the chain begins to code. It ends with the stop codon at which the chain ends to.
    - Where both lie in one exon, the longest sequence from a start to a stop codon is taken.

    Parameters
    ----------
    path
        The chain.
    fetch
        Gives the codes of the gene between two positions.
    length
        Length of the gene in nt.
    lengths
        Where medians come from.
    """
    if not path.places:
        return Transcript(((0, length),), (), (False, False), False)
    exons = [_clip(exon, fetch) for exon in _exons(path, length, lengths)]
    coding = _phased([(exon, span) for exon in exons if (span := _coding(exon, fetch))])
    whole = _until_stop(coding, fetch)
    spans = tuple((exon.start, exon.stop) for exon in exons)
    open_ends = tuple(not whole_end for whole_end in path.whole)
    return Transcript(spans, whole, open_ends, whole != coding)


def _exons(path: Path, length: int, lengths: Lengths) -> Iterator[_Exon]:
    """The exons of a chain; outer ends that are not known lie a median length away."""
    sites = list(zip(path.places, path.is_donor, path.states, strict=True))
    place, is_donor, state = sites[0]
    if is_donor:
        known = (0, NON if state == NON else FIVE)
        drawn = (max(place + 1 - lengths.median("first"), 0), UNKNOWN)
        start, before = known if path.whole[0] else drawn
        yield _Exon(start, place + 1, before, state)
    for (start, is_donor, before), (last, _, behind) in pairwise(sites):
        if not is_donor:
            yield _Exon(start, last + 1, before, behind)
    place, is_donor, state = sites[-1]
    if not is_donor:
        known = (length, NON if state == NON else THREE)
        drawn = (min(place + lengths.median("last"), length), UNKNOWN)
        stop, behind = known if path.whole[1] else drawn
        yield _Exon(place, stop, state, behind)


def _clip(exon: _Exon, fetch: Fetch) -> _Exon:
    """Begin an exon of unknown start behind the last stop codon in its frame."""
    if exon.before != UNKNOWN or exon.behind not in PHASES:
        return exon
    frame = exon.start + (exon.stop - exon.behind - exon.start) % CODON
    stops = np.flatnonzero(np.isin(_codons(fetch, frame, exon.stop), _STOPS))
    if not len(stops):
        return exon
    return exon._replace(start=min(frame + CODON * (int(stops[-1]) + 1), exon.stop - 1))


def _coding(exon: _Exon, fetch: Fetch) -> tuple[int, int] | None:
    """The coding stretch of an exon."""
    start, stop = exon.start, exon.stop
    if exon.before in PHASES:
        if exon.behind in PHASES:
            return start, stop
        stops = np.isin(_codons(fetch, start + -exon.before % CODON, stop), _STOPS)
        if stops.any():
            stop = start + -exon.before % CODON + CODON * (int(stops.argmax()) + 1)
        return start, stop
    if exon.behind in PHASES:
        return _begun(exon, fetch), stop
    if (exon.before, exon.behind) == (FIVE, THREE):
        return _longest(exon, fetch)
    return None


def _begun(exon: _Exon, fetch: Fetch) -> int:
    """Where the coding sequence begins in an exon that it does not end in."""
    frame = exon.start + (exon.stop - exon.behind - exon.start) % CODON
    codons = _codons(fetch, frame, exon.stop)
    stops = np.flatnonzero(np.isin(codons, _STOPS))
    first = int(stops[-1]) + 1 if len(stops) else 0
    starts = first + np.flatnonzero(codons[first:] == _START)
    # Without a start codon the sequence began in an exon that is not known.
    return frame + CODON * int(starts[0]) if len(starts) else exon.start


def _longest(exon: _Exon, fetch: Fetch) -> tuple[int, int] | None:
    """The longest stretch from a start to a stop codon in frame; the first of equals."""
    found = [(0, 0)]
    for frame in range(exon.start, exon.start + CODON):
        codons = _codons(fetch, frame, exon.stop)
        stops, starts = np.flatnonzero(np.isin(codons, _STOPS)), np.flatnonzero(codons == _START)
        number = np.searchsorted(stops, starts)
        ended = number < len(stops)
        found += zip(
            frame + CODON * starts[ended], frame + CODON * (stops[number[ended]] + 1), strict=True
        )
    start, stop = min(found, key=lambda span: (span[0] - span[1], span[0]))
    return (int(start), int(stop)) if stop else None


def _phased(found: list[tuple[_Exon, tuple[int, int]]]) -> tuple[Coding, ...]:
    """Give coding stretches their phases: that of the first from its exon, then by the lengths."""
    coding: list[Coding] = []
    for exon, (start, stop) in found:
        if coding:
            before = coding[-1]
            phase = -(before.stop - before.start - before.phase) % CODON
        elif exon.before in PHASES:
            phase = -exon.before % CODON
        elif exon.before == UNKNOWN and start == exon.start:
            phase = (stop - exon.behind - start) % CODON
        else:
            phase = 0
        coding.append(Coding(start, stop, phase))
    return tuple(coding)


def _until_stop(coding: tuple[Coding, ...], fetch: Fetch) -> tuple[Coding, ...]:
    """Cut the coding sequence behind its first stop codon, which an intron may split."""
    if not coding:
        return coding
    pieces = [fetch(part.start, part.stop) for part in coding]
    codons = codon_numbers(np.concatenate(pieces)[coding[0].phase :])[::CODON]
    stops = np.isin(codons, _STOPS)
    if not stops.any():
        return coding
    left = coding[0].phase + CODON * (int(stops.argmax()) + 1)
    kept: list[Coding] = []
    for part in coding:
        if left > 0:
            kept.append(part._replace(stop=min(part.stop, part.start + left)))
            left -= part.stop - part.start
    return tuple(kept)


def _codons(fetch: Fetch, start: int, stop: int) -> np.ndarray:
    """Numbers of the successive whole codons between two positions."""
    return codon_numbers(fetch(start, max(start, stop)))[::CODON]
