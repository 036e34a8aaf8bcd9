"""Every group is a point, the first are named, and an empty panel says why."""

import numpy as np
import polars as pl
import pytest

from genebatch.evaluation.group_ranks import rank, with_unscored
from genebatch.evaluation.group_sums import sum_groups
from genebatch.report.figures.ranks import draw_ranks
from tests.builders.held_out_scores import BASE, CLASSES, MEMBERS, ROWS, WEIGHT, held_out, write
from tests.builders.tables_and_figures import is_drawn, legend, said


def draw(folder, *args, top=2, **kwargs):
    paths = write(folder, held_out(ROWS, *args, **kwargs))
    by = "weighted_ambiguity" if "weight" in kwargs else "ambiguity"
    ranks = rank(sum_groups(paths["cross_batch"], paths["combined"], "log_odds"), by)
    figure = draw_ranks(ranks, CLASSES, top)
    assert is_drawn(figure)
    return figure


def names(axes):
    return [text.get_text() for text in axes.get_yticklabels()]


def test_all_groups_are_points_and_the_first_are_named(tmp_path):
    figure = draw(tmp_path, MEMBERS, weight=WEIGHT, base=BASE)
    scatter, parts, errors = figure.axes
    points = np.concatenate([dots.get_offsets() for dots in scatter.collections])
    assert len(points) == 3
    assert (points > 0).all()
    assert sorted(said(scatter)) == ["1", "2"]
    assert names(parts) == ["split  1", "wrong  2"]
    assert legend(errors) == ["corrected", "made"]
    assert figure.get_suptitle().endswith("sums over held-out weighted rows")


def test_ranks_of_points_in_one_place_are_written_apart(tmp_path):
    rows = [(f"g{number:02d}", "yes") for number in range(12)]
    members = {"b000": [0.9] * 12, "b001": [0.1] * 12}
    paths = write(tmp_path, held_out(rows, members))
    ranks = rank(sum_groups(paths["cross_batch"], paths["combined"], "log_odds"))
    texts = draw_ranks(ranks, CLASSES, 12).axes[0].texts
    heights = sorted(text.xyann[1] for text in texts)
    assert sorted(int(text.get_text()) for text in texts) == list(range(1, 13))
    assert np.diff(heights) == pytest.approx(0.034)
    assert 0 <= heights[0] < heights[-1] <= 1


def test_groups_without_scores_are_counted_in_the_title_and_no_points(tmp_path):
    paths = write(tmp_path, held_out(ROWS, MEMBERS))
    ranks = rank(sum_groups(paths["cross_batch"], paths["combined"], "log_odds"))
    planned = pl.DataFrame({"group": ["new"], "batch": ["b000"], "rows": [4]})
    figure = draw_ranks(with_unscored(ranks, planned), CLASSES, 15)
    assert figure.get_suptitle().startswith("3 of 4 groups by log loss")
    assert len(names(figure.axes[1])) == 3


def test_bars_are_the_members_loss_and_the_errors(tmp_path):
    _, parts, errors = draw(tmp_path, MEMBERS, base=BASE).axes
    ends = [bar.get_x() + bar.get_width() for bar in parts.containers[-1]]
    loss = [-np.log(0.9 * 0.1) / 2 - np.log(0.9), -np.log(0.1)]
    assert ends == pytest.approx(loss, rel=1e-6)
    widths = [[bar.get_width() for bar in bars] for bars in errors.containers]
    assert widths == [[1, 0], [-1, -1]]


def test_empty_panels_say_why(tmp_path):
    scatter, parts, errors = draw(tmp_path, {"b000": MEMBERS["b000"]}).axes
    assert said(scatter) == ["no ambiguity: a single member"]
    assert said(errors) == ["no base scores"]
    assert names(parts) == ["wrong  1", "easy  2"]
