"""The plan of the simulated genome: sizes, overlaps of every kind, transcripts."""

from itertools import combinations, pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from genebatch.genome.genes import splice_sites
from genebatch.io.files import InputError
from genebatch.simulation.locus import EXONS, GENE_LENGTH, plan_contigs


@pytest.fixture(scope="module")
def contigs():
    return plan_contigs(200, 5, seed=7)


@pytest.fixture(scope="module")
def genes(contigs):
    return [gene for contig in contigs for gene in contig.genes]


def overlapping(contigs):
    return [
        (first, second)
        for contig in contigs
        for first, second in combinations(contig.genes, 2)
        if second.start < first.end
    ]


def test_genes_have_the_promised_sizes(genes):
    lengths = np.array([gene.length for gene in genes])
    assert GENE_LENGTH[0] <= lengths.min() <= lengths.max() <= GENE_LENGTH[1]
    assert 1.5e6 < lengths.sum() < 2.5e6
    n_exons = np.array([len(gene.transcripts[0].exons) for gene in genes])
    assert set(n_exons) <= {1, *range(EXONS[0], EXONS[1] + 1)}
    assert 0 < (n_exons == 1).mean() < 0.15
    assert 0.4 < np.mean([gene.strand == "-" for gene in genes]) < 0.6


def test_inner_exons_are_near_130_nt_and_introns_are_skewed(genes):
    exons = [exon for gene in genes for exon in gene.transcripts[0].exons[1:-1]]
    introns = [
        right[0] - left[1] for gene in genes for left, right in pairwise(gene.transcripts[0].exons)
    ]
    assert np.median(np.diff(exons)) == pytest.approx(130, rel=0.1)
    assert min(introns) >= 80
    assert np.mean(introns) > 1.4 * np.median(introns)


def test_contigs_share_the_genes_and_hold_them(contigs):
    assert [contig.name for contig in contigs] == ["chr1", "chr2", "chr3", "chr4", "chr5"]
    for contig in contigs:
        assert 30 < len(contig.genes) < 50
        starts = [gene.start for gene in contig.genes]
        assert starts == sorted(starts)
        assert starts[0] < 60  # a window of 60 nt reaches outside
        assert max(gene.end for gene in contig.genes) < contig.length
        assert {gene.chrom for gene in contig.genes} == {contig.name}


def test_gene_spans_its_first_transcript_and_ids_are_unique(genes):
    for gene in genes:
        exons = gene.transcripts[0].exons
        assert (gene.start, gene.end) == (exons[0][0], exons[-1][1])
        edges = [edge for exon in exons for edge in exon]
        assert edges == sorted(set(edges))
    assert len({gene.id for gene in genes}) == len(genes) == 200


def test_second_transcript_leaves_out_one_inner_exon(genes):
    pairs = [gene.transcripts for gene in genes if len(gene.transcripts) == 2]
    assert 40 < len(pairs) < 100
    for every, some in pairs:
        (left_out,) = set(every.exons) - set(some.exons)
        assert left_out in every.exons[1:-1]
        assert len(some.exons) == len(every.exons) - 1


@settings(max_examples=25)
@given(n_genes=st.integers(8, 60), seed=st.integers(0, 999))
def test_every_kind_of_overlap_is_there_and_never_touches_a_site(n_genes, seed):
    contigs = plan_contigs(n_genes, 2, seed)
    kinds = set()
    for first, second in overlapping(contigs):
        nested = second.end < first.end
        kinds.add((nested, first.strand == second.strand))
        stretch = range(second.start, min(first.end, second.end))
        if nested:
            assert not any(
                start < second.end + 400 and end > second.start - 400
                for start, end in first.transcripts[0].exons
            )
        else:
            assert not sites_within(first, stretch)
            assert not sites_within(second, stretch)
    assert kinds == {(True, True), (True, False), (False, True), (False, False)}
    lengths = [gene.length for contig in contigs for gene in contig.genes]
    assert len(lengths) == n_genes
    assert GENE_LENGTH[0] <= min(lengths) <= max(lengths) <= GENE_LENGTH[1]


def sites_within(gene, stretch):
    """Sites of a gene in a stretch of the genome or within 25 nt of it, as far as motifs reach."""
    positions = np.concatenate(splice_sites(gene))
    places = gene.start + positions if gene.strand == "+" else gene.end - 1 - positions
    return any(stretch.start - 25 <= place < stretch.stop + 25 for place in places)


def test_only_the_planned_pairs_overlap(contigs):
    pairs = overlapping(contigs)
    assert len(pairs) == 20
    assert len({gene.id for pair in pairs for gene in pair}) == 40


def test_plan_depends_on_the_seed_alone(contigs):
    assert plan_contigs(200, 5, seed=7) == contigs
    assert plan_contigs(200, 5, seed=8) != contigs


@pytest.mark.parametrize(("n_genes", "n_chromosomes"), [(7, 1), (8, 5), (20, 0)])
def test_impossible_numbers_are_refused(n_genes, n_chromosomes):
    with pytest.raises(InputError, match=f"{n_genes} genes on {n_chromosomes} chromosomes"):
        plan_contigs(n_genes, n_chromosomes, seed=7)
