"""Figures of boosters show what the tables say, and say what they cannot show."""

import warnings

import numpy as np
import polars as pl
import pytest

from genebatch.report.figures import boosters, style
from tests.builders.tables_and_figures import is_drawn, legend, said

CLASSES = ["neither", "donor", "acceptor"]
AWKWARD = r"$\frac$ <b>"  # broken mathematics and markup, were it taken for either


def curves(classes=CLASSES, n_folds=2):
    lines, folds = [], []
    for number, name in enumerate(classes):
        for fold in range(n_folds):
            loss = [0.5 - 0.01 * tree for tree in range(10)]
            lines.append(
                pl.DataFrame(
                    {"n_trees": range(10), "train_log_loss": loss, "stop_log_loss": loss[::-1]}
                ).with_columns(pl.lit(fold).alias("fold"), pl.lit(name).alias("class"))
            )
            n_trees = 3 + number + fold
            folds.append({"class": name, "fold": fold, "n_trees": n_trees, "verdict": "good"})
    return pl.concat(lines), pl.DataFrame(folds)


def importances(classes=CLASSES, name="f"):
    features = pl.DataFrame(
        [
            {"class": c, "feature": f"{name}{i}", "mean_abs_shap": 1 / (i + 1)}
            for c in classes
            for i in range(20)
        ]
    )
    families = pl.DataFrame(
        [
            {"class": c, "family": name, "features": 20, "log_loss_rise": 0.5, "error": 0.1}
            for c in classes
        ]
        + [
            {"class": c, "family": "z", "features": 1, "log_loss_rise": -1e-6, "error": None}
            for c in classes
        ]
    )
    return features, families.rename({"error": "standard_error"})


def swarm(names, n=40, seed=2):
    rng = np.random.default_rng(seed)
    shap, values = ({name: rng.normal(size=n) for name in names} for _ in range(2))
    return boosters.Swarm(pl.DataFrame(shap), pl.DataFrame(values))


def test_learning_curves_are_marked_at_the_chosen_number_of_trees():
    table, folds = curves()
    figure = boosters.learning_curves(table, folds, CLASSES, "t")
    assert is_drawn(figure)
    for number, axes in enumerate(figure.axes):
        marks = [line for line in axes.get_lines() if line.get_marker() == "o"]
        points = [(line.get_xdata()[0], line.get_ydata()[0]) for line in marks if len(line._x)]
        # The stopping loss after t trees is 0.41 + 0.01 t.
        chosen = [3 + number, 4 + number]
        assert points == [(t, pytest.approx(0.41 + 0.01 * t)) for t in chosen]
        assert legend(axes)[-1] == f"chosen: {number + 3.5} trees ({chosen[0]} to {chosen[1]})"


def test_a_class_that_was_constant_in_every_fold_says_so():
    table, folds = curves()
    constant = folds.with_columns(
        pl.when(pl.col("class") == "donor")
        .then(pl.lit("constant class"))
        .otherwise("verdict")
        .alias("verdict")
    )
    figure = boosters.learning_curves(table, constant, CLASSES, "t")
    assert "one side only" in said(figure.axes[1])[0]
    assert not said(figure.axes[0])


def test_beeswarm_shows_the_given_features_in_their_order():
    names = [AWKWARD, "gc", "x" * 60]
    shown = swarm(names)
    swarms = {"a": shown, "b": shown._replace(shap=shown.shap.with_columns(pl.col(names) * 0))}
    figure = boosters.shap_values(swarms, ["a; left out 1.0", "b"], "t")
    assert is_drawn(figure)
    first, second = figure.axes
    ticks = [label.get_text().replace(r"\$", "$") for label in first.get_yticklabels()]
    assert ticks[::-1][:2] == names[:2]
    assert len(ticks[0]) == style.LONGEST_NAME
    assert said(second) == ["no feature has an effect"]


def test_categories_and_missing_values_are_grey_and_named():
    plain, other = swarm(["a", "b"]), swarm(["a", "b"])
    values = other.values.with_columns(a=pl.lit(None, pl.Float64))
    with warnings.catch_warnings():
        warnings.simplefilter("error", RuntimeWarning)
        figure = boosters.shap_values(
            {"x": plain, "y": other._replace(values=values)}, ["x", "y"], "t"
        )
    first, second = map(legend, figure.axes)
    assert first == ["low feature value", "high"]
    assert second == [*first, "missing, or a category"]


@pytest.mark.parametrize("name", ["f", AWKWARD])
def test_importance_shows_features_and_families_of_every_class(name):
    figure = boosters.importance(*importances(name=name), CLASSES, "t", n_shown=5)
    assert is_drawn(figure)
    assert len(figure.axes) == 6
    left, right = figure.axes[:2]
    assert [bar.get_width() for bar in left.patches] == [1, 1 / 2, 1 / 3, 1 / 4, 1 / 5]
    assert said(right) == ["0.5 ± 0.1", "-1e-06"]


def test_importance_without_any_effect_says_so():
    features, families = importances(["a"])
    features = features.with_columns(pl.lit(0.0).alias("mean_abs_shap"))
    families = families.with_columns(pl.lit(0.0).alias("log_loss_rise"))
    figure = boosters.importance(features, families, ["a"], "t")
    assert [said(axes)[0] for axes in figure.axes] == [
        "no feature has an effect",
        "permuting changes nothing",
    ]
