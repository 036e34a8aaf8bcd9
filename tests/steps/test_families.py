"""The command group-genes: files in, a table of groups out."""

import numpy as np
import pytest

from genebatch.cli import main
from genebatch.genome.genes import read_groups
from tests.builders.held_genome import write_genome


@pytest.fixture
def files(tmp_path):
    """Two genes of the same sequence, one of another, and one on a chromosome that is lacking."""
    rng = np.random.default_rng(0)
    texts = ["".join(rng.choice(list("ACGT"), 400)) for _ in range(2)]
    contigs = {"c1": texts[0], "c2": texts[0], "c3": texts[1]}
    genes = {
        "b": ("c1", "+", 0, 400),
        "a": ("c2", "+", 0, 400),
        "c": ("c3", "+", 0, 400),
        "d": ("c4", "+", 0, 400),
    }
    fasta, gtf = write_genome(tmp_path, contigs, genes)
    return ["--fasta", str(fasta), "--genes", str(gtf), "-o", str(tmp_path / "clusters.tsv")]


def test_families_are_a_table_that_a_build_reads(files, capsys):
    assert main(["group-genes", *files]) == 0
    printed = capsys.readouterr()
    assert printed.out == f"3 genes in 2 families, the largest has 2: {files[-1]}\n"
    assert read_groups(files[-1]) == {"a": "a", "b": "a", "c": "c"}
    with open(files[-1]) as stream:
        text = stream.read()
    assert text.startswith("gene_id\tgroup\n")
    assert main(["group-genes", *files]) == 0
    with open(files[-1]) as stream:
        assert stream.read() == text


def test_genes_that_are_not_on_the_genome_are_left_out_or_refused(files, capsys, caplog):
    assert main(["group-genes", *files]) == 0
    assert "1 genes on chromosomes that" in caplog.text
    assert main(["group-genes", *files, "--max-refused", "0"]) == 1
    assert "more than --max-refused (0) allows" in capsys.readouterr().err


@pytest.mark.parametrize("option", ["--identity", "--cover"])
def test_shares_out_of_range_are_refused(files, capsys, option):
    assert main(["group-genes", *files, option, "0"]) == 1
    assert f"({option})" in capsys.readouterr().err


def test_biotypes_of_a_file_without_any_are_refused(files, capsys):
    assert main(["group-genes", *files, "--biotypes", "protein_coding"]) == 1
    assert "no gene has a biotype" in capsys.readouterr().err
