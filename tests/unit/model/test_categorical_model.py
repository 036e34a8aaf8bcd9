"""A model with categories takes them as text, keeps them, and says which it did not know."""

import json
import logging
import pickle
import zipfile

import numpy as np
import polars as pl
import pytest

from genebatch import EnsembleModel, load_model
from genebatch.dataset.feature_set import Features
from genebatch.io.files import InputError
from genebatch.model import boosting
from genebatch.model.calibration import Calibrator
from genebatch.model.ensemble import EQUAL, Member
from genebatch.model.prediction import predict_file
from tests.builders.small_table import resolved

PLATES = tuple(map(str, range(6)))
N = 400


@pytest.fixture(scope="module")
def rows():
    """Rows of a plate and a number; plates 0, 2 and 4 are positive, mostly."""
    rng = np.random.default_rng(4)
    plate, x = rng.integers(0, 6, N), rng.normal(size=N)
    y = (plate % 2 == 0) ^ (rng.random(N) < 0.2)
    return pl.DataFrame({"gene": "g", "plate": plate.astype(str), "x": x, "y": y})


@pytest.fixture(scope="module")
def model(rows):
    features = Features.order({"plate": "category", "x": "dense"}, {"plate": PLATES})
    learner = resolved(learner={"subsample": 1.0, "colsample_bytree": 1.0}).learner
    block = features.select(rows)
    matrix = boosting.build_matrix([block], 2, 256, 1, types=features.types)
    boosters = tuple(
        boosting.fit_trees(matrix, rows["y"].to_numpy() == label, np.ones(N), None, 40, learner)
        for label in (False, True)
    )
    calibrators = (Calibrator("identity", {}),) * 2
    member = Member("b000", boosters, calibrators, ("g",), (1.0, 1.0), {"rows": N})
    columns = {"group": "gene", "label": "y", "weight": None, "position": None}
    return EnsembleModel(
        (member,), features, ("no", "yes"), None, EQUAL, None, columns, {"data_digest": ""}
    )


@pytest.fixture(scope="module")
def expected(model, rows):
    return model.predict_proba(rows)


def test_the_model_has_learned_its_categories(model, rows, expected):
    assert model.categories_ == {"plate": PLATES}
    assert model.columns_in_ == ["plate", "x"]
    even = rows["plate"].is_in(["0", "2", "4"]).to_numpy()
    assert expected[even, 1].mean() > 0.7
    assert expected[~even, 1].mean() < 0.3


@pytest.mark.parametrize(
    "kind", [pl.Int8, pl.UInt64, pl.Float64, pl.Categorical, pl.Enum(PLATES), pl.String]
)
def test_every_way_to_store_a_category_predicts_the_same(model, rows, expected, kind):
    told = rows.with_columns(pl.col("plate").cast(kind))
    np.testing.assert_array_equal(model.predict_proba(told), expected)
    frame = told.to_pandas()
    np.testing.assert_array_equal(model.predict_proba(frame), expected)


@pytest.mark.parametrize("name", ["t.parquet", "t.csv", "t.tsv"])
def test_a_file_predicts_what_the_table_does(model, rows, expected, name, tmp_path):
    path = tmp_path / name
    if name == "t.parquet":
        rows.with_columns(pl.col("plate").cast(pl.Int32)).write_parquet(path)
    else:
        rows.write_csv(path, separator="\t" if name == "t.tsv" else ",")
    np.testing.assert_array_equal(model.predict_proba(path), expected)
    model.save(tmp_path / "m.gbm")
    predict_file(tmp_path / "m.gbm", path, tmp_path / "out.parquet")
    found = pl.read_parquet(tmp_path / "out.parquet")
    np.testing.assert_array_equal(found["probability_yes"], expected[:, 1])


def test_unknown_categories_are_missing_and_a_warning_counts_them(model, rows, caplog):
    some = pl.col("plate").replace({"0": "7", "1": "8"})
    with caplog.at_level(logging.WARNING):
        found = model.predict_proba(rows.with_columns(some))
    n = rows["plate"].is_in(["0", "1"]).sum()
    (said,) = caplog.messages
    assert said.startswith(f"table to predict: in {n} rows column 'plate' has a category")
    gone = rows.with_columns(plate=pl.when(pl.col("plate") > "1").then("plate"))
    np.testing.assert_array_equal(found, model.predict_proba(gone))


def test_an_array_is_refused(model):
    with pytest.raises(InputError, match=r"the model has categories \(plate\), which an array of"):
        model.predict_proba(np.zeros((3, 2)))


@pytest.mark.parametrize("values", [[0.5], [1e300], [float("inf")], [b"a"]])
def test_what_is_no_category_is_refused(model, values):
    with pytest.raises(InputError, match=r"column 'plate' holds .*, but it has categories"):
        model.predict_proba(pl.DataFrame({"plate": values, "x": [0.0]}))


def test_an_empty_table_has_no_predictions(model, rows):
    assert model.predict_proba(rows[:0]).shape == (0, 2)
    assert model.explain(rows[:0]).height == 0


def test_explanations_are_of_the_whole_column(model, rows):
    shap = model.explain(rows).filter(pl.col("class") == "yes")
    margins = model.frame_margins(rows)[:, 0, 1]
    sums = shap.select(pl.sum_horizontal("(start)", "plate", "x")).to_series()
    np.testing.assert_allclose(sums, margins, atol=1e-5)
    first = model.feature_importance(rows)
    assert first["feature"][:2].to_list() == ["plate", "plate"]


def test_categories_are_kept_in_the_file_and_in_a_pickle(model, rows, expected, tmp_path):
    model.save(tmp_path / "m.gbm")
    for loaded in (load_model(tmp_path / "m.gbm"), pickle.loads(pickle.dumps(model))):
        assert loaded.features == model.features
        np.testing.assert_array_equal(loaded.predict_proba(rows), expected)
    with zipfile.ZipFile(tmp_path / "m.gbm") as archive:
        described = json.loads(archive.read("model.json"))
    assert described["format"] == 2  # which versions without categories refuse


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"categories": {}}, "categories of a number"),
        ({"categories": {"plate": ["0", "1"]}}, "an unknown category"),
        ({"categories": {"plate": [*PLATES, "0"]}}, "has non-unique elements"),
        ({"categories": {"other": ["a"]}}, "categories of what is no dense feature"),
        ({"n_dense": 0}, "categories of what is no dense feature"),
    ],
)
def test_a_file_whose_categories_disagree_is_refused(model, tmp_path, change, message):
    model.save(tmp_path / "m.gbm")
    with zipfile.ZipFile(tmp_path / "m.gbm") as archive:
        content = {name: archive.read(name) for name in archive.namelist()}
    described = json.loads(content["model.json"])
    described["features"] |= change
    with zipfile.ZipFile(tmp_path / "m.gbm", "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in (content | {"model.json": json.dumps(described).encode()}).items():
            archive.writestr(name, data)
    with pytest.raises(InputError, match=message):
        load_model(tmp_path / "m.gbm")
