"""Sums the weights of all chains of strong sites along a gene.

A chain is an order of sites in which donors and acceptors take turns. Its weight is the product of

- the odds of the base scores of its sites,
- the weights of its exons, see `exons`, and of the lengths of its introns,
- the weights of its first and last exon, which reach to the ends of the gene. A chain may also
  begin or end at any site at a fixed cost, since another transcript may be shorter than the gene.

A chain without sites weighs 1. The sums are those of the forward-backward algorithm for states
with lengths (Rabiner 1989, section IV D), as logarithms.
"""

from collections.abc import Callable, Iterator
from typing import NamedTuple

import numpy as np

from genebatch.features.structure.exons import N_STATES, PHASES, Begins, Ends, Exons
from genebatch.features.structure.lengths import Lengths

PAIRS = 8_192  # pairs of sites that are weighed at a time, unless one site has more; 10 MB
LEAST = -1e300  # instead of -inf where a difference is taken


class Nodes(NamedTuple):
    """Strong sites of one kind: gene positions, ascending, and log-odds of their base scores."""

    places: np.ndarray
    weights: np.ndarray


class Sums(NamedTuple):
    """Logs of the weight of all that comes before some sites, and of all that comes behind.

    Both are (n, N_STATES) and leave out the weight of the site itself.
    """

    before: np.ndarray
    behind: np.ndarray


class Parts(NamedTuple):
    """What a `Chain` is made of, for those who follow single chains.

    The sums are (n, N_STATES): logs of the weight up to and including each site, and from it on.
    """

    exons: Exons
    loose_end: float
    donors: Nodes
    acceptors: Nodes
    ends: Ends
    begins: Begins
    to_donor: np.ndarray
    to_acceptor: np.ndarray
    from_donor: np.ndarray
    from_acceptor: np.ndarray


class Chain:
    """All chains of the strong sites of a gene.

    Parameters
    ----------
    exons
        The exons that the gene could have.
    donors, acceptors
        The strong sites.
    loose_end
        Log weight of a beginning or an end of a chain at a site, away from the gene's ends.

    Attributes
    ----------
    log_total
        Log of the weight of all chains together.

    Notes
    -----
    Takes time for each pair of a donor and an acceptor that an exon or an intron may lie between.
    Holds 500 bytes a site.
    """

    def __init__(self, exons: Exons, donors: Nodes, acceptors: Nodes, loose_end: float):
        self._exons, self._loose = exons, loose_end
        self._donors, self._acceptors = donors, acceptors
        self._ends, self._begins = exons.ends(donors.places), exons.begins(acceptors.places)
        # Weights of the outer exons, with that of an end of the chain at the site.
        self._first = np.logaddexp(exons.first(self._ends), loose_end)
        self._last = np.logaddexp(exons.last(self._begins), loose_end)
        # Sums up to and including each site, and from it on.
        self._to_donor, self._from_donor = _no_sums(donors), _no_sums(donors)
        self._to_acceptor, self._from_acceptor = _no_sums(acceptors), _no_sums(acceptors)
        # An exon of one nt has its acceptor and its donor at the same position, in this order.
        order = [(place, 0, number) for number, place in enumerate(acceptors.places)]
        order += [(place, 1, number) for number, place in enumerate(donors.places)]
        order.sort()
        for _, is_donor, number in order:
            self._sum_before(slice(number, number + 1), is_donor)
        for _, is_donor, number in reversed(order):
            self._sum_behind(slice(number, number + 1), is_donor)
        self.log_total = self._total()

    def at_donors(self, places: np.ndarray) -> Sums:
        """Sums at donors; `places` are gene positions, whether or not they are strong sites."""
        ends = self._exons.ends(places)
        first = np.logaddexp(self._exons.first(ends), self._loose)
        return Sums(self._before_donors(ends, first), self._behind_donors(places))

    def at_acceptors(self, places: np.ndarray) -> Sums:
        """Sums at acceptors, as `at_donors`."""
        begins = self._exons.begins(places)
        last = np.logaddexp(self._exons.last(begins), self._loose)
        return Sums(self._before_acceptors(places), self._behind_acceptors(begins, last))

    def parts(self) -> Parts:
        """Sites, what is read at them, and their sums."""
        return Parts(
            *(self._exons, self._loose, self._donors, self._acceptors, self._ends, self._begins),
            *(self._to_donor, self._to_acceptor, self._from_donor, self._from_acceptor),
        )

    def likely_exons(self, least: float) -> np.ndarray:
        """Coding exons between two introns that at least a share `least` of all chains have.

        Returns
        -------
        (n, 3) int64
            First and last nt, and the phase at the first.
        """
        sites = self._acceptors.places
        low, high = exons_before(self._donors.places, sites, self._exons.lengths)
        found = [np.empty((0, 3), np.int64)]
        for target, source, _, _ in _pairs(low, high):
            weights = self._exons.inner(self._begins.take(source), self._ends.take(target))
            weights = weights[:, : len(PHASES), : len(PHASES)]
            weights += self._to_acceptor[source][:, : len(PHASES), None]
            weights += self._from_donor[target][:, None, : len(PHASES)]
            share = np.exp(log_sum(weights, 2) - self.log_total)
            pair, phase = np.nonzero(share >= least)
            places = sites[source[pair]], self._donors.places[target[pair]], phase
            found.append(np.column_stack(places))
        return np.concatenate(found)

    def _sum_before(self, at: slice, is_donor: int) -> None:
        if is_donor:
            sums = self._before_donors(self._ends.take(at), self._first[at])
            self._to_donor[at] = sums + self._donors.weights[at]
        else:
            sums = self._before_acceptors(self._acceptors.places[at])
            self._to_acceptor[at] = sums + self._acceptors.weights[at]

    def _sum_behind(self, at: slice, is_donor: int) -> None:
        if is_donor:
            sums = self._behind_donors(self._donors.places[at])
            self._from_donor[at] = sums + self._donors.weights[at]
        else:
            sums = self._behind_acceptors(self._begins.take(at), self._last[at])
            self._from_acceptor[at] = sums + self._acceptors.weights[at]

    def _total(self) -> float:
        """Log of the weight of all chains; each counts once, by its first site."""
        begun = self._first + self._from_donor
        loose = self._loose + self._from_acceptor
        return float(log_sum(np.concatenate([[0.0], begun.ravel(), loose.ravel()]), 0))

    def _before_donors(self, ends: Ends, first: np.ndarray) -> np.ndarray:
        low, high = exons_before(ends.places, self._acceptors.places, self._exons.lengths)

        def weigh(target: np.ndarray, source: np.ndarray) -> np.ndarray:
            weights = self._exons.inner(self._begins.take(source), ends.take(target))
            return log_sum(weights + self._to_acceptor[source][:, :, None], 1)

        return _add_pairs(first, low, high, weigh)

    def _behind_acceptors(self, begins: Begins, last: np.ndarray) -> np.ndarray:
        sites = self._donors.places
        low = np.searchsorted(sites, begins.places)
        high = np.searchsorted(sites, begins.places + self._exons.lengths.longest_exon)

        def weigh(target: np.ndarray, source: np.ndarray) -> np.ndarray:
            weights = self._exons.inner(begins.take(target), self._ends.take(source))
            return log_sum(weights + self._from_donor[source][:, None, :], 2)

        return _add_pairs(last, low, high, weigh)

    def _before_acceptors(self, places: np.ndarray) -> np.ndarray:
        lengths, sites = self._exons.lengths, self._donors.places
        low, high = introns_before(places, sites, lengths)

        def weigh(target: np.ndarray, source: np.ndarray) -> np.ndarray:
            introns = self._exons.introns(places[target] - sites[source] - 1)
            return self._to_donor[source] + introns[:, None]

        return _add_pairs(self._begun(len(places)), low, high, weigh)

    def _behind_donors(self, places: np.ndarray) -> np.ndarray:
        lengths, sites = self._exons.lengths, self._acceptors.places
        low = np.searchsorted(sites, places + lengths.shortest_intron, "right")
        high = np.searchsorted(sites, places + lengths.longest_intron + 1, "right")

        def weigh(target: np.ndarray, source: np.ndarray) -> np.ndarray:
            introns = self._exons.introns(sites[source] - places[target] - 1)
            return self._from_acceptor[source] + introns[:, None]

        return _add_pairs(self._begun(len(places)), low, high, weigh)

    def _begun(self, n: int) -> np.ndarray:
        """Sums of n sites at which a chain begins or ends."""
        return np.full((n, N_STATES), self._loose)


def exons_before(
    donors: np.ndarray, acceptors: np.ndarray, lengths: Lengths
) -> tuple[np.ndarray, np.ndarray]:
    """First and end number of the acceptors at which an exon up to each donor may begin."""
    low = np.searchsorted(acceptors, donors - lengths.longest_exon, "right")
    return low, np.searchsorted(acceptors, donors, "right")


def introns_before(
    acceptors: np.ndarray, donors: np.ndarray, lengths: Lengths
) -> tuple[np.ndarray, np.ndarray]:
    """First and end number of the donors behind which an intron up to each acceptor may begin."""
    low = np.searchsorted(donors, acceptors - lengths.longest_intron - 1)
    return low, np.maximum(np.searchsorted(donors, acceptors - lengths.shortest_intron), low)


def log_sum(values: np.ndarray, axis: int) -> np.ndarray:
    """Log of the sum of exponentials along an axis; -inf where all are."""
    top = np.maximum(values.max(axis=axis, keepdims=True), LEAST)
    with np.errstate(divide="ignore"):
        return np.log(np.exp(values - top).sum(axis=axis)) + np.squeeze(top, axis)


def _no_sums(nodes: Nodes) -> np.ndarray:
    return np.full((len(nodes.places), N_STATES), -np.inf)


def _add_pairs(
    begun: np.ndarray,
    low: np.ndarray,
    high: np.ndarray,
    weigh: Callable[[np.ndarray, np.ndarray], np.ndarray],
) -> np.ndarray:
    """Add the pairs of each target with the sources `low` to `high` - 1 to its log sums `begun`.

    `weigh` takes the numbers of target and source of some pairs, and gives (pairs, N_STATES). The
    pairs of a target are summed in one piece, so that no sum depends on the other targets.
    """
    sums = begun.copy()
    for target, source, targets, counts in _pairs(low, high):
        values = weigh(target, source)
        starts = np.cumsum(counts) - counts
        top = np.maximum(np.maximum.reduceat(values, starts), LEAST)
        total = np.add.reduceat(np.exp(values - np.repeat(top, counts, axis=0)), starts)
        with np.errstate(divide="ignore"):
            sums[targets] = np.logaddexp(sums[targets], np.log(total) + top)
    return sums


def _pairs(low: np.ndarray, high: np.ndarray) -> Iterator[tuple[np.ndarray, ...]]:
    """Yield numbers of target and source of some pairs, then their targets and pairs of each."""
    sizes = np.maximum(high - low, 0)
    paired = np.flatnonzero(sizes)
    for targets in _pieces(paired, sizes[paired]):
        counts = sizes[targets]
        starts = np.cumsum(counts) - counts
        target = np.repeat(targets, counts)
        yield (
            target,
            np.arange(len(target)) + np.repeat(low[targets] - starts, counts),
            targets,
            counts,
        )


def _pieces(targets: np.ndarray, sizes: np.ndarray) -> Iterator[np.ndarray]:
    """Cut targets into successive pieces of at most `PAIRS` pairs, or of one target."""
    ends = np.cumsum(sizes)
    first = 0
    while first < len(targets):
        limit = ends[first] - sizes[first] + PAIRS
        stop = max(int(np.searchsorted(ends, limit, "right")), first + 1)
        yield targets[first:stop]
        first = stop
