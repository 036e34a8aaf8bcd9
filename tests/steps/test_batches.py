"""Steps of one batch: whole groups, held-out scores, repeatable files."""

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import polars as pl
import pytest
from scipy.special import logit

from genebatch.dataset.row_file import RowFile
from genebatch.dataset.row_pass import Part
from genebatch.io.files import InputError, read_json
from genebatch.io.tables import read_tsv
from genebatch.model.archive import load_model
from genebatch.steps.batches import train_batch
from genebatch.training.explain import START
from tests.builders.toy_run import shuffled_labels

CLASSES = ["neither", "donor", "acceptor"]
MARGINS = [f"margin_{name}" for name in CLASSES]


@pytest.fixture(scope="module")
def out_of_fold(toy):
    return pl.read_parquet(toy.paths("b000")["out_of_fold"])


@pytest.fixture
def replanned(new_run, tmp_path, toy):
    """Make a run on other rows under the plan of `toy`."""

    def make(rows):
        run = new_run(tmp_path / "replanned")
        run.write(rows)
        run.analyze()
        run.take_plan(toy)
        return run

    return make


@pytest.fixture(scope="module")
def explained(toy):
    toy.explain("b000")
    return toy.paths("b000")


# The rows


def test_missing_row_file_is_named(toy, tmp_path):
    rows = tmp_path / "b777.arrow"
    with pytest.raises(InputError, match=r"b777\.arrow is missing or no whole file of rows; run"):
        trained(toy, tmp_path / "model.gbm", rows=rows)
    assert not list(tmp_path.iterdir())


# Folds


def test_no_group_is_in_two_folds(toy, out_of_fold):
    assert out_of_fold.group_by("group").agg(pl.col("fold").n_unique())["fold"].max() == 1
    plan = toy.plan_lines.filter(batch="b000")
    folds = out_of_fold.select("group", "fold").unique().sort("group")
    assert folds.equals(plan.select("group", "fold").sort("group"))
    assert folds["fold"].unique().sort().to_list() == [0, 1, 2]


def test_every_row_has_one_out_of_fold_score(toy, toy_rows, out_of_fold):
    groups = toy.plan_lines.filter(batch="b000")["group"].to_list()
    own = toy_rows.filter(pl.col("gene_id").is_in(groups))
    keys = ["group", "position"]
    expected = own.select(group="gene_id", position="position").sort(keys)
    assert out_of_fold.select(keys).sort(keys).equals(expected)
    assert out_of_fold.select(pl.col(MARGINS).is_finite().all()).row(0) == (True,) * 3


def test_rows_are_in_the_order_of_the_row_file(toy, out_of_fold):
    rows = RowFile.open(toy.paths("b000")["rows"]).identity
    assert out_of_fold.columns == [*rows.columns, *MARGINS]
    assert out_of_fold.select(rows.columns).equals(rows)


def test_identity_of_the_rows_is_that_of_the_data(toy_rows, out_of_fold):
    scores = {f"score_{name}": f"{name}_score" for name in CLASSES}
    expected = toy_rows.select(
        group="gene_id",
        position="position",
        label=pl.col("splice_type").fill_null("neither"),
        weight="sample_weight",
        **scores,
    )
    joined = out_of_fold.select(expected.columns).join(expected, on=["group", "position"])
    assert joined.height == out_of_fold.height
    for name in ("label", "weight", *scores):
        assert joined[name].equals(joined[f"{name}_right"], check_names=False), name


def test_labels_of_a_fold_have_no_part_in_its_scores(replanned, toy_rows, out_of_fold):
    held_out = out_of_fold.filter(pl.col("fold") == 0)["group"].unique().sort().to_list()
    rows = shuffled_labels(toy_rows, held_out)
    assert not rows.equals(toy_rows)
    run = replanned(rows)
    run.cross_validate("b000")
    keys = ["group", "position"]
    after = pl.read_parquet(run.paths("b000")["out_of_fold"]).sort(keys)
    before = out_of_fold.sort(keys)
    own = (before["fold"] == 0).to_numpy()
    assert (before["label"] != after["label"]).to_numpy()[own].any()
    for name in MARGINS:
        same = before[name].to_numpy() == after[name].to_numpy()
        assert same[own].all(), name
        assert not same[~own].all(), name


def test_fold_models_give_the_out_of_fold_scores(toy, toy_rows, out_of_fold):
    folds = load_model(toy.paths("b000")["models"])
    for member in folds.members:
        held_out = out_of_fold.filter(pl.col("fold") == member.facts["fold"])
        assert not set(member.groups) & set(held_out["group"])
        rows = held_out.join(
            toy_rows, left_on=["group", "position"], right_on=["gene_id", "position"], how="left"
        )
        margins = folds.frame_margins(rows)[:, folds.members.index(member)]
        np.testing.assert_allclose(margins, held_out.select(MARGINS).to_numpy(), atol=1e-5)


def test_folds_table_has_each_booster_and_its_curve(toy, out_of_fold):
    files = toy.paths("b000")
    lines = read_tsv(files["folds"])
    curves = pl.read_parquet(files["curves"])
    assert lines.select("fold", "class").rows() == [(f, c) for f in range(3) for c in CLASSES]
    for line in lines.iter_rows(named=True):
        held_out = out_of_fold.filter(pl.col("fold") == line["fold"])
        curve = curves.filter(fold=line["fold"], **{"class": line["class"]})
        assert line["n_trees"] == curve["stop_log_loss"].arg_min()
        assert line["stop_log_loss"] == pytest.approx(curve["stop_log_loss"].min())
        assert line["start_log_loss"] == pytest.approx(curve["stop_log_loss"][0])
        assert line["test_rows"] == held_out.height
        assert line["test_groups"] == held_out["group"].n_unique()
        assert line["test_positives"] == (held_out["label"] == line["class"]).sum()


def test_metrics_compare_the_model_with_the_base_in_every_fold(toy):
    table = read_tsv(toy.paths("b000")["metrics"])
    assert set(table.select("fold", "system").unique().rows()) == {
        (fold, system) for fold in range(3) for system in ("model", "base")
    }
    loss = table.filter(metric="log_loss", weighted=True, **{"class": "all"})
    means = dict(loss.group_by("system").agg(pl.col("value").mean()).rows())
    assert means["model"] < means["base"] - 0.05


def test_learning_from_the_signals_beats_the_base_on_unseen_groups(out_of_fold):
    for name in CLASSES:
        y = (out_of_fold["label"] == name).to_numpy()
        margins = {
            "model": out_of_fold[f"margin_{name}"].to_numpy(),
            "base": logit(out_of_fold[f"score_{name}"].to_numpy()),
        }
        loss = {k: np.logaddexp(0, np.where(y, -m, m)).mean() for k, m in margins.items()}
        assert loss["model"] < 0.8 * loss["base"]


def test_column_order_of_the_shards_changes_nothing(replanned, toy, toy_rows):
    order = np.random.default_rng(5).permutation(toy_rows.width)
    rows = toy_rows.select(np.array(toy_rows.columns)[order].tolist())
    run = replanned(rows)
    run.cross_validate("b000")
    for name in ("out_of_fold", "models"):
        assert run.paths("b000")[name].read_bytes() == toy.paths("b000")[name].read_bytes()


# The model on all rows


def test_trees_are_the_median_over_folds(toy, tmp_path):
    trees = {"neither": [3, 50, 4], "donor": [0, 0, 9], "acceptor": [7, 7, 1]}
    lines = [(fold, name, trees[name][fold]) for fold in range(3) for name in CLASSES]
    table = pl.DataFrame(lines, schema=["fold", "class", "n_trees"], orient="row")
    table = table.with_columns(train_rows=pl.lit(70))
    table.write_csv(tmp_path / "folds.tsv", separator="\t")
    member = load_model(trained(toy, tmp_path / "m.gbm", folds=tmp_path / "folds.tsv")).members[0]
    assert member.facts["n_trees"] == {"neither": 4, "donor": 0, "acceptor": 7}
    assert [booster.num_boosted_rounds() for booster in member.boosters] == [4, 0, 7]


def test_member_knows_its_groups_rows_and_class_weights(toy, out_of_fold):
    member = load_model(toy.paths("b000")["uncalibrated"]).members[0]
    assert member.name == "b000"
    assert list(member.groups) == out_of_fold["group"].unique().sort().to_list()
    assert member.facts["rows"] == out_of_fold.height
    labels, weight = out_of_fold["label"].to_numpy(), out_of_fold["weight"].to_numpy()
    assert list(member.class_weight) == [weight[labels == name].sum() for name in CLASSES]
    assert {calibrator.method for calibrator in member.calibrators} == {"identity"}


def test_same_seed_gives_the_same_files_and_another_does_not(toy, toy_rows, tmp_path):
    again = trained(toy, tmp_path / "again.gbm")
    assert again.read_bytes() == toy.paths("b000")["uncalibrated"].read_bytes()
    other = trained(toy, tmp_path / "other.gbm", learner=replace(toy.settings.learner, seed=8))
    margins = [load_model(path).frame_margins(toy_rows) for path in (again, other)]
    assert (margins[0] != margins[1]).any()


def trained(run, out, **changes):
    """The uncalibrated model of the first batch, from other files or settings."""
    given = run.chosen("rows folds", "b000") | {"learner": run.settings.learner} | changes
    train_batch(**given, threads=1, uncalibrated=out)
    return out


# Calibrators


def test_finished_model_has_the_out_of_fold_metrics(toy):
    written = read_json(toy.paths("b000")["calibration"])
    member = load_model(toy.paths("b000")["model"]).members[0]
    assert member.facts["metrics"] == written["out_of_fold_metrics"]
    rows = {(m["class"], m["metric"], m["weighted"]) for m in member.facts["metrics"]}
    assert {("donor", "average_precision", True), ("all", "log_loss", False)} <= rows
    assert all(m["value"] is not None or m["reason"] for m in member.facts["metrics"])


def test_model_keeps_the_calibrators_that_are_described(toy):
    described = read_json(toy.paths("b000")["calibration"])["classes"]
    member = load_model(toy.paths("b000")["model"]).members[0]
    kept = [calibrator.to_json() for calibrator in member.calibrators]
    assert kept == [
        {key: described[name][key] for key in ("method", "parameters")} for name in CLASSES
    ]


# A batch that lacks a class


@pytest.fixture(scope="module", params=["scores", "none"])
def lacking(request, new_run, make_toy_rows, tmp_path_factory):
    """A finished batch without acceptors, in a data set that has some."""
    changes = {
        "learner": {"n_estimators": 15, "learning_rate": 0.2, "start_from": request.param},
        "batching": {"max_groups": 6, "min_groups": 2, "min_positives": 0},
        "test": {"groups": ["g09", "g10"]},
        "explain": {"rows": 60},
    }
    run = new_run(tmp_path_factory.mktemp("lacking"), changes)
    rows = make_toy_rows(n_groups=11, seed=4).with_columns(
        splice_type=pl.when(pl.col("gene_id") < "g08")
        .then(pl.col("splice_type").replace("acceptor", None))
        .otherwise("splice_type")
    )
    run.write(rows)
    run.analyze()
    run.plan()
    groups = pl.read_parquet(run.paths()["groups"]).filter(n_acceptor=0)
    fold = (pl.int_range(pl.len()) % 3).cast(pl.Int32)
    run.write_rows([Part("b000", "no acceptors", groups.with_columns(fold=fold))])
    run.finish_batch("b000")
    return SimpleNamespace(run=run, rows=rows, start=request.param)


def test_batch_without_a_class_keeps_three_columns(lacking):
    model = load_model(lacking.run.paths("b000")["model"])
    probability = model.predict_proba(lacking.rows)
    assert probability.shape == (lacking.rows.height, 3)
    assert np.isfinite(probability).all()
    np.testing.assert_allclose(probability.sum(axis=1), 1)
    if lacking.start == "none":
        assert probability[:, 2].max() < 0.01
    assert model.members[0].class_weight[2] == 0


def test_batch_without_a_class_says_so(lacking):
    files = lacking.run.paths("b000")
    lines = read_tsv(files["folds"]).filter(pl.col("class") == "acceptor")
    assert set(lines["verdict"]) == {"constant class"}
    assert lines["test_positives"].sum() == 0
    written = read_json(files["calibration"])["classes"]["acceptor"]
    assert (written["method"], written["reason"]) == ("identity", "no positive rows")
    metrics = read_tsv(files["metrics"])
    value, reason = (
        metrics.filter(metric="average_precision", system="model", weighted=False)
        .filter(pl.col("class") == "acceptor")
        .select("value", "reason")
        .row(0)
    )
    assert (value, reason) == (None, "no positive rows")


def test_batch_without_a_class_is_explained(lacking):
    lacking.run.explain("b000")
    table = read_tsv(lacking.run.paths("b000")["families"])
    constant = table.filter(pl.col("class") == "acceptor")
    assert constant["gain_share"].null_count() == constant.height
    assert constant["mean_abs_shap"].to_list() == [0.0] * constant.height


# What explains it


def explained_features(explained):
    """The features that the model or a fold model splits on, in the order of all."""
    models = [load_model(explained[name]) for name in ("model", "models")]
    used = {name for model in models for name in model.feature_names_in_}
    return [name for name in models[0].features.names if name in used]


def test_shap_values_sum_to_the_margin(explained, toy_rows):
    table = pl.read_parquet(explained["shap"])
    model = load_model(explained["model"])
    assert set(table["class"]) == set(CLASSES)
    for number, name in enumerate(CLASSES):
        part = table.filter(pl.col("class") == name)
        rows = part.select("group", "position").join(
            toy_rows, left_on=["group", "position"], right_on=["gene_id", "position"], how="left"
        )
        margin = model.frame_margins(rows)[:, 0, number]
        columns = [START, *explained_features(explained)]
        total = part.select(columns).to_numpy().astype(float).sum(axis=1)
        np.testing.assert_allclose(total, margin, atol=1e-4)


def test_shap_start_follows_the_base_score(explained):
    table = pl.read_parquet(explained["shap"]).filter(pl.col("class") == "donor")
    odds = (table["score_donor"] / (1 - table["score_donor"])).log().to_numpy()
    offset = table[START].to_numpy() - odds
    np.testing.assert_allclose(offset, offset[0], atol=1e-4)


def test_importance_is_the_mean_of_the_shap_values(explained):
    table = read_tsv(explained["importance"])
    shap = pl.read_parquet(explained["shap"])
    names = explained_features(explained)
    assert set(names) < set(load_model(explained["model"]).features.names)
    for name in CLASSES:
        part = table.filter(pl.col("class") == name)
        values = shap.filter(pl.col("class") == name).select(pl.col(names).abs().mean())
        found = dict(part.select("feature", "mean_abs_shap").rows())
        assert set(found) == {*names, START}
        assert [found[f] for f in names] == pytest.approx(values.row(0), rel=1e-4)
        assert part["mean_abs_shap"].is_sorted(descending=True)
        start = part.filter(feature=START)
        assert start["total_gain"].item() is None


def test_signal_leads_the_importances_of_its_class(explained):
    table = read_tsv(explained["importance"])
    for name in ("donor", "acceptor"):
        part = table.filter(pl.col("class") == name, pl.col("feature") != START)
        assert part["feature"][0] == f"signal_{name}"


def test_families_table_shares_the_gain_out(explained, toy):
    table = read_tsv(explained["families"])
    sizes = {"base scores": 3, "signals": 2, "noise": 2, "2mer": 4}
    for name in CLASSES:
        part = table.filter(pl.col("class") == name)
        assert dict(part.select("family", "features").rows()) == sizes
        assert part["gain_share"].sum() == pytest.approx(1)
        rises = dict(part.select("family", "log_loss_rise").rows())
        assert rises["signals"] > 5 * abs(rises["noise"])
        assert part["log_loss_rise"].is_sorted(descending=True)


def test_sample_holds_the_feature_values_of_the_explained_rows(explained, toy_rows):
    sample = pl.read_parquet(explained["sample"])
    shap = pl.read_parquet(explained["shap"]).filter(pl.col("class") == "donor")
    assert sample["group"].equals(shap["group"])
    features = [name for name in sample.columns if name in toy_rows.columns and "_" in name]
    counts = [name for name in features if name.startswith("count")]
    assert features
    assert sum(sample[name].null_count() for name in counts) == 0
    table = toy_rows.select(pl.col(features).cast(pl.Float32)).fill_nan(None)
    found = (
        sample.select(pl.col(features))
        .fill_nan(None)
        .join(table, on=features, how="semi", nulls_equal=True)
    )
    assert found.height == sample.height


def test_explaining_again_gives_the_same_files(explained, toy):
    names = ("shap", "sample", "importance", "families")
    before = [explained[name].read_bytes() for name in names]
    toy.explain("b000")
    assert [explained[name].read_bytes() for name in names] == before
