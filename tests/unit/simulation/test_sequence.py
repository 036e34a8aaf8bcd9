"""The simulated sequence has its introns, unknown bases, motifs and decoys where they belong."""

import numpy as np
import pytest

from genebatch.genome.genes import splice_sites
from genebatch.genome.nucleotides import UNKNOWN, reverse_complement
from genebatch.genome.scores.light import AFTER, BEFORE, score_sequence
from genebatch.simulation.locus import plan_contigs
from genebatch.simulation.sequence import CLEAR, paint

SEED = 7
G, T, A = 2, 3, 0


@pytest.fixture(scope="module")
def contigs():
    return plan_contigs(60, 2, SEED)


@pytest.fixture(scope="module")
def painted(contigs):
    return {contig.name: paint(contig, SEED) for contig in contigs}


def oriented(painted, gene):
    """Codes of a gene in its orientation, with the flanks that its scores need."""
    codes = np.pad(painted[gene.chrom].codes, BEFORE, constant_values=UNKNOWN)
    codes = codes[gene.start : gene.end + 2 * BEFORE]
    if gene.strand == "-":
        codes = reverse_complement(codes)
    return codes[: gene.length + BEFORE + AFTER]


def all_genes(contigs):
    return [gene for contig in contigs for gene in contig.genes]


def test_every_intron_begins_with_gt_and_ends_with_ag_on_its_strand(contigs, painted):
    n_introns = {"+": 0, "-": 0}
    for gene in all_genes(contigs):
        codes = oriented(painted, gene)[BEFORE:]
        donors, acceptors = splice_sites(gene)
        n_introns[gene.strand] += len(donors)
        assert (codes[donors + 1] == G).all()
        assert (codes[donors + 2] == T).all()
        assert (codes[acceptors - 2] == A).all()
        assert (codes[acceptors - 1] == G).all()
    assert min(n_introns.values()) > 50


def test_unknown_bases_are_there_and_far_from_exons(contigs, painted):
    for contig in contigs:
        unknown = np.flatnonzero(painted[contig.name].codes == UNKNOWN)
        assert 100 < len(unknown) < 0.01 * contig.length
        for gene in contig.genes:
            for start, end in gene.transcripts[0].exons:
                assert not ((unknown >= start - CLEAR) & (unknown < end + CLEAR)).any()


def test_some_unknown_bases_are_inside_genes(contigs, painted):
    inside = [
        (painted[gene.chrom].codes[gene.start : gene.end] == UNKNOWN).sum()
        for gene in all_genes(contigs)
    ]
    assert 0 < np.count_nonzero(inside) < len(inside)


def test_exons_have_more_gc_than_the_rest(contigs, painted):
    exonic = {contig.name: np.zeros(contig.length, dtype=bool) for contig in contigs}
    for gene in all_genes(contigs):
        for start, end in gene.transcripts[0].exons:
            exonic[gene.chrom][start:end] = True
    codes = np.concatenate([painted[name].codes for name in exonic])
    strong, exonic = np.isin(codes, (1, 2)), np.concatenate(list(exonic.values()))
    assert strong[exonic].mean() > strong[~exonic].mean() + 0.05


def test_most_sites_score_well_and_so_do_many_other_positions(contigs, painted):
    scores, sites = [], []
    for gene in all_genes(contigs):
        scores.append(score_sequence(oriented(painted, gene)))
        site = np.zeros((2, gene.length), dtype=bool)
        for row, positions in zip(site, splice_sites(gene), strict=True):
            row[positions] = True
        sites.append(site)
    scores, sites = np.hstack(scores), np.hstack(sites)
    for score, site in zip(scores, sites, strict=True):
        assert (score[site] >= 0.05).mean() > 0.8
        strong = score >= 0.3
        assert 0.4 < site[strong].mean() < 0.75


@pytest.mark.parametrize("strand", ["+", "-"])
def test_strong_matches_far_from_exons_are_many_times_those_of_shuffled_bases(
    contigs, painted, strand
):
    found = chance = 0
    for contig in contigs:
        codes = painted[contig.name].codes
        far = np.ones(contig.length, dtype=bool)
        for gene in contig.genes:
            for start, end in gene.transcripts[0].exons:
                far[max(start - CLEAR, 0) : end + CLEAR] = False
        shuffled = codes.copy()
        shuffled[far] = np.random.default_rng(0).permutation(codes[far])
        found += strong(codes, far, strand)
        chance += strong(shuffled, far, strand)
    assert found > 1.7 * chance > 0


def strong(codes, places, strand):
    """Number of positions at `places` that score .5 as a donor or as an acceptor."""
    if strand == "-":
        codes, places = reverse_complement(codes), places[::-1]
    scores = score_sequence(np.pad(codes, (BEFORE, AFTER), constant_values=UNKNOWN))
    return (scores[:, places] > 0.5).sum()


def test_about_a_fifth_is_soft_masked_in_and_out_of_exons(contigs, painted):
    for contig in contigs:
        masked = painted[contig.name].soft_masked
        assert 0.1 < masked.mean() < 0.3
        exons = [exon for gene in contig.genes for exon in gene.transcripts[0].exons]
        assert any(masked[start:end].any() for start, end in exons)


def test_sequence_depends_on_plan_and_seed_alone(contigs, painted):
    contig = contigs[1]
    np.testing.assert_array_equal(paint(contig, SEED).codes, painted[contig.name].codes)
    assert (paint(contig, SEED + 1).codes != painted[contig.name].codes).mean() > 0.5
