"""Figures are saved whole or not at all."""

import numpy as np
import pytest

from genebatch.report.figures import scored_rows, style
from genebatch.report.figures.scored_rows import Scored
from tests.builders.tables_and_figures import is_picture


def scored(n_columns):
    codes = np.arange(40) % 2
    probability = np.column_stack([np.linspace(0, 1, 40)] * n_columns)
    return Scored(["a", "b"], codes, {"model": probability}, None)


def test_a_saved_figure_is_a_picture_and_nothing_else_is_left(tmp_path):
    style.save_figure(tmp_path / "f.png", scored_rows.roc(scored(2), "t"))
    assert [path.name for path in tmp_path.iterdir()] == ["f.png"]
    assert is_picture(tmp_path / "f.png")


def test_a_figure_is_the_same_picture_each_time_whatever_the_version():
    first, again = (style.png(scored_rows.roc(scored(2), "t")) for _ in range(2))
    assert first == again
    assert b"tEXt" not in first
    assert b"tIME" not in first


def test_a_figure_that_fails_leaves_no_file(tmp_path):
    with pytest.raises(IndexError):
        style.save_figure(tmp_path / "f.png", scored_rows.roc(scored(1), "t"))
    figure = scored_rows.roc(scored(2), "t")
    figure.axes[0].set_title(r"$\frac$")  # a formula that cannot be drawn
    with pytest.raises(ValueError, match="frac"):
        style.save_figure(tmp_path / "f.png", figure)
    assert not list(tmp_path.iterdir())
