"""Estimates the peak memory of each rule from what it works on.

Every function that is named as a rule gives bytes, without a margin; `genebatch.jobs.needs` lists
them by rule. Promise: estimate >= measured >= estimate / 2, where the estimate includes `MARGIN`.
"""

import math
from collections.abc import Callable

from genebatch.jobs.limits import MB
from genebatch.jobs.sizes import DataSet, GenomeSize, Shape, TextSize, Whole

MARGIN = 1.15
# Interpreter, numpy, polars, pyarrow, xgboost and one record batch; see benchmarks/memory.md.
BASE_MB = 400
BATCH_MB = 380  # the same in the rules of a batch, which import less
# shap, numba and matplotlib on top, for the rules that draw; see benchmarks/memory.md.
DRAW_MB = 120
PANEL_MB = 12  # of the panels of a class in the figures of a job
# numpy, polars and Arrow alone: 130 MB, and 85 MB of stacks and heaps that are reserved but not
# used. Estimates cover what is reserved.
IMPORTS_MB = 215
SCREEN_MB = 45  # beside the sample: ranks and products of columns, however few the rows
SCIPY_MB = 90  # on top, for rules that measure losses or AUCs
NUMBA_MB = 120  # Numba with LLVM, where so much is predicted that trees are flattened
THREAD_MB = 30  # stacks and heaps that a further thread reserves
BOOST_THREAD_MB = 45  # the same of a thread that boosts; mostly of the second one
# What Snakemake itself takes inside a cluster job: 140 MB batch step and 128 MB inner run.
SCHEDULER_MB = 300

FREQUENT_BYTES = 3.3  # of a row and a frequent count (see `Shape`), beside its cells
NARROW_BINS = 16  # of a feature with few distinct values
# Most nodes of a tree whose histograms XGBoost keeps on the CPU; by itself it keeps 65,536. A tree
# of depth 9 has 511 nodes with a histogram. A deeper tree adds up some histograms anew from their
# rows, which took no longer at depth 12.
CACHED_NODES = 512

# For a table of text; benchmarks/memory_whole.md has the measurements.
READING_MB = 470  # the interpreter, text that is read ahead, values of a block and a row group
READING_BYTES = 40_000  # of a column: its pieces in polars and Arrow
CHUNK_BYTES = 2_000  # of a column of a row group, until the file ends
WIDER = 2  # most bytes of a value for a byte of its text, as a rule: 0.5 takes four and eight
TEXT_MB = 250  # of reading text beside the same rows of Parquet

# These equal constants of the modules that use them, which this layer does not import; a test
# compares them.
PAGE_ROWS = 32_768  # training.matrices: rows of a page of a matrix on disk
HELD_CELLS = 2**25  # training.matrices: most cells that are held as numbers beside a matrix
MOST_SCORES = 20_000_000  # model.held_out: most scores that combiners are learned from
WORTH = 200_000_000  # model.forest: trees x rows from which trees are flattened
SPLIT_BYTES = 32 << 20  # dataset.row_pass: bytes of rows that are sorted by part at once
WAITING_BYTES = 128 << 20  # dataset.row_pass: bytes of sorted rows that wait to be written
ROW_GROUP_BYTES = 32 << 20  # dataset.from_text: bytes of a row group

STOPPING = 0.15  # share of the rows that say when to stop, held as numbers, with what is copied
PAGES = 4  # in memory at once: one being read, one in use, XGBoost's read-ahead
# What is kept of a training row beside its features while a model of all rows is boosted: identity
# columns, codes, weights, margins, gradients, losses. Of 3.5 million rows 0.8 GB were in use.
KNOWN_BYTES = 210
HELD_BYTES = 512 << 20  # training.matrices: largest matrix of all rows that is in memory
PERMUTED = 40  # families of features, each of which is permuted in the sample of the final model
# Most candidates for which the evaluation draws intervals: combiners, rivals, the delivered model,
# the base scores.
CANDIDATES = 12

# Of a row: the sites among them, with the names of their groups.
SITE_BYTES = 30
# Of the positions around the sites of a batch: 21 of each of some 2,000 sites, in several copies.
# With 14 batches 820 MB were reserved, of 560 resident.
WINDOW_BYTES = 26e6

# For the rules about the data set; benchmarks/memory_whole.md has the measurements.
COLUMN_BYTES = 80_000  # of a column while it is read: mostly the state of its decompressor
FOOTER_FACTOR = 10  # bytes in memory for a byte of a footer
GROUP_BYTES = 500  # of a group with its name and counts
PLANNED_BYTES = 1_500  # of a group with its batch and fold, or in a look-up by rows
DUPLICATE_BYTES = 60  # of each row in the search for repeated positions


def rounded_mb(needed: float) -> int:
    """Bytes as an estimate in MB: with the margin, rounded up to 10 MB."""
    return math.ceil(needed * MARGIN / MB / 10) * 10


# ---- parts of training


def matrix_bytes(shape: Shape) -> float:
    """Bytes of a row in XGBoost's binned matrix.

    A dense cell takes a row index and a column copy, one byte each up to 256 bins. Where cells can
    be absent, a stored cell takes a uint32 row index, and one byte and an eight-byte row number in
    the column copy. Both were read off XGBoost 3.2 (gradient_index.cc, column_matrix.cc) and agree
    with the size of its external-memory cache. The column copy of a frequent count has every row;
    what that adds was fitted. 200 bytes are gradients, margins, labels, weights and positions.
    """
    width = 1 if shape.max_bin <= 256 else 2
    cell = 13 if shape.n_counts else 2 * width
    return shape.stored * cell + FREQUENT_BYTES * shape.n_frequent + 200


def sketch_bytes(shape: Shape) -> float:
    """Bytes of the quantile sketches while the matrix is built.

    A feature with many distinct values takes more with more rows, up to about 1.3 MB at 256 bins.
    Measured on 10,000 to 320,000 rows of uniform numbers: 0.33, 0.47, 0.68, 0.97, 1.1 and 1.2 MB.
    With few rows it takes as much at any number of bins, 37 bytes a row. A dense feature with few
    values takes up to 0.4 MB.
    """
    share = max(shape.max_bin, 2) / 256
    wide = shape.n_wide * 1.3e6 * share * (1 - math.exp(-shape.rows / (35_000 * share)))
    narrow = (shape.n_dense - shape.n_wide) * 4e5 * (1 - math.exp(-shape.rows / 20_000))
    return wide + narrow


def histogram_bytes(shape: Shape, nodes: int) -> float:
    """Bytes of the gradient histograms of some nodes: 16 bytes a bin."""
    narrow = shape.n_dense - shape.n_wide + shape.n_counts  # these have few distinct values
    return 16.0 * nodes * (shape.n_wide * shape.max_bin + narrow * NARROW_BINS)


def thread_mb(shape: Shape) -> int:
    """MB that each further thread of boosting adds.

    The nodes of a level are dealt to the threads in their order. So a thread shares one node with
    the next, and needs a histogram of its own for that one. While the matrix is built it counts
    each bin in eight bytes. Its stack and its heap are reserved.
    """
    own = 1.5 * histogram_bytes(shape, 1)
    return math.ceil(own * MARGIN / MB) + BOOST_THREAD_MB


def _cached_nodes(shape: Shape) -> int:
    """Nodes of a full tree whose histograms are kept; those at the largest depth have none."""
    return min(2**shape.max_depth, CACHED_NODES)


def _tree_bytes(shape: Shape) -> float:
    """Bytes of a tree, 60 a node; a deep tree is not full, and counts as a full one of depth 8."""
    return 60.0 * 2 ** (min(shape.max_depth, 8) + 1)


def _frame(shape: Shape) -> float:
    """A record batch of up to 8,192 rows with its feature block."""
    block = 16 * shape.stored if shape.n_counts else 4 * shape.n_dense
    return min(shape.rows, 8192) * (8 * (shape.n_dense + shape.n_counts) + block)


# ---- rules of a batch


def train_batch(shape: Shape) -> float:
    """The matrix of the pilots, or that of the largest booster, and the trees."""
    return _trained(shape, shape.boosted)


def cross_validate_batch(shape: Shape) -> float:
    """As `train_batch` on the rows outside of a fold, and margins and trees of every fold."""
    seen = shape.rows * (1 - 1 / max(shape.n_splits, 2))
    margins = shape.rows * 4 * shape.n_classes * (shape.n_splits + 2)
    trees = shape.n_classes * shape.n_estimators * _tree_bytes(shape)
    trained = _trained(shape, shape.boosted._replace(rows=math.ceil(seen)))
    return trained + margins + (shape.n_splits - 1) * trees


def _trained(shape: Shape, boosted: Shape) -> float:
    """Pilots, or a booster of the shape `boosted`, and the trees of all classes."""
    trees = shape.n_classes * shape.n_estimators * _tree_bytes(shape)
    reading = max(_read(boosted), _cells(boosted) if _held(boosted) else 0.0)
    return BATCH_MB * MB + max(_pilots(shape), _boosting(boosted, reading)) + trees


def _pilots(shape: Shape) -> float:
    """The matrix of the pilots; their rows are taken out of a record batch as they are drawn."""
    piloted, select = shape.piloted, shape.select
    if piloted is None or select is None:
        return 0.0
    return _boosting(piloted, select.share * _read(piloted) + 1.35 * _cells(piloted))


def _boosting(shape: Shape, reading: float) -> float:
    """The matrix of all rows, what it is built from, and histograms of all levels.

    The sketches are gone when the histograms come, but the allocator keeps some of their pieces.
    `reading` are the bytes that are held to read the rows.
    """
    building = sketch_bytes(shape) + reading
    grown = histogram_bytes(shape, _cached_nodes(shape))
    both = max(building, grown) + 0.35 * min(building, grown)
    return shape.rows * matrix_bytes(shape) + both


def _held(shape: Shape) -> bool:
    """Whether the cells of all rows are held as numbers beside the matrix."""
    return shape.rows * (shape.n_dense + shape.n_counts) <= HELD_CELLS


def _read(shape: Shape) -> float:
    """A record batch with its feature block; a dense block is copied."""
    return (1 if shape.n_counts else 2) * _frame(shape)


def _cells(shape: Shape) -> float:
    """The cells of all rows as numbers.

    Half of them count again: blocks are put together, and the allocator keeps pieces for a while.
    """
    return 1.5 * shape.rows * shape.stored * (8 if shape.n_counts else 4)


def calibrate_batch(shape: Shape) -> float:
    """The out-of-fold scores of all rows."""
    return BATCH_MB * MB + shape.rows * (130 + 60 * shape.n_classes)


def explain_batch(shape: Shape) -> float:
    """Features and SHAP values of the sampled rows; tables of all classes hold what boosters use.

    The boosters of five folds and three classes use some five times what one of them uses.
    """
    features = shape.n_dense + shape.n_counts
    used = min(features, 5 * (shape.boosted.n_dense + shape.boosted.n_counts))
    cells = 6 * features + 3 * shape.n_classes * used
    return BATCH_MB * MB + shape.explain_rows * 4 * cells + _frame(shape)


def diagnose_batch(shape: Shape) -> float:
    """The SHAP values that are drawn, and the out-of-fold scores of all rows."""
    used = min(shape.n_dense + shape.n_counts, 5 * (shape.boosted.n_dense + shape.boosted.n_counts))
    tables = shape.explain_rows * used * 4 * (shape.n_classes + 4)
    drawn = DRAW_MB + PANEL_MB * shape.n_classes
    return (BATCH_MB + drawn) * MB + tables + shape.rows * (80 + 60 * shape.n_classes)


# ---- rules about all batches


def _boosters(whole: Whole) -> float:
    """Trees of all members, and of the folds that a model keeps."""
    members = whole.n_members + whole.kept_folds
    trees = members * whole.shape.n_classes * whole.shape.n_estimators
    return trees * _tree_bytes(whole.shape)


def _flattened(whole: Whole, rows: int) -> float:
    """What predicting many rows by flat trees takes beside the boosters."""
    members = whole.n_members + whole.kept_folds
    trees = members * whole.shape.n_classes * whole.shape.n_estimators
    return NUMBA_MB * MB if trees * rows >= WORTH else 0.0


def _learned_from(whole: Whole) -> float:
    """Scores that combiners are learned from."""
    scores = whole.scored * whole.shape.n_classes * whole.n_members
    return 4.0 * min(scores, MOST_SCORES)


def _streamed(shape: Shape) -> float:
    """Record batches with their features, one after the other.

    After a few dozen record batches the allocator keeps more of their pieces than are in use: at
    1,167 features 110 MB after 60 of them, 130 MB after 200.
    """
    features = shape.n_dense + shape.n_counts
    return 2 * _frame(shape) + 120_000 * features * (1 - math.exp(-shape.rows / 400_000))


def cross_validate_single(whole: Whole) -> float:
    """As `train_single`: the stopping rows take as much as what is read of folds."""
    return train_single(whole)


def train_single(whole: Whole) -> float:
    """Matrices in memory or pages on disk, what is kept of every row, and the trees."""
    shape = whole.shape
    known = shape.rows * (KNOWN_BYTES + 12 * shape.n_classes)
    boosted = shape.boosted
    boosting = _boosting(boosted, _cells(boosted)) if _held(boosted) else _beyond(boosted)
    trees = shape.n_classes * shape.n_estimators * _tree_bytes(shape)
    return BASE_MB * MB + known + max(_pilots(shape), boosting) + trees


def _beyond(shape: Shape) -> float:
    """A matrix of more cells than are held as numbers, in memory or as pages; the stopping rows."""
    block = shape.stored * (8 if shape.n_counts else 4)
    pages = PAGES * min(shape.rows, PAGE_ROWS) * (block + matrix_bytes(shape))
    matrix = min(shape.rows * matrix_bytes(shape), HELD_BYTES)
    stopping = STOPPING * shape.rows * block
    histograms = histogram_bytes(shape, _cached_nodes(shape))
    return pages + matrix + stopping + sketch_bytes(shape) + histograms


def add_single(whole: Whole) -> float:
    """As `combine_batches` with one member more, whose out-of-fold scores are read at once."""
    own = whole.shape.rows * (60 + 16 * whole.shape.n_classes)
    return combine_batches(whole._replace(n_members=whole.n_members + 1)) + own


def distil(whole: Whole) -> float:
    """As `train_single`, with the teachers and their scores."""
    taught = whole.shape.rows * whole.shape.n_classes * 16
    return train_single(whole) + taught + 2 * _learned_from(whole) + _boosters(whole)


def cross_batch_scores(whole: Whole) -> float:
    """All boosters, the rows of the largest batch, and one record batch with all scores."""
    own = whole.largest * (60 + 16 * whole.shape.n_classes)
    ahead = whole.n_members * 400_000
    scores = 8192 * whole.n_members * whole.shape.n_classes * 16
    held = own + ahead + scores + _flattened(whole, whole.scored)
    return BASE_MB * MB + held + _streamed(whole.shape) + _boosters(whole)


def combine_batches(whole: Whole) -> float:
    """All boosters, several copies of the scores to learn from, or the rows of thresholds."""
    rows = whole.scored * (70 + 8 * whole.shape.n_classes)
    return BASE_MB * MB + max(6 * _learned_from(whole), rows) + _boosters(whole)


def consolidate(whole: Whole) -> float:
    """The held-out probabilities of the candidates, and several copies of all boosters."""
    rows = whole.scored * (160 + 16 * whole.shape.n_classes)
    return BASE_MB * MB + rows + 3 * _boosters(whole)


def estimate(whole: Whole) -> float:
    """The held-out probabilities of the candidates, and all boosters."""
    # A quarter of it is reserved by metrics but never touched.
    rows = whole.scored * (290 + 28 * whole.shape.n_classes)
    return BASE_MB * MB + rows + _boosters(whole)


def evaluate(whole: Whole) -> float:
    """Probabilities of every candidate and member on the test rows, and what intervals draw."""
    classes = whole.shape.n_classes
    candidates = whole.test_rows * classes * 4 * (whole.n_members + CANDIDATES)
    drawn = whole.test_rows * CANDIDATES * 8 * 8
    boosters = 6 * _boosters(whole) + _flattened(whole, whole.test_rows)
    return (BASE_MB + 50) * MB + candidates + drawn + 2 * _frame(whole.shape) + boosters


def explain_final(whole: Whole) -> float:
    """Features and SHAP values of the sample by all members, and its scores with families permuted.

    A model of all members uses at most as many features as their boosters take. Those of members
    of few rows may take most.
    """
    shape = whole.shape
    features, boosted = shape.n_dense + shape.n_counts, shape._replace(rows=0).boosted
    members = max(whole.n_members, 1) + whole.kept_folds
    taken = (boosted.n_dense + boosted.n_counts) * shape.n_classes * members
    used = min(features, taken)
    cells = 6 * features + 4 * shape.n_classes * used
    scored = _flattened(whole, shape.explain_rows * PERMUTED)
    drawn = DRAW_MB + PANEL_MB * shape.n_classes
    table = shape.explain_rows * 4 * cells
    return (BASE_MB + drawn) * MB + table + 2 * _frame(shape) + 2 * _boosters(whole) + scored


def rank_groups(whole: Whole) -> float:
    """A few record batches with the scores of all members."""
    scores = 8192 * whole.n_members * whole.shape.n_classes * 8
    return (IMPORTS_MB + SCIPY_MB + DRAW_MB) * MB + 4 * scores


def neighbours(whole: Whole) -> float:
    """A few record batches with the scores of all members, the sites of these rows, and a figure.

    With a genome the gene models come on top.
    """
    scores = 8192 * whole.n_members * whole.shape.n_classes * 8
    sites = SITE_BYTES * (whole.scored + whole.test_rows)
    drawn = WINDOW_BYTES * (whole.n_members + 1)
    figure = (DRAW_MB + PANEL_MB * whole.shape.n_classes) * MB
    return (IMPORTS_MB + SCIPY_MB) * MB + figure + 4 * scores + sites + drawn


def predict(whole: Whole) -> float:
    """Record batches of the table, the scores of all members, and their boosters."""
    scores = 8192 * whole.n_members * whole.shape.n_classes * 8
    boosters = 2 * _boosters(whole) + _flattened(whole, whole.shape.rows)
    return BASE_MB * MB + _streamed(whole.shape) + 4 * scores + boosters


def write_report(whole: Whole) -> float:
    """The predictions on the test rows, the delivered model, and figures."""
    rows = whole.test_rows * (100 + 40 * whole.shape.n_classes)
    return (BASE_MB + PANEL_MB * whole.shape.n_classes) * MB + rows + 3 * _boosters(whole)


# ---- rules about the data set


def table_of_text(size: TextSize) -> float:
    """A block of text with its values, a row group, and what the writer keeps of each one."""
    groups = math.ceil(WIDER * size.text_mb * MB / ROW_GROUP_BYTES)
    return READING_MB * MB + size.columns * (READING_BYTES + CHUNK_BYTES * groups)


def _reading(data: DataSet) -> float:
    """Row groups that are read side by side, each with record batches of 8,192 rows."""
    one = COLUMN_BYTES * data.columns + 2 * data.row_group_bytes + 2 * 8192 * data.row_bytes
    return data.threads * one + FOOTER_FACTOR * data.footer_bytes


def _planned(data: DataSet) -> float:
    return IMPORTS_MB * MB + PLANNED_BYTES * data.groups


def analyze_dataset(data: DataSet) -> float:
    """Row groups while they are read, and positions among which repeated ones are looked for."""
    positions = DUPLICATE_BYTES * min(data.rows, 1_000_000)
    fixed = IMPORTS_MB + SCIPY_MB + THREAD_MB * data.threads
    return fixed * MB + _reading(data) + positions


def choose_test_groups(data: DataSet) -> float:
    """The per-group table."""
    return IMPORTS_MB * MB + GROUP_BYTES * data.groups


def screen_features(data: DataSet) -> float:
    """Row groups while they are read, and the sample of rows."""
    # Row groups far apart leave many small pieces: the allocator keeps more than is in use.
    read = _reading(data) + 2 * COLUMN_BYTES * data.columns + FOOTER_FACTOR * data.footer_bytes
    sample = min(data.rows, data.screened) * data.row_bytes
    return _planned(data) + (SCIPY_MB + SCREEN_MB) * MB + read + 3.3 * sample


def describe_groups(data: DataSet) -> float:
    """The means of every group, and 256 columns at a time while they are read."""
    # A record batch of these columns in float64, with what is computed from it.
    block = min(data.columns, 256)
    read = _reading(data) * block / data.columns + 7 * 8 * 8192 * block
    means = 8 * data.groups * data.columns
    # The means in float64, and what standardising them takes.
    return _planned(data) + read + 4 * means


def plan_batches(data: DataSet) -> float:
    """Row groups while they are read, and the rows that are sorted by batch at once.

    Rows are in memory several times: as they were read, put together, as the Arrow rows of one
    batch, and as the next rows. They are small pieces, of which the allocator keeps more than is in
    use.
    """
    sorted_at_once = min(SPLIT_BYTES, data.rows * data.row_bytes)
    waiting = min(WAITING_BYTES, data.rows * data.row_bytes)
    read = _reading(data._replace(threads=1))
    # The thread that reads ahead has a heap of its own.
    fixed = (SCIPY_MB + 3 * THREAD_MB) * MB
    return _planned(data) + fixed + read + 12 * sorted_at_once + 1.5 * waiting


# ---- rules about the genome


def beside_annotation(fixed_mb: int) -> Callable[[GenomeSize], float]:
    """A formula: a measured figure in MB, margin included, and what genes and junctions take."""
    return lambda genome: float((fixed_mb + genome.annotation_mb + genome.junctions_mb) * MB)
