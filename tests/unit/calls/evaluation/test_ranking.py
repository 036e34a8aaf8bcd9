"""Tests of calls.evaluation.ranking: exact ranks above the floor, and none that flatters."""

import numpy as np
import pytest
from sklearn.metrics import average_precision_score

from genebatch.calls.evaluation import counts
from genebatch.calls.evaluation.counts import TrackCounter
from genebatch.calls.evaluation.ranking import PrecisionAtRecall, rank, top_k_by_gene
from genebatch.features.gene_rows import Sites, label_sites
from genebatch.genome.genes import foreign_sites
from genebatch.metrics.binary import METRICS, top_k
from tests.builders import complete_tracks as made_tracks

SITES = made_tracks.SITES
NONE = np.empty(0, np.int64)


def count(*genes):
    counter = TrackCounter(len(genes), made_tracks.THRESHOLDS, 1e-5)
    for place, (sites, scores) in enumerate(genes):
        tiers = made_tracks.canonical_tiers(sites, np.shape(scores)[2])
        counter.add(place, sites, tiers, np.asarray(scores, np.float32))
    return counter.finish()


def donors(positives, base, model):
    """Tracks of one gene in which nothing is an acceptor."""
    scores = np.zeros((2, 2, len(base)))
    scores[:, 0] = base, model
    return count((Sites(np.array(positives, int), NONE, NONE, NONE), scores))


def average_precision(ranking, system):
    return METRICS["average_precision"](ranking.y, ranking.score[system], ranking.weight).value


@pytest.fixture(scope="module")
def made():
    return made_tracks.make()


@pytest.fixture(scope="module")
def labelled(made):
    """Sites of each test gene, and of every judged position its gene, class and scores."""
    foreign = foreign_sites(made.genes)
    sites = [label_sites(gene, foreign[gene.id]) for gene in made.tested]
    parts = []
    for place, (gene, own) in enumerate(zip(made.tested, sites, strict=True)):
        code = np.zeros(gene.length, int)
        code[own.donors], code[own.acceptors] = 1, 2
        judged = ~np.isin(np.arange(gene.length), np.append(own.foreign, own.ambiguous))
        kept = made.scores[gene.id][:, :, judged]
        parts.append((np.full(judged.sum(), place), code[judged], kept))
    gene, code, scores = zip(*parts, strict=True)
    return sites, np.concatenate(gene), np.concatenate(code), np.concatenate(scores, axis=2)


def tracks_of(made, sites):
    scores = (made.scores[gene.id] for gene in made.tested)
    return count(*zip(sites, scores, strict=True))


# Average precision


@pytest.mark.parametrize("name", SITES)
def test_without_a_floor_average_precision_is_that_of_all_positions(
    made, labelled, name, monkeypatch
):
    monkeypatch.setattr(counts, "FLOOR", 0.0)
    sites, _, code, scores = labelled
    ranking = rank(tracks_of(made, sites), made.groups, name)
    column = SITES.index(name)
    for number, system in enumerate(("base", "model")):
        expected = average_precision_score(code == column + 1, scores[number, column])
        assert average_precision(ranking, system) == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("name", SITES)
def test_floor_costs_at_most_what_lies_below_it(made, labelled, name):
    sites, _, code, scores = labelled
    tracks = tracks_of(made, sites)
    ranking, column = rank(tracks, made.groups, name), SITES.index(name)
    assert len(ranking.y) < len(code) / 2
    assert ranking.weight.sum() == len(code)
    y = code == column + 1
    below = (scores[:, column] < tracks.floor)[:, y].sum(axis=1)
    assert below[0] > 0
    for number, system in enumerate(("base", "model")):
        exact = average_precision_score(y, scores[number, column])
        found = average_precision(ranking, system)
        assert -1e-12 < exact - found < below[number] / y.sum() + 1e-12


def test_site_below_the_floor_ranks_below_everything():
    # Of 1,000 positions the sites are the best and, at 9e-5, the second best.
    score = np.zeros(1000)
    score[:2] = 0.9, 9e-5
    tracks = donors([0, 1], score, score)
    ranking = rank(tracks, np.zeros(1, int), "donor")
    assert len(ranking.y) == 3
    assert ranking.weight.tolist() == [1, 1, 998]
    assert average_precision(ranking, "base") == (1 + 2 / 1000) / 2
    assert average_precision_score(np.arange(1000) < 2, score) == 1


def test_position_that_only_the_other_system_lifts_above_the_floor_is_one_of_the_rest():
    base, model = np.full(10, 1e-6), np.full(10, 1e-6)
    base[:3] = 0.5, 0.4, 9e-5
    model[3] = 0.7
    ranking = rank(donors([1], base, model), np.zeros(1, int), "donor")
    assert ranking.score["base"].tolist() == pytest.approx([0.5, 0.4, 5e-5, 5e-5])
    assert ranking.score["model"].tolist() == pytest.approx([5e-5, 0, 0.7, 5e-5])
    assert ranking.weight.tolist() == [1, 1, 1, 7]
    assert average_precision(ranking, "base") == 1 / 2
    assert average_precision(ranking, "model") == 1 / 10


def test_every_group_counts_even_where_nothing_of_it_is_kept():
    sites = Sites(np.array([0]), NONE, NONE, NONE)
    strong, nothing = np.zeros((2, 2, 5)), np.zeros((2, 2, 7))
    strong[:, 0, 0] = 0.8
    tracks = count((sites, strong), (Sites(*[NONE] * 4), nothing))
    ranking = rank(tracks, np.array([1, 0]), "donor")
    assert ranking.group.tolist() == [1, 0, 1]
    assert ranking.weight.tolist() == [1, 7, 4]


def test_base_scores_stand_in_where_the_model_is_not_asked():
    base, model = np.array([0.2, 0.3, 0.9]), np.array([0.8, 0.7, 0.1])
    tracks = donors([0], base, model)
    ranking = rank(tracks, np.zeros(1, int), "donor", np.array([True, False, False]))
    assert ranking.score["model"][:3].tolist() == pytest.approx([0.8, 0.3, 0.9])


# Top k


@pytest.mark.parametrize("name", SITES)
def test_top_k_of_each_gene_is_that_of_all_its_positions(made, labelled, name, monkeypatch):
    monkeypatch.setattr(counts, "FLOOR", 0.0)
    sites, gene, code, scores = labelled
    found, column = top_k_by_gene(tracks_of(made, sites), name), SITES.index(name)
    for number, system in enumerate(("base", "model")):
        y, score = code == column + 1, scores[number, column]
        for place in np.unique(gene[y]):
            own = gene == place
            expected = top_k(y[own], score[own], groups=np.zeros(own.sum())).value
            assert found[system][place] == pytest.approx(expected)
        assert top_k(y, score, groups=gene).value == pytest.approx(
            found[system][np.unique(gene[y])].mean()
        )


def test_site_below_the_floor_is_not_among_the_best_even_of_a_gene_without_others():
    score = np.zeros(50)
    score[:3] = 0.9, 5e-5, 5e-5
    tracks = donors([0, 1, 2], score, score)
    assert len(tracks.code) == 3  # the sites alone: three of three by themselves
    assert top_k_by_gene(tracks, "donor")["base"].tolist() == [1 / 3]


def test_gene_without_sites_has_no_part_in_top_k():
    assert top_k_by_gene(donors([], np.ones(5) / 2, np.ones(5)), "donor")["base"].tolist() == [0]


# Precision at recall


def precision_of(tracks, groups=(0,)):
    return PrecisionAtRecall(rank(tracks, np.array(groups), "donor"))


def test_precision_is_compared_where_as_many_sites_are_found():
    # From 0.5 on the base scores find two of three sites among four calls. The model has one
    # false call before its second site, which is tied with another.
    base = [0.9, 0.5, 0.4, 0.6, 0.7, 0.1]
    model = [0.9, 0.2, 0.6, 0.8, 0.6, 0.1]
    precision = precision_of(donors([0, 1, 2], base, model))
    assert precision(np.ones(1)) == {"base": 2 / 4, "model": 2 / 4}
    better = [0.9, 0.2, 0.6, 0.3, 0.5, 0.1]
    precision = precision_of(donors([0, 1, 2], base, better))
    assert precision(np.ones(1)) == {"base": 2 / 4, "model": 1.0}


def test_equal_scores_have_equal_precision():
    score = [0.9, 0.8, 0.7, 0.6, 0.1]  # the false calls at 0.7 and 0.6 come after the last site
    precision = precision_of(donors([0, 1], score, score))
    assert precision(np.ones(1)) == {"base": 1.0, "model": 1.0}


def test_sites_below_the_floor_are_found_after_all_other_positions():
    base, model = np.zeros(100), np.zeros(100)
    base[:2] = 0.8
    model[0] = 0.8
    precision = precision_of(donors([0, 1], base, model))
    assert precision(np.ones(1)) == {"base": 1.0, "model": 2 / 100}


def test_groups_count_as_often_as_they_are_drawn():
    sites = Sites(np.array([0]), NONE, NONE, NONE)
    good, bad = np.zeros((2, 2, 4)), np.zeros((2, 2, 4))
    good[:, 0, 0] = 0.9
    bad[0, 0], bad[1, 0, :2] = 0.6, [0.5, 0.7]
    precision = precision_of(count((sites, good), (sites, bad)), (0, 1))
    assert precision(np.array([1, 1])) == {"base": 2 / 5, "model": 2 / 3}
    assert precision(np.array([3, 1])) == {"base": 4 / 7, "model": 4 / 5}
    assert precision(np.array([2, 0])) == {"base": 1.0, "model": 1.0}


def test_base_scores_that_find_nothing_set_no_recall():
    precision = precision_of(donors([0], [0.4, 0.6], [0.9, 0.1]))
    assert np.isnan([*precision(np.ones(1)).values()]).all()
