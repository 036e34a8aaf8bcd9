"""Figures show what the tables say, and say what they cannot show."""

import numpy as np
import pytest
from matplotlib.colors import to_hex

from genebatch.metrics.binary import METRICS, reliability
from genebatch.report.figures import scored_rows, style
from genebatch.report.figures.scored_rows import Reliability, Scored
from genebatch.report.numbers import format_value
from tests.builders.tables_and_figures import is_drawn, legend, said

CLASSES = ["neither", "donor", "acceptor"]
AWKWARD = r"$\frac$ <b>"  # broken mathematics and markup, were it taken for either


def scored(classes=CLASSES, base=True, weight=True, absent=None, n=240, seed=1):
    rng = np.random.default_rng(seed)
    codes = rng.integers(0, len(classes), n)
    if absent is not None:
        codes[codes == absent] = (absent + 1) % len(classes)
    signal = np.eye(len(classes))[codes]

    def probabilities(noise):
        raw = np.exp(signal + noise * rng.normal(size=signal.shape))
        return raw / raw.sum(axis=1, keepdims=True)

    shown = {"model": probabilities(0.5)} | ({"base": probabilities(1.0)} if base else {})
    return Scored(classes, codes, shown, rng.choice([1.0, 30.0], n) if weight else None)


DRAW = {
    "roc": lambda rows: scored_rows.roc(rows, "t"),
    "pr": lambda rows: scored_rows.precision_recall(rows, "t"),
}
METRIC = {"roc": "auc", "pr": "average_precision"}


@pytest.mark.parametrize("kind", DRAW)
def test_legends_give_the_values_of_the_metrics(kind):
    rows = scored()
    figure = DRAW[kind](rows)
    assert is_drawn(figure)
    for number, axes in enumerate(figure.axes):
        for name, probability in rows.probabilities.items():
            for how, weight in (("weighted", rows.weight), ("rows", None)):
                y, p = rows.codes == number, probability[:, number]
                value = METRICS[METRIC[kind]](y, p, weight).value
                assert f"{name} {how} {format_value(value)}" in legend(axes)


@pytest.mark.parametrize("kind", DRAW)
def test_base_scores_are_grey_and_rows_are_thin_beside_weights(kind):
    figure = DRAW[kind](scored())
    lines = {line.get_label(): line for line in figure.axes[0].get_lines()}
    for label, line in lines.items():
        if label.startswith("base"):
            assert to_hex(line.get_color()) == style.GREY
        if label.startswith("model"):
            assert to_hex(line.get_color()) == style.COLOURS[0].lower()
            assert (line.get_linewidth() == scored_rows.THIN) == ("rows" in label)


@pytest.mark.parametrize("kind", DRAW)
def test_without_base_scores_or_weights_a_panel_has_one_curve(kind):
    classes = [f"vowel {number}" for number in range(5)]
    figure = DRAW[kind](scored(classes, base=False, weight=False))
    assert is_drawn(figure)
    assert len(figure.axes) == 5
    for axes in figure.axes:
        assert len(legend(axes)) == 1
        assert legend(axes)[0].startswith("model 0.")


@pytest.mark.parametrize("kind", DRAW)
def test_a_class_without_positives_says_so_and_the_others_are_drawn(kind):
    figure = DRAW[kind](scored(absent=1, weight=False))
    neither, donor, acceptor = figure.axes
    assert said(donor) == ["no positive rows"]
    assert not donor.get_lines()
    assert neither.get_lines()
    assert acceptor.get_lines()


def test_a_class_that_is_every_row_has_no_roc_curve():
    rows = scored(["a", "b"], absent=1, weight=False)
    figure = scored_rows.roc(rows, "t")
    assert said(figure.axes[0]) == ["no negative rows"]
    assert said(figure.axes[1]) == ["no positive rows"]


def calibration_lines(y, p):
    table = reliability(np.array(y, bool), np.array(p))
    return [Reliability("before", "before", table), Reliability("after", "after", table)]


def test_calibration_gives_the_lowest_bin_in_numbers():
    # Of four rows in the lowest bin, at 0.01, one is positive.
    lines = calibration_lines([1, 0, 0, 0, 1], [0.01] * 4 + [0.9])
    figure = scored_rows.calibration({"a": lines}, ["a: sigmoid"], "t")
    axes = figure.axes[0]
    assert "lowest bin (80 % of all):\n0.0100 predicted, 0.2500 observed" in axes.get_xlabel()
    assert axes.get_title(loc="left") == "a: sigmoid"
    assert legend(axes) == ["before", "after"]


def test_calibration_of_a_class_without_positives_says_so():
    lines = {"a": calibration_lines([0, 0], [0.1, 0.2]), "b": calibration_lines([0, 1], [0.1, 1])}
    figure = scored_rows.calibration(lines, ["a", "b"], "t")
    assert said(figure.axes[0]) == ["no positive rows"]
    assert figure.axes[1].get_lines()


@pytest.mark.parametrize("kind", DRAW)
def test_names_are_shown_as_they_are(kind):
    figure = DRAW[kind](scored([AWKWARD, "$", "_hidden"]))
    titles = [axes.get_title(loc="left").replace(r"\$", "$") for axes in figure.axes]
    assert [title.split(" (share")[0] for title in titles] == [AWKWARD, "$", "_hidden"]
