"""One function per figure; each takes tables or arrays and writes one PNG."""

import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import numpy as np
import polars as pl
from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator
from matplotlib.transforms import ScaledTranslation
from sklearn.metrics import precision_recall_curve, roc_curve

from genebatch.files import whole
from genebatch.metrics import METRICS

DPI = 100
# Wong 2011, Nature Methods 8:441, without black and yellow; a panel holds one class, so that
# more classes than colours confuse nobody.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#56B4E9", "#E69F00")
GREY = "#767676"  # the base scores
LOW, HIGH = "#0072B2", "#D55E00"  # small and large values of a feature
PALE = "#c9c9c9"  # what is there for comparison only
STYLE = {
    "font.size": 9,
    "axes.titlesize": 10,
    "axes.titleweight": "bold",
    "figure.titlesize": 11,
    "legend.fontsize": 8,
    "legend.frameon": True,
    "legend.framealpha": 0.9,
    "legend.edgecolor": "none",
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": "#e6e6e6",
    "grid.linewidth": 0.7,
    "axes.edgecolor": "#555555",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "lines.linewidth": 1.8,
}
THIN = 0.8  # line width of what is counted in rows where there are weights as well
LONGEST_NAME = 34  # characters of a feature or class name that fit beside an axis


class Scored(NamedTuple):
    """Labelled rows and what each system says about them.

    Attributes
    ----------
    classes
        Names of the classes.
    codes
        (rows,) class of each row.
    systems
        Name to (rows, classes) probabilities; `base` is drawn grey, any other in the colour of
        the class.
    weight
        (rows,) weights, or None.
    """

    classes: Sequence[str]
    codes: np.ndarray
    systems: Mapping[str, np.ndarray]
    weight: np.ndarray | None


class Reliability(NamedTuple):
    """A line of a calibration panel.

    Attributes
    ----------
    system
        `base` is drawn grey and `before` hollow.
    label
        Text of the legend.
    table
        What `genebatch.metrics.reliability` gives.
    """

    system: str
    label: str
    table: pl.DataFrame


class Swarm(NamedTuple):
    """SHAP values of one class, and the feature values of the same rows and columns."""

    shap: pl.DataFrame
    values: pl.DataFrame


class _Line(NamedTuple):
    label: str
    colour: str
    width: float
    y: np.ndarray
    score: np.ndarray
    weight: np.ndarray | None


def roc(path: str | Path, scored: Scored, title: str) -> None:
    """Draw the ROC curve of every class, with the area under it.

    The false positive rate has a logarithmic axis, since nearly all of what a caller of rare
    sites chooses between lies below one percent.
    """
    with _panels(path, len(scored.classes), title) as panels:
        for number, axes in enumerate(panels):
            _head(axes, scored.classes[number])
            lines = _lines(scored, number, "auc")
            if isinstance(lines, str):
                _say(axes, lines)
                continue
            curves = [roc_curve(line.y, line.score, sample_weight=line.weight) for line in lines]
            left = min(rates[rates > 0].min() for rates, _, _ in curves) / 2
            for line, (false, true, _) in zip(lines, curves, strict=True):
                axes.plot(np.maximum(false, left), true, **_look(line))
            chance = np.geomspace(left, 1, 100)
            axes.plot(chance, chance, color=PALE, linewidth=1.2, linestyle=":")
            axes.set(xscale="log", xlim=(left, 1.1), ylim=(0, 1.03))
            axes.set(xlabel="false positive rate (log)", ylabel="true positive rate")
            _legend(axes, "AUC")


def precision_recall(
    path: str | Path, scored: Scored, title: str, notes: Mapping[str, str] | None = None
) -> None:
    """Draw precision over recall of every class, with the average precision.

    Parameters
    ----------
    path, scored, title
        As in `roc`.
    notes
        Class to a line of text below its panel.
    """
    with _panels(path, len(scored.classes), title) as panels:
        for number, (name, axes) in enumerate(zip(scored.classes, panels, strict=True)):
            _head(axes, name)
            lines = _lines(scored, number, "average_precision")
            if isinstance(lines, str):
                _say(axes, lines)
                continue
            shares = [np.average(line.y, weights=line.weight) for line in lines]
            for line in lines:
                precision, recall, _ = precision_recall_curve(
                    line.y, line.score, sample_weight=line.weight, drop_intermediate=True
                )
                axes.plot(recall, precision, drawstyle="steps-post", **_look(line))
            axes.axhline(shares[0], color=PALE, linewidth=1.2, linestyle=":")
            _head(axes, f"{name} (share {format_value(shares[0])})")
            # A common class is above 0.5 whatever the scores say.
            bottom = min(shares) if min(shares) > 0.5 else 0
            axes.set(xlim=(0, 1.02), ylim=(bottom - 0.02 * (1 - bottom), 1 + 0.03 * (1 - bottom)))
            below = f"\n{_plain(notes[name])}" if notes and name in notes else ""
            axes.set(xlabel=f"recall{below}", ylabel="precision")
            _legend(axes, "average precision")


def calibration(
    path: str | Path, classes: Mapping[str, Sequence[Reliability]], heads: Sequence[str], title: str
) -> None:
    """Draw observed shares over mean probabilities, by class.

    Linear axes, since the bins are of equal width and rare classes differ from each other where
    the scores are high; the lowest bin, which holds most rows, is given in numbers.

    Parameters
    ----------
    path
        The PNG.
    classes
        Class to its lines; the last one's lowest bin is the one given in numbers.
    heads
        Title of each panel.
    title
        Title of the figure.
    """
    with _panels(path, len(classes), title, size=(3.7, 4.3)) as panels:
        for number, (axes, lines) in enumerate(zip(panels, classes.values(), strict=True)):
            _head(axes, heads[number])
            if not any(line.table["observed"].sum() for line in lines):
                _say(axes, "no positive rows")
                continue
            axes.plot([0, 1], [0, 1], color=GREY, linewidth=0.8, linestyle=":")
            for line in lines:
                _reliability(axes, line, _colour(number))
            axes.set(xlim=(-0.03, 1.03), ylim=(-0.03, 1.03), ylabel="observed share")
            axes.set_xlabel(f"mean probability\n{_lowest_bin(lines[-1].table)}")
            _legend(axes)


def learning_curves(
    path: str | Path, curves: pl.DataFrame, folds: pl.DataFrame, classes: Sequence[str], title: str
) -> None:
    """Draw the log loss by trees of every fold, with a mark at the chosen number of trees.

    Parameters
    ----------
    path
        The PNG.
    curves
        Columns `n_trees, train_log_loss, stop_log_loss, fold, class`.
    folds
        One row per fold and class with `n_trees` and `verdict`.
    classes, title
        Names of the classes; title of the figure.
    """
    with _panels(path, len(classes), title) as panels:
        for number, (name, axes) in enumerate(zip(classes, panels, strict=True)):
            _head(axes, name)
            chosen = folds.filter(pl.col("class") == name)
            if (chosen["verdict"] == "constant class").all():
                _say(axes, "nothing to learn: in every fold the\ntraining rows hold one side only")
                continue
            for fold, n_trees in chosen.select("fold", "n_trees").iter_rows():
                curve = curves.filter((pl.col("class") == name) & (pl.col("fold") == fold))
                _learning_curve(axes, curve.sort("n_trees"), n_trees, _colour(number))
            axes.set(xlabel="trees", ylabel="log loss")
            _name_learning_curves(axes, chosen["n_trees"], _colour(number))


def shap_values(
    path: str | Path, swarms: Mapping[str, Swarm], heads: Sequence[str], title: str
) -> None:
    """Draw SHAP values as the beeswarm of the shap package, coloured by the feature's value.

    Parameters
    ----------
    path
        The PNG.
    swarms
        Class to the values of its features, the most important first.
    heads, title
        Title of each panel and of the figure.
    """
    longest = max(max((len(n) for n in s.shap.columns), default=0) for s in swarms.values())
    width = 4.0 + 0.045 * min(longest, LONGEST_NAME)
    tallest = max(swarm.shap.width for swarm in swarms.values())
    size = (width, 1.3 + 0.24 * tallest)
    with _panels(path, len(swarms), title, size=size) as panels:
        for axes, head, swarm in zip(panels, heads, swarms.values(), strict=True):
            _beeswarm(axes, swarm)
            _head(axes, head)


def importance(
    path: str | Path,
    features: pl.DataFrame,
    families: pl.DataFrame,
    classes: Sequence[str],
    title: str,
    n_shown: int = 12,
) -> None:
    """Draw the most important features beside the rise of the log loss by permuted family.

    Parameters
    ----------
    path
        The PNG.
    features
        Columns `class, feature, mean_abs_shap`, without the start.
    families
        Columns `class, family, features, log_loss_rise, standard_error`.
    classes, title
        Names of the classes; title of the figure.
    n_shown
        Most bars of a panel.
    """
    most = max(max(table["class"].value_counts()["count"]) for table in (features, families))
    n_shown = min(n_shown, most)
    size = (5.4, 0.9 + 0.21 * n_shown)
    with _panels(path, 2 * len(classes), title, size=size, columns=2) as panels:
        for number, name in enumerate(classes):
            left, right = panels[2 * number : 2 * number + 2]
            _head(left, f"{name}: features")
            _head(right, f"{name}: families permuted")
            own = features.filter(pl.col("class") == name).sort("mean_abs_shap", descending=True)
            _feature_bars(left, own.head(n_shown), _colour(number))
            own = families.filter(pl.col("class") == name).sort("log_loss_rise", descending=True)
            _family_bars(right, own.head(n_shown), _colour(number))
            for axes in (left, right):
                axes.set_ylim(n_shown - 0.4, -0.6)


def members(
    path: str | Path,
    metrics: pl.DataFrame,
    comparison: pl.DataFrame,
    classes: Sequence[str],
    title: str,
) -> None:
    """Draw the average precision of every member, the ensemble and the base scores.

    Parameters
    ----------
    path
        The PNG.
    metrics, comparison
        What `genebatch.evaluation.evaluate` writes.
    classes, title
        Names of the classes; title of the figure.
    """
    scores = metrics.filter(pl.col("metric") == "average_precision")
    intervals = comparison.filter(pl.col("metric") == "average_precision")
    systems = scores["system"].unique(maintain_order=True).to_list()
    order = ["base", "ensemble", *(name for name in systems if name not in ("base", "ensemble"))]
    order = [name for name in order if name in systems]
    size = (3.9, 1.6 + 0.24 * len(order))
    with _panels(path, len(classes), title, size=size) as panels:
        for number, (name, axes) in enumerate(zip(classes, panels, strict=True)):
            _head(axes, name)
            own = scores.filter(pl.col("class") == name)
            if own["value"].is_null().all():
                _say(axes, own["reason"][0])
                continue
            _member_marks(axes, own, order, _colour(number))
            _interval_bars(axes, intervals.filter(pl.col("class") == name), order, _colour(number))
            axes.set(yticks=range(len(order)), yticklabels=[_short(item) for item in order])
            axes.set(ylim=(len(order) - 0.4, -0.6), xlabel="average precision")
            axes.locator_params(axis="x", nbins=5)
            if own["weighted"].any():
                _legend(axes)


def memory(path: str | Path, usage: Sequence[Mapping[str, object]], title: str) -> None:
    """Draw the measured peak of every job against its estimate, by rule.

    Parameters
    ----------
    path
        The PNG.
    usage
        What `genebatch.resources.read_usage` gives.
    title
        Title of the figure.
    """
    rules = list(dict.fromkeys(str(record["rule"]) for record in usage))
    with _panels(path, 1, title, size=(8.2, 1.6 + 0.3 * len(rules))) as panels:
        axes = panels[0]
        if not usage:
            _say(axes, "no job recorded its memory")
            return
        for height, rule in enumerate(rules):
            own = [record for record in usage if record["rule"] == rule]
            jitter = np.linspace(-0.22, 0.22, len(own)) if len(own) > 1 else np.zeros(1)
            declared = np.array([record["declared_mb"] for record in own], float)
            peak = np.array([record["peak_mb"] for record in own], float)
            axes.hlines(height + jitter, peak, declared, color=PALE, linewidth=1)
            label = "estimate" if height == 0 else None
            axes.plot(declared, height + jitter, "|", color="black", markersize=7, label=label)
            label = "measured peak" if height == 0 else None
            axes.plot(peak, height + jitter, "o", color=COLOURS[0], markersize=4, label=label)
        axes.set(yticks=range(len(rules)), yticklabels=rules, ylim=(len(rules) - 0.4, -0.6))
        axes.set(xlim=(0, None), xlabel="resident memory, MB")
        _legend(axes)


def format_value(value: float, signed: bool = False) -> str:
    """Give a number with as many decimals as its distance from 0 and from 1 asks for.

    A share of 0.99999979 must not read as 1.0000, nor a loss of 0.00063 as 0.0006.
    """
    sign = "+" if signed else ""
    if value == 0 or abs(value) >= 1:
        return f"{value:{sign}.4g}"
    if abs(value) < 0.01:
        return f"{value:{sign}.2e}" if abs(value) < 1e-4 else f"{value:{sign}#.3g}"
    rest = 1 - abs(value)
    return f"{value:{sign}.{max(4, 1 - math.floor(math.log10(rest)))}f}"


@contextmanager
def _panels(
    path: str | Path,
    count: int,
    title: str,
    size: tuple[float, float] = (3.7, 4.3),
    columns: int = 3,
) -> Iterator[list[Axes]]:
    """Give `count` axes of `size` inches each; the figure is written when the block ends."""
    columns = min(columns, count)
    rows = -(-count // columns)
    with rc_context(STYLE), whole(path) as temporary:
        shape = (size[0] * columns, size[1] * rows + 0.4)
        figure = Figure(figsize=shape, dpi=DPI, layout="constrained")
        FigureCanvasAgg(figure)
        figure.suptitle(_plain(title), x=0.01, horizontalalignment="left")
        grid = figure.subplots(rows, columns, squeeze=False).ravel()
        for axes in grid[count:]:
            axes.remove()
        yield list(grid[:count])
        figure.savefig(temporary)


def _colour(number: int) -> str:
    return COLOURS[number % len(COLOURS)]


def _plain(text: str) -> str:
    """Text in which a dollar sign begins no formula."""
    return str(text).replace("$", r"\$")


def _short(name: str) -> str:
    """A name that fits beside an axis, its end kept as names of a family differ there."""
    if len(name) > LONGEST_NAME:
        name = f"{name[: LONGEST_NAME - 13]}…{name[-12:]}"
    return _plain(name)


def _head(axes: Axes, text: str) -> None:
    axes.set_title(_plain(text), loc="left")


def _legend(axes: Axes, title: str | None = None) -> None:
    """A legend below the panel and its axis label, where it hides nothing."""
    _, labels = axes.get_legend_handles_labels()
    inches = 0.28 + 0.17 * (1 + axes.get_xlabel().count("\n"))
    below = axes.transAxes + ScaledTranslation(0, -inches, axes.figure.dpi_scale_trans)
    place = {"loc": "upper center", "bbox_to_anchor": (0.5, 0), "bbox_transform": below}
    columns = 1 if max(map(len, labels)) > 18 else 2
    axes.legend(title=title, ncols=columns, columnspacing=1.2, **place)


def _say(axes: Axes, text: str) -> None:
    """Text instead of a drawing."""
    middle = {"horizontalalignment": "center", "verticalalignment": "center", "color": "#555555"}
    axes.text(0.5, 0.5, _plain(text), transform=axes.transAxes, wrap=True, **middle)
    axes.set(xticks=[], yticks=[])
    axes.grid(False)


def _lines(scored: Scored, number: int, metric: str) -> list[_Line] | str:
    """The curves of a class, or why there are none."""
    y = np.asarray(scored.codes) == number
    counted = [("", None)] if scored.weight is None else [(" weighted", scored.weight)]
    counted += [] if scored.weight is None else [(" rows", None)]
    lines = []
    for place, (name, weight) in enumerate(counted):
        for system, probability in scored.systems.items():
            score = probability[:, number]
            value, reason = METRICS[metric](y, score, weight)
            if reason is not None:
                return reason
            colour = GREY if system == "base" else _colour(number)
            width = THIN if place else STYLE["lines.linewidth"]
            label = f"{system}{name} {format_value(value)}"
            lines.append(_Line(label, colour, width, y, score, weight))
    return lines


def _look(line: _Line) -> dict[str, object]:
    return {"label": line.label, "color": line.colour, "linewidth": line.width}


def _reliability(axes: Axes, line: Reliability, colour: str) -> None:
    colour = GREY if line.system == "base" else colour
    hollow = line.system == "before"
    style = {"color": colour, "linestyle": ":" if hollow else "-", "linewidth": 1}
    x, y = line.table["mean_probability"], line.table["observed"]
    axes.plot(x, y, **style)
    n = np.maximum(line.table["n"].to_numpy(), 1)
    area = 8 + 12 * np.log10(n)
    face = "white" if hollow else colour
    axes.scatter(x, y, s=area, facecolor=face, edgecolor=colour, label=line.label, zorder=3)


def _lowest_bin(table: pl.DataFrame) -> str:
    lowest = table.sort("bin").row(0, named=True)
    share = 100 * lowest["weight"] / table["weight"].sum()
    predicted, observed = (format_value(lowest[k]) for k in ("mean_probability", "observed"))
    return f"lowest bin ({share:.3g} % of all):\n{predicted} predicted, {observed} observed"


def _learning_curve(axes: Axes, curve: pl.DataFrame, n_trees: int, colour: str) -> None:
    axes.plot(curve["n_trees"], curve["train_log_loss"], color=colour, linewidth=1, alpha=0.4)
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
    _legend(axes)


def _beeswarm(axes: Axes, swarm: Swarm) -> None:
    from shap import Explanation  # numba and pandas come with it: 2 s and 150 MB
    from shap.plots import beeswarm

    values = swarm.shap.to_numpy()
    if not swarm.shap.width or not np.any(values):
        _say(axes, "no feature has an effect")
        return
    names = [_short(name) for name in swarm.shap.columns]
    explanation = Explanation(values, data=swarm.values.to_numpy(), feature_names=names)
    colours = LinearSegmentedColormap.from_list("value", [LOW, HIGH])
    style = {"color": colours, "color_bar": False, "s": 9}
    order = np.arange(len(names))
    with rc_context({"lines.linewidth": 0.8}):
        beeswarm(explanation, len(names), order, ax=axes, show=False, plot_size=None, **style)
    axes.tick_params("y", labelsize=8, length=0)
    axes.tick_params("x", labelsize=8)
    axes.set_xlabel("SHAP value of the log-odds", fontsize=9)
    for name, dot in (("low feature value", LOW), ("high", HIGH)):
        axes.scatter([], [], s=16, color=dot, label=name)
    axes.grid(False)
    _legend(axes)


def _feature_bars(axes: Axes, table: pl.DataFrame, colour: str) -> None:
    if not table["mean_abs_shap"].sum():
        _say(axes, "no feature has an effect")
        return
    heights = np.arange(table.height)
    axes.barh(heights, table["mean_abs_shap"], color=colour, height=0.7)
    _name_bars(axes, [_short(name) for name in table["feature"]])
    axes.set_xlabel("mean |SHAP value| of the log-odds")


def _family_bars(axes: Axes, table: pl.DataFrame, colour: str) -> None:
    rises = table["log_loss_rise"].cast(pl.Float64).to_numpy()
    errors = table["standard_error"].cast(pl.Float64).to_numpy()
    if not len(rises) or not np.isfinite(rises).any() or not np.any(rises):
        _say(axes, "permuting changes nothing")
        return
    heights = np.arange(len(rises))
    known = np.isfinite(errors)
    axes.barh(heights, rises, color=colour, height=0.7, alpha=0.75)
    axes.errorbar(
        rises[known], heights[known], xerr=errors[known], fmt="none", color="black", linewidth=1
    )
    names = table.select("family", "features").iter_rows()
    _name_bars(axes, [f"{_short(name)} ({n})" for name, n in names])
    for height, rise, error in zip(heights, rises, errors, strict=True):
        text = f"{rise:.2g}" + (f" ± {error:.1g}" if np.isfinite(error) else "")
        place = axes.get_yaxis_transform()
        axes.text(1.02, height, text, transform=place, verticalalignment="center", fontsize=7.5)
    _symmetric_log(axes, rises, np.nanmin(rises - np.nan_to_num(errors)))
    axes.set_xlabel("rise of the log loss ± standard error over folds")


def _symmetric_log(axes: Axes, values: np.ndarray, least: float) -> None:
    """A logarithmic axis on either side of zero where the values span more than two decades."""
    size = np.abs(values[np.isfinite(values) & (values != 0)])
    if size.max() < 100 * size.min():
        axes.locator_params(axis="x", nbins=5)
        return
    top = math.ceil(math.log10(size.max()))
    lowest = max(math.floor(math.log10(size.min())), top - 6)
    axes.set_xscale("symlog", linthresh=10.0**lowest, linscale=0.5)
    step = max(1, (top - lowest) // 3)
    ticks = 10.0 ** np.arange(lowest + 1 if step > 1 else lowest, top + 1, step)
    ticks = np.concatenate([[0], ticks])
    if least < -(10.0**lowest):
        ticks = np.concatenate([-ticks[:0:-1], ticks])
    axes.xaxis.set_major_locator(FixedLocator(ticks))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))


def _name_bars(axes: Axes, names: Sequence[str]) -> None:
    axes.set_yticks(range(len(names)), names, fontsize=8)
    axes.grid(False, axis="y")


def _member_marks(axes: Axes, table: pl.DataFrame, order: Sequence[str], colour: str) -> None:
    """Filled marks where weighted, or where there are no weights; hollow ones count rows."""
    weights = table["weighted"].any()
    for system, weighted, value in table.select("system", "weighted", "value").iter_rows():
        if value is None:
            continue
        main = weighted or not weights
        edge = GREY if system == "base" else colour
        height = order.index(system) + (0.0 if not weights else -0.14 if main else 0.14)
        marker = "o" if system in ("base", "ensemble") else "D"
        face = edge if main else "white"
        axes.scatter(value, height, s=26, marker=marker, facecolor=face, edgecolor=edge, zorder=3)
    if weights:
        axes.scatter([], [], s=26, color=colour, label="weighted")
        axes.scatter([], [], s=26, facecolor="white", edgecolor=colour, label="rows")


def _interval_bars(axes: Axes, table: pl.DataFrame, order: Sequence[str], colour: str) -> None:
    weights = table["weighted"].any()
    for line in table.iter_rows(named=True):
        for system in ("base", "ensemble"):
            low, high = line[f"{system}_low"], line[f"{system}_high"]
            if system not in order or low is None:
                continue
            main = line["weighted"] or not weights
            height = order.index(system) + (0.0 if not weights else -0.14 if main else 0.14)
            edge = GREY if system == "base" else colour
            axes.hlines(height, low, high, color=edge, linewidth=1.6 if main else THIN)
