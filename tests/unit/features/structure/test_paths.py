"""Single chains of sites, against an enumeration of all chains and of all their states."""

import itertools
import math
from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings

from genebatch.features.structure.chain import Nodes
from genebatch.features.structure.paths import Paths
from tests.unit.features.structure.test_chain import AllChains, genes, made

# Two donors and two acceptors, so that chains of four sites are possible. The frame of the exon in
# the middle is open.
TEXT = (
    "GCCATGGCCGCAGGT"
    + "CCTTCCAACCTTTCAG"
    + "GCCGAAGCTGAACGT"
    + "ACTAACCTTTAACAG"
    + "GCCTAAGCCAGAAC"
)
DONORS = Nodes(np.array([12, 45]), np.array([-5.7, -6.5]))
ACCEPTORS = Nodes(np.array([31, 61]), np.array([-6.8, -6.2]))
TINY = TEXT, DONORS, ACCEPTORS, -0.5  # and a loose end


def weights_of(every, sites):
    """Log weight of a chain by its states and by how it begins and ends."""
    begin, end = every.begin(sites[0]), every.end(sites[-1])
    loose = np.full(6, math.exp(every.loose))
    begins, ends = ({"whole": way - loose, "loose": loose} for way in (begin, end))
    steps = [every.step(*pair) for pair in itertools.pairwise(sites)]
    odds = math.exp(sum(every.odds[kind][place] for place, kind in sites))
    for (first, start), (last, stop) in itertools.product(begins.items(), ends.items()):
        yield (first, last), odds, start, steps, stop


def best_weight(every):
    """Highest weight of a chain with states, and its sites."""
    best = 1.0, []
    for sites in every.chains():
        for _, odds, start, steps, stop in weights_of(every, sites):
            weight = start
            for step in steps:
                weight = (weight[:, None] * step).max(axis=0)
            best = max(best, (float((weight * stop).max() * odds), sites))
    return best


def sites_of(path):
    return [
        (place, int(not donor)) for place, donor in zip(path.places, path.is_donor, strict=True)
    ]


def own_weight(every, path):
    """Weight of a path with its states, beginning and end."""
    if not path.places:
        return 1.0
    wanted = tuple("whole" if whole else "loose" for whole in path.whole)
    for ways, odds, start, steps, stop in weights_of(every, sites_of(path)):
        if ways == wanted:
            pairs = zip(steps, itertools.pairwise(path.states), strict=True)
            inner = math.prod(step[pair] for step, pair in pairs)
            return odds * start[path.states[0]] * inner * stop[path.states[-1]]
    raise AssertionError(wanted)


def total(every):
    return 1 + sum(every.sums(chain).sum() for chain in every.chains())


@settings(max_examples=30)
@given(genes())
def test_best_chain_is_the_best_of_all_chains_and_states(gene):
    every, paths = AllChains(*gene), Paths(made(*gene))
    best = paths.judge(paths.best_sites())
    weight, _ = best_weight(every)
    assert own_weight(every, best) == pytest.approx(weight, rel=1e-9)


@settings(max_examples=20)
@given(genes())
def test_posteriors_are_shares_of_all_chains(gene):
    every, paths = AllChains(*gene), Paths(made(*gene))
    sums = [(sites, every.sums(sites).sum()) for sites in every.chains()]
    whole = total(every)
    for path in paths.likely(10, np.random.default_rng(0), 0):
        sites = sites_of(path)
        own = every.sums(sites).sum() if sites else 1.0
        assert path.posterior == pytest.approx(own / whole, rel=1e-6)
        if not sites:
            assert path.exon_posteriors == (path.posterior,)
            continue
        pairs = list(itertools.pairwise(sites))
        expected = [
            sum(weight for chain, weight in sums if pair in itertools.pairwise(chain)) / whole
            for pair in pairs
        ]
        exons = [share for pair, share in zip(pairs, expected, strict=True) if pair[0][1]]
        introns = [share for pair, share in zip(pairs, expected, strict=True) if not pair[0][1]]
        if not sites[0][1]:
            exons.insert(0, sum(weight for chain, weight in sums if chain[0] == sites[0]) / whole)
        if sites[-1][1]:
            exons.append(sum(weight for chain, weight in sums if chain[-1] == sites[-1]) / whole)
        np.testing.assert_allclose(path.exon_posteriors, exons, rtol=1e-6)
        np.testing.assert_allclose(path.intron_posteriors, introns, rtol=1e-6)


@settings(max_examples=20)
@given(genes())
def test_frame_posterior_is_the_share_of_its_states(gene):
    every, paths = AllChains(*gene), Paths(made(*gene))
    for path in paths.likely(5, np.random.default_rng(1), 0):
        if not path.places:
            continue
        by_states = [
            odds
            * start[path.states[0]]
            * stop[path.states[-1]]
            * math.prod(s[p] for s, p in zip(steps, itertools.pairwise(path.states), strict=True))
            for _, odds, start, steps, stop in weights_of(every, sites_of(path))
        ]
        share = sum(by_states) / every.sums(sites_of(path)).sum()
        assert path.frame_posterior == pytest.approx(share, rel=1e-6)


def test_chains_are_drawn_as_often_as_they_weigh():
    every, paths = AllChains(*TINY), Paths(made(*TINY))
    n, whole = 5_000, total(every)
    drawn = Counter(paths.draw_sites(n, np.random.default_rng(5)))
    found = {tuple(sites_of(paths.judge(sites))): count for sites, count in drawn.items()}
    expected = {tuple(sites): every.sums(sites).sum() / whole for sites in every.chains()}
    expected[()] = 1 / whole
    assert sum(expected.values()) == pytest.approx(1)
    assert len([share for share in expected.values() if share > 0.01]) > 5
    for sites, share in expected.items():
        error = math.sqrt(share * (1 - share) / n)
        assert abs(found.get(sites, 0) / n - share) < 5 * error + 1e-4, sites


def test_best_comes_first_then_the_drawn_ones_by_posterior():
    paths = Paths(made(*TINY)).likely(300, np.random.default_rng(2), 0.02)
    best, *others = paths
    assert [path.posterior for path in others] == sorted(
        (p.posterior for p in others), reverse=True
    )
    assert all(path.posterior >= 0.02 and path.drawn for path in others)
    assert len({path.places for path in paths}) == len(paths) > 3
    alone = Paths(made(*TINY)).likely(0, np.random.default_rng(2), 0.02)
    assert alone == [best._replace(drawn=0)]


def test_gene_without_sites_has_the_chain_without_sites():
    none = Nodes(np.empty(0, int), np.empty(0))
    (path,) = Paths(made("ACGTACGT", none, none)).likely(10, np.random.default_rng(0), 0.05)
    assert (path.places, path.states, path.whole) == ((), (), (True, True))
    assert (path.posterior, path.frame_posterior, path.exon_posteriors) == (1, 1, (1,))
    assert path.drawn == 10
