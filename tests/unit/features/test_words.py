"""Tests of features.words: word counts, GC content and complexity of windows."""

from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from genebatch.features import words as module
from genebatch.features.words import (
    COMPOSITION,
    composition_features,
    gc_content,
    gc_count,
    gc_share,
    kmer_counts,
    kmer_names,
)
from genebatch.genome.nucleotides import encode
from genebatch.io.files import InputError


def codes(text):
    return np.array(["ACGTN".index(letter) for letter in text], dtype=np.uint8)


def naive(text, start, width, k):
    words = [text[i : i + k] for i in range(start, start + width - k + 1)]
    return [words.count(name.split("_")[1]) for name in kmer_names(k)]


def test_names_are_in_alphabetical_order():
    assert kmer_names(1) == ("1mer_A", "1mer_C", "1mer_G", "1mer_T")
    assert kmer_names(3)[:2] == ("3mer_AAA", "3mer_AAC")
    assert len(kmer_names(5)) == 1_024
    assert list(kmer_names(5)) == sorted(kmer_names(5))


def test_overlapping_words_all_count_and_the_window_bounds_them():
    counts = kmer_counts(codes("TAAAAC"), np.array([1, 2]), 4, 2)
    found = [dict(zip(kmer_names(2), row.tolist(), strict=True)) for row in counts]
    assert {k: v for k, v in found[0].items() if v} == {"2mer_AA": 3}
    assert {k: v for k, v in found[1].items() if v} == {"2mer_AA": 2, "2mer_AC": 1}


def test_word_with_an_unknown_base_is_not_counted():
    counts = kmer_counts(codes("ACNGT"), np.array([0]), 5, 2)
    assert counts.sum() == 2
    assert kmer_counts(codes("NNNNN"), np.array([0]), 5, 2).sum() == 0


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_counts_equal_a_naive_count_at_any_starts(data):
    k = data.draw(st.integers(1, 4))
    width = data.draw(st.integers(k, 20))
    text = data.draw(st.text("ACGTN", min_size=width, max_size=60))
    starts = data.draw(st.lists(st.integers(0, len(text) - width), max_size=8))
    counts = kmer_counts(codes(text), np.array(starts, dtype=int), width, k)
    assert counts.shape == (len(starts), 4**k)
    assert counts.tolist() == [naive(text, start, width, k) for start in starts]


def test_counts_do_not_depend_on_the_blocks_they_are_counted_in(monkeypatch):
    rng = np.random.default_rng(0)
    sequence = rng.integers(0, 5, 700).astype(np.uint8)
    starts = rng.integers(0, 700 - 121, 300)
    whole = kmer_counts(sequence, starts, 121, 3)
    monkeypatch.setattr(module, "BLOCK_CELLS", 1_000)
    assert np.array_equal(kmer_counts(sequence, starts, 121, 3), whole)


def test_counts_are_uint8_columns_that_are_contiguous():
    counts = kmer_counts(np.zeros(300, dtype=np.uint8), np.arange(40), 121, 3)
    assert counts.dtype == np.uint8
    assert counts[:, 5].flags.c_contiguous


@pytest.mark.parametrize(("width", "kind"), [(255, np.uint8), (256, np.uint16), (501, np.uint16)])
def test_one_word_may_fill_the_window(width, kind):
    counts = kmer_counts(np.zeros(600, dtype=np.uint8), np.array([0, 9]), width, 1)
    assert counts.dtype == kind
    assert counts[:, 0].tolist() == [width, width]


def test_window_that_holds_no_word_is_refused():
    with pytest.raises(InputError, match="no word of 5 nt"):
        kmer_counts(np.zeros(300, dtype=np.uint8), np.array([0]), 3, 5)


@pytest.mark.parametrize("start", [-1, 20])
def test_window_outside_the_sequence_is_refused(start):
    with pytest.raises(IndexError, match="not inside a sequence of 30 nt"):
        kmer_counts(np.zeros(30, dtype=np.uint8), np.array([0, start]), 11, 3)


def features(text, width=None):
    """GC content and complexity of the windows of a text; of the whole text by default."""
    sequence, width = encode(text), width or len(text)
    starts = np.arange(len(text) - width + 1)
    triplets = kmer_counts(sequence, starts, width, 3)
    return composition_features(sequence, starts, width, triplets)


def test_unknown_bases_are_in_the_length_and_neither_g_nor_c():
    assert gc_count(encode("GCANNNNN")) == 2
    assert gc_share(encode("GCANNNNN")) == 0.25
    assert gc_share(encode("")) == 0
    assert gc_content(encode("GCATGC"), np.array([0, 3, 1]), 3) == pytest.approx(
        [2 / 3] * 2 + [1 / 3]
    )


def test_complexity_is_the_entropy_of_the_3mers_in_bits():
    assert features("AAAAAAA")["sequence_complexity"] == 0
    # ACG twice, CGT, GTA and TAC once each
    expected = 2 / 5 * np.log2(5 / 2) + 3 / 5 * np.log2(5)
    assert features("ACGTACG")["sequence_complexity"] == pytest.approx(expected)


def test_complexity_of_all_words_once_is_six_bits():
    text = _all_words_once(3)
    assert features(text)["sequence_complexity"] == pytest.approx(6)


def test_nothing_known_has_no_gc_and_no_complexity():
    assert {name: value.tolist() for name, value in features("NNNNN").items()} == {
        "gc_content": [0],
        "sequence_complexity": [0],
    }


def test_columns_are_float32_in_the_promised_order():
    made = features("ACGTNACGTTGCA", 5)
    assert tuple(made) == COMPOSITION
    assert {value.dtype for value in made.values()} == {np.dtype(np.float32)}


def _all_words_once(k):
    """A text of 4**k + k - 1 letters in which every word of k letters is met once."""
    text = "A" * k
    seen = {text}
    while len(seen) < 4**k:
        step = next(x for x in "TGCA" if (text + x)[-k:] not in seen)
        text += step
        seen.add(text[-k:])
    assert seen == {"".join(word) for word in product("ACGT", repeat=k)}
    return text
