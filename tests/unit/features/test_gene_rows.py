"""What genebatch.gene_plan reads again of the table of genes."""

import pytest

from genebatch.features.gene_rows import genes_of_groups
from genebatch.io.files import InputError


def test_genes_of_groups_are_those_of_the_built_table(tmp_path):
    genes, groups = tmp_path / "genes.tsv", tmp_path / "groups.tsv"
    genes.write_text("gene_id\tgroup\tlength\n1\t1\t5\n2\t1\t5\n3\t3\t5\n")
    groups.write_text("group\n1\n")
    assert genes_of_groups(genes, groups) == ["1", "2"]
    groups.write_text("group\n4\n")
    with pytest.raises(InputError, match=r"groups\.tsv: group '4' has no gene in .*genes\.tsv"):
        genes_of_groups(genes, groups)
