"""A batch gets figures and a summary, a run gets a page and a model card."""

import subprocess
import sys

import pytest

from genebatch.io.files import read_json, write_tsv
from genebatch.metrics.neighbours import summarise
from tests.builders.finished_run import (
    ABOVE,
    FEATURES,
    PNG,
    SITES,
    VOWELS,
    Data,
    errors,
    track_files,
)
from tests.builders.windows import MEASURED, made_windows


def test_drawing_a_batch_loads_no_library_that_trains():
    code = (
        "import sys, genebatch.steps.report, genebatch.report.figures.batch\n"
        "print({'xgboost', 'sklearn', 'scipy.stats', 'pandas'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "set()\n"


@pytest.mark.parametrize(
    "options",
    [
        {"absent": 1},
        {"classes": VOWELS, "base": False, "weight": False},
    ],
)
def test_a_batch_gets_six_figures_and_a_summary(options, tmp_path):
    data = Data(tmp_path, **options)
    figures, path = data.diagnose("b007")
    assert len(figures) == 6
    assert all(figure.read_bytes()[:4] == PNG for figure in figures.values())
    summary = read_json(path)
    assert (summary["batch"], summary["rows"], summary["groups"]) == ("b007", 300, 10)
    assert list(summary["classes"]) == data.classes
    scored = {line["system"] for line in summary["metrics"]}
    assert scored == ({"model", "base"} if data.base else {"model"})
    assert {line["weighted"] for line in summary["metrics"]} == (
        {False, True} if data.weight else {False}
    )
    for code, facts in enumerate(summary["classes"].values()):
        assert facts["rows"] == int((data.codes == code).sum())
        assert facts["trees"] == {"median": 15.0, "min": 10, "max": 20}
        assert facts["verdicts"] == {"good": 2}
        assert [line["feature"] for line in facts["top_features"]] == FEATURES
        assert (
            facts["calibration"]["after"]["log_loss"] <= facts["calibration"]["before"]["log_loss"]
        )


@pytest.fixture(scope="module")
def run_of_sites(tmp_path_factory):
    """A run on donors and acceptors, and what a report reads of it."""
    data = Data(tmp_path_factory.mktemp("run"), classes=["neither", *SITES])
    return data, data.run((ABOVE,) * 3)


@pytest.fixture(scope="module")
def page(run_of_sites):
    """Write the page of a run with tracks whose corrections are these lines; give its text."""
    data, run = run_of_sites
    pages = {}

    def write(*lines):
        key = repr(lines)
        if key not in pages:
            text, _ = data.report(run | track_files(data.folder, lines))
            pages[key] = " ".join(text.split())
        return pages[key]

    return write


def test_page_compares_with_the_base_scores_at_both_of_their_thresholds(page):
    default = errors("default", (0.5, 0.5), (1300, 26, 1127, 2, 173, 24))
    text = page(*default, *errors("best_f1", (0.32, 0.425), (126, 30, 97, 11, 29, 19)))
    assert (
        "The model calls a site where its probability reaches the threshold "
        "(donor 0.4, acceptor 0.4)."
    ) in text
    assert (
        "Compared with the base scores at 0.5, their threshold without a model, it corrects 1,300 "
        "errors and makes 26 new ones: it finds 1,127 missed sites and loses 2; it withdraws 173 "
        "false calls and adds 24."
    ) in text
    assert (
        "Compared with the base scores at their own best thresholds (donor 0.32, acceptor 0.425; "
        "chosen like those of the model), it corrects 126 errors and makes 30 new ones: it finds 97"
    ) in text


def test_page_tells_sites_of_the_canonical_transcript_from_others(page):
    counts = (1300, 26, 1127, 2, 173, 24)
    text = page(*errors("default", (0.5, 0.5), counts), *errors("best_f1", (0.3, 0.4), counts))
    assert (
        "Not judged are 5 sites of other genes and positions without a known label, 4 sites of "
        "transcripts that are no labels, and 0 positions that are donor and acceptor at once."
    ) in text
    assert "(known by MANE_Select in 1 gene, longest in 2 genes)" in text
    row = text[text.index('<td class="text">other</td>') :]
    cells = row[: row.index("</tr>")]
    assert [part in cells for part in ("<td>4</td><td>2</td>", "0.5000", "0.2500")] == [True] * 3
    assert (
        "6 calls of the model are annotated nowhere as such. 2 calls that would be false by the "
        "labels are sites of the gene's other transcripts, and 4 are sites of other genes"
    ) in text


def test_page_shows_what_the_model_changed_in_a_gene(page):
    text = page(*errors("default", (0.5, 0.5), (130, 26, 127, 2, 3, 24)))
    section = text.split('id="genes"')[1].split("</details> </div>")[0]
    assert "g1, typical: 2 sites, 1 errors of the base scores, 1 of the model" in section
    assert "<summary>g1, typical: 2 changed calls</summary>" in section
    gains = section[section.index("chr1:112") :]
    assert gains.index("found by the model") < gains.index("chr1:151")
    assert "added by the model" in gains[gains.index("chr1:151") :]


def test_page_of_an_older_model_compares_at_one_threshold(page):
    text = page(*errors("default", (0.5, 0.5), (130, 26, 127, 2, 3, 24)))
    assert "corrects 130 errors" in text
    assert "best thresholds" not in text


def test_page_says_whether_calls_sit_on_the_sites(run_of_sites, tmp_path):
    data, run = run_of_sites
    table = summarise(made_windows(model_at=1), SITES, MEASURED)
    write_tsv(tmp_path / "neighbours.tsv", table)
    page, _ = data.report(run | {"neighbours": tmp_path / "neighbours.tsv"})
    assert "<b>Calls sit beside the sites: donor at +1 and acceptor at +1 nt" in page
    assert "4 of 4" in page
    without, _ = data.report(run)
    assert 'id="neighbours"' not in without


def test_without_tracks_there_is_no_section(run_of_sites):
    data, run = run_of_sites
    page, card = data.report(run)
    assert 'id="tracks"' not in page
    assert "## Complete tracks" not in card
