"""The estimator gives the model of the workflow, and has scikit-learn's habits."""

import pickle
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from pyarrow.dataset import dataset
from scipy import sparse
from sklearn import config_context
from sklearn.base import clone
from sklearn.model_selection import GridSearchCV, GroupKFold, cross_val_score
from sklearn.utils.estimator_checks import parametrize_with_checks

from genebatch import BatchEnsembleClassifier, InputError, load_model
from genebatch.estimator.table import checked_features, checked_groups, checked_target
from genebatch.io.tables import read_tsv
from tests.builders.toy_run import CLASSES, CONFIG, SCORES, Run

# As fast as a fit can be: few rows need no more.
QUICK = {
    "n_estimators": 4,
    "n_splits": 2,
    "min_groups": 2,
    "min_positives": 0,
    "calibration": "identity",
    "combiner": "log_odds",
    "rivals": (),
    "final": "ensemble",
}
NOT_MET = {
    "check_sample_weight_equivalence_on_dense_data": (
        "a weight of 2 is not a row given twice: without groups each row is a group of its own, so "
        "two equal rows may be in different folds, and trees are drawn by rows"
    )
}


@pytest.mark.slow
@parametrize_with_checks(
    [BatchEnsembleClassifier(**QUICK)], expected_failed_checks=lambda estimator: NOT_MET
)
def test_habits_of_scikit_learn(estimator, check):
    check(estimator)


@pytest.fixture(scope="module")
def rows() -> pl.DataFrame:
    """Thirty groups; `a` tells the classes apart, and `b` has missing values."""
    rng = np.random.default_rng(2)
    yes = rng.random(240) < 0.4
    return pl.DataFrame(
        {
            "a": rng.normal(size=240) + 2 * yes,
            "b": np.where(rng.random(240) < 0.1, np.nan, rng.normal(size=240)),
            "n": rng.integers(0, 5, 240),
            "p": np.where(yes, 0.6, 0.3),
            "gene": [f"g{number % 30:02d}" for number in range(240)],
            "kind": np.where(yes, "yes", "no"),
        }
    )


@pytest.fixture(scope="module", name="X")
def features(rows) -> pl.DataFrame:
    return rows.select("a", "b", "n")


@pytest.fixture(scope="module")
def fitted(rows, X):
    model = BatchEnsembleClassifier(**QUICK | {"n_estimators": 20, "max_groups": 15})
    return model.fit(X, rows["kind"], groups=rows["gene"])


# The same model as the workflow's


@pytest.fixture(scope="module")
def with_single(toy, tmp_path_factory) -> Run:
    """The toy run with the single model beside its ensemble."""
    folder = tmp_path_factory.mktemp("with_single") / "run"
    run = Run(Path(shutil.copytree(toy.folder, folder)))
    run.train_single()
    run.add_single()
    run.consolidate(final="best")
    return run


def test_it_gives_the_model_of_the_workflow(with_single, toy_rows):
    keys = CONFIG["batching"] | CONFIG["cv"] | CONFIG["learner"] | CONFIG["ensemble"]
    table = pl.read_parquet(with_single.folder / "data/*.parquet")
    training = table.filter(~pl.col("gene_id").is_in(with_single.test_groups))
    model = load_model(with_single.folder / "model.gbm")
    names = list(model.features.names)
    estimator = BatchEnsembleClassifier(**keys).fit(
        training.select(names),
        training["splice_type"].fill_null("neither"),
        groups=training["gene_id"],
        sample_weight=training["sample_weight"],
        base_scores=SCORES,
    )
    order = [CLASSES.index(name) for name in estimator.classes_]
    np.testing.assert_allclose(
        estimator.predict_proba(toy_rows.select(names)),
        model.predict_proba(toy_rows)[:, order],
        rtol=1e-4,
    )
    members = {member.name: member.groups for member in model.members}
    assert {member.name: member.groups for member in estimator.model_.members} == members
    told = read_tsv(with_single.folder / "candidates.tsv")
    assert estimator.candidates_["candidate"].to_list() == told["candidate"].to_list()
    assert estimator.candidates_["chosen"].to_list() == told["chosen"].to_list()
    np.testing.assert_allclose(estimator.candidates_["log_loss"], told["log_loss"], rtol=1e-4)


def test_no_batch_has_a_group_of_another(fitted, rows):
    groups = [set(member.groups) for member in fitted.model_.members]
    assert len(groups) == 2
    assert not groups[0] & groups[1]
    assert groups[0] | groups[1] == set(rows["gene"])


def test_held_out_probabilities_are_not_those_of_fitted_rows(fitted, rows, X):
    held_out = fitted.held_out_proba_
    np.testing.assert_allclose(held_out.sum(axis=1), 1, rtol=1e-5)
    right = (fitted.classes_[held_out.argmax(axis=1)] == rows["kind"].to_numpy()).mean()
    assert 0.6 < right < fitted.score(X, rows["kind"])


def test_single_model_of_one_held_out_fold_has_no_other_held_out_probabilities(rows, X):
    changes = {"max_groups": 15, "final": "single", "rivals": ("single",), "single_n_splits": 1}
    model = BatchEnsembleClassifier(**QUICK | changes)
    model.fit(X, rows["kind"], groups=rows["gene"])
    known = ~np.isnan(model.held_out_proba_[:, 0])
    groups = rows["gene"].to_numpy()
    assert 0 < known.sum() < len(known)
    assert not set(groups[known]) & set(groups[~known])


def test_every_candidate_is_trained_and_the_one_asked_for_delivered(rows, X):
    changes = {"max_groups": 15, "final": "distilled", "rivals": ("single", "distilled")}
    model = BatchEnsembleClassifier(**QUICK | changes)
    model.fit(X, rows["kind"], groups=rows["gene"])
    assert set(model.candidates_["candidate"]) == {"ensemble", "single", "both", "distilled"}
    assert model.candidates_.filter("chosen")["candidate"].item() == "distilled"
    assert [member.name for member in model.model_.members] == ["distilled"]
    assert not np.isnan(model.held_out_proba_).any()


def test_rows_are_routed_to_batches_of_similar_groups(rows, X):
    changes = {"max_groups": 15, "strategy": "similarity", "similar_by": ["a"]}
    model = BatchEnsembleClassifier(**QUICK | changes | {"combiner": "routed"})
    model.fit(X, rows["kind"], groups=rows["gene"])
    assert model.model_.combiner["name"] == "routed"
    assert model.model_.combiner["parameters"]["columns"] == ["a"]
    assert model.predict_proba(X).shape == (240, 2)


def test_with_one_batch_its_model_is_the_single_model(rows, X):
    changes = {"rivals": ("single",), "final": "single", "uncertainty": True, "n_estimators": 20}
    model = BatchEnsembleClassifier(**QUICK | changes)
    model.fit(X, rows["kind"], groups=rows["gene"])
    assert [member.name for member in model.model_.members] == ["b000"]
    left_out = model.candidates_.filter(pl.col("log_loss").is_null())
    assert set(left_out["candidate"]) == {"single", "both"}
    assert (model.predict_std(X).max(axis=0) > 0.001).all()


def test_single_model_has_a_spread_where_it_is_asked_for(rows, X):
    changes = {"max_groups": 15, "rivals": ("single",), "final": "single", "n_estimators": 20}
    model = BatchEnsembleClassifier(**QUICK | changes)
    model.fit(X, rows["kind"], groups=rows["gene"])
    assert np.isnan(model.predict_std(X)).all()
    plain = model.predict_proba(X)
    model.set_params(uncertainty=True).fit(X, rows["kind"], groups=rows["gene"])
    assert (model.predict_std(X).max(axis=0) > 0.001).all()
    np.testing.assert_array_equal(model.predict_proba(X), plain)


def test_without_groups_every_row_is_a_group(rows, X):
    model = BatchEnsembleClassifier(**QUICK).fit(X, rows["kind"])
    assert model.model_.groups == {str(number) for number in range(240)}


def test_model_that_is_saved_predicts_the_same(fitted, X, tmp_path):
    fitted.model_.save(tmp_path / "model.gbm")
    saved = load_model(tmp_path / "model.gbm")
    np.testing.assert_array_equal(saved.predict_proba(X), fitted.predict_proba(X))
    again = pickle.loads(pickle.dumps(fitted))
    np.testing.assert_array_equal(again.predict_proba(X), fitted.predict_proba(X))


def test_seed_decides_the_model(rows, X, fitted):
    model = clone(fitted).set_params(random_state=8)
    model.fit(X, rows["kind"], groups=rows["gene"])
    assert (model.predict_proba(X) != fitted.predict_proba(X)).any()


def test_fitting_leaves_no_file(rows, X, tmp_path, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    BatchEnsembleClassifier(**QUICK).fit(X, rows["kind"], groups=rows["gene"])
    with pytest.raises(InputError):
        BatchEnsembleClassifier(**QUICK).fit(X, rows["kind"], groups=["g"] * 240)
    assert not list(tmp_path.iterdir())


# Tables


@pytest.mark.parametrize(
    "made",
    [
        pl.DataFrame.to_pandas,
        pl.DataFrame.to_arrow,
        pl.DataFrame.lazy,
        pl.DataFrame.to_numpy,
        lambda frame: frame.to_pandas().convert_dtypes(),
        lambda frame: frame.to_numpy().tolist(),
    ],
)
@pytest.mark.filterwarnings("ignore:X (has|does not have valid) feature names")
def test_every_kind_of_table_has_the_same_features(fitted, X, made):
    given = checked_features(BatchEnsembleClassifier(), made(X))
    np.testing.assert_array_equal(given.to_numpy(), X.to_numpy())
    np.testing.assert_array_equal(fitted.predict_proba(made(X)), fitted.predict_proba(X))


class Stream:
    """A table that gives an Arrow stream, and nothing else."""

    def __init__(self, frame):
        self.table = frame.to_arrow()

    def __arrow_c_stream__(self, requested_schema=None):
        return self.table.__arrow_c_stream__(requested_schema)


def record_batch(frame):
    (batch,) = frame.to_arrow().combine_chunks().to_batches()
    return batch


@pytest.mark.parametrize(
    "made",
    [
        pl.DataFrame.to_pandas,
        pl.DataFrame.to_arrow,
        record_batch,
        lambda frame: frame.to_arrow().to_reader(max_chunksize=100),
        lambda frame: dataset(frame.to_arrow()),
        Stream,
        lambda frame: frame.to_dict(as_series=False),
        pl.DataFrame.to_dicts,
        lambda frame: frame.to_numpy(structured=True),
    ],
)
def test_every_table_with_names_is_taken_by_them(fitted, X, made):
    model = BatchEnsembleClassifier()
    checked_features(model, made(X))
    assert model.feature_names_in_.tolist() == ["a", "b", "n"]
    np.testing.assert_array_equal(fitted.predict_proba(made(X)), fitted.predict_proba(X))
    with pytest.raises(ValueError, match="same order"):
        fitted.predict(made(X.select("b", "a", "n")))


@pytest.mark.filterwarnings("ignore:X does not have valid feature names")
@pytest.mark.parametrize("kind", [np.float64, np.float32, np.int64])
def test_what_a_mask_hides_is_missing(fitted, X, kind):
    values = X.to_numpy().round(1)
    hidden = np.isnan(values) | (values > 1)
    masked = np.ma.masked_array(np.nan_to_num(values).astype(kind), hidden)
    seen = np.where(hidden, np.nan, masked.data)
    np.testing.assert_array_equal(fitted.predict_proba(masked), fitted.predict_proba(seen))


@pytest.mark.filterwarnings("ignore:X does not have valid feature names")
def test_columns_of_numbers_for_names_go_by_their_order(fitted, X):
    numbered, model = pd.DataFrame(X.to_numpy()), BatchEnsembleClassifier()
    assert checked_features(model, numbered).columns == ["0", "1", "2"]
    assert not hasattr(model, "feature_names_in_")
    np.testing.assert_array_equal(fitted.predict_proba(numbered), fitted.predict_proba(X))


def test_columns_that_are_called_as_our_own_stay_features(rows, X):
    named = X.rename({"a": "group", "b": "label", "n": "weight"})
    model = BatchEnsembleClassifier(**QUICK | {"n_estimators": 20})
    model.fit(named, rows["kind"], groups=rows["gene"], sample_weight=np.ones(240))
    assert "group" in model.model_.feature_names_in_
    assert model.score(named, rows["kind"]) > 0.7


def test_labels_keep_their_type(rows, X):
    model = BatchEnsembleClassifier(**QUICK)
    model.fit(X, (rows["kind"] == "yes").cast(pl.Int64) * 7, groups=rows["gene"])
    assert model.classes_.tolist() == [0, 7]
    assert model.classes_.dtype == model.predict(X).dtype == np.int64


def test_columns_of_text_are_categories_where_they_are_named(rows, X, tmp_path):
    yes = rows["kind"].to_numpy() == "yes"
    colour = np.where(yes, "red", np.where(np.arange(240) % 2, "blue", "green"))
    table = X.select("b").with_columns(colour=pl.Series(colour), nothing=pl.lit(None, pl.String))
    names = ["colour", "nothing"]
    model = BatchEnsembleClassifier(**QUICK | {"n_estimators": 20}, categorical=names)
    model.fit(table, rows["kind"], groups=rows["gene"])
    assert model.score(table, rows["kind"]) == 1
    assert model.model_.categories_ == {"colour": ("blue", "green", "red")}
    as_category = table.to_pandas().astype({"colour": "category"})
    np.testing.assert_array_equal(model.predict_proba(as_category), model.predict_proba(table))
    model.model_.save(tmp_path / "model.gbm")
    saved = load_model(tmp_path / "model.gbm")
    np.testing.assert_array_equal(saved.predict_proba(table), model.predict_proba(table))
    with pytest.raises(InputError, match="or name it in the parameter categorical"):
        BatchEnsembleClassifier(**QUICK).fit(table, rows["kind"])


# Base scores


def test_boosters_start_from_base_scores_in_columns_or_beside_them(rows, X):
    p = rows["p"].to_numpy()
    model = BatchEnsembleClassifier(**QUICK | {"n_estimators": 1, "learning_rate": 1e-6})
    beside = np.column_stack([1 - p, p])
    model.fit(X, rows["kind"], groups=rows["gene"], base_scores=beside)
    np.testing.assert_allclose(model.predict_proba(X, beside)[:, 1], p, atol=1e-3)
    with_columns = X.with_columns(rows["p"], q=1 - rows["p"])
    columns = {"yes": "p", "no": 4}  # by name, and by place
    model.fit(with_columns, rows["kind"], groups=rows["gene"], base_scores=columns)
    np.testing.assert_allclose(model.predict_proba(with_columns)[:, 1], p, atol=1e-3)


def test_base_scores_beside_a_column_of_their_name_are_those_that_were_given(rows, X):
    p = rows["p"].to_numpy()
    model = BatchEnsembleClassifier(**QUICK | {"n_estimators": 1, "learning_rate": 1e-6})
    named = X.rename({"a": "base_score_yes"})
    beside = np.column_stack([1 - p, p])
    model.fit(named, rows["kind"], groups=rows["gene"], base_scores=beside)
    assert model.feature_names_in_.tolist() == ["base_score_yes", "b", "n"]
    np.testing.assert_allclose(model.predict_proba(named, beside)[:, 1], p, atol=1e-3)


def test_base_scores_are_needed_where_they_were_given_and_only_there(rows, X, fitted):
    beside = np.full((240, 2), 0.5)
    model = BatchEnsembleClassifier(**QUICK)
    model.fit(X, rows["kind"], groups=rows["gene"], base_scores=beside)
    with pytest.raises(InputError, match="needs those of these rows"):
        model.predict(X)
    with pytest.raises(InputError, match="fitted without values of them"):
        fitted.predict(X, beside)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (np.full((240, 3), 0.3), r"shape \(240, 3\); wanted \(240, 2\)"),
        (np.full((240, 2), 1.5), "outside 0 to 1"),
        (np.full((240, 2), np.nan), "base_scores contains NaN"),
        (np.ma.masked_less(np.full((240, 2), 0.5), 1), "base_scores contains NaN"),
        ({"yes": "p", "no": "a"}, "names column 'p' for class yes, which X lacks"),
        ({"yes": 0, "no": 9}, "names column 9 for class no, but X has 3 columns"),
        ({"yes": "a"}, "needs one column for each of the classes"),
    ],
)
def test_wrong_base_scores_are_refused(rows, X, wrong, message):
    with pytest.raises(ValueError, match=message):
        BatchEnsembleClassifier(**QUICK).fit(X, rows["kind"], base_scores=wrong)


# What cannot be right


@pytest.mark.filterwarnings("ignore:X does not have valid feature names")
def test_wrong_columns_are_refused(fitted, X):
    with pytest.raises(ValueError, match="same order"):
        fitted.predict(X.select("b", "a", "n"))
    with pytest.raises(ValueError, match="now missing"):
        fitted.predict(X.select("a", "b"))
    with pytest.raises(ValueError, match=r"X has 2 features, but .* is expecting 3"):
        fitted.predict(X.to_numpy()[:, :2])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"X": lambda X: X.with_columns(a=pl.lit("x"))}, "'a' holds String, such as 'x'"),
        ({"X": lambda X: X.with_columns(a=1e39)}, "infinity .* in column 'a'; NaN stands"),
        ({"X": lambda X: X.with_columns(a=-np.inf)}, "infinity .* in column 'a'; NaN stands"),
        (
            {"X": lambda X: X.rename({"a": "^a$"})},
            r"'\^a\$' reads as a pattern; rename it, or leave it out of X",
        ),
        ({"X": lambda X: X[:0]}, r"0 sample\(s\)"),
        ({"X": lambda X: sparse.csr_matrix(X.to_numpy())}, "Sparse data was passed"),
        ({"y": lambda y: ["yes"] * 240}, "y has 1 class: yes"),
        ({"y": lambda y: [None, *y[1:]]}, "y has 1 rows without a label"),
        ({"y": lambda y: np.linspace(0, 1, 240)}, "Unknown label type"),
        ({"y": lambda y: y[:200]}, "inconsistent numbers of samples"),
        ({"groups": lambda g: g[:200]}, "inconsistent numbers of samples"),
        ({"groups": lambda g: [None, *g[1:]]}, "groups has 1 rows without a group"),
        ({"groups": lambda g: ["g"] * 240}, "1 training groups are fewer"),
        ({"sample_weight": lambda _: np.full(240, -1.0)}, "Negative values"),
        ({"sample_weight": lambda _: np.ma.masked_less(np.ones(240), 2)}, "contains NaN"),
    ],
)
def test_wrong_input_is_refused(rows, X, change, message):
    given = {"X": X, "y": rows["kind"], "groups": rows["gene"], "sample_weight": None}
    given |= {name: changed(given[name]) for name, changed in change.items()}
    kind = TypeError if "Sparse" in message else ValueError
    with pytest.raises(kind, match=message):
        BatchEnsembleClassifier(**QUICK).fit(**given)


STRINGS = ["a", "b", None, "a"]
NUMBERS = [1, 2, None, 1]


@pytest.mark.parametrize(
    "values",
    [
        pd.Series(STRINGS, dtype="string"),
        pd.Series(STRINGS, dtype="category"),
        pd.Series(["a", "b", pd.NA, "a"], dtype=object),
        pd.Series(NUMBERS, dtype="Int64"),
        pd.Series(NUMBERS, dtype="int64[pyarrow]"),
        pd.Series([True, False, None, True], dtype="boolean"),
        pd.Series(pd.to_datetime(["2020-01-01", "2020-01-02", None, "2020-01-01"])),
        pl.Series(STRINGS),
        pl.Series(NUMBERS),
        pa.array(STRINGS),
        pa.chunked_array([NUMBERS]),
        np.array([1.0, 2.0, np.nan, 1.0]),
        np.ma.masked_equal([1, 2, 3, 1], 3),
        ["a", "b", np.nan, "a"],
        ["a", "b", pd.NA, "a"],
    ],
)
def test_missing_labels_and_groups_of_any_kind_are_counted(values):
    with pytest.raises(InputError, match="y has 1 rows without a label"):
        checked_target(BatchEnsembleClassifier(), values)
    with pytest.raises(InputError, match="groups has 1 rows without a group"):
        checked_groups(values, 4)


def test_a_class_that_a_batch_lacks_is_refused_unless_it_is_allowed(rows, X):
    rare = np.where(rows["gene"].to_numpy() == "g00", "rare", rows["kind"].to_numpy())
    given = {"X": X, "y": rare, "groups": rows["gene"]}
    quick = QUICK | {"max_groups": 15}
    with pytest.raises(InputError, match="0 rows of class 'rare', fewer than min_positives=1"):
        BatchEnsembleClassifier(**quick | {"min_positives": 1}).fit(**given)
    model = BatchEnsembleClassifier(**quick).fit(**given)
    assert model.predict_proba(X).shape == (240, 3)


# Searches and cross-validation


def test_groups_reach_every_fit_of_a_cross_validation(rows, X, monkeypatch):
    seen = []
    fit = BatchEnsembleClassifier.fit

    def watched(self, X, y, **given):
        seen.append(given.get("groups"))
        return fit(self, X, y, **given)

    monkeypatch.setattr(BatchEnsembleClassifier, "fit", watched)
    model, groups = BatchEnsembleClassifier(**QUICK), rows["gene"].to_numpy()
    X, y = X.to_numpy(), rows["kind"].to_numpy()
    plain = cross_val_score(model, X, y, groups=groups, cv=GroupKFold(2), params={"groups": groups})
    with config_context(enable_metadata_routing=True):
        routed = cross_val_score(model, X, y, cv=GroupKFold(2), params={"groups": groups})
    np.testing.assert_array_equal(plain, routed)
    assert [len(set(part)) for part in seen] == [15] * 4


def test_a_search_sets_parameters(rows, X):
    search = GridSearchCV(
        BatchEnsembleClassifier(**QUICK),
        {"max_depth": np.array([1])},
        cv=GroupKFold(2),
        refit=False,
    )
    search.fit(X.to_numpy(), rows["kind"].to_numpy(), groups=rows["gene"].to_numpy())
    assert not np.isnan(search.cv_results_["mean_test_score"]).any()


def test_booleans_and_empty_columns_are_features():
    frame = pl.DataFrame({"flag": [True, False], "empty": [None, None]})
    given = checked_features(BatchEnsembleClassifier(), frame)
    assert given.columns == ["flag", "empty"]
