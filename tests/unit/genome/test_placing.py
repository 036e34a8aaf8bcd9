"""Genes that do not lie on the sequences of a genome."""

import pytest

from genebatch.genome.contigs import find_contig
from genebatch.genome.genes import Gene, Transcript
from genebatch.genome.placing import genes_on_genome
from genebatch.io.files import InputError

CONTIGS = {"chr20": 1200, "chrM": 300, "chrUn_KI270742v1": 500}


def gene(name, chrom, end=100, strand="+"):
    exons = ((0, 50), (end - 40, end))
    return Gene(name, name, chrom, strand, 0, end, "", (Transcript(name, exons),))


def placed(*genes, **options):
    return genes_on_genome(genes, CONTIGS, "genes.gtf", "genome.fa", **options)


def test_genes_that_fit_the_genome_stay_as_they_are():
    genes = [gene("A", "20", 1200), gene("B", "MT", 300), gene("C", "KI270742.1", 500)]
    assert placed(*genes) == genes


def test_scaffolds_are_found_under_the_names_of_both_sources():
    assert find_contig("KI270742.1", CONTIGS) == "chrUn_KI270742v1"
    assert find_contig("KI270742.2", CONTIGS) is None
    assert find_contig("chr1_KI270706v1_random", {"1", "KI270706.1"}) == "KI270706.1"


def test_genes_on_chromosomes_that_the_genome_lacks_are_left_out(caplog):
    assert [g.id for g in placed(gene("A", "20"), gene("S", "KI1"))] == ["A"]
    assert "1 genes on chromosomes that genome.fa lacks: 'S' on 'KI1'" in caplog.text


def test_genes_beyond_their_chromosome_are_left_out_and_their_sites_are_unsure(caplog):
    inner, other = gene("A", "MT"), gene("B", "20")
    kept = placed(inner, gene("ND", "MT", 310), other)
    assert kept == [inner._replace(unsure=((0, 1), (49, 50))), other]
    assert "'ND' ends at 310 but MT of genome.fa has 300 nt" in caplog.text
    assert placed(inner, gene("ND", "MT", 310, "-"))[0] == inner


def test_files_without_a_common_chromosome_list_those_of_both():
    with pytest.raises(InputError) as error:
        placed(gene("A", "1"), gene("B", "NC_1"))
    text = str(error.value)
    assert text.startswith("2 of 2 chromosomes of genes.gtf are not in genome.fa: '1', 'NC_1'. ")
    assert "'chr20', 'chrM', 'chrUn_KI270742v1'; set sequence.fasta" in text


def test_a_genome_that_no_gene_fits_is_of_another_assembly():
    with pytest.raises(InputError, match=r"no gene that can be used.*'G' ends at 1,300 but 20"):
        placed(gene("G", "20", 1300))


def test_too_many_genes_beside_the_genome_are_an_error_whose_remedy_works():
    genes = [gene(f"S{n}", "KI1") for n in range(11)] + [gene("A", "20")]
    with pytest.raises(InputError, match=r"11 of 12 genes .*set sequence.max_refused to at least"):
        placed(*genes)
    assert len(placed(*genes, max_refused=0.917)) == 1
