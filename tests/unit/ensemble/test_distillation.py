"""What ensemble.distillation promises: a student as good as its teachers on unseen genes."""

import logging
from dataclasses import replace

import numpy as np
import polars as pl
import pytest

from genebatch.ensemble.candidates import Candidate, compare_candidates
from genebatch.ensemble.distillation import (
    Teacher,
    distil_ensemble,
    groups_by_batch,
    refuse_one_batch,
)
from genebatch.io.files import InputError
from genebatch.model.archive import load_model
from genebatch.model.combiners import mean_log_loss, to_probabilities
from genebatch.training.batch import load_all
from genebatch.training.recipe import as_model, calibrate
from genebatch.training.single import held_out_table
from tests.builders.toy_run import shuffled_labels

CLASSES = ["neither", "donor", "acceptor"]
MEMBERS = ["b000", "b001"]
WORSE_AT_MOST = 0.02  # nats of mean log loss on unseen genes, where the ensemble has some 0.4


def teacher_of(run, **changes):
    """The ensemble of a run as a teacher, other files in place of its own."""
    files = run.ensemble_files | changes
    model = load_model(files["ensemble"])
    return Teacher(model, files["scores"], files["combined"], groups_by_batch(run.opened()))


def taught(run, mixes=(0.5, 1.0), **changes):
    """The student of a run."""
    settings = run.settings
    data = load_all(run.opened(), settings.learner)
    combining = replace(settings.ensemble, distil_mix=tuple(mixes))
    teacher = teacher_of(run, **changes)
    return distil_ensemble(teacher, data, combining, settings.cv, settings.learner)


def calibrated(run, student):
    """The student as a model, and its cross-fitted probabilities."""
    settings = run.settings
    alone = as_model(load_all(run.opened(), settings.learner), settings.learner, [student.member])
    method = settings.calibration.method
    return calibrate(alone, student.held_out, method, settings.learner.use_weights, {})


@pytest.fixture(scope="module")
def student(toy):
    return taught(toy)


@pytest.fixture(scope="module")
def plain(toy):
    """The held-out rows of a student of one mix."""
    return taught(toy, [0.5]).held_out


@pytest.fixture(scope="module")
def unseen(make_toy_rows):
    """Genes of another draw, with as much signal, and their classes."""
    rows = make_toy_rows(n_groups=60, seed=5)
    label = rows["splice_type"].fill_null("neither")
    return rows, label.replace_strict(CLASSES, range(3)).to_numpy()


def scores(table):
    """Probabilities of the boosters, not calibrated."""
    margins = table.select(f"margin_{name}" for name in CLASSES).to_numpy()
    return to_probabilities(margins.astype(float))


def held_by(run, batch):
    return run.plan_lines.filter(pl.col("batch") == batch)["group"].implode()


# What the student is worth


def test_student_says_what_the_ensemble_says_on_unseen_genes(toy, student, unseen):
    rows, codes = unseen
    ensemble = load_model(toy.ensemble_files["ensemble"]).predict_proba(rows)
    own = calibrated(toy, student).model.predict_proba(rows)
    weight = np.ones(len(codes))
    losses = [mean_log_loss(p, codes, weight) for p in (own, ensemble)]
    assert losses[0] < losses[1] + WORSE_AT_MOST
    base = rows.select(f"{name}_score" for name in CLASSES).to_numpy()
    assert losses[0] < mean_log_loss(base, codes, weight) - 5 * WORSE_AT_MOST
    assert np.abs(own - ensemble).mean() < 0.05


def test_student_asks_fewer_trees_than_the_ensemble(toy, student):
    ensemble = load_model(toy.ensemble_files["ensemble"])
    assert 0 < student.member.n_trees < sum(member.n_trees for member in ensemble.members)


def test_student_is_one_member_that_knows_its_teachers(toy, student):
    member = student.member
    assert member.name == "distilled"
    assert member.facts["teachers"] == MEMBERS
    assert member.facts["mix"] == student.mixes.filter("chosen")["mix"].item()
    everything = set(pl.read_parquet(toy.paths()["groups"])["group"])
    assert set(member.groups) == everything - set(toy.test_groups)


def test_mix_of_lowest_loss_on_the_parts_left_out_is_chosen(toy, student):
    table = student.mixes
    assert table["mix"].to_list() == [0.5, 1.0]
    assert table.filter("chosen")["log_loss"].item() == table["log_loss"].min()
    for mix, loss in table.select("mix", "log_loss").iter_rows():
        rows = taught(toy, [mix]).held_out
        codes = rows["label"].replace_strict(CLASSES, range(3)).to_numpy()
        own = mean_log_loss(scores(rows), codes, rows["weight"].to_numpy())
        assert own == pytest.approx(loss, rel=1e-5)


# Rows that neither student nor teacher has seen


def test_every_training_row_is_judged_by_a_student_without_its_batch(toy, plain):
    rows = pl.read_parquet(toy.ensemble_files["scores"])
    assert plain.select("group", "position").equals(rows.select("group", "position"))
    parts = plain.group_by("group").agg(pl.col("fold").unique())
    for batch in MEMBERS:
        own = parts.filter(pl.col("group").is_in(held_by(toy, batch)))
        assert own["fold"].explode().n_unique() == 1
    np.testing.assert_allclose(scores(plain).sum(axis=1), 1, atol=1e-6)


@pytest.mark.parametrize("batch", MEMBERS)
def test_labels_of_the_part_left_out_do_not_change_its_scores(
    new_run, toy, toy_rows, plain, tmp_path, batch
):
    groups = held_by(toy, batch)
    rows = shuffled_labels(toy_rows, groups.item())
    run = new_run(tmp_path)
    run.write(rows)
    run.analyze()
    run.take_plan(toy)
    known = rows.select(
        group="gene_id", position="position", new=pl.col("splice_type").fill_null("neither")
    )
    held_out = pl.read_parquet(toy.ensemble_files["scores"])
    held_out = held_out.join(known, on=["group", "position"], maintain_order="left")
    path = tmp_path / "scores.parquet"
    held_out.with_columns(label="new").drop("new").write_parquet(path)
    changed = taught(run, [0.5], **toy.ensemble_files | {"scores": path}).held_out
    mine = plain["group"].is_in(groups).to_numpy()
    assert (changed["label"] != plain["label"]).sum() > 50
    np.testing.assert_array_equal(scores(changed)[mine], scores(plain)[mine])
    assert np.abs(scores(changed)[~mine] - scores(plain)[~mine]).max() > 1e-3


@pytest.mark.parametrize("batch", MEMBERS)
def test_no_member_of_the_part_left_out_is_among_its_teachers(toy, plain, tmp_path, batch):
    rng = np.random.default_rng(0)
    held_out = pl.read_parquet(toy.ensemble_files["scores"])
    noise = {
        f"{batch}:{name}": pl.Series(3 * rng.normal(size=held_out.height), dtype=pl.Float32)
        for name in CLASSES
    }
    held_out.with_columns(**noise).write_parquet(tmp_path / "scores.parquet")
    changed = taught(toy, [0.5], scores=tmp_path / "scores.parquet").held_out
    mine = plain["group"].is_in(held_by(toy, batch)).to_numpy()
    np.testing.assert_array_equal(scores(changed)[mine], scores(plain)[mine])
    assert np.abs(scores(changed)[~mine] - scores(plain)[~mine]).max() > 1e-3


def test_groups_of_batches_in_two_parts_are_left_out_and_counted(lent, tmp_path, caplog):
    plan = lent.plan_lines
    shared = plan.filter(pl.col("group").is_duplicated())["group"].unique()
    with caplog.at_level(logging.INFO):
        student = taught(lent, [1.0])
    held_out = student.held_out
    assert set(held_out["group"]) == set(plan["group"]) - set(shared)
    assert f"{len(shared)} groups of batches in two parts are not judged" in caplog.text
    own = calibrated(lent, student)
    held_out_table("distilled", held_out, own).write_parquet(tmp_path / "distilled.parquet")
    ensemble = load_model(lent.ensemble_files["ensemble"])
    candidates = [
        Candidate("ensemble", ensemble, lent.ensemble_files["combined"], "log_odds"),
        Candidate("distilled", own.model, tmp_path / "distilled.parquet", "distilled"),
    ]
    table = compare_candidates(candidates, "best")
    assert table["groups"].to_list() == [held_out["group"].n_unique()] * 2
    assert table["rows"].to_list() == [held_out.height] * 2
    # The student learns from them all the same.
    assert set(student.member.groups) == set(plan["group"])


# What cannot be


def test_one_batch_is_no_teacher_of_another(toy):
    ensemble = load_model(toy.ensemble_files["ensemble"])
    refuse_one_batch(ensemble)
    with pytest.raises(
        InputError, match=r"two batches or more.*ensemble\.rivals.*batching\.max_groups"
    ):
        refuse_one_batch(replace(ensemble, members=ensemble.members[:1]))


@pytest.mark.parametrize("key", ["scores", "combined"])
def test_tables_of_other_rows_are_refused(toy, tmp_path, key):
    rows = pl.read_parquet(toy.ensemble_files[key])
    pl.concat([rows[60:], rows[:60]]).write_parquet(tmp_path / "other.parquet")
    with pytest.raises(InputError, match=r"other\.parquet is not of the rows of the data set"):
        taught(toy, [1.0], **{key: tmp_path / "other.parquet"})
