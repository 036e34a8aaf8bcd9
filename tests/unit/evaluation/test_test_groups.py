"""What evaluation.test_groups promises: the same rows for all models, and nothing made up."""

from dataclasses import replace
from typing import NamedTuple

import numpy as np
import polars as pl
import pytest

from genebatch.dataset.row_file import RowFile
from genebatch.dataset.row_pass import Part
from genebatch.dataset.rows import group_codes
from genebatch.evaluation import test_groups as evaluation
from genebatch.evaluation.systems import Compared, Predictions, predict_rows
from genebatch.io.files import read_json
from genebatch.metrics.multiclass import score_table
from genebatch.model.archive import load_model
from genebatch.model.combiners import COMBINERS

CLASSES = ["neither", "donor", "acceptor"]
COMBINED = [name for name in COMBINERS if name != "routed"]
KEYS = ["system", "class", "metric", "weighted"]


class Judged(NamedTuple):
    """The models of a run, what they say of test rows, and the judgement on it."""

    compared: Compared
    predicted: Predictions
    tables: evaluation.Tables


def judged_run(run, rows, **alone):
    """Judge the models of a run, and models that are no ensemble, on the rows of a row file."""
    files = run.ensemble_files
    final, ensemble = load_model(run.paths()["model"]), load_model(files["ensemble"])
    compared = Compared(final, ensemble, read_json(files["combiners"])["combiners"], alone)
    predicted = predict_rows(compared, RowFile.open(rows).frames())
    tables = evaluation.judge(compared, predicted, run.settings.evaluation)
    return Judged(compared, predicted, tables)


@pytest.fixture(scope="module")
def judged(toy):
    return judged_run(toy, toy.folder / "rows" / "test.arrow").tables


@pytest.fixture(scope="module")
def many_judged(new_run, make_toy_rows, toy, tmp_path_factory):
    """The models of `toy` on twelve groups of another draw, each with donors and acceptors."""
    run = new_run(tmp_path_factory.mktemp("many"))
    run.write(make_toy_rows(n_groups=12, seed=5).with_columns(gene_id="new_" + pl.col("gene_id")))
    run.analyze()
    run.paths()["features"].symlink_to(toy.paths()["features"])
    groups = pl.read_parquet(run.paths()["groups"])
    run.write_rows([Part("test", "many", groups.with_columns(fold=pl.lit(None, pl.Int32)))])
    # Two of its batches stand for the models that it could have been.
    names = {"single": "b000", "distilled": "b001"}
    alone = {name: load_model(toy.paths(batch)["model"]) for name, batch in names.items()}
    return judged_run(toy, run.folder / "rows" / "test.arrow", **alone)


@pytest.fixture(scope="module")
def many(many_judged):
    return many_judged.tables


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
    return judged_run(run, run.folder / "rows" / "test.arrow").tables


def test_rows_are_those_of_the_test_groups(judged, toy, toy_rows):
    expected = toy_rows.filter(pl.col("gene_id").is_in(toy.test_groups))
    keys = ["group", "position"]
    rows = judged.predictions.select(keys).sort(keys)
    assert rows.equals(expected.select(group="gene_id", position="position").sort(keys))


def test_predictions_are_those_of_the_model(judged, toy, toy_rows):
    model = load_model(toy.paths()["model"])
    rows = judged.predictions.select("group", "position").join(
        toy_rows, left_on=["group", "position"], right_on=["gene_id", "position"], how="left"
    )
    for prefix, values in (
        ("probability", model.predict_proba(rows)),
        ("std", model.predict_std(rows)),
    ):
        written = judged.predictions.select(f"{prefix}_{name}" for name in CLASSES).to_numpy()
        np.testing.assert_allclose(written, values, atol=1e-12)


def test_every_model_is_judged_on_the_same_rows(judged):
    models = {"model", "base", "member b000", "member b001", *COMBINED}
    assert set(judged.metrics["system"]) == models
    shape = judged.metrics.group_by("class", "metric", "weighted").agg(pl.col("system").n_unique())
    assert set(shape["system"]) == {len(models)}
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
        own = judged.metrics.filter(system=system)
        np.testing.assert_allclose(own["value"].to_numpy(), again["value"].to_numpy(), rtol=1e-9)


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


def test_intervals_are_seeded(many_judged, toy):
    compared, predicted, tables = many_judged
    again = evaluation.judge(compared, predicted, toy.settings.evaluation)
    assert again.comparison.equals(tables.comparison)


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


def test_without_base_scores_and_weights_the_tables_are_complete(plain):
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


# Every model


def test_compared_are_the_base_the_members_every_combiner_and_the_others(many, judged, plain):
    ranks = ["member best", "member median", "member worst"]
    assert set(many.systems["system"]) == {"base", *ranks, *COMBINED, "single", "distilled"}
    assert set(judged.systems["system"]) == {"base", *ranks, *COMBINED}
    assert set(plain.systems["system"]) == {*ranks, *COMBINED}
    assert many.systems.select(KEYS).is_unique().all()


def test_lines_of_a_model_stand_together(many):
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
    values_of = {(row[2], row[0]): row[4] for row in ranked.iter_rows()}
    # Of four the median is the better of the two in the middle, which is a member.
    expected = {"average_precision": (0.9, 0.5, 0.2), "log_loss": (0.2, 0.3, 0.9)}
    for metric, three in expected.items():
        for rank, value in zip(("best", "median", "worst"), three, strict=True):
            assert values_of[metric, f"member {rank}"] == value


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
def test_exactly_one_model_is_in_use(many_judged, toy, final, combiner, expected):
    compared, predicted, _ = many_judged
    chosen = {"name": combiner, "parameters": compared.combiners[combiner]}
    changed = compared._replace(
        final=replace(compared.final, facts=compared.final.facts | {"final": final}),
        ensemble=replace(compared.ensemble, combiner=chosen),
    )
    quick = replace(toy.settings.evaluation, n_replicates=2)
    systems = evaluation.judge(changed, predicted, quick).systems
    assert set(systems.filter("in_use")["system"]) == {expected}


def test_model_in_use_has_the_values_of_its_candidate(many):
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
        gained, expected = used[f"over_base{end}"], used[f"difference{end}"]
        np.testing.assert_allclose(gained.to_numpy(), expected.to_numpy(), rtol=1e-6, atol=1e-9)


def test_errors_corrected_and_made_are_counted_for_every_model(many, judged):
    counted = many.systems.filter(pl.col("metric").is_in(["corrected", "made"]))
    assert set(counted["system"]) == {*COMBINED, "single", "distilled"}
    used = judged.systems.filter("in_use", ~pl.col("weighted"))
    for metric in ("corrected", "made"):
        counts = dict(used.filter(metric=metric).select("class", "value").iter_rows())
        expected = dict(judged.corrections.select("class", metric).iter_rows())
        assert counts == expected


def test_without_base_scores_nothing_is_gained_over_them(plain):
    assert not {"over_base", "corrected"} & {*plain.systems.columns, *plain.systems["metric"]}
    assert plain.systems.height > 0
