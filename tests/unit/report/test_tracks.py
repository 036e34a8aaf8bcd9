"""What the page says about complete tracks."""

import polars as pl
import pytest

from genebatch.io.files import write_json, write_tsv
from genebatch.report.page import write_report
from genebatch.report.tracks import threshold_lines, track_facts
from tests.builders.finished_run import ABOVE, PNG, Data


@pytest.fixture
def inputs(tmp_path):
    """Tables of an evaluation on tracks in which everything but the log loss is too small."""
    lines = [
        ("donor", "average_precision", 0.9, 0.95, 0.05, 0.01, 0.08, None),
        ("donor", "log_loss", 0.002, 0.001, -0.001, -0.0015, -0.0005, None),
        ("acceptor", "top_k", 0.5, 0.5, 0.0, None, None, "only 3 test groups"),
    ]
    names = ("class", "metric", "base", "model", "difference")
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


# The page

SITES = ("donor", "acceptor")
ERRORS = ("corrected", "made", "missed_corrected", "missed_made", "false_corrected", "false_made")


def errors(at, limits, counts):
    """Lines of corrections: of both classes with these thresholds, and these counts of all."""
    lines = [
        {"class": name, "base_at": at, "base_threshold": limit, "model_threshold": 0.4}
        for name, limit in zip((*SITES, "all"), (*limits, None), strict=True)
    ]
    lines[-1]["model_threshold"] = None
    return [line | dict(zip(ERRORS, counts, strict=True)) for line in lines]


@pytest.fixture(scope="module")
def run_of_sites(tmp_path_factory):
    """A run on donors and acceptors, and what a report reads of it."""
    data = Data(tmp_path_factory.mktemp("run"), classes=["neither", *SITES])
    return data, data.run((ABOVE,) * 3)


@pytest.fixture
def page(inputs, run_of_sites, tmp_path):
    """Write the page of a run with tracks whose corrections are these lines; gives its text."""

    data, run = run_of_sites

    def write(*lines):
        table = pl.DataFrame(lines, infer_schema_length=None)
        write_tsv(inputs["tracks_corrections"], table)
        cost = {"low": [0.1], "share": [0.01], "change_donor": [-0.01], "change_acceptor": [None]}
        write_tsv(inputs["tracks_hybrid"], pl.DataFrame(cost))
        counts = {"positions": 7, "genes": 2, "left_out": {"foreign": 0, "ambiguous": 0}}
        write_json(inputs["tracks_summary"], counts | {"classes": {name: {} for name in SITES}})
        figure = tmp_path / "tracks.png"
        figure.write_bytes(PNG)
        outputs = {name: tmp_path / f"e_{name}.png" for name in ("roc", "pr", "calibration")}
        outputs |= {name: tmp_path / f"{name}.png" for name in ("members", "weights")}
        outputs["card"] = tmp_path / "CARD.md"
        outputs["page"] = tmp_path / "index.html"
        given = run | inputs | {"tracks_figure": figure}
        write_report(given, data.config, outputs)
        return " ".join(outputs["page"].read_text().split())

    return write


def test_page_compares_with_the_base_scores_at_both_of_their_thresholds(page):
    default = errors("default", (0.5, 0.5), (1300, 26, 1127, 2, 173, 24))
    text = page(*default, *errors("best_f1", (0.32, 0.425), (126, 30, 97, 11, 29, 19)))
    assert "The model calls from its thresholds on (donor 0.4, acceptor 0.4)." in text
    assert (
        "Against the base scores from 0.5 on, as they are used without it, it corrects 1,300 "
        "errors and makes 26 new ones: 1,127 missed sites found and 2 lost, 173 false calls "
        "withdrawn and 24 added."
    ) in text
    assert (
        "Against the base scores from their own best thresholds on (donor 0.32, acceptor 0.425; "
        "chosen like the model's), it corrects 126 errors and makes 30 new ones: 97 missed"
    ) in text


def test_page_of_an_older_model_compares_at_one_threshold(page):
    text = page(*errors("default", (0.5, 0.5), (130, 26, 127, 2, 3, 24)))
    assert "corrects 130 errors" in text
    assert "best thresholds" not in text


def test_thresholds_of_the_base_scores_stand_above_those_of_the_ensemble(tmp_path):
    lines = threshold_lines(Data(tmp_path, classes=["neither", *SITES]).thresholds())
    assert [(line["weighted"], line["class"], line["system"]) for line in lines] == [
        (weighted, name, system)
        for weighted in (True, False)
        for name in ("neither", *SITES)
        for system in ("base", "model")
    ]
    assert [line["threshold"].text for line in lines[2:4]] == ["0.3750", "0.2500"]
    assert lines[0]["threshold"].note == "no positive rows"
