"""Minutes that jobs declare to a cluster."""

import math
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from genebatch.config.settings import Selection
from genebatch.jobs.minutes import LEAST_MINUTES
from genebatch.jobs.needs import estimate_minutes, rules_of
from genebatch.jobs.sizes import Shape, Whole

SHAPE = Shape(
    rows=1_000_000,
    n_dense=100,
    n_wide=10,
    n_counts=1_000,
    n_frequent=0,
    counts_per_row=100.0,
    n_classes=3,
    n_splits=5,
    max_bin=256,
    max_depth=4,
    explain_rows=2_000,
    n_estimators=800,
)
WHOLE = Whole(SHAPE, largest=250_000, n_members=4, test_rows=100_000, scored=1_000_000)


def test_minutes_of_cross_validation_by_hand():
    # 200 million stored cells at 1.7 ns and a million rows at 40 ns are 0.38 s a tree, and 0.01 s;
    # 5 folds of 3 classes of 800 trees, and 20 s to build each; twice that for slower processors.
    assert estimate_minutes("cross_validate_batch", SHAPE) == 166
    # One booster a class instead of five, and the cells take twice as long two levels up.
    assert estimate_minutes("train_batch", SHAPE) == 34
    assert estimate_minutes("train_batch", SHAPE._replace(max_depth=6)) == 61


def test_minutes_of_picked_features_by_hand():
    # 50 dense features: 50 million cells are 0.085 s a tree, and 0.05 s; 5 s to build. A pilot has
    # 103,000 rows of 200 cells: 0.035 s, and 0.014 s, for 40 rounds; 2 s to build, once.
    select = Selection(top=50, share=0.33, max_rows=100_000, rounds=40)
    picked = SHAPE._replace(select=select)
    seconds = 15 * (5 + 800 * 0.135) + 2.06 + 15 * 40 * 0.0491
    assert estimate_minutes("cross_validate_batch", picked) == math.ceil(2 * seconds / 60) == 58
    # With few features there is no pilot.
    every = replace(select, top=1100)
    assert estimate_minutes("train_batch", SHAPE._replace(select=every)) == 34


def test_minutes_of_scores_by_all_members_by_hand():
    # 9,600 trees at 40 ns and 200 cells at 100 ns for each of a million rows: 404 s. Calibrators
    # learn from 3 million scores: 60 s. Twice that.
    assert estimate_minutes("cross_batch_scores", WHOLE) == LEAST_MINUTES
    more = WHOLE._replace(n_members=14)
    assert estimate_minutes("cross_batch_scores", more) == 48
    # A tenth of 1,364 s for a tenth of the rows, 200 cells at 50 ns for each of the others: 9 s.
    many = WHOLE._replace(n_members=140)
    assert estimate_minutes("cross_batch_scores", many) == 451
    assert estimate_minutes("cross_batch_scores", many._replace(scored=100_000)) == 48


@given(st.sampled_from(rules_of("batch")), st.integers(0, 10**7), st.integers(0, 10**7))
def test_more_rows_never_take_less_time(rule, rows, more):
    few = SHAPE._replace(rows=rows, n_estimators=100)
    many = few._replace(rows=rows + more)
    assert LEAST_MINUTES <= estimate_minutes(rule, few) <= estimate_minutes(rule, many)


@pytest.mark.parametrize("rule", rules_of("whole"))
def test_every_rule_about_all_batches_has_a_time(rule):
    assert estimate_minutes(rule, WHOLE) >= LEAST_MINUTES
