"""Tests of genome.nucleotides: codes of letters and the reverse complement."""

import numpy as np

from genebatch.genome.nucleotides import CODES, FOREIGN, UNKNOWN, encode, reverse_complement


def test_codes_are_those_of_the_letters_in_either_case():
    assert encode("ACGTacgt").tolist() == [0, 1, 2, 3, 0, 1, 2, 3]
    assert encode(b"ACGT").tolist() == [0, 1, 2, 3]
    assert encode("NnRYSw-*é\u4e2d").tolist() == [4] * 10
    assert encode("ACGUacgu").tolist() == [0, 1, 2, 3, 0, 1, 2, 3]
    assert encode("").dtype == encode("A").dtype == np.uint8


def test_letters_of_several_nucleotides_are_unknown_and_those_of_proteins_foreign():
    assert set(CODES[list(b"NRYSWKMBDHVX-nryswkmbdhvx-")]) == {UNKNOWN}
    assert set(CODES[list(b"EFILPQZ*>\n")]) == {FOREIGN}


def test_reverse_complement_turns_the_order_and_keeps_unknown_bases():
    assert reverse_complement(encode("AACGTN")).tolist() == encode("NACGTT").tolist()
