"""What genebatch.consolidation promises: every batch, in the plan's order, in one file."""

import json

import numpy as np
import polars as pl
import pytest

from genebatch.consolidation import consolidate
from genebatch.files import InputError
from genebatch.model import load_model


def merge(toy, folder, models, prevalence=None, manifest=None):
    files = toy.paths()
    consolidate(
        models,
        manifest or files["manifest"],
        files["profile"],
        "voting",
        prevalence,
        folder / "model.gbm",
        folder / "model.pkl",
    )
    return load_model(folder / "model.gbm")


@pytest.fixture(scope="module")
def models(toy):
    return [toy.paths(batch)["model"] for batch in toy.batches]


def test_model_has_every_batch_of_the_plan(toy, models, tmp_path):
    model = merge(toy, tmp_path, models)
    manifest = pl.read_csv(toy.paths()["manifest"], separator="\t")
    assert [member.name for member in model.members] == ["b000", "b001"]
    assert [member.facts["rows"] for member in model.members] == manifest["rows"].to_list()
    assert [len(member.groups) for member in model.members] == manifest["genes"].to_list()


def test_no_test_group_is_in_the_model(toy, models, tmp_path):
    model = merge(toy, tmp_path, models)
    trained = {group for member in model.members for group in member.groups}
    tested = set(pl.read_csv(toy.paths()["test_groups"], separator="\t")["group"])
    everything = set(pl.read_parquet(toy.paths()["genes"])["group"])
    assert tested
    assert not trained & tested
    assert trained | tested == everything


def test_order_of_the_files_changes_nothing(toy, models, tmp_path):
    merge(toy, tmp_path / "one", models)
    merge(toy, tmp_path / "two", models[::-1])
    one, two = (tmp_path / name / "model.gbm" for name in ("one", "two"))
    assert one.read_bytes() == two.read_bytes()


def test_missing_batch_is_named_and_nothing_is_written(toy, models, tmp_path):
    with pytest.raises(InputError, match="batches b001 are missing"):
        merge(toy, tmp_path, models[:1])
    assert not list(tmp_path.iterdir())


def test_file_of_no_batch_of_the_plan_is_left_out(toy, models, tmp_path):
    manifest = pl.read_csv(toy.paths()["manifest"], separator="\t").head(1)
    manifest.write_csv(tmp_path / "manifest.tsv", separator="\t")
    model = merge(toy, tmp_path, models, manifest=tmp_path / "manifest.tsv")
    assert [member.name for member in model.members] == ["b000"]


def test_model_knows_its_data_and_batches(toy, models, tmp_path):
    facts = merge(toy, tmp_path, models).facts
    profile = json.loads(toy.paths()["profile"].read_text())
    assert facts["data_digest"] == profile["digest"]
    assert (facts["data_rows"], facts["data_groups"]) == (profile["rows"], profile["groups"])
    manifest = pl.read_csv(toy.paths()["manifest"], separator="\t")
    assert facts["batches"] == manifest.select("batch", "key", "genes", "rows").to_dicts()


def test_pickle_holds_the_model_of_the_file(toy, models, toy_rows, tmp_path):
    model = merge(toy, tmp_path, models)
    trusted = load_model(tmp_path / "model.pkl", trust=True)
    np.testing.assert_array_equal(trusted.predict_proba(toy_rows), model.predict_proba(toy_rows))


def test_prevalence_of_the_config_is_used(toy, models, toy_rows, tmp_path):
    share = {"neither": 0.98, "donor": 0.01, "acceptor": 0.01}
    plain = merge(toy, tmp_path / "plain", models).predict_proba(toy_rows)
    model = merge(toy, tmp_path / "rare", models, prevalence=share)
    assert model.prevalence == share
    assert (model.predict_proba(toy_rows)[:, 0] > plain[:, 0]).all()


def test_model_of_another_plan_is_refused(toy, tmp_path):
    manifest = pl.read_csv(toy.paths()["manifest"], separator="\t")
    other = tmp_path / "manifest.tsv"
    keys = pl.when(pl.col("batch") == "b001").then(pl.lit("0" * 16)).otherwise(pl.col("key"))
    manifest.with_columns(keys.alias("key")).write_csv(other, separator="\t")
    models = [toy.paths(batch)["model"] for batch in manifest["batch"]]
    out = (tmp_path / "model.gbm", tmp_path / "model.pkl")
    with pytest.raises(InputError, match="batches b001 were trained for another plan"):
        consolidate(models, other, toy.paths()["profile"], "voting", None, *out)
    assert not any(path.exists() for path in out)
