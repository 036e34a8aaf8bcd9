"""What genebatch.evaluation promises: unseen groups, the same rows for all, nothing made up."""

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import polars as pl
import pytest

from genebatch import evaluation
from genebatch.files import InputError
from genebatch.model import load_model
from genebatch.rows import group_codes
from genebatch.scoring import score_table

CLASSES = ["neither", "donor", "acceptor"]


def read(outputs):
    """The four files of an evaluation as frames."""
    tables = {
        name: pl.read_parquet(path)
        if path.suffix == ".parquet"
        else pl.read_csv(path, separator="\t", infer_schema_length=None)
        for name, path in outputs.items()
    }
    return SimpleNamespace(**tables)


@pytest.fixture(scope="module")
def judged(toy):
    return read(toy.evaluate())


@pytest.fixture(scope="module")
def many_run(new_run, make_toy_rows, toy, tmp_path_factory):
    """The same model on twelve groups of another draw, each with donors and acceptors."""
    run = new_run(tmp_path_factory.mktemp("many"))
    run.write(make_toy_rows(n_groups=12, seed=5).with_columns(gene_id="new_" + pl.col("gene_id")))
    run.analyze()
    names = pl.read_parquet(run.paths()["genes"]).select("group")
    names.write_csv(run.paths()["test_groups"], separator="\t")
    toy_model = (toy.folder / "model.gbm").read_bytes()
    run.paths()["model"].write_bytes(toy_model)
    return run


@pytest.fixture(scope="module")
def many(many_run):
    return read(many_run.evaluate())


@pytest.fixture(scope="module")
def plain(new_run, make_toy_rows, tmp_path_factory):
    """A run without base scores and weights, judged on a test group without acceptors."""
    changes = {
        "dataset": {"scores": None, "weight": None, "exclude": ["*_score", "sample_weight"]},
        "learner": {"n_estimators": 15, "learning_rate": 0.2, "start_from": "none"},
        "test": {"groups": ["g00"]},
    }
    run = new_run(tmp_path_factory.mktemp("plain"), changes)
    rows = make_toy_rows(n_groups=8, seed=2).with_columns(
        splice_type=pl.when(gene_id="g00", splice_type="acceptor")
        .then(None)
        .otherwise("splice_type")
    )
    run.write(rows)
    run.make_model()
    return read(run.evaluate())


def test_rows_are_those_of_the_test_groups(judged, toy, toy_rows):
    tested = pl.read_csv(toy.paths()["test_groups"], separator="\t")["group"].to_list()
    expected = toy_rows.filter(pl.col("gene_id").is_in(tested))
    keys = ["group", "position"]
    found = judged.predictions.select(keys).sort(keys)
    assert found.equals(expected.select(group="gene_id", position="position").sort(keys))


def test_predictions_are_those_of_the_model(judged, toy, toy_rows):
    model = load_model(toy.folder / "model.gbm")
    rows = judged.predictions.select("group", "position").join(
        toy_rows, left_on=["group", "position"], right_on=["gene_id", "position"], how="left"
    )
    for prefix, values in (
        ("probability", model.predict_proba(rows)),
        ("std", model.predict_std(rows)),
    ):
        found = judged.predictions.select(f"{prefix}_{name}" for name in CLASSES).to_numpy()
        np.testing.assert_allclose(found, values, atol=1e-12)


@pytest.mark.parametrize("member", [0, 1])
def test_model_that_saw_a_test_group_is_refused(toy, tmp_path, member):
    model = load_model(toy.folder / "model.gbm")
    tested = pl.read_csv(toy.paths()["test_groups"], separator="\t")["group"].to_list()
    members = list(model.members)
    seen = members[member]._replace(groups=(*members[member].groups, tested[0]))
    members[member] = seen
    replace(model, members=tuple(members)).save(tmp_path / "model.gbm")
    outputs = {name: tmp_path / name for name in ("metrics", "comparison", "corrections", "p")}
    with pytest.raises(InputError, match=f"b00{member} was trained on 1 .*'{tested[0]}'"):
        evaluation.evaluate(
            toy.paths() | {"model": tmp_path / "model.gbm"},
            toy.config["dataset"],
            toy.config["evaluation"],
            1,
            outputs,
        )
    assert not any(path.exists() for path in outputs.values())


def test_every_system_is_judged_on_the_same_rows(judged):
    systems = {"model", "base", "member b000", "member b001"}
    assert set(judged.metrics["system"]) == systems
    shape = judged.metrics.group_by("class", "metric", "weighted").agg(pl.col("system").n_unique())
    assert set(shape["system"]) == {4}
    rows = judged.predictions
    codes = rows["label"].replace_strict(CLASSES, range(3)).to_numpy()
    for system, prefix in (("model", "probability"), ("base", "score")):
        values = rows.select(f"{prefix}_{name}" for name in CLASSES).to_numpy()
        again = score_table(
            codes,
            values,
            CLASSES,
            rows["weight"].to_numpy(),
            group_codes(rows),
            system,
        )
        found = judged.metrics.filter(system=system)
        np.testing.assert_allclose(found["value"].to_numpy(), again["value"].to_numpy(), rtol=1e-9)


def test_comparison_is_the_model_less_the_base(judged):
    table = judged.comparison
    keys = ["class", "metric", "weighted"]
    for system in ("base", "model"):
        expected = judged.metrics.filter(system=system).select(*keys, "value")
        joined = table.join(expected, on=keys)
        assert joined.height == table.height == expected.height
        assert joined[system].equals(joined["value"], check_names=False)
    known = table.drop_nulls(["base", "model"])
    assert known.height > 30
    assert (known["difference"] - (known["model"] - known["base"])).abs().max() < 1e-12


def test_model_with_the_signals_beats_the_base(many):
    table = many.comparison.filter(metric="average_precision", weighted=True)
    for row in table.filter(pl.col("class").is_in(["donor", "acceptor"])).iter_rows(named=True):
        assert row["difference"] > 0.1
        assert row["difference_low"] > 0


def test_intervals_hold_the_point_estimate(many):
    table = many.comparison.filter(metric="average_precision")
    assert table.height == 6
    for row in table.iter_rows(named=True):
        for name in ("base", "model", "difference"):
            assert row[f"{name}_low"] < row[name] < row[f"{name}_high"], (row["class"], name)


def test_intervals_are_seeded(many_run, many):
    assert read(many_run.evaluate()).comparison.equals(many.comparison)


def test_corrections_count_the_calls_that_changed(judged):
    rows = judged.predictions
    codes = rows["label"].replace_strict(CLASSES, range(3)).to_numpy()
    right = {
        prefix: rows.select(f"{prefix}_{name}" for name in CLASSES).to_numpy().argmax(axis=1)
        == codes
        for prefix in ("score", "probability")
    }
    total = judged.corrections.filter(pl.col("class") == "all").row(0, named=True)
    assert total["n"] == rows.height
    assert total["corrected"] == (~right["score"] & right["probability"]).sum()
    assert total["made"] == (right["score"] & ~right["probability"]).sum()
    assert total["corrected"] > total["made"]


def test_without_base_scores_and_weights_the_files_are_complete(plain):
    assert set(plain.metrics["system"]) == {"model", "member b000"}
    assert not plain.metrics["weighted"].any()
    assert plain.comparison["base"].null_count() == plain.comparison.height
    assert plain.comparison["difference"].null_count() == plain.comparison.height
    assert {f"{n}_{e}" for n in ("base", "model", "difference") for e in ("low", "high")} <= {
        *plain.comparison.columns
    }
    assert plain.corrections.height == 0
    assert plain.corrections.columns[:2] == ["class", "n"]
    names = ["group", "label", "position"]
    names += [f"{prefix}_{name}" for prefix in ("probability", "std") for name in CLASSES]
    assert plain.predictions.columns == names


@pytest.mark.parametrize("kind", ["plain", "judged"])
def test_metric_without_a_value_has_a_reason(request, kind):
    table = request.getfixturevalue(kind).metrics
    missing = table["value"].is_null() | table["value"].is_nan()
    assert (missing == table["reason"].is_not_null()).all()


def test_class_that_the_test_groups_lack_has_no_precision(plain):
    assert "acceptor" not in set(plain.predictions["label"])
    row = plain.metrics.filter(system="model", metric="average_precision")
    value, reason = row.filter(pl.col("class") == "acceptor").select("value", "reason").row(0)
    assert (value, reason) == (None, "no positive rows")
    compared = plain.comparison.filter(metric="average_precision").filter(
        pl.col("class") == "acceptor"
    )
    assert compared.select("model", "model_low", "model_high").row(0) == (None,) * 3


@pytest.mark.parametrize("kind", ["plain", "judged"])
def test_few_test_groups_have_a_value_and_no_interval(request, kind):
    evaluated = request.getfixturevalue(kind)
    donors = evaluated.predictions.filter(label="donor")["group"].n_unique()
    assert 0 < donors < 10
    table = evaluated.comparison.filter(metric="average_precision")
    row = table.filter(pl.col("class") == "donor").row(0, named=True)
    assert row["model"] > 0
    assert row["groups"] == donors
    assert {row[f"{n}_{e}"] for n in ("model", "difference") for e in ("low", "high")} == {None}
