"""The figures of candidates and weights show every one of them and stay readable."""

import polars as pl
import pytest
from matplotlib.collections import LineCollection

from genebatch.report.figures import candidates
from tests.builders.tables_and_figures import is_drawn, legend, said

CLASSES = ["neither", "donor"]


def tables(n_members=2, base=True, single=True, absent=None):
    """Average precision of 0.9 less 0.01 a candidate; 0.5 where rows are not weighted."""
    compared = [*(["base"] if base else []), "voting", *(["single"] if single else [])]
    own = [f"member b{number:03d}" for number in range(n_members)]
    metrics, gains = [], []
    for name in CLASSES:
        for weighted in (False, True):
            key = {"class": name, "metric": "average_precision", "weighted": weighted}
            for number, candidate in enumerate(["model", *compared, *own]):
                value = None if name == absent else 0.9 - 0.01 * number if weighted else 0.5
                line = {"system": candidate, "value": value, "reason": "no positive rows"}
                metrics.append(line | key)
            for candidate in compared:
                line = {"system": candidate, "in_use": candidate == "voting"} | key
                for there, reference in ((base, "base"), (single, "single")):
                    if there:
                        gained = candidate != reference and name != absent
                        line[f"over_{reference}"] = 0.0
                        line[f"over_{reference}_low"] = -0.02 if gained else None
                        line[f"over_{reference}_high"] = 0.01 if gained else None
                gains.append(line)
    return (pl.DataFrame(lines, infer_schema_length=None) for lines in (metrics, gains))


def names(axes):
    return [label.get_text() for label in axes.get_yticklabels()]


@pytest.mark.parametrize("base", [True, False])
def test_every_candidate_and_member_has_a_line_and_the_one_in_use_is_named(base):
    metrics, compared = tables(base=base, absent="donor")
    figure = candidates.members(metrics, compared, CLASSES, "t")
    assert is_drawn(figure)
    first, second = figure.axes
    others = ["single", "member b000", "member b001"]
    assert names(first) == [*(["base"] if base else []), "voting (delivered)", *others]
    assert said(second) == ["no positive rows"]


def test_bars_are_intervals_of_the_difference_put_where_the_base_is():
    metrics, compared = tables()
    figure = candidates.members(metrics, compared, CLASSES, "t")
    bars = [c for c in figure.axes[0].collections if isinstance(c, LineCollection)]
    ends = [bar.get_segments()[0][:, 0].tolist() for bar in bars]
    # The base reaches 0.89 weighted, so a difference of -0.02 to 0.01 lies from 0.87 to 0.90.
    assert ends == [pytest.approx([0.87, 0.90])] * 2


def test_hundreds_of_members_share_a_line():
    metrics, compared = tables(n_members=80)
    figure = candidates.members(metrics, compared, CLASSES, "t")
    assert names(figure.axes[0]) == ["base", "voting (delivered)", "single", "80 members"]


def combiners(n_members):
    weights = [[1.0, 0.25, *[0.0] * (n_members - 2)], [0.5] * n_members]
    return {
        "members": [f"b{number:03d}" for number in range(n_members)],
        "combiners": {"voting": {}, "stacked": {"weights": weights}},
    }


def test_weights_of_few_members_are_written_as_numbers():
    figure = candidates.weights(combiners(3), CLASSES, "t")
    assert is_drawn(figure)
    axes = figure.axes[0]
    assert said(axes) == ["1.00", "0.25", "0"]
    assert [label.get_text() for label in axes.get_xticklabels()] == ["stacked\nsum 1.25"]


def test_weights_of_many_members_are_drawn_by_falling_size():
    figure = candidates.weights(combiners(50), CLASSES, "t")
    axes = figure.axes[0]
    assert legend(axes) == ["stacked: 2 used, sum 1.25"]
    assert axes.get_lines()[0].get_ydata().tolist() == [1.0, 0.25] + [0.0] * 48
