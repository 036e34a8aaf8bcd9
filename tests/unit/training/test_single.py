"""What training.single promises: one model of all training rows, judged on unseen groups."""

from typing import NamedTuple

import numpy as np
import polars as pl
import pytest

from genebatch.io.files import InputError
from genebatch.model.archive import load_model
from genebatch.model.origin import training_settings
from genebatch.training.batch import load_all
from genebatch.training.cross_validation import CrossValidation, cross_validate
from genebatch.training.recipe import Calibrated, calibrate
from genebatch.training.single import held_out_table, scored_rows, train_alone
from tests.builders.toy_run import shuffled_labels

CLASSES = ["neither", "donor", "acceptor"]


class Single(NamedTuple):
    """The single model of a run: its cross-validation, its scored rows, the calibrated model."""

    folds: CrossValidation
    scored: pl.DataFrame
    calibrated: Calibrated


def trained(run):
    """The model of all rows; calibrators are identities, so scores are those of the boosters."""
    cv, learner = run.settings.cv, run.settings.learner
    data = load_all(run.opened(), learner)
    folds = cross_validate(data, cv, learner)
    parts = {number: folds.out_of_fold.filter(fold=number) for number in range(cv.n_splits)}
    scored = scored_rows(data, parts, cv)
    boosted = train_alone(data, folds.folds, learner)
    settings = training_settings(learner, cv)
    done = calibrate(boosted, scored, "identity", learner.use_weights, settings)
    return Single(folds, scored, done)


def table_of(single):
    return held_out_table("single", single.scored, single.calibrated)


@pytest.fixture(scope="module")
def data(toy):
    return load_all(toy.opened(), toy.settings.learner)


@pytest.fixture(scope="module")
def parts(single):
    """Out-of-fold rows by fold."""
    rows = single.folds.out_of_fold
    return {number: rows.filter(fold=number) for number in range(3)}


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
    assert np.isnan(model.predict_std(toy_rows)).all()
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


# Some folds


def test_folds_on_their_own_are_those_of_the_whole(toy, data, single, parts):
    alone = cross_validate(data, toy.settings.cv, toy.settings.learner, [2])
    assert alone.out_of_fold.equals(parts[2])
    assert alone.folds.equals(single.folds.folds.filter(fold=2))
    assert [member.name for member in alone.members] == ["fold2"]


def test_rows_of_folds_come_together_in_the_order_of_the_data_set(toy, data, single, parts):
    cv = toy.settings.cv
    rows = scored_rows(data, parts, cv)
    held_out = pl.read_parquet(toy.ensemble_files["scores"])
    assert rows.select(data.rows.columns).equals(held_out.select(data.rows.columns))
    for number, part in parts.items():
        own = rows.filter(fold=number)
        assert own.sort("group", "position").equals(part.sort("group", "position"))
    two = scored_rows(data, {number: parts[number] for number in (2, 0)}, cv)
    assert two.equals(rows.filter(pl.col("fold") != 1))


def test_groups_of_one_fold_are_dealt_anew_for_cross_fits(toy, data, single, parts):
    rows = scored_rows(data, {1: parts[1]}, toy.settings.cv)
    assert rows.drop("fold").equals(single.scored.filter(fold=1).drop("fold"))
    assert set(rows["fold"]) == {0, 1, 2}
    assert (rows.group_by("group").agg(pl.col("fold").n_unique())["fold"] == 1).all()


def test_scores_of_other_rows_are_refused(toy, data, parts):
    with pytest.raises(InputError, match="scores of fold 1 of the single model are of other rows"):
        scored_rows(data, {1: parts[1].reverse()}, toy.settings.cv)
    with pytest.raises(InputError, match="fold 0 of the single model"):
        scored_rows(data, {0: parts[0][1:]}, toy.settings.cv)


def test_a_fold_of_one_group_cannot_teach_calibrators(toy, data, parts):
    group = data.rows["group"][0]
    one = data.rows["group"] == group
    rows = data.rows.with_columns(fold=pl.when(one).then(7).otherwise(pl.col("fold")))
    part = rows.filter(one).with_columns(pl.lit(0.5).alias(n) for n in parts[0].columns[-3:])
    with pytest.raises(InputError, match=rf"one group, '{group}'.*single.n_splits"):
        scored_rows(data._replace(rows=rows), {7: part}, toy.settings.cv)
