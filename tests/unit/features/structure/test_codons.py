"""Stops and starts by frame, and what is open between two places."""

import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import given

from genebatch.features.structure.codons import (
    CODONS,
    NONE_AHEAD,
    START,
    STOPS,
    Codons,
    codon_numbers,
)
from genebatch.genome.nucleotides import encode

texts = st.text("ACGTN", max_size=60)


def test_codons_have_numbers_in_alphabetical_order():
    assert codon_numbers(encode("AAACTTTNAAA")).tolist() == [0, 1, 7, 31, 63, -1, -1, -1, 0]
    assert CODONS[codon_numbers(encode("TGA"))[0]] == "TGA"


@pytest.mark.parametrize("text", ["", "A", "TA"])
def test_fewer_than_three_nt_have_no_codon(text):
    assert codon_numbers(encode(text)).size == 0
    assert Codons.collect([encode(text)]).length == len(text)


@given(texts, st.lists(st.integers(0, 60), max_size=5))
def test_codons_do_not_depend_on_the_blocks(text, cuts):
    codes = encode(text)
    whole = Codons.collect([codes])
    parts = Codons.collect(np.split(codes, sorted(min(cut, len(codes)) for cut in cuts)))
    places = np.arange(len(text) + 1)
    assert whole.length == parts.length == len(text)
    assert whole.stop_share == parts.stop_share
    assert whole.next_stops(places).tolist() == parts.next_stops(places).tolist()
    assert whole.open_starts(places).tolist() == parts.open_starts(places).tolist()


@given(texts, st.integers(0, 60))
def test_next_stop_is_the_first_in_frame(text, first):
    found = Codons.collect([encode(text)]).next_stops(np.array([first]))[0]
    there = [i for i in range(first, len(text) - 2, 3) if text[i : i + 3] in STOPS]
    assert found == (there[0] if there else NONE_AHEAD)


@given(texts, st.integers(0, 60))
def test_open_start_is_the_last_one_that_no_stop_follows(text, end):
    end = min(end, len(text))
    found = Codons.collect([encode(text)]).open_starts(np.array([end]))[0]
    frame = range(end - 3, -1, -3)
    stop = next((i for i in frame if text[i : i + 3] in STOPS), -1)
    start = next((i for i in frame if text[i : i + 3] == START), -1)
    assert found == (start if start > stop else -1)
