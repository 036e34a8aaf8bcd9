"""The step of rule predict: a model file and a table in, a file of predictions out."""

import json

import numpy as np
import polars as pl
import pytest

from genebatch.io.files import InputError
from genebatch.steps.predict import predict
from tests.builders import DATA

MODEL = DATA / "model_0_1.gbm"
CLASSES = ("neither", "donor", "acceptor")


@pytest.fixture(scope="module")
def expected():
    """Rows, and what the model says of them."""
    return json.loads((DATA / "model_0_1.json").read_text())


@pytest.fixture
def table(expected, tmp_path):
    """The rows as a folder of two shards."""
    rows = pl.DataFrame(expected["rows"], infer_schema_length=None)
    (tmp_path / "table").mkdir()
    rows[:5].write_parquet(tmp_path / "table" / "part-0.parquet")
    rows[5:].write_parquet(tmp_path / "table" / "part-1.parquet")
    return tmp_path / "table"


def predicted(table, out, threads=1):
    predict(model=str(MODEL), table=str(table), predictions=str(out), threads=threads)
    return pl.read_parquet(out)


@pytest.mark.parametrize("threads", [1, 2])
def test_predictions_are_those_of_the_model(table, expected, tmp_path, threads):
    predictions = predicted(table, tmp_path / "out.parquet", threads)
    names = [f"{kind}_{name}" for kind in ("probability", "std") for name in CLASSES]
    assert predictions.columns == ["gene_id", "prediction", *names]
    values = predictions.select(names).to_numpy()
    np.testing.assert_array_equal(values[:, :3], expected["probabilities"])
    np.testing.assert_array_equal(values[:, 3:], expected["deviation"])
    assert predictions["gene_id"].to_list() == [row["gene_id"] for row in expected["rows"]]


def test_table_without_a_feature_leaves_no_file(table, tmp_path):
    second = table / "part-1.parquet"
    pl.read_parquet(second).drop("signal").write_parquet(second)
    with pytest.raises(InputError, match="'signal'"):
        predicted(table, tmp_path / "out.parquet")
    assert not (tmp_path / "out.parquet").exists()


def test_threads_of_the_rule_arrive_at_the_model(table, tmp_path, monkeypatch):
    from genebatch.steps import predict as step

    seen = []
    monkeypatch.setattr(step, "predict_file", lambda *_, threads: seen.append(threads))
    predict(model=str(MODEL), table=str(table), predictions=str(tmp_path / "o"), threads=3)
    assert seen == [3]
