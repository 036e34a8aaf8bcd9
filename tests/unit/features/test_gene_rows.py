"""Tests of features.gene_rows: reading the table of genes again."""

import pytest

from genebatch.features.gene_rows import genes_of_groups, read_gene_groups
from genebatch.io.files import InputError


def test_genes_of_groups_are_those_of_the_built_table(tmp_path):
    genes = tmp_path / "genes.tsv"
    genes.write_text("gene_id\tgroup\tlength\n1\t1\t5\n2\t1\t5\n3\t3\t5\n")
    group_of = read_gene_groups(genes)
    assert genes_of_groups(group_of, ["1"], genes, "groups.tsv") == ["1", "2"]
    with pytest.raises(InputError, match=r"groups\.tsv: group '4' has no gene in .*genes\.tsv"):
        genes_of_groups(group_of, ["4"], genes, "groups.tsv")
