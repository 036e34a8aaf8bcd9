"""Estimates how long each rule may take, which the scheduler of a cluster asks before it starts it.

Every function that is named as a rule gives CPU seconds; `genebatch.jobs.needs` lists them by rule.
"""

import math

from genebatch.jobs.memory import CANDIDATES, MOST_SCORES, PERMUTED
from genebatch.jobs.sizes import Shape, Whole

# CPU seconds of a tree of depth 4 for each row and stored cell of it; benchmarks/scale.md and
# peers.md have 1.1 to 1.7 ns. Two levels more double it (depths 4, 6 and 8 measured).
CELL_SECONDS = 1.7e-9
ROW_SECONDS = 4e-8  # of a row in a tree, however few its cells; 3.3e-8 measured with three cells
ROUND_SECONDS = 0.01  # of a tree, however few the rows
BUILD_SECONDS = 1e-7  # of a stored cell, binned once
PASS_SECONDS = 5e-8  # of a stored cell, read and passed over
VISIT_SECONDS = 4e-8  # of a row in a tree, predicting
SHAP_SECONDS = 1e-5  # of a row in a tree, explaining
LEARN_SECONDS = 2e-5  # of a score that combiners, calibrators or thresholds are learned from
READ_SECONDS = 1e-6  # of a score that is read and written
DRAW_SECONDS = 1e-4  # of a row and class whose groups are drawn again, or that is drawn in a figure
# Covers slower processors, busy disks, and what the formulas leave out. A job that ends early
# gives its node back; a job that is cut off has worked for nothing.
SLACK = 2
LEAST_MINUTES = 30


def rounded_minutes(seconds: float) -> int:
    """Seconds as the minutes that a job declares: with slack, rounded up."""
    return max(math.ceil(SLACK * seconds / 60), LEAST_MINUTES)


# ---- rules of a batch


def _boost(shape: Shape, boosters: int) -> float:
    """Boosters with their matrices and pilots."""
    boosted, piloted = shape.boosted, shape.piloted
    seconds = boosters * (_build(boosted) + shape.n_estimators * _tree(boosted))
    if shape.select is not None and piloted is not None:
        seconds += _build(piloted) + boosters * shape.select.rounds * _tree(piloted)
    return seconds


def _build(shape: Shape) -> float:
    return shape.rows * shape.stored * BUILD_SECONDS


def _tree(shape: Shape) -> float:
    deep = 2 ** ((shape.max_depth - 4) / 2)
    return shape.rows * (shape.stored * CELL_SECONDS * deep + ROW_SECONDS) + ROUND_SECONDS


def cross_validate_batch(shape: Shape) -> float:
    """A booster for each fold and class."""
    return _boost(shape, shape.n_splits * shape.n_classes)


def train_batch(shape: Shape) -> float:
    """A booster for each class."""
    return _boost(shape, shape.n_classes)


def calibrate_batch(shape: Shape) -> float:
    """Calibrators of each class, learned from the scores of all rows."""
    return shape.rows * shape.n_classes * LEARN_SECONDS


def explain_batch(shape: Shape) -> float:
    """SHAP values of the sampled rows in every tree."""
    return shape.explain_rows * shape.n_classes * shape.n_estimators * SHAP_SECONDS


def diagnose_batch(shape: Shape) -> float:
    """Figures of all rows and classes."""
    return shape.rows * shape.n_classes * DRAW_SECONDS


# ---- rules about all batches


def _scored(whole: Whole, rows: int) -> float:
    trees = whole.n_members * whole.shape.n_classes * whole.shape.n_estimators
    return rows * (trees * VISIT_SECONDS + whole.shape.stored * BUILD_SECONDS)


def cross_validate_single(whole: Whole) -> float:
    """A booster of all rows for each class."""
    return _boost(whole.shape, whole.shape.n_classes)


def train_single(whole: Whole) -> float:
    """A booster of all rows for each class, and calibrators."""
    learned = whole.shape.rows * whole.shape.n_classes * LEARN_SECONDS
    return _boost(whole.shape, whole.shape.n_classes) + learned


def add_single(whole: Whole) -> float:
    """As `combine_batches` with one member more, whose calibrators are learned again."""
    calibrated = whole.shape.rows * whole.shape.n_classes * LEARN_SECONDS
    return combine_batches(whole._replace(n_members=whole.n_members + 1)) + calibrated


def distil(whole: Whole) -> float:
    """A student for each mix that is tried, and the teachers' scores."""
    boosters = 3 * (whole.shape.n_splits + 1) * whole.shape.n_classes
    return _boost(whole.shape, boosters) + score_all_rows(whole)


def score_all_rows(whole: Whole) -> float:
    """All rows in all trees of all members."""
    return _scored(whole, whole.shape.rows)


def cross_batch_scores(whole: Whole) -> float:
    """The rows that all members score in all trees; calibrators learn from all rows."""
    passed_over = (whole.shape.rows - whole.scored) * whole.shape.stored * PASS_SECONDS
    calibrated = whole.shape.rows * whole.shape.n_classes * LEARN_SECONDS
    return _scored(whole, whole.scored) + passed_over + calibrated


def combine_batches(whole: Whole) -> float:
    """Combiners, learned from at most `MOST_SCORES` scores; all scores are read and written."""
    scores = whole.scored * whole.n_members * whole.shape.n_classes
    return min(scores, MOST_SCORES) * LEARN_SECONDS + scores * READ_SECONDS


def rank_groups(whole: Whole) -> float:
    """All scores are read once."""
    return whole.scored * whole.n_members * whole.shape.n_classes * READ_SECONDS


def neighbours(whole: Whole) -> float:
    """All scores are read twice: for the sites, and for the rows around them."""
    return 2 * rank_groups(whole)


def consolidate(whole: Whole) -> float:
    """Thresholds, learned from the held-out scores of the candidates."""
    return whole.scored * whole.shape.n_classes * LEARN_SECONDS


def estimate(whole: Whole) -> float:
    """Intervals over the groups of the held-out scores."""
    return whole.scored * whole.shape.n_classes * DRAW_SECONDS


def explain_final(whole: Whole) -> float:
    """SHAP values of the sample in the trees of all members, and scores with families permuted."""
    shape = whole.shape
    trees = whole.n_members * shape.n_classes * shape.n_estimators
    return shape.explain_rows * trees * SHAP_SECONDS + _scored(whole, shape.explain_rows * PERMUTED)


def evaluate(whole: Whole) -> float:
    """Scores by the delivered model, the ensemble and both; intervals of every candidate."""
    drawn = whole.test_rows * whole.shape.n_classes * CANDIDATES * DRAW_SECONDS
    return 3 * _scored(whole, whole.test_rows) + drawn


def write_report(whole: Whole) -> float:
    """Figures of the test rows."""
    return whole.test_rows * whole.shape.n_classes * DRAW_SECONDS
