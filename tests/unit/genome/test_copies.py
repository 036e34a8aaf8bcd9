"""Copies of genes under other ids are one group; families of a name are not."""

import numpy as np
import pytest

from genebatch.genome.fasta import Fasta
from genebatch.genome.genes import overlap_groups, read_gene_models
from genebatch.genome.identical import identical_transcripts

SPANS = ((201, 300), (501, 600), (901, 1000))


def exons(chrom, gene, transcript, more="", spans=SPANS, strand="+"):
    name = f'gene_id "{gene}"; transcript_id "{transcript}";{more}'
    return "".join(
        f"{chrom}\tx\texon\t{start}\t{end}\t.\t{strand}\t.\t{name}\n" for start, end in spans
    )


def gff3(chrom, gene, more):
    place = f"{chrom}\tx\t{{}}\t{{}}\t{{}}\t.\t+\t.\t"
    text = place.format("gene", 201, 1000) + f"ID=gene-{gene};{more}\n"
    return text + "".join(
        place.format("exon", start, end) + f"Parent=gene-{gene}\n" for start, end in SPANS
    )


X, Y = "NC_000023.11", "NC_000024.10"
NAME = ' gene_name "PLCXD1";'
LINK = ' db_xref "GeneID:55344";'
PAIRS = {
    "GENCODE 44": [exons("chrX", "E.1", "T.1"), exons("chrY", "E.1", "T.1")],
    "GENCODE 25": [exons("chrX", "E.1", "T.1"), exons("chrY", "E.1_PAR_Y", "T.1_PAR_Y")],
    "GENCODE 24": [
        exons("chrX", "ENSG00000182378.13", "T.1"),
        exons("chrY", "ENSGR0000182378.13", "TR.1"),
    ],
    "GENCODE on GRCh37": [exons("chrX", "E.1_3", "T_1"), exons("chrY", "E.1_3_PAR_Y", "T_1_PAR_Y")],
    "Ensembl 110": [exons("X", "ENSG1", "T1", NAME), exons("Y", "ENSG2", "T2", NAME)],
    "GeneID": [exons(X, "A", "T1", LINK), exons(Y, "B", "T2", LINK)],
    "GeneID behind others": [
        exons(X, "A", "T1", ' db_xref "GO:1"; db_xref "MIM:2,GeneID:7"; note "a; b";'),
        exons(Y, "B", "T2", ' db_xref "GO:3"; db_xref "GeneID:7"; hgnc_id "H:1";'),
    ],
    "HGNC beside other links": [
        exons("1", "A", "T1", ' db_xref "GO:1"; hgnc_id "H:1";'),
        exons("2", "B", "T2", ' db_xref "GO:2"; hgnc_id "H:1";'),
    ],
    "HGNC": [exons("1", "A", "T1", ' hgnc_id "H:1";'), exons("2", "B", "T2", ' hgnc_id "H:1";')],
    "NCBI GTF by its suffix": [exons(X, "PLCXD1", "NM_1"), exons(Y, "PLCXD1_1", "NM_1_1")],
    "NCBI GFF3 by its suffix": [gff3(X, "PLCXD1", "x=1"), gff3(Y, "PLCXD1-2", "x=1")],
    "NCBI GFF3 by its name": [gff3(X, "A", "Name=P"), gff3(Y, "B", "Name=P")],
    "NCBI GFF3 by its link": [
        gff3("1", "A", "Dbxref=HGNC:HGNC:2,GeneID:7"),
        gff3("2", "B", "Dbxref=GeneID:7,MIM:3"),
    ],
    "UCSC": [exons("chrX", "PLCXD1", "NM_1"), exons("chrY", "PLCXD1", "NM_1_dup1")],
    "alternative locus": [
        exons("chr6", "ENSG1", "T1", NAME),
        exons("chr6_GL000251v2_alt", "ENSG2", "T2", NAME),
    ],
}


@pytest.mark.parametrize("name", PAIRS)
def test_copies_under_other_ids_are_one_group(tmp_path, name):
    path = tmp_path / "genes.txt"
    path.write_text("".join(PAIRS[name]))
    groups = overlap_groups(read_gene_models(path))
    assert len(groups) == 2
    assert len(set(groups.values())) == 1


def test_genes_that_share_a_name_many_times_are_no_copies(tmp_path):
    path = tmp_path / "genes.gtf"
    rna = ' gene_name "Y_RNA";'
    path.write_text(
        "".join(
            exons(chrom, f"E{chrom}{n}", f"T{chrom}{n}", rna, ((n, n + 100),))
            for chrom in "12"
            for n in (1000, 9000)
        )
    )
    assert len(set(overlap_groups(read_gene_models(path)).values())) == 4


def test_numbered_ids_are_copies_only_if_the_plain_id_is_there(tmp_path):
    path = tmp_path / "genes.gtf"
    path.write_text(exons("1", "HOX-1", "a") + exons("2", "HOX-2", "b"))
    assert len(set(overlap_groups(read_gene_models(path)).values())) == 2


def test_genes_of_identical_sequence_are_one_group_and_of_equal_lengths_are_not(tmp_path):
    letters = np.array(list("ACGT"))
    first, other = ("".join(np.random.default_rng(n).choice(letters, 1200)) for n in range(2))
    swap = str.maketrans("ACGT", "TGCA")
    sequences = {
        "a": first,
        "b": first,
        "c": other,
        "d": first[::-1].translate(swap),
        "e": "N" * 1200,
    }
    (tmp_path / "genome.fa").write_text("".join(f">{n}\n{s}\n" for n, s in sequences.items()))
    mirrored = tuple((1201 - end, 1201 - start) for start, end in reversed(SPANS))
    genes = tmp_path / "genes.gtf"
    genes.write_text(
        "".join(exons(name, f"G{name}", f"T{name}") for name in "abce")
        + exons("d", "Gd", "Td", "", mirrored, "-")
        + exons("a", "one", "one", "", ((1101, 1150),))
        + exons("b", "two", "two", "", ((1101, 1150),))
    )
    models = read_gene_models(genes)
    with Fasta(tmp_path / "genome.fa") as fasta:
        groups = overlap_groups(models, None, identical_transcripts(fasta, models))
    assert groups["Ga"] == groups["Gb"] == groups["Gd"]
    assert len(set(groups.values())) == 5  # these, Gc, Ge, and two genes of one exon


@pytest.mark.parametrize(
    "link", ["GO:0005515", "taxon:9606", "GO:1\"; note \"see; db_xref 'GeneID:7'", "XGeneID:7"]
)
def test_links_that_many_genes_have_join_nothing(tmp_path, link):
    path = tmp_path / "genes.txt"
    path.write_text(
        "".join(exons(f"chr{n}", f"G{n}", f"T{n}", f' db_xref "{link}";') for n in range(3))
    )
    assert len(set(overlap_groups(read_gene_models(path)).values())) == 3
