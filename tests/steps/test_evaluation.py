"""Steps that judge models on groups that nobody trained on: unseen groups, and files as asked."""

from dataclasses import replace

import numpy as np
import polars as pl
import pyarrow as pa
import pytest

from genebatch.cli import main
from genebatch.dataset.row_file import RowFile
from genebatch.evaluation.systems import Compared, predict_rows
from genebatch.evaluation.test_groups import judge
from genebatch.io.files import InputError, read_json, write_json
from genebatch.io.tables import read_tsv
from genebatch.model.archive import load_model
from genebatch.model.combiners import COMBINERS
from genebatch.steps import evaluation as steps
from tests.builders.held_out_scores import BASE, MEMBERS, ROWS, WEIGHT, held_out, write
from tests.builders.tables_and_figures import is_picture

CLASSES = ["neither", "donor", "acceptor"]
COMBINED = [name for name in COMBINERS if name != "routed"]


def evaluated(run, folder, **changes):
    """Evaluate a run from other files; gives the files."""
    names = ("metrics.tsv", "systems.tsv", "comparison.tsv", "corrections.tsv")
    outputs = {name.split(".")[0]: folder / name for name in (*names, "predictions.parquet")}
    files = {name: run.ensemble_files[name] for name in ("ensemble", "combiners")}
    given = {"rows": run.folder / "rows" / "test.arrow", **run.chosen("model"), **files}
    steps.evaluate(**given | changes, evaluation=run.settings.evaluation, threads=1, **outputs)
    return outputs


# Test groups


@pytest.fixture(scope="module")
def alone(toy):
    """Two of the batches stand for the models that the final one could have been."""
    return {"single": toy.paths("b000")["model"], "distilled": toy.paths("b001")["model"]}


def test_files_are_the_tables_of_the_judgement(toy, alone, tmp_path):
    outputs = evaluated(toy, tmp_path, **alone)
    compared = Compared(
        load_model(toy.paths()["model"]),
        load_model(toy.ensemble_files["ensemble"]),
        read_json(toy.ensemble_files["combiners"])["combiners"],
        {name: load_model(path) for name, path in alone.items()},
    )
    rows = RowFile.open(toy.folder / "rows" / "test.arrow")
    tables = judge(compared, predict_rows(compared, rows.frames()), toy.settings.evaluation)
    assert pl.read_parquet(outputs["predictions"]).equals(tables.predictions)
    for name in ("metrics", "systems", "comparison", "corrections"):
        table = getattr(tables, name)
        table.write_csv(tmp_path / "expected.tsv", separator="\t")
        assert outputs[name].read_text() == (tmp_path / "expected.tsv").read_text(), name
    models = {"base", "model", "member b000", "member b001", *COMBINED, *alone}
    assert set(read_tsv(outputs["metrics"])["system"]) == models


def test_prevalence_of_the_final_model_is_that_of_every_other(toy, alone, tmp_path):
    """So that differences between models are no differences between prevalences."""
    share = {"neither": 0.98, "donor": 0.01, "acceptor": 0.01}
    model = replace(load_model(toy.paths()["model"]), prevalence=share)
    model.save(tmp_path / "model.gbm")
    outputs = evaluated(toy, tmp_path / "out", model=tmp_path / "model.gbm", **alone)
    metrics = read_tsv(outputs["metrics"])
    single = replace(load_model(alone["single"]), prevalence=share)
    rows = pl.concat(
        part.features for part in RowFile.open(toy.folder / "rows/test.arrow").frames()
    )
    labels = pl.read_parquet(outputs["predictions"])["label"]
    codes = labels.replace_strict(CLASSES, range(3)).to_numpy()
    probability = single.frame_predictions(rows).probability
    loss = -np.log(probability[np.arange(len(codes)), codes]).mean()
    line = metrics.filter(system="single", metric="log_loss", weighted=False)
    assert line.filter(pl.col("class") == "all")["value"].item() == pytest.approx(loss, rel=1e-5)
    values = {
        name: metrics.filter(system=name, metric="log_loss")["value"].to_list()
        for name in ("model", "log_odds")
    }
    assert values["model"] == pytest.approx(values["log_odds"], rel=1e-5)


def test_a_class_without_weight_in_test_groups_has_a_reason_for_every_missing_value(toy, tmp_path):
    with pa.OSFile(str(toy.folder / "rows" / "test.arrow")) as source:
        stored = pa.ipc.open_file(source).read_all()
    place = stored.schema.names.index("weight")
    weights = pl.Series(stored["label"]).ne(CLASSES.index("donor")).cast(pl.Float64)
    stored = stored.set_column(place, "weight", weights.to_arrow())
    with pa.ipc.new_file(str(tmp_path / "test.arrow"), stored.schema) as writer:
        writer.write_table(stored)
    metrics = read_tsv(evaluated(toy, tmp_path, rows=tmp_path / "test.arrow")["metrics"])
    donors = metrics.filter((pl.col("class") == "donor") & pl.col("weighted"))
    told = donors.filter(pl.col("metric").is_in(["average_precision", "auc", "f1"]))
    assert told["value"].null_count() == told.height > 0
    assert set(told["reason"]) == {"no positive rows with a weight above zero"}
    assert metrics.filter(pl.col("value").is_null() & pl.col("reason").is_null()).is_empty()


@pytest.mark.parametrize(
    ("key", "member", "message"),
    [
        ("model", 0, "the model: member b000 was trained on 1"),
        ("model", 1, "the model: member b001 was trained on 1"),
        ("ensemble", 1, "the ensemble: member b001 was trained on 1"),
        ("single", 0, "single: member b000 was trained on 1"),
        ("distilled", 0, "distilled: member b001 was trained on 1"),
    ],
)
def test_model_that_saw_a_test_group_is_refused(toy, alone, tmp_path, key, member, message):
    paths = toy.chosen("model") | {"ensemble": toy.ensemble_files["ensemble"]} | alone
    model = load_model(paths[key])
    tested = toy.test_groups[0]
    members = list(model.members)
    members[member] = members[member]._replace(groups=(*members[member].groups, tested))
    replace(model, members=tuple(members)).save(tmp_path / "model.gbm")
    with pytest.raises(InputError, match=f"{message} .*'{tested}'"):
        evaluated(toy, tmp_path / "out", **{key: tmp_path / "model.gbm"})
    assert not (tmp_path / "out").exists()


def test_combiners_of_other_members_are_refused(toy, tmp_path):
    known = read_json(toy.ensemble_files["combiners"]) | {"members": ["b000", "b007"]}
    write_json(tmp_path / "combiners.json", known)
    with pytest.raises(InputError, match=r"combiners\.json is not of the members of .*delete"):
        evaluated(toy, tmp_path / "out", combiners=tmp_path / "combiners.json")
    assert not (tmp_path / "out").exists()


# Training groups


def test_every_combiner_and_every_other_candidate_is_judged_on_training_groups(toy, tmp_path):
    rows = pl.read_parquet(toy.ensemble_files["combined"])
    perfect = [
        pl.Series(f"single:{name}", np.where(rows["label"] == name, 0.98, 0.01)) for name in CLASSES
    ]
    known = rows.select("group", "label", "weight", pl.col("^score_.*$"))
    known.hstack(perfect).write_parquet(tmp_path / "single.parquet")
    files = {name: toy.ensemble_files[name] for name in ("ensemble", "combiners", "combined")}
    steps.estimate(
        **files,
        evaluation=toy.settings.evaluation,
        table=tmp_path / "estimate.tsv",
        single_held_out=tmp_path / "single.parquet",
    )
    table = read_tsv(tmp_path / "estimate.tsv")
    assert set(table["system"]) == {"base", *COMBINED, "single"}
    best = table.filter(system="single", metric="average_precision", weighted=True)
    assert best.filter(pl.col("class") == "donor")["value"].item() == 1


# Ranks


def ranked(folder, tables, combiner="log_odds", **changes):
    paths = write(folder, tables)
    given = {"scores": paths["cross_batch"], "combined": paths["combined"], "combiner": combiner}
    return steps.rank_groups(**given | changes)


def test_ranks_and_figure_are_written(tmp_path):
    tables = held_out(ROWS, MEMBERS, weight=WEIGHT, base=BASE)
    files = {"ranks": tmp_path / "ranks.tsv", "figure": tmp_path / "ranks.png"}
    result = ranked(tmp_path, tables, **files)
    written = read_tsv(files["ranks"])
    assert written["group"].to_list() == ["wrong", "split", "easy"]
    assert written.columns == result.table.columns
    assert is_picture(files["figure"])


def test_groups_are_ranked_by_the_combiner_that_is_named(tmp_path):
    """Voting says .5 of every row, so each costs log 2."""
    table = ranked(tmp_path, held_out(ROWS, MEMBERS), "voting").table
    assert table["mean_log_loss"].to_list() == pytest.approx([np.log(2)] * 3)


def test_features_of_groups_give_the_ambiguity_of_similar_ones(tmp_path):
    features = tmp_path / "group_features.parquet"
    names = ["split", "wrong", "easy"]
    pl.DataFrame({"group": names, "place": [0.0, 1.0, 2.0]}).write_parquet(features)
    table = ranked(tmp_path, held_out(ROWS, MEMBERS), group_features=features).table
    assert table["similar_ambiguity"].null_count() == 0


@pytest.fixture
def planned(tmp_path):
    """A plan with a group that has no scores."""
    groups = {"group": ["split", "wrong", "easy", "new"], "batch": ["b000"] * 4}
    path = tmp_path / "batches" / "groups.parquet"
    path.parent.mkdir()
    pl.DataFrame(groups | {"rows": [2, 1, 2, 6]}).write_parquet(path)
    return path


def test_groups_without_scores_are_named(tmp_path, planned):
    files = {"ranks": tmp_path / "ranks.tsv", "figure": tmp_path / "ranks.png"}
    ranked(tmp_path, held_out(ROWS, MEMBERS), planned=planned, **files)
    written = read_tsv(files["ranks"])
    assert written["group"].to_list() == ["wrong", "split", "easy", "new"]
    assert written["rank"].to_list() == [1, 2, 3, None]
    assert written.row(3, named=True)["reason"].startswith("not scored by all members")
    assert is_picture(files["figure"])


def test_missing_scores_name_what_makes_them(tmp_path):
    paths = {"scores": tmp_path / "cross_batch.parquet", "combined": tmp_path / "combined.parquet"}
    with pytest.raises(
        InputError, match=r"cross_batch\.parquet does not exist; run the workflow again"
    ):
        steps.rank_groups(**paths, combiner="log_odds")


# The command that ranks genes


def test_combiner_is_that_of_the_ensemble_unless_named(toy, tmp_path):
    write(tmp_path, held_out(ROWS, MEMBERS))
    ranks = tmp_path / "ranks.tsv"
    arguments = ["rank-genes", str(tmp_path), "-o", str(ranks)]
    combiner = {"name": "voting", "parameters": {}}
    ensemble = replace(load_model(toy.ensemble_files["ensemble"]), combiner=combiner)
    ensemble.save(tmp_path / "ensemble" / "model.gbm")
    assert main(arguments) == 0
    assert read_tsv(ranks)["mean_log_loss"].to_list() == pytest.approx([np.log(2)] * 3)
    (tmp_path / "ensemble" / "model.gbm").unlink()
    assert main([*arguments, "--combiner=log_odds"]) == 0
    table = read_tsv(ranks)
    wrong = table.filter(group="wrong")["log_loss"].item()
    assert wrong == pytest.approx(-np.log(0.1), rel=1e-6)


def test_command_writes_table_and_figure_and_prints_the_first(tmp_path, capsys):
    write(tmp_path, held_out(ROWS, MEMBERS, weight=WEIGHT, base=BASE))
    ranks, figure = tmp_path / "ranks.tsv", tmp_path / "ranks.png"
    arguments = ["rank-genes", tmp_path, "-o", ranks, "--figure", figure, "--combiner=log_odds"]
    assert main([str(part) for part in arguments] + ["--top=2"]) == 0
    assert read_tsv(ranks)["group"].to_list() == ["wrong", "split", "easy"]
    assert is_picture(figure)
    said = capsys.readouterr().out
    assert "split" in said
    assert "easy" not in said
    assert "3 groups by weighted_log_loss, 2 members" in said


@pytest.mark.usefixtures("planned")
def test_command_counts_groups_without_scores(tmp_path, capsys):
    write(tmp_path, held_out(ROWS, MEMBERS))
    assert main(["rank-genes", str(tmp_path), "--combiner=log_odds"]) == 0
    assert "3 of 4 groups by log_loss, 2 members" in capsys.readouterr().out


def test_command_says_what_makes_a_missing_file(tmp_path, capsys):
    assert main(["rank-genes", str(tmp_path)]) == 1
    said = capsys.readouterr().err
    assert "cross_batch.parquet does not exist; run the workflow again" in said
