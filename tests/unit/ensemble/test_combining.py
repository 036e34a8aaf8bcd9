"""What genebatch.combining promises: no row has a say in how its own fold is combined."""

import numpy as np
import polars as pl
import pytest

from genebatch.config.settings import Combining
from genebatch.ensemble import combining
from genebatch.io import tables
from genebatch.io.files import InputError, read_json, write_json
from genebatch.model import held_out as honest_rows
from genebatch.model.archive import load_model
from genebatch.model.combiners import COMBINERS, combine
from genebatch.model.ensemble import EQUAL
from genebatch.model.held_out import read_honest, read_scores

CLASSES = ["neither", "donor", "acceptor"]
SETTINGS = Combining("stacked", None, (), (), False)
MEMBERS = ["b000", "b001"]
KNOWN = [name for name in COMBINERS if name != "routed"]


def combined(run, folder, ensemble=None, **changes):
    """Combine the batches of a run from other inputs; gives the table of probabilities."""
    inputs = (
        run.plan_files() | run.batch_lists() | {"scores": run.ensemble_files["scores"]} | changes
    )
    names = {"model": "model.gbm", "combiners": "combiners.json", "combined": "combined.parquet"}
    outputs = {key: folder / name for key, name in names.items()}
    settings = run.config["ensemble"] | (ensemble or {})
    combining.combine_batches(inputs, settings, True, outputs)
    return pl.read_parquet(outputs["combined"])


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
def honest(toy):
    return pl.read_parquet(toy.ensemble_files["scores"])


@pytest.fixture(scope="module")
def table(toy):
    return pl.read_parquet(toy.ensemble_files["combined"])


@pytest.fixture(scope="module")
def ensemble(toy):
    return load_model(toy.ensemble_files["ensemble"])


# The table


def test_rows_are_those_of_the_honest_table_in_its_order(honest, table):
    identity = ["group", "label", "position", "weight", "batch", "fold"]
    identity += [f"score_{name}" for name in CLASSES]
    assert table.select(identity).equals(honest.select(identity))
    probabilities = [column for name in KNOWN for column in columns(name)]
    assert set(table.columns) == {*identity, *probabilities}


@pytest.mark.parametrize("name", KNOWN)
def test_probabilities_of_a_row_sum_to_one(table, name):
    found = table.select(columns(name))
    assert set(found.dtypes) == {pl.Float32}
    np.testing.assert_allclose(found.to_numpy().sum(axis=1), 1, atol=1e-6)
    assert ((found.to_numpy() > 0) & (found.to_numpy() < 1)).all()


@pytest.mark.parametrize("name", ["voting", "log_odds"])
def test_combiners_that_learn_nothing_are_applied_as_they_are(honest, table, name):
    expected = combine(name, {}, log_odds(honest))
    np.testing.assert_allclose(table.select(columns(name)).to_numpy(), expected, atol=1e-6)


def test_rows_of_a_fold_are_combined_by_what_the_other_folds_taught(toy, honest, table, ensemble):
    rows = read_honest(toy.ensemble_files["scores"], toy.paths()["plan"], ensemble, True)
    for number in range(3):
        own = honest["fold"].to_numpy() == number
        for name in ("weighted", "stacked"):
            parameters = COMBINERS[name].fit(rows.take(rows.folds != number), SETTINGS)
            expected = combine(name, parameters, log_odds(honest)[own])
            found = table.select(columns(name)).to_numpy()[own]
            np.testing.assert_allclose(found, expected, atol=1e-6)


def test_labels_of_a_fold_have_no_part_in_its_own_probabilities(toy, honest, table, tmp_path):
    own = (honest["fold"] == 1).to_numpy()
    label = honest["label"].to_numpy().copy()
    rng = np.random.default_rng(0)
    label[own] = rng.permutation(label[own])
    changed = honest.with_columns(pl.Series("label", label.tolist()))
    changed.write_parquet(tmp_path / "scores.parquet")
    found = combined(toy, tmp_path, scores=tmp_path / "scores.parquet")
    for name in KNOWN:
        before, after = (t.select(columns(name)).to_numpy() for t in (table, found))
        np.testing.assert_array_equal(after[own], before[own], err_msg=name)
    for name in ("weighted", "stacked"):  # they do teach the others
        before, after = (t.select(columns(name)).to_numpy() for t in (table, found))
        assert np.abs(after[~own] - before[~own]).max() > 1e-3, name


def test_pieces_of_the_table_change_nothing(toy, table, monkeypatch, tmp_path):
    monkeypatch.setattr(tables, "BATCH_ROWS", 11)
    assert combined(toy, tmp_path).equals(table)


# The model and the parameters


@pytest.mark.parametrize("name", ["voting", "log_odds", "weighted", "selected"])
@pytest.mark.usefixtures("quick")
def test_model_combines_as_the_config_says(toy, toy_rows, ensemble, tmp_path, name):
    combined(toy, tmp_path, {"combiner": name})
    model = load_model(tmp_path / "model.gbm")
    written = read_json(tmp_path / "combiners.json")
    assert [member.name for member in model.members] == written["members"] == MEMBERS
    assert model.combiner == {"name": name, "parameters": written["combiners"][name]}
    said = ensemble.frame_log_odds(toy_rows)
    expected = combine(name, model.combiner["parameters"], said)
    np.testing.assert_allclose(model.predict_proba(toy_rows), expected, rtol=1e-9)


def test_every_combiner_is_learned_whichever_is_in_use(toy, ensemble):
    written = read_json(toy.ensemble_files["combiners"])["combiners"]
    assert list(written) == KNOWN
    rows = read_honest(toy.ensemble_files["scores"], toy.paths()["plan"], ensemble, True)
    for name in KNOWN:
        assert written[name] == COMBINERS[name].fit(rows, SETTINGS)


@pytest.mark.usefixtures("quick")
def test_top_k_of_the_config_is_kept(toy, tmp_path):
    combined(toy, tmp_path, {"combiner": "selected", "top_k": 1})
    weights = load_model(tmp_path / "model.gbm").combiner["parameters"]["weights"]
    assert [sorted(row) for row in weights] == [[0.0, 1.0]] * 3


def test_same_inputs_give_the_same_files(toy, tmp_path):
    lists = {key: paths[::-1] for key, paths in toy.batch_lists().items()}
    combined(toy, tmp_path, **lists)
    pairs = {"ensemble": "model.gbm", "combiners": "combiners.json"}
    for key, name in pairs.items():
        assert (tmp_path / name).read_bytes() == toy.ensemble_files[key].read_bytes()


def test_table_of_other_members_is_refused(toy, honest, tmp_path):
    honest.drop(columns("b001")).write_parquet(tmp_path / "scores.parquet")
    with pytest.raises(InputError, match=r"scores\.parquet holds the scores of other batches"):
        combined(toy, tmp_path, scores=tmp_path / "scores.parquet")
    assert not (tmp_path / "model.gbm").exists()


def test_models_of_another_plan_are_refused(toy, tmp_path):
    manifest = pl.read_csv(toy.paths()["manifest"], separator="\t")
    manifest.with_columns(key=pl.lit("0" * 16)).write_csv(tmp_path / "m.tsv", separator="\t")
    with pytest.raises(InputError, match="b000, b001 were trained for another plan"):
        combined(toy, tmp_path, manifest=tmp_path / "m.tsv")


# Rows that are routed


@pytest.fixture
def routed(toy, honest, toy_rows, tmp_path):
    """Inputs of a run whose groups are told apart by one feature."""
    distance = [
        pl.when(pl.col("batch") == member).then(0.1).otherwise(3.0).cast(pl.Float32)
        for member in MEMBERS
    ]
    names = [f"distance_{member}" for member in MEMBERS]
    rows = honest.with_columns(**dict(zip(names, distance, strict=True)))
    rows.write_parquet(tmp_path / "routed.parquet")
    described = {"columns": ["signal_donor"], "mean": [1.0], "scale": [2.0]}
    write_json(tmp_path / "similarity.json", described)
    means = toy_rows.group_by("gene_id").agg((pl.col("signal_donor").mean() - 1) / 2)
    means.rename({"gene_id": "group"}).write_parquet(tmp_path / "groups.parquet")
    return {
        "scores": tmp_path / "routed.parquet",
        "similarity": tmp_path / "similarity.json",
        "group_features": tmp_path / "groups.parquet",
    }


@pytest.mark.usefixtures("quick")
def test_routed_is_learned_where_rows_have_distances(toy, toy_rows, routed, tmp_path):
    found = combined(toy, tmp_path / "out", {"combiner": "routed"}, **routed)
    assert set(columns("routed")) <= set(found.columns)
    model = load_model(tmp_path / "out" / "model.gbm")
    parameters = model.combiner["parameters"]
    assert set(parameters) == {"reach", "columns", "mean", "scale", "centroids"}
    distance = model.distance(toy_rows)
    said = model.frame_log_odds(toy_rows)
    expected = combine("routed", parameters, said, distance)
    np.testing.assert_allclose(model.predict_proba(toy_rows), expected, rtol=1e-9)
    assert "routed" in read_json(tmp_path / "out" / "combiners.json")["combiners"]


@pytest.mark.usefixtures("quick")
def test_routed_probabilities_use_the_distances_of_the_table(toy, routed, tmp_path):
    found = combined(toy, tmp_path / "out", **routed)
    rows = pl.read_parquet(routed["scores"])
    near = rows.select("distance_b000", "distance_b001").to_numpy()
    ensemble = load_model(toy.ensemble_files["ensemble"])
    honest = read_honest(routed["scores"], toy.paths()["plan"], ensemble, True)
    for number in range(3):
        own = rows["fold"].to_numpy() == number
        learned = COMBINERS["routed"].fit(honest.take(honest.folds != number), SETTINGS)
        expected = combine("routed", learned, log_odds(rows)[own], near[own])
        got = found.select(columns("routed")).to_numpy()[own]
        np.testing.assert_allclose(got, expected, atol=1e-6)


# Reading the honest table


def test_all_rows_are_learned_from_where_they_fit(toy, honest, ensemble):
    rows = read_honest(toy.ensemble_files["scores"], toy.paths()["plan"], ensemble, True)
    np.testing.assert_array_equal(rows.log_odds, log_odds(honest))
    codes = honest["label"].replace_strict(CLASSES, range(3)).to_numpy()
    np.testing.assert_array_equal(rows.codes, codes)
    np.testing.assert_array_equal(rows.weight, honest["weight"])
    np.testing.assert_array_equal(rows.folds, honest["fold"])
    base = honest.select(f"score_{name}" for name in CLASSES).to_numpy()
    np.testing.assert_allclose(rows.reference, np.log(base / (1 - base)), rtol=1e-4, atol=1e-4)
    assert rows.distance is None


def test_weights_that_are_not_used_are_ones(toy, ensemble):
    rows = read_honest(toy.ensemble_files["scores"], toy.paths()["plan"], ensemble, False)
    assert set(rows.weight) == {1.0}


@pytest.mark.parametrize("most", [1, 100, 250])
def test_too_many_scores_leave_out_whole_groups(toy, honest, ensemble, monkeypatch, most):
    monkeypatch.setattr(honest_rows, "MOST_SCORES", most * 6)  # two members, three classes
    rows = read_honest(toy.ensemble_files["scores"], toy.paths()["plan"], ensemble, True)
    sizes = dict(honest.group_by("group").len().iter_rows())
    # Which rows they are is told by their scores.
    said = [tuple(row) for row in log_odds(honest).reshape(-1, 6).tolist()]
    place = dict(zip(said, honest["group"], strict=True))
    found = [place[tuple(row)] for row in rows.log_odds.reshape(-1, 6).tolist()]
    counts = {group: found.count(group) for group in set(found)}
    assert counts == {group: sizes[group] for group in counts}
    assert len(found) <= most or len(counts) == 1
    again = read_honest(toy.ensemble_files["scores"], toy.paths()["plan"], ensemble, True)
    np.testing.assert_array_equal(again.log_odds, rows.log_odds)


def test_more_room_keeps_the_groups_and_adds_some(toy, ensemble, monkeypatch):
    taken = []
    for most in (100, 200, 10**6):
        monkeypatch.setattr(honest_rows, "MOST_SCORES", most * 6)
        rows = read_honest(toy.ensemble_files["scores"], toy.paths()["plan"], ensemble, True)
        taken.append({tuple(row) for row in rows.log_odds.reshape(-1, 6).tolist()})
    assert taken[0] < taken[1] < taken[2]


def test_rows_of_some_groups_alone(toy, honest, ensemble):
    groups = honest["group"].unique().sort()[:3]
    rows = read_honest(toy.ensemble_files["scores"], toy.paths()["plan"], ensemble, True, groups)
    expected = honest.filter(pl.col("group").is_in(groups.implode()))
    np.testing.assert_array_equal(rows.log_odds, log_odds(expected))


def test_probabilities_of_all_rows_are_written_though_few_are_learned_from(
    toy, table, monkeypatch, tmp_path
):
    monkeypatch.setattr(honest_rows, "MOST_SCORES", 200 * 6)
    found = combined(toy, tmp_path)
    assert found.height == table.height
    assert found.select(columns("log_odds")).equals(table.select(columns("log_odds")))
    assert not found.select(columns("stacked")).equals(table.select(columns("stacked")))


def test_scores_are_streamed_as_they_stand(toy, honest, ensemble, monkeypatch):
    monkeypatch.setattr(tables, "BATCH_ROWS", 13)
    parts = list(read_scores(toy.ensemble_files["scores"], ensemble))
    assert max(part.rows.height for part in parts) <= 13
    np.testing.assert_array_equal(
        np.concatenate([part.log_odds for part in parts]), log_odds(honest)
    )


def test_default_combiner_is_that_of_models_without_one(toy):
    assert load_model(toy.ensemble_files["ensemble"]).combiner == EQUAL
