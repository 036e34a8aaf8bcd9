"""Files in which each transcript stands as a gene of its own are told."""

import pytest

from genebatch.genome.genes import read_gene_models

ISOFORMS = (((101, 200), (301, 400)), ((151, 200), (501, 600)), ((181, 250), (501, 600)))


def exons(gene, transcript, spans, strand="+"):
    names = f'gene_id "{gene}"; transcript_id "{transcript}";'
    return "".join(
        f"chr1\tx\texon\t{start}\t{end}\t.\t{strand}\t.\t{names}\n" for start, end in spans
    )


def apart(number):
    start = 1000 * number + 1001
    return exons(f"g{number}", f"t{number}", ((start, start + 99), (start + 300, start + 399)))


@pytest.fixture
def warnings(tmp_path, caplog):
    def read(text):
        path = tmp_path / "genes.gtf"
        path.write_text(text)
        read_gene_models(path, key="--genes")
        return [r.message for r in caplog.records if "genes of their own" in r.message]

    return read


def test_a_gene_id_that_repeats_the_transcript_id_is_told_with_counts_and_what_to_do(warnings):
    text = "".join(exons(f"n{n}", f"n{n}", spans) for n, spans in enumerate(ISOFORMS))
    (message,) = warnings(text + apart(1))
    assert "100 % of the genes have one transcript, and 3 of 4 genes with introns" in message
    assert "share a splice site with another gene on their strand: n0, n1, n2; if " in message
    assert "set --genes to a file that names the gene of each transcript" in message


QUIET = {
    "isoforms of one gene": "".join(exons("g", f"t{n}", s) for n, s in enumerate(ISOFORMS)),
    "one transcript each, apart": "".join(map(apart, range(20))),
    "few share a site": "".join(map(apart, range(18)))
    + exons("a", "a", ISOFORMS[0])
    + exons("b", "b", ISOFORMS[1]),
    "the other strand": exons("a", "a", ISOFORMS[0]) + exons("b", "b", ISOFORMS[0], "-"),
    "a donor and an acceptor": exons("a", "a", ((1, 100), (200, 300)))
    + exons("b", "b", ((1, 199), (300, 400))),
    "no introns": exons("a", "a", ((1, 100),)) + exons("b", "b", ((1, 100),)),
}


@pytest.mark.parametrize("name", QUIET)
def test_ordinary_genes_are_no_warning(warnings, name):
    assert not warnings(QUIET[name])
