"""What ensemble.combining promises: no row has a say in how its own fold is combined."""

from dataclasses import replace
from typing import NamedTuple

import numpy as np
import polars as pl
import pytest

from genebatch.ensemble import combining
from genebatch.io import tables
from genebatch.io.files import InputError, read_json
from genebatch.model import held_out as reading
from genebatch.model.archive import load_model
from genebatch.model.combiners import COMBINERS, combine
from genebatch.model.ensemble import EnsembleModel
from genebatch.model.held_out import read_held_out, read_scores
from genebatch.model.routing import make_routing

CLASSES = ["neither", "donor", "acceptor"]
MEMBERS = ["b000", "b001"]
KNOWN = [name for name in COMBINERS if name != "routed"]


class Combined(NamedTuple):
    """The rows with their probabilities, and the model with one combiner of all that there are."""

    table: pl.DataFrame
    model: EnsembleModel
    parameters: dict


def everyone(run):
    """The members of all batches, without a combiner of their own."""
    models = {batch: load_model(run.paths(batch)["model"]) for batch in run.batches}
    return combining.join_members(models)


def read(run, scores, use_weights=True, groups=None):
    """The rows of a file of scores that combiners are learned from."""
    sizes = run.plan_lines.unique("group").select("group", "rows")
    return read_held_out(scores, sizes, everyone(run), use_weights, groups)


def combined(run, scores=None, routing=None, **settings):
    """Combine the batches of a run under other settings of `ensemble`."""
    path = scores or run.ensemble_files["scores"]
    ensemble, model = replace(run.settings.ensemble, **settings), everyone(run)
    learned = combining.learn_combiners(read(run, path), ensemble, routing is not None)
    parts = combining.combined_scores(read_scores(path, model), model, learned)
    table = pl.concat(parts)
    parameters = combining.with_routing(learned.whole, routing)
    return Combined(
        table, combining.with_combiner(model, ensemble.combiner, parameters), parameters
    )


def columns(name):
    return [f"{name}:{label}" for label in CLASSES]


def log_odds(table):
    names = [f"{member}:{label}" for member in MEMBERS for label in CLASSES]
    return table.select(names).to_numpy().reshape(table.height, 2, 3)


@pytest.fixture
def quick(monkeypatch):
    """Without the combiners that take long to learn."""
    kept = {
        name: COMBINERS[name] for name in ("voting", "log_odds", "weighted", "selected", "routed")
    }
    monkeypatch.setattr(combining, "COMBINERS", kept)


@pytest.fixture(scope="module")
def held_out(toy):
    return pl.read_parquet(toy.ensemble_files["scores"])


@pytest.fixture(scope="module")
def table(toy):
    return pl.read_parquet(toy.ensemble_files["combined"])


@pytest.fixture(scope="module")
def ensemble(toy):
    return load_model(toy.ensemble_files["ensemble"])


# The table


def test_rows_are_those_of_the_scores_in_their_order(held_out, table):
    identity = ["group", "label", "position", "weight", "batch", "fold"]
    identity += [f"score_{name}" for name in CLASSES]
    assert table.select(identity).equals(held_out.select(identity))
    probabilities = [column for name in KNOWN for column in columns(name)]
    assert set(table.columns) == {*identity, *probabilities}


@pytest.mark.parametrize("name", KNOWN)
def test_probabilities_of_a_row_sum_to_one(table, name):
    probability = table.select(columns(name))
    assert set(probability.dtypes) == {pl.Float32}
    np.testing.assert_allclose(probability.to_numpy().sum(axis=1), 1, atol=1e-6)
    assert ((probability.to_numpy() > 0) & (probability.to_numpy() < 1)).all()


@pytest.mark.parametrize("name", ["voting", "log_odds"])
def test_combiners_that_learn_nothing_are_applied_as_they_are(held_out, table, name):
    expected = combine(name, {}, log_odds(held_out))
    np.testing.assert_allclose(table.select(columns(name)).to_numpy(), expected, atol=1e-6)


def test_rows_of_a_fold_are_combined_by_what_the_other_folds_taught(toy, held_out, table):
    rows = read(toy, toy.ensemble_files["scores"])
    for number in range(3):
        own = held_out["fold"].to_numpy() == number
        for name in ("weighted", "stacked"):
            parameters = COMBINERS[name].fit(rows.take(rows.folds != number), toy.settings.ensemble)
            expected = combine(name, parameters, log_odds(held_out)[own])
            values = table.select(columns(name)).to_numpy()[own]
            np.testing.assert_allclose(values, expected, atol=1e-6)


def test_labels_of_a_fold_have_no_part_in_its_own_probabilities(toy, held_out, table, tmp_path):
    own = (held_out["fold"] == 1).to_numpy()
    label = held_out["label"].to_numpy().copy()
    rng = np.random.default_rng(0)
    label[own] = rng.permutation(label[own])
    changed = held_out.with_columns(pl.Series("label", label.tolist()))
    changed.write_parquet(tmp_path / "scores.parquet")
    permuted = combined(toy, tmp_path / "scores.parquet").table
    for name in KNOWN:
        before, after = (t.select(columns(name)).to_numpy() for t in (table, permuted))
        np.testing.assert_array_equal(after[own], before[own], err_msg=name)
    for name in ("weighted", "stacked"):  # they do teach the others
        before, after = (t.select(columns(name)).to_numpy() for t in (table, permuted))
        assert np.abs(after[~own] - before[~own]).max() > 1e-3, name


def test_pieces_of_the_table_change_nothing(toy, table, monkeypatch):
    monkeypatch.setattr(tables, "BATCH_ROWS", 11)
    assert combined(toy).table.equals(table)


def test_fold_without_rows_in_the_sample_is_combined_by_what_all_taught(toy, held_out):
    """Nothing was learned from it, so what all rows taught does not know it."""
    model = everyone(toy)
    rows = read(toy, toy.ensemble_files["scores"])
    learned = combining.learn_combiners(
        rows.take(rows.folds != 1), toy.settings.ensemble, routed=False
    )
    assert sorted(learned.by_fold) == [0, 2]
    scores = read_scores(toy.ensemble_files["scores"], model)
    table = pl.concat(combining.combined_scores(scores, model, learned))
    own = (held_out["fold"] == 1).to_numpy()
    expected = combine("stacked", learned.whole["stacked"], log_odds(held_out)[own])
    values = table.select(columns("stacked")).to_numpy()[own]
    np.testing.assert_allclose(values, expected, atol=1e-6)


# The model and the parameters


@pytest.mark.parametrize("name", ["voting", "log_odds", "weighted", "selected"])
@pytest.mark.usefixtures("quick")
def test_model_combines_as_the_config_says(toy, toy_rows, ensemble, name):
    model, parameters = combined(toy, combiner=name)[1:]
    assert [member.name for member in model.members] == MEMBERS
    assert model.combiner == {"name": name, "parameters": parameters[name]}
    expected = combine(name, parameters[name], ensemble.frame_log_odds(toy_rows))
    np.testing.assert_allclose(model.predict_proba(toy_rows), expected, rtol=1e-9)


def test_every_combiner_is_learned_whichever_is_in_use(toy):
    written = read_json(toy.ensemble_files["combiners"])["combiners"]
    assert list(written) == KNOWN
    rows = read(toy, toy.ensemble_files["scores"])
    for name in KNOWN:
        assert written[name] == COMBINERS[name].fit(rows, toy.settings.ensemble)


@pytest.mark.usefixtures("quick")
def test_top_k_of_the_config_is_kept(toy):
    model = combined(toy, combiner="selected", top_k=1).model
    weights = model.combiner["parameters"]["weights"]
    assert [sorted(row) for row in weights] == [[0.0, 1.0]] * 3


def test_missing_batches_are_named_in_the_model(toy):
    models = {"b000": load_model(toy.paths("b000")["model"])}
    model = combining.join_members(models, ["b002", "b001"])
    assert model.missing_batches == ["b001", "b002"]


def test_ensemble_knows_the_genes_of_all_members_and_the_thresholds_of_none(toy):
    models = {batch: load_model(toy.paths(batch)["model"]) for batch in toy.batches}
    assert all(set(model.facts["thresholds"]) == set(CLASSES) for model in models.values())
    genes = {"b000": ["b", "c"], "b001": ["a", "c"]}
    known = {
        batch: replace(model, facts=model.facts | {"trained_genes": genes[batch]})
        for batch, model in models.items()
    }
    facts = combining.join_members(known).facts
    assert facts["trained_genes"] == ["a", "b", "c"]
    assert "thresholds" not in facts
    assert facts["identity_kinds"] == models["b000"].facts["identity_kinds"]
    # Combiners are learned from the rows of a missing batch, whose genes no member knows.
    assert "trained_genes" not in combining.join_members(known, ["b002"]).facts
    assert "trained_genes" not in combining.join_members({**known, **models}).facts


def test_table_of_other_members_is_refused(toy, held_out, tmp_path):
    held_out.drop(columns("b001")).write_parquet(tmp_path / "scores.parquet")
    with pytest.raises(InputError, match=r"scores\.parquet holds the scores of other batches"):
        combined(toy, tmp_path / "scores.parquet")


# Rows that are routed


@pytest.fixture
def routed(toy, held_out, toy_rows, tmp_path):
    """Scores with distances, and the routing of groups that are told apart by one feature."""
    distance = [
        pl.when(pl.col("batch") == member).then(0.1).otherwise(3.0).cast(pl.Float32)
        for member in MEMBERS
    ]
    names = [f"distance_{member}" for member in MEMBERS]
    rows = held_out.with_columns(**dict(zip(names, distance, strict=True)))
    rows.write_parquet(tmp_path / "routed.parquet")
    described = {"columns": ["signal_donor"], "mean": [1.0], "scale": [2.0]}
    means = toy_rows.group_by(group="gene_id").agg((pl.col("signal_donor").mean() - 1) / 2)
    routing = make_routing(described, means, toy.plan_lines, MEMBERS)
    return {"scores": tmp_path / "routed.parquet", "routing": routing}


@pytest.mark.usefixtures("quick")
def test_routed_is_learned_where_rows_have_distances(toy, toy_rows, routed):
    table, model, known = combined(toy, **routed, combiner="routed")
    assert set(columns("routed")) <= set(table.columns)
    parameters = model.combiner["parameters"]
    assert set(parameters) == {"reach", "columns", "mean", "scale", "centroids"}
    distance = model.distance(toy_rows)
    expected = combine("routed", parameters, model.frame_log_odds(toy_rows), distance)
    np.testing.assert_allclose(model.predict_proba(toy_rows), expected, rtol=1e-9)
    assert known["routed"] == parameters


@pytest.mark.usefixtures("quick")
def test_routed_probabilities_use_the_distances_of_the_table(toy, routed):
    table = combined(toy, **routed).table
    rows = pl.read_parquet(routed["scores"])
    near = rows.select("distance_b000", "distance_b001").to_numpy()
    held_out = read(toy, routed["scores"])
    for number in range(3):
        own = rows["fold"].to_numpy() == number
        others = held_out.take(held_out.folds != number)
        learned = COMBINERS["routed"].fit(others, toy.settings.ensemble)
        expected = combine("routed", learned, log_odds(rows)[own], near[own])
        values = table.select(columns("routed")).to_numpy()[own]
        np.testing.assert_allclose(values, expected, atol=1e-6)


# Where few rows are learned from


def test_probabilities_of_all_rows_are_given_though_few_are_learned_from(toy, table, monkeypatch):
    monkeypatch.setattr(reading, "MOST_SCORES", 200 * 6)
    few = combined(toy).table
    assert few.height == table.height
    assert few.select(columns("log_odds")).equals(table.select(columns("log_odds")))
    assert not few.select(columns("stacked")).equals(table.select(columns("stacked")))
