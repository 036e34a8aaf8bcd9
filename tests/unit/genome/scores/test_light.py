"""Tests of the light scorer: numbers checked by hand, both strands, cuts and ends."""

from math import prod

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from genebatch.genome.fasta import Fasta
from genebatch.genome.genes import read_gene_models
from genebatch.genome.scores.light import AFTER, BEFORE, PRIOR, score_genes, score_sequence
from genebatch.genome.scores.sparse_file import FLOOR, write_scores
from tests.builders.held_genome import write_genome

CERTAIN = 1 / 1.00003  # a base of 100 %, beside three of RARE
DONOR, ACCEPTOR = 0, 1
TRACT = "TTCTTCTTTTCTTTCTTTTCAG"  # the last 22 bases of an intron


def codes(text):
    return np.array(["ACGTN".index(base) for base in text.upper()], dtype=np.uint8)


def score(text):
    """Scores of every base of a text that stands in As."""
    return score_sequence(codes("A" * BEFORE + text + "A" * AFTER))


def complement(text):
    return text[::-1].translate(str.maketrans("ACGTN", "TGCAN"))


def random_text(length, seed):
    return "".join(np.random.default_rng(seed).choice(list("ACGT"), length))


def scored(folder, *genome, **options):
    """Entries of all genes of a genome, and the number of positions scored."""
    fasta, gtf = write_genome(folder, *genome)
    out = folder / "scores.parquet"
    with Fasta(fasta) as reader:
        stretches = list(score_genes(reader, read_gene_models(gtf), **options))
    sizes = [stretch.scores.shape[1] for stretch in stretches]
    write_scores(out, sorted(stretches, key=lambda stretch: stretch.gene_id))
    return sum(sizes), pl.read_parquet(out).cast({"gene_id": pl.String})


def test_donor_score_is_the_product_of_the_columns():
    # CAG|GTAAGT; the donor is the G at place 2.
    odds = prod([0.37, 0.60, 0.81, CERTAIN, CERTAIN, 0.50, 0.71, 0.81, 0.47]) / 0.25**9
    odds *= PRIOR / (1 - PRIOR)
    found = score("CAGGTAAGT")
    assert found[DONOR, 2] == pytest.approx(odds / (1 + odds), rel=1e-4)
    assert found[DONOR].argmax() == 2


def test_acceptor_score_is_the_product_of_the_columns():
    # Every column at its best: 6 x 42, 4 x 46, 6 x 50 % T, then T 27, C 65, AG, and GTT.
    odds = 0.42**6 * 0.46**4 * 0.5**6 * prod([0.27, 0.65, CERTAIN, CERTAIN, 0.5, 0.38, 0.27])
    odds *= PRIOR / (1 - PRIOR) / 0.25**23
    found = score("T" * 17 + "CAG" + "GTT")
    assert found[ACCEPTOR, 20] == pytest.approx(odds / (1 + odds), rel=1e-4)
    assert found[ACCEPTOR].argmax() == 20


def test_sites_are_the_last_and_the_first_base_of_the_exon():
    intron = "GTAAGT" + "A" * 20 + TRACT
    found = score("CAG" + intron + "GTT")
    assert found[DONOR].argmax() == 2
    assert found[ACCEPTOR].argmax() == 3 + len(intron)


@pytest.mark.parametrize("core", ["GA", "GC", "CT", "AG", "NN", "GN"])
def test_donor_without_gt_scores_very_low(core):
    assert score(f"CAG{core}AAGT")[DONOR, 2] < 1e-4 < 0.5 < score("CAGGTAAGT")[DONOR, 2]


@pytest.mark.parametrize("core", ["AA", "GG", "TC", "NN", "AN"])
def test_acceptor_without_ag_scores_very_low(core):
    place = len(TRACT)
    assert score(TRACT[:-2] + core + "GTT")[ACCEPTOR, place] < 0.003
    assert score(TRACT + "GTT")[ACCEPTOR, place] > 0.8


@given(st.lists(st.integers(0, 4), min_size=BEFORE + AFTER + 2, max_size=90), st.data())
def test_scores_are_probabilities_and_do_not_depend_on_where_a_sequence_is_cut(bases, data):
    sequence = np.array(bases, dtype=np.uint8)
    found = score_sequence(sequence)
    cut = data.draw(st.integers(1, found.shape[1] - 1))
    left, right = sequence[: cut + BEFORE + AFTER], sequence[cut:]
    assert found.min() >= 0
    assert found.sum(axis=0).max() <= 1
    parts = np.hstack([score_sequence(left), score_sequence(right)])
    np.testing.assert_array_equal(parts, found)


def test_gene_and_its_reverse_complement_score_alike(tmp_path):
    text = random_text(400, 1) + "CAGGTAAGT" + random_text(300, 2) + TRACT + "GTT"
    text += random_text(200, 3)
    length = len(text)
    _, rows = scored(
        tmp_path,
        {"chr1": text, "chr2": complement(text)},
        {"F": ("chr1", "+", 50, length - 70), "R": ("chr2", "-", 70, length - 50)},
    )
    forward, reverse = (rows.filter(gene_id=gene).drop("gene_id") for gene in "FR")
    assert len(forward) > 50
    assert forward.equals(reverse)


def test_entries_are_the_dense_scores_from_the_floor_on(tmp_path):
    text = random_text(2_000, 4)
    positions, rows = scored(tmp_path, {"chr1": text}, {"G": ("chr1", "+", 100, 1_900)})
    assert positions == 1_800
    dense = score_sequence(codes(text)[100 - BEFORE : 1_900 + AFTER])
    kept = np.flatnonzero((dense >= FLOOR).any(axis=0))
    assert 0 < len(kept) < 1_000
    assert rows["position"].to_list() == kept.tolist()
    np.testing.assert_array_equal(rows.select("donor", "acceptor").to_numpy().T, dense[:, kept])


def test_soft_masked_sequence_scores_like_any_other(tmp_path):
    text = random_text(500, 5)
    genes = {"A": ("chr1", "+", 50, 450), "B": ("chr2", "+", 50, 450)}
    _, rows = scored(tmp_path, {"chr1": text, "chr2": text.lower()}, genes)
    one, other = (rows.filter(gene_id=gene).drop("gene_id") for gene in "AB")
    assert one.equals(other)


def test_gene_that_fills_its_contig_is_scored_to_its_ends(tmp_path):
    text = TRACT + "GTT" + "CA" * 50 + "CAGGTAAGT"
    length = len(text)
    genes = {"F": ("chr1", "+", 0, length), "R": ("chr2", "-", 0, length)}
    positions, rows = scored(tmp_path, {"chr1": text, "chr2": complement(text)}, genes)
    assert positions == 2 * length
    sites = rows.filter((pl.col("donor") > 0.3) | (pl.col("acceptor") > 0.3))
    assert sites["position"].to_list() == 2 * [len(TRACT), length - 7]


def test_blocks_change_nothing(tmp_path):
    text = random_text(3_000, 7)
    genes = {
        "B": ("chr1", "+", 30, 1_000),
        "A": ("chr1", "-", 900, 2_500),
        "C": ("chr1", "+", 10, 90),
    }
    _, whole = scored(tmp_path, {"chr1": text}, genes)
    assert whole.select("gene_id", "position").is_unique().all()
    _, blocks = scored(tmp_path, {"chr1": text}, genes, block=37)
    assert blocks.equals(whole)
