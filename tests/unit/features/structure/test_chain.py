"""Sums over chains of sites, against an enumeration of all chains and of all their states."""

import itertools
import math

import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import given, settings

from genebatch.features.structure.chain import Chain, Nodes
from genebatch.features.structure.coding import OpenFrames
from genebatch.features.structure.codons import Codons
from genebatch.features.structure.exons import FIVE, NON, THREE, Exons
from genebatch.features.structure.lengths import Lengths, LogNormal
from genebatch.genome.nucleotides import encode

SHORT = Lengths(
    inner=(LogNormal(0.6, 2.0, 0.5), LogNormal(0.4, 3.0, 1.0)),
    first=(LogNormal(1.0, 2.5, 0.8),),
    last=(LogNormal(1.0, 3.0, 0.8),),
    intron=(LogNormal(1.0, 2.5, 0.9),),
    longest_exon=40,
    shortest_intron=4,
    longest_intron=60,
)
LOOSE = -3.0
STOPS = {"TAA", "TAG", "TGA"}


@st.composite
def genes(draw):
    """A gene rich in stops and starts, and strong sites in it."""
    text = "".join(
        draw(st.lists(st.sampled_from(["ATG", "TAA", "C", "GG", "CTG", "N"]), max_size=40))
    )
    text = (text + "ACG" * 4)[:100]
    places = st.lists(st.integers(0, len(text) - 1), max_size=4, unique=True)
    odds = st.floats(-12, 12)
    nodes = []
    for _ in range(2):
        sites = sorted(draw(places))
        nodes.append(Nodes(np.array(sites, int), np.array([draw(odds) for _ in sites])))
    return text, *nodes


def made(
    text: str, donors: Nodes, acceptors: Nodes, loose: float = LOOSE, temperature: float = 1
) -> Chain:
    codons = Codons.collect([encode(text)])
    exons = Exons(codons, OpenFrames(codons), SHORT, temperature=temperature)
    return Chain(exons, donors, acceptors, loose)


class AllChains:
    """Weighs chains one after the other, by reading the codons of each exon."""

    def __init__(
        self,
        text: str,
        donors: Nodes,
        acceptors: Nodes,
        loose: float = LOOSE,
        temperature: float = 1,
    ):
        self.text, self.loose, self.power = text, loose, 1 / temperature
        self.odds = [dict(zip(*nodes, strict=True)) for nodes in (donors, acceptors)]
        stops = sum(text[i : i + 3] in STOPS for i in range(len(text) - 2))
        self.codon = -math.log1p(-stops / len(text))

    def exon(self, kind: str, start: int, last: int) -> np.ndarray:
        """Weights of an exon by the states before and behind it, read codon by codon."""
        length = last - start + 1
        made = np.zeros((6, 6))
        made[FIVE, FIVE], made[FIVE, THREE], made[THREE, THREE], made[NON, NON] = 0.5, 0.01, 0.95, 1
        for phase in range(3):
            codons = self.codons(start + (3 - phase) % 3, last)
            stop = next((n for n, (_, codon) in enumerate(codons) if codon in STOPS), None)
            if stop is None:
                behind = (phase + length) % 3
                made[phase, behind] = 0.86 * math.exp(self.codon * len(codons))
            else:
                made[phase, THREE] = 0.14 * math.exp(self.codon * stop)
            # The frame that leaves `phase` nt of a codon behind it, from its first codon on.
            frame = self.codons(start + (last + 1 - phase - start) % 3, last)
            stopped = max((place for place, codon in frame if codon in STOPS), default=-1)
            begun = max((place for place, codon in frame if codon == "ATG"), default=-1)
            if begun > stopped:
                read = (last + 1 - phase - begun) // 3
                made[FIVE, phase] = 0.35 / 3 * math.exp(self.codon * read)
        return (made * math.exp(SHORT.log_weight(kind, np.array([length]))[0])) ** self.power

    def codons(self, first: int, last: int) -> list[tuple[int, str]]:
        return [(place, self.text[place : place + 3]) for place in range(first, last - 1, 3)]

    def step(self, one: tuple[int, int], other: tuple[int, int]) -> np.ndarray:
        """Weights between two sites by the states at both."""
        if one[1] == 1:
            return self.exon("inner", one[0], other[0])
        length = np.array([other[0] - one[0] - 1])
        return np.eye(6) * math.exp(SHORT.log_weight("intron", length)[0]) ** self.power

    def begin(self, site: tuple[int, int]) -> np.ndarray:
        loose = np.full(6, math.exp(self.loose))
        if site[1] == 1:
            return loose
        exon = self.exon("first", 0, site[0])
        return 0.95**self.power * exon[FIVE] + 0.05**self.power * exon[NON] + loose

    def end(self, site: tuple[int, int]) -> np.ndarray:
        loose = np.full(6, math.exp(self.loose))
        if site[1] == 0:
            return loose
        exon = self.exon("last", site[0], len(self.text) - 1)
        return exon[:, THREE] + exon[:, NON] + loose

    def sums(self, sites: list[tuple[int, int]], own: int = 0, weighed: bool = True) -> np.ndarray:
        """Weight of the chain of some sites by the state at site number `own`."""
        before, behind = self.begin(sites[0]), self.end(sites[-1])
        for number in range(own):
            before = before @ self.step(sites[number], sites[number + 1])
        for number in reversed(range(own, len(sites) - 1)):
            behind = self.step(sites[number], sites[number + 1]) @ behind
        others = [site for n, site in enumerate(sites) if weighed or n != own]
        return before * behind * math.exp(sum(self.odds[kind][place] for place, kind in others))

    def chains(self, extra: tuple[int, int] | None = None):
        """Every order of sites in which donors and acceptors take turns."""
        sites = {(place, kind) for kind in (0, 1) for place in self.odds[kind]}
        sites = sorted(sites | ({extra} if extra else set()), key=lambda site: (site[0], -site[1]))
        for size in range(1, len(sites) + 1):
            for chain in itertools.combinations(sites, size):
                turns = all(a[1] != b[1] for a, b in itertools.pairwise(chain))
                if turns and (extra is None or extra in chain):
                    yield list(chain)


@settings(max_examples=60)
@given(genes(), st.sampled_from([1, 2]))
def test_the_total_is_the_sum_over_all_chains(gene, temperature):
    every = AllChains(*gene, temperature=temperature)
    total = 1 + sum(every.sums(chain).sum() for chain in every.chains())
    log_total = made(*gene, temperature=temperature).log_total
    assert log_total == pytest.approx(math.log(total), abs=1e-6)


@settings(max_examples=60)
@given(genes(), st.integers(0, 99), st.sampled_from([0, 1]))
def test_sums_at_any_position_are_those_of_the_chains_through_it(gene, place, kind):
    place %= len(gene[0])
    every, chain = AllChains(*gene), made(*gene)
    expected = np.zeros(6)
    for sites in every.chains(extra=(place, kind)):
        expected += every.sums(sites, sites.index((place, kind)), weighed=False)
    at = (chain.at_donors, chain.at_acceptors)[kind](np.array([place]))
    with np.errstate(divide="ignore"):
        np.testing.assert_allclose((at.before + at.behind)[0], np.log(expected), atol=1e-6)
