"""Tests of calls.evaluation.compare: both candidates at the same positions, nulls with reasons."""

import numpy as np
import polars as pl
import pytest
from sklearn.metrics import average_precision_score

from genebatch.calls.evaluation import counts
from genebatch.calls.evaluation.compare import compare, count_tracks, group_places
from genebatch.calls.evaluation.ranking import rank
from genebatch.config.settings import Evaluation
from genebatch.genome.genes import foreign_sites, splice_sites
from tests.builders import complete_tracks as made_tracks

SITES = made_tracks.SITES
EVALUATION = Evaluation(n_replicates=60, seed=3)


@pytest.fixture(scope="module", autouse=True)
def short_ends():
    """Ends of 80 nt, so that genes of 400 nt have an inside."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(counts, "NEAR_END", 80)
        yield


@pytest.fixture(scope="module")
def made():
    return made_tracks.make()


def compared(made, scores, folder):
    """The comparison on the test genes of `made` with other scores."""
    path = folder / "positions.parquet"
    made_tracks.positions(made.tested, scores).write_parquet(path)
    tracks = count_tracks(path, made.genes, made.tested, made_tracks.THRESHOLDS, 1e-5)
    rankings = {name: rank(tracks, made.groups, name) for name in SITES}
    return compare(tracks, rankings, made.groups, EVALUATION)


def values(table, name, metric):
    return table.filter((pl.col("class") == name) & (pl.col("metric") == metric)).row(0, named=True)


@pytest.mark.parametrize("name", SITES)
def test_places_are_judged_apart(made, tmp_path, name, monkeypatch):
    monkeypatch.setattr(counts, "FLOOR", 0.0)
    table = compared(made, made.scores, tmp_path)
    frame = made_tracks.positions(made.tested, made.scores)
    truth, foreign = {}, foreign_sites(made.genes)
    for gene in made.tested:
        own = splice_sites(gene)[SITES.index(name)]
        truth |= {(gene.id, int(position)): True for position in own}
        truth |= {(gene.id, int(position)): None for position in foreign[gene.id]}
    lengths = {gene.id: gene.length for gene in made.tested}
    columns = ("gene_id", "position", f"base_{name}", f"probability_{name}")
    rows = [
        (min(position, lengths[gene] - 1 - position) < 80, truth.get((gene, position), False), *p)
        for gene, position, *p in frame.select(columns).iter_rows()
    ]
    for part, near in (("near_ends", True), ("inside", False)):
        y, base, model = zip(
            *(r[1:] for r in rows if r[0] == near and r[1] is not None), strict=True
        )
        line = values(table, name, f"average_precision_{part}")
        assert 0 < sum(y) < len(y)
        assert line["base"] == pytest.approx(average_precision_score(y, base))
        assert line["model"] == pytest.approx(average_precision_score(y, model))


def test_equal_scores_differ_on_no_draw(made, tmp_path):
    same = {name: np.stack([scores[0], scores[0]]) for name, scores in made.scores.items()}
    table = compared(made, same, tmp_path)
    for line in table.iter_rows(named=True):
        assert line["base_low"] <= line["base_high"]
        assert line["model_low"] == line["base_low"]
        assert line["difference_low"] == line["difference_high"] == 0
    assert (table["base_low"] < table["base_high"]).sum() >= 8


def test_few_groups_have_no_interval_but_a_reason(made, tmp_path):
    few = made._replace(groups=np.minimum(made.groups, 8))
    table = compared(few, made.scores, tmp_path)
    assert max(table["groups"]) == 9
    assert table["difference"].null_count() == 0
    assert table["difference_low"].null_count() == table.height
    assert set(table.filter(pl.col("groups") == 9)["reason"]) == {
        f"no interval: only 9 test groups with {name} rows, fewer than 10" for name in SITES
    }


def test_class_without_sites_has_losses_and_reasons(made, tmp_path):
    def whole(gene):
        transcript = gene.transcripts[0]._replace(exons=((gene.start, gene.end),))
        return gene._replace(transcripts=(transcript,))

    genes = [whole(gene) for gene in made.tested]
    table = compared(made._replace(genes=genes, tested=genes), made.scores, tmp_path)
    line = values(table, "donor", "average_precision")
    assert (line["base"], line["difference"]) == (None, None)
    assert line["reason"] == "no donor sites there"
    assert values(table, "donor", "brier")["base"] > 0


def test_base_scores_that_find_no_site_set_no_recall_to_compare_at(made, tmp_path):
    weak = {name: np.minimum(scores, 0.4) for name, scores in made.scores.items()}
    line = values(compared(made, weak, tmp_path), "donor", "precision_at_base_recall")
    assert (line["base"], line["model"]) == (None, None)
    assert line["reason"] == "no site has a base score of 0.5 or more"


def test_group_of_a_gene_is_that_of_the_table(made):
    names = {gene.id: f"group{n:02d}" for gene, n in zip(made.tested, made.groups, strict=True)}
    group_of = dict(sorted(names.items(), reverse=True)) | {"another": "trained"}
    assert group_places(group_of, made.tested).tolist() == made.groups.tolist()
