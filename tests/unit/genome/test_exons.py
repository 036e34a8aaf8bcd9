"""Transcripts and genes that are broken, doubled or touching."""

import re

import pytest

from genebatch.genome.genes import foreign_sites, read_gene_models
from genebatch.io.files import InputError


@pytest.fixture
def read(tmp_path):
    def read_lines(*exons, transcripts="all"):
        path = tmp_path / "genes.gtf"
        path.write_text("".join(exons))
        return read_gene_models(path, transcripts)

    return read_lines


def exon(gene, transcript, start, end, strand="+", chrom="chr1"):
    attributes = f'gene_id "{gene}"; transcript_id "{transcript}";'
    return f"{chrom}\tx\texon\t{start}\t{end}\t.\t{strand}\t.\t{attributes}\n"


def gene_line(gene, start, end, strand="+"):
    return f'chr1\tx\tgene\t{start}\t{end}\t.\t{strand}\t.\tgene_id "{gene}"; gene_name "N";\n'


GOOD = ("H", "h"), ((1001, 1100), (1301, 1400))
LEFT_OUT = {
    "overlap": (
        [exon("g", "t", 1, 30), exon("h", "u", 5, 6), exon("g", "t", 19, 60)],
        "1 transcripts that have exons that overlap: 't' .line 1.",
    ),
    "inside": ([exon("g", "t", 30, 90), exon("g", "t", 1, 99)], "exons that overlap: 't' .line 1."),
    "trans-spliced": (
        [exon("g", "t", 1, 90), exon("g", "t", 201, 229, "-")],
        "have exons on several strands or chromosomes .trans-spliced..: 't' .line 1.",
    ),
    "two chromosomes": (
        [exon("g", "t", 1, 90), exon("g", "t", 201, 229, chrom="chr2")],
        "several strands or chromosomes .trans-spliced..: 't' .line 1.",
    ),
    "other strand": (
        [gene_line("g", 1, 29, "-"), exon("g", "t", 1, 9)],
        r"'g' .line 2. has exons on chr1:1-9 .\+. but its gene line 1 on chr1:1-29 .-.",
    ),
    "elsewhere": (
        [gene_line("g", 501, 529), exon("g", "t", 1, 9)],
        r"'g' .line 2. has exons on chr1:1-9 .\+. but its gene line 1 on chr1:501-529",
    ),
    "other chromosome": (
        [gene_line("g", 1, 29), exon("g", "t", 1, 9, chrom="chr2")],
        r"'g' .line 2. has exons on chr2:1-9 .\+. but its gene line 1 on chr1:1-29",
    ),
    "no strand": (
        [exon("g", "t", 1, 90, "."), exon("g", "t", 201, 229, ".")],
        "transcripts that have no strand: 't' .line 1.",
    ),
}


@pytest.mark.parametrize("name", LEFT_OUT)
def test_broken_transcripts_are_left_out_and_named_with_their_line(read, caplog, name):
    lines, message = LEFT_OUT[name]
    good = [exon(*GOOD[0], *span) for span in GOOD[1]]
    genes = read(*lines, *good)
    assert [gene.id for gene in genes if gene.id != "h"] == ["H"]
    assert re.search(message, caplog.text)


def test_a_file_of_broken_transcripts_alone_is_refused_with_all_reasons(read):
    lines = LEFT_OUT["inside"][0] + [exon("x", "y", 1, 90), exon("x", "y", 201, 229, "-")]
    with pytest.raises(InputError, match=r"no gene that can be used: 1 tr.*overlap.*'y' .line 3"):
        read(*lines)


@pytest.mark.parametrize(("share", "refused"), [(0.1, True), (0.5, True), (0.6, False), (0, True)])
def test_too_many_broken_genes_are_an_error_that_names_a_share_that_works(tmp_path, share, refused):
    path = tmp_path / "genes.gtf"
    broken = [exon(f"g{n}", f"t{n}", a, b) for n in range(11) for a, b in ((30, 90), (1, 99))]
    path.write_text("".join(broken + [exon(f"h{n}", f"u{n}", 1, 99) for n in range(9)]))
    if not refused:
        assert len(read_gene_models(path, max_refused=share)) == 9
        return
    with pytest.raises(InputError, match=r"11 of 20 genes.*sequence.max_refused to at least 0.55"):
        read_gene_models(path, max_refused=share)
    assert len(read_gene_models(path, max_refused=0.55)) == 9


def test_ten_genes_may_be_left_out_of_a_small_file_unless_the_share_is_0(tmp_path):
    path = tmp_path / "genes.gtf"
    path.write_text("".join([*LEFT_OUT["inside"][0], exon("h", "u", 1, 99)]))
    assert [gene.id for gene in read_gene_models(path)] == ["h"]
    with pytest.raises(InputError, match="1 of 2 genes that cannot be used"):
        read_gene_models(path, max_refused=0)


def test_what_has_no_site_to_give_does_not_count_for_the_limit(tmp_path):
    path = tmp_path / "genes.gtf"
    single = exon("s", "t", 1, 90, ".")
    double = exon("h", "u", 1, 99)
    bare = "chr1\tx\tgene\t1\t9\t.\t+\t.\tg1\n"
    path.write_text(single + double * 3 + bare)
    (gene,) = read_gene_models(path, max_refused=0)
    assert gene.transcripts[0].exons == ((0, 99),)


def test_the_ends_of_exons_that_are_left_out_become_no_rows_of_other_genes(read):
    host = [exon("host", "h", 1, 50), exon("host", "h", 951, 1000)]
    broken = [exon("g", "t", 101, 200), exon("g", "t", 151, 300)]
    (gene,) = read(*host, *broken)
    assert gene.unsure == ((100, 101), (150, 151), (199, 200), (299, 300))
    assert foreign_sites([gene])["host"].tolist() == [100, 150, 199, 299]


def test_exons_without_a_strand_are_unsure_on_both(read):
    hosts = [exon("p", "p1", 1, 1000), exon("m", "m1", 1, 1000, "-")]
    broken = [exon("g", "t", 101, 200, "."), exon("g", "t", 301, 400, ".")]
    for gene in read(*hosts, *broken):
        assert gene.unsure == ((100, 101), (199, 200), (300, 301), (399, 400))


def test_own_sites_stay_rows_where_other_transcripts_are_left_out(read):
    own = [exon("g", "t", 101, 200), exon("g", "t", 301, 400)]
    broken = [exon("g", "u", 101, 200), exon("g", "u", 301, 400), exon("g", "u", 350, 500)]
    (gene,) = read(*own, *broken)
    assert foreign_sites([gene])["g"].tolist() == [0, 249, 299]


@pytest.mark.parametrize("strand", ["+", "-"])
def test_gaps_shorter_than_an_intron_are_no_introns(read, tmp_path, caplog, strand):
    caplog.set_level("INFO")
    spans = [(201, 300), (501, 600), (602, 700), (703, 800), (810, 900), (911, 950)]
    (gene,) = read(*(exon("g", "t", *span, strand) for span in spans))
    assert gene.transcripts[0].exons == ((200, 300), (500, 900), (910, 950))
    ends = [(599, 600), (601, 602), (699, 700), (702, 703), (799, 800), (809, 810)]
    assert gene.unsure == tuple(ends)
    assert "3 gaps between exons are shorter than min_intron (10 nt)" in caplog.text
    (gene,) = read_gene_models(tmp_path / "genes.gtf", min_intron=1)
    assert len(gene.transcripts[0].exons) == 6


def test_exons_that_overlap_by_less_than_an_intron_are_one(read):
    (gene,) = read(exon("g", "t", 1, 100), exon("g", "t", 100, 200), exon("g", "t", 195, 199))
    assert gene.transcripts[0].exons == ((0, 200),)


def test_exon_lines_that_are_exact_doubles_count_once(read, caplog):
    caplog.set_level("INFO")
    lines = [exon("g", "t", 1, 100), exon("g", "t", 201, 300)]
    (gene,) = read(*lines, *lines)
    assert gene.transcripts[0].exons == ((0, 100), (200, 300))
    assert "2 exact doubles of exon or CDS lines left out" in caplog.text


def test_genes_whose_exons_reach_beyond_their_line_are_named(read, caplog):
    (gene,) = read(gene_line("g", 1, 25), exon("g", "t", 1, 9), exon("g", "t", 50, 90))
    assert gene.end == 90
    assert "1 genes have exons that reach beyond their gene line; the exons count: g" in caplog.text


@pytest.mark.parametrize("strand", [".", "?"])
def test_a_gene_line_without_a_strand_is_no_contradiction(read, strand):
    (gene,) = read(gene_line("g", 1, 99, strand), exon("g", "t", 1, 99, "-"))
    assert gene.strand == "-"


def test_exons_that_abut_are_one_exon(read):
    (gene,) = read(
        *(exon("g", "t", *span) for span in [(10, 19), (1, 9), (20, 20), (31, 40), (51, 60)]),
        *(exon("g", "u", *span) for span in [(61, 70)]),
    )
    spans = [transcript.exons for transcript in gene.transcripts]
    assert spans == [((0, 20), (30, 40), (50, 60)), ((60, 70),)]


def test_exons_of_different_transcripts_may_overlap_and_abut(read):
    (gene,) = read(exon("g", "t", 1, 9), exon("g", "u", 5, 9), exon("g", "v", 10, 12))
    assert [transcript.exons for transcript in gene.transcripts] == [
        ((0, 9),),
        ((4, 9),),
        ((9, 12),),
    ]


def test_a_gene_id_on_a_second_chromosome_is_a_gene_of_its_own(read, caplog):
    caplog.set_level("INFO")
    genes = read(
        *(exon("ASMT", "t", 11, 20, chrom="chrX"), exon("ASMT", "t_dup1", 31, 40, chrom="chrY")),
        exon("B", "b", 1, 5, chrom="chrY"),
    )
    assert [(gene.id, gene.name, gene.chrom, gene.start) for gene in genes] == [
        ("ASMT", "ASMT", "chrX", 10),
        ("B", "B", "chrY", 0),
        ("ASMT@chrY", "ASMT", "chrY", 30),
    ]
    assert (
        "1 gene ids stand at several loci; their 1 further copies are called ASMT@chrY"
        in caplog.text
    )


def test_the_copy_that_stands_first_in_the_file_keeps_the_id(read):
    genes = read(exon("A", "t", 1, 9, chrom="chrY"), exon("A", "u", 1, 9, "-", chrom="chrX"))
    assert [(gene.id, gene.chrom, gene.strand) for gene in genes] == [
        ("A@chrX", "chrX", "-"),
        ("A", "chrY", "+"),
    ]
