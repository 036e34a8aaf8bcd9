"""What genebatch.distillation promises: a student as good as its teachers on unseen genes."""

import logging
import shutil
from dataclasses import replace

import numpy as np
import polars as pl
import pytest

from genebatch.ensemble.candidates import Candidate, compare_candidates
from genebatch.ensemble.distillation import distil
from genebatch.io.files import InputError, read_json
from genebatch.io.tables import read_tsv
from genebatch.model.archive import load_model
from genebatch.model.combiners import mean_log_loss

CLASSES = ["neither", "donor", "acceptor"]
MEMBERS = ["b000", "b001"]
WORSE_AT_MOST = 0.02  # nats of mean log loss on unseen genes, where the ensemble has some 0.4
PLAIN = {"method": "identity"}  # so that scores are those of the boosters alone


def taught(run, folder, mixes=(0.5, 1.0), calibration=None, **changes):
    """Run the rule with other inputs; gives its files."""
    config = run.config
    names = {"model": "model.gbm", "honest": "honest.parquet", "mixes": "mixes.tsv"}
    names["calibration"] = "calibration.json"
    outputs = {key: folder / name for key, name in names.items()}
    distil(
        run.paths() | run.ensemble_files | changes,
        config["dataset"],
        config["cv"],
        config["learner"],
        calibration or config["calibration"],
        config["ensemble"] | {"distil_mix": list(mixes)},
        outputs,
    )
    return outputs


@pytest.fixture(scope="module")
def files(toy, tmp_path_factory):
    return taught(toy, tmp_path_factory.mktemp("distilled"))


@pytest.fixture(scope="module")
def plain(toy, tmp_path_factory):
    """The honest table of one mix without calibration."""
    return honest_of(taught(toy, tmp_path_factory.mktemp("plain"), [0.5], PLAIN))


@pytest.fixture(scope="module")
def unseen(make_toy_rows):
    """Genes of another draw, with as much signal, and their classes."""
    rows = make_toy_rows(n_groups=60, seed=5)
    label = rows["splice_type"].fill_null("neither")
    return rows, label.replace_strict(CLASSES, range(3)).to_numpy()


def honest_of(outputs):
    return pl.read_parquet(outputs["honest"])


def scores(table):
    return table.select(f"distilled:{name}" for name in CLASSES).to_numpy()


def held_by(run, batch):
    plan = pl.read_parquet(run.paths()["plan"]).filter(~pl.col("test"))
    return plan.filter(pl.col("batch") == batch)["group"].implode()


# What the student is worth


def test_student_says_what_the_ensemble_says_on_unseen_genes(toy, files, unseen):
    rows, codes = unseen
    ensemble, student = (
        load_model(path).predict_proba(rows)
        for path in (toy.ensemble_files["ensemble"], files["model"])
    )
    weight = np.ones(len(codes))
    losses = [mean_log_loss(p, codes, weight) for p in (student, ensemble)]
    assert losses[0] < losses[1] + WORSE_AT_MOST
    base = rows.select(f"{name}_score" for name in CLASSES).to_numpy()
    assert losses[0] < mean_log_loss(base, codes, weight) - 5 * WORSE_AT_MOST
    assert np.abs(student - ensemble).mean() < 0.05


def test_student_asks_fewer_trees_than_the_ensemble(toy, files):
    (student,) = load_model(files["model"]).members
    ensemble = load_model(toy.ensemble_files["ensemble"])
    assert 0 < student.n_trees < sum(member.n_trees for member in ensemble.members)


def test_student_is_one_member_that_knows_its_teachers(toy, files):
    (student,) = load_model(files["model"]).members
    assert student.name == "distilled"
    assert student.facts["teachers"] == MEMBERS
    chosen = read_tsv(files["mixes"]).filter("chosen")["mix"].item()
    assert student.facts["mix"] == chosen
    tested = set(pl.read_csv(toy.paths()["test_groups"], separator="\t")["group"])
    everything = set(pl.read_parquet(toy.paths()["genes"])["group"])
    assert set(student.groups) == everything - tested
    assert set(read_json(files["calibration"])["classes"]) == set(CLASSES)


def test_mix_of_lowest_loss_on_the_parts_left_out_is_chosen(toy, files, tmp_path):
    table = read_tsv(files["mixes"])
    assert table["mix"].to_list() == [0.5, 1.0]
    assert table.filter("chosen")["log_loss"].item() == table["log_loss"].min()
    for mix, loss in table.select("mix", "log_loss").iter_rows():
        rows = honest_of(taught(toy, tmp_path / str(mix), [mix], PLAIN))
        codes = rows["label"].replace_strict(CLASSES, range(3)).to_numpy()
        found = mean_log_loss(scores(rows), codes, rows["weight"].to_numpy())
        assert found == pytest.approx(loss, rel=1e-5)


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
    own = toy_rows["gene_id"].is_in(groups).to_numpy()
    labels = np.array(toy_rows["splice_type"].to_list(), dtype=object)
    labels[own] = np.random.default_rng(1).permutation(labels[own])
    rows = toy_rows.with_columns(pl.Series("splice_type", labels.tolist(), dtype=pl.String))
    run = new_run(tmp_path)
    run.write(rows)
    run.analyze()
    for name in ("features.json", "plan.parquet"):
        shutil.copy(toy.folder / name, run.folder / name)
    shutil.copytree(toy.folder / "ensemble", run.folder / "ensemble")
    known = rows.select(
        group="gene_id", position="position", new=pl.col("splice_type").fill_null("neither")
    )
    honest = pl.read_parquet(toy.ensemble_files["scores"])
    honest = honest.join(known, on=["group", "position"], maintain_order="left")
    honest.with_columns(label="new").drop("new").write_parquet(run.ensemble_files["scores"])
    found = honest_of(taught(run, tmp_path / "out", [0.5], PLAIN))
    mine = plain["group"].is_in(groups).to_numpy()
    assert (found["label"] != plain["label"]).sum() > 50
    np.testing.assert_array_equal(scores(found)[mine], scores(plain)[mine])
    assert np.abs(scores(found)[~mine] - scores(plain)[~mine]).max() > 1e-3


@pytest.mark.parametrize("batch", MEMBERS)
def test_no_member_of_the_part_left_out_is_among_its_teachers(toy, plain, tmp_path, batch):
    rng = np.random.default_rng(0)
    honest = pl.read_parquet(toy.ensemble_files["scores"])
    noise = {
        f"{batch}:{name}": pl.Series(3 * rng.normal(size=honest.height), dtype=pl.Float32)
        for name in CLASSES
    }
    honest.with_columns(**noise).write_parquet(tmp_path / "scores.parquet")
    changed = taught(toy, tmp_path, [0.5], PLAIN, scores=tmp_path / "scores.parquet")
    found = honest_of(changed)
    mine = plain["group"].is_in(held_by(toy, batch)).to_numpy()
    np.testing.assert_array_equal(scores(found)[mine], scores(plain)[mine])
    assert np.abs(scores(found)[~mine] - scores(plain)[~mine]).max() > 1e-3


def test_groups_of_batches_in_two_parts_are_left_out_and_counted(lent, tmp_path, caplog):
    plan = pl.read_parquet(lent.paths()["plan"]).filter(~pl.col("test"))
    shared = plan.filter(pl.col("group").is_duplicated())["group"].unique()
    with caplog.at_level(logging.INFO):
        files = taught(lent, tmp_path, [1.0])
    honest = honest_of(files)
    assert set(honest["group"]) == set(plan["group"]) - set(shared)
    assert f"{len(shared)} groups of batches in two parts are not judged" in caplog.text
    candidates = [
        Candidate(name, load_model(model), path, system)
        for name, model, path, system in (
            (
                "ensemble",
                lent.ensemble_files["ensemble"],
                lent.ensemble_files["combined"],
                "log_odds",
            ),
            ("distilled", files["model"], files["honest"], "distilled"),
        )
    ]
    table = compare_candidates(candidates, "best")
    assert table["groups"].to_list() == [honest["group"].n_unique()] * 2
    assert table["rows"].to_list() == [honest.height] * 2
    (student,) = load_model(files["model"]).members
    assert set(student.groups) == set(plan["group"])  # it learns from them all the same


# What cannot be


def test_one_batch_is_no_teacher_of_another(toy, tmp_path):
    ensemble = load_model(toy.ensemble_files["ensemble"])
    replace(ensemble, members=ensemble.members[:1]).save(tmp_path / "one.gbm")
    with pytest.raises(
        InputError, match=r"two batches or more.*ensemble\.rivals.*batching\.max_genes"
    ):
        taught(toy, tmp_path / "out", ensemble=tmp_path / "one.gbm")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("key", ["scores", "combined"])
def test_tables_of_other_rows_are_refused(toy, tmp_path, key):
    rows = pl.read_parquet(toy.ensemble_files[key])
    pl.concat([rows[60:], rows[:60]]).write_parquet(tmp_path / "other.parquet")
    with pytest.raises(InputError, match=r"other\.parquet is not of the rows of the data set"):
        taught(toy, tmp_path / "out", [1.0], **{key: tmp_path / "other.parquet"})
