"""Scores of codons along a gene, and what they are learned from."""

import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import given, settings

from genebatch.features.structure import coding
from genebatch.features.structure.coding import CodonPairs, OpenFrames, PairScores, count_pairs
from genebatch.features.structure.codons import CODONS, Codons
from genebatch.genome.nucleotides import encode
from genebatch.io.files import InputError

RNG = np.random.default_rng(0)
PAIRS = CodonPairs(RNG.normal(size=CodonPairs.SHAPE))
TEXT = "".join(RNG.choice(list("ACGTN"), 300, p=[0.24, 0.24, 0.24, 0.24, 0.04]))


def score(text: str, start: int, stop: int) -> float:
    """Score of the codons from `start` to `stop`, each behind the codon before it."""
    total = 0.0
    for place in range(start, stop, 3):
        codon, before = text[place : place + 3], text[max(place - 3, 0) : place]
        if codon in CODONS and before in CODONS:
            total += PAIRS.scores[CODONS.index(before), CODONS.index(codon)]
    return total


@settings(max_examples=50)
@given(st.integers(0, 99), st.integers(0, 99), st.integers(0, 2))
def test_difference_of_two_places_is_the_score_of_the_codons_between_them(one, other, frame):
    start, stop = (min(3 * place + frame, 297) for place in sorted((one, other)))
    stop -= (stop - start) % 3
    codes = encode(TEXT)
    scores = PairScores(PAIRS, lambda a, b: codes[a:b], len(codes))
    low, high = scores.cumulative(np.array([start, stop]))
    assert high - low == pytest.approx(score(TEXT, start, stop), abs=1e-9)


def test_scores_do_not_depend_on_the_size_of_blocks(monkeypatch):
    codes, places = encode(TEXT), np.arange(301).reshape(7, 43)
    whole = PairScores(PAIRS, lambda a, b: codes[a:b], len(codes)).cumulative(places)
    monkeypatch.setattr(coding, "BLOCK", 30)
    parts = PairScores(PAIRS, lambda a, b: codes[a:b], len(codes)).cumulative(places)
    assert parts == pytest.approx(whole, abs=1e-9)


def test_without_pairs_a_codon_counts_for_not_being_a_stop():
    codons = Codons.collect([encode("TAA" + "C" * 61)])  # one stop in 64 nt
    low, high = OpenFrames(codons).cumulative(np.array([10, 40]))
    assert high - low == pytest.approx(-10 * np.log(63 / 64))


def test_pairs_are_counted_in_frame_and_in_all_frames():
    codes = encode("AAACCCGGG")
    in_frame = count_pairs(codes, 3)
    assert in_frame.sum() == 2
    assert in_frame[CODONS.index("AAA"), CODONS.index("CCC")] == 1
    assert in_frame[CODONS.index("CCC"), CODONS.index("GGG")] == 1
    anywhere = count_pairs(codes, 1)
    assert anywhere.sum() == 4
    assert anywhere[CODONS.index("AAC"), CODONS.index("CCG")] == 1
    assert count_pairs(encode("AAACCNGGG"), 1).sum() == 0
    assert count_pairs(encode("AAACC"), 3).sum() == 0


def test_pairs_that_coding_exons_prefer_have_higher_scores():
    elsewhere = np.full(CodonPairs.SHAPE, 100)
    used = elsewhere.copy()
    used[3, 5], used[3, 6] = 1_000, 10
    scores = CodonPairs.learn(used, elsewhere).scores
    assert scores[3, 5] > 0.5 > abs(scores[9, 9])
    assert scores[3, 6] < -0.5
    assert np.isfinite(CodonPairs.learn(np.zeros_like(used), elsewhere).scores).all()


@pytest.mark.parametrize("values", [[[0.0]], np.full((64, 64), np.nan)])
def test_impossible_scores_are_refused(values):
    with pytest.raises(InputError, match="64 rows of 64 finite numbers"):
        CodonPairs.build(values)


def test_pairs_survive_json():
    assert np.array_equal(CodonPairs.build(PAIRS.plain()).scores, PAIRS.scores)
