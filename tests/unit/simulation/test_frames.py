"""Protein-coding genes have an open reading frame, and nothing else of the sequence moves."""

import numpy as np
import pytest

from genebatch.genome.genes import Gene, Transcript, splice_sites
from genebatch.simulation.frames import FEWEST_CODONS, USAGE, Canvas, plant_frames
from genebatch.simulation.locus import Contig, plan_contigs
from genebatch.simulation.sequence import EXON_GC, paint

SEED = 7
STOPS = {"TAA", "TAG", "TGA"}


@pytest.fixture(scope="module")
def contigs():
    return plan_contigs(60, 2, SEED)


@pytest.fixture(scope="module")
def framed(contigs):
    return [paint(contig, SEED) for contig in contigs]


@pytest.fixture(scope="module")
def frameless(contigs):
    """The same genes painted as if none was protein-coding."""
    changed = (
        contig._replace(genes=tuple(gene._replace(kind="lncRNA") for gene in contig.genes))
        for contig in contigs
    )
    return [paint(contig, SEED) for contig in changed]


def places(pieces):
    return np.concatenate([np.arange(start, end) for start, end in pieces])


def codons(codes, gene, pieces):
    read = codes[places(pieces)]
    read = read if gene.strand == "+" else 3 - read[::-1]
    text = "".join("ACGT"[code] for code in read)
    return [text[at : at + 3] for at in range(0, len(text), 3)]


def coding_genes(contigs, painted):
    return [
        (gene, contig, drawn)
        for contig, drawn in zip(contigs, painted, strict=True)
        for gene in contig.genes
        if gene.id in drawn.coding
    ]


def test_every_protein_coding_gene_of_the_example_has_a_frame_and_no_other(contigs, framed):
    found = {gene.id for gene, _, _ in coding_genes(contigs, framed)}
    genes = [gene for contig in contigs for gene in contig.genes]
    assert found == {gene.id for gene in genes if gene.kind == "protein_coding"}
    assert 0 < len(found) < len(genes)
    assert any(gene.id in found and len(gene.transcripts[0].exons) == 1 for gene in genes)


def test_coding_part_begins_early_and_ends_in_the_last_exon(contigs, framed):
    early = 0
    for gene, _, drawn in coding_genes(contigs, framed):
        step = 1 if gene.strand == "+" else -1
        exons, pieces = gene.transcripts[0].exons[::step], drawn.coding[gene.id][::step]
        assert pieces[-1][0] in range(*exons[-1])
        early += any(pieces[0][0] in range(*exon) for exon in exons[:2])
        assert pieces[1:-1] == exons[-len(pieces) + 1 : -1]  # whole exons between the two
    assert early > 0.8 * len(coding_genes(contigs, framed))


def test_only_coding_parts_change_and_no_exon_of_another_gene(contigs, framed, frameless):
    for contig, drawn, before in zip(contigs, framed, frameless, strict=True):
        assert not before.coding
        np.testing.assert_array_equal(drawn.soft_masked, before.soft_masked)
        cover = np.zeros(contig.length, int)
        for gene in contig.genes:
            cover[places(gene.transcripts[0].exons)] += 1
        coding = np.zeros(contig.length, bool)
        for pieces in drawn.coding.values():
            coding[places(pieces)] = True
        assert (cover > 1).any()
        assert (cover[coding] == 1).all()
        changed = drawn.codes != before.codes
        assert not changed[~coding].any()
        assert changed[coding].mean() > 0.5


def test_motifs_of_sites_nearly_all_stay(contigs, framed, frameless):
    n_changed = n_sites = 0
    for contig, drawn, before in zip(contigs, framed, frameless, strict=True):
        changed = drawn.codes != before.codes
        for gene in contig.genes:
            donors, acceptors = splice_sites(gene)
            for sites, exonic in ((donors, (-2, -1, 0)), (acceptors, (0, 1, 2))):
                at = sites[:, None] + exonic
                at = gene.start + at if gene.strand == "+" else gene.end - 1 - at
                n_changed += changed[at].any(axis=1).sum()
                n_sites += len(sites)
    assert 0 < n_changed < 0.1 * n_sites


def test_codons_follow_the_usage_and_the_composition_of_exons(contigs, framed):
    found = [
        codon
        for gene, _, drawn in coding_genes(contigs, framed)
        for codon in codons(drawn.codes, gene, drawn.coding[gene.id])[1:-1]
    ]
    shares = [
        [np.mean([codon[at] == base for codon in found]) for base in "ACGT"] for at in (0, 1, 2)
    ]
    np.testing.assert_allclose(shares, USAGE, atol=0.05)
    gc = np.mean([base in "CG" for codon in found for base in codon])
    assert gc == pytest.approx(EXON_GC, abs=0.02)


def contig_of(*genes):
    return Contig(1, 5_000, genes)


def gene_of(name, strand, *exons, kind="protein_coding"):
    transcript = Transcript(f"{name}.1", exons)
    return Gene(name, name, "chr1", strand, exons[0][0], exons[-1][1], kind, (transcript,))


def plant(contig, planted=(), text=""):
    """Frames of a contig of adenine with `text` planted at some places."""
    canvas = Canvas(np.zeros(contig.length, np.uint8), np.zeros(contig.length, bool))
    for place in planted:
        span = slice(place, place + len(text))
        canvas.codes[span] = ["ACGT".index(base) for base in text]
        canvas.planted[span] = True
    return canvas, plant_frames(canvas, contig, np.random.default_rng(1))


@pytest.mark.parametrize(("strand", "text"), [("+", "TGA"), ("-", "TCA")])
def test_a_stop_among_planted_bases_loses_one_base_and_other_words_none(strand, text):
    gene = gene_of("a", strand, (500, 3_500))
    planted = range(1_200, 2_600, 10)  # in every frame
    canvas, coding = plant(contig_of(gene), planted, text)
    read = codons(canvas.codes, gene, coding["a"])
    assert read[0] == "ATG"
    assert read[-1] in STOPS
    assert not STOPS & set(read[:-1])
    first = coding["a"][0][0] if strand == "+" else coding["a"][0][1]
    wanted = ["ACGT".index(base) for base in text]
    for place in planted:
        n_changed = (canvas.codes[place : place + 3] != wanted).sum()
        assert n_changed == ((place - first) % 3 == 0)


@pytest.mark.parametrize("other_kind", ["protein_coding", "lncRNA"])
@pytest.mark.parametrize("strand", ["+", "-"])
def test_what_another_gene_covers_is_left_out(strand, other_kind):
    gene = gene_of("a", strand, (100, 900), (1_200, 2_400))
    other = gene_of("b", "+", (1_800, 3_900), kind=other_kind)
    _, coding = plant(contig_of(gene, other))
    assert coding["a"][-1][1] <= 1_800
    if other_kind == "protein_coding":
        assert coding["b"][0][0] >= 2_400
    else:
        assert set(coding) == {"a"}


@pytest.mark.parametrize("length", [1, 2, 3, 3 * FEWEST_CODONS])
def test_a_gene_without_room_stays_without_a_frame(length):
    short = gene_of("a", "+", (100, 100 + length))
    covered = gene_of("b", "-", (1_000, 1_900))
    around = gene_of("c", "+", (950, 2_000), kind="lncRNA")
    canvas, coding = plant(contig_of(short, covered, around))
    assert coding == {}
    assert not canvas.codes.any()


def test_a_gene_without_an_unplanted_codon_stays_without_a_frame():
    canvas, coding = plant(contig_of(gene_of("a", "-", (100, 900))), range(100, 900, 3), "GA")
    assert coding == {}
    assert set(canvas.codes[100:102]) == {2, 0}
