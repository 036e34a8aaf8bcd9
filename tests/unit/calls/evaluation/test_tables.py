"""Tests of calls.evaluation.tables: counts that add up, and the cost of selective re-scoring."""

import json

import numpy as np
import polars as pl
import pytest
from sklearn.metrics import average_precision_score

from genebatch.calls.evaluation.compare import count_tracks
from genebatch.calls.evaluation.counts import LOWS, TrackCounter
from genebatch.calls.evaluation.ranking import Ranking
from genebatch.calls.evaluation.tables import corrections, curves, hybrid_costs, summarise
from genebatch.features.gene_rows import Sites
from tests.builders import complete_tracks as made_tracks

NONE = np.empty(0, np.int64)
LIMITS = {"donor": 0.3, "acceptor": 0.6}
FLOOR = 1e-5
BASE = {"donor": 0.35, "acceptor": 0.6}  # best thresholds of the base scores
KEYS = {"class", "base_at", "base_threshold", "model_threshold"}


def count(sites, scores, limits=LIMITS, base=None):
    counter = TrackCounter(1, limits, FLOOR, base)
    tiers = made_tracks.canonical_tiers(sites, np.shape(scores)[2])
    counter.add(0, sites, tiers, np.asarray(scores, np.float32))
    return counter.finish()


@pytest.fixture(scope="module")
def made():
    return made_tracks.make()


@pytest.fixture(scope="module")
def tracks(made, tmp_path_factory):
    path = tmp_path_factory.mktemp("tracks") / "positions.parquet"
    made_tracks.positions(made.tested, made.scores).write_parquet(path)
    return count_tracks(path, made.genes, made.tested, made_tracks.THRESHOLDS, FLOOR, BASE)


def test_corrections_are_errors_of_both_kinds():
    sites = Sites(np.arange(4), np.array([9]), NONE, NONE)
    scores = np.zeros((2, 2, 10))
    scores[:, 0, :4] = [[0.9, 0.1, 0.2, 0.8], [0.9, 0.35, 0.4, 0.2]]  # two gained, one lost
    scores[:, 0, 4:7] = [[0.5, 0.6, 0.1], [0.1, 0.7, 0.3]]  # one taken back, one kept, one new
    scores[:, 1, 8:] = [[0.9, 0.1], [0.1, 0.7]]
    donor, acceptor, both = corrections(count(sites, scores)).iter_rows(named=True)
    assert donor == {
        **{"class": "donor", "base_at": "default", "base_threshold": 0.5},
        **{"model_threshold": 0.3, "n": 4},
        **{"corrected": 3, "made": 2, "missed_corrected": 2, "missed_made": 1},
        **{"false_corrected": 1, "false_made": 1, "base_missed": 2, "model_missed": 1},
        **{"base_false": 2, "model_false": 2},
    }
    assert (acceptor["corrected"], acceptor["made"]) == (2, 0)
    assert (both["class"], both["base_threshold"], both["model_threshold"]) == (
        "all",
        None,
        None,
    )
    for name in set(donor) - KEYS:
        assert both[name] == donor[name] + acceptor[name]


def test_base_scores_are_beaten_at_their_best_threshold_as_well():
    sites = Sites(np.arange(4), np.array([9]), NONE, NONE)
    scores = np.zeros((2, 2, 10))
    scores[:, 0, :4] = [[0.9, 0.1, 0.2, 0.8], [0.9, 0.35, 0.4, 0.2]]
    scores[:, 0, 4:7] = [[0.15, 0.6, 0.1], [0.1, 0.7, 0.3]]
    base = {"donor": 0.15, "acceptor": 0.25}
    table = corrections(count(sites, scores, base=base))
    assert table["class"].to_list() == ["donor", "acceptor", "all"] * 2
    assert table["base_at"].to_list() == ["default"] * 3 + ["best_f1"] * 3
    assert table["base_threshold"].to_list() == [0.5, 0.5, None, 0.15, 0.25, None]
    assert table["model_threshold"].to_list() == [0.3, 0.6, None] * 2
    before, after = table.filter(pl.col("class") == "donor").to_dicts()
    # From 0.15 on the base scores find the donor 2 themselves and call the position 4 falsely.
    assert (before["missed_corrected"], after["missed_corrected"]) == (2, 1)
    assert (before["false_corrected"], after["false_corrected"]) == (0, 1)
    assert (before["base_missed"], after["base_missed"]) == (2, 1)
    assert (before["base_false"], after["base_false"]) == (1, 2)
    for name in ("n", "missed_made", "false_made", "model_missed", "model_false"):
        assert before[name] == after[name]


def test_corrections_add_up_to_the_change_of_errors(tracks):
    table = corrections(tracks)
    assert table.height == 6
    for line in table.iter_rows(named=True):
        before = line["base_missed"] + line["base_false"]
        after = line["model_missed"] + line["model_false"]
        assert before - after == line["corrected"] - line["made"]
        assert line["corrected"] > 0


def test_hybrid_keeps_the_base_score_below_the_band():
    # The site's base score is 0.05, the wrong position's 0.3; the model puts both right.
    sites = Sites(np.array([0]), NONE, NONE, NONE)
    scores = np.full((2, 2, 100), 1e-6)
    scores[:, 0, :2] = [[0.05, 0.3], [0.9, 0.01]]
    table = hybrid_costs(count(sites, scores), np.zeros(1, int), FLOOR)
    lines = {line["low"]: line for line in table.iter_rows(named=True)}
    assert [*lines] == [0.0, *LOWS]
    assert (lines[0]["rescored"], lines[0]["share"], lines[0]["largest_change"]) == (100, 1.0, 0.0)
    assert (lines[0.03]["rescored"], lines[0.03]["share"]) == (2, 0.02)
    assert lines[0.03]["average_precision_donor"] == 1.0
    # From 0.1 on the wrong position alone is put right, to 0.01; the site stays at 0.05.
    assert (lines[0.1]["rescored"], lines[0.1]["average_precision_donor"]) == (1, 1.0)
    assert lines[0.1]["average_precision_acceptor"] is None
    assert lines[0.1]["change_acceptor"] is None


def test_hybrid_costs_are_those_of_all_positions(made, tracks):
    table = hybrid_costs(tracks, made.groups, FLOOR)
    complete = table.row(0, named=True)
    for line in table.iter_rows(named=True):
        base, model = tracks.scores
        there = np.maximum(base.max(axis=0), FLOOR) >= np.float32(line["low"])
        changes = []
        for column, name in enumerate(made_tracks.SITES):
            hybrid = np.where(there, model[column], base[column])
            exact = average_precision_score(tracks.code == column + 1, hybrid)
            # Sites below the floor rank last here: a bound, and a close one.
            assert 0 <= exact - line[f"average_precision_{name}"] + 1e-12 < 0.02
            change = line[f"average_precision_{name}"] - complete[f"average_precision_{name}"]
            assert line[f"change_{name}"] == change
            changes.append(change)
        assert line["largest_change"] == max(changes, key=abs)
    assert table["share"].is_sorted(descending=True)
    assert complete["share"] == 1
    assert abs(table["largest_change"][-1]) > 0.01


def test_summary_counts_what_was_judged_and_what_was_not(made, tracks):
    summary = json.loads(json.dumps(summarise(tracks, made.groups)))
    length = sum(gene.length for gene in made.tested)
    assert summary["genes"] == len(made.tested)
    assert summary["groups"] == len(np.unique(made.groups))
    assert summary["left_out"]["foreign"] > 0
    assert summary["thresholds"] == made_tracks.THRESHOLDS
    assert summary["base_thresholds"] == {"default": dict.fromkeys(BASE, 0.5), "best_f1": BASE}
    assert summary["positions"] + sum(summary["left_out"].values()) == length
    assert summary["classes"]["donor"]["genes"] == len(made.tested)
    assert summary["classes"]["acceptor"]["groups"] == summary["groups"]
    own = tracks.code == 1
    assert summary["classes"]["donor"]["sites"] == own.sum()
    below = (tracks.scores[0, 0, own] < 1e-4).sum()
    assert summary["sites_below_floor"]["donor"]["base"] == below > 0
    assert (summary["floor"], summary["kept"]) == (1e-4, len(tracks.code))


def test_curves_hold_few_of_many_points_and_the_average_precision_of_all():
    rng = np.random.default_rng(1)
    y = rng.random(50_000) < 0.3
    score = {"base": rng.random(50_000), "model": rng.random(50_000) * (1 + y) / 2}
    ranking = Ranking(y, score, np.zeros(50_000, int), np.ones(50_000))
    silent = Ranking(np.zeros(3, bool), {"base": np.ones(3)}, np.zeros(3, int), np.ones(3))
    table = curves({"donor": ranking, "acceptor": silent})
    assert table["class"].unique().to_list() == ["donor"]
    for side in ("base", "model"):
        own = table.filter(pl.col("scores") == side)
        assert own.height < 5_000
        value = average_precision_score(y, score[side])
        assert own["average_precision"].unique().to_list() == [pytest.approx(value)]
        # The area under the points that are left is that under all of them.
        recall, precision = (own[key].to_numpy() for key in ("recall", "precision"))
        assert float(-np.diff(recall) @ precision[:-1]) == pytest.approx(value, abs=0.003)
