"""What genebatch.evaluation promises: unseen groups, the same rows for all, nothing made up."""

import shutil
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import polars as pl
import pytest

from genebatch.dataset.rows import group_codes
from genebatch.evaluation import test_groups as evaluation
from genebatch.io.files import InputError, read_json, write_json
from genebatch.metrics.multiclass import score_table
from genebatch.model.archive import load_model
from genebatch.model.combiners import COMBINERS

CLASSES = ["neither", "donor", "acceptor"]
COMBINED = [name for name in COMBINERS if name != "routed"]
KEYS = ["system", "class", "metric", "weighted"]


def read(outputs):
    """The files of an evaluation as frames."""
    tables = {
        name: pl.read_parquet(path)
        if path.suffix == ".parquet"
        else pl.read_csv(path, separator="\t", infer_schema_length=None)
        for name, path in outputs.items()
    }
    return SimpleNamespace(**tables)


@pytest.fixture(scope="module")
def judged(toy):
    return read(toy.evaluate())


@pytest.fixture(scope="module")
def many_run(new_run, make_toy_rows, toy, tmp_path_factory):
    """The same model on twelve groups of another draw, each with donors and acceptors."""
    run = new_run(tmp_path_factory.mktemp("many"))
    run.write(make_toy_rows(n_groups=12, seed=5).with_columns(gene_id="new_" + pl.col("gene_id")))
    run.analyze()
    names = pl.read_parquet(run.paths()["genes"]).select("group")
    names.write_csv(run.paths()["test_groups"], separator="\t")
    shutil.copy(toy.paths()["model"], run.paths()["model"])
    shutil.copytree(toy.folder / "ensemble", run.folder / "ensemble")
    # Two of its batches stand for the models that it could have been.
    for name, batch in (("single", "b000"), ("distilled", "b001")):
        (run.folder / name).mkdir()
        shutil.copy(toy.paths(batch)["model"], run.rival_files(name)["model"])
    return run


@pytest.fixture(scope="module")
def many(many_run):
    return read(many_run.evaluate())


@pytest.fixture(scope="module")
def plain(new_run, make_toy_rows, tmp_path_factory):
    """A run without base scores and weights, judged on a test group without acceptors."""
    changes = {
        "dataset": {"scores": None, "weight": None, "exclude": ["*_score", "sample_weight"]},
        "learner": {"n_estimators": 15, "learning_rate": 0.2, "start_from": "none"},
        "test": {"groups": ["g00"]},
    }
    run = new_run(tmp_path_factory.mktemp("plain"), changes)
    rows = make_toy_rows(n_groups=8, seed=2).with_columns(
        splice_type=pl.when(gene_id="g00", splice_type="acceptor")
        .then(None)
        .otherwise("splice_type")
    )
    run.write(rows)
    run.make_model()
    return read(run.evaluate())


def test_rows_are_those_of_the_test_groups(judged, toy, toy_rows):
    tested = pl.read_csv(toy.paths()["test_groups"], separator="\t")["group"].to_list()
    expected = toy_rows.filter(pl.col("gene_id").is_in(tested))
    keys = ["group", "position"]
    found = judged.predictions.select(keys).sort(keys)
    assert found.equals(expected.select(group="gene_id", position="position").sort(keys))


def test_predictions_are_those_of_the_model(judged, toy, toy_rows):
    model = load_model(toy.folder / "model.gbm")
    rows = judged.predictions.select("group", "position").join(
        toy_rows, left_on=["group", "position"], right_on=["gene_id", "position"], how="left"
    )
    for prefix, values in (
        ("probability", model.predict_proba(rows)),
        ("std", model.predict_std(rows)),
    ):
        found = judged.predictions.select(f"{prefix}_{name}" for name in CLASSES).to_numpy()
        np.testing.assert_allclose(found, values, atol=1e-12)


@pytest.mark.parametrize(
    ("key", "member", "message"),
    [
        ("model", 0, "the model: member b000 was trained on 1"),
        ("model", 1, "the model: member b001 was trained on 1"),
        ("ensemble", 1, "the ensemble: member b001 was trained on 1"),
        ("single", 0, "single: member b000 was trained on 1"),
        ("distilled", 0, "distilled: member b000 was trained on 1"),
    ],
)
def test_model_that_saw_a_test_group_is_refused(toy, tmp_path, key, member, message):
    paths = toy.paths() | toy.ensemble_files | dict.fromkeys(("single", "distilled"))
    model = load_model(paths[key] or toy.paths("b000")["model"])
    tested = pl.read_csv(toy.paths()["test_groups"], separator="\t")["group"].to_list()
    members = list(model.members)
    seen = members[member]._replace(groups=(*members[member].groups, tested[0]))
    members[member] = seen
    replace(model, members=tuple(members)).save(tmp_path / "model.gbm")
    names = ("metrics", "systems", "comparison", "corrections", "predictions")
    outputs = {name: tmp_path / name for name in names}
    with pytest.raises(InputError, match=f"{message} .*'{tested[0]}'"):
        evaluation.evaluate(
            paths | {key: tmp_path / "model.gbm"},
            toy.config["dataset"],
            toy.config["evaluation"],
            1,
            outputs,
        )
    assert not any(path.exists() for path in outputs.values())


def test_every_system_is_judged_on_the_same_rows(judged):
    systems = {"model", "base", "member b000", "member b001", *COMBINED}
    assert set(judged.metrics["system"]) == systems
    shape = judged.metrics.group_by("class", "metric", "weighted").agg(pl.col("system").n_unique())
    assert set(shape["system"]) == {len(systems)}
    rows = judged.predictions
    codes = rows["label"].replace_strict(CLASSES, range(3)).to_numpy()
    for system, prefix in (("model", "probability"), ("base", "score")):
        values = rows.select(f"{prefix}_{name}" for name in CLASSES).to_numpy()
        again = score_table(
            codes,
            values,
            CLASSES,
            rows["weight"].to_numpy(),
            group_codes(rows),
            system,
        )
        found = judged.metrics.filter(system=system)
        np.testing.assert_allclose(found["value"].to_numpy(), again["value"].to_numpy(), rtol=1e-9)


def test_comparison_is_the_model_less_the_base(judged):
    table = judged.comparison
    keys = ["class", "metric", "weighted"]
    for system in ("base", "model"):
        expected = judged.metrics.filter(system=system).select(*keys, "value")
        joined = table.join(expected, on=keys)
        assert joined.height == table.height == expected.height
        assert joined[system].equals(joined["value"], check_names=False)
    known = table.drop_nulls(["base", "model"])
    assert known.height > 30
    assert (known["difference"] - (known["model"] - known["base"])).abs().max() < 1e-12


def test_model_with_the_signals_beats_the_base(many):
    table = many.comparison.filter(metric="average_precision", weighted=True)
    for row in table.filter(pl.col("class").is_in(["donor", "acceptor"])).iter_rows(named=True):
        assert row["difference"] > 0.1
        assert row["difference_low"] > 0


def test_intervals_hold_the_point_estimate(many):
    table = many.comparison.filter(metric="average_precision")
    assert table.height == 6
    for row in table.iter_rows(named=True):
        for name in ("base", "model", "difference"):
            assert row[f"{name}_low"] < row[name] < row[f"{name}_high"], (row["class"], name)


def test_intervals_are_seeded(many_run, many):
    assert read(many_run.evaluate()).comparison.equals(many.comparison)


def test_corrections_count_the_calls_that_changed(judged):
    rows = judged.predictions
    codes = rows["label"].replace_strict(CLASSES, range(3)).to_numpy()
    right = {
        prefix: rows.select(f"{prefix}_{name}" for name in CLASSES).to_numpy().argmax(axis=1)
        == codes
        for prefix in ("score", "probability")
    }
    total = judged.corrections.filter(pl.col("class") == "all").row(0, named=True)
    assert total["n"] == rows.height
    assert total["corrected"] == (~right["score"] & right["probability"]).sum()
    assert total["made"] == (right["score"] & ~right["probability"]).sum()
    assert total["corrected"] > total["made"]


def test_without_base_scores_and_weights_the_files_are_complete(plain):
    assert set(plain.metrics["system"]) == {"model", "member b000", *COMBINED}
    assert not plain.metrics["weighted"].any()
    assert plain.comparison["base"].null_count() == plain.comparison.height
    assert plain.comparison["difference"].null_count() == plain.comparison.height
    assert {f"{n}_{e}" for n in ("base", "model", "difference") for e in ("low", "high")} <= {
        *plain.comparison.columns
    }
    assert plain.corrections.height == 0
    assert plain.corrections.columns[:2] == ["class", "n"]
    names = ["group", "label", "position"]
    names += [f"{prefix}_{name}" for prefix in ("probability", "std") for name in CLASSES]
    assert plain.predictions.columns == names


@pytest.mark.parametrize("kind", ["plain", "judged"])
def test_metric_without_a_value_has_a_reason(request, kind):
    table = request.getfixturevalue(kind).metrics
    missing = table["value"].is_null() | table["value"].is_nan()
    assert (missing == table["reason"].is_not_null()).all()


def test_class_that_the_test_groups_lack_has_no_precision(plain):
    assert "acceptor" not in set(plain.predictions["label"])
    row = plain.metrics.filter(system="model", metric="average_precision")
    value, reason = row.filter(pl.col("class") == "acceptor").select("value", "reason").row(0)
    assert (value, reason) == (None, "no positive rows")
    compared = plain.comparison.filter(metric="average_precision").filter(
        pl.col("class") == "acceptor"
    )
    assert compared.select("model", "model_low", "model_high").row(0) == (None,) * 3


@pytest.mark.parametrize("kind", ["plain", "judged"])
def test_few_test_groups_have_a_value_and_no_interval(request, kind):
    evaluated = request.getfixturevalue(kind)
    donors = evaluated.predictions.filter(label="donor")["group"].n_unique()
    assert 0 < donors < 10
    table = evaluated.comparison.filter(metric="average_precision")
    row = table.filter(pl.col("class") == "donor").row(0, named=True)
    assert row["model"] > 0
    assert row["groups"] == donors
    assert {row[f"{n}_{e}"] for n in ("model", "difference") for e in ("low", "high")} == {None}


# Every system


def test_systems_are_the_base_the_members_every_combiner_and_the_rivals(many, judged, plain):
    ranks = ["member best", "member median", "member worst"]
    assert set(many.systems["system"]) == {"base", *ranks, *COMBINED, "single", "distilled"}
    assert set(judged.systems["system"]) == {"base", *ranks, *COMBINED}
    assert set(plain.systems["system"]) == {*ranks, *COMBINED}
    assert many.systems.select(KEYS).is_unique().all()


def test_lines_of_a_system_stand_together(many):
    assert many.systems["system"].rle().len() == many.systems["system"].n_unique()


def test_values_are_those_of_the_metrics(many):
    known = many.systems.filter(~pl.col("metric").is_in(["corrected", "made"]))
    joined = known.join(many.metrics, on=KEYS, suffix="_metrics")
    shown = known.filter(~pl.col("system").str.starts_with("member"))
    assert joined.height == shown.height > 100
    assert joined["value"].equals(joined["value_metrics"], check_names=False)


def test_best_median_and_worst_member_are_told_by_each_metrics_own_direction(many):
    def values(rank):
        rows = many.systems.filter(pl.col("system") == f"member {rank}")
        rows = rows.sort("class", "metric", "weighted").drop_nulls("value")
        return rows["metric"].to_list(), rows["value"].to_numpy()

    metrics, best = values("best")
    _, median = values("median")
    _, worst = values("worst")
    sign = np.where(np.isin(metrics, ["log_loss", "brier", "ece"]), -1, 1)
    assert len(metrics) > 30
    assert (sign * best >= sign * median).all()
    assert (sign * median >= sign * worst).all()
    assert (best != worst).any()


def test_ranked_members_by_hand():
    values = {"a": 0.2, "b": 0.5, "c": 0.3, "d": 0.9}
    lines = [
        (f"member {name}", "donor", metric, False, value, None)
        for metric in ("average_precision", "log_loss")
        for name, value in values.items()
    ]
    names = ("system", "class", "metric", "weighted", "value", "reason")
    kinds = (pl.String, pl.String, pl.String, pl.Boolean, pl.Float64, pl.String)
    schema = dict(zip(names, kinds, strict=True))
    ranked = evaluation._ranked_members(pl.DataFrame(lines, schema=schema, orient="row"))
    found = {(row[2], row[0]): row[4] for row in ranked.iter_rows()}
    # Of four the median is the better of the two in the middle, which is a member.
    expected = {"average_precision": (0.9, 0.5, 0.2), "log_loss": (0.2, 0.3, 0.9)}
    for metric, three in expected.items():
        for rank, value in zip(("best", "median", "worst"), three, strict=True):
            assert found[metric, f"member {rank}"] == value


@pytest.mark.slow
@pytest.mark.parametrize(
    ("final", "combiner", "expected"),
    [
        ("ensemble", "log_odds", "log_odds"),
        ("ensemble", "weighted", "weighted"),
        ("single", "log_odds", "single"),
        ("distilled", "log_odds", "distilled"),
    ],
)
def test_exactly_one_system_is_in_use(many_run, tmp_path, final, combiner, expected):
    run = replace(many_run, folder=tmp_path, changes={"evaluation": {"n_replicates": 20}})
    for path in many_run.folder.iterdir():
        (tmp_path / path.name).symlink_to(path)
    known = read_json(run.ensemble_files["combiners"])["combiners"]
    ensemble = replace(
        load_model(run.ensemble_files["ensemble"]),
        combiner={"name": combiner, "parameters": known[combiner]},
    )
    (tmp_path / "ensemble").unlink()
    shutil.copytree(many_run.folder / "ensemble", tmp_path / "ensemble")
    ensemble.save(run.ensemble_files["ensemble"])
    model = load_model(run.paths()["model"])
    (tmp_path / "model.gbm").unlink()
    replace(model, facts=model.facts | {"final": final}).save(tmp_path / "model.gbm")
    (tmp_path / "data").unlink()
    systems = read(run.evaluate()).systems
    assert set(systems.filter("in_use")["system"]) == {expected}


def test_model_in_use_has_the_values_of_its_system(many):
    (used,) = set(many.systems.filter("in_use")["system"])
    assert used == "log_odds"
    keys = KEYS[1:]
    of_model = many.metrics.filter(system="model").select(*keys, model="value")
    joined = many.systems.filter("in_use").join(of_model, on=keys)
    assert joined.height == of_model.height
    assert joined["value"].equals(joined["model"], check_names=False)


@pytest.mark.parametrize("reference", ["base", "single"])
def test_gain_over_a_reference_is_the_difference(many, reference):
    keys = KEYS[1:]
    name = f"over_{reference}"
    known = many.systems.filter(system=reference).select(*keys, known="value")
    joined = many.systems.join(known, on=keys, how="left").drop_nulls(["value", "known"])
    assert (joined[name] - (joined["value"] - joined["known"])).abs().max() < 1e-12
    assert joined.filter(system=reference)[name].abs().max() == 0
    judged = joined.filter(metric="average_precision").filter(
        ~pl.col("system").str.starts_with("member"), pl.col("system") != reference
    )
    assert judged.height > 20
    assert (judged[f"{name}_low"] <= judged[name]).all()
    assert (judged[name] <= judged[f"{name}_high"]).all()


def test_gain_of_the_model_over_the_base_is_that_of_the_comparison(many):
    keys = ["class", "metric", "weighted"]
    used = many.systems.filter("in_use").join(many.comparison, on=keys, how="inner")
    used = used.filter(pl.col("metric").is_in(["average_precision", "log_loss", "brier"]))
    used = used.filter(pl.col("class") != "all")
    assert used.height == 18
    for end in ("", "_low", "_high"):
        found, expected = used[f"over_base{end}"], used[f"difference{end}"]
        np.testing.assert_allclose(found.to_numpy(), expected.to_numpy(), rtol=1e-6, atol=1e-9)


def test_errors_corrected_and_made_are_counted_for_every_system(many, judged):
    counted = many.systems.filter(pl.col("metric").is_in(["corrected", "made"]))
    assert set(counted["system"]) == {*COMBINED, "single", "distilled"}
    used = judged.systems.filter("in_use", ~pl.col("weighted"))
    for metric in ("corrected", "made"):
        found = dict(used.filter(metric=metric).select("class", "value").iter_rows())
        expected = dict(judged.corrections.select("class", metric).iter_rows())
        assert found == expected


def test_without_base_scores_nothing_is_gained_over_them(plain):
    assert not {"over_base", "corrected"} & {*plain.systems.columns, *plain.systems["metric"]}
    assert plain.systems.height > 0


def test_combiners_of_other_members_are_refused(many_run, tmp_path):
    known = read_json(many_run.ensemble_files["combiners"]) | {"members": ["b000", "b007"]}
    write_json(tmp_path / "combiners.json", known)
    inputs = many_run.paths() | many_run.ensemble_files
    config = many_run.config
    with pytest.raises(InputError, match=r"combiners\.json is not of the members of .*delete"):
        evaluation.evaluate(
            inputs | {"combiners": tmp_path / "combiners.json"},
            config["dataset"],
            config["evaluation"],
            1,
            {},
        )
