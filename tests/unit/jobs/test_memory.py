"""Memory that jobs declare."""

import json
import math
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from genebatch.config.settings import Selection
from genebatch.dataset.from_text import ROW_GROUP_BYTES
from genebatch.dataset.row_pass import SPLIT_BYTES, WAITING_BYTES
from genebatch.jobs import memory, sizes
from genebatch.jobs.limits import MB
from genebatch.jobs.memory import matrix_bytes, thread_mb
from genebatch.jobs.needs import estimate_mb, least_mb, rules_of
from genebatch.jobs.sizes import DataSet, GenomeSize, Shape, TextSize, Whole
from genebatch.model.forest import WORTH
from genebatch.model.held_out import MOST_SCORES
from genebatch.training import matrices
from genebatch.training.matrices import HELD_CELLS, PAGE_ROWS
from genebatch.training.selection import LEAST_ROWS
from tests.builders import REPOSITORY

SHAPE = Shape(
    rows=100_000,
    n_dense=60,
    n_wide=50,
    n_counts=1000,
    n_frequent=0,
    counts_per_row=90.0,
    n_classes=3,
    n_splits=5,
    max_bin=256,
    max_depth=4,
    explain_rows=2000,
    n_estimators=200,
)
WHOLE = Whole(SHAPE, largest=20_000, n_members=5, test_rows=10_000, scored=100_000)
DATA = DataSet(
    rows=400_000,
    columns=1_100,
    row_bytes=1_500,
    row_group_bytes=5 * MB,
    footer_bytes=MB // 2,
    groups=1_000,
    screened=50_000,
)


@given(st.sampled_from(rules_of("batch")), st.integers(0, 10**8), st.integers(0, 10**7))
def test_more_rows_never_need_less_memory(rule, rows, more):
    small, large = SHAPE._replace(rows=rows), SHAPE._replace(rows=rows + more)
    assert estimate_mb(rule, small) <= estimate_mb(rule, large)


@pytest.mark.parametrize("rule", ["cross_validate_batch", "train_batch"])
@pytest.mark.parametrize(
    "larger",
    [
        {"rows": 200_000},
        {"n_dense": 120},
        {"counts_per_row": 180.0},
        {"max_bin": 512},
        {"max_depth": 6},
    ],
)
def test_training_needs_more_for_whatever_is_larger(rule, larger):
    assert estimate_mb(rule, SHAPE._replace(**larger)) > estimate_mb(rule, SHAPE)


def test_bytes_of_a_dense_row_by_hand():
    # 100 cells of two bytes each, and 200 bytes a row.
    dense = SHAPE._replace(n_dense=100, n_counts=0, counts_per_row=0)
    assert matrix_bytes(dense) == 400
    assert matrix_bytes(dense._replace(max_bin=512)) == 600


def test_absent_counts_cost_nothing():
    sparse = SHAPE._replace(n_dense=10, n_counts=1000, counts_per_row=90.0)
    assert matrix_bytes(sparse) == 100 * 13 + 200
    assert matrix_bytes(sparse._replace(n_counts=100_000)) == 100 * 13 + 200


def test_further_threads_add_a_histogram_and_what_they_reserve():
    # 24 bytes a bin, 256 bins of 64 features and 16 of each other; and the thread's own 45 MB.
    shape = SHAPE._replace(n_dense=64, n_wide=64, n_counts=1024)
    own = 24 * (64 * 256 + 1024 * 16) / MB
    assert thread_mb(shape) == math.ceil(own * 1.15) + 45
    alone = estimate_mb("train_batch", shape)
    assert estimate_mb("train_batch", shape, 3) == alone + 2 * thread_mb(shape)
    assert estimate_mb("calibrate_batch", shape, 3) == estimate_mb("calibrate_batch", shape)


def test_picked_features_take_less_memory():
    select = Selection(top=75, share=0.33, max_rows=100_000, rounds=40)
    assert SHAPE._replace(select=replace(select, top=2000)).boosted == SHAPE._replace(
        select=replace(select, top=2000)
    )
    picked = SHAPE._replace(select=select)
    assert picked.piloted.rows == 33_000 + 3 * LEAST_ROWS
    assert SHAPE._replace(select=select, rows=10).piloted.rows == 10
    boosted = picked.boosted
    assert (boosted.n_dense, boosted.n_counts, boosted.counts_per_row) == (60, 15, 15)
    for rule in ("cross_validate_batch", "train_batch"):
        assert estimate_mb(rule, picked) < estimate_mb(rule, SHAPE)


def test_how_many_features_are_picked_goes_by_the_rows():
    select = Selection(top="auto", share=0.33, max_rows=100_000, rounds=40)
    rows = (99_999, 199_999, 200_000)
    fewest, few, many = (SHAPE._replace(select=select, rows=size) for size in rows)
    assert fewest.piloted is None
    assert (fewest.boosted.n_dense, fewest.boosted.n_counts) == (60, 1_000)
    assert (few.boosted.n_dense, few.boosted.n_counts) == (60, 90)
    assert (many.boosted.n_dense, many.boosted.n_counts) == (60, 15)
    # The members of many rows may each be of few.
    whole = Whole(many, 100_000, 4, 10_000, 100_000)
    fixed = Whole(many._replace(select=replace(select, top=75)), *whole[1:])
    assert estimate_mb("explain_final", whole) > estimate_mb("explain_final", fixed)


def test_histograms_of_deep_trees_are_bounded():
    needed = [estimate_mb("train_batch", SHAPE._replace(max_depth=depth)) for depth in (9, 10, 14)]
    assert needed[0] == needed[1] == needed[2]


def select_of(learner):
    """How the boosters of a measured point pick their features."""
    select = learner.get("select")
    return None if select is None else Selection(**select)


def measured_points():
    """Kept measurements of a batch's rules: a shape, threads, and MB by rule."""
    kept = json.loads((REPOSITORY / "benchmarks/memory.json").read_text())
    for key, point in sorted(kept.items()):
        features, settings = point["features"], point["settings"]
        yield pytest.param(
            Shape(
                rows=point["rows"],
                n_dense=features["n_dense"],
                n_wide=features["n_wide"],
                n_counts=features["names"] - features["n_dense"],
                n_frequent=features["n_frequent"],
                counts_per_row=features["counts_per_row"],
                n_classes=len(settings["dataset"]["classes"]),
                n_splits=settings["cv"]["n_splits"],
                max_bin=settings["learner"]["max_bin"],
                max_depth=settings["learner"]["max_depth"],
                explain_rows=settings["explain"]["rows"],
                n_estimators=settings["learner"].get("n_estimators", 8),
                select=select_of(settings["learner"]),
            ),
            json.loads(f"[{key[1:-1]}]")[4],
            point["peaks"],
            id=key,
        )


@pytest.mark.parametrize(("shape", "threads", "peaks"), list(measured_points()))
def test_estimates_keep_their_promise_on_what_was_measured(shape, threads, peaks):
    for rule, peak in peaks.items():
        estimate = estimate_mb(rule, shape, threads)
        assert max(peak.values()) <= estimate, rule
        # Deep trees of few rows are not full, and estimates count full ones. Of few rows the
        # further threads have little to hold.
        few = shape.rows < 5_000 and threads > 2
        if (shape.max_depth < 8 or shape.rows > 30_000) and not few:
            assert estimate <= 2 * peak["resident"], rule


GROWING = ("rows", "n_dense", "n_wide", "counts_per_row", "n_classes", "n_splits", "max_bin")
GROWING += ("max_depth", "explain_rows", "n_estimators")


@given(
    st.sampled_from(GROWING),
    st.floats(1, 8),
    st.integers(2, 40),
    st.integers(2, 14),
    st.integers(16, 1024),
    st.integers(20, 5000),
    st.integers(1, 4),
)
def test_estimates_rise_with_all_that_a_job_holds(
    name, factor, n_classes, depth, bins, columns, threads
):
    small = SHAPE._replace(n_classes=n_classes, max_depth=depth, max_bin=bins, n_dense=columns)
    small = small._replace(n_wide=columns)
    large = small._replace(**{name: math.ceil(factor * getattr(small, name))})
    large = large._replace(n_dense=max(large.n_dense, large.n_wide))
    for rule in rules_of("batch"):
        least = estimate_mb(rule, small, threads)
        assert least <= estimate_mb(rule, small, threads + 1)
        assert least <= estimate_mb(rule, large, threads)
    for rule in rules_of("whole"):
        whole = WHOLE._replace(shape=large)
        assert estimate_mb(rule, WHOLE._replace(shape=small)) <= estimate_mb(rule, whole)


@pytest.mark.parametrize("rule", [*rules_of("batch"), *rules_of("whole")])
def test_no_job_of_that_kind_needs_less_than_the_least(rule):
    of_batch = rule in rules_of("batch")
    assert 0 < least_mb(rule) <= estimate_mb(rule, SHAPE if of_batch else WHOLE)


@pytest.mark.parametrize(
    ("rule", "grows_with"),
    [
        ("analyze_dataset", {"columns", "row_bytes", "row_group_bytes", "footer_bytes", "threads"}),
        ("choose_test_groups", {"groups"}),
        ("screen_features", {"columns", "row_bytes", "row_group_bytes", "groups", "screened"}),
        ("describe_groups", {"columns", "row_bytes", "row_group_bytes", "groups"}),
        ("plan_batches", {"groups"}),
    ],
)
def test_rules_about_the_data_set_need_more_for_what_they_hold(rule, grows_with):
    assert estimate_mb(rule, DATA) % 10 == 0
    for name in DATA._fields:
        larger = estimate_mb(rule, DATA._replace(**{name: 20 * getattr(DATA, name)}))
        if name in grows_with:
            assert larger > estimate_mb(rule, DATA), name
        assert larger >= estimate_mb(rule, DATA), name


def test_every_rule_about_the_data_set_is_looked_at():
    assert set(rules_of("data")) == {
        "analyze_dataset",
        "choose_test_groups",
        "screen_features",
        "describe_groups",
        "plan_batches",
    }


@pytest.mark.parametrize("rule", ["analyze_dataset", "screen_features"])
def test_a_rule_that_streams_needs_no_more_for_a_larger_data_set(rule):
    large = DATA._replace(rows=1_000_000)
    assert estimate_mb(rule, large._replace(rows=10**9)) == estimate_mb(rule, large)


@given(st.sampled_from(rules_of("whole")), st.sampled_from(("n_members", "n_estimators")))
def test_more_members_and_trees_never_need_less_memory(rule, name):
    if name == "n_estimators":
        more = WHOLE._replace(shape=SHAPE._replace(n_estimators=10 * SHAPE.n_estimators))
    else:
        more = WHOLE._replace(n_members=10 * WHOLE.n_members)
    assert estimate_mb(rule, WHOLE) <= estimate_mb(rule, more)


@pytest.mark.parametrize(
    ("rule", "larger"),
    [
        ("rank_groups", {"n_members": 100}),
        ("predict", {"n_members": 100}),
        ("neighbours", {"test_rows": 10**6}),
        ("write_report", {"test_rows": 10**6}),
    ],
)
def test_rules_of_the_finished_model_need_more_for_what_they_hold(rule, larger):
    assert estimate_mb(rule, WHOLE._replace(**larger)) > estimate_mb(rule, WHOLE)


@pytest.mark.parametrize(
    ("rule", "bytes_of_a_row"),
    [("combine_batches", 94), ("consolidate", 208), ("estimate", 374), ("neighbours", 30)],
)
def test_rows_that_all_members_score_are_held_by_those_who_learn_or_judge(rule, bytes_of_a_row):
    few, many = (WHOLE._replace(scored=rows) for rows in (20_000_000, 120_000_000))
    added = estimate_mb(rule, many) - estimate_mb(rule, few)
    assert added == pytest.approx(1.15 * bytes_of_a_row * 10**8 / MB, abs=10)


def test_the_gene_models_add_to_rules_about_the_genome():
    for rule in rules_of("genome"):
        assert estimate_mb(rule, GenomeSize(137)) == estimate_mb(rule, GenomeSize(0)) + 137
        assert estimate_mb(rule, GenomeSize(0, 50)) == estimate_mb(rule, GenomeSize(0)) + 50
    assert estimate_mb("build_dataset", GenomeSize(0)) == 1000


def test_columns_and_row_groups_of_a_table_of_text_are_held_until_its_end():
    narrow, wide = TextSize(0, 32_000.0), TextSize(1_000, 32_000.0)
    added = estimate_mb("table_of_text", wide) - estimate_mb("table_of_text", narrow)
    # 40 kB of a column, and 2 kB of each of its 2,000 pieces of 32 MB, with the margin.
    assert added == pytest.approx(1.15 * 1_000 * (40_000 + 2_000 * 2_000) / MB, abs=10)


def test_estimates_know_the_constants_of_the_modules_that_use_them():
    assert (memory.PAGE_ROWS, memory.HELD_CELLS) == (PAGE_ROWS, HELD_CELLS)
    assert sizes.LEAST_DRAWN == LEAST_ROWS
    assert memory.MOST_SCORES == MOST_SCORES
    assert memory.SPLIT_BYTES == SPLIT_BYTES
    assert memory.WAITING_BYTES == WAITING_BYTES
    assert memory.ROW_GROUP_BYTES == ROW_GROUP_BYTES
    assert memory.HELD_BYTES == matrices.HELD_BYTES
    assert memory.WORTH == WORTH


@pytest.mark.parametrize("rule", ["consolidate", "evaluate", "explain_final"])
def test_folds_that_a_model_keeps_need_memory_as_members_do(rule):
    kept, more = WHOLE._replace(kept_folds=3), WHOLE._replace(n_members=WHOLE.n_members + 3)
    assert estimate_mb(rule, WHOLE) < estimate_mb(rule, kept) <= estimate_mb(rule, more)
