"""GTF and GFF3 as text: the genes that are read, and the error for each broken line."""

import gzip
import re

import pytest

from genebatch.genome.annotation import read_annotation
from genebatch.genome.genes import read_gene_models
from genebatch.genome.left_out import LeftOut
from genebatch.genome.tags import TAGS
from genebatch.io import text as text_module
from genebatch.io.files import InputError

EXON = 'gene_id "G"; transcript_id "T";'


@pytest.fixture
def read(tmp_path):
    def read_text(text, name="genes.gtf"):
        path = tmp_path / name
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        return read_annotation(path, "sequence.genes", LeftOut(path))

    return read_text


def line(kind, start, end, attributes, chrom="chr1", strand="+"):
    return f"{chrom}\tx\t{kind}\t{start}\t{end}\t.\t{strand}\t.\t{attributes}\n"


def exons(annotation):
    columns = ("gene", "transcript", "chrom", "strand", "start", "end", "line")
    return annotation.pieces.select(columns).rows()


def facts(annotation):
    return annotation.facts.select("gene", "chrom", "name", "biotype").rows()


ENSEMBL_GTF = (
    "#!genome-build GRCh38\n"
    + line("gene", 101, 500, 'gene_id "ENSG1"; gene_name "ABC"; gene_biotype "protein_coding";')
    + line("transcript", 101, 500, 'gene_id "ENSG1"; transcript_id "ENST1"; gene_name "ABC";')
    + line("exon", 101, 200, 'gene_id "ENSG1"; gene_version "3"; transcript_id "ENST1";')
    + line("CDS", 150, 200, 'gene_id "ENSG1"; transcript_id "ENST1";')
    + line("exon", 401, 500, 'gene_id "ENSG1"; transcript_id "ENST1";')
)
ENSEMBL_GFF3 = (
    "##gff-version 3\n"
    + line("chromosome", 1, 9000, "ID=chromosome:1")
    + line("gene", 101, 500, "ID=gene:ENSG1;Name=ABC;biotype=protein_coding;gene_id=ENSG1")
    + line("mRNA", 101, 500, "ID=transcript:ENST1;Parent=gene:ENSG1;transcript_id=ENST1")
    + line("exon", 101, 200, "Parent=transcript:ENST1;exon_id=ENSE1")
    + line("CDS", 150, 200, "ID=CDS:ENSP1;Parent=transcript:ENST1")
    + line("exon", 401, 500, "Parent=transcript:ENST1;exon_id=ENSE2")
    + "###\n"
)
NCBI_GFF3 = (
    "##gff-version 3\n"
    + line("region", 1, 9000, "ID=NC_1:1..9000;gbkey=Src")
    + line("gene", 101, 500, "ID=gene-ABC;Name=ABC;gene=ABC;gene_biotype=protein_coding")
    + line("mRNA", 101, 500, "ID=rna-NM_1.2;Parent=gene-ABC;transcript_id=NM_1.2")
    + line("exon", 101, 200, "ID=exon-NM_1.2-1;Parent=rna-NM_1.2;transcript_id=NM_1.2")
    + line("exon", 401, 500, "ID=exon-NM_1.2-2;Parent=rna-NM_1.2;transcript_id=NM_1.2")
    + line("CDS", 150, 200, "ID=cds-NP_1;Parent=rna-NM_1.2")
)


def test_starts_become_0_based_and_lines_are_counted_from_1(read):
    assert exons(read(ENSEMBL_GTF)) == [
        ("ENSG1", "ENST1", "chr1", "+", 100, 200, 4),
        ("ENSG1", "ENST1", "chr1", "+", 400, 500, 6),
    ]


def test_gff3_of_ensembl_says_the_same_as_its_gtf(read):
    gtf, gff = read(ENSEMBL_GTF), read(ENSEMBL_GFF3)
    assert exons(gff) == [
        (*row[:-1], number) for row, number in zip(exons(gtf), (5, 7), strict=True)
    ]
    assert facts(gff) == facts(gtf) == [("ENSG1", "chr1", "ABC", "protein_coding")]
    assert gff.genes.drop("line").equals(gtf.genes.drop("line"))


def test_gff3_of_ncbi_is_read_with_the_names_of_its_gtf(read):
    annotation = read(NCBI_GFF3)
    assert exons(annotation)[0] == ("ABC", "NM_1.2", "chr1", "+", 100, 200, 5)
    assert facts(annotation) == [("ABC", "chr1", "ABC", "protein_coding")]


@pytest.mark.parametrize("text", [ENSEMBL_GTF, ENSEMBL_GFF3, NCBI_GFF3])
def test_neither_blocks_nor_gzip_nor_line_ends_nor_the_name_change_anything(
    read, monkeypatch, text
):
    whole = read(text)
    monkeypatch.setattr(text_module, "BLOCK_BYTES", 100)
    changed = gzip.compress(("\ufeff" + text.replace("\n", "\r\n")).encode())
    pieces = read(changed, "genes.txt")
    assert all(a.equals(b) for a, b in zip(whole[:3], pieces[:3], strict=True))


def test_exon_lines_suffice_in_gtf(read):
    annotation = read(line("exon", 1, 9, EXON) + line("exon", 20, 30, EXON))
    assert len(exons(annotation)) == 2
    assert facts(annotation) == [("G", "chr1", None, None)]
    assert annotation.genes.height == 0


def test_kind_and_name_are_found_under_all_their_keys(read):
    for key in ("gene_biotype", "gene_type", "biotype"):
        text = line("gene", 1, 9, f'gene_id "G"; gene "N"; {key} "lncRNA";') + line(
            "exon", 1, 9, EXON
        )
        assert facts(read(text)) == [("G", "chr1", "N", "lncRNA")]


BLOCKS = {
    "in every exon": (' gene_biotype "lncRNA"; gene_name "N"; db_xref "GeneID:7";',) * 2,
    "in the first exon": (' gene_biotype "lncRNA"; gene_name "N"; db_xref "GeneID:7";', ""),
    "in the last exon": ("", ' gene_biotype "lncRNA"; gene_name "N"; db_xref "GeneID:7";'),
}


@pytest.mark.parametrize("bare_line", ["", ' gene_name "M";', None])
@pytest.mark.parametrize("name", BLOCKS)
def test_what_exons_tell_of_a_gene_does_not_depend_on_the_blocks(
    read, monkeypatch, name, bare_line
):
    text = ""
    for n in range(20):
        start, gene = 1000 * n + 101, f'gene_id "G{n:02d}";'
        if bare_line is not None:
            text += line("gene", start, start + 500, gene + bare_line)
        for place, more in zip((start, start + 300), BLOCKS[name], strict=True):
            names = f'{gene} transcript_id "G{n:02d}.1";'
            text += line("exon", place, place + 100, names + more)
    whole = read(text).facts.sort("gene")
    given = name != "in the last exon"
    named = ("M" if bare_line else None) or ("N" if given else None)
    more = ("lncRNA", "GeneID:7") if given else (None, None)
    assert whole.row(0) == ("G00", "chr1", named, *more)
    for size in (100, 300, 700):
        monkeypatch.setattr(text_module, "BLOCK_BYTES", size)
        assert read(text).facts.sort("gene").equals(whole)


def test_the_tag_of_a_transcript_line_has_the_say_in_any_blocks(read, monkeypatch):
    text = line("transcript", 1, 90, EXON + ' tag "basic";')
    text += line("exon", 1, 9, EXON + ' tag "MANE_Select";') + line("exon", 50, 90, EXON)
    for size in (1 << 20, 100):
        monkeypatch.setattr(text_module, "BLOCK_BYTES", size)
        assert [TAGS[tag] for tag in read(text).tags["tag"]] == ["basic"]


def test_the_gene_line_has_the_say_on_names_even_after_its_exons(read):
    text = line("exon", 1, 9, EXON + ' gene_name "old";') + line(
        "gene", 1, 9, 'gene_id "G"; gene_name "new";'
    )
    assert read(text).facts["name"].to_list() == ["new"]


def test_unquoted_values_and_semicolons_without_spaces_are_read(read):
    assert exons(read(line("exon", 1, 9, "gene_id G;transcript_id T"))) == [
        ("G", "T", "chr1", "+", 0, 9, 1)
    ]


def test_an_attribute_whose_name_ends_alike_is_another(read):
    text = line("exon", 1, 9, 'ref_gene_id "R"; gene_id "G"; transcript_id "T";')
    assert exons(read(text))[0][0] == "G"


def test_genes_without_exons_are_counted(read):
    gtf = line("gene", 1, 9, 'gene_id "H";') + line("exon", 1, 9, EXON)
    assert read(gtf).hollow.height == 1
    assert read(ENSEMBL_GFF3 + line("pseudogene", 1, 9, "ID=gene:P")).hollow.height == 1


def test_a_top_without_a_gene_line_is_not_counted_against_them(read):
    text = line("tRNA", 1, 9, "ID=t") + line("gene", 1, 9, "ID=g")
    assert read(text + line("exon", 1, 9, "Parent=t")).hollow.height == 1


def test_a_gene_on_several_lines_spans_them_all(read):
    text = line("gene", 1, 9, "ID=g") + line("gene", 20, 30, "ID=g")
    annotation = read(text + line("exon", 1, 9, "Parent=g") + line("exon", 20, 30, "Parent=g"))
    assert annotation.genes["end"].to_list() == [9, 30]
    assert (len(exons(annotation)), annotation.facts.height) == (2, 1)


def test_an_exon_of_several_parents_belongs_to_each(read):
    text = "".join(
        [
            line("gene", 1, 90, "ID=g"),
            line("mRNA", 1, 90, "ID=a;Parent=g"),
            line("lnc_RNA", 1, 90, "ID=b;Parent=g"),
            line("exon", 1, 9, "Parent=a,b"),
            line("exon", 50, 90, "Parent=b"),
        ]
    )
    assert [row[:2] for row in exons(read(text))] == [("g", "a"), ("g", "b"), ("g", "b")]


def test_gff3_parents_may_follow_their_children(read):
    text = "".join(
        [
            line("exon", 1, 9, "Parent=t"),
            line("mRNA", 1, 9, "ID=t;Parent=g"),
            line("gene", 1, 9, "ID=g;Name=N"),
        ]
    )
    assert exons(read(text)) == [("g", "t", "chr1", "+", 0, 9, 1)]


def test_a_gene_is_the_top_of_four_levels_and_of_one(read):
    text = "".join(
        [
            line("gene", 1, 90, "ID=gene-MIR1"),
            line("primary_transcript", 1, 90, "ID=rna-NR_1;Parent=gene-MIR1"),
            line("exon", 1, 90, "Parent=rna-NR_1"),
            line("miRNA", 5, 20, "ID=rna-MIR1;Parent=rna-NR_1"),
            line("exon", 5, 20, "Parent=rna-MIR1"),
            line("pseudogene", 200, 300, "ID=gene-P"),
            line("exon", 200, 300, "Parent=gene-P"),
            line("tRNA", 400, 470, "ID=rna-T"),
            line("exon", 400, 470, "Parent=rna-T"),
        ]
    )
    assert [row[:2] for row in exons(read(text))] == [
        ("MIR1", "NR_1"),
        ("MIR1", "MIR1"),
        ("P", "P"),
        ("T", "T"),
    ]


def test_a_gene_inside_of_another_feature_is_still_the_gene(read):
    text = "".join(
        [
            line("operon", 1, 900, "ID=o"),
            line("gene", 1, 90, "ID=g;Parent=o"),
            line("mRNA", 1, 90, "ID=t;Parent=g"),
            line("exon", 1, 90, "Parent=t"),
        ]
    )
    assert exons(read(text))[0][0] == "g"


def test_percent_escapes_of_gff3_are_resolved(read):
    text = line("gene", 1, 9, "ID=g;Name=N%2C%20alpha%3B") + line("exon", 1, 9, "Parent=g")
    assert read(text).facts["name"].to_list() == ["N, alpha;"]


@pytest.mark.parametrize("end", ["##FASTA\n>chr1\nACGT\n", ">chr1\nACGT\n"])
def test_sequences_at_the_end_of_gff3_are_not_lines_of_it(read, end):
    assert len(exons(read(ENSEMBL_GFF3 + end))) == 2


def test_track_lines_and_blank_lines_are_skipped(read):
    text = 'track name="x"\nbrowser position chr1\n\n' + line("exon", 1, 9, EXON) + "  \n"
    assert exons(read(text))[0][-1] == 4


def test_a_header_of_gff3_outweighs_a_line_of_free_text(read):
    remark = line("remark", 1, 50, "assembled by hand", strand=".")
    assert exons(read("##gff-version 3\n" + remark + NCBI_GFF3)) != []
    assert exons(read(remark + NCBI_GFF3)) != []  # most lines are those of GFF3


def test_a_header_of_gff3_does_not_make_gff3_of_gtf(read):
    assert len(exons(read("##gff-version 3\n" + ENSEMBL_GTF))) == 2


GOOD = line("exon", 1, 9, EXON)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "#only comments\n",
            "has no line of type exon or CDS .* .its types: none, it has no lines.; wanted ",
        ),
        (
            line("repeat", 1, 9, EXON) * 2,
            "no line of type exon or CDS .* .its types: repeat .2.. *; wanted gene mod",
        ),
        (
            GOOD.replace("\t", "    "),
            "1 lines without the 9 columns .*: line 1 has 1 columns; it has spaces where tabs bel",
        ),
        (GOOD.replace("chr1", ""), "line 1: column 1, the chromosome '', is empty"),
        (GOOD.replace("chr1", "chr1 "), "line 1: column 1, the chromosome 'chr1 ', has blanks"),
        (line("exon", 1, 9, 'gene_id "G";'), "1 exon or CDS lines without transcript_id: line 1"),
        (line("exon", 1, 9, 'gene_id "G"; transcript_id "";'), "without transcript_id: line 1"),
        (line("exon", 1, 9, "."), "line 1: attributes '.' are neither those of GTF"),
        (line("gene", 1, 9, "ID=g") + line("exon", 1, 9, "ID=e"), "without a Parent: line 2"),
        (
            line("gene", 1, 9, "ID=g") + line("exon", 1, 9, "Parent=t"),
            "1 Parents of exons that are the ID of no line .*: 't' .line 2.",
        ),
        (
            line("mRNA", 1, 9, "ID=a;Parent=b")
            + line("mRNA", 1, 9, "ID=b;Parent=a")
            + line("exon", 1, 9, "Parent=a"),
            "1 transcripts whose Parents lead in a circle: 'a' .line 3.",
        ),
        (
            ">chr1\nACGT\n",
            "looks like a FASTA file; wanted gene models as GTF or GFF3; set sequence",
        ),
        ("@r1\nACGT\n+\nIIII\n", "looks like a FASTQ file"),
        ("@HD\tVN:1.6\n", "looks like a SAM file"),
        ("chr1\t0\t100\n", "looks like a BED file"),
        ("chr1\t0\t100\tname\t0\t+\t0\t0\t0\t1\t1,\t0,\n", "looks like a BED file"),
        ("##fileformat=VCFv4.2\n#CHROM\nchr1\t9\t.\tA\tT\t.\tPASS\t.\n", "looks like a VCF file"),
        ("NM_1\tchr1\t+\t10\t90\t20\t80\t1\t10,\t90,\n", "looks like a genePred or refFlat table"),
        (
            "gene_id\tposition\tdonor\tacceptor\nG\t1\t0\t0\n",
            "looks like a table of scores or groups",
        ),
        ("LOCUS       NC_1  100 bp\n", "looks like a GenBank file"),
        ("some prose\n", "line 1 has 1 columns; wanted gene models as GTF or GFF3"),
    ],
)
def test_every_file_without_exons_is_named_with_what_was_wanted(read, tmp_path, text, message):
    with pytest.raises(InputError, match=f"{re.escape(str(tmp_path))}.*{message}"):
        read(text)


# Lines that are left out beside a good gene: the line, what the log says of it.
LEFT_OUT = {
    "8 columns": ("chr1\tx\texon\t1\t9\t.\t+\t.\n", "without the 9 columns .*: line 1 has 8 co"),
    "prose": ("some prose\n", "without the 9 columns .*: line 1 has 1 columns"),
    "end first": (line("exon", 9, 1, EXON), "transcripts that have a line with wrong coord.*'T'"),
    "start 0": (line("exon", 0, 9, EXON), "start and end are not whole.*line 1 start '0', end '9'"),
    "1e3": (line("exon", "1e3", 2000, EXON), "line 1 start '1e3', end '2000'"),
    "gene line": (line("gene", "", 20, 'gene_id "H";'), "line 1 start '', end '20'"),
    "no gene_id": (line("exon", 1, 9, 'transcript_id "U";'), "lines without gene_id: line 1"),
    "no transcript_id": (line("exon", 1, 9, 'gene_id "G";'), "without transcript_id: line 1"),
    "bare id": (line("gene", 1, 9, "g1"), "1 gene lines without gene_id .not needed.: line 1"),
    "no strand": (line("exon", 1, 9, EXON, strand="."), "transcripts that have no strand: 'T'"),
}


@pytest.mark.parametrize("name", LEFT_OUT)
def test_a_line_that_cannot_be_used_is_left_out_and_named(tmp_path, caplog, name):
    text, message = LEFT_OUT[name]
    path = tmp_path / "genes.gtf"
    good = 'gene_id "H"; transcript_id "H.1";'
    path.write_text(text + line("exon", 101, 200, good) + line("exon", 301, 400, good))
    (gene,) = read_gene_models(path)
    assert gene.transcripts[0].exons == ((100, 200), (300, 400))
    assert re.search(message, caplog.text)


def test_all_reasons_are_named_at_once(tmp_path, caplog):
    path = tmp_path / "genes.gtf"
    good = 'gene_id "H"; transcript_id "H.1";'
    path.write_text("".join(text for text, _ in LEFT_OUT.values()) + line("exon", 1, 9, good))
    assert len(read_gene_models(path)) == 1
    for fact in ("9 columns", "wrong coordinates", "without gene_id", "without transcript_id"):
        assert fact in caplog.text


def test_line_numbers_hold_beyond_the_first_block(tmp_path, monkeypatch, caplog):
    monkeypatch.setattr(text_module, "BLOCK_BYTES", 64)
    path = tmp_path / "genes.gtf"
    path.write_text("#c\n" + GOOD * 10 + line("gene", 9, 1, 'gene_id "G";'))
    read_gene_models(path)
    assert "line 12 start '9', end '1'" in caplog.text


def gffread(gene="geneID=MSTRG.1"):
    """Three isoforms of a gene without a gene line, as gffread writes them."""
    text = "##gff-version 3\n# gffread v0.12.7\n"
    for number, spans in enumerate(((101, 301, 501), (101, 321, 501), (101, 501)), start=1):
        above = f"ID=MSTRG.1.{number};{gene};gene_name=ABC"
        text += line("transcript", 101, 600, above)
        for start in spans:
            text += line("exon", start, start + 60, f"Parent=MSTRG.1.{number}")
    return text


@pytest.mark.parametrize("name", ["geneID", "gene_id"])
def test_transcripts_without_a_gene_line_are_of_the_gene_that_they_name(read, tmp_path, name):
    text = gffread(f"{name}=MSTRG.1")
    annotation = read(text)
    assert {row[:2] for row in exons(annotation)} == {
        ("MSTRG.1", f"MSTRG.1.{n}") for n in (1, 2, 3)
    }
    assert facts(annotation) == [("MSTRG.1", "chr1", "ABC", None)]
    (gene,) = read_gene_models(tmp_path / "genes.gtf")
    assert (gene.id, gene.start, gene.end) == ("MSTRG.1", 100, 561)


def test_a_gene_line_is_not_named_by_the_gene_id_of_another_program(read):
    text = line("gene", 1, 9, "ID=g;geneID=XLOC_1") + line("exon", 1, 9, "Parent=g")
    assert exons(read(text))[0][0] == "g"


def test_transcripts_far_apart_that_name_one_gene_are_its_loci(tmp_path):
    path = tmp_path / "genes.gff3"
    path.write_text(
        "".join(
            line("mRNA", at, at + 99, f"ID=t{at};geneID=g")
            + line("exon", at, at + 99, f"Parent=t{at}")
            for at in (1, 5001)
        )
    )
    assert [gene.id for gene in read_gene_models(path)] == ["g", "g@chr1:5001-5100"]
