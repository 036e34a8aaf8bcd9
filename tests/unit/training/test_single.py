"""What training.single promises: one model of all training rows, judged on unseen groups."""

import numpy as np
import polars as pl
import pytest

from genebatch.model.archive import load_model
from genebatch.training.batch import load_all
from genebatch.training.single import held_out_table, train_alone
from tests.builders.toy_run import shuffled_labels

CLASSES = ["neither", "donor", "acceptor"]


def trained(run):
    """The model of all rows; calibrators are identities, so scores are those of the boosters."""
    settings = run.settings
    data = load_all(run.opened(), settings.learner)
    return train_alone(data, settings.cv, settings.learner, "identity")


def table_of(single):
    return held_out_table("single", single.folds.out_of_fold, single.calibrated)


@pytest.fixture(scope="module")
def single(toy):
    return trained(toy)


@pytest.fixture(scope="module")
def held_out(single):
    return table_of(single)


def scores(table):
    return table.select(f"single:{name}" for name in CLASSES).to_numpy()


def test_no_test_group_is_in_it_and_every_other_is(single, toy):
    (member,) = single.calibrated.model.members
    everything = set(pl.read_parquet(toy.paths()["groups"])["group"])
    assert toy.test_groups
    assert set(member.groups) == everything - set(toy.test_groups)


def test_every_training_row_has_a_held_out_probability(held_out, toy):
    rows = pl.read_parquet(toy.ensemble_files["scores"])
    known = ["group", "label", "position", "weight", *(f"score_{name}" for name in CLASSES)]
    assert held_out.select(known).equals(rows.select(known))
    np.testing.assert_allclose(scores(held_out).sum(axis=1), 1, atol=1e-6)


def test_labels_of_a_group_do_not_change_its_own_scores(new_run, toy, toy_rows, held_out, tmp_path):
    group = held_out["group"][0]
    run = new_run(tmp_path)
    run.write(shuffled_labels(toy_rows, [group]))
    run.analyze()
    run.take_plan(toy)
    changed = table_of(trained(run))
    mine = (held_out["group"] == group).to_numpy()
    assert not changed["label"].equals(held_out["label"])
    np.testing.assert_array_equal(scores(changed)[mine], scores(held_out)[mine])
    assert np.abs(scores(changed)[~mine] - scores(held_out)[~mine]).max() > 1e-3


def test_folds_are_those_of_the_plan(single, held_out, toy):
    plan = toy.plan_lines
    joined = held_out.join(plan.select("group", planned="fold"), on="group")
    assert joined.height == held_out.height
    assert (joined["fold"] == joined["planned"]).all()
    folds = single.folds.folds
    assert folds.height == 9
    tested = folds.filter(pl.col("class") == "donor").select("fold", "test_groups")
    assert dict(tested.iter_rows()) == dict(plan.group_by("fold").len().iter_rows())


def test_trees_are_the_median_over_folds(single):
    (member,) = single.calibrated.model.members
    medians = single.folds.folds.group_by("class").agg(pl.col("n_trees").median())
    assert member.facts["n_trees"] == {name: round(n) for name, n in medians.iter_rows()}
    assert member.n_trees > 20


def test_model_has_the_interface_of_every_other(single, toy, toy_rows):
    model = single.calibrated.model
    probability = model.predict_proba(toy_rows)
    assert probability.shape == (toy_rows.height, 3)
    np.testing.assert_allclose(probability.sum(axis=1), 1)
    assert model.member_proba(toy_rows).shape == (toy_rows.height, 1, 3)
    assert (model.predict_std(toy_rows) == 0).all()
    batch = load_model(toy.paths("b000")["model"])
    assert model.features == batch.features
    assert (model.classes, model.scores) == (batch.classes, batch.scores)


def test_it_is_better_than_the_base_scores(held_out):
    codes = held_out["label"].replace_strict(CLASSES, range(3)).to_numpy()
    base = held_out.select(f"score_{name}" for name in CLASSES).to_numpy()
    losses = [
        np.average(-np.log(p[np.arange(len(codes)), codes]), weights=held_out["weight"])
        for p in (scores(held_out), base)
    ]
    assert losses[0] < losses[1] - 0.1
