"""Families of genes by their sequence: planted similarity is found, chance and repeats are not."""

import logging

import numpy as np
import pytest

from genebatch.genome.families import (
    MOST_COPIES,
    SPAN,
    WEIGHT,
    gene_families,
    group_by_similarity,
    similar_pairs,
    similarity,
    spliced,
    words_of,
)
from genebatch.genome.genes import Gene, Transcript
from genebatch.io.files import InputError
from tests.builders.held_genome import HeldFasta, made_gene


def drawn(length, seed=0):
    return np.random.default_rng(seed).integers(0, 4, length).astype(np.uint8)


def mutated(codes, identity, seed=1):
    """The sequence with other letters at random places, so that `identity` of them stay."""
    rng = np.random.default_rng(seed)
    places = rng.choice(len(codes), round((1 - identity) * len(codes)), replace=False)
    changed = codes.copy()
    changed[places] = (changed[places] + rng.integers(1, 4, len(places))) % 4
    return changed


def joined(*sequences, cover=0.5, identity=0.8):
    words = [words_of(codes) for codes in sequences]
    return [tuple(pair) for pair in similar_pairs(words, cover, identity).tolist()]


def test_a_word_is_the_letters_at_the_ones_of_the_seed():
    # 111010010100110111, and a sequence that counts 0, 1, 2, 3, 0, ...
    found = words_of(np.arange(SPAN, dtype=np.uint8) % 4)
    letters = [place % 4 for place in (0, 1, 2, 4, 7, 9, 12, 13, 15, 16, 17)]
    assert WEIGHT == len(letters) == 11
    assert found.words.tolist() == [sum(4 ** (10 - n) * code for n, code in enumerate(letters))]
    assert found.places.tolist() == [0]


def test_unknown_letters_short_sequences_and_many_copies_give_no_words():
    codes = drawn(3 * SPAN)
    codes[SPAN - 1] = 4  # a one of the words at 0, 1, 2, 4, 5, 8, 10, 13, 15, 16 and 17
    assert len(words_of(codes).words) == 3 * SPAN - SPAN + 1 - WEIGHT
    assert len(words_of(drawn(SPAN - 1)).words) == 0
    assert len(words_of(np.zeros(SPAN - 1 + MOST_COPIES, np.uint8)).words) == MOST_COPIES
    assert len(words_of(np.zeros(SPAN + MOST_COPIES, np.uint8)).words) == 0


def test_identical_sequences_are_aligned_from_end_to_end():
    words = words_of(drawn(500))
    assert similarity(words, words, 0.8) == (1.0, 1.0)


def test_what_is_alike_by_chance_is_not_aligned():
    one, other = words_of(drawn(3_000, 1)), words_of(drawn(30_000, 2))
    assert similarity(one, other, 0.8)[0] < 0.05


@pytest.mark.parametrize("identity", [0.8, 0.9])
def test_pairs_a_twentieth_above_the_identity_are_found_and_those_below_are_not(identity):
    families = [drawn(1_500, seed) for seed in range(20)]
    above = [mutated(codes, identity + 0.05, seed) for seed, codes in enumerate(families)]
    below = [mutated(codes, identity - 0.05, seed) for seed, codes in enumerate(families)]
    found = joined(*families, *above, identity=identity)
    assert found == [(number, number + 20) for number in range(20)]
    assert len(joined(*families, *below, identity=identity)) <= 1


@pytest.mark.parametrize(("share", "found"), [(0.6, [(0, 1)]), (0.4, [])])
def test_cover_is_the_share_of_the_shorter_sequence(share, found):
    # The longer one holds this share of the shorter one, among four times as much of its own.
    shorter = drawn(1_000)
    part = mutated(shorter[: round(1_000 * share)], 0.95)
    longer = np.concatenate([drawn(2_000, 5), part, drawn(2_000, 6)])
    assert joined(shorter, longer) == joined(longer, shorter) == found


def test_exons_that_one_gene_lacks_part_no_alignment():
    one = drawn(1_200)
    other = np.concatenate([one[:400], drawn(150, 9), one[400:600], one[800:]])
    share, identity = similarity(words_of(one), words_of(mutated(other, 0.9)), 0.8)
    assert share == pytest.approx(1_000 / 1_200, abs=0.04)
    assert identity == pytest.approx(0.9, abs=0.03)


def test_repeats_and_low_complexity_join_nothing():
    repeat = drawn(300, 3)
    genes = [
        np.concatenate([drawn(900, seed), mutated(repeat, 0.9, seed), np.zeros(500, np.uint8)])
        for seed in range(10, 16)
    ]
    assert joined(*genes) == []
    # A gene that is half a repeat is joined: nothing tells a repeat from a family.
    assert joined(np.concatenate([repeat, drawn(200, 8)]), genes[0]) == [(0, 1)]


def test_pairs_join_in_chains_and_a_family_has_its_first_id():
    pairs = np.array([[0, 2], [2, 3]])
    assert gene_families(["d", "b", "c", "a"], pairs) == {"d": "a", "b": "b", "c": "a", "a": "a"}
    assert gene_families(["x"], np.empty((0, 2), np.int64)) == {"x": "x"}


def complement(codes):
    return 3 - codes[::-1]


@pytest.fixture
def genome():
    """Two copies of a gene of two exons, one on each strand, one reversed, and one of its own."""
    first, second = drawn(300, 1), drawn(400, 2)
    copy = mutated(np.concatenate([first, second]), 0.9)
    parts = {
        "plus": [first, drawn(100, 3), second],
        "minus": [complement(copy[300:]), drawn(250, 4), complement(copy[:300])],
        "turned": [complement(second), drawn(100, 5), complement(first)],
        "alone": [drawn(300, 6), drawn(100, 7), drawn(400, 8)],
    }
    genes = []
    for name, (left, intron, right) in parts.items():
        ends = np.cumsum([len(left), len(intron), len(right)]).tolist()
        exons = ((0, ends[0]), (ends[1], ends[2]))
        strand = "-" if name == "minus" else "+"
        genes.append(made_gene(0, ends[2], strand, name, name, [exons]))
    return HeldFasta({name: np.concatenate(codes) for name, codes in parts.items()}), genes


def test_genes_are_compared_by_their_spliced_sequence_in_the_direction_of_transcription(genome):
    fasta, genes = genome
    assert spliced(fasta, genes[0]).tolist() == [*drawn(300, 1), *drawn(400, 2)]
    # Of 700 nt, 70 differ.
    assert (spliced(fasta, genes[1]) != spliced(fasta, genes[0])).sum() == 70
    families = group_by_similarity(fasta, genes)
    assert families == {"plus": "minus", "minus": "minus", "turned": "turned", "alone": "alone"}


def test_the_canonical_transcript_counts(genome):
    fasta, genes = genome
    tagged = Transcript("t", ((0, 300),), "MANE_Select")
    gene = genes[0]._replace(transcripts=(*genes[0].transcripts, tagged))
    assert len(spliced(fasta, gene)) == 300


def test_genes_without_known_letters_are_families_of_their_own(caplog):
    fasta = HeldFasta({"c": np.full(100, 4, np.uint8), "d": np.full(100, 4, np.uint8)})
    genes = [made_gene(0, 100, "+", name, name, [((0, 100),)]) for name in "cd"]
    assert group_by_similarity(fasta, genes) == {"c": "c", "d": "d"}
    assert "2 of 2 genes have no words of 18 known letters" in caplog.text


@pytest.mark.parametrize(("copies", "warned"), [(11, True), (10, False)])
def test_a_family_that_is_too_large_to_be_one_is_told(caplog, copies, warned):
    codes = drawn(300)
    contigs = {f"g{n:02d}": codes if n < copies else drawn(300, 50 + n) for n in range(20)}
    genes = [Gene(n, n, n, "+", 0, 300, "", (Transcript(n, ((0, 300),)),)) for n in contigs]
    with caplog.at_level(logging.WARNING):
        group_by_similarity(HeldFasta(contigs), genes)
    text = (
        "the family of g00 has 11 of 20 genes; chains of similar pairs may join what is no family: "
        "raise --cover or --identity"
    )
    assert (text in caplog.text) == warned


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"cover": 0}, r"cover is 0; wanted a share above 0 and up to 1 \(--cover\)"),
        ({"cover": 1.1}, "cover is 1.1"),
        ({"identity": 0.69}, r"identity is 0.69; wanted 0.7 to 1 \(--identity\)"),
        ({"identity": 1.01}, "identity is 1.01"),
    ],
)
def test_shares_out_of_range_are_refused(genome, options, message):
    with pytest.raises(InputError, match=message):
        group_by_similarity(*genome, **options)
