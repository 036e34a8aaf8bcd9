"""Strategies deal groups into batches."""

import math
from dataclasses import replace

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from genebatch.plan.strategies import STRATEGIES, adaptive, balanced, by_size, complexity, similar
from tests.builders.group_tables import BATCHING, count_tables, groups_of, loads, made_groups


def with_features(groups, *columns):
    """The table with one or more features of groups; noise where none are given."""
    rng = np.random.default_rng(4)
    columns = columns or (rng.normal(size=groups.height), rng.normal(size=groups.height))
    return groups.with_columns(
        pl.Series(f"similar.f{number}", values, dtype=pl.Float32)
        for number, values in enumerate(columns)
    )


def with_losses(groups, losses):
    return groups.with_columns(pl.Series("base_log_loss", losses, dtype=pl.Float64))


# ---- balanced and size


@pytest.mark.parametrize("n_batches", [2, 5, 12])
def test_balanced_batches_have_equal_rows_and_equal_rare_rows(n_batches):
    groups = made_groups()
    held = loads(groups, balanced(groups, n_batches, BATCHING), n_batches)
    even = held.sum(axis=0) / n_batches
    rows, frequent, some, rare, groups = (np.abs(held - even) / even).max(axis=0)
    assert max(rows, frequent, some, groups) < 0.1
    # About 40 rare rows: one or two more or less is the best there is.
    assert rare * even[3] <= 2


def test_every_batch_gets_a_class_that_name_order_would_keep_in_one():
    rare = np.zeros(60, int)
    rare[:6] = 2  # only the first six names have the rare class
    groups = groups_of(np.column_stack([np.full(60, 50), rare]))
    in_name_order = [part["n_1"].sum() for part in groups.iter_slices(10)]
    assert in_name_order == [12, 0, 0, 0, 0, 0]
    dealt = loads(groups, balanced(groups, 6, BATCHING), 6)
    assert dealt[:, 2].tolist() == [2] * 6
    assert dealt[:, 3].tolist() == [10] * 6


@given(count_tables, st.integers(1, 8), st.integers(2, 12))
def test_balanced_keeps_to_max_groups_where_batches_are_enough(groups, n_batches, most):
    n_batches = max(n_batches, math.ceil(groups.height / most))
    parts = balanced(groups, n_batches, replace(BATCHING, max_groups=most))
    assert np.bincount(parts).max() <= most


@given(count_tables, st.integers(1, 8), st.integers(2, 12), st.sampled_from([None, 1500]))
def test_size_batches_are_consecutive_sizes_and_keep_to_their_limits(
    groups, n_batches, most, max_rows
):
    batching = replace(BATCHING, max_groups=most, max_rows=max_rows)
    parts = by_size(groups, n_batches, batching)
    rows = groups["rows"].to_numpy().astype(int)
    n_found = parts.max() + 1
    assert sorted(set(parts.tolist())) == list(range(n_found))
    assert max_rows is not None or n_found <= max(n_batches, math.ceil(groups.height / most))
    largest_so_far = 0
    for batch in range(n_found):
        held = rows[parts == batch]
        assert len(held) <= most
        assert max_rows is None or held.sum() <= max_rows or len(held) == 1
        assert held.min() >= largest_so_far
        largest_so_far = held.max()


@pytest.mark.parametrize("n_batches", [2, 5, 12])
def test_size_batches_share_the_rows_and_leave_no_remnant(n_batches):
    groups = made_groups()
    held = loads(groups, by_size(groups, n_batches, BATCHING), n_batches)
    even = groups["rows"].sum() / n_batches
    assert np.abs(held[:, 0] - even).max() <= groups["rows"].max()
    assert (np.diff(held[:, 4]) < 0).all()  # ever fewer groups


def test_size_batches_by_hand():
    groups = groups_of([[9], [1], [2], [3], [4]])
    assert by_size(groups, 2, BATCHING).tolist() == [1, 0, 0, 0, 0]
    assert by_size(groups, 3, BATCHING).tolist() == [2, 0, 0, 0, 1]
    assert by_size(groups, 2, replace(BATCHING, max_groups=3)).tolist() == [1, 0, 0, 0, 1]
    assert by_size(groups, 1, replace(BATCHING, max_rows=6)).tolist() == [2, 0, 0, 0, 1]


@pytest.mark.parametrize("strategy", sorted(STRATEGIES))
def test_strategies_do_not_depend_on_the_order_of_groups(strategy):
    groups = with_features(made_groups(60))
    shuffled = groups.sample(fraction=1, shuffle=True, seed=5)
    plain = dict(zip(groups["group"], STRATEGIES[strategy](groups, 5, BATCHING), strict=True))
    mixed = dict(zip(shuffled["group"], STRATEGIES[strategy](shuffled, 5, BATCHING), strict=True))
    assert plain == mixed


@given(count_tables, st.sampled_from(sorted(STRATEGIES)), st.integers(1, 6))
def test_every_group_has_a_batch_and_no_batch_is_empty(groups, strategy, n_batches):
    n_batches = min(n_batches, groups.height)
    parts = STRATEGIES[strategy](with_features(groups), n_batches, BATCHING)
    assert parts.shape == (groups.height,)
    assert sorted(set(parts.tolist())) == list(range(parts.max() + 1))
    if strategy in ("balanced", "similarity"):
        assert parts.max() + 1 == n_batches


@given(count_tables, st.sampled_from(["similarity", "adaptive"]), st.integers(1, 6))
def test_no_batch_has_fewer_than_min_groups_where_there_are_groups_enough(groups, strategy, fewest):
    batching = replace(BATCHING, min_groups=fewest)
    for n_batches in range(1, max(groups.height // fewest, 1) + 1):
        parts = STRATEGIES[strategy](with_features(groups), n_batches, batching)
        assert np.bincount(parts).min() >= min(fewest, groups.height)


# ---- similarity


def test_groups_that_are_alike_share_a_batch():
    kind = np.arange(40) % 4  # four kinds of group, of equal size, in turn
    noise = np.random.default_rng(0).normal(0, 0.1, 40)
    groups = with_features(groups_of(np.full((40, 2), 5)), kind * 10 + noise, noise[::-1])
    parts = similar(groups, 4, BATCHING)
    assert [len(set(parts[kind == number])) for number in range(4)] == [1] * 4
    assert len(set(parts)) == 4


def test_similar_batches_by_hand():
    # Along the one feature: b, d, a, c with 1, 1, 2 and 4 rows; half of 8 rows is reached after a.
    groups = with_features(groups_of([[2], [1], [4], [1]], list("abcd")), [3.0, 1.0, 4.0, 2.0])
    left, right = similar(groups, 2, BATCHING)[[0, 2]]
    assert {left, right} == {0, 1}
    assert similar(groups, 2, BATCHING).tolist() == [left, left, right, left]


@pytest.mark.parametrize("n_batches", [2, 3, 5, 12])
def test_similar_batches_share_the_rows(n_batches):
    groups = with_features(made_groups())
    held = loads(groups, similar(groups, n_batches, BATCHING), n_batches)
    even = groups["rows"].sum() / n_batches
    assert np.abs(held[:, 0] - even).max() <= groups["rows"].max()


@given(count_tables, st.integers(1, 8), st.integers(2, 12))
def test_similar_batches_keep_to_max_groups(groups, n_batches, most):
    n_batches = min(max(n_batches, math.ceil(groups.height / most)), groups.height)
    parts = similar(with_features(groups), n_batches, replace(BATCHING, max_groups=most))
    assert np.bincount(parts).max() <= most


def test_labels_play_no_part_in_similarity():
    rng = np.random.default_rng(1)
    counts = rng.integers(1, 50, (60, 3))
    mixed = np.array([rng.permutation(row) for row in counts])  # the same rows, other labels
    plain, other = (
        similar(with_features(with_losses(groups_of(table), rng.random(60))), 6, BATCHING)
        for table in (counts, mixed)
    )
    assert (counts != mixed).any()
    np.testing.assert_array_equal(plain, other)


def test_equal_groups_are_cut_by_name():
    groups = with_features(groups_of(np.full((6, 1), 5), list("fbdace")), np.zeros(6))
    parts = dict(zip(groups["group"], similar(groups, 2, BATCHING), strict=True))
    assert parts == {"a": 0, "b": 0, "c": 0, "d": 1, "e": 1, "f": 1}


# ---- adaptive


def test_complexity_by_hand():
    # Shares of rows 1/4 and 3/4; of the rare classes 1/2 and 1/2, 1/5 and 4/5; of the loss 1/10
    # and 9/10.
    groups = groups_of([[22, 1, 2], [66, 1, 8]])
    assert complexity(groups) == pytest.approx([(0.25 + 0.35) / 2, (0.75 + 0.65) / 2])
    with_loss = with_losses(groups, [3.0, 27.0])
    assert complexity(with_loss) == pytest.approx([(0.25 + 0.35 + 0.1) / 3, 2.3 / 3])
    assert complexity(with_losses(groups, [None, None])) == pytest.approx(complexity(groups))


def test_complexity_without_rare_rows_is_the_share_of_rows():
    assert complexity(groups_of([[1, 0], [3, 0]])).tolist() == [0.25, 0.75]


@given(count_tables)
def test_complexity_sums_to_one(groups):
    assert complexity(groups).sum() == pytest.approx(1)


@pytest.mark.parametrize("n_batches", [2, 5, 12])
def test_adaptive_batches_have_equal_complexity_and_ever_more_groups(n_batches):
    groups = with_losses(made_groups(), np.random.default_rng(0).gamma(1, 1, 200))
    parts, share = adaptive(groups, n_batches, BATCHING), complexity(groups)
    held = np.bincount(parts, share)
    assert np.abs(held - 1 / n_batches).max() <= share.max()
    assert (np.diff(np.bincount(parts)) >= 0).all()
    assert share[parts == 0].min() >= share[parts == n_batches - 1].max()


def test_harder_groups_of_the_same_size_make_smaller_batches():
    losses = np.where(np.arange(40) < 10, 9.0, 1.0)
    groups = with_losses(groups_of(np.full((40, 2), 5)), losses)
    # Complexity 1/40 by rows and classes; 9/120 and 1/120 by loss: 1/24 and 7/360 in the mean.
    parts = adaptive(groups, 4, BATCHING)
    assert np.bincount(parts).tolist() == [6, 8, 13, 13]
    assert set(np.flatnonzero(parts == 0)) < set(range(10))


def test_where_max_groups_would_crowd_hard_groups_there_are_more_batches():
    losses = np.where(np.arange(12) < 3, 28.0, 1.0)
    groups = with_losses(groups_of(np.full((12, 2), 5)), losses)
    # Complexity 1/12 by rows and classes, 28/93 and 1/93 by loss: .156 and .059 in the mean. In
    # three batches of four the first would hold .53; in four it holds .31, the others .21 to .24.
    batching = replace(BATCHING, min_groups=2, max_groups=4)
    parts = adaptive(groups, 3, batching)
    assert np.bincount(parts).tolist() == [2, 2, 4, 4]
    assert np.bincount(adaptive(groups, 3, BATCHING)).tolist() == [2, 4, 6]


def test_without_differences_adaptive_batches_are_equal():
    parts = adaptive(groups_of(np.full((12, 2), 5)), 4, BATCHING)
    assert parts.tolist() == [0, 0, 0, 1, 1, 1, 2, 2, 2, 3, 3, 3]
