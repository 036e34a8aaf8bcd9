"""Genes and their sites, by numbers that can be checked by hand."""

import re

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from genebatch.genome.genes import (
    Gene,
    Transcript,
    foreign_sites,
    genomic_positions,
    overlap_groups,
    read_gene_models,
    read_groups,
    select_genes,
    splice_sites,
)
from genebatch.io.files import InputError


def gene(name, *transcripts, strand="+", chrom="chr1"):
    """A gene of transcripts that are given as tuples of exons."""
    made = tuple(Transcript(f"{name}.{n}", exons) for n, exons in enumerate(transcripts))
    start = min(exons[0][0] for exons in transcripts)
    end = max(exons[-1][1] for exons in transcripts)
    return Gene(name, name, chrom, strand, start, end, "", made)


def sites(one):
    return [positions.tolist() for positions in splice_sites(one)]


THREE_EXONS = ((100, 110), (150, 160), (190, 200))


def test_plus_strand_donor_is_the_last_base_of_the_exon_and_acceptor_the_first():
    assert sites(gene("g", THREE_EXONS)) == [[9, 59], [50, 90]]


def test_minus_strand_donor_is_the_last_base_of_the_exon_and_acceptor_the_first():
    # Transcript orientation: exon 190-200 comes first, and its last base is 190, gene position 9.
    assert sites(gene("g", THREE_EXONS, strand="-")) == [[9, 49], [40, 90]]


def test_sites_of_a_gene_are_those_of_all_its_transcripts_once():
    two = gene("g", THREE_EXONS, ((100, 110), (170, 200)), ((50, 300),))
    assert sites(two) == [[59, 109], [100, 120, 140]]


def test_a_transcript_of_one_exon_has_no_sites():
    assert sites(gene("g", ((5, 90),))) == [[], []]
    assert all(array.dtype == np.int64 for array in splice_sites(gene("g", ((5, 90),))))


def test_an_exon_of_one_base_is_donor_and_acceptor():
    assert sites(gene("g", ((0, 3), (5, 6), (8, 9)))) == [[2, 5], [5, 8]]


def test_gene_positions_count_from_the_transcribed_end():
    positions = np.array([0, 1, 99])
    assert genomic_positions(gene("g", THREE_EXONS), positions).tolist() == [100, 101, 199]
    minus = gene("g", THREE_EXONS, strand="-")
    assert genomic_positions(minus, positions).tolist() == [199, 198, 100]


@given(st.lists(st.integers(1, 50), min_size=1, max_size=9), st.integers(0, 99))
def test_strands_mirror_each_other(lengths, start):
    edges = (start + np.cumsum([0, *lengths, *([1] * (len(lengths) % 2 == 0))])).tolist()
    exons = tuple(zip(edges[::2], edges[1::2], strict=True))
    plus, minus = gene("g", exons), gene("g", exons, strand="-")
    mirrored = [sorted(plus.length - 1 - p for p in kind) for kind in reversed(sites(minus))]
    assert sites(plus) == mirrored


def test_sites_of_another_gene_on_the_strand_are_foreign_and_own_ones_are_not():
    host = gene("host", THREE_EXONS)
    # The guest shares the donor at 109 and has sites of its own at 119 and 129.
    guest = gene("guest", ((105, 110), (119, 130), (185, 187)))
    found = foreign_sites([host, guest])
    assert found["host"].tolist() == [19, 29, 85]
    # Of the host's sites 109, 150, 159 and 190 only these two lie in the guest and are not its own.
    assert found["guest"].tolist() == [45, 54]


def test_sites_on_the_other_strand_or_chromosome_are_not_foreign():
    host = gene("host", THREE_EXONS)
    inside = ((105, 112), (119, 130))
    others = [gene("a", inside, strand="-"), gene("b", inside, chrom="chr2")]
    assert {name: array.tolist() for name, array in foreign_sites([host, *others]).items()} == {
        "host": [],
        "a": [],
        "b": [],
    }


def test_foreign_sites_of_minus_genes_are_in_transcript_orientation():
    host = gene("host", ((100, 200),), strand="-")
    guest = gene("guest", ((105, 110), (150, 160)), strand="-")
    assert foreign_sites([host, guest])["host"].tolist() == [49, 90]


def span(name, start, end, strand="+", chrom="chr1"):
    return gene(name, ((start, end),), strand=strand, chrom=chrom)


def test_genes_that_overlap_on_either_strand_are_one_group():
    genes = [
        span("a", 0, 100),
        span("b", 99, 150, "-"),
        span("c", 150, 200),
        span("d", 0, 9, chrom="2"),
    ]
    assert overlap_groups(genes) == {"a": "a", "b": "a", "c": "c", "d": "d"}


def test_a_short_gene_does_not_hide_a_long_one_before_it():
    genes = [span("long", 0, 100), span("short", 10, 20), span("late", 90, 120)]
    assert set(overlap_groups(genes).values()) == {"late"}


def test_overlaps_and_given_groups_join_in_chains():
    genes = [span("a", 0, 10), span("b", 5, 20), span("c", 100, 110), span("d", 200, 210)]
    given_groups = {"b": "x", "c": "x", "d": "y", "unknown": "x"}
    assert overlap_groups(genes, given_groups) == {"a": "a", "b": "a", "c": "a", "d": "d"}


def test_copies_of_a_gene_on_two_chromosomes_are_one_group():
    names = {"A": "chrX", "A@chrY": "chrY", "E.1": "chrX", "E.1_PAR_Y": "chrY"}
    genes = [span(n, 100 * i, 100 * i + 9, chrom=c) for i, (n, c) in enumerate(names.items())]
    assert overlap_groups(genes) == {"A": "A", "A@chrY": "A", "E.1": "E.1", "E.1_PAR_Y": "E.1"}


@given(st.permutations(range(6)))
def test_groups_do_not_depend_on_the_order_of_genes(order):
    genes = [span(f"g{n}", 10 * n, 10 * n + (15 if n in (1, 4) else 5)) for n in range(6)]
    groups = overlap_groups([genes[n] for n in order], {"g0": "p", "g5": "p"})
    assert groups == {"g0": "g0", "g1": "g1", "g2": "g1", "g3": "g3", "g4": "g0", "g5": "g0"}


def test_nothing_in_gives_nothing_out():
    assert overlap_groups([]) == {}
    assert foreign_sites([]) == {}
    assert select_genes([], [], "genes.txt") == []


def exon(gene_id, transcript, start, end, strand="+", chrom="chr1", extra=""):
    attributes = f'gene_id "{gene_id}"; transcript_id "{transcript}";{extra}'
    return f"{chrom}\tx\texon\t{start}\t{end}\t.\t{strand}\t.\t{attributes}\n"


GTF = (
    exon("B", "b1", 301, 350, chrom="chr2", extra=' gene_biotype "lncRNA";')
    + exon("A", "a2", 201, 290, "-", extra=' gene_name "Alpha";')
    + exon("A", "a1", 401, 430, "-")
    + exon("A", "a1", 101, 120, "-")
    + exon("A", "a3", 201, 290, "-")
)
GFF3 = """\
chr1\tx\tgene\t101\t430\t.\t-\t.\tID=gene:A;Name=Alpha;gene_id=A
chr1\tx\tmRNA\t101\t430\t.\t-\t.\tID=transcript:a1;Parent=gene:A
chr1\tx\tmRNA\t201\t290\t.\t-\t.\tID=transcript:a2;Parent=gene:A
chr1\tx\tmRNA\t201\t290\t.\t-\t.\tID=transcript:a3;Parent=gene:A
chr1\tx\texon\t101\t120\t.\t-\t.\tParent=transcript:a1
chr1\tx\texon\t401\t430\t.\t-\t.\tParent=transcript:a1
chr1\tx\texon\t201\t290\t.\t-\t.\tParent=transcript:a2,transcript:a3
chr2\tx\tncRNA_gene\t301\t350\t.\t+\t.\tID=gene:B;biotype=lncRNA;gene_id=B
chr2\tx\tlnc_RNA\t301\t350\t.\t+\t.\tID=transcript:b1;Parent=gene:B
chr2\tx\texon\t301\t350\t.\t+\t.\tParent=transcript:b1
"""


@pytest.fixture
def file(tmp_path):
    def write(text, name="genes.gtf"):
        path = tmp_path / name
        path.write_text(text)
        return path

    return write


def test_genes_are_sorted_and_span_their_transcripts(file):
    first, second = read_gene_models(file(GTF))
    single = ((200, 290),)
    assert first == Gene(
        *("A", "Alpha", "chr1", "-", 100, 430, ""),
        (
            Transcript("a1", ((100, 120), (400, 430))),
            Transcript("a2", single),
            Transcript("a3", single),
        ),
    )
    assert second[:7] == ("B", "B", "chr2", "+", 300, 350, "lncRNA")
    assert (first.length, second.length) == (330, 50)


def test_gff3_and_gtf_of_the_same_genes_are_equal(file):
    for which in ("all", "longest"):
        assert read_gene_models(file(GFF3, "a.gff"), which) == read_gene_models(file(GTF), which)


def test_longest_is_the_transcript_with_most_exonic_bases_and_sets_the_span(file):
    first, _ = read_gene_models(file(GTF), "longest")
    # a1 has 50 exonic nt though it spans 330; a2 and a3 have 90, and a2 is the first of these.
    assert [transcript.id for transcript in first.transcripts] == ["a2"]
    assert (first.start, first.end) == (200, 290)
    assert [transcript.id for transcript in first.others] == ["a1", "a3"]


def test_the_order_of_lines_does_not_matter(file):
    shuffled = "".join(reversed(GTF.splitlines(keepends=True)))
    assert read_gene_models(file(shuffled)) == read_gene_models(file(GTF))


def test_other_words_for_transcripts_are_refused(file):
    with pytest.raises(InputError, match="is 'shortest'; known: all, longest, canonical"):
        read_gene_models(file(GTF), "shortest")


def test_selected_genes_keep_their_order():
    genes = [span(name, 10 * n, 10 * n + 5) for n, name in enumerate("abc")]
    assert select_genes(genes, ["c", "a"], "genes.txt") == [genes[0], genes[2]]


def test_unknown_genes_are_named_with_the_nearest_known():
    genes = [span("ENSG00000012048.23", 0, 9), span("G2", 20, 30)._replace(name="BRCA1")]
    with pytest.raises(InputError) as error:
        select_genes(genes, ["ENSG00000012048", "BRCA1", "G2"], "genes.txt")
    assert str(error.value) == (
        "genes.txt: 2 of 3 genes are not in the gene models: 'BRCA1' (the name of 'G2'), "
        "'ENSG00000012048' (nearest is 'ENSG00000012048.23')"
    )


def test_ids_of_genes_that_are_left_out_are_told_too(file):
    left_out = exon("bad", "b", 20, 10) + exon("rna", "r", 1, 9, extra=' gene_type "lncRNA";')
    copies = "".join(
        exon("two", f"t{c}", 1, 9, chrom=c, extra=' gene_type "coding";') for c in ("chr1", "chr2")
    )
    known = set()
    genes = read_gene_models(file(left_out + copies), biotypes=["coding"], known=known)
    assert [gene.id for gene in genes] == ["two", "two@chr2"]
    assert known == {"bad", "rna", "two", "two@chr2"}


@pytest.mark.parametrize("separator", ["\t", ","])
def test_groups_are_read_from_named_columns(file, separator):
    rows = [("group", "x", "gene_id"), ("c1", "1", "a"), ("c1", "2", "b"), ("c1", "2", "b")]
    text = "".join(separator.join(row) + "\n" for row in rows)
    assert read_groups(file(text, "groups.tsv")) == {"a": "c1", "b": "c1"}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "gene\tcluster_id\na\tc\n",
            "line 1: the column 'gene_id' is missing .columns: gene, clus",
        ),
        ("gene_id\tgroup\na\tc\na\td\n", "line 3: gene 'a' is in group 'd' but was in 'c' above"),
        ("gene_id\tgroup\na\t\n", "line 2: gene_id or group is empty; set sequence.groups"),
        ("", "is empty; wanted a table of gene_id and group; set sequence.groups"),
    ],
)
def test_broken_groups_are_named_with_their_line(file, text, message):
    path = file(text, "groups.tsv")
    with pytest.raises(InputError, match=f"{re.escape(str(path))}.*{message}"):
        read_groups(path)
