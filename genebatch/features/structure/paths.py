"""Finds the best chain of sites of a gene, draws others at random, and says how likely each is."""

from collections import Counter
from collections.abc import Callable, Sequence
from functools import lru_cache, partial
from itertools import pairwise
from typing import NamedTuple

import numpy as np

from genebatch.features.structure.chain import (
    Chain,
    Parts,
    exons_before,
    introns_before,
    log_sum,
)
from genebatch.features.structure.exons import N_STATES

WHOLE, LOOSE = 0, 1  # how a chain begins or ends: at the end of the gene, or away from it
# While chains are drawn, the ways into the last sites are kept: so many bytes of them, or those
# into the fewest sites. Steps between sites are kept as well; they take 0.4 kB each.
WAYS_BYTES, FEWEST_WAYS, STEPS = 64_000_000, 64, 10_000

Site = tuple[int, int]  # 1 for a donor and 0 for an acceptor, and its number among these
Choose = Callable[[np.ndarray], int]
Ways = Callable[[Site], np.ndarray]


class Path(NamedTuple):
    """A chain of sites.

    Attributes
    ----------
    places : tuple of int
        Gene positions of the sites, ascending. Donors and acceptors take turns.
    is_donor : tuple of bool
        Whether each site is a donor.
    states : tuple of int
        The most probable state at each site, see `exons`.
    whole : (bool, bool)
        Whether the first exon reaches to the start of the gene, and the last to its end, in the
        most probable case. Otherwise the chain begins, or ends, somewhere in the gene.
    posterior : float
        Share of all chains that have just these sites, by weight.
    frame_posterior : float
        Share of these that have the states.
    exon_posteriors : tuple of float
        Share of all chains that have each exon. For a first exon these are the chains that begin
        with its donor, for a last one those that end with its acceptor.
    intron_posteriors : tuple of float
        Share of all chains that have each intron.
    drawn : int
        How often the chain was drawn.
    """

    places: tuple[int, ...]
    is_donor: tuple[bool, ...]
    states: tuple[int, ...]
    whole: tuple[bool, bool]
    posterior: float
    frame_posterior: float
    exon_posteriors: tuple[float, ...]
    intron_posteriors: tuple[float, ...]
    drawn: int


class _Weighed(NamedTuple):
    """Log weights of a chain: of its beginnings, its steps and its ends, and of all together."""

    begins: np.ndarray
    steps: list[np.ndarray]
    ends: np.ndarray
    total: float


class Paths:
    """The single chains of a gene.

    Parameters
    ----------
    chain
        All chains of the gene; their weights decide.

    Notes
    -----
    The best chain takes as long as the sums of `Chain`, and a draw as long as its few sites. Holds
    50 bytes a site, and `WAYS_BYTES` of ways from site to site.
    """

    def __init__(self, chain: Chain):
        self._parts = chain.parts()
        self._total = chain.log_total
        self._to = self._parts.to_acceptor, self._parts.to_donor
        self._step = lru_cache(STEPS)(partial(_step, self._parts))

    def likely(self, draws: int, rng: np.random.Generator, least: float) -> list[Path]:
        """The best chain, then the chains drawn whose posterior is at least `least`.

        Chains of the same sites are one; the more probable come first.
        """
        best = self.best_sites()
        counts = Counter(self.draw_sites(draws, rng))
        likely = {sites: n for sites, n in counts.items() if self.posterior(sites) >= least}
        others = [self.judge(sites, n) for sites, n in likely.items() if sites != best]
        others.sort(key=lambda path: (-path.posterior, path.places))
        return [self.judge(best, counts[best]), *others]

    def best_sites(self) -> tuple[Site, ...]:
        """Sites of the chain of highest weight, among all sites, states, beginnings and ends.

        The algorithm of Viterbi; among equals the first is taken.
        """
        places = self._parts.acceptors.places, self._parts.donors.places
        best = tuple(np.full((len(kind), N_STATES), -np.inf) for kind in places)
        order = sorted((place, kind, n) for kind in (0, 1) for n, place in enumerate(places[kind]))
        for _, kind, number in order:
            ways = self._ways(best, (kind, number))
            best[kind][number] = ways.max(axis=0) + self._weight((kind, number))
        return self._trace(self._last_ways(best), partial(self._ways, best), np.argmax)

    def draw_sites(self, draws: int, rng: np.random.Generator) -> list[tuple[Site, ...]]:
        """Sites of chains that are drawn with the probability of their weight."""
        ends = _sums(self._last_ways(self._to))
        size = 8 * N_STATES * (2 + max(map(len, self._to)))
        kept = max(WAYS_BYTES // size, FEWEST_WAYS)
        ways = lru_cache(kept)(lambda site: _sums(self._ways(self._to, site)))
        return [self._trace(ends, ways, partial(_draw, rng)) for _ in range(draws)]

    def posterior(self, sites: Sequence[Site]) -> float:
        """Share of all chains that have just these sites."""
        return float(np.exp((self._weigh(sites).total if sites else 0) - self._total))

    def judge(self, sites: Sequence[Site], drawn: int = 0) -> Path:
        """Posteriors of the chain of some sites, and its most probable states."""
        posterior = self.posterior(sites)
        if not sites:
            return Path((), (), (), (True, True), posterior, 1.0, (posterior,), (), drawn)
        chain = self._weigh(sites)
        states, whole = _best_states(chain)
        exons, introns = self._shares(sites, chain)
        return Path(
            tuple(int(self._place(site)) for site in sites),
            tuple(kind == 1 for kind, _ in sites),
            states,
            whole,
            posterior,
            float(np.exp(_weight_of_states(chain, states) + self._weights(sites) - chain.total)),
            exons,
            introns,
            drawn,
        )

    def _weigh(self, sites: Sequence[Site]) -> _Weighed:
        steps = [self._step(*pair) for pair in pairwise(sites)]
        begins, ends = self._begins(sites[0]), self._ends(sites[-1])
        sums = log_sum(begins, 0)
        for step in steps:
            sums = log_sum(sums[:, None] + step, 0)
        total = float(log_sum((sums + ends).ravel(), 0)) + self._weights(sites)
        return _Weighed(begins, steps, ends, total)

    def _weights(self, sites: Sequence[Site]) -> float:
        return sum(map(self._weight, sites))

    def _place(self, site: Site) -> int:
        return (self._parts.acceptors, self._parts.donors)[site[0]].places[site[1]]

    def _weight(self, site: Site) -> float:
        return float((self._parts.acceptors, self._parts.donors)[site[0]].weights[site[1]])

    def _begins(self, site: Site) -> np.ndarray:
        """Log weights of the two ways to begin at a site, (2, N_STATES)."""
        begins = np.full((2, N_STATES), self._parts.loose_end)
        begins[WHOLE] = -np.inf
        if site[0]:
            begins[WHOLE] = self._parts.exons.first(self._parts.ends.take([site[1]]))[0]
        return begins

    def _ends(self, site: Site) -> np.ndarray:
        """Log weights of the two ways to end at a site, (2, N_STATES)."""
        ends = np.full((2, N_STATES), self._parts.loose_end)
        ends[WHOLE] = -np.inf
        if not site[0]:
            ends[WHOLE] = self._parts.exons.last(self._parts.begins.take([site[1]]))[0]
        return ends

    def _ways(self, to: tuple[np.ndarray, np.ndarray], site: Site) -> np.ndarray:
        """Log weights of the ways to come to a site, (ways, states there).

        The first two are `WHOLE` and `LOOSE`. Each of the others comes from a site and a state
        there: `_origin` tells which. `to` has the weights up to each acceptor and each donor.
        """
        low, high = self._sources(site)
        steps, parts = to[1 - site[0]][low:high], self._parts
        if site[0]:
            ends = parts.ends.take(np.full(high - low, site[1]))
            exons = parts.exons.inner(parts.begins.take(slice(low, high)), ends)
            steps = (steps[:, :, None] + exons).reshape(-1, N_STATES)
        else:
            introns = self._place(site) - parts.donors.places[low:high] - 1
            steps = steps + parts.exons.introns(introns)[:, None]
        return np.concatenate([self._begins(site), steps])

    def _sources(self, site: Site) -> tuple[int, int]:
        """First and end number of the sites that may come right before a site."""
        parts = self._parts
        before, sources = (
            (exons_before, parts.acceptors) if site[0] else (introns_before, parts.donors)
        )
        low, high = before(self._place(site), sources.places, parts.exons.lengths)
        return int(low), int(high)

    def _last_ways(self, to: tuple[np.ndarray, np.ndarray]) -> np.ndarray:
        """Log weights of the ways to end, (ways,); `_last` tells which.

        First the chain without sites, then the acceptors in whole and in loose last exons, then
        the donors; each with all states.
        """
        whole, loose = self._parts.exons.last(self._parts.begins), self._parts.loose_end
        ways = np.concatenate([to[0] + whole, to[0] + loose, to[1] + loose])
        return np.insert(ways.ravel(), 0, 0)

    def _trace(self, ends: np.ndarray, ways: Ways, choose: Choose) -> tuple[Site, ...]:
        """Go back from the end of a chain to its beginning; `choose` gives the number of a way."""
        sites: list[Site] = []
        at = self._last(int(choose(ends)))
        while at is not None:
            site, state = at
            sites.append(site)
            at = self._origin(site, state, int(choose(ways(site)[:, state])))
        return tuple(reversed(sites))

    def _last(self, way: int) -> tuple[Site, int] | None:
        """The last site and the state there; None for the chain without sites."""
        if way == 0:
            return None
        number, state = divmod(way - 1, N_STATES)
        n = len(self._parts.acceptors.places)
        return ((0, number % n) if number < 2 * n else (1, number - 2 * n)), state

    def _origin(self, site: Site, state: int, way: int) -> tuple[Site, int] | None:
        """Site and state that a way comes from; None where the chain begins."""
        if way in (WHOLE, LOOSE):
            return None
        source = way - 2
        if site[0]:
            source, state = divmod(source, N_STATES)
        return (1 - site[0], self._sources(site)[0] + source), state

    def _shares(
        self, sites: Sequence[Site], chain: _Weighed
    ) -> tuple[tuple[float, ...], tuple[float, ...]]:
        """Shares of all chains that have each exon, and each intron, of a chain."""
        parts, shares = self._parts, ([], [])
        before = [self._to[kind][number] for kind, number in sites]
        behind = [(parts.from_acceptor, parts.from_donor)[kind][number] for kind, number in sites]
        if sites[0][0]:
            shares[0].append(self._share(chain.begins + behind[0]))
        for number, step in enumerate(chain.steps):
            weights = before[number][:, None] + step + behind[number + 1]
            shares[sites[number][0]].append(self._share(weights))
        if not sites[-1][0]:
            shares[0].append(self._share(chain.ends + before[-1]))
        return tuple(shares[0]), tuple(shares[1])

    def _share(self, weights: np.ndarray) -> float:
        return float(np.exp(min(float(log_sum(weights.ravel(), 0)) - self._total, 0)))


def _step(parts: Parts, one: Site, other: Site) -> np.ndarray:
    """Log weights of the exon or intron between two sites, by the states at both."""
    if other[0]:
        return parts.exons.inner(parts.begins.take([one[1]]), parts.ends.take([other[1]]))[0]
    length = parts.acceptors.places[other[1]] - parts.donors.places[one[1]] - 1
    weights = np.full((N_STATES, N_STATES), -np.inf)
    np.fill_diagonal(weights, parts.exons.introns(np.array([length])))
    return weights


def _best_states(chain: _Weighed) -> tuple[tuple[int, ...], tuple[bool, bool]]:
    """The states of highest weight, and whether the chain then begins and ends with the gene."""
    best, origins = chain.begins.max(axis=0), []
    for step in chain.steps:
        ways = best[:, None] + step
        origins.append(ways.argmax(axis=0))
        best = ways.max(axis=0)
    states = [int((best + chain.ends.max(axis=0)).argmax())]
    for origin in reversed(origins):
        states.append(int(origin[states[-1]]))
    states.reverse()
    begin, end = chain.begins[:, states[0]].argmax(), chain.ends[:, states[-1]].argmax()
    return tuple(states), (bool(begin == WHOLE), bool(end == WHOLE))


def _weight_of_states(chain: _Weighed, states: Sequence[int]) -> float:
    """Log weight of a chain with some states, without its sites."""
    steps = zip(chain.steps, pairwise(states), strict=True)
    outer = chain.begins[:, states[0]], chain.ends[:, states[-1]]
    return sum(float(log_sum(ways, 0)) for ways in outer) + sum(step[pair] for step, pair in steps)


def _sums(weights: np.ndarray) -> np.ndarray:
    """Cumulative sums of the weights down each column, from log weights."""
    with np.errstate(invalid="ignore"):  # a state that no way leads to is never drawn
        sums = np.cumsum(np.exp(weights - weights.max(axis=0)), axis=0)
    return np.asfortranarray(sums)


def _draw(rng: np.random.Generator, sums: np.ndarray) -> int:
    """Draw the number of a way with the probability of its weight."""
    number = np.searchsorted(sums, rng.random() * sums[-1], "right")
    return min(number, np.searchsorted(sums, sums[-1]))  # rounding may reach the end
