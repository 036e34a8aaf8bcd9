"""What genebatch.consolidation promises: the model that is asked for, and what it must know."""

import json
from dataclasses import replace

import numpy as np
import polars as pl
import pytest
from scipy.stats import norm
from sklearn.metrics import log_loss

from genebatch.ensemble.final import consolidate, weighted_shares
from genebatch.ensemble.thresholds import by_class, choose
from genebatch.io.files import InputError
from genebatch.io.tables import read_tsv
from genebatch.metrics.binary import reliability
from genebatch.model.archive import load_model
from genebatch.model.ensemble import EQUAL

CLASSES = ["neither", "donor", "acceptor"]


def consolidated(toy, folder, final="ensemble", prevalence=None, **changes):
    """The final model of the toy run with other settings or inputs; its files lie in `folder`."""
    inputs = toy.paths() | toy.ensemble_files | changes
    names = {"model": "model.gbm", "pickle": "model.pkl"}
    names |= {name: f"{name}.tsv" for name in ("thresholds", "candidates")}
    outputs = {key: folder / name for key, name in names.items()}
    consolidate(inputs, final, prevalence, outputs)
    return load_model(outputs["model"])


def stand_in(toy, folder, name, member=0, **changes):
    """One batch's model as if it were a rival, with honest probabilities for it to be judged by."""
    ensemble = load_model(toy.ensemble_files["ensemble"])
    groups = tuple(sorted(group for each in ensemble.members for group in each.groups))
    chosen = ensemble.members[member]._replace(name=name, groups=groups)
    model = replace(ensemble, members=(chosen,), combiner=EQUAL, facts={"algorithm": 0} | changes)
    model.save(folder / f"{name}.gbm")
    rows = pl.read_parquet(toy.ensemble_files["combined"])
    honest = rows.select(
        "group", "label", "position", "weight", pl.col("^score_.*$"),
        *(pl.col(f"log_odds:{label}").alias(f"{name}:{label}") for label in CLASSES),
    )  # fmt: skip
    honest.write_parquet(folder / f"{name}.parquet")
    return {name: folder / f"{name}.gbm", f"{name}_honest": folder / f"{name}.parquet"}


def test_model_has_every_batch_of_the_plan(toy, tmp_path):
    model = consolidated(toy, tmp_path)
    manifest = pl.read_csv(toy.paths()["manifest"], separator="\t")
    assert [member.name for member in model.members] == ["b000", "b001"]
    assert [member.facts["rows"] for member in model.members] == manifest["rows"].to_list()
    assert [len(member.groups) for member in model.members] == manifest["genes"].to_list()


def test_no_test_group_is_in_the_model(toy, tmp_path):
    model = consolidated(toy, tmp_path)
    trained = {group for member in model.members for group in member.groups}
    tested = set(pl.read_csv(toy.paths()["test_groups"], separator="\t")["group"])
    everything = set(pl.read_parquet(toy.paths()["genes"])["group"])
    assert tested
    assert not trained & tested
    assert trained | tested == everything


def test_same_inputs_give_the_same_bytes(toy, tmp_path):
    for name in ("one", "two"):
        consolidated(toy, tmp_path / name)
    one, two = (tmp_path / name / "model.gbm" for name in ("one", "two"))
    assert one.read_bytes() == two.read_bytes()


def test_model_knows_its_data_and_batches(toy, tmp_path):
    facts = consolidated(toy, tmp_path).facts
    profile = json.loads(toy.paths()["profile"].read_text())
    assert facts["final"] == "ensemble"
    assert facts["data_digest"] == profile["digest"]
    assert (facts["data_rows"], facts["data_groups"]) == (profile["rows"], profile["groups"])
    manifest = pl.read_csv(toy.paths()["manifest"], separator="\t")
    assert facts["batches"] == manifest.select("batch", "key", "genes", "rows").to_dicts()


def test_pickle_holds_the_model_of_the_file(toy, toy_rows, tmp_path):
    model = consolidated(toy, tmp_path)
    trusted = load_model(tmp_path / "model.pkl", trust=True)
    np.testing.assert_array_equal(trusted.predict_proba(toy_rows), model.predict_proba(toy_rows))


def test_prevalence_of_the_config_is_used(toy, toy_rows, tmp_path):
    share = {"neither": 0.98, "donor": 0.01, "acceptor": 0.01}
    plain = consolidated(toy, tmp_path / "plain").predict_proba(toy_rows)
    model = consolidated(toy, tmp_path / "rare", prevalence=share)
    assert model.prevalence == share
    assert (model.predict_proba(toy_rows)[:, 0] > plain[:, 0]).all()


# Which model it is


def test_combiner_is_that_of_the_ensemble(toy, toy_rows, tmp_path):
    model = consolidated(toy, tmp_path)
    ensemble = load_model(toy.ensemble_files["ensemble"])
    assert model.combiner == ensemble.combiner == EQUAL
    np.testing.assert_array_equal(model.predict_proba(toy_rows), ensemble.predict_proba(toy_rows))


def test_final_single_is_one_member_that_says_so(toy, toy_rows, tmp_path):
    rivals = stand_in(toy, tmp_path, "single")
    model = consolidated(toy, tmp_path / "out", "single", **rivals)
    assert [member.name for member in model.members] == ["single"]
    assert model.facts["final"] == "single"
    batch = load_model(toy.paths("b000")["model"])
    np.testing.assert_array_equal(model.predict_proba(toy_rows), batch.predict_proba(toy_rows))
    # What is known of the run is known whichever model is delivered.
    assert len(model.facts["batches"]) == 2
    assert set(model.facts["thresholds"]) == set(CLASSES)


def test_trained_rivals_are_listed_and_the_model_stays_the_one_asked_for(toy, tmp_path):
    rivals = stand_in(toy, tmp_path, "single") | stand_in(toy, tmp_path, "distilled", 1)
    model = consolidated(toy, tmp_path / "out", **rivals)
    assert len(model.members) == 2
    table = read_tsv(tmp_path / "out" / "candidates.tsv")
    assert table["candidate"].to_list() == ["ensemble", "single", "distilled"]
    assert table["chosen"].to_list() == [True, False, False]
    assert table["members"].to_list() == [2, 1, 1]
    trees = [member.n_trees for member in model.members]
    assert table["trees"].to_list() == [sum(trees), *trees]


def test_best_takes_the_cheapest_of_equals(toy, tmp_path):
    """Both rivals have the ensemble's honest probabilities here, so trees alone decide."""
    rivals = stand_in(toy, tmp_path, "single") | stand_in(toy, tmp_path, "distilled", 1)
    model = consolidated(toy, tmp_path / "out", "best", **rivals)
    table = read_tsv(tmp_path / "out" / "candidates.tsv")
    cheapest = table.sort("trees")["candidate"][0]
    assert model.facts["final"] == cheapest == table.filter("chosen")["candidate"].item()
    assert cheapest != "ensemble"


def test_members_without_weight_are_left_out_and_are_not_missed(toy, toy_rows, tmp_path):
    parameters = {"weights": [[0.0, 1.0]] * 3, "intercept": [0.0] * 3}
    combiner = {"name": "selected", "parameters": parameters}
    whole = replace(load_model(toy.ensemble_files["ensemble"]), combiner=combiner)
    whole.save(tmp_path / "ensemble.gbm")
    model = consolidated(toy, tmp_path / "out", ensemble=tmp_path / "ensemble.gbm")
    assert [member.name for member in model.members] == ["b001"]
    np.testing.assert_array_equal(model.predict_proba(toy_rows), whole.predict_proba(toy_rows))
    assert read_tsv(tmp_path / "out" / "candidates.tsv")["members"].to_list() == [1]


def test_pruned_model_still_knows_the_genes_of_all_members(toy, tmp_path):
    """Weights and trees were learned from them, whether or not their member is kept."""
    groups = pl.read_parquet(toy.paths()["genes"])["group"].cast(pl.String)
    table = pl.DataFrame({"gene_id": groups, "group": groups})
    table.write_csv(tmp_path / "genes.tsv", separator="\t")
    parameters = {"weights": [[0.0, 1.0]] * 3, "intercept": [0.0] * 3}
    combiner = {"name": "selected", "parameters": parameters}
    whole = replace(load_model(toy.ensemble_files["ensemble"]), combiner=combiner)
    whole.save(tmp_path / "ensemble.gbm")
    changes = {"ensemble": tmp_path / "ensemble.gbm", "table": tmp_path / "genes.tsv"}
    model = consolidated(toy, tmp_path / "out", **changes)
    trained = {group for member in whole.members for group in member.groups}
    assert model.facts["trained_genes"] == sorted(trained)


# Thresholds and the making of features


def test_thresholds_are_in_the_table_and_in_the_model(toy, tmp_path):
    model = consolidated(toy, tmp_path)
    table = read_tsv(tmp_path / "thresholds.tsv")
    chosen = choose(model, toy.ensemble_files["combined"], "log_odds")
    assert table.drop("reason").equals(chosen.drop("reason"))
    assert model.facts["thresholds"] == by_class(chosen)
    assert set(model.facts["thresholds"]) == set(CLASSES)


def test_thresholds_are_of_the_prevalence_in_use(toy, tmp_path):
    share = {"neither": 0.98, "donor": 0.01, "acceptor": 0.01}
    before = consolidated(toy, tmp_path / "plain").facts["thresholds"]
    after = consolidated(toy, tmp_path / "rare", prevalence=share).facts["thresholds"]
    assert after["donor"]["rows"] < before["donor"]["rows"] / 3


def test_model_says_how_its_features_were_made(toy, tmp_path):
    assert consolidated(toy, tmp_path).facts["sequence"] is None
    made = {"features": {"window": 60}, "sampling": {"seed": 7}}
    profile = json.loads(toy.paths()["profile"].read_text()) | {"sequence": made}
    (tmp_path / "profile.json").write_text(json.dumps(profile))
    model = consolidated(toy, tmp_path, profile=tmp_path / "profile.json")
    assert model.facts["sequence"] == made


def test_model_knows_the_genes_whose_group_it_was_trained_on(toy, tmp_path):
    assert consolidated(toy, tmp_path).facts["trained_genes"] is None
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
    model = consolidated(toy, tmp_path, table=tmp_path / "genes.tsv")
    trained = sorted(set(groups) - tested)
    wanted = [f"{end}-{group}" for end in "yz" for group in trained]
    assert model.facts["trained_genes"] == wanted


# The prevalence of the weights


def test_shares_of_the_weights_are_those_of_all_training_rows(toy, toy_rows):
    tested = pl.read_csv(toy.paths()["test_groups"], separator="\t")["group"].to_list()
    rows = toy_rows.filter(~pl.col("gene_id").is_in(tested)).with_columns(
        pl.col("splice_type").fill_null("neither")
    )
    sums = dict(rows.group_by("splice_type").agg(pl.col("sample_weight").sum()).iter_rows())
    shares = weighted_shares(load_model(toy.ensemble_files["ensemble"]))
    assert list(shares) == CLASSES
    assert shares == {name: pytest.approx(sums[name] / sum(sums.values())) for name in CLASSES}


def test_boosters_trained_with_weights_need_no_shift_to_them(toy, toy_rows, tmp_path):
    plain = consolidated(toy, tmp_path / "plain")
    shifted = consolidated(toy, tmp_path / "weights", prevalence="weights")
    assert sum(shifted.prevalence.values()) == pytest.approx(1)
    expected = plain.predict_proba(toy_rows)
    np.testing.assert_allclose(shifted.predict_proba(toy_rows), expected, rtol=1e-12)


@pytest.mark.parametrize("weights", [None, dict.fromkeys(CLASSES, 0.0)])
def test_weights_that_are_not_there_are_no_prevalence(toy, weights):
    model = load_model(toy.paths("b000")["model"])
    member = model.members[0]
    changed = member._replace(facts=member.facts | {"class_weights": weights})
    with pytest.raises(InputError, match=r"calibration\.prevalence is weights, but"):
        weighted_shares(replace(model, members=(changed,)))


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


def test_ensemble_of_another_plan_is_refused(toy, tmp_path):
    manifest = pl.read_csv(toy.paths()["manifest"], separator="\t")
    manifest.with_columns(pl.lit("other").alias("key")).write_csv(
        tmp_path / "manifest.tsv", separator="\t"
    )
    with pytest.raises(InputError, match="b000, b001 were trained for another plan"):
        consolidated(toy, tmp_path / "out", manifest=tmp_path / "manifest.tsv")
    assert not (tmp_path / "out").exists()


def test_rival_that_was_trained_on_other_groups_is_refused(toy, tmp_path):
    rivals = stand_in(toy, tmp_path, "single")
    model = load_model(rivals["single"])
    fewer = model.members[0]._replace(groups=model.members[0].groups[1:])
    replace(model, members=(fewer,)).save(rivals["single"])
    with pytest.raises(InputError, match=r"single\.gbm was trained on .* groups, not on the"):
        consolidated(toy, tmp_path / "out", **rivals)
