"""A finished model is used by scikit-learn's tools as any classifier is."""

import matplotlib as mpl
import numpy as np
import pandas as pd
import polars as pl
import pytest
from sklearn.base import clone, is_classifier
from sklearn.calibration import CalibratedClassifierCV, CalibrationDisplay
from sklearn.frozen import FrozenEstimator
from sklearn.inspection import permutation_importance
from sklearn.metrics import ConfusionMatrixDisplay, RocCurveDisplay, accuracy_score, make_scorer
from sklearn.utils.validation import check_is_fitted

from genebatch import load_model
from genebatch.io.files import InputError

mpl.use("Agg")


@pytest.fixture(scope="module")
def model(toy):
    return load_model(toy.folder / "model.gbm")


@pytest.fixture(scope="module")
def table(model, toy_rows) -> pd.DataFrame:
    return pd.DataFrame({name: toy_rows[name].to_numpy() for name in model.columns_in_})


@pytest.fixture(scope="module")
def labels(toy_rows, toy) -> np.ndarray:
    labels = toy.settings.table.labels
    return toy_rows[labels.label].fill_null(labels.null_label).to_numpy()


def test_it_is_a_fitted_classifier(model):
    assert is_classifier(model)
    check_is_fitted(model)
    assert model.get_params() == {}
    assert clone(model) is model


def test_it_is_not_fitted_again(model, table, labels):
    with pytest.raises(InputError, match=r"cannot be fitted again; .*FrozenEstimator"):
        model.fit(table, labels)
    frozen = FrozenEstimator(model).fit(table, labels)
    np.testing.assert_array_equal(frozen.predict(table), model.predict(table))


def test_score_is_the_share_of_right_labels(model, table, labels):
    expected = accuracy_score(labels, model.predict(table))
    assert model.score(table, labels) == expected
    weights = np.arange(len(labels))
    weighted = accuracy_score(labels, model.predict(table), sample_weight=weights)
    assert model.score(table, labels, weights) == weighted
    assert make_scorer(accuracy_score)(model, table, labels) == expected


def test_log_probabilities_are_the_logarithms(model, table):
    np.testing.assert_array_equal(
        model.predict_log_proba(table), np.log(model.predict_proba(table))
    )


def test_every_form_of_a_table_gives_the_same(model, table, toy_rows):
    expected = model.predict_proba(toy_rows)
    values = table.to_numpy(np.float64)
    for given in (table, values, toy_rows.lazy(), toy_rows.to_arrow()):
        np.testing.assert_array_equal(model.predict_proba(given), expected)
    # Base scores have fewer digits then.
    found = model.predict_proba(values.astype(np.float32))
    np.testing.assert_allclose(found, expected, rtol=1e-5)


def test_an_array_that_does_not_fit_is_refused(model, table):
    with pytest.raises(InputError, match=r"shape \(5, 10\); wanted \(rows, 11\)"):
        model.predict(table.to_numpy()[:5, :10])
    with pytest.raises(InputError, match=r"shape \(11,\)"):
        model.predict(table.to_numpy()[0])
    with pytest.raises(InputError, match="the array holds object; wanted numbers"):
        model.predict(table.to_numpy().astype(object))


def test_displays_are_drawn(model, table, labels):
    matrix = ConfusionMatrixDisplay.from_estimator(model, table, labels)
    assert matrix.confusion_matrix.sum() == len(labels)
    is_donor = labels == "donor"
    shown = RocCurveDisplay.from_predictions(is_donor, model.predict_proba(table)[:, 1])
    assert shown.roc_auc > 0.5
    CalibrationDisplay.from_predictions(is_donor, model.predict_proba(table)[:, 1])


def test_a_model_of_two_classes_has_a_calibration_display(model, table, labels):
    class Two(type(model)):
        pass

    binary = FrozenEstimator(model)
    recalibrated = CalibratedClassifierCV(binary).fit(table, labels)
    assert recalibrated.predict_proba(table).shape == (len(labels), 3)


def test_features_that_no_tree_splits_on_have_no_permutation_importance(model, table, labels):
    found = permutation_importance(model, table, labels, n_repeats=2, random_state=1)
    assert found.importances_mean.shape == (table.shape[1],)
    scores = [n for n, name in enumerate(table.columns) if name.endswith("_score")]
    assert found.importances_mean[scores].max() == found.importances_mean.max()


def test_it_says_what_it_is_in_a_line(model):
    text = repr(model)
    assert text.startswith("<EnsembleModel classes: neither, donor, acceptor, members: 2, trees: ")
    assert "\n" not in text
    assert len(text) < 200
    page = model._repr_html_()
    assert "<th style='text-align:left'>members</th><td style='text-align:left'>2</td>" in page


# Explanations


def test_shap_values_sum_to_the_log_odds_before_calibration(model, toy_rows):
    for member in (0, 1):
        alone = load_one(model, member)
        found = alone.explain(toy_rows)
        assert found.height == 3 * toy_rows.height
        margins = alone.frame_margins(toy_rows)[:, 0]
        for column, label in enumerate(alone.classes):
            part = found.filter(pl.col("class") == label)
            assert part["row"].to_list() == list(range(toy_rows.height))
            total = part.drop("row", "class").sum_horizontal()
            np.testing.assert_allclose(total, margins[:, column], atol=1e-4)


def load_one(model, member):
    from dataclasses import replace

    from genebatch.model.ensemble import EQUAL

    return replace(model, members=model.members[member : member + 1], combiner=EQUAL)


def test_several_members_are_explained_by_their_weighted_mean(model, toy_rows):
    from dataclasses import replace

    weights = [[0.75, 0.25]] * 3
    combiner = {"name": "weighted", "parameters": {"weights": weights, "intercept": [0.0] * 3}}
    both = replace(model, combiner=combiner).explain(toy_rows)
    first, second = (load_one(model, member).explain(toy_rows) for member in (0, 1))
    for name in both.columns[2:]:
        # A feature that one of them does not use has no effect there.
        values = [
            t[name] if name in t.columns else pl.zeros(t.height, eager=True)
            for t in (first, second)
        ]
        wanted = 0.75 * values[0].to_numpy() + 0.25 * values[1].to_numpy()
        np.testing.assert_allclose(both[name], wanted, atol=1e-4, err_msg=name)


def test_importance_has_every_feature_and_class_once(model, toy_rows):
    found = model.feature_importance(toy_rows)
    assert found.columns == ["feature", "class", "gain", "mean_abs_shap"]
    assert found.height == 3 * model.n_features_in_
    assert found.select("feature", "class").is_unique().all()
    assert found["mean_abs_shap"].is_sorted(descending=True)
    shap = model.explain(toy_rows)
    for feature, label, value in found.select("feature", "class", "mean_abs_shap").head(5).rows():
        column = shap.filter(pl.col("class") == label)[feature].abs().mean()
        assert value == pytest.approx(column, rel=1e-5)


def test_importance_without_rows_has_gain_alone(model):
    found = model.feature_importance()
    assert found["mean_abs_shap"].null_count() == found.height
    assert found["gain"].is_sorted(descending=True)
    assert found["gain"].max() > 0
