"""What the page says about complete tracks."""

import polars as pl
import pytest

from genebatch.files import write_json, write_tsv
from genebatch.track_report import track_facts


@pytest.fixture
def inputs(tmp_path):
    """Tables of an evaluation on tracks in which everything but the log loss is too small."""
    lines = [
        ("donor", "average_precision", 0.9, 0.95, 0.05, 0.01, 0.08, None),
        ("donor", "log_loss", 0.002, 0.001, -0.001, -0.0015, -0.0005, None),
        ("acceptor", "top_k", 0.5, 0.5, 0.0, None, None, "only 3 test groups"),
    ]
    names = ("class", "metric", "base", "ensemble", "difference")
    names += ("difference_low", "difference_high", "reason")
    paths = {f"tracks_{name}": tmp_path / name for name in ("comparison", "corrections", "hybrid")}
    write_tsv(paths["tracks_comparison"], pl.DataFrame(lines, schema=names, orient="row"))
    write_tsv(paths["tracks_corrections"], pl.DataFrame({"class": ["all"], "corrected": [4]}))
    write_tsv(paths["tracks_hybrid"], pl.DataFrame({"low": [0.1], "share": [0.01]}))
    paths["tracks_summary"] = tmp_path / "summary.json"
    write_json(paths["tracks_summary"], {"positions": 7})
    return paths


def test_a_fallen_loss_is_better(inputs):
    words = {(line.name, line.metric): line.word for line in track_facts(inputs)["lines"]}
    assert words["donor", "average precision"] == "better"
    assert words["donor", "log loss"] == "better"


def test_a_missing_interval_says_why(inputs):
    line = track_facts(inputs)["lines"][2]
    assert line.word == "not judged"
    assert line.low.note == "only 3 test groups"


def test_without_tracks_there_is_no_section():
    assert track_facts({"metrics": "metrics.tsv"}) is None
