"""A model file is whole and unaltered, old ones load, and damaged or foreign ones are refused."""

import hashlib
import json
import os
import subprocess
import sys
import zipfile
from dataclasses import replace

import numpy as np
import polars as pl
import pytest

from genebatch import load_model
from genebatch.dataset.feature_set import Features
from genebatch.io.files import InputError
from genebatch.model.archive import FORMAT, MODEL_NAMES, from_bytes, to_bytes
from tests.builders import DATA, REPOSITORY, THOROUGH

CLASSES = ["neither", "donor", "acceptor"]
FUZZ = REPOSITORY / "tests/builders/damaged_models.py"
SEEDS = 3_000 if THOROUGH else 600


@pytest.fixture(scope="module")
def model(toy):
    return load_model(toy.folder / "model.gbm")


@pytest.fixture(scope="module")
def old():
    """The model file of format 1 that is kept, with rows and what it said of them."""
    return DATA / "model_format_1.gbm", json.loads((DATA / "model_format_1.json").read_text())


@pytest.fixture(scope="module")
def old_0_1():
    """A model file of version 0.1 (stacked, at a prevalence), with rows and its predictions."""
    return DATA / "model_0_1.gbm", json.loads((DATA / "model_0_1.json").read_text())


def content_of(path):
    """Bytes of every entry of a model file, by name."""
    with zipfile.ZipFile(path) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


@pytest.fixture
def edited(old, tmp_path):
    """Write the kept model file anew with another model.json or other members."""

    def write(change=None, members=None, drop=()):
        content = content_of(old[0])
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


def test_old_model_file_still_says_what_it_said(old):
    path, said = old
    model, rows = load_model(path), pl.DataFrame(said["rows"], infer_schema_length=None)
    np.testing.assert_allclose(model.predict_proba(rows), said["probabilities"], rtol=1e-5)
    np.testing.assert_allclose(model.member_proba(rows), said["members"], rtol=1e-5)
    assert model.combiner == {"name": "voting", "parameters": {}}
    methods = {c.method for member in model.members for c in member.calibrators}
    assert methods == {"identity", "sigmoid", "isotonic", "beta"}


def test_model_file_of_version_0_1_predicts_the_same_bits(old_0_1):
    path, said = old_0_1
    model, rows = load_model(path), pl.DataFrame(said["rows"], infer_schema_length=None)
    np.testing.assert_array_equal(model.predict_proba(rows), said["probabilities"])
    np.testing.assert_array_equal(model.member_proba(rows), said["members"])
    np.testing.assert_array_equal(model.predict_std(rows), said["deviation"])


def test_model_file_of_version_0_1_keeps_everything_when_saved_again(old_0_1, tmp_path):
    path, _ = old_0_1
    load_model(path).save(tmp_path / "again.gbm")
    before, after = content_of(path), content_of(tmp_path / "again.gbm")
    described = [json.loads(content.pop("model.json")) for content in (before, after)]
    assert before == after
    for description in described:
        del description["genebatch"], description["libraries"]
    assert described[0] == described[1]
    assert described[0]["combiner"]["name"] == "stacked"
    assert described[0]["prevalence"] is not None
    assert described[0]["facts"]["thresholds"]["donor"] == {"rows": 0.35, "weighted": 0.33}


def test_bytes_are_those_of_the_file(model, toy, toy_rows):
    data = to_bytes(model)
    assert data == (toy.folder / "model.gbm").read_bytes()
    back = from_bytes(data, threads=2)
    assert back.threads == 2
    np.testing.assert_array_equal(back.predict_proba(toy_rows), model.predict_proba(toy_rows))


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


SHARES = {"neither": 0.9, "donor": 0.05, "acceptor": 0.05}


@pytest.mark.parametrize(
    ("prevalence", "weight", "number"),
    [(None, None, 1), (SHARES, None, 1), (None, (3.0, 2.0, 1.0), 1), (SHARES, (3.0, 2.0, 1.0), 2)],
)
def test_version_0_1_refuses_what_it_would_predict_wrongly(
    model, toy_rows, tmp_path, prevalence, weight, number
):
    """It knows no weights but those of the members, and moves probabilities from their shares."""
    given = replace(model, prevalence=prevalence, class_weight=weight)
    given.save(tmp_path / "model.gbm")
    assert json.loads(content_of(tmp_path / "model.gbm")["model.json"])["format"] == number
    back = load_model(tmp_path / "model.gbm")
    assert back.class_weight == weight
    np.testing.assert_array_equal(back.predict_proba(toy_rows), given.predict_proba(toy_rows))


@pytest.mark.parametrize("name", MODEL_NAMES)
@pytest.mark.parametrize("place", ["results/model", "results", "results/batches/b000"])
def test_folder_stands_for_its_model(model, toy_rows, tmp_path, place, name):
    model.save(tmp_path / place / name)
    given = [tmp_path / place]
    if place == "results/model":
        given.append(tmp_path / "results")
    for folder in given:
        np.testing.assert_array_equal(
            load_model(folder).predict_proba(toy_rows), model.predict_proba(toy_rows)
        )


def test_delivered_name_comes_before_the_older_one(model, tmp_path):
    folder = tmp_path / "results" / "model"
    replace(model, facts={"name": "new"}).save(folder / "model.gbm")
    replace(model, facts={"name": "old"}).save(folder / "model_multiclass_all_genes.gbm")
    for given in (folder, tmp_path / "results"):
        assert load_model(given).facts == {"name": "new"}


def test_model_without_members_is_not_written(model, tmp_path):
    """No file of it could be loaded."""
    with pytest.raises(InputError, match="the model has no members"):
        replace(model, members=()).save(tmp_path / "m.gbm")
    assert not list(tmp_path.iterdir())


def test_folder_without_a_model_is_refused(tmp_path):
    with pytest.raises(InputError, match=r"holds no model\.gbm or model_multiclass_all_genes\.gbm"):
        load_model(tmp_path)


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
        (lambda d: d.update(class_weight=[1.0, 1.0]), "class_weight is of 2 classes"),
        (lambda d: d.update(class_weight=[1.0, 1.0, 1e999]), "Infinity where a number belongs"),
        (lambda d: d.update(class_weight=[1e308] * 3), "class_weight is not finite"),
        (lambda d: d.update(class_weight=[1.0, 0.0, 1.0]), "that no member was trained on"),
        (lambda d: d["classes"].__setitem__(0, "donor"), "non-unique"),
        (lambda d: d.update(rest_class="branch"), "rest_class is none of the classes"),
        (lambda d: d["facts"].update(value=float("nan")), "NaN where a number belongs"),
        (lambda d: d["facts"].update(final=["ensemble"]), r"facts\.final"),
        (lambda d: d["facts"].update(batches=[1]), r"facts\.batches"),
        (lambda d: d["facts"].update(batches=3), r"facts\.batches"),
        (lambda d: d["facts"].update(missing_batches="b002"), r"facts\.missing_batches"),
        (lambda d: d["facts"].update(trained_genes=[None]), r"facts\.trained_genes"),
        (lambda d: d["facts"].update(sequence=[]), r"facts\.sequence"),
        (lambda d: d["facts"].update(sequence={}), "'features' is a required property"),
        (lambda d: d["facts"].update(thresholds={"donor": 0.5}), r"facts\.thresholds"),
        (
            lambda d: d["facts"].update(thresholds={"x": {"rows": 0.5, "weighted": None}}),
            "thresholds names other classes",
        ),
        (lambda d: d["members"][0]["facts"].update(rows="many"), r"members\[0\]\.facts\.rows"),
        (lambda d: d["members"][0]["facts"].pop("rows"), "'rows' is a required property"),
        (lambda d: d["members"][0]["facts"].update(class_weights={"a": "b"}), "class_weights"),
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


@pytest.mark.slow
@pytest.mark.parametrize(("kind", "seeds"), [((), SEEDS), (("--boosters",), SEEDS * 2 // 3)])
def test_mutated_file_is_refused_or_predicts(kind, seeds):
    done = subprocess.run(
        [sys.executable, str(FUZZ), "0", str(seeds), *kind],
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    last = (done.stderr.splitlines() or ["none"])[-1]
    assert done.returncode == 0, f"exit {done.returncode} at seed {last}: {done.stdout[-2000:]}"
    counted = json.loads(done.stdout)
    assert sum(counted.values()) == seeds
    assert set(counted) == {"refused", "used"}  # some mutations change nothing that matters
