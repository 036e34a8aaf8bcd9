"""Combines batch models behind the interface of one classifier."""

import json
from dataclasses import replace

import numpy as np
import polars as pl
import pytest
from scipy.special import expit, logit

from genebatch import EnsembleModel, load_model
from genebatch.dataset.feature_set import Features
from genebatch.io import tables
from genebatch.io.files import InputError
from genebatch.model import boosting
from genebatch.model.archive import from_bytes, to_bytes
from genebatch.model.ensemble import EQUAL, merge, prune, used_at
from tests.builders.small_table import resolved

CLASSES = ["neither", "donor", "acceptor"]
VOTING = {"name": "voting", "parameters": {}}


@pytest.fixture(scope="module")
def model(toy):
    return load_model(toy.folder / "model.gbm")


@pytest.fixture(scope="module")
def single(toy):
    return load_model(toy.paths("b000")["model"])


# Predictions


def test_rows_sum_to_one(model, toy_rows):
    probability = model.predict_proba(toy_rows)
    assert probability.shape == (toy_rows.height, 3)
    assert probability.dtype == np.float64
    assert ((probability > 0) & (probability < 1)).all()
    np.testing.assert_allclose(probability.sum(axis=1), 1, rtol=1e-12)


def test_predict_gives_the_most_probable_label(model, toy_rows):
    labels, probability = model.predict(toy_rows), model.predict_proba(toy_rows)
    assert [CLASSES.index(label) for label in labels] == probability.argmax(axis=1).tolist()
    assert set(labels) == set(CLASSES)


def test_model_tells_what_it_needs(model, toy):
    names = json.loads((toy.folder / "features.json").read_text())["names"]
    assert model.classes_.tolist() == CLASSES
    assert list(model.features.names) == names
    assert model.feature_names_in_.tolist() == names
    assert model.n_features_in_ == len(names) == 11
    assert sorted(model.columns_in_) == sorted(names)  # the scores are features here


def stumps(model, features, block, y):
    """The model with other features, and a tree of one split for each class."""
    learner = resolved(learner={"max_depth": 1, "subsample": 1.0, "colsample_bytree": 1.0}).learner
    matrix = boosting.build_matrix([block], len(features.names), 256, 1)
    ones = np.ones(len(y))
    boosters = tuple(boosting.fit_trees(matrix, y, ones, None, 1, learner) for _ in CLASSES)
    members = tuple(member._replace(boosters=boosters) for member in model.members)
    return replace(model, features=features, members=members)


def test_only_features_that_a_tree_splits_on_are_asked_for(model, toy_rows):
    features = Features(("signal_donor", "noise_a", "2mer_AA"), 2)
    block = features.select(toy_rows).toarray()
    slim = stumps(model, features, block, block[:, 0] > np.median(block[:, 0]))
    assert slim.feature_names_in_.tolist() == ["signal_donor"]
    assert (slim.n_features_in_, slim.used.tolist()) == (1, [0])
    # Scores to start from are needed even where they are no features.
    scores = [f"{name}_score" for name in CLASSES]
    assert slim.columns_in_[0] == "signal_donor"
    assert sorted(slim.columns_in_[1:]) == sorted(scores)
    needed = toy_rows.select("signal_donor", *scores)
    np.testing.assert_array_equal(slim.predict_proba(needed), slim.predict_proba(toy_rows))


def test_features_that_rows_are_routed_by_are_asked_for(model, toy_rows):
    features = Features(("signal_donor", "noise_a", "noise_b"), 3)
    block = features.select(toy_rows)
    slim = stumps(model, features, block, block[:, 0] > np.median(block[:, 0]))
    by_noise = replace(slim, combiner={"name": "routed", "parameters": {"columns": ["noise_b"]}})
    assert by_noise.feature_names_in_.tolist() == ["signal_donor", "noise_b"]


def test_a_model_without_trees_still_asks_for_a_column_to_count_rows(model, toy_rows):
    features = Features(("signal_donor", "noise_a"), 2)
    block = features.select(toy_rows)
    flat = replace(stumps(model, features, block, np.zeros(len(block), bool)), scores=None)
    assert flat.columns_in_ == ["signal_donor"]
    assert flat.predict_proba(toy_rows.select("signal_donor")).shape == (toy_rows.height, 3)


@pytest.mark.parametrize("kind", ["model", "single"])
def test_shuffled_columns_and_others_beside_them_change_nothing(request, kind, toy_rows):
    given = request.getfixturevalue(kind)
    order = np.random.default_rng(0).permutation(toy_rows.width)
    shuffled = toy_rows.select(np.array(toy_rows.columns)[order].tolist())
    shuffled = shuffled.with_columns(unknown=pl.lit("x"))
    np.testing.assert_array_equal(given.predict_proba(shuffled), given.predict_proba(toy_rows))


@pytest.mark.parametrize("column", ["2mer_GG", "signal_donor", "donor_score"])
def test_missing_feature_is_an_error_that_names_it(model, toy_rows, column):
    with pytest.raises(InputError, match=f"lacks 1 .*'{column}'"):
        model.predict_proba(toy_rows.drop(column))


@pytest.mark.parametrize("kind", ["model", "single"])
def test_every_kind_of_table_gives_the_same_predictions(request, kind, toy_rows, tmp_path):
    given = request.getfixturevalue(kind)
    expected = given.predict_proba(toy_rows)
    folder = tmp_path / "shards"
    folder.mkdir()
    toy_rows.write_parquet(tmp_path / "rows.parquet")
    toy_rows.write_csv(tmp_path / "rows.csv")
    for number, part in enumerate(toy_rows.iter_slices(300)):
        part.write_parquet(folder / f"part-{number}.parquet")
    exact = [
        toy_rows.to_pandas(),
        toy_rows.to_arrow(),
        tmp_path / "rows.parquet",
        str(tmp_path / "rows.parquet"),
        folder,
        f"{folder}/part-*.parquet",
        tmp_path / "rows.csv",
    ]
    for table in exact:
        np.testing.assert_array_equal(given.predict_proba(table), expected)


def test_pieces_of_a_table_give_the_predictions_of_the_whole(model, toy_rows, monkeypatch):
    expected = model.predict_proba(toy_rows)
    monkeypatch.setattr(tables, "BATCH_ROWS", 7)
    np.testing.assert_array_equal(model.predict_proba(toy_rows), expected)
    np.testing.assert_array_equal(
        model.predict_proba(toy_rows[5:6])[0], expected[5], err_msg="one row alone"
    )


def test_table_without_rows_gives_no_predictions(model, toy_rows):
    none = toy_rows.clear()
    assert model.predict_proba(none).shape == (0, 3)
    assert model.predict(none).shape == (0,)
    assert model.member_proba(none).shape == (0, 2, 3)
    assert model.predict_std(none).shape == (0, 3)


def test_no_table_at_all_is_refused(model):
    with pytest.raises(InputError, match=r"shape \(3, 4\); wanted \(rows, \d+\), .*columns_in_"):
        model.predict_proba(np.zeros((3, 4)))
    with pytest.raises(InputError, match="list has no column names"):
        model.predict_proba([[1.0, 2.0]])


@pytest.mark.parametrize("kind", ["model", "single"])
def test_one_batch_and_all_of_them_have_the_same_interface(request, kind, toy_rows):
    given = request.getfixturevalue(kind)
    members = given.member_proba(toy_rows)
    assert isinstance(given, EnsembleModel)
    assert members.shape == (toy_rows.height, len(given.members), 3)
    np.testing.assert_allclose(members.sum(axis=2), 1)
    mean = expit(given.frame_log_odds(toy_rows).mean(axis=1, dtype=float))
    expected = mean / mean.sum(axis=1, keepdims=True)
    np.testing.assert_allclose(given.predict_proba(toy_rows), expected, rtol=1e-9)
    if kind == "model":
        np.testing.assert_allclose(members.std(axis=1), given.predict_std(toy_rows), atol=1e-12)


def test_members_are_the_batches_own_models(model, single, toy, toy_rows):
    assert [member.name for member in model.members] == toy.batches
    np.testing.assert_array_equal(
        model.member_proba(toy_rows)[:, 0], single.predict_proba(toy_rows)
    )
    assert np.isnan(single.predict_std(toy_rows)).all()  # one member has no spread
    assert (model.predict_std(toy_rows).max(axis=0) > 0.01).all()


def test_threads_change_nothing_and_arrive_at_the_boosters(model, toy, toy_rows):
    two = load_model(toy.folder / "model.gbm", threads=2)
    told = json.loads(two.members[0].boosters[0].save_config())
    assert told["learner"]["generic_param"]["nthread"] == "2"
    assert two.threads == 2
    np.testing.assert_array_equal(two.predict_proba(toy_rows), model.predict_proba(toy_rows))


# Prevalence


def test_change_of_prevalence_multiplies_the_odds(single):
    # Trained at 8:1:1, used at 4:5:1, so donors count 10 times as much against neither.
    member = single.members[0]._replace(class_weight=(8.0, 1.0, 1.0))
    used = {"neither": 0.4, "donor": 0.5, "acceptor": 0.1}
    moved = replace(single, members=(member,), prevalence=used)
    probability = np.array([[0.5, 0.25, 0.25]])
    expected = [[0.25 / 1.75, 1.25 / 1.75, 1 / 7]]
    np.testing.assert_allclose(moved.at_prevalence(probability), expected)
    # Before it one member's log-odds become probabilities; 1/2 and twice 1/4 sum to 1 already.
    log_odds = logit(probability)[:, None].astype(np.float32)
    np.testing.assert_allclose(moved.combine(log_odds), expected, rtol=1e-6)


def test_prevalence_of_training_changes_nothing(model, toy_rows):
    trained = np.sum([member.class_weight for member in model.members], axis=0)
    same = replace(model, prevalence=dict(zip(CLASSES, trained / trained.sum(), strict=True)))
    np.testing.assert_allclose(same.predict_proba(toy_rows), model.predict_proba(toy_rows))


def test_rarer_classes_get_less_and_keep_their_order(model, toy_rows):
    rare = replace(model, prevalence={"neither": 0.998, "donor": 0.001, "acceptor": 0.001})
    before, after = model.predict_proba(toy_rows), rare.predict_proba(toy_rows)
    np.testing.assert_allclose(after.sum(axis=1), 1)
    assert (after[:, 1:].sum(axis=1) < before[:, 1:].sum(axis=1)).all()
    odds = [np.log(p[:, 1] / p[:, 2]) for p in (before, after)]
    assert np.ptp(odds[1] - odds[0]) < 1e-9


# Merging


def test_merged_model_has_the_members_of_all(single, toy, toy_rows):
    other = load_model(toy.paths("b001")["model"])
    both = merge([single, other], VOTING, {"note": 1})
    assert [member.name for member in both.members] == ["b000", "b001"]
    assert (both.facts, both.combiner) == ({"note": 1}, VOTING)
    expected = (single.predict_proba(toy_rows) + other.predict_proba(toy_rows)) / 2
    np.testing.assert_allclose(both.predict_proba(toy_rows), expected, rtol=1e-12)


def test_merged_models_keep_the_weights_of_rows_without_a_member(single):
    """A batch of 1 : 2 : 3 has no model."""
    known = single.learned_weight
    partial = replace(single, class_weight=tuple(np.add(known, [1, 2, 3]).tolist()))
    assert merge([single, single], EQUAL, {}).class_weight is None
    merged = merge([partial, single], EQUAL, {})
    np.testing.assert_allclose(merged.learned_weight, np.add(2 * known, [1, 2, 3]))


@pytest.mark.parametrize(
    "other",
    [
        {"features": Features(("a", "b"), 2)},
        {"classes": ("donor", "neither", "acceptor")},
        {"scores": None},
    ],
)
def test_merge_refuses_models_that_differ(single, other):
    with pytest.raises(InputError, match="other features, classes or base scores"):
        merge([single, replace(single, **other)], EQUAL, {})


# Use at other shares


def test_model_used_at_other_shares_keeps_them(model):
    shares = {"neither": 0.9, "donor": 0.05, "acceptor": 0.05}
    assert used_at(model, shares).prevalence == shares
    assert used_at(used_at(model, shares), None).prevalence is None


def test_class_without_training_rows_has_no_way_to_another_share(single):
    member = single.members[0]._replace(class_weight=(8.0, 0.0, 1.0))
    without = replace(single, members=(member,))
    assert used_at(without, None).prevalence is None
    with pytest.raises(InputError, match=r"calibration\.prevalence needs .* 'donor' has none"):
        used_at(without, dict.fromkeys(CLASSES, 1 / 3))


# Members without weight


def weighed(model, *rows):
    parameters = {"weights": [list(row) for row in rows], "intercept": [0.1, 0.0, -0.1]}
    return replace(model, combiner={"name": "stacked", "parameters": parameters})


NOTHING = [(0.0, 0.0)] * 3  # noise alone is stacked so: the intercepts give the base rate


@pytest.mark.parametrize(
    ("rows", "kept"),
    [([(0.0, 0.9), (0.0, 1.1), (0.0, 0.7)], "b001"), (NOTHING, "b000")],
    ids=["the one with weight", "one where none has weight"],
)
def test_pruned_model_says_exactly_what_the_whole_one_said(model, toy_rows, rows, kept):
    given = weighed(model, *rows)
    pruned = prune(given)
    assert [member.name for member in pruned.members] == [kept]
    np.testing.assert_array_equal(pruned.predict_proba(toy_rows), given.predict_proba(toy_rows))


def test_member_of_use_to_one_class_stays(model):
    given = weighed(model, (0.0, 0.9), (0.2, 0.9), (0.0, 0.9))
    assert prune(given) is given


def of_other_shares(model):
    """The members trained on other shares of the classes: 2 : 5 : 5 together."""
    shares = ((1.0, 4.0, 1.0), (1.0, 1.0, 4.0))
    members = [
        member._replace(class_weight=weight)
        for member, weight in zip(model.members, shares, strict=True)
    ]
    return replace(model, members=tuple(members))


ONE_OF_TWO = {"weights": [[0.0, 0.9]] * 3, "intercept": [0.1, 0.0, -0.1]}
LEARNED = ("weighted", "selected", "stacked", "hierarchical")
COMBINED = [EQUAL, VOTING, *({"name": name, "parameters": ONE_OF_TWO} for name in LEARNED)]
COMBINED.append({"name": "hierarchical", "parameters": ONE_OF_TWO | {"tiers": [[0], [1]]}})
ROUTING = {"columns": ["noise_a"], "mean": [0.0], "scale": [1.0], "centroids": [[0.0], [1.0]]}
COMBINED.append({"name": "routed", "parameters": ROUTING | {"reach": 1.0}})
USED = dict(zip(CLASSES, (0.9, 0.06, 0.04), strict=True))


@pytest.mark.parametrize("combiner", COMBINED, ids=lambda combiner: combiner["name"])
def test_pruned_model_is_used_at_other_shares_as_the_whole_one_is(model, toy_rows, combiner):
    whole = replace(of_other_shares(model), combiner=combiner)
    expected = used_at(whole, USED).predict_proba(toy_rows)
    for pruned in (prune(used_at(whole, USED)), used_at(prune(whole), USED)):
        np.testing.assert_array_equal(pruned.predict_proba(toy_rows), expected)
        saved = from_bytes(to_bytes(pruned))
        np.testing.assert_array_equal(saved.predict_proba(toy_rows), expected)


def unmoved_at(model, shares):
    """Whether these shares are those that the probabilities have anyway."""
    probability = np.array([[0.5, 0.25, 0.25]])
    used = used_at(model, dict(zip(CLASSES, shares, strict=True)))
    return np.allclose(used.at_prevalence(probability), probability)


@pytest.mark.parametrize("name", ["stacked", "hierarchical"])
def test_shares_of_all_batches_move_nothing_where_an_intercept_was_learned(model, name):
    combiner = {"name": name, "parameters": ONE_OF_TWO}
    pruned = prune(replace(of_other_shares(model), combiner=combiner))
    assert len(pruned.members) == 1
    assert unmoved_at(pruned, (2 / 12, 5 / 12, 5 / 12))


@pytest.mark.parametrize("name", ["weighted", "selected"])
def test_shares_of_the_members_with_weight_move_nothing_without_an_intercept(model, name):
    whole = replace(of_other_shares(model), combiner={"name": name, "parameters": ONE_OF_TWO})
    assert unmoved_at(whole, (1 / 6, 1 / 6, 4 / 6))
    assert unmoved_at(prune(whole), (1 / 6, 1 / 6, 4 / 6))


def test_members_that_lack_a_class_leave_it_the_share_of_all_batches(model):
    whole = replace(model, combiner={"name": "selected", "parameters": ONE_OF_TWO})
    first, second = of_other_shares(model).members
    members = (first, second._replace(class_weight=(5.0, 0.0, 1.0)))
    assert unmoved_at(prune(replace(whole, members=members)), (6 / 12, 4 / 12, 2 / 12))


@pytest.mark.parametrize("combiner", [EQUAL, VOTING])
def test_equal_weights_prune_nothing(model, combiner):
    assert len(prune(replace(model, combiner=combiner)).members) == 2


def test_trees_of_a_member_are_those_of_all_its_boosters(model):
    for member in model.members:
        assert member.n_trees == sum(member.facts["n_trees"].values()) > 0
