"""Transcripts and genes that are broken, doubled or touching."""

import re

import pytest

from genebatch.genome.genes import read_gene_models
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


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        (
            [exon("g", "t", 1, 9), exon("h", "u", 5, 6), exon("g", "t", 9, 20)],
            "line 3: exon 9-20 overlaps exon 1-9 .line 1. of the same transcript 't'",
        ),
        (
            [exon("g", "t", 30, 90), exon("g", "t", 1, 99)],
            "line 2: exon 1-99 overlaps exon 30-90 .line 1.",
        ),
        (
            [exon("g", "t", 1, 9), exon("g", "t", 1, 9)],
            "line 2: exon 1-9 overlaps exon 1-9 .line 1.",
        ),
        (
            [exon("g", "t", 1, 9), exon("g", "t", 20, 29, "-")],
            "line 2: transcript 't' has exons on chr1 .., line 1. and on chr1 .-.; wanted one str",
        ),
        (
            [exon("g", "t", 1, 9), exon("g", "t", 20, 29, chrom="chr2")],
            "line 2: transcript 't' has exons on chr1 .*and on chr2 .*trans-spliced",
        ),
        (
            [exon("g", "t", 1, 9), exon("g", "u", 20, 29, "-")],
            "line 2: 1 genes have transcripts on both strands .g.; give the transcripts of each",
        ),
        (
            [gene_line("g", 1, 25), exon("g", "t", 1, 9), exon("g", "t", 20, 29)],
            "line 3: exon 20-29 ... of gene 'g' is outside of its gene line 1-25 .., line 1.",
        ),
        (
            [gene_line("g", 1, 29, "-"), exon("g", "t", 1, 9)],
            "line 2: exon 1-9 ... of gene 'g' is outside of its gene line 1-29 .-, line 1.",
        ),
    ],
)
def test_broken_transcripts_are_named_with_their_line(read, tmp_path, lines, message):
    with pytest.raises(InputError, match=f"{re.escape(str(tmp_path))}.*{message}"):
        read(*lines)


def test_exons_that_abut_are_one_exon(read):
    (gene,) = read(
        *(exon("g", "t", *span) for span in [(10, 19), (1, 9), (20, 20), (30, 39), (41, 50)]),
        *(exon("g", "u", *span) for span in [(51, 60)]),
    )
    spans = [transcript.exons for transcript in gene.transcripts]
    assert spans == [((0, 20), (29, 39), (40, 50)), ((50, 60),)]


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
    assert "1 gene ids stand on a second chromosome; the copies are called ASMT@chrY" in caplog.text


def test_the_copy_that_stands_first_in_the_file_keeps_the_id(read):
    genes = read(exon("A", "t", 1, 9, chrom="chrY"), exon("A", "u", 1, 9, "-", chrom="chrX"))
    assert [(gene.id, gene.chrom, gene.strand) for gene in genes] == [
        ("A@chrX", "chrX", "-"),
        ("A", "chrY", "+"),
    ]
