"""Ids of genes in a file beside those of the gene models."""

import logging

import pytest

from genebatch.genome.gene_ids import check_group_ids, id_hint, other_versions
from genebatch.genome.genes import Gene
from genebatch.io.files import InputError


def gene(name, called=""):
    return Gene(name, called or name, "chr1", "+", 0, 9, "", ())


GENES = [gene("ENSG1.5", "BRCA1"), gene("ENSG2.1", "TP53")]


@pytest.mark.parametrize(
    ("ids", "hint"),
    [
        ({"TP53"}, "; its ids look like gene names: 'TP53' is gene 'ENSG2.1'"),
        ({"ENSG2.7"}, "; its ids have other versions: 'ENSG2.7' there, 'ENSG2.1' in the gene mo"),
        ({"ENSG2"}, "; its ids have other versions: 'ENSG2' there, 'ENSG2.1' in the gene models"),
        ({"ENSG3.1"}, ""),
        (set(), ""),
    ],
)
def test_a_hint_tells_names_and_versions(ids, hint):
    found = id_hint(GENES, ids)
    assert found.startswith(hint) if hint else not found


def test_a_table_of_unknown_ids_alone_is_refused():
    for ids, shown in (
        (["a", "b"], "none of its 2 gene ids is in g.gtf: a, b; "),
        ([], "it has n"),
    ):
        with pytest.raises(InputError, match=f"groups.tsv: .*{shown}.*set sequence.groups"):
            check_group_ids("groups.tsv", ids, GENES, {"ENSG1.5", "ENSG2.1"}, "g.gtf")


def test_single_unknown_ids_are_a_warning(caplog):
    caplog.set_level(logging.INFO)
    check_group_ids("groups.tsv", ["ENSG1.5", "x"], GENES, {"ENSG1.5", "ENSG2.1"}, "g.gtf")
    counted, named = caplog.records
    assert counted.levelno == logging.INFO
    assert "1 of 2 gene ids are genes of the table, 0 are of genes left out" in counted.message
    assert named.levelno == logging.WARNING
    assert "1 of 2 gene ids are not in g.gtf and they join nothing: x" in named.message


def test_ids_of_genes_that_are_left_out_are_known_but_not_used(caplog):
    check_group_ids("groups.tsv", ["ENSG9"], GENES, {"ENSG9"}, "g.gtf")
    (warning,) = caplog.records
    assert "0 of 1 gene ids are genes of the table, 1 are of genes left out" in warning.message


@pytest.mark.parametrize(
    ("genes", "ids", "found"),
    [
        (["A.1"], ["A.2"], {"A.1": "A.2"}),
        (["A.1", "B.1"], ["B", "C"], {"B.1": "B"}),
        (["A.1_PAR_Y", "A.1"], ["A.2_PAR_Y", "A.2"], {"A.1_PAR_Y": "A.2_PAR_Y", "A.1": "A.2"}),
        (["A.1"], ["A.1"], {}),
        (["A.1"], ["A.x"], {}),
        (["MSTRG.1"], ["MSTRG.2", "MSTRG.3"], {}),
        (["MSTRG.1", "MSTRG.4"], ["MSTRG.2"], {}),
    ],
)
def test_versions_are_told_only_where_one_id_is_meant(genes, ids, found):
    assert other_versions(genes, ids) == found
