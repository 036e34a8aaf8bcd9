"""What genebatch.model promises: one classifier, whole and unaltered from its file."""

import hashlib
import json
import pickle
import zipfile
from dataclasses import replace

import numpy as np
import polars as pl
import pytest
from scipy.special import expit, logit

from genebatch import EnsembleModel, load_model
from genebatch.dataset.columns import Features
from genebatch.io import tables
from genebatch.io.files import InputError
from genebatch.model.ensemble import EQUAL, FORMAT, merge, prune, used_at
from tests.builders import DATA

CLASSES = ["neither", "donor", "acceptor"]
VOTING = {"name": "voting", "parameters": {}}


@pytest.fixture(scope="module")
def model(toy):
    return load_model(toy.folder / "model.gbm")


@pytest.fixture(scope="module")
def single(toy):
    return load_model(toy.paths("b000")["model"])


@pytest.fixture(scope="module")
def old():
    """The model file of format 1 that is kept, with rows and what it said of them."""
    return DATA / "model_format_1.gbm", json.loads((DATA / "model_format_1.json").read_text())


@pytest.fixture
def edited(old, tmp_path):
    """Write the kept model file anew with another model.json or other members."""

    def write(change=None, members=None, drop=()):
        with zipfile.ZipFile(old[0]) as archive:
            content = {name: archive.read(name) for name in archive.namelist()}
        described = json.loads(content["model.json"])
        if change is not None:
            change(described)
        content |= {"model.json": json.dumps(described).encode()} | (members or {})
        path = tmp_path / "edited.gbm"
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
            for name, data in content.items():
                if name not in drop:
                    archive.writestr(name, data)
        return path

    return write


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
    assert model.feature_names_in_.tolist() == names
    assert model.n_features_in_ == len(names) == 11
    assert sorted(model.columns_in_) == sorted(names)  # the scores are features here


def test_scores_to_start_from_are_needed_even_where_they_are_no_features(model):
    part = Features(("signal_donor", "2mer_AA"), 1)
    needed = replace(model, features=part).columns_in_
    assert needed[:2] == ["signal_donor", "2mer_AA"]
    assert set(needed[2:]) == {f"{name}_score" for name in CLASSES}


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
    with pytest.raises(InputError, match="ndarray has no column names"):
        model.predict_proba(np.zeros((3, 11)))


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
    np.testing.assert_allclose(members.std(axis=1), given.predict_std(toy_rows), atol=1e-12)


def test_members_are_the_batches_own_models(model, single, toy, toy_rows):
    assert [member.name for member in model.members] == toy.batches
    np.testing.assert_array_equal(
        model.member_proba(toy_rows)[:, 0], single.predict_proba(toy_rows)
    )
    assert (single.predict_std(toy_rows) == 0).all()
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


# The file


def test_old_model_file_still_says_what_it_said(old):
    path, said = old
    model, rows = load_model(path), pl.DataFrame(said["rows"], infer_schema_length=None)
    np.testing.assert_allclose(model.predict_proba(rows), said["probabilities"], rtol=1e-5)
    np.testing.assert_allclose(model.member_proba(rows), said["members"], rtol=1e-5)
    assert model.combiner == VOTING
    methods = {c.method for member in model.members for c in member.calibrators}
    assert methods == {"identity", "sigmoid", "isotonic", "beta"}


def test_saving_again_gives_the_same_bytes(model, toy, tmp_path):
    model.save(tmp_path / "again.gbm")
    data = (tmp_path / "again.gbm").read_bytes()
    assert data == (toy.folder / "model.gbm").read_bytes()
    load_model(tmp_path / "again.gbm", threads=2).save(tmp_path / "third.gbm")
    assert (tmp_path / "third.gbm").read_bytes() == data


def test_file_keeps_all_facts(model, toy, tmp_path):
    shifted = replace(model, prevalence={"neither": 0.9, "donor": 0.05, "acceptor": 0.05})
    shifted.save(tmp_path / "model.gbm")
    back = load_model(tmp_path / "model.gbm")
    assert isinstance(back.features, Features)
    for name in ("features", "classes", "scores", "combiner", "prevalence", "columns", "facts"):
        assert getattr(back, name) == getattr(shifted, name), name
    for member, found in zip(shifted.members, back.members, strict=True):
        assert member._replace(boosters=()) == found._replace(boosters=())


def test_results_folder_stands_for_its_model(model, toy_rows, tmp_path):
    expected = model.predict_proba(toy_rows)
    for place in ("", "model"):
        folder = tmp_path / f"results{place}"
        model.save(folder / place / "model_multiclass_all_genes.gbm")
        np.testing.assert_array_equal(load_model(folder).predict_proba(toy_rows), expected)
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match="holds no model_multiclass_all_genes"):
        load_model(tmp_path / "empty")


def test_file_that_is_not_there_is_named(tmp_path):
    with pytest.raises(InputError, match=r"absent\.gbm does not exist"):
        load_model(tmp_path / "absent.gbm")


def test_flipped_byte_is_refused_or_harmless(old, tmp_path):
    path, said = old
    rows = pl.DataFrame(said["rows"], infer_schema_length=None)
    expected = load_model(path).predict_proba(rows)
    data = path.read_bytes()
    # The end, with the zip's own directory, is where a flip can do something else than harm.
    places = {*np.linspace(0, len(data) - 1, 120).astype(int).tolist()}
    places |= set(range(len(data) - 560, len(data), 5))
    refused = 0
    for place in sorted(places):
        for mask in (1, 6, 255):
            damaged = bytearray(data)
            damaged[place] ^= mask
            (tmp_path / "damaged.gbm").write_bytes(damaged)
            try:
                found = load_model(tmp_path / "damaged.gbm").predict_proba(rows)
            except InputError:
                refused += 1
            else:
                np.testing.assert_array_equal(found, expected, err_msg=f"byte {place} ^ {mask}")
    assert refused > 1.5 * len(places)


@pytest.mark.parametrize("share", [0, 0.01, 0.5, 0.99])
def test_truncated_file_is_refused(old, tmp_path, share):
    data = old[0].read_bytes()
    (tmp_path / "cut.gbm").write_bytes(data[: int(share * len(data))])
    with pytest.raises(InputError, match="damaged or no model file"):
        load_model(tmp_path / "cut.gbm")


def test_file_that_is_no_zip_is_refused(tmp_path):
    (tmp_path / "text.gbm").write_text("not a model")
    with pytest.raises(InputError, match=r"text\.gbm is damaged or no model file"):
        load_model(tmp_path / "text.gbm")


def test_file_written_anew_without_a_change_is_the_same_model(edited, old):
    rows = pl.DataFrame(old[1]["rows"], infer_schema_length=None)
    np.testing.assert_array_equal(
        load_model(edited()).predict_proba(rows), load_model(old[0]).predict_proba(rows)
    )


def set_in(*keys, value):
    """A change of one nested value of model.json."""

    def change(described):
        for key in keys[:-1]:
            described = described[key]
        described[keys[-1]] = value

    return change


FIRST = "members/000.ubj"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (set_in("format", value=FORMAT + 1), f"format {FORMAT + 1} is newer than"),
        (set_in("format", value="one"), "damaged"),
        (set_in("combiner", "name", value="oracle"), "unknown combiner 'oracle'"),
        (set_in("members", 0, "calibrators", 0, "method", value="spline"), "unknown calibrator"),
        (set_in("members", 0, "calibrators", 0, "parameters", value={}), "calibrator sigmoid"),
        (set_in("members", 0, "calibrators", value=[]), "one calibrator for each class"),
        (set_in("members", 0, "class_weight", value=[1.0]), "for each class"),
        (set_in("members", 0, "groups", value=["g1"]), "groups of member b000"),
        (set_in("files", FIRST, "sha256", value="0" * 64), "digest"),
        (set_in("files", FIRST, "bytes", value=10), "larger than it may be"),
        (set_in("files", FIRST, "bytes", value=10**15), "would unpack to 1,000,000,000,"),
        (set_in("files", FIRST, "bytes", value=-1), "less than the minimum"),
        (set_in("files", FIRST, "bytes", value="many"), "damaged"),
        (set_in("files", "members/999.ubj", value={"sha256": "", "bytes": 0}), "list of members"),
        (set_in("classes", value=["donor", "acceptor"]), "damaged"),
        (set_in("classes", value=[*CLASSES, "branch"]), "damaged"),
        (set_in("files", value=[]), "damaged"),
        (set_in("features", value=None), "damaged"),
    ],
)
def test_description_that_does_not_fit_is_refused(edited, change, message):
    with pytest.raises(InputError, match=message):
        load_model(edited(change))


@pytest.mark.parametrize("key", ["format", "files", "classes", "features", "members", "combiner"])
def test_description_that_lacks_a_key_is_refused(edited, key):
    with pytest.raises(InputError, match=f"damaged or no model file.*{key}"):
        load_model(edited(lambda described: described.pop(key)))


@pytest.mark.parametrize("text", [b"", b"{", b"[]", b"null", b"[" * 100_000, b"\xff\xfe"])
def test_description_that_is_no_object_is_refused(edited, text):
    with pytest.raises(InputError, match="damaged or no model file"):
        load_model(edited(members={"model.json": text}))


def test_further_member_is_refused(edited):
    with pytest.raises(InputError, match="list of members"):
        load_model(edited(members={"members/777.ubj": b"x"}))


@pytest.mark.parametrize("name", [FIRST, "model.json"])
def test_absent_member_is_refused(edited, name):
    with pytest.raises(InputError, match=r"damaged|list of members"):
        load_model(edited(drop=[name]))


def test_member_given_twice_is_refused(edited, old):
    path = edited()
    with zipfile.ZipFile(old[0]) as archive:
        data = archive.read(FIRST)
    archive = zipfile.ZipFile(path, "a", zipfile.ZIP_DEFLATED)
    with archive, pytest.warns(UserWarning, match="Duplicate name"):
        archive.writestr(FIRST, data)
    with pytest.raises(InputError, match="list of members"):
        load_model(path)


def test_member_larger_than_declared_is_not_unpacked(edited):
    with pytest.raises(InputError, match="larger than it may be"):
        load_model(edited(members={FIRST: bytes(30_000_000)}))


def test_bytes_that_are_no_booster_are_refused_even_with_their_digest(edited):
    junk = b"no booster"
    facts = {"sha256": hashlib.sha256(junk).hexdigest(), "bytes": len(junk)}
    with pytest.raises(InputError, match="damaged or no model file"):
        load_model(edited(set_in("files", FIRST, value=facts), members={FIRST: junk}))


@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_LZMA])
def test_other_compression_is_refused(old, tmp_path, method):
    with zipfile.ZipFile(old[0]) as source, zipfile.ZipFile(tmp_path / "m.gbm", "w", method) as out:
        for name in source.namelist():
            out.writestr(name, source.read(name))
    with pytest.raises(InputError, match="not compressed as model files are"):
        load_model(tmp_path / "m.gbm")


# The pickle


@pytest.fixture(scope="module")
def pickled(model, tmp_path_factory):
    path = tmp_path_factory.mktemp("pickle") / "model.pkl"
    model.save_pickle(path)
    return path


def test_pickle_needs_trust(pickled):
    with pytest.raises(InputError, match="trust=True"):
        load_model(pickled)


def test_trusted_pickle_is_the_same_model(pickled, model, toy_rows):
    np.testing.assert_array_equal(
        load_model(pickled, trust=True).predict_proba(toy_rows), model.predict_proba(toy_rows)
    )


def test_pickle_has_the_documented_keys(pickled, model, toy, toy_rows):
    content = pickle.loads(pickled.read_bytes())
    assert content["type"] == "AllGenesBatchEnsemble"
    assert content["batch_count"] == len(content["batch_models"]) == 2
    assert content["combination_method"] == "log_odds"
    assert content["feature_names"] == list(model.features.names)
    plan = pl.read_parquet(toy.folder / "plan.parquet").filter(~pl.col("test"))
    assert content["unique_genes"] == content["total_genes"] == plan.height
    assert content["total_positions"] == plan["rows"].sum()
    for number, batch in enumerate(content["batch_models"]):
        assert set(batch) == {"model", "batch_id", "genes", "metrics"}
        assert batch["batch_id"] == toy.batches[number]
        assert batch["genes"] == plan.filter(batch=batch["batch_id"])["group"].sort().to_list()
        assert batch["metrics"] == model.members[number].facts["metrics"]
        np.testing.assert_array_equal(
            batch["model"].predict_proba(toy_rows), model.member_proba(toy_rows)[:, number]
        )


def test_groups_lent_to_two_batches_count_once(model, tmp_path):
    lent = model.members[0].groups[:3]
    second = model.members[1]._replace(groups=(*model.members[1].groups, *lent))
    replace(model, members=(model.members[0], second)).save_pickle(tmp_path / "model.pkl")
    content = pickle.loads((tmp_path / "model.pkl").read_bytes())
    apart = sum(len(member.groups) for member in model.members)
    assert content["total_genes"] == content["unique_genes"] == apart
    assert content["total_positions"] is None


def test_pickle_of_something_else_is_refused(tmp_path):
    (tmp_path / "other.pkl").write_bytes(pickle.dumps({"type": "RandomForest"}))
    with pytest.raises(InputError, match="no AllGenesBatchEnsemble"):
        load_model(tmp_path / "other.pkl", trust=True)


# Merging


def test_merged_model_has_the_members_of_all(single, toy, toy_rows):
    other = load_model(toy.paths("b001")["model"])
    both = merge([single, other], VOTING, {"note": 1})
    assert [member.name for member in both.members] == ["b000", "b001"]
    assert (both.facts, both.combiner) == ({"note": 1}, VOTING)
    expected = (single.predict_proba(toy_rows) + other.predict_proba(toy_rows)) / 2
    np.testing.assert_allclose(both.predict_proba(toy_rows), expected, rtol=1e-12)


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


def test_pruned_model_says_exactly_what_the_whole_one_said(model, toy_rows):
    given = weighed(model, (0.0, 0.9), (0.0, 1.1), (0.0, 0.7))
    pruned = prune(given)
    assert [member.name for member in pruned.members] == ["b001"]
    np.testing.assert_array_equal(pruned.predict_proba(toy_rows), given.predict_proba(toy_rows))


def test_member_of_use_to_one_class_stays(model):
    given = weighed(model, (0.0, 0.9), (0.2, 0.9), (0.0, 0.9))
    assert prune(given) is given


@pytest.mark.parametrize("combiner", [EQUAL, VOTING])
def test_equal_weights_prune_nothing(model, combiner):
    assert len(prune(replace(model, combiner=combiner)).members) == 2


def test_trees_of_a_member_are_those_of_all_its_boosters(model):
    for member in model.members:
        assert member.n_trees == sum(member.facts["n_trees"].values()) > 0


def test_bomb_is_not_unpacked(edited, tmp_path):
    path = edited(members={FIRST: bytes(20 << 20)})
    assert path.stat().st_size < 100_000
    with pytest.raises(InputError, match="larger than it may be"):
        load_model(path)
    path = edited(set_in("files", FIRST, "bytes", value=20 << 20), {FIRST: bytes(20 << 20)})
    with pytest.raises(InputError, match="would unpack to 20,9"):
        load_model(path)
    huge = edited(set_in("facts", value={"text": "x" * (17 << 20)}))
    with pytest.raises(InputError, match=r"model\.json is larger than it may be"):
        load_model(huge)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda d: d["features"].update(n_dense=99), "more dense features than features"),
        (lambda d: d["scores"].pop("donor"), "scores names other classes"),
        (lambda d: d["prevalence"].update(donor=0.5), "does not add up to 1"),
        (lambda d: d["members"][0]["class_weight"].__setitem__(1, -1.0), "less than the minimum"),
        (lambda d: d["classes"].__setitem__(0, "donor"), "non-unique"),
        (lambda d: d.update(rest_class="branch"), "rest_class is none of the classes"),
        (lambda d: d["facts"].update(value=float("nan")), "NaN where a number belongs"),
    ],
)
def test_description_that_contradicts_itself_is_refused(edited, change, message):
    with pytest.raises(InputError, match=message):
        load_model(edited(change))


def test_names_of_members_are_never_paths(edited, tmp_path):
    path = edited(members={"../../escaped.ubj": b"x"})
    with pytest.raises(InputError, match="list of members"):
        load_model(path)
    assert not list(tmp_path.parent.glob("**/escaped.ubj"))
