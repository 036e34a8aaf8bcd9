"""What ensemble.cross_scores promises: no score of a row by boosters that saw its group."""

from dataclasses import replace

import numpy as np
import polars as pl
import pytest
from scipy.special import logit

from genebatch.dataset import row_file
from genebatch.ensemble import cross_scores as module
from genebatch.ensemble.combining import join_members, learn_combiners
from genebatch.ensemble.cross_scores import cross_scores
from genebatch.groups import sampled
from genebatch.io.files import InputError, read_json
from genebatch.model.archive import load_model
from genebatch.model.calibration import CALIBRATORS, Calibrator
from genebatch.model.combiners import to_probabilities
from genebatch.model.ensemble import EnsembleModel
from genebatch.model.held_out import read_held_out
from genebatch.model.routing import make_routing
from genebatch.training.batch import load_batch
from genebatch.training.recipe import train_member

CLASSES = ["neither", "donor", "acceptor"]
MEMBERS = ["b000", "b001"]


def batch_models(run):
    return {batch: load_model(run.paths(batch)["model"]) for batch in run.batches}


def scored(run, models=None, out_of_fold=None, routing=None, groups=None):
    """The scores of a run, some of its models or out-of-fold files replaced."""
    paths = {batch: run.paths(batch)["out_of_fold"] for batch in run.batches}
    parts = cross_scores(
        batch_models(run) | (models or {}),
        paths | (out_of_fold or {}),
        run.opened(),
        run.settings.learner.use_weights,
        routing,
        groups,
    )
    return pl.concat(parts)


@pytest.fixture(scope="module")
def table(toy):
    return pl.read_parquet(toy.ensemble_files["scores"])


@pytest.fixture(scope="module")
def shared(lent):
    """Groups that both batches hold."""
    shared = lent.plan_lines.group_by("group").len().filter(pl.col("len") == 2)["group"].to_list()
    assert len(shared) > 2
    return shared


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
        calibrated = np.empty(len(margin))
        for number in range(3):
            rest = fold != number
            fitted = CALIBRATORS[method](margin[rest], y[rest], weight[rest])
            calibrated[~rest] = logit(fitted.apply(margin[~rest]))
        columns[f"{batch}:{name}"] = calibrated
    return rows.select("group", "position").with_columns(
        **{name: pl.Series(values, dtype=pl.Float32) for name, values in columns.items()}
    )


def close(table, expected, keys=("group", "position")):
    """Compare the columns of `expected` on its rows."""
    joined = expected.select(keys).join(table, on=keys, how="left", maintain_order="left")
    names = [name for name in expected.columns if name not in keys]
    np.testing.assert_allclose(
        joined.select(names).to_numpy(), expected.select(names).to_numpy(), rtol=1e-5, atol=1e-6
    )


# Every training row, once


def test_rows_are_every_training_row_in_the_order_of_the_shards(toy, toy_rows, table):
    shards = sorted((toy.folder / "data").glob("*.parquet"))
    rows = pl.concat(pl.read_parquet(path) for path in shards)
    expected = rows.filter(~pl.col("gene_id").is_in(toy.test_groups))
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
    plan = toy.plan_lines
    present = table.group_by("group").agg(pl.col("batch").unique(), pl.col("fold").unique())
    joined = present.join(
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


def test_own_scores_are_calibrated_by_fits_on_the_other_folds(toy, table):
    """The finished model's calibrator, fitted on all folds, is for other batches' rows."""
    model = load_model(toy.paths("b000")["model"])
    final = Calibrator("sigmoid", {"slope": 0.5, "intercept": 3.0})
    member = model.members[0]._replace(calibrators=(final,) * 3)
    changed = scored(toy, {"b000": replace(model, members=(member,))})
    close(changed.filter(pl.col("batch") == "b000"), by_hand(toy, "b000", ["sigmoid"] * 3))
    others = pl.col("batch") == "b001"
    columns = [f"b000:{name}" for name in CLASSES]
    before, after = (t.filter(others).select(columns).to_numpy() for t in (table, changed))
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
    plan = lent.plan_lines
    assert table.height == plan.unique("group")["rows"].sum() < plan["rows"].sum()
    assert table.select("group", "position").is_unique().all()
    own = table.filter(pl.col("group").is_in(shared))
    assert set(own["batch"]) == {"b000"}
    for batch in MEMBERS:
        close(own, by_hand(lent, batch).filter(pl.col("group").is_in(shared)))


# A leak


@pytest.fixture
def leaking(monkeypatch, toy_rows):
    """Finished models that know the labels of the groups they were trained on."""
    ask = EnsembleModel.frame_margins
    # `noise_a` tells rows apart, so that features alone give a row away.
    known = toy_rows.select("noise_a", "gene_id", label=pl.col("splice_type").fill_null("neither"))
    assert known["noise_a"].is_unique().all()

    def margins(self, frame):
        given = ask(self, frame)
        rows = frame.select("noise_a").join(known, on="noise_a", how="left", maintain_order="left")
        right = np.column_stack([rows["label"] == name for name in CLASSES])
        for number, member in enumerate(self.members):
            own = rows["gene_id"].is_in(list(member.groups)).to_numpy()
            given[own, number] = np.where(right, 15.0, -15.0)[own]
        return given

    monkeypatch.setattr(EnsembleModel, "frame_margins", margins)


def learned(run, scores):
    """Parameters of the combiners that are learned from a file of scores."""
    settings = run.settings
    everyone = join_members(batch_models(run))
    sizes = run.plan_lines.unique("group").select("group", "rows")
    held_out = read_held_out(scores, sizes, everyone, settings.learner.use_weights)
    return learn_combiners(held_out, settings.ensemble, routed=False).whole


@pytest.mark.slow
def test_leak_in_the_own_batch_moves_no_weight(toy, table, leaking, tmp_path):
    leaked = scored(toy)
    assert leaked.equals(table)
    leaked.write_parquet(tmp_path / "scores.parquet")
    weights = learned(toy, tmp_path / "scores.parquet")
    assert weights == read_json(toy.ensemble_files["combiners"])["combiners"]


@pytest.mark.slow
def test_leak_would_move_the_weights_if_batches_scored_their_own_rows(
    toy, leaking, monkeypatch, tmp_path
):
    """Else the promise above would be empty."""
    monkeypatch.setattr(module.OutOfFold, "put", lambda self, log_odds, identity: None)
    monkeypatch.setattr(module.OutOfFold, "check_end", lambda self: None)
    scored(toy).write_parquet(tmp_path / "scores.parquet")
    weights = learned(toy, tmp_path / "scores.parquet")
    before = read_json(toy.ensemble_files["combiners"])["combiners"]
    for name in ("weighted", "stacked"):
        assert not np.allclose(weights[name]["weights"], before[name]["weights"], atol=0.01), name


def test_boosters_fitted_to_their_own_groups_change_other_rows_alone(toy, table):
    model = load_model(toy.paths("b000")["model"])
    learner = replace(toy.settings.learner, max_depth=8, min_child_weight=0.0, reg_lambda=0.0)
    data = load_batch(toy.opened()[0], learner)
    grown = train_member(data, "b000", dict.fromkeys(CLASSES, 60), learner)
    member = model.members[0]._replace(boosters=grown.boosters)
    perfect = replace(model, members=(member,))
    changed = scored(toy, {"b000": perfect})
    rows = changed.filter(pl.col("batch") == "b000")
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
    assert not changed.filter(others).select(columns).equals(table.filter(others).select(columns))


# What does not matter, and what does


def test_order_of_the_models_does_not_matter(toy, table):
    models = batch_models(toy)
    backwards = {name: models[name] for name in reversed(models)}
    paths = {name: toy.paths(name)["out_of_fold"] for name in backwards}
    parts = cross_scores(backwards, paths, toy.opened(), toy.settings.learner.use_weights)
    assert pl.concat(parts).equals(table)


def test_small_record_batches_give_the_same_table(toy, lent, monkeypatch):
    monkeypatch.setattr(row_file, "BATCH_ROWS", 7)
    monkeypatch.setattr(module, "AHEAD_ROWS", 5)
    for run in (toy, lent):
        assert scored(run).equals(pl.read_parquet(run.ensemble_files["scores"]))


def test_out_of_fold_scores_of_another_batch_are_refused(toy):
    first, second = (toy.paths(batch)["out_of_fold"] for batch in MEMBERS)
    with pytest.raises(InputError, match="not hold the out-of-fold scores of batch b000"):
        scored(toy, out_of_fold={"b000": second, "b001": first})


def swapped(rows, first, second):
    """The rows, two of them in each other's place."""
    order = list(range(rows.height))
    order[first], order[second] = second, first
    return rows[order]


def relabelled(rows):
    """The rows, with the labels of two rows of a group in each other's place."""
    group = (rows["group"] == rows["group"][0]).arg_true()
    other = next(row for row in group if rows["label"][row] != rows["label"][0])
    return rows.with_columns(label=swapped(rows, 0, other)["label"])


CHANGES = {
    "row missing": lambda rows: rows[1:],
    "row twice": lambda rows: pl.concat([rows[:1], rows]),
    "other order": lambda rows: rows[::-1],
    "order within a group": lambda rows: swapped(rows, 0, 1),
    "other position": lambda rows: rows.with_columns(pl.col("position") + 1),
    "other labels": relabelled,
    "row at the end": lambda rows: pl.concat([rows, rows[-1:]]),
}


@pytest.mark.parametrize("kind", CHANGES)
def test_out_of_fold_scores_of_other_rows_are_refused(toy, tmp_path, kind):
    """The rows of the row file, one by one: their group, label and position."""
    rows = pl.read_parquet(toy.paths("b000")["out_of_fold"])
    changed = tmp_path / "out_of_fold.parquet"
    CHANGES[kind](rows).write_parquet(changed)
    message = r"out_of_fold\.parquet does not hold .* in their order; delete it and run again"
    with pytest.raises(InputError, match=message):
        scored(toy, out_of_fold={"b000": changed})


# A sample of the groups


def of_groups(table, groups):
    return table.filter(pl.col("group").is_in(groups.implode()))


@pytest.fixture
def small_batches(monkeypatch):
    """Record batches of a few rows, of which some have no row of the sample."""
    monkeypatch.setattr(row_file, "BATCH_ROWS", 7)
    monkeypatch.setattr(module, "AHEAD_ROWS", 5)


@pytest.mark.parametrize("share", [0.2, 0.5])
def test_scores_of_a_sample_are_those_of_all_rows_for_the_same_groups(toy, lent, share):
    """Calibrators too: they learned from all rows of the batch."""
    for run in (toy, lent):
        plan = run.plan_lines
        total = plan.unique("group")["rows"].sum()
        groups = sampled(plan, round(share * total))
        whole = pl.read_parquet(run.ensemble_files["scores"])
        assert 0 < of_groups(whole, groups).height < whole.height
        assert scored(run, groups=groups).equals(of_groups(whole, groups))


def test_calibrators_of_a_sample_learned_from_all_rows_of_the_batch(toy, table):
    """One group of each fold would teach others."""
    model = load_model(toy.paths("b000")["model"])
    member = model.members[0]
    member = member._replace(calibrators=(Calibrator("sigmoid", {"slope": 1, "intercept": 0}),) * 3)
    given = {"models": {"b000": replace(model, members=(member,))}}
    whole = scored(toy, **given)
    assert not whole.equals(table)
    groups = sampled(toy.plan_lines, 1)
    assert scored(toy, **given, groups=groups).equals(of_groups(whole, groups))


@pytest.mark.parametrize("number", range(3))
def test_sample_of_one_group_is_read_from_small_record_batches(toy, table, small_batches, number):
    groups = table["group"].unique().sort()[number : number + 1]
    assert scored(toy, groups=groups).equals(of_groups(table, groups))


@pytest.mark.parametrize("kind", ["order within a group", "other position", "other labels"])
def test_out_of_fold_scores_of_other_rows_of_a_sample_are_refused(toy, tmp_path, kind):
    rows = pl.read_parquet(toy.paths("b000")["out_of_fold"])
    changed = tmp_path / "out_of_fold.parquet"
    CHANGES[kind](rows).write_parquet(changed)
    with pytest.raises(InputError, match=r"out_of_fold\.parquet does not hold .* in their order"):
        scored(toy, out_of_fold={"b000": changed}, groups=rows["group"][:1])


# Rows that are routed


def test_distances_to_each_member_stand_beside_its_scores(toy, toy_rows, table):
    described = {"columns": ["signal_donor"], "mean": [1.0], "scale": [2.0]}
    means = toy_rows.group_by(group="gene_id").agg((pl.col("signal_donor").mean() - 1) / 2)
    plan = toy.plan_lines
    routing = make_routing(described, means, plan, MEMBERS)
    routed = scored(toy, routing=routing)
    groups = sampled(plan, 300)
    assert scored(toy, routing=routing, groups=groups).equals(of_groups(routed, groups))
    assert routed.select(table.columns).equals(table)
    assert set(routed.columns) - set(table.columns) == {f"distance_{name}" for name in MEMBERS}
    # By hand: one column, standardised by mean 1 and scale 2; centroids are means over groups.
    rows = routed.select("group", "position").join(
        toy_rows, left_on=["group", "position"], right_on=["gene_id", "position"], how="left"
    )
    for batch in MEMBERS:
        own = plan.filter(pl.col("batch") == batch)["group"]
        centre = means.filter(pl.col("group").is_in(own.implode()))["signal_donor"].mean()
        expected = ((rows["signal_donor"] - 1) / 2 - centre).abs()
        np.testing.assert_allclose(routed[f"distance_{batch}"], expected, rtol=1e-4, atol=1e-6)
