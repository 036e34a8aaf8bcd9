"""Transcripts of chains: exons on the sites, and coding sequences that translate."""

import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings

from genebatch.features.structure.exons import FIVE, NON, THREE
from genebatch.features.structure.lengths import LogNormal
from genebatch.features.structure.paths import Path, Paths
from genebatch.features.structure.transcripts import Coding, transcript
from genebatch.genome.nucleotides import encode
from tests.unit.features.structure.test_chain import SHORT, STOPS, genes, made

MEDIANS = replace(  # 12 and 20 nt
    SHORT,
    first=(LogNormal(1.0, math.log(12), 0.01),),
    last=(LogNormal(1.0, math.log(20), 0.01),),
)


def fetching(text):
    return lambda start, stop: encode(text[start:stop])


def path(places, states, first="donor", whole=(True, True)):
    donors = tuple((number % 2 == 0) == (first == "donor") for number in range(len(places)))
    return Path(tuple(places), donors, tuple(states), whole, 1.0, 1.0, (), (), 0)


def read(text, *arguments, **named):
    return transcript(path(*arguments, **named), fetching(text), len(text), MEDIANS)


def sequence(text, coding):
    return "".join(text[part.start : part.stop] for part in coding)[coding[0].phase :]


def codons(text, coding):
    bases = sequence(text, coding)
    return [bases[place : place + 3] for place in range(0, len(bases) - 2, 3)]


@settings(max_examples=40)
@given(genes())
def test_coding_sequences_translate_from_start_to_stop(gene):
    text, donors, acceptors = gene
    for chain in Paths(made(text, donors, acceptors)).likely(10, np.random.default_rng(0), 0):
        found = transcript(chain, fetching(text), len(text), SHORT)
        inner = [place + donor for place, donor in zip(chain.places, chain.is_donor, strict=True)]
        bounds = [place for exon in found.exons for place in exon]
        assert bounds == sorted(bounds)
        assert all(0 <= start < stop <= len(text) for start, stop in found.exons)
        assert set(inner) <= set(bounds)
        assert len(bounds) - len(inner) == (chain.is_donor or (True,))[0] + (
            not (chain.is_donor or (False,))[-1]
        )
        assert found.open_ends == tuple(not whole for whole in chain.whole)
        if not found.coding:
            continue
        starts, stops = ({exon[end] for exon in found.exons} for end in (0, 1))
        assert all(part.start in starts for part in found.coding[1:])
        assert all(part.stop in stops for part in found.coding[:-1])
        for part, after in zip(found.coding, found.coding[1:], strict=False):
            assert (part.stop - part.start - part.phase + after.phase) % 3 == 0
        translated = codons(text, found.coding)
        assert not STOPS.intersection(translated[:-1])
        if not found.open_ends[0]:
            assert translated[0] == "ATG"
        if not found.open_ends[1]:
            assert translated[-1] in STOPS
            assert len(sequence(text, found.coding)) % 3 == 0


INTRON = "GTAAGTCCTTCCAG"


def spliced(first, last, state, **named):
    """The transcript of two exons, and the codons of its coding sequence."""
    text = first + INTRON + last
    sites = [len(first) - 1, len(first) + len(INTRON)]
    found = read(text, sites, [state, state], **named)
    return found, codons(text, found.coding) if found.coding else []


def test_coding_sequence_goes_from_the_first_open_start_to_the_stop():
    found, read_codons = spliced("CCATGGCCATGGCA", "CAGCTTTAACCC", 0)
    assert found.exons == ((0, 14), (28, 40))
    assert found.coding == (Coding(2, 14, 0), Coding(28, 37, 0))
    assert read_codons == ["ATG", "GCC", "ATG", "GCA", "CAG", "CTT", "TAA"]
    assert (found.open_ends, found.early_stop) == ((False, False), False)


def test_start_codons_before_a_stop_in_frame_do_not_count():
    found, read_codons = spliced("ATGTAACCATGCATGG", "CCTGA", 1)
    assert found.coding == (Coding(12, 16, 0), Coding(30, 35, 2))
    assert read_codons == ["ATG", "GCC", "TGA"]


def test_coding_sequence_ends_at_a_stop_that_an_intron_splits():
    found, read_codons = spliced("CCATGGCCT", "AAGCTTAACC", 1)
    assert found.early_stop
    assert found.coding == (Coding(2, 9, 0), Coding(23, 25, 2))
    assert read_codons == ["ATG", "GCC", "TAA"]


@pytest.mark.parametrize(
    ("first", "start", "begins", "read_codons"),
    [
        ("CCCCCGCCGCCGCCGCC", 5, 5, ["GCC"] * 4),
        ("CCCCCGCCATGGCCGCC", 5, 8, ["ATG", "GCC", "GCC"]),  # from the start codon, if there is one
        ("CCCCCGCCGCCTAAGCC", 14, 14, ["GCC"]),  # behind a stop codon in frame
        ("CCCCCGCCGCCGCCTAA", 16, 16, []),  # the last nt of that stop codon
    ],
)
def test_first_exon_of_unknown_start_is_as_long_as_its_frame_allows(
    first, start, begins, read_codons
):
    found, codons_read = spliced(first, "CAGTAACC", 0, whole=(False, True))
    assert found.exons[0] == (start, 17)
    assert found.coding[0][:2] == (begins, 17)
    assert found.open_ends == (True, False)
    assert codons_read == [*read_codons, "CAG", "TAA"]


@pytest.mark.parametrize(
    ("last", "stop", "ends"), [("CAG" * 9, 20, 20), ("CAGTAA" + "CAG" * 7, 20, 6), ("CAG", 3, 3)]
)
def test_last_exon_of_unknown_end_has_the_median_length(last, stop, ends):
    found, _ = spliced("CCATGGCA", last, 0, whole=(True, False))
    assert found.exons[1] == (22, 22 + stop)
    assert found.coding[1] == (22, 22 + ends, 0)
    assert found.open_ends == (False, True)


def test_chain_that_begins_at_an_acceptor_and_ends_at_a_donor_has_inner_exons_only():
    text = "CCCC" + "GCAGCAG" + "CCCC"
    loose = {"first": "acceptor", "whole": (False, False)}
    found = read(text, [4, 10], [2, 0], **loose)
    assert found.exons == ((4, 11),)
    assert found.coding == (Coding(4, 11, 1),)
    assert found.open_ends == (True, True)


def test_longest_open_frame_is_taken_where_both_codons_are_in_one_exon():
    _, read_codons = spliced("CCATGTAAATGGCCTGACC", "CAG", THREE)
    assert read_codons == ["ATG", "GCC", "TGA"]
    assert spliced("CCATGGCC", "CAG", THREE)[0].coding == ()


@pytest.mark.parametrize("state", [FIVE, NON])
def test_chains_that_do_not_code_have_no_coding_sequence(state):
    whole = (True, state == NON)
    found, _ = spliced("CCATGGCC", "CAGTAA", state, whole=whole)
    assert found.coding == ()


def test_chain_without_sites_is_the_whole_gene():
    assert read("ATGTAACC", [], []) == (((0, 8),), (), (False, False), False)
