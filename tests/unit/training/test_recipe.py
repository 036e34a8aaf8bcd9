"""What genebatch.training promises of one batch: whole groups, honest scores, repeatable files."""

import json
import shutil
from types import SimpleNamespace

import numpy as np
import polars as pl
import pytest
from scipy.special import expit, logit
from sklearn.metrics import log_loss

from genebatch.config.settings import Learner
from genebatch.dataset.feature_set import Features
from genebatch.io.files import InputError
from genebatch.model import boosting
from genebatch.model.archive import load_model
from genebatch.model.calibration import Calibrator
from genebatch.training import recipe as training
from genebatch.training.batch import load_batch

CLASSES = ["neither", "donor", "acceptor"]
MARGINS = [f"margin_{name}" for name in CLASSES]


@pytest.fixture(scope="module")
def batch(toy):
    """The rows of the first batch, loaded."""
    return load_batch(toy.paths("b000"), "b000", toy.config["dataset"], toy.config["learner"])


@pytest.fixture(scope="module")
def out_of_fold(toy):
    return pl.read_parquet(toy.paths("b000")["out_of_fold"])


def replanned(new_run, folder, toy, rows):
    """A run on other rows under the folds and features of `toy`."""
    run = new_run(folder)
    run.write(rows)
    run.analyze()
    for name in ("features.json", "plan.parquet"):
        shutil.copy(toy.folder / name, folder / name)
    run.split()
    return run


def shuffled_labels(rows, groups, seed=1):
    """Labels permuted inside each of some groups, so that no count changes."""
    rng = np.random.default_rng(seed)
    labels = rows["splice_type"].to_numpy().copy()
    for group in groups:
        own = np.flatnonzero(rows["gene_id"].to_numpy() == group)
        labels[own] = labels[rng.permutation(own)]
    return rows.with_columns(pl.Series("splice_type", labels.tolist(), dtype=pl.String))


# Folds


def test_no_group_is_in_two_folds(toy, out_of_fold):
    assert out_of_fold.group_by("group").agg(pl.col("fold").n_unique())["fold"].max() == 1
    plan = pl.read_parquet(toy.folder / "plan.parquet").filter(pl.col("batch") == "b000")
    found = out_of_fold.select("group", "fold").unique().sort("group")
    assert found.equals(plan.select("group", "fold").sort("group"))
    assert found["fold"].unique().sort().to_list() == [0, 1, 2]


def test_every_row_has_one_out_of_fold_score(toy, toy_rows, out_of_fold):
    plan = pl.read_parquet(toy.folder / "plan.parquet").filter(pl.col("batch") == "b000")
    own = toy_rows.filter(pl.col("gene_id").is_in(plan["group"].to_list()))
    keys = ["group", "position"]
    expected = own.select(group="gene_id", position="position").sort(keys)
    assert out_of_fold.select(keys).sort(keys).equals(expected)
    assert out_of_fold.select(pl.col(MARGINS).is_finite().all()).row(0) == (True,) * 3


def test_identity_of_the_rows_is_that_of_the_data(toy_rows, out_of_fold):
    scores = {f"score_{name}": f"{name}_score" for name in CLASSES}
    expected = toy_rows.select(
        group="gene_id",
        position="position",
        label=pl.col("splice_type").fill_null("neither"),
        weight="sample_weight",
        **scores,
    )
    found = out_of_fold.select(expected.columns).join(expected, on=["group", "position"])
    assert found.height == out_of_fold.height
    for name in ("label", "weight", *scores):
        assert found[name].equals(found[f"{name}_right"], check_names=False), name


def test_labels_of_a_fold_have_no_part_in_its_scores(new_run, tmp_path, toy, toy_rows, out_of_fold):
    held = out_of_fold.filter(pl.col("fold") == 0)["group"].unique().sort().to_list()
    rows = shuffled_labels(toy_rows, held)
    assert not rows.equals(toy_rows)
    run = replanned(new_run, tmp_path, toy, rows)
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
        held = out_of_fold.filter(pl.col("fold") == member.facts["fold"])
        assert not set(member.groups) & set(held["group"])
        rows = held.join(
            toy_rows, left_on=["group", "position"], right_on=["gene_id", "position"], how="left"
        )
        margins = folds.frame_margins(rows)[:, folds.members.index(member)]
        np.testing.assert_allclose(margins, held.select(MARGINS).to_numpy(), atol=1e-5)


def test_folds_table_has_each_booster_and_its_curve(toy, out_of_fold):
    files = toy.paths("b000")
    lines = pl.read_csv(files["folds"], separator="\t")
    curves = pl.read_parquet(files["curves"])
    assert lines.select("fold", "class").rows() == [(f, c) for f in range(3) for c in CLASSES]
    for line in lines.iter_rows(named=True):
        held = out_of_fold.filter(pl.col("fold") == line["fold"])
        curve = curves.filter(fold=line["fold"], **{"class": line["class"]})
        assert line["n_trees"] == curve["stop_log_loss"].arg_min()
        assert line["stop_log_loss"] == pytest.approx(curve["stop_log_loss"].min())
        assert line["start_log_loss"] == pytest.approx(curve["stop_log_loss"][0])
        assert line["test_rows"] == held.height
        assert line["test_groups"] == held["group"].n_unique()
        assert line["test_positives"] == (held["label"] == line["class"]).sum()


def test_metrics_compare_the_model_with_the_base_in_every_fold(toy):
    table = pl.read_csv(toy.paths("b000")["metrics"], separator="\t")
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


# Features


def test_labels_have_no_part_in_the_features(toy, toy_rows):
    features = Features.from_json(json.loads((toy.folder / "features.json").read_text()))
    groups = toy_rows["gene_id"].unique().to_list()
    before, after = (
        features.select(rows) for rows in (toy_rows, shuffled_labels(toy_rows, groups))
    )
    for part in ("data", "indices", "indptr"):
        assert getattr(before, part).tobytes() == getattr(after, part).tobytes()


def test_column_order_of_the_shards_changes_nothing(new_run, tmp_path, toy, toy_rows):
    order = np.random.default_rng(5).permutation(toy_rows.width)
    rows = toy_rows.select(np.array(toy_rows.columns)[order].tolist())
    run = replanned(new_run, tmp_path, toy, rows)
    run.cross_validate("b000")
    for name in ("out_of_fold", "models"):
        assert run.paths("b000")[name].read_bytes() == toy.paths("b000")[name].read_bytes()


# The model on all rows


def test_trees_are_the_median_over_folds(new_run, tmp_path, toy):
    run = new_run(tmp_path)
    for folder in ("b000", "rows"):
        (tmp_path / folder).mkdir()
    for name in ("profile.json", "features.json", "plan.parquet", "rows/b000.arrow"):
        shutil.copy(toy.folder / name, tmp_path / name)
    trees = {"neither": [3, 50, 4], "donor": [0, 0, 9], "acceptor": [7, 7, 1]}
    lines = [(fold, name, trees[name][fold]) for fold in range(3) for name in CLASSES]
    table = pl.DataFrame(lines, schema=["fold", "class", "n_trees"], orient="row")
    table.write_csv(run.paths("b000")["folds"], separator="\t")
    member = load_model(run.train("b000")).members[0]
    assert member.facts["n_trees"] == {"neither": 4, "donor": 0, "acceptor": 7}
    assert [booster.num_boosted_rounds() for booster in member.boosters] == [4, 0, 7]


def test_median_trees_stand_in_the_order_of_the_classes():
    names = [f"class {number}" for number in range(40)]
    folds = pl.DataFrame({"class": names * 3, "n_trees": [4] * 40 + [9] * 40 + [1] * 40})
    assert list(training.median_trees(folds).items()) == [(name, 4) for name in names]


def test_member_knows_its_groups_rows_and_class_weights(toy, out_of_fold):
    member = load_model(toy.folder / "b000" / "raw.gbm").members[0]
    assert member.name == "b000"
    assert list(member.groups) == out_of_fold["group"].unique().sort().to_list()
    assert member.facts["rows"] == out_of_fold.height
    labels, weight = out_of_fold["label"].to_numpy(), out_of_fold["weight"].to_numpy()
    assert list(member.class_weight) == [weight[labels == name].sum() for name in CLASSES]
    assert {calibrator.method for calibrator in member.calibrators} == {"identity"}


def test_all_rows_train_with_their_weight_from_the_base_score(toy, batch):
    member = load_model(toy.folder / "b000" / "raw.gbm").members[0]
    for column, name in enumerate(CLASSES):
        booster = boosting.fit_trees(
            batch.matrix,
            batch.codes == column,
            np.where(batch.codes == 0, 3.0, 1.0),
            logit(batch.rows[f"score_{name}"].to_numpy()).astype(np.float32),
            member.facts["n_trees"][name],
            Learner.build(toy.config["learner"]),
        )
        assert booster.num_boosted_rounds() > 0
        expected, found = (b.trees_to_dataframe() for b in (booster, member.boosters[column]))
        assert expected["Split"].equals(found["Split"])
        np.testing.assert_allclose(expected["Gain"], found["Gain"], rtol=1e-3, atol=1e-4)


def test_same_seed_gives_the_same_files_and_another_does_not(tmp_path, toy, toy_rows):
    assert (
        toy.train("b000", tmp_path / "again.gbm").read_bytes()
        == (toy.folder / "b000" / "raw.gbm").read_bytes()
    )
    other = toy.config["learner"] | {"seed": 8}
    training.train_batch(
        toy.paths("b000"), "b000", toy.config["dataset"], other, tmp_path / "other.gbm"
    )
    models = [load_model(tmp_path / name) for name in ("again.gbm", "other.gbm")]
    margins = [model.frame_margins(toy_rows) for model in models]
    assert (margins[0] != margins[1]).any()


# What does not fit the plan


# A batch that lacks a class


@pytest.fixture(scope="module", params=["scores", "none"])
def lacking(request, new_run, make_toy_rows, tmp_path_factory):
    """A finished batch without acceptors, in a data set that has some."""
    changes = {
        "learner": {"n_estimators": 15, "learning_rate": 0.2, "start_from": request.param},
        "batching": {"max_genes": 6, "min_genes": 2, "min_positives": 0},
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
    everything = pl.read_parquet(run.folder / "plan.parquet")
    without = pl.col("n_acceptor") == 0
    everything.with_columns(
        batch=pl.when(without).then(pl.lit("b000")),
        fold=pl.when(without).then(pl.int_range(pl.len(), dtype=pl.Int32) % 3),
    ).write_parquet(run.folder / "plan.parquet")
    run.split()
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
    lines = pl.read_csv(files["folds"], separator="\t").filter(pl.col("class") == "acceptor")
    assert set(lines["verdict"]) == {"constant class"}
    assert lines["test_positives"].sum() == 0
    written = json.loads(files["calibration"].read_text())["classes"]["acceptor"]
    assert (written["method"], written["reason"]) == ("identity", "no positive rows")
    metrics = pl.read_csv(files["metrics"], separator="\t")
    value, reason = (
        metrics.filter(metric="average_precision", system="model", weighted=False)
        .filter(pl.col("class") == "acceptor")
        .select("value", "reason")
        .row(0)
    )
    assert (value, reason) == (None, "no positive rows")


def test_batch_without_a_class_is_explained(lacking):
    lacking.run.explain("b000")
    table = pl.read_csv(lacking.run.paths("b000")["families"], separator="\t")
    constant = table.filter(pl.col("class") == "acceptor")
    assert constant["gain_share"].null_count() == constant.height
    assert constant["mean_abs_shap"].to_list() == [0.0] * constant.height


# Verdicts


def fit(train, stop, n_trees, stopped):
    numbers = np.arange(len(train), dtype=np.uint32)
    curve = pl.DataFrame({"n_trees": numbers, "train_log_loss": train, "stop_log_loss": stop})
    return boosting.Fit(None, n_trees, np.empty(0), curve, stopped)


@pytest.mark.parametrize(
    ("given", "limit", "expected"),
    [
        (fit([0.1], [0.1], 0, False), 100, "constant class"),
        (fit([0.5, 0.4], [0.5, 0.6], 0, True), 100, "learned nothing"),
        (fit([0.5, 0.4, 0.3], [0.5, 0.4, 0.3], 2, False), 2, "tree limit"),
        (fit([0.5, 0.4, 0.3], [0.5, 0.4, 0.3], 2, True), 2, "good"),
        (fit([0.5, 0.14, 0.1], [0.5, 0.3, 0.4], 1, True), 100, "overfitting"),
        (fit([0.5, 0.15, 0.1], [0.5, 0.3, 0.4], 1, True), 100, "good"),
    ],
)
def test_verdict_says_what_the_curve_shows(given, limit, expected):
    assert training.verdict(given, limit) == expected


def test_stopping_groups_without_weight_are_named_with_their_fold(batch):
    fold = batch.rows["fold"].to_numpy()
    stop = (fold != 1) & (batch.rows["group"] == batch.groups[0]).to_numpy()
    if not stop.any():
        stop = (fold != 1) & (batch.rows["group"] == batch.groups[1]).to_numpy()
    train = (fold != 1) & ~stop
    light = batch._replace(weight=np.where(stop, 0.0, batch.weight))
    where = "batch b000, fold 1, class donor"
    message = r"batch b000, fold 1, class donor \(\d+ groups from '.*' to '.*'\): .*stop"
    with pytest.raises(InputError, match=message):
        training.fit_class(light, 1, "donor", train, stop, {}, where)


# Calibration


@pytest.fixture(scope="module")
def calibrated(toy, tmp_path_factory):
    """Calibrate made out-of-fold margins; gives the JSON, the rows and the finished model."""

    def calibrate(margins, codes, method="auto", weight=None, folds=None):
        folder = tmp_path_factory.mktemp("calibrated")
        rows = {
            "group": [f"g{number:05d}" for number in range(len(codes))],
            "label": [CLASSES[code] for code in codes],
            "fold": np.arange(len(codes)) % 3 if folds is None else folds,
            **dict(zip(MARGINS, np.asarray(margins, np.float32).T, strict=True)),
        }
        if weight is not None:
            rows["weight"] = weight
        table = pl.DataFrame(rows)
        table.write_parquet(folder / "out_of_fold.parquet")
        training.calibrate_batch(
            {
                "out_of_fold": folder / "out_of_fold.parquet",
                "model": toy.folder / "b000" / "raw.gbm",
            },
            toy.config["dataset"],
            {"method": method},
            True,
            {"calibration": folder / "calibration.json", "model": folder / "model.gbm"},
        )
        written = json.loads((folder / "calibration.json").read_text())
        return written, load_model(folder / "model.gbm")

    return calibrate


def exact_rows():
    """Margins that are exactly right in every fold: at probability i/5, i of every 5 rows."""
    share = np.repeat([1, 2, 3, 4], 15)
    within = np.tile(np.repeat(np.arange(5), 3), 4)  # the same for the three folds
    donor = within < share
    margins = np.column_stack([-logit(share / 5), logit(share / 5), np.full(60, -9.0)])
    return margins, np.where(donor, 1, 0)


def test_identity_stays_where_nothing_improves(calibrated):
    # Each fold errs its own way about margins that are right over all, so fits on two mislead.
    margin = np.tile(logit([0.25, 0.75]), 12)
    donor = np.array([0, 1] * 4 + [1, 0, 1, 0, 0, 1, 0, 1] + [1, 0, 0, 1, 0, 1, 0, 1])
    margins = np.column_stack([-margin, margin, np.full(24, -9.0)])
    written, model = calibrated(margins, donor, "sigmoid", folds=np.repeat([0, 1, 2], 8))
    found = written["classes"]["donor"]
    losses = {line["method"]: line["log_loss"] for line in found["methods"]}
    assert losses["sigmoid"] > losses["identity"]
    assert found["method"] == "identity"
    assert model.members[0].calibrators[1] == Calibrator("identity", {})


def test_reliability_is_written_before_and_after(calibrated):
    written, _ = calibrated(*exact_rows(), method="identity")
    donor = written["classes"]["donor"]
    assert donor["method"] == "identity"
    assert donor["before"] == donor["after"]
    # Fifteen bins of equal width; 15 rows at each of 0.2, 0.4, 0.6, 0.8,
    # of which the third class takes one ten-thousandth.
    assert [line["n"] for line in donor["before"]["reliability"]] == [15, 15, 15, 15]
    found = [
        (line["mean_probability"], line["observed"]) for line in donor["before"]["reliability"]
    ]
    np.testing.assert_allclose(found, np.repeat([[0.2], [0.4], [0.6], [0.8]], 2, 1), atol=2e-4)


def test_overconfident_margins_get_a_calibrator_that_the_model_keeps(calibrated):
    rng = np.random.default_rng(0)
    truth = rng.normal(0, 1.5, 3000)
    donor = rng.random(3000) < expit(truth)
    margins = np.column_stack([-4 * truth, 4 * truth, np.full(3000, -9.0)])
    written, model = calibrated(margins, donor.astype(int), weight=np.ones(3000))
    found = written["classes"]["donor"]
    losses = {line["method"]: line["log_loss"] for line in found["methods"]}
    assert losses[found["method"]] == min(losses.values()) < losses["identity"] - 0.1
    assert [line["method"] for line in found["methods"] if line["chosen"]] == [found["method"]]
    kept = model.members[0].calibrators[1]
    assert kept == Calibrator(found["method"], found["parameters"])
    assert kept.apply([4.0])[0] == pytest.approx(expit(1.0), abs=0.05)

    def gap(lines):
        miss = [abs(x["mean_probability"] - x["observed"]) * x["weight"] for x in lines]
        return sum(miss) / 3000

    assert gap(found["after"]["reliability"]) < 0.03
    assert gap(found["before"]["reliability"]) > 0.1


def test_losses_before_and_after_are_of_probabilities_that_the_model_gives(calibrated):
    rng = np.random.default_rng(1)
    truth = rng.normal(0, 1.5, 900)
    donor = rng.random(900) < expit(truth)
    margins = np.column_stack([-truth, 4 * truth, rng.normal(-2, 1, 900)]).astype(np.float32)
    written, _ = calibrated(margins, donor.astype(int), method="identity")
    raw = expit(margins.astype(float))
    given = raw / raw.sum(axis=1, keepdims=True)
    for column, name in enumerate(CLASSES[:2]):
        y = donor == (column == 1)
        for side in ("before", "after"):
            found = written["classes"][name][side]
            assert found["log_loss"] == pytest.approx(log_loss(y, given[:, column]))
            mass = sum(line["weight"] * line["mean_probability"] for line in found["reliability"])
            assert mass == pytest.approx(given[:, column].sum())
        assert log_loss(y, raw[:, column]) != pytest.approx(found["log_loss"], rel=0.01)


def test_base_scores_are_judged_as_they_are(out_of_fold):
    scores = {f"score_{name}": [0.9, 0.0, 0.4, 0.8] for name in CLASSES}
    rows = out_of_fold[:4].with_columns(
        pl.Series("label", ["donor", "neither", "acceptor", "neither"]),
        pl.lit(0).alias("fold"),
        *(pl.Series(name, values) for name, values in scores.items()),
    )
    table = training.fold_metrics(rows, {"classes": CLASSES, "rest_class": None}).filter(
        system="base", weighted=False
    )
    donor = table.filter(pl.col("class") == "donor", pl.col("metric") == "brier")["value"].item()
    assert donor == pytest.approx((0.1**2 + 0 + 0.4**2 + 0.8**2) / 4)
    overall = table.filter(pl.col("class") == "all", pl.col("metric") == "log_loss")
    assert overall["value"].item() is None
    assert "do not sum to 1" in overall["reason"].item()


def test_finished_model_has_the_out_of_fold_metrics(toy):
    written = json.loads(toy.paths("b000")["calibration"].read_text())
    member = load_model(toy.paths("b000")["model"]).members[0]
    assert member.facts["metrics"] == written["out_of_fold_metrics"]
    rows = {(m["class"], m["metric"], m["weighted"]) for m in member.facts["metrics"]}
    assert {("donor", "average_precision", True), ("all", "log_loss", False)} <= rows
    assert all(m["value"] is not None or m["reason"] for m in member.facts["metrics"])
