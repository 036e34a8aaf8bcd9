"""Base scores and model share a panel a class, and positions weigh as many as they stand for."""

import numpy as np
import polars as pl
import pytest

from genebatch.calls.evaluation.ranking import Ranking
from genebatch.calls.evaluation.tables import curves
from genebatch.report.figures.tracks import precision_recall
from tests.builders.tables_and_figures import is_drawn, legend, said


def errors(*lines, name="donor"):
    """Lines of corrections as (base_at, base_threshold, n, missed and false of each side)."""
    names = ("base_at", "base_threshold", "n", "base_missed", "base_false")
    names += ("model_missed", "model_false")
    table = pl.DataFrame(lines, schema=names, orient="row")
    limit = pl.lit(0.2).alias("model_threshold")
    return table.select(pl.lit(name).alias("class"), pl.all(), limit)


# At 0.5 one of two donors is found among two calls, at 0.05 both among three; the model's calls
# are the donors.
ERRORS = errors(("default", 0.5, 2, 1, 1, 0, 0), ("best_f1", 0.05, 2, 0, 1, 0, 0))


def ranking(y):
    score = {"base": np.array([0.9, 0.6, 0.1, 0.0]), "model": np.array([0.9, 0.1, 0.4, 0.0])}
    return Ranking(np.array(y, bool), score, np.zeros(4, int), np.array([1.0, 1.0, 1.0, 97.0]))


def precision_recall_of(rankings, corrections=ERRORS):
    """The figure, with a line of corrections for each class."""
    silent = [corrections.with_columns(pl.lit(n).alias("class")) for n in rankings if n != "donor"]
    none = [lines.with_columns(n=pl.lit(0, pl.Int64)) for lines in silent]
    return precision_recall(curves(rankings), pl.concat([corrections, *none]), "t")


def test_curves_and_thresholds_of_base_scores_and_model_are_drawn():
    figure = precision_recall_of({"donor": ranking([1, 0, 1, 0])})
    assert is_drawn(figure)
    axes = figure.axes[0]
    assert axes.get_title(loc="left") == "donor (2 sites)"
    calls = ["base from 0.5 on", "base from 0.05 on (best F1)", "model from 0.2 on (best F1)"]
    assert legend(axes) == ["base 0.8333", "model 1", *calls]
    marks = [line for line in axes.lines if len(line.get_xdata()) == 1]
    points = [line.get_xydata()[0].tolist() for line in marks]
    assert points == [[0.5, 0.5], [1.0, pytest.approx(2 / 3)], [1.0, 1.0]]
    assert [line.get_marker() for line in marks] == ["o", "D", "D"]
    assert marks[0].get_color() == marks[1].get_color() != marks[2].get_color()


def test_base_scores_are_marked_at_the_thresholds_they_have():
    figure = precision_recall_of({"donor": ranking([1, 0, 1, 0])}, ERRORS[:1])
    calls = ["base from 0.5 on", "model from 0.2 on (best F1)"]
    assert legend(figure.axes[0])[2:] == calls


def test_base_scores_that_call_nothing_have_no_mark():
    silent = errors(("default", 0.5, 2, 2, 0, 0, 0))
    figure = precision_recall_of({"donor": ranking([1, 0, 1, 0])}, silent)
    assert legend(figure.axes[0])[2:] == ["model from 0.2 on (best F1)"]


def test_positions_below_the_floor_weigh_as_many_as_they_are():
    last = ranking([1, 0, 0, 0])
    last = last._replace(y=np.array([0, 0, 0, 1], bool), weight=np.array([1.0, 1.0, 97.0, 1.0]))
    figure = precision_recall_of({"donor": last})
    assert legend(figure.axes[0])[0] == "base 0.0100"


def test_class_without_sites_is_said_and_not_drawn():
    rankings = {"donor": ranking([1, 0, 0, 0]), "acceptor": ranking([0, 0, 0, 0])}
    figure = precision_recall_of(rankings)
    assert said(figure.axes[1]) == ["no sites in the test genes"]
