"""What genebatch.single promises: one model of all training rows, judged as honestly as batches."""

import shutil

import numpy as np
import polars as pl
import pytest

from genebatch.io.files import read_json
from genebatch.io.tables import read_tsv
from genebatch.model.archive import load_model

CLASSES = ["neither", "donor", "acceptor"]
PLAIN = {"calibration": {"method": "identity"}}  # so that scores are those of the boosters alone


@pytest.fixture(scope="module")
def planned(new_run, toy, toy_rows, tmp_path_factory):
    """Run the rule on some rows under the plan of `toy`."""

    def train(rows=toy_rows, changes=PLAIN):
        run = new_run(tmp_path_factory.mktemp("single"), changes)
        run.write(rows)
        run.analyze()
        for name in ("features.json", "plan.parquet"):
            shutil.copy(toy.folder / name, run.folder / name)
        return run.train_single()

    return train


@pytest.fixture(scope="module")
def files(planned):
    return planned()


@pytest.fixture(scope="module")
def honest(files):
    return pl.read_parquet(files["honest"])


def scores(table):
    return table.select(f"single:{name}" for name in CLASSES).to_numpy()


def test_no_test_group_is_in_it_and_every_other_is(files, toy):
    (member,) = load_model(files["model"]).members
    tested = set(pl.read_csv(toy.paths()["test_groups"], separator="\t")["group"])
    everything = set(pl.read_parquet(toy.paths()["genes"])["group"])
    assert tested
    assert set(member.groups) == everything - tested


def test_every_training_row_has_an_honest_probability(honest, toy):
    rows = pl.read_parquet(toy.ensemble_files["scores"])
    known = ["group", "label", "position", "weight", *(f"score_{name}" for name in CLASSES)]
    assert honest.select(known).equals(rows.select(known))
    np.testing.assert_allclose(scores(honest).sum(axis=1), 1, atol=1e-6)


def test_labels_of_a_group_do_not_change_its_own_scores(planned, honest, toy_rows):
    group = honest["group"][0]
    own = (toy_rows["gene_id"] == group).to_numpy()
    labels = np.array(toy_rows["splice_type"].to_list(), dtype=object)
    labels[own] = np.random.default_rng(1).permutation(labels[own])
    changed = toy_rows.with_columns(pl.Series("splice_type", labels.tolist(), dtype=pl.String))
    found = pl.read_parquet(planned(changed)["honest"])
    mine = (honest["group"] == group).to_numpy()
    assert not found["label"].equals(honest["label"])
    np.testing.assert_array_equal(scores(found)[mine], scores(honest)[mine])
    assert np.abs(scores(found)[~mine] - scores(honest)[~mine]).max() > 1e-3


def test_folds_are_those_of_the_plan(files, honest, toy):
    plan = pl.read_parquet(toy.paths()["plan"]).filter(~pl.col("test"))
    joined = honest.join(plan.select("group", planned="fold"), on="group")
    assert joined.height == honest.height
    assert (joined["fold"] == joined["planned"]).all()
    folds = read_tsv(files["folds"])
    assert folds.height == 9
    held = dict(folds.filter(pl.col("class") == "donor").select("fold", "test_groups").iter_rows())
    assert held == dict(plan.group_by("fold").len().iter_rows())


def test_trees_are_the_median_over_folds(files):
    (member,) = load_model(files["model"]).members
    medians = read_tsv(files["folds"]).group_by("class").agg(pl.col("n_trees").median())
    assert member.facts["n_trees"] == {name: round(n) for name, n in medians.iter_rows()}
    assert member.n_trees > 20


def test_model_has_the_interface_of_every_other(files, toy, toy_rows):
    model = load_model(files["model"])
    probability = model.predict_proba(toy_rows)
    assert probability.shape == (toy_rows.height, 3)
    np.testing.assert_allclose(probability.sum(axis=1), 1)
    assert model.member_proba(toy_rows).shape == (toy_rows.height, 1, 3)
    assert (model.predict_std(toy_rows) == 0).all()
    batch = load_model(toy.paths("b000")["model"])
    assert model.feature_names_in_.tolist() == batch.feature_names_in_.tolist()
    assert (model.classes, model.scores) == (batch.classes, batch.scores)


def test_it_has_the_files_of_a_batch(files, toy):
    batch = toy.paths("b000")
    for name in ("folds", "metrics"):
        own, other = (read_tsv(paths[name]) for paths in (files, batch))
        assert own.columns == other.columns
        assert own.height == other.height
    own, other = (pl.read_parquet(paths["curves"]) for paths in (files, batch))
    assert own.schema == other.schema
    own, other = (read_json(paths["calibration"]) for paths in (files, batch))
    assert own.keys() == other.keys()
    assert own["classes"].keys() == other["classes"].keys()


def test_it_is_better_than_the_base_scores(honest):
    codes = honest["label"].replace_strict(CLASSES, range(3)).to_numpy()
    base = honest.select(f"score_{name}" for name in CLASSES).to_numpy()
    losses = [
        np.average(-np.log(p[np.arange(len(codes)), codes]), weights=honest["weight"])
        for p in (scores(honest), base)
    ]
    assert losses[0] < losses[1] - 0.1
