"""The pickle keeps what older workflows expect, and names no module that may move."""

import pickle
import pickletools
import shutil
from dataclasses import replace

import numpy as np
import polars as pl
import pytest

from genebatch import load_model
from genebatch.io.files import InputError
from tests.builders import DATA


@pytest.fixture(scope="module")
def model(toy):
    return load_model(toy.folder / "model.gbm")


@pytest.fixture(scope="module")
def pickled(model, tmp_path_factory):
    path = tmp_path_factory.mktemp("pickle") / "model.pkl"
    model.save_pickle(path)
    return path


def test_pickle_needs_trust(pickled):
    with pytest.raises(InputError, match="trust=True"):
        load_model(pickled)


def test_trusted_pickle_is_the_same_model(pickled, model, toy_rows):
    np.testing.assert_array_equal(
        load_model(pickled, trust=True).predict_proba(toy_rows), model.predict_proba(toy_rows)
    )


def test_pickle_has_the_documented_keys(pickled, model, toy, toy_rows):
    content = pickle.loads(pickled.read_bytes())
    assert content["type"] == "AllGenesBatchEnsemble"
    assert content["batch_count"] == len(content["batch_models"]) == 2
    assert content["combination_method"] == "log_odds"
    assert content["feature_names"] == list(model.features.names)
    plan = pl.read_parquet(toy.paths()["planned"]).filter(~pl.col("test"))
    assert content["unique_genes"] == content["total_genes"] == plan.height
    assert content["total_positions"] == plan["rows"].sum()
    for number, batch in enumerate(content["batch_models"]):
        assert set(batch) == {"model", "batch_id", "genes", "metrics"}
        assert batch["batch_id"] == toy.batches[number]
        assert batch["genes"] == plan.filter(batch=batch["batch_id"])["group"].sort().to_list()
        assert batch["metrics"] == model.members[number].facts["metrics"]
        np.testing.assert_array_equal(
            batch["model"].predict_proba(toy_rows), model.member_proba(toy_rows)[:, number]
        )


def test_groups_lent_to_two_batches_count_once(model, tmp_path):
    lent = model.members[0].groups[:3]
    second = model.members[1]._replace(groups=(*model.members[1].groups, *lent))
    replace(model, members=(model.members[0], second)).save_pickle(tmp_path / "model.pkl")
    content = pickle.loads((tmp_path / "model.pkl").read_bytes())
    apart = sum(len(member.groups) for member in model.members)
    assert content["total_genes"] == content["unique_genes"] == apart
    assert content["total_positions"] is None


def test_pickle_of_something_else_is_refused(tmp_path):
    (tmp_path / "other.pkl").write_bytes(pickle.dumps({"type": "RandomForest"}))
    with pytest.raises(InputError, match="no AllGenesBatchEnsemble"):
        load_model(tmp_path / "other.pkl", trust=True)


def test_pickle_names_nothing_of_genebatch_that_may_move(pickled):
    strings = [arg for _, arg, _ in pickletools.genops(pickled.read_bytes()) if type(arg) is str]
    assert {text for text in strings if text.startswith("genebatch")} == {"genebatch"}
    assert "model_from_bytes" in strings


def test_pickled_model_keeps_everything(model, toy_rows):
    given = replace(model, facts={"note": [1, None]}, threads=2)
    back = pickle.loads(pickle.dumps(given))
    assert (back.facts, back.threads, back.features) == ({"note": [1, None]}, 2, model.features)
    np.testing.assert_array_equal(back.predict_proba(toy_rows), model.predict_proba(toy_rows))


def test_threads_arrive_at_the_model_of_a_pickle(pickled):
    assert load_model(pickled, trust=True, threads=2).threads == 2


@pytest.mark.parametrize("name", ["model_0_1.gbm", "model.gbm"])
def test_pickle_of_an_earlier_version_says_which_file_to_load(tmp_path, name):
    shutil.copy(DATA / "model_0_1.pkl", tmp_path)
    shutil.copy(DATA / "model_0_1.gbm", tmp_path / name)
    with pytest.raises(InputError, match="written by an earlier version of genebatch") as caught:
        load_model(tmp_path / "model_0_1.pkl", trust=True)
    assert f"load {tmp_path / name}, the model file beside it" in str(caught.value)


def test_pickle_of_an_earlier_version_needs_trust_all_the_same():
    with pytest.raises(InputError, match="trust=True"):
        load_model(DATA / "model_0_1.pkl")


@pytest.mark.parametrize("data", [b"", b"text", b"\x80\x05cno_such_module\nname\n."])
def test_damaged_pickle_is_refused(tmp_path, data):
    (tmp_path / "m.pkl").write_bytes(data)
    with pytest.raises(InputError, match=r"m\.pkl is damaged or of another version"):
        load_model(tmp_path / "m.pkl", trust=True)
