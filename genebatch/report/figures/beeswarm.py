"""Draws many values of a few rows as dots that make room for each other."""

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap

from genebatch.report.figures import style

LOW, HIGH = "#0072B2", "#D55E00"  # colours of small and large feature values
COLOURS = LinearSegmentedColormap.from_list("value", [LOW, HIGH])
BINS = 100  # places along a row that hold a stack of dots each
HALF_ROW = 0.4  # how far the highest stack goes, in rows
TAILS = (5, 95)  # percentiles of a feature's values that have the full colours


def beeswarm(axes: Axes, places: np.ndarray, values: np.ndarray, names: Sequence[str]) -> None:
    """Draw a row of dots for each column, the first on top.

    Parameters
    ----------
    axes
        Where to draw.
    places, values
        (dots, columns): where dots lie along the row, and what colours them. A dot whose value is
        NaN is grey.
    names
        A name for each column.
    """
    rows = np.arange(len(names))[::-1]
    for row, place, value in zip(rows, places.T, values.T, strict=True):
        heights = row + stacked(place)
        known = np.isfinite(value)
        dots = {"s": 9, "linewidth": 0, "rasterized": True, "zorder": 3}
        axes.scatter(place[~known], heights[~known], color=style.PALE, **dots)
        axes.scatter(
            place[known],
            heights[known],
            c=shades(value[known]),
            cmap=COLOURS,
            vmin=0,
            vmax=1,
            **dots,
        )
    axes.axvline(0, color=style.PALE, linewidth=0.8, zorder=1)
    axes.set_yticks(rows[::-1], [style.short(name) for name in names][::-1])
    axes.set_ylim(-0.6, len(names) - 0.4)
    axes.spines["left"].set_visible(False)


def stacked(places: np.ndarray) -> np.ndarray:
    """Offsets of dots: those of one bin lie above and below the row in turn."""
    low, high = places.min(), places.max()
    bins = np.floor(BINS * (places - low) / max(high - low, np.finfo(float).tiny)).astype(int)
    order = np.argsort(bins, kind="stable")
    _, first, count = np.unique(bins[order], return_index=True, return_counts=True)
    turn = np.arange(len(places)) - np.repeat(first, count)  # 0, 1, 2, 3, ... within a bin
    offsets = np.empty(len(places))
    offsets[order] = (turn + 1) // 2 * np.where(turn % 2, 1, -1)
    return HALF_ROW * offsets / max(count.max() // 2, 3)


def shades(values: np.ndarray) -> np.ndarray:
    """From 0 for the smallest to 1 for the largest values; a half where all are the same."""
    if not len(values):
        return values
    low, high = np.percentile(values, TAILS)
    if low == high:
        low, high = values.min(), values.max()
    if low == high:
        return np.full(len(values), 0.5)
    return np.clip((values - low) / (high - low), 0, 1)
