"""How long a job may take, which a cluster's scheduler asks before it starts it."""

import math
from collections.abc import Callable

from genebatch.jobs.memory import JUDGED, MOST_SCORES, Shape, Whole

# CPU seconds of a tree of depth 4 for each row and stored cell of it; benchmarks/scale.md and
# peers.md have 1.1 to 1.7 ns. Two levels more double it (depths 4, 6 and 8 measured).
CELL_SECONDS = 1.7e-9
ROUND_SECONDS = 0.01  # of a tree, however few the rows
BUILD_SECONDS = 1e-7  # of a stored cell, binned once
VISIT_SECONDS = 4e-8  # of a row in a tree, predicting
SHAP_SECONDS = 1e-5  # of a row in a tree, explaining
LEARN_SECONDS = 2e-5  # of a score that combiners, calibrators or thresholds are learned from
READ_SECONDS = 1e-6  # of a score that is read and written
DRAW_SECONDS = 1e-4  # of a row and class whose groups are drawn again, or that is drawn in a figure
# Slower processors, busy disks, and what the formulas leave out. A job that ends early gives its
# node back; one that is cut off has worked for nothing.
SLACK = 2
LEAST_MINUTES = 30


def _boost(shape: Shape, boosters: int, n_estimators: int) -> float:
    deep = 2 ** ((shape.max_depth - 4) / 2)
    tree = shape.rows * shape.stored * CELL_SECONDS * deep + ROUND_SECONDS
    return shape.rows * shape.stored * BUILD_SECONDS + boosters * n_estimators * tree


def _cross_validate(shape: Shape, n_estimators: int) -> float:
    return _boost(shape, shape.n_splits * shape.n_classes, n_estimators)


def _train(shape: Shape, n_estimators: int) -> float:
    return _boost(shape, shape.n_classes, n_estimators)


def _calibrate(shape: Shape, n_estimators: int) -> float:
    return shape.rows * shape.n_classes * LEARN_SECONDS


def _explain(shape: Shape, n_estimators: int) -> float:
    return shape.explain_rows * shape.n_classes * n_estimators * SHAP_SECONDS


def _diagnose(shape: Shape, n_estimators: int) -> float:
    return shape.rows * shape.n_classes * DRAW_SECONDS


BATCH_SECONDS: dict[str, Callable[[Shape, int], float]] = {
    "cross_validate_batch": _cross_validate,
    "train_batch": _train,
    "calibrate_batch": _calibrate,
    "explain_batch": _explain,
    "diagnose_batch": _diagnose,
}


def _scored(whole: Whole, rows: int) -> float:
    trees = whole.n_members * whole.shape.n_classes * whole.n_estimators
    return rows * (trees * VISIT_SECONDS + whole.shape.stored * BUILD_SECONDS)


def _single(whole: Whole) -> float:
    boosters = (whole.shape.n_splits + 1) * whole.shape.n_classes
    return _boost(whole.shape, boosters, whole.n_estimators)


def _distil(whole: Whole) -> float:
    """A student of each mix that is tried, and the teachers' scores."""
    return 3 * _single(whole) + _cross_batch(whole)


def _cross_batch(whole: Whole) -> float:
    return _scored(whole, whole.shape.rows)


def _combine(whole: Whole) -> float:
    scores = whole.shape.rows * whole.n_members * whole.shape.n_classes
    return min(scores, MOST_SCORES) * LEARN_SECONDS + scores * READ_SECONDS


def _rank(whole: Whole) -> float:
    return whole.shape.rows * whole.n_members * whole.shape.n_classes * READ_SECONDS


def _consolidate(whole: Whole) -> float:
    return whole.shape.rows * whole.shape.n_classes * LEARN_SECONDS


def _estimate(whole: Whole) -> float:
    return whole.shape.rows * whole.shape.n_classes * DRAW_SECONDS


def _evaluate(whole: Whole) -> float:
    drawn = whole.test_rows * whole.shape.n_classes * JUDGED * DRAW_SECONDS
    return 2 * _scored(whole, whole.test_rows) + drawn


def _report(whole: Whole) -> float:
    return whole.test_rows * whole.shape.n_classes * DRAW_SECONDS


WHOLE_SECONDS: dict[str, Callable[[Whole], float]] = {
    "cross_batch_scores": _cross_batch,
    "combine_batches": _combine,
    "train_single": _single,
    "distil": _distil,
    "consolidate": _consolidate,
    "estimate": _estimate,
    "evaluate": _evaluate,
    "rank_groups": _rank,
    "predict": _cross_batch,
    "write_report": _report,
}


def batch_minutes(rule: str, shape: Shape, n_estimators: int) -> int:
    """Minutes that a rule of a batch may take, whatever the round at which boosting stops."""
    return _minutes(BATCH_SECONDS[rule](shape, n_estimators))


def whole_minutes(rule: str, whole: Whole) -> int:
    """Minutes that a rule about all batches may take."""
    return _minutes(WHOLE_SECONDS[rule](whole))


def _minutes(seconds: float) -> int:
    return max(math.ceil(SLACK * seconds / 60), LEAST_MINUTES)
