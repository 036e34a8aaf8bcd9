"""What genebatch.track_plots promises: both systems on one panel a class, weighted as counted."""

import numpy as np

from genebatch.track_plots import precision_recall
from genebatch.track_ranking import Ranking
from helpers import is_picture, legend, said

LIMITS = {"base": 0.5, "ensemble": 0.2}


def ranking(y):
    score = {"base": np.array([0.9, 0.6, 0.1, 0.0]), "ensemble": np.array([0.9, 0.1, 0.4, 0.0])}
    return Ranking(np.array(y, bool), score, np.zeros(4, int), np.array([1.0, 1.0, 1.0, 97.0]))


def test_curves_and_thresholds_of_both_systems_are_drawn(tmp_path, figures):
    precision_recall(tmp_path / "pr.png", {"donor": ranking([1, 0, 1, 0])}, {"donor": LIMITS}, "t")
    assert is_picture(tmp_path / "pr.png")
    axes = figures[0].axes[0]
    assert axes.get_title(loc="left") == "donor (2 sites)"
    assert legend(axes) == ["base 0.8333", "ensemble 1", "at the threshold"]
    marks = [line.get_xydata()[0].tolist() for line in axes.lines if len(line.get_xdata()) == 1]
    assert marks == [[0.5, 0.5], [1.0, 1.0]]


def test_positions_below_the_floor_weigh_as_many_as_they_are(tmp_path, figures):
    last = ranking([1, 0, 0, 0])
    last = last._replace(y=np.array([0, 0, 0, 1], bool), weight=np.array([1.0, 1.0, 97.0, 1.0]))
    precision_recall(tmp_path / "pr.png", {"donor": last}, {"donor": LIMITS}, "t")
    assert legend(figures[0].axes[0])[0] == "base 0.0100"


def test_class_without_sites_is_said_and_not_drawn(tmp_path, figures):
    rankings = {"donor": ranking([1, 0, 0, 0]), "acceptor": ranking([0, 0, 0, 0])}
    precision_recall(tmp_path / "pr.png", rankings, dict.fromkeys(rankings, LIMITS), "t")
    assert said(figures[0].axes[1]) == ["no sites in the test genes"]
