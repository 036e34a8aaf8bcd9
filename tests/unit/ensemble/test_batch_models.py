"""What ensemble.batch_models promises: every batch of the plan, of this plan and no other."""

import polars as pl
import pytest

from genebatch.ensemble.batch_models import load_batches
from genebatch.io.files import InputError
from genebatch.io.tables import read_tsv


@pytest.fixture(scope="module")
def models(toy):
    return [toy.paths(batch)["model"] for batch in toy.batches]


@pytest.fixture(scope="module")
def manifest(toy):
    return read_tsv(toy.paths()["manifest"])


def test_models_are_named_by_their_batch_and_not_by_their_place(models, manifest):
    for paths in (models, models[::-1]):
        loaded = load_batches(paths, manifest)
        assert set(loaded) == {"b000", "b001"}
        assert all(loaded[name].members[0].name == name for name in loaded)
    assert list(loaded) == ["b001", "b000"]


def test_missing_batch_is_named(models, manifest):
    with pytest.raises(InputError, match=r"batches b001 are missing; .*ensemble\.allow_missing"):
        load_batches(models[:1], manifest)


def test_only_the_batches_that_are_known_to_be_missing_may_be(models, manifest):
    assert list(load_batches(models[:1], manifest, missing=["b001"])) == ["b000"]
    with pytest.raises(InputError, match="batches b000 are missing"):
        load_batches(models[1:], manifest, missing=["b001"])


def test_model_of_another_plan_is_refused(models, manifest):
    keys = pl.when(pl.col("batch") == "b001").then(pl.lit("0" * 16)).otherwise(pl.col("key"))
    with pytest.raises(InputError, match=r"batches b001 were trained for another plan .*\{b001\}"):
        load_batches(models, manifest.with_columns(keys.alias("key")))


def test_threads_arrive_at_the_models(models, manifest):
    assert {model.threads for model in load_batches(models, manifest, 2).values()} == {2}
