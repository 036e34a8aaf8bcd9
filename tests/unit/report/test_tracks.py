"""What the page says about complete tracks."""

import polars as pl
import pytest

from genebatch.io.tables import read_tsv
from genebatch.report.tracks import TrackTables, threshold_lines, track_facts
from tests.builders.finished_run import (
    SITES,
    Data,
    track_comparison,
    track_curves,
    track_tiers,
)


@pytest.fixture
def tables():
    """Tables of an evaluation on tracks; top-k has too few groups for an interval."""
    corrections = pl.DataFrame({"class": ["all"], "corrected": [4]})
    hybrid = pl.DataFrame({"low": [0.1], "share": [0.01]})
    tiers, curves = track_tiers(), track_curves()
    summary = {"positions": 7}
    return TrackTables(track_comparison(), corrections, hybrid, tiers, curves, summary, [])


def test_a_fallen_loss_is_better(tables):
    words = {(line.name, line.metric): line.word for line in track_facts(tables)["lines"]}
    assert words["donor", "average precision"] == "better"
    assert words["donor", "log loss"] == "better"


def test_a_missing_interval_says_why(tables):
    line = track_facts(tables)["lines"][2]
    assert line.word == "not judged"
    assert line.low.note == "only 3 test groups"


def test_recall_is_shown_by_tier_and_a_tier_without_sites_has_none(tables):
    facts = track_facts(tables)
    shown = [(line.name, line.tier, line.positions, line.left_out) for line in facts["tiers"]]
    assert shown == [
        *(("donor", "canonical", 10, 0), ("donor", "other", 4, 2)),
        *(("acceptor", "canonical", 10, 0), ("acceptor", "other", 4, 2)),
        *(("all", "canonical", 20, 0), ("all", "other", 8, 4)),
    ]
    line = facts["tiers"][1]
    assert ([recall.text for recall in line.base], line.model.text) == (["0.5000"], "0.2500")
    assert facts["elsewhere"]["other"] == {"called": 2, "left_out": 2}
    assert facts["elsewhere"]["none"] == {"called": 6, "left_out": 0}
    empty = tables.tiers.with_columns(pl.lit(None, pl.Float64).alias("model_recall"))
    line = track_facts(tables._replace(tiers=empty))["tiers"][0]
    assert line.model.note == "no such sites in the test genes"


def test_thresholds_of_the_base_scores_stand_above_those_of_the_ensemble(tmp_path):
    path = Data(tmp_path, classes=["neither", *SITES]).thresholds()
    lines = threshold_lines(read_tsv(path), "neither")
    assert [(line["weighted"], line["class"], line["system"]) for line in lines] == [
        (weighted, name, system)
        for name in (*SITES, "neither")  # the rest class is last
        for weighted in (True, False)
        for system in ("base", "model")
    ]
    assert [line["threshold"].text for line in lines[:2]] == ["0.3750", "0.2500"]
    assert lines[8]["threshold"].note == "no positive rows"
