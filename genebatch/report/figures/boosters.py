"""Draws the boosters of a batch: learning curves, SHAP values, importances."""

import math
import warnings
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
import polars as pl
from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator

from genebatch.report.figures import style

LOW, HIGH = "#0072B2", "#D55E00"  # colours of small and large feature values
MISSING = "#777777"  # the grey that shap gives dots without a value


class Swarm(NamedTuple):
    """SHAP values of one class, and the feature values in the same rows and columns."""

    shap: pl.DataFrame
    values: pl.DataFrame


def learning_curves(
    curves: pl.DataFrame, folds: pl.DataFrame, classes: Sequence[str], title: str
) -> Figure:
    """Draw each fold's log loss over the number of trees; a dot marks the chosen number.

    Parameters
    ----------
    curves
        Columns `n_trees, train_log_loss, stop_log_loss, fold, class`.
    folds
        One row per fold and class with `n_trees` and `verdict`.
    classes, title
        Names of the classes; title of the figure.
    """
    with style.panels(len(classes), title) as (figure, panels):
        for number, (name, axes) in enumerate(zip(classes, panels, strict=True)):
            style.head(axes, name)
            chosen = folds.filter(pl.col("class") == name)
            if (chosen["verdict"] == "constant class").all():
                style.say(
                    axes, "nothing to learn: in every fold the\ntraining rows hold one side only"
                )
                continue
            for fold, n_trees in chosen.select("fold", "n_trees").iter_rows():
                curve = curves.filter((pl.col("class") == name) & (pl.col("fold") == fold))
                _learning_curve(axes, curve.sort("n_trees"), n_trees, style.colour(number))
            axes.set(xlabel="trees", ylabel="log loss")
            _name_learning_curves(axes, chosen["n_trees"], style.colour(number))
    return figure


def shap_values(swarms: Mapping[str, Swarm], heads: Sequence[str], title: str) -> Figure:
    """Draw SHAP values as the beeswarm of the shap package, coloured by the feature's value.

    Parameters
    ----------
    swarms
        Class to the values of its features, the most important first.
    heads, title
        Title of each panel and of the figure.
    """
    longest = max(max((len(n) for n in s.shap.columns), default=0) for s in swarms.values())
    width = 4.0 + 0.045 * min(longest, style.LONGEST_NAME)
    tallest = max(swarm.shap.width for swarm in swarms.values())
    size = (width, 1.3 + 0.24 * tallest)
    with style.panels(len(swarms), title, size=size) as (figure, panels):
        for axes, head, swarm in zip(panels, heads, swarms.values(), strict=True):
            _beeswarm(axes, swarm)
            style.head(axes, head)
    return figure


def importance(
    features: pl.DataFrame,
    families: pl.DataFrame,
    classes: Sequence[str],
    title: str,
    n_shown: int = 12,
) -> Figure:
    """Draw the most important features beside the rise of the log loss by permuted family.

    Parameters
    ----------
    features
        Columns `class, feature, mean_abs_shap`, without the line of the start.
    families
        Columns `class, family, features, log_loss_rise, standard_error`.
    classes, title
        Names of the classes; title of the figure.
    n_shown
        Largest number of bars in a panel.
    """
    longest = max(max(table["class"].value_counts()["count"]) for table in (features, families))
    n_shown = min(n_shown, longest)
    size = (5.4, 0.9 + 0.21 * n_shown)
    with style.panels(2 * len(classes), title, size=size, columns=2) as (figure, panels):
        for number, name in enumerate(classes):
            left, right = panels[2 * number : 2 * number + 2]
            style.head(left, f"{name}: features")
            style.head(right, f"{name}: families permuted")
            own = features.filter(pl.col("class") == name).sort("mean_abs_shap", descending=True)
            _feature_bars(left, own.head(n_shown), style.colour(number))
            own = families.filter(pl.col("class") == name).sort("log_loss_rise", descending=True)
            _family_bars(right, own.head(n_shown), style.colour(number))
            for axes in (left, right):
                axes.set_ylim(n_shown - 0.4, -0.6)
    return figure


def _learning_curve(axes: Axes, curve: pl.DataFrame, n_trees: int, colour: str) -> None:
    measured = curve.filter(pl.col("train_log_loss").is_not_null())
    axes.plot(measured["n_trees"], measured["train_log_loss"], color=colour, linewidth=1, alpha=0.4)
    axes.plot(curve["n_trees"], curve["stop_log_loss"], color=colour, linewidth=1.3)
    best = curve.filter(pl.col("n_trees") == n_trees)
    mark = {"color": "black", "markersize": 5, "zorder": 4}
    axes.plot(best["n_trees"], best["stop_log_loss"], "o", **mark)


def _name_learning_curves(axes: Axes, n_trees: pl.Series, colour: str) -> None:
    axes.plot([], [], color=colour, linewidth=1, alpha=0.4, label="training groups")
    axes.plot([], [], color=colour, linewidth=1.3, label="stopping groups")
    text = f"chosen: {n_trees.median():g} trees ({n_trees.min()} to {n_trees.max()})"
    axes.plot([], [], "o", color="black", markersize=5, label=text)
    axes.set_ylim(0, None)
    style.legend(axes)


def _beeswarm(axes: Axes, swarm: Swarm) -> None:
    from shap import Explanation  # numba and pandas come with it: 2 s and 150 MB
    from shap.plots import beeswarm

    values = swarm.shap.to_numpy()
    if not swarm.shap.width or not np.any(values):
        style.say(axes, "no feature has an effect")
        return
    names = [style.short(name) for name in swarm.shap.columns]
    explanation = Explanation(values, data=swarm.values.to_numpy(), feature_names=names)
    colours = LinearSegmentedColormap.from_list("value", [LOW, HIGH])
    drawn = {"color": colours, "color_bar": False, "s": 9}
    order = np.arange(len(names))
    with rc_context({"lines.linewidth": 0.8}), warnings.catch_warnings():
        # shap takes percentiles of a column without values too, and then draws it grey.
        warnings.filterwarnings("ignore", "All-NaN slice encountered", RuntimeWarning)
        beeswarm(explanation, len(names), order, ax=axes, show=False, plot_size=None, **drawn)
    axes.tick_params("y", labelsize=8, length=0)
    axes.tick_params("x", labelsize=8)
    axes.set_xlabel("SHAP value of the log-odds", fontsize=9)
    dots = [("low feature value", LOW), ("high", HIGH)]
    if swarm.values.select(pl.any_horizontal(pl.all().is_null() | pl.all().is_nan()).any()).item():
        dots.append(("missing, or a category", MISSING))
    for name, dot in dots:
        axes.scatter([], [], s=16, color=dot, label=name)
    axes.grid(False)
    style.legend(axes)


def _feature_bars(axes: Axes, table: pl.DataFrame, colour: str) -> None:
    if not table["mean_abs_shap"].sum():
        style.say(axes, "no feature has an effect")
        return
    heights = np.arange(table.height)
    axes.barh(heights, table["mean_abs_shap"], color=colour, height=0.7)
    _name_bars(axes, [style.short(name) for name in table["feature"]])
    axes.set_xlabel("mean |SHAP value| of the log-odds")


def _family_bars(axes: Axes, table: pl.DataFrame, colour: str) -> None:
    rises = table["log_loss_rise"].cast(pl.Float64).to_numpy()
    errors = table["standard_error"].cast(pl.Float64).to_numpy()
    if not len(rises) or not np.isfinite(rises).any() or not np.any(rises):
        style.say(axes, "permuting changes nothing")
        return
    heights = np.arange(len(rises))
    measured = np.isfinite(errors)
    axes.barh(heights, rises, color=colour, height=0.7, alpha=0.75)
    axes.errorbar(
        rises[measured],
        heights[measured],
        xerr=errors[measured],
        fmt="none",
        color="black",
        linewidth=1,
    )
    names = table.select("family", "features").iter_rows()
    _name_bars(axes, [f"{style.short(name)} ({n})" for name, n in names])
    for height, rise, error in zip(heights, rises, errors, strict=True):
        text = f"{rise:.2g}" + (f" ± {error:.1g}" if np.isfinite(error) else "")
        place = axes.get_yaxis_transform()
        axes.text(1.02, height, text, transform=place, verticalalignment="center", fontsize=7.5)
    _symmetric_log(axes, rises, np.nanmin(rises - np.nan_to_num(errors)))
    axes.set_xlabel("rise of the log loss ± standard error")


def _symmetric_log(axes: Axes, values: np.ndarray, least: float) -> None:
    """Use a logarithmic axis on both sides of zero if the values span more than two decades."""
    size = np.abs(values[np.isfinite(values) & (values != 0)])
    if size.max() < 100 * size.min():
        axes.locator_params(axis="x", nbins=5)
        return
    top = math.ceil(math.log10(size.max()))
    lowest = max(math.floor(math.log10(size.min())), top - 6)
    axes.set_xscale("symlog", linthresh=10.0**lowest, linscale=0.5)
    two_sided = least < -(10.0**lowest)
    # From the largest down, so few that their labels stay apart.
    step = math.ceil((top - lowest + 1) / (2 if two_sided else 4))
    ticks = 10.0 ** np.arange(top, lowest - 1, -step)[::-1]
    ticks = np.concatenate([[0], ticks])
    if two_sided:
        ticks = np.concatenate([-ticks[:0:-1], ticks])
    axes.xaxis.set_major_locator(FixedLocator(ticks))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))


def _name_bars(axes: Axes, names: Sequence[str]) -> None:
    axes.set_yticks(range(len(names)), names, fontsize=8)
    axes.grid(False, axis="y")
