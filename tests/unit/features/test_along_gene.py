"""Blocks of a gene: they cover it once, their features are the gene's, memory stays bounded."""

import subprocess
import sys
import textwrap

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from genebatch.features.along_gene import Genome, gene_blocks, score_blocks
from genebatch.features.positions import FAMILIES, Spec, position_features
from tests.builders.held_genome import HeldFasta, HeldScores, made_codes, made_gene, made_scores

ALL = Spec(families=FAMILIES, kmers=(2,), window=10)
CONTIG = made_codes(700)


def made_genome(gene, spec=ALL, codes=CONTIG):
    return Genome(HeldFasta({"c": codes}), HeldScores({gene.id: made_scores(gene.length)}), spec)


def expected(gene, codes, scores, spec):
    """Features of the whole gene at once, its sequence cut out by hand."""
    padded = np.concatenate([np.full(spec.window, 4), codes, np.full(spec.window, 4)])
    around = padded[gene.start : gene.end + 2 * spec.window].astype(np.uint8)
    if gene.strand == "-":
        around = np.array([3, 2, 1, 0, 4], np.uint8)[around[::-1]]
    return position_features(around, *scores, spec=spec)


def whole_gene(genome, gene, block):
    return pl.concat(
        part.features(np.arange(part.start, part.stop)) for part in gene_blocks(genome, gene, block)
    )


@settings(max_examples=25, deadline=None)
@given(block=st.integers(1, 400), strand=st.sampled_from("+-"), data=st.data())
def test_features_do_not_depend_on_the_block_size(block, strand, data):
    start = data.draw(st.integers(0, 690))
    gene = made_gene(start, data.draw(st.integers(start + 5, 700)), strand)
    genome = made_genome(gene)
    scores = genome.scores.tracks["g"]
    found = whole_gene(genome, gene, max(block, gene.length // 12))
    assert found.equals(expected(gene, CONTIG, scores, ALL))


@pytest.mark.parametrize("strand", "+-")
@pytest.mark.parametrize(("start", "end"), [(0, 50), (650, 700), (0, 700)])
def test_gene_at_the_ends_of_its_contig_has_unknown_bases_beyond(start, end, strand):
    gene = made_gene(start, end, strand)
    genome = made_genome(gene)
    found = whole_gene(genome, gene, 16)
    assert found.equals(expected(gene, CONTIG, genome.scores.tracks["g"], ALL))
    counted = found.select(pl.sum_horizontal(ALL.count_columns)).to_series()
    first_missing = 0 if (strand == "+") == (start == 0) else -1
    assert counted[first_missing] <= 11 - 1 < counted.max()  # words of 2 in 11 and in 21 nt


def test_minus_gene_is_read_from_its_end():
    # Plus strand AACC at 3: the minus gene over it begins with GGTT.
    codes = np.array([4, 4, 4, 0, 0, 1, 1, 4, 4, 4], np.uint8)
    spec = Spec(families=("kmers",), kmers=(3,), window=3)
    gene = made_gene(3, 7, "-")
    genome = Genome(HeldFasta({"c": codes}), HeldScores({"g": made_scores(4)}), spec)
    found = whole_gene(genome, gene, 4)
    words = found.select(pl.selectors.starts_with("3mer_").sum()).row(0, named=True)
    assert {name for name, n in words.items() if n} == {"3mer_GGT", "3mer_GTT"}


@pytest.mark.parametrize("block", [1, 7, 99, 100, 101])
def test_blocks_cover_each_position_once_with_its_scores(block):
    gene = made_gene(50, 150, "-")
    genome = made_genome(gene)
    parts = list(gene_blocks(genome, gene, block))
    places = [place for part in parts for place in range(part.start, part.stop)]
    assert places == list(range(100))
    scores = np.hstack([part.scores for part in parts])
    np.testing.assert_array_equal(scores, genome.scores.tracks["g"])
    again = np.hstack(list(score_blocks(genome.scores, gene, block)))
    np.testing.assert_array_equal(again, scores)


def test_features_come_in_the_order_of_the_positions_asked_for():
    gene = made_gene(0, 700)
    genome = made_genome(gene)
    block = list(gene_blocks(genome, gene, 300))[1]
    forward, asked = block.features(np.arange(300, 600)), np.array([599, 300, 450, 450])
    assert block.features(asked).equals(forward[asked - 300])
    assert block.features(np.empty(0, int)).shape == (0, len(ALL.columns))


def test_scores_are_read_twice_and_never_more_than_a_block_with_its_neighbours():
    gene = made_gene(0, 700)
    genome = made_genome(gene)
    for _ in gene_blocks(genome, gene, 100):
        pass
    sizes = [end - start for start, end in genome.scores.asked]
    assert max(sizes) == 104  # two neighbours on each side
    assert sum(sizes) == 700 + 700 + 2 * 6 * 2


LONG = """
    import numpy as np
    from genebatch.features.along_gene import Genome, gene_blocks
    from genebatch.features.positions import Spec
    from genebatch.genome.genes import Gene
    from genebatch.jobs.run import peak_mb

    class Scores:
        def fetch(self, gene, start, end):
            scores = np.full((2, end - start), 1e-6, np.float32)
            scores[:, -start % 1_000 :: 1_000] = 0.5
            return scores

    class Sequence:
        def fetch(self, chrom, start, end, strand):
            return (np.arange(start, end) % 7 % 4).astype(np.uint8)

    gene = Gene("long", "long", "c", "-", 0, LENGTH, "", ())
    genome = Genome(Sequence(), Scores(), Spec(kmers=(3,)))
    rows = 0
    for block in gene_blocks(genome, gene):
        rows += block.features(np.arange(block.start, block.stop, 512)).height
    print(rows, peak_mb())
"""


@pytest.mark.slow
def test_peak_memory_does_not_grow_with_the_length_of_a_gene():
    def measure(length):
        code = textwrap.dedent(LONG).replace("LENGTH", str(length))
        done = subprocess.run(
            [sys.executable, "-c", code], capture_output=True, text=True, check=True
        )
        rows, peak = done.stdout.split()
        assert int(rows) == -(-length // 512)
        return float(peak)

    # 20 Mb of scores as float32 take 160 MB, their sequence 20 MB; strong sites some 5 MB.
    assert measure(20_000_000) - measure(200_000) < 30
