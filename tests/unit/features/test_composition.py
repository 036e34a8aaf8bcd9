"""What genebatch.composition promises."""

from itertools import product

import numpy as np
import pytest

from genebatch.features.composition import (
    COLUMNS,
    composition_features,
    gc_content,
    gc_count,
    gc_share,
)
from genebatch.features.words import kmer_counts
from genebatch.genome.nucleotides import encode


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
    assert tuple(made) == COLUMNS
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
