"""What genebatch.consolidation promises: every batch, in the plan's order, in one file."""

import json
from dataclasses import replace

import numpy as np
import polars as pl
import pytest
from scipy.stats import norm
from sklearn.metrics import log_loss

from genebatch.consolidation import consolidate, weighted_shares
from genebatch.files import InputError
from genebatch.metrics import reliability
from genebatch.model import load_model
from genebatch.tables import read_tsv
from genebatch.thresholds import by_class, choose

CLASSES = ["neither", "donor", "acceptor"]


def merge(toy, folder, models, prevalence=None, **changes):
    out_of_fold = [path.parent / "out_of_fold.parquet" for path in models]
    inputs = toy.paths() | {"models": models, "out_of_fold": out_of_fold} | changes
    names = {"model": "model.gbm", "pickle": "model.pkl", "thresholds": "thresholds.tsv"}
    outputs = {key: folder / name for key, name in names.items()}
    consolidate(inputs, "voting", prevalence, outputs)
    return load_model(outputs["model"])


@pytest.fixture(scope="module")
def models(toy):
    return [toy.paths(batch)["model"] for batch in toy.batches]


def test_model_has_every_batch_of_the_plan(toy, models, tmp_path):
    model = merge(toy, tmp_path, models)
    manifest = pl.read_csv(toy.paths()["manifest"], separator="\t")
    assert [member.name for member in model.members] == ["b000", "b001"]
    assert [member.facts["rows"] for member in model.members] == manifest["rows"].to_list()
    assert [len(member.groups) for member in model.members] == manifest["genes"].to_list()


def test_no_test_group_is_in_the_model(toy, models, tmp_path):
    model = merge(toy, tmp_path, models)
    trained = {group for member in model.members for group in member.groups}
    tested = set(pl.read_csv(toy.paths()["test_groups"], separator="\t")["group"])
    everything = set(pl.read_parquet(toy.paths()["genes"])["group"])
    assert tested
    assert not trained & tested
    assert trained | tested == everything


def test_order_of_the_files_changes_nothing(toy, models, tmp_path):
    merge(toy, tmp_path / "one", models)
    merge(toy, tmp_path / "two", models[::-1])
    one, two = (tmp_path / name / "model.gbm" for name in ("one", "two"))
    assert one.read_bytes() == two.read_bytes()


def test_missing_batch_is_named_and_nothing_is_written(toy, models, tmp_path):
    with pytest.raises(InputError, match="batches b001 are missing"):
        merge(toy, tmp_path, models[:1])
    assert not list(tmp_path.iterdir())


def test_file_of_no_batch_of_the_plan_is_left_out(toy, models, tmp_path):
    manifest = pl.read_csv(toy.paths()["manifest"], separator="\t").head(1)
    manifest.write_csv(tmp_path / "manifest.tsv", separator="\t")
    model = merge(toy, tmp_path, models, manifest=tmp_path / "manifest.tsv")
    assert [member.name for member in model.members] == ["b000"]


def test_model_knows_its_data_and_batches(toy, models, tmp_path):
    facts = merge(toy, tmp_path, models).facts
    profile = json.loads(toy.paths()["profile"].read_text())
    assert facts["data_digest"] == profile["digest"]
    assert (facts["data_rows"], facts["data_groups"]) == (profile["rows"], profile["groups"])
    manifest = pl.read_csv(toy.paths()["manifest"], separator="\t")
    assert facts["batches"] == manifest.select("batch", "key", "genes", "rows").to_dicts()


def test_pickle_holds_the_model_of_the_file(toy, models, toy_rows, tmp_path):
    model = merge(toy, tmp_path, models)
    trusted = load_model(tmp_path / "model.pkl", trust=True)
    np.testing.assert_array_equal(trusted.predict_proba(toy_rows), model.predict_proba(toy_rows))


def test_prevalence_of_the_config_is_used(toy, models, toy_rows, tmp_path):
    share = {"neither": 0.98, "donor": 0.01, "acceptor": 0.01}
    plain = merge(toy, tmp_path / "plain", models).predict_proba(toy_rows)
    model = merge(toy, tmp_path / "rare", models, prevalence=share)
    assert model.prevalence == share
    assert (model.predict_proba(toy_rows)[:, 0] > plain[:, 0]).all()


def test_model_of_another_plan_is_refused(toy, models, tmp_path):
    manifest = pl.read_csv(toy.paths()["manifest"], separator="\t")
    other = tmp_path / "manifest.tsv"
    keys = pl.when(pl.col("batch") == "b001").then(pl.lit("0" * 16)).otherwise(pl.col("key"))
    manifest.with_columns(keys.alias("key")).write_csv(other, separator="\t")
    with pytest.raises(InputError, match="batches b001 were trained for another plan"):
        merge(toy, tmp_path, models, manifest=other)
    assert list(tmp_path.iterdir()) == [other]


# Thresholds and the making of features


def test_thresholds_are_in_the_table_and_in_the_model(toy, models, tmp_path):
    model = merge(toy, tmp_path, models[::-1])
    table = read_tsv(tmp_path / "thresholds.tsv")
    chosen = choose(model, [path.parent / "out_of_fold.parquet" for path in models])
    assert table.drop("reason").equals(chosen.drop("reason"))
    assert model.facts["thresholds"] == by_class(chosen)
    assert set(model.facts["thresholds"]) == set(CLASSES)


def test_thresholds_are_of_the_prevalence_in_use(toy, models, tmp_path):
    share = {"neither": 0.98, "donor": 0.01, "acceptor": 0.01}
    before = merge(toy, tmp_path / "plain", models).facts["thresholds"]
    after = merge(toy, tmp_path / "rare", models, prevalence=share).facts["thresholds"]
    assert after["donor"]["rows"] < before["donor"]["rows"] / 3


def test_model_says_how_its_features_were_made(toy, models, tmp_path):
    assert merge(toy, tmp_path, models).facts["sequence"] is None
    made = {"features": {"window": 60}, "sampling": {"seed": 7}}
    profile = json.loads(toy.paths()["profile"].read_text()) | {"sequence": made}
    (tmp_path / "profile.json").write_text(json.dumps(profile))
    model = merge(toy, tmp_path, models, profile=tmp_path / "profile.json")
    assert model.facts["sequence"] == made


def test_model_knows_the_genes_whose_group_it_was_trained_on(toy, models, tmp_path):
    assert merge(toy, tmp_path, models).facts["trained_genes"] is None
    groups = pl.read_parquet(toy.paths()["genes"])["group"].cast(pl.String).to_list()
    tested = set(pl.read_csv(toy.paths()["test_groups"], separator="\t")["group"])
    # Every group has two genes, in an order of its own.
    table = pl.DataFrame(
        {
            "gene_id": [f"{end}-{group}" for group in groups[::-1] for end in "zy"],
            "group": [group for group in groups[::-1] for _ in "zy"],
        }
    )
    table.write_csv(tmp_path / "genes.tsv", separator="\t")
    model = merge(toy, tmp_path, models, table=tmp_path / "genes.tsv")
    trained = sorted(set(groups) - tested)
    wanted = [f"{end}-{group}" for end in "yz" for group in trained]
    assert model.facts["trained_genes"] == wanted


# The prevalence of the weights


def test_shares_of_the_weights_are_those_of_all_training_rows(toy, models, toy_rows):
    tested = pl.read_csv(toy.paths()["test_groups"], separator="\t")["group"].to_list()
    rows = toy_rows.filter(~pl.col("gene_id").is_in(tested)).with_columns(
        pl.col("splice_type").fill_null("neither")
    )
    sums = dict(rows.group_by("splice_type").agg(pl.col("sample_weight").sum()).iter_rows())
    shares = weighted_shares([load_model(path) for path in models])
    assert list(shares) == CLASSES
    assert shares == {name: pytest.approx(sums[name] / sum(sums.values())) for name in CLASSES}


def test_boosters_trained_with_weights_need_no_shift_to_them(toy, models, toy_rows, tmp_path):
    plain = merge(toy, tmp_path / "plain", models)
    shifted = merge(toy, tmp_path / "weights", models, prevalence="weights")
    assert sum(shifted.prevalence.values()) == pytest.approx(1)
    expected = plain.predict_proba(toy_rows)
    np.testing.assert_allclose(shifted.predict_proba(toy_rows), expected, rtol=1e-12)


@pytest.mark.parametrize("weights", [None, dict.fromkeys(CLASSES, 0.0)])
def test_weights_that_are_not_there_are_no_prevalence(models, weights):
    model = load_model(models[0])
    member = model.members[0]
    changed = member._replace(facts=member.facts | {"class_weights": weights})
    with pytest.raises(InputError, match=r"calibration\.prevalence is weights, but"):
        weighted_shares([replace(model, members=(changed,))])


def thinned(n_groups, seed, prefix, keep):
    """Groups of 2,500 positions, one in 50 a site, which a column shifts by 2.

    Returns all sites and a share `keep` of the other rows, weighted accordingly, and the true
    probability of each.
    """
    rng = np.random.default_rng(seed)
    size = n_groups * 2500
    site = rng.random(size) < 0.02
    signal = rng.normal(size=size) + 2 * site
    odds = 0.02 / 0.98 * norm.pdf(signal, 2) / norm.pdf(signal)
    columns = {
        "gene_id": np.repeat([f"{prefix}{number:02d}" for number in range(n_groups)], 2500),
        "chrom": "chr1",
        "position": np.tile(np.arange(2500), n_groups),
        "splice_type": np.where(site, "donor", "neither"),
        "sample_weight": np.where(site, 1.0, 1 / keep),
        "signal": signal,
        "noise": rng.normal(size=size),
    }
    kept = site | (rng.random(size) < keep)
    return pl.DataFrame(columns).filter(pl.Series(kept)), (odds / (1 + odds))[kept]


@pytest.fixture(scope="module")
def thinned_run(new_run, tmp_path_factory):
    """Boosters trained without weights on rows of which one in 20 was kept, sites aside."""
    changes = {
        "dataset": {"classes": ["neither", "donor"], "scores": None, "metadata": ["chrom"]},
        "learner": {
            **{"n_estimators": 60, "learning_rate": 0.2, "max_depth": 2, "use_weights": False},
            **{"min_child_weight": 20, "early_stopping_rounds": 10, "start_from": "none"},
        },
        "calibration": {"prevalence": "weights"},
        "test": {"fraction": 0.1},
        "batching": {"max_genes": 20, "min_genes": 2, "min_positives": 1},
    }
    run = new_run(tmp_path_factory.mktemp("thinned"), changes)
    run.write(thinned(40, 1, "g", 0.05)[0])
    run.make_model()
    return run


def test_shift_starts_where_the_boosters_were_trained(thinned_run):
    model = load_model(thinned_run.folder / "model.gbm")
    for member in model.members:
        facts = member.facts
        assert dict(zip(model.classes, member.class_weight, strict=True)) == facts["class_rows"]
        assert facts["class_weights"]["neither"] == 20 * facts["class_rows"]["neither"]
        assert facts["class_weights"]["donor"] == facts["class_rows"]["donor"]
    assert model.prevalence["donor"] == pytest.approx(0.02, abs=0.002)


def test_model_of_thinned_rows_is_calibrated_on_the_whole_of_fresh_genes(thinned_run):
    model = load_model(thinned_run.folder / "model.gbm")
    rows, truth = thinned(60, 2, "new", 0.5)
    y, weight = (rows["splice_type"] == "donor").to_numpy(), rows["sample_weight"].to_numpy()
    shifted = model.predict_proba(rows)[:, 1]
    plain = replace(model, prevalence=None).predict_proba(rows)[:, 1]
    observed = np.average(y, weights=weight)
    assert np.average(plain, weights=weight) > 5 * observed  # as on the rows it was trained on
    assert np.average(shifted, weights=weight) == pytest.approx(observed, rel=0.1)
    assert np.average(np.abs(shifted - truth), weights=weight) < 0.004
    loss = [log_loss(y, p, sample_weight=weight) for p in (truth, shifted, plain)]
    assert loss[1] < 1.05 * loss[0]
    assert loss[2] > 2 * loss[0]
    # The bins above hold the few rows whose like were thinned out of the training rows.
    table = reliability(y, shifted, weight).filter(pl.col("mean_probability") < 0.4)
    np.testing.assert_allclose(table["mean_probability"], table["observed"], atol=0.1)
