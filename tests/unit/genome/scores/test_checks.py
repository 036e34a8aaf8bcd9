"""Tests of genome.scores.checks: genes without a score are refused or count as 0."""

import pytest

from genebatch.genome.scores.checks import UNSCORED, refuse_unscored
from genebatch.io.files import InputError
from tests.builders.held_genome import made_gene

GENES = [made_gene(0, 9, name="a"), made_gene(20, 29, name="b")]


def test_every_gene_scored_is_nothing_to_say(caplog):
    refuse_unscored("s.tsv", [], 2, "error", "sequence.scores")
    assert not caplog.records


def test_some_genes_without_scores_count_as_zero_if_asked(caplog):
    refuse_unscored("s.tsv", GENES[:1], 2, "zero", "sequence.scores")
    assert "no score of 1 of 2 genes: a; their scores count as 0" in caplog.text
    with pytest.raises(InputError, match=r"no score of 1 of 2 .*set sequence\.unscored to zero"):
        refuse_unscored("s.tsv", GENES[:1], 2, "error", "sequence.scores")


@pytest.mark.parametrize("unscored", UNSCORED)
def test_scores_of_no_gene_at_all_are_refused_whatever_unscored_says(unscored):
    with pytest.raises(InputError) as error:
        refuse_unscored("s.tsv", GENES, 2, unscored, "sequence.scores", "; it has scores of x")
    assert str(error.value) == (
        "s.tsv has no score of 2 of 2 genes: a, b; it has scores of x; set sequence.scores to "
        "scores of these genes"
    )
