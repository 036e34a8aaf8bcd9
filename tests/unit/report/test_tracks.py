"""What the page says about complete tracks."""

import polars as pl
import pytest

from genebatch.io.tables import read_tsv
from genebatch.report.tracks import TrackTables, threshold_lines, track_facts
from tests.builders.finished_run import SITES, Data, track_comparison


@pytest.fixture
def tables():
    """Tables of an evaluation on tracks; top-k has too few groups for an interval."""
    corrections = pl.DataFrame({"class": ["all"], "corrected": [4]})
    hybrid = pl.DataFrame({"low": [0.1], "share": [0.01]})
    return TrackTables(track_comparison(), corrections, hybrid, {"positions": 7})


def test_a_fallen_loss_is_better(tables):
    words = {(line.name, line.metric): line.word for line in track_facts(tables)["lines"]}
    assert words["donor", "average precision"] == "better"
    assert words["donor", "log loss"] == "better"


def test_a_missing_interval_says_why(tables):
    line = track_facts(tables)["lines"][2]
    assert line.word == "not judged"
    assert line.low.note == "only 3 test groups"


def test_thresholds_of_the_base_scores_stand_above_those_of_the_ensemble(tmp_path):
    path = Data(tmp_path, classes=["neither", *SITES]).thresholds()
    lines = threshold_lines(read_tsv(path))
    assert [(line["weighted"], line["class"], line["system"]) for line in lines] == [
        (weighted, name, system)
        for weighted in (True, False)
        for name in ("neither", *SITES)
        for system in ("base", "model")
    ]
    assert [line["threshold"].text for line in lines[2:4]] == ["0.3750", "0.2500"]
    assert lines[0]["threshold"].note == "no positive rows"
