"""What several unit tests use: altered tables, tied scores, what a figure says."""

from io import BytesIO

import numpy as np
import polars as pl
from matplotlib import image

from genebatch.metrics.binary import METRICS
from genebatch.report.figures.style import png


def set_cells(frame, column, rows, value):
    """The frame with `value` in some rows of a column."""
    chosen = pl.int_range(pl.len()).is_in(rows)
    return frame.with_columns(
        pl.when(chosen).then(pl.lit(value)).otherwise(pl.col(column)).alias(column)
    )


def value(metric, y, probability, weight=None, groups=None):
    """A metric that has a value."""
    arrays = (None if a is None else np.asarray(a) for a in (weight, groups))
    score = METRICS[metric](np.asarray(y, bool), np.asarray(probability, float), *arrays)
    assert score.reason is None
    return score.value


def grouped(seed=0, n_rows=300, n_groups=12):
    """Rows with tied scores, uneven groups and weights of which some are zero."""
    rng = np.random.default_rng(seed)
    y = rng.random(n_rows) < 0.2
    score = np.round(rng.normal(size=n_rows) + y, 1)
    groups = rng.integers(0, n_groups, n_rows) * 7 - 3
    weight = rng.choice([0.0, 0.5, 1.0, 3.0], n_rows)
    return y, score, groups, weight


def said(axes):
    """Texts inside a panel."""
    return [text.get_text() for text in axes.texts]


def legend(axes):
    """Texts of its legend."""
    return [text.get_text() for text in axes.get_legend().get_texts()]


def is_picture(path):
    pixels = image.imread(path)
    return path.suffix == ".png" and min(pixels.shape[:2]) > 100 and pixels.std() > 0


def is_drawn(figure):
    """Whether a figure gives a picture."""
    pixels = image.imread(BytesIO(png(figure)), format="png")
    return min(pixels.shape[:2]) > 100 and pixels.std() > 0
