"""Figures are written, show what the tables say, and say what they cannot show."""

import numpy as np
import pytest
from matplotlib.colors import to_hex

from genebatch.metrics.binary import METRICS, reliability
from genebatch.report.figures import scored_rows as plots
from genebatch.report.figures import style as look
from genebatch.report.figures.scored_rows import Reliability, Scored
from genebatch.report.numbers import format_value
from tests.builders.tables_and_figures import is_picture, legend, said

CLASSES = ["neither", "donor", "acceptor"]
AWKWARD = r"$\frac$ <b>"  # broken mathematics and markup, were it taken for either


def scored(classes=CLASSES, base=True, weight=True, absent=None, n=240, seed=1):
    rng = np.random.default_rng(seed)
    codes = rng.integers(0, len(classes), n)
    if absent is not None:
        codes[codes == absent] = (absent + 1) % len(classes)
    signal = np.eye(len(classes))[codes]

    def system(noise):
        raw = np.exp(signal + noise * rng.normal(size=signal.shape))
        return raw / raw.sum(axis=1, keepdims=True)

    systems = {"model": system(0.5)} | ({"base": system(1.0)} if base else {})
    return Scored(classes, codes, systems, rng.choice([1.0, 30.0], n) if weight else None)


DRAW = {
    "roc": lambda path, rows: plots.roc(path, rows, "t"),
    "pr": lambda path, rows: plots.precision_recall(path, rows, "t"),
}
METRIC = {"roc": "auc", "pr": "average_precision"}


@pytest.mark.parametrize("figure", DRAW)
def test_legends_give_the_values_of_the_metrics(figure, figures, tmp_path):
    rows = scored()
    DRAW[figure](tmp_path / "f.png", rows)
    assert is_picture(tmp_path / "f.png")
    for number, axes in enumerate(figures[0].axes):
        for system, probability in rows.systems.items():
            for name, weight in (("weighted", rows.weight), ("rows", None)):
                y, p = rows.codes == number, probability[:, number]
                value = METRICS[METRIC[figure]](y, p, weight).value
                assert f"{system} {name} {format_value(value)}" in legend(axes)


@pytest.mark.parametrize("figure", DRAW)
def test_base_scores_are_grey_and_rows_are_thin_beside_weights(figure, figures, tmp_path):
    DRAW[figure](tmp_path / "f.png", scored())
    lines = {line.get_label(): line for line in figures[0].axes[0].get_lines()}
    for label, line in lines.items():
        if label.startswith("base"):
            assert to_hex(line.get_color()) == look.GREY
        if label.startswith("model"):
            assert to_hex(line.get_color()) == look.COLOURS[0].lower()
            assert (line.get_linewidth() == plots.THIN) == ("rows" in label)


@pytest.mark.parametrize("figure", DRAW)
def test_without_base_scores_or_weights_a_panel_has_one_curve(figure, figures, tmp_path):
    classes = [f"vowel {number}" for number in range(5)]
    DRAW[figure](tmp_path / "f.png", scored(classes, base=False, weight=False))
    assert is_picture(tmp_path / "f.png")
    assert len(figures[0].axes) == 5
    for axes in figures[0].axes:
        assert len(legend(axes)) == 1
        assert legend(axes)[0].startswith("model 0.")


@pytest.mark.parametrize("figure", DRAW)
def test_a_class_without_positives_says_so_and_the_others_are_drawn(figure, figures, tmp_path):
    DRAW[figure](tmp_path / "f.png", scored(absent=1, weight=False))
    neither, donor, acceptor = figures[0].axes
    assert said(donor) == ["no positive rows"]
    assert not donor.get_lines()
    assert neither.get_lines()
    assert acceptor.get_lines()


def test_a_class_that_is_every_row_has_no_roc_curve(figures, tmp_path):
    rows = scored(["a", "b"], absent=1, weight=False)
    plots.roc(tmp_path / "f.png", rows, "t")
    assert said(figures[0].axes[0]) == ["no negative rows"]
    assert said(figures[0].axes[1]) == ["no positive rows"]


def calibration_lines(y, p):
    table = reliability(np.array(y, bool), np.array(p))
    return [Reliability("before", "before", table), Reliability("after", "after", table)]


def test_calibration_gives_the_lowest_bin_in_numbers(figures, tmp_path):
    # Of four rows in the lowest bin, at 0.01, one is positive.
    lines = calibration_lines([1, 0, 0, 0, 1], [0.01] * 4 + [0.9])
    plots.calibration(tmp_path / "f.png", {"a": lines}, ["a: sigmoid"], "t")
    axes = figures[0].axes[0]
    assert "lowest bin (80 % of all):\n0.0100 predicted, 0.2500 observed" in axes.get_xlabel()
    assert axes.get_title(loc="left") == "a: sigmoid"
    assert legend(axes) == ["before", "after"]


def test_calibration_of_a_class_without_positives_says_so(figures, tmp_path):
    lines = {"a": calibration_lines([0, 0], [0.1, 0.2]), "b": calibration_lines([0, 1], [0.1, 1])}
    plots.calibration(tmp_path / "f.png", lines, ["a", "b"], "t")
    assert said(figures[0].axes[0]) == ["no positive rows"]
    assert figures[0].axes[1].get_lines()


def test_memory_shows_every_job_and_says_when_there_is_none(figures, tmp_path):
    jobs = [
        {"rule": "train", "batch": b, "declared_mb": 500, "peak_mb": p}
        for b, p in (("b0", 300.0), ("b1", 350.0))
    ]
    plots.memory(tmp_path / "f.png", jobs, "t")
    plots.memory(tmp_path / "g.png", [], "t")
    peaks = [line for line in figures[0].axes[0].get_lines() if line.get_marker() == "o"]
    assert peaks[0].get_xdata().tolist() == [300, 350]
    assert said(figures[1].axes[0]) == ["no job recorded its memory"]


@pytest.mark.parametrize("figure", DRAW)
def test_names_are_shown_as_they_are(figure, figures, tmp_path):
    DRAW[figure](tmp_path / "f.png", scored([AWKWARD, "$", "_hidden"]))
    titles = [axes.get_title(loc="left").replace(r"\$", "$") for axes in figures[0].axes]
    assert [title.split(" (share")[0] for title in titles] == [AWKWARD, "$", "_hidden"]


def test_a_figure_that_fails_leaves_no_file(tmp_path):
    with pytest.raises(IndexError):
        plots.roc(tmp_path / "f.png", scored()._replace(systems={"model": np.ones((240, 1))}), "t")
    assert not list(tmp_path.iterdir())
