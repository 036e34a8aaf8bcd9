"""What ensemble.final promises: the model that is asked for, and what it must know."""

from dataclasses import replace

import numpy as np
import polars as pl
import pytest
from scipy.stats import norm
from sklearn.metrics import log_loss

from genebatch.ensemble.candidates import Candidate
from genebatch.ensemble.final import (
    choose_final,
    refuse_other_groups,
    run_facts,
    weighted_shares,
)
from genebatch.ensemble.thresholds import by_class, choose
from genebatch.io.files import InputError, read_json
from genebatch.io.tables import read_tsv
from genebatch.metrics.binary import reliability
from genebatch.model.archive import load_model
from genebatch.model.ensemble import EQUAL, prune

CLASSES = ["neither", "donor", "acceptor"]
SELECTED = {
    "name": "selected",
    "parameters": {"weights": [[0.0, 1.0]] * 3, "intercept": [0.0] * 3},
}


@pytest.fixture(scope="module")
def ensemble(toy):
    return load_model(toy.ensemble_files["ensemble"])


@pytest.fixture(scope="module")
def chosen(toy, ensemble):
    """Choose the final model of the toy run, with another ensemble or beside other candidates."""

    def choose(final="ensemble", shares=None, whole=ensemble, others=(), facts=None):
        scores = whole.combiner["name"]
        own = Candidate("ensemble", prune(whole), toy.ensemble_files["combined"], scores)
        return choose_final([own, *others], final, shares, facts or {})

    return choose


@pytest.fixture
def stand_in(toy, ensemble, tmp_path):
    """One batch's model as if it were another candidate, judged by the ensemble's scores."""

    def make(name, member=0):
        groups = tuple(sorted(ensemble.groups))
        single = ensemble.members[member]._replace(name=name, groups=groups)
        model = replace(ensemble, members=(single,), combiner=EQUAL, facts={"algorithm": 0})
        rows = pl.read_parquet(toy.ensemble_files["combined"])
        held_out = rows.select(
            "group", "label", "position", "weight", pl.col("^score_.*$"),
            *(pl.col(f"log_odds:{label}").alias(f"{name}:{label}") for label in CLASSES),
        )  # fmt: skip
        held_out.write_parquet(tmp_path / f"{name}.parquet")
        return Candidate(name, model, tmp_path / f"{name}.parquet", name)

    return make


@pytest.fixture(scope="module")
def facts(toy):
    """What the final model of the toy run records of the run."""
    batches = read_tsv(toy.paths()["manifest"])
    return run_facts(read_json(toy.paths()["dataset"]), batches, [], None, None)


# Which model it is


def test_model_has_every_batch_of_the_plan(toy, chosen):
    model = chosen().model
    manifest = read_tsv(toy.paths()["manifest"])
    assert [member.name for member in model.members] == ["b000", "b001"]
    assert [member.facts["rows"] for member in model.members] == manifest["rows"].to_list()
    assert [len(member.groups) for member in model.members] == manifest["groups"].to_list()


def test_no_test_group_is_in_the_model(toy, chosen):
    trained = chosen().model.groups
    tested = set(toy.test_groups)
    everything = set(pl.read_parquet(toy.paths()["groups"])["group"])
    assert tested
    assert not trained & tested
    assert trained | tested == everything


def test_combiner_is_that_of_the_ensemble(toy_rows, ensemble, chosen):
    model = chosen().model
    assert model.combiner == ensemble.combiner == EQUAL
    np.testing.assert_array_equal(model.predict_proba(toy_rows), ensemble.predict_proba(toy_rows))


def test_final_single_is_one_member_that_says_so(toy, toy_rows, chosen, stand_in, facts):
    model = chosen("single", others=[stand_in("single")], facts=facts).model
    assert [member.name for member in model.members] == ["single"]
    assert model.facts["final"] == "single"
    batch = load_model(toy.paths("b000")["model"])
    np.testing.assert_array_equal(model.predict_proba(toy_rows), batch.predict_proba(toy_rows))
    # What is known of the run is known whichever model is delivered.
    assert len(model.facts["batches"]) == 2
    assert set(model.facts["thresholds"]) == set(CLASSES)


def test_other_candidates_are_listed_and_the_model_stays_the_one_asked_for(chosen, stand_in):
    others = [stand_in("single"), stand_in("distilled", 1)]
    model, _, table = chosen(others=others)
    assert len(model.members) == 2
    assert table["candidate"].to_list() == ["ensemble", "single", "distilled"]
    assert table["chosen"].to_list() == [True, False, False]
    assert table["members"].to_list() == [2, 1, 1]
    trees = [member.n_trees for member in model.members]
    assert table["trees"].to_list() == [sum(trees), *trees]


def test_best_takes_the_cheapest_of_equals(chosen, stand_in):
    """The others have the ensemble's held-out probabilities here, so trees alone decide."""
    model, _, table = chosen("best", others=[stand_in("single"), stand_in("distilled", 1)])
    cheapest = table.sort("trees")["candidate"][0]
    assert model.facts["final"] == cheapest == table.filter("chosen")["candidate"].item()
    assert cheapest != "ensemble"


def test_members_without_weight_are_left_out_and_are_not_missed(toy_rows, ensemble, chosen):
    whole = replace(ensemble, combiner=SELECTED)
    model, _, candidates = chosen(whole=whole)
    assert [member.name for member in model.members] == ["b001"]
    np.testing.assert_array_equal(model.predict_proba(toy_rows), whole.predict_proba(toy_rows))
    assert candidates["members"].to_list() == [1]


def test_prevalence_of_the_config_is_used(toy_rows, chosen):
    share = {"neither": 0.98, "donor": 0.01, "acceptor": 0.01}
    plain = chosen().model.predict_proba(toy_rows)
    model = chosen(shares=share).model
    assert model.prevalence == share
    assert (model.predict_proba(toy_rows)[:, 0] > plain[:, 0]).all()


# What it knows of the run


def test_model_knows_its_data_and_batches(toy, chosen, facts):
    known = chosen(facts=facts).model.facts
    profile = read_json(toy.paths()["profile"])
    assert known["final"] == "ensemble"
    assert known["data_digest"] == profile["digest"]
    assert (known["data_rows"], known["data_groups"]) == (profile["rows"], profile["groups"])
    manifest = read_tsv(toy.paths()["manifest"])
    assert known["batches"] == manifest.select("batch", "key", "groups", "rows").to_dicts()
    assert known["missing_batches"] == []
    assert known["trained_genes"] is None


def test_model_says_how_its_features_were_made(toy, facts):
    assert facts["sequence"] is None
    made = {"features": {"window": 60}, "sampling": {"seed": 7}}
    data = read_json(toy.paths()["dataset"]) | {"sequence": made}
    known = run_facts(data, read_tsv(toy.paths()["manifest"]), ["b007"], ["one", "two"], None)
    assert known["sequence"] == made
    assert known["missing_batches"] == ["b007"]
    assert known["trained_genes"] == ["one", "two"]


def test_model_of_other_groups_than_those_of_the_batches_is_refused(ensemble):
    groups = frozenset(ensemble.groups)
    refuse_other_groups(ensemble, groups, "single.gbm")
    message = rf"single\.gbm was trained on {len(groups)} groups, not on the {len(groups) - 1} of"
    with pytest.raises(InputError, match=message):
        refuse_other_groups(ensemble, groups - {min(groups)}, "single.gbm")


# Thresholds


def test_thresholds_are_in_the_table_and_in_the_model(toy, chosen):
    model, table, _ = chosen()
    own = choose(model, toy.ensemble_files["combined"], "log_odds")
    assert table.equals(own)
    assert model.facts["thresholds"] == by_class(own)
    assert set(model.facts["thresholds"]) == set(CLASSES)


def test_thresholds_are_of_the_prevalence_in_use(chosen):
    share = {"neither": 0.98, "donor": 0.01, "acceptor": 0.01}
    before = chosen().model.facts["thresholds"]
    after = chosen(shares=share).model.facts["thresholds"]
    assert after["donor"]["rows"] < before["donor"]["rows"] / 3


# The prevalence of the weights


def test_shares_of_the_weights_are_those_of_all_training_rows(toy, toy_rows, ensemble):
    rows = toy_rows.filter(~pl.col("gene_id").is_in(toy.test_groups)).with_columns(
        pl.col("splice_type").fill_null("neither")
    )
    sums = dict(rows.group_by("splice_type").agg(pl.col("sample_weight").sum()).iter_rows())
    shares = weighted_shares(ensemble)
    assert list(shares) == CLASSES
    assert shares == {name: pytest.approx(sums[name] / sum(sums.values())) for name in CLASSES}


def test_shares_of_the_weights_are_of_rows_without_a_model_too(toy):
    model = load_model(toy.paths("b000")["model"])
    known = model.members[0].facts["class_weights"]
    total = sum(known.values()) + 60
    shares = weighted_shares(model, np.array([10.0, 20.0, 30.0]))
    assert shares["donor"] == pytest.approx((known["donor"] + 20) / total)


def test_boosters_trained_with_weights_need_no_shift_to_them(toy_rows, ensemble, chosen):
    plain = chosen().model
    shifted = chosen(shares=weighted_shares(ensemble)).model
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
        "batching": {"max_groups": 20, "min_groups": 2, "min_positives": 1},
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
    assert np.average(np.abs(shifted - truth), weights=weight) < observed / 4
    loss = [log_loss(y, p, sample_weight=weight) for p in (truth, shifted, plain)]
    assert loss[1] < 1.05 * loss[0]
    assert loss[2] > 2 * loss[0]
    # The bins above hold the few rows whose like were thinned out of the training rows.
    table = reliability(y, shifted, weight).filter(pl.col("mean_probability") < 0.4)
    np.testing.assert_allclose(table["mean_probability"], table["observed"], atol=0.1)
