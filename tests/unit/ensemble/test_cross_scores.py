"""What genebatch.cross_batch promises: no score of a row by boosters that saw its group."""

from dataclasses import replace

import numpy as np
import polars as pl
import pytest
from scipy.special import logit

from genebatch.config.settings import Learner
from genebatch.ensemble import combining
from genebatch.ensemble import cross_scores as cross_batch
from genebatch.ensemble.cross_scores import cross_batch_scores
from genebatch.io import tables
from genebatch.io.files import InputError, read_json, write_json
from genebatch.model import boosting
from genebatch.model.archive import load_model
from genebatch.model.calibration import CALIBRATORS, Calibrator
from genebatch.model.combiners import to_probabilities
from genebatch.model.ensemble import EnsembleModel
from genebatch.training.batch import load_batch

CLASSES = ["neither", "donor", "acceptor"]
MEMBERS = ["b000", "b001"]


def scored(run, out, **changes):
    """The honest table of a run with other inputs."""
    inputs = run.plan_files() | run.batch_lists() | changes
    cross_batch_scores(inputs, run.config["dataset"], True, 1, out)
    return pl.read_parquet(out)


@pytest.fixture(scope="module")
def table(toy):
    return pl.read_parquet(toy.ensemble_files["scores"])


@pytest.fixture(scope="module")
def shared(lent):
    """Groups that both batches hold."""
    plan = pl.read_parquet(lent.paths()["plan"]).filter(~pl.col("test"))
    found = plan.group_by("group").len().filter(pl.col("len") == 2)["group"].to_list()
    assert len(found) > 2
    return found


def methods(run, batch):
    """How each class of a batch is calibrated."""
    return [c.method for c in load_model(run.paths(batch)["model"]).members[0].calibrators]


def by_hand(run, batch, chosen=None):
    """Out-of-fold log-odds of a batch, calibrated by a fit on its other folds."""
    rows = pl.read_parquet(run.paths(batch)["out_of_fold"])
    fold, weight = rows["fold"].to_numpy(), rows["weight"].to_numpy()
    columns = {}
    for name, method in zip(CLASSES, chosen or methods(run, batch), strict=True):
        margin = rows[f"margin_{name}"].to_numpy().astype(float)
        y = (rows["label"] == name).to_numpy()
        found = np.empty(len(margin))
        for number in range(3):
            rest = fold != number
            fitted = CALIBRATORS[method](margin[rest], y[rest], weight[rest])
            found[~rest] = logit(fitted.apply(margin[~rest]))
        columns[f"{batch}:{name}"] = found
    return rows.select("group", "position").with_columns(
        **{name: pl.Series(values, dtype=pl.Float32) for name, values in columns.items()}
    )


def close(found, expected, keys=("group", "position")):
    """Compare the columns of `expected` on its rows."""
    joined = expected.select(keys).join(found, on=keys, how="left", maintain_order="left")
    names = [name for name in expected.columns if name not in keys]
    np.testing.assert_allclose(
        joined.select(names).to_numpy(), expected.select(names).to_numpy(), rtol=1e-5, atol=1e-6
    )


# Every training row, once


def test_rows_are_every_training_row_in_the_order_of_the_shards(toy, toy_rows, table):
    shards = sorted((toy.folder / "data").glob("*.parquet"))
    rows = pl.concat(pl.read_parquet(path) for path in shards)
    tested = pl.read_csv(toy.paths()["test_groups"], separator="\t")["group"]
    expected = rows.filter(~pl.col("gene_id").is_in(tested.implode()))
    assert table.height == expected.height > 300
    assert table["group"].equals(expected["gene_id"], check_names=False)
    assert table["position"].equals(expected["position"], check_names=False)
    labels = expected["splice_type"].fill_null("neither")
    assert table["label"].equals(labels, check_names=False)


def test_columns_are_what_rows_are_and_the_scores_of_every_member(table):
    identity = ["group", "label", "position", "weight"]
    identity += [f"score_{name}" for name in CLASSES]
    scores = [f"{member}:{name}" for member in MEMBERS for name in CLASSES]
    assert set(table.columns) == {*identity, "batch", "fold", *scores}
    assert set(table.select(scores).dtypes) == {pl.Float32}
    assert table.select(scores).null_count().sum_horizontal().item() == 0


def test_batch_and_fold_are_those_of_the_plan(toy, table):
    plan = pl.read_parquet(toy.paths()["plan"]).filter(~pl.col("test"))
    held = table.group_by("group").agg(pl.col("batch").unique(), pl.col("fold").unique())
    joined = held.join(
        plan.select("group", pl.col("batch", "fold").name.prefix("planned_")), "group"
    )
    assert joined.height == plan.height
    assert (joined["batch"].list.len() == 1).all()
    assert joined["batch"].list.first().equals(joined["planned_batch"], check_names=False)
    assert (joined["fold"].list.first() == joined["planned_fold"]).all()


# Who scores which row


@pytest.mark.parametrize("batch", MEMBERS)
def test_own_batch_gives_its_out_of_fold_score(toy, table, batch):
    assert methods(toy, batch) == ["identity"] * 3
    close(table.filter(pl.col("batch") == batch), by_hand(toy, batch))


def test_own_scores_are_calibrated_by_fits_on_the_other_folds(toy, table, tmp_path):
    """The finished model's calibrator, fitted on all folds, is for other batches' rows."""
    model = load_model(toy.paths("b000")["model"])
    final = Calibrator("sigmoid", {"slope": 0.5, "intercept": 3.0})
    member = model.members[0]._replace(calibrators=(final,) * 3)
    replace(model, members=(member,)).save(tmp_path / "model.gbm")
    models = [tmp_path / "model.gbm", toy.paths("b001")["model"]]
    found = scored(toy, tmp_path / "scores.parquet", models=models)
    close(found.filter(pl.col("batch") == "b000"), by_hand(toy, "b000", ["sigmoid"] * 3))
    others = pl.col("batch") == "b001"
    columns = [f"b000:{name}" for name in CLASSES]
    before, after = (t.filter(others).select(columns).to_numpy() for t in (table, found))
    np.testing.assert_allclose(after, 0.5 * before + 3, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("batch", MEMBERS)
def test_other_batches_give_what_their_finished_model_says(toy, toy_rows, table, batch):
    rows = table.filter(pl.col("batch") != batch).select("group", "position")
    frame = rows.join(
        toy_rows, left_on=["group", "position"], right_on=["gene_id", "position"], how="left"
    )
    said = load_model(toy.paths(batch)["model"]).frame_log_odds(frame)[:, 0]
    columns = {f"{batch}:{name}": said[:, column] for column, name in enumerate(CLASSES)}
    close(table, rows.with_columns(**{k: pl.Series(v) for k, v in columns.items()}))


def test_group_of_two_batches_stands_once_and_neither_scores_it_by_its_final_model(lent, shared):
    table = pl.read_parquet(lent.ensemble_files["scores"])
    plan = pl.read_parquet(lent.paths()["plan"]).filter(~pl.col("test"))
    assert table.height == plan.unique("group")["rows"].sum() < plan["rows"].sum()
    assert table.select("group", "position").is_unique().all()
    own = table.filter(pl.col("group").is_in(shared))
    assert set(own["batch"]) == {"b000"}
    for batch in MEMBERS:
        close(own, by_hand(lent, batch).filter(pl.col("group").is_in(shared)))


# A leak


@pytest.fixture
def leaking(monkeypatch):
    """Finished models that know the labels of the groups they were trained on."""
    ask = EnsembleModel.frame_margins

    def margins(self, frame):
        found = ask(self, frame)
        label = frame["splice_type"].fill_null("neither")
        right = np.where(np.column_stack([label == name for name in CLASSES]), 15.0, -15.0)
        for number, member in enumerate(self.members):
            own = frame["gene_id"].is_in(list(member.groups)).to_numpy()
            found[own, number] = right[own]
        return found

    monkeypatch.setattr(EnsembleModel, "frame_margins", margins)


def learned(run, scores, folder):
    inputs = run.plan_files() | run.batch_lists() | {"scores": scores}
    names = {"model": "m.gbm", "combiners": "c.json", "combined": "c.parquet"}
    outputs = {key: folder / name for key, name in names.items()}
    combining.combine_batches(inputs, run.config["ensemble"], True, outputs)
    return read_json(outputs["combiners"])["combiners"]


def test_leak_in_the_own_batch_moves_no_weight(toy, table, leaking, tmp_path):
    found = scored(toy, tmp_path / "scores.parquet")
    assert found.equals(table)
    weights = learned(toy, tmp_path / "scores.parquet", tmp_path)
    assert weights == read_json(toy.ensemble_files["combiners"])["combiners"]


def test_leak_would_move_the_weights_if_batches_scored_their_own_rows(
    toy, leaking, monkeypatch, tmp_path
):
    """Else the promise above would be empty."""
    monkeypatch.setattr(cross_batch._OutOfFold, "put", lambda self, log_odds, groups: None)
    monkeypatch.setattr(cross_batch._OutOfFold, "check_end", lambda self: None)
    scored(toy, tmp_path / "scores.parquet")
    weights = learned(toy, tmp_path / "scores.parquet", tmp_path)
    before = read_json(toy.ensemble_files["combiners"])["combiners"]
    for name in ("weighted", "stacked"):
        assert not np.allclose(weights[name]["weights"], before[name]["weights"], atol=0.01), name


def test_boosters_fitted_to_their_own_groups_change_other_rows_alone(toy, table, tmp_path):
    model = load_model(toy.paths("b000")["model"])
    settings = toy.config["learner"] | {"max_depth": 8, "min_child_weight": 0.0, "lambda": 0.0}
    data = load_batch(toy.paths("b000"), "b000", toy.config["dataset"], settings)
    boosters = tuple(
        boosting.fit_trees(
            data.matrix,
            data.codes == column,
            data.weight,
            data.starts[name],
            60,
            Learner.build(settings),
        )
        for column, name in enumerate(CLASSES)
    )
    member = model.members[0]._replace(boosters=boosters)
    perfect = replace(model, members=(member,))
    perfect.save(tmp_path / "model.gbm")
    found = scored(
        toy,
        tmp_path / "scores.parquet",
        models=[tmp_path / "model.gbm", toy.paths("b001")["model"]],
    )
    rows = found.filter(pl.col("batch") == "b000")
    truth = rows["label"].replace_strict(CLASSES, range(3)).to_numpy()
    frame = pl.concat(pl.read_parquet(path) for path in (toy.folder / "data").glob("*.parquet"))
    frame = frame.filter(pl.col("gene_id").is_in(member.groups))
    own = frame["splice_type"].fill_null("neither").replace_strict(CLASSES, range(3)).to_numpy()
    said = to_probabilities(perfect.frame_log_odds(frame)[:, 0])
    assert (said.argmax(axis=1) == own).mean() > 0.99  # it does know its own groups
    columns = [f"b000:{name}" for name in CLASSES]
    assert (rows.select(columns).to_numpy().argmax(axis=1) == truth).mean() < 0.95
    assert rows.equals(table.filter(pl.col("batch") == "b000"))
    others = pl.col("batch") == "b001"
    assert not found.filter(others).select(columns).equals(table.filter(others).select(columns))


# What does not matter, and what does


def test_order_of_the_files_does_not_matter(toy, table, tmp_path):
    lists = {key: paths[::-1] for key, paths in toy.batch_lists().items()}
    assert scored(toy, tmp_path / "scores.parquet", **lists).equals(table)


def test_small_record_batches_give_the_same_table(toy, lent, monkeypatch, tmp_path):
    monkeypatch.setattr(tables, "BATCH_ROWS", 7)
    monkeypatch.setattr(cross_batch, "AHEAD_ROWS", 5)
    for run in (toy, lent):
        found = scored(run, tmp_path / "scores.parquet")
        assert found.equals(pl.read_parquet(run.ensemble_files["scores"]))


def test_out_of_fold_scores_of_another_batch_are_refused(toy, tmp_path):
    swapped = toy.batch_lists()["out_of_fold"][::-1]
    with pytest.raises(InputError, match="not hold the out-of-fold scores of batch b000"):
        scored(toy, tmp_path / "scores.parquet", out_of_fold=swapped)
    assert not (tmp_path / "scores.parquet").exists()


@pytest.mark.parametrize("kind", ["row missing", "row twice", "other order", "row at the end"])
def test_out_of_fold_scores_of_other_rows_are_refused(toy, tmp_path, kind):
    first, second = toy.batch_lists()["out_of_fold"]
    rows = pl.read_parquet(first)
    changed = {
        "row missing": rows[1:],
        "row twice": pl.concat([rows[:1], rows]),
        "other order": rows[::-1],
        "row at the end": pl.concat([rows, rows[-1:]]),
    }
    changed[kind].write_parquet(tmp_path / "out_of_fold.parquet")
    with pytest.raises(InputError, match=r"out_of_fold\.parquet does not hold .* run the batch"):
        scored(toy, tmp_path / "s.parquet", out_of_fold=[tmp_path / "out_of_fold.parquet", second])
    assert not (tmp_path / "s.parquet").exists()


def test_missing_batch_is_refused_and_nothing_is_written(toy, tmp_path):
    lists = {key: paths[:1] for key, paths in toy.batch_lists().items()}
    with pytest.raises(InputError, match="batches b001 are missing"):
        scored(toy, tmp_path / "scores.parquet", **lists)
    assert not list(tmp_path.iterdir())


# Rows that are routed


def test_distances_to_each_member_stand_beside_its_scores(toy, toy_rows, table, tmp_path):
    found = scored(toy, tmp_path / "s.parquet", **similar(toy, toy_rows, tmp_path))
    assert found.select(table.columns).equals(table)
    assert set(found.columns) - set(table.columns) == {f"distance_{name}" for name in MEMBERS}
    # By hand: one column, standardised by mean 1 and scale 2; centroids are means over groups.
    rows = found.select("group", "position").join(
        toy_rows, left_on=["group", "position"], right_on=["gene_id", "position"], how="left"
    )
    groups = pl.read_parquet(tmp_path / "group_features.parquet")
    plan = pl.read_parquet(toy.paths()["plan"]).filter(~pl.col("test"))
    for batch in MEMBERS:
        own = plan.filter(pl.col("batch") == batch)["group"]
        centre = groups.filter(pl.col("group").is_in(own.implode()))["signal_donor"].mean()
        expected = ((rows["signal_donor"] - 1) / 2 - centre).abs()
        np.testing.assert_allclose(found[f"distance_{batch}"], expected, rtol=1e-4, atol=1e-6)


def similar(run, rows, folder):
    """Files of groups told apart by one feature."""
    described = {"columns": ["signal_donor"], "mean": [1.0], "scale": [2.0]}
    write_json(folder / "similarity.json", described)
    means = rows.group_by("gene_id").agg((pl.col("signal_donor").mean() - 1) / 2)
    means.rename({"gene_id": "group"}).write_parquet(folder / "group_features.parquet")
    return {
        "similarity": folder / "similarity.json",
        "group_features": folder / "group_features.parquet",
    }
