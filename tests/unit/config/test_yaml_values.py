"""Names that YAML reads as something else are told with their spelling; numbers are taken."""

import copy
from datetime import date

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from snakemake.cli import parse_config

from genebatch.config import schema as config
from genebatch.io.files import InputError

MINIMAL = "dataset: {path: data, group: gene, label: type, classes: [a, b]}\n"
START = "learner: {start_from: none}\n"
WORDS = {
    "no": "a truth value",
    "Yes": "a truth value",
    "on": "a truth value",
    "OFF": "a truth value",
    "true": "a truth value",
    "2020-01-03": "a date",
    "2020-01-03 10:00:00": "a time",
    "1.0": "the number 1.0",
    "1e+3": None,  # text in YAML 1.1
    "010": "the number 8",
    "0x1F": "the number 31",
    "1_000": "the number 1000",
    "1:30": "the number 90",
    "null": "no value",
    "~": "no value",
    ".nan": "the number nan",
    "7": None,
    "-3": None,
    "x1": None,
}
PLACES = {
    "dataset.classes.1": "dataset: {path: d, group: g, label: l, classes: [a, %s]}\n",
    "dataset.metadata.0": MINIMAL.replace("]}", "], metadata: [%s]}"),
    "dataset.exclude.0": MINIMAL.replace("]}", "], exclude: [%s]}"),
    "dataset.group": "dataset: {path: d, group: %s, label: l, classes: [a, b]}\n",
    "test.groups.0": MINIMAL + "test: {groups: [%s]}\n",
    "test.values.0": MINIMAL + "test: {column: c, values: [%s]}\n",
    "screen.keep.0": MINIMAL + "screen: {keep: [%s]}\n",
    "explain.families.f.0": MINIMAL + "explain: {families: {f: [%s]}}\n",
    "predict.tables.t": MINIMAL + "predict: {tables: {t: %s}}\n",
}
KEYS = {
    "dataset.scores": "dataset: {path: d, group: g, label: l, classes: ['a', '%s'], "
    "scores: {a: s, %s: t}}\n",
    "calibration.prevalence": "dataset: {path: d, group: g, label: l, classes: ['a', '%s']}\n"
    "calibration: {prevalence: {a: 0.5, %s: 0.5}}\n",
    "explain.families": "# '%s'\n" + MINIMAL + "explain: {families: {%s: [b]}}\n",
}


def loaded(folder, text):
    path = folder / "config.yaml"
    path.write_text(f"{text}\n{START * ('learner:' not in text)}")
    return config.load(path)


def at(filled, path):
    for key in path.split("."):
        filled = filled[int(key)] if isinstance(filled, list) else filled[key]
    return filled


@pytest.mark.parametrize("word", WORDS)
@pytest.mark.parametrize("place", PLACES)
def test_a_name_is_taken_as_it_stands_or_named_with_its_spelling(tmp_path, place, word):
    text = PLACES[place] % word
    if WORDS[word] is None:
        assert str(at(loaded(tmp_path, text), place)) == word
        return
    with pytest.raises(InputError) as caught:
        loaded(tmp_path, text)
    wanted = f"'{place}': YAML reads {word} as {WORDS[word]}; write '{word}' in quotes"
    assert wanted in str(caught.value)
    # The remedy works, for every one of them.
    assert at(loaded(tmp_path, PLACES[place] % f"'{word}'"), place) == word


@pytest.mark.parametrize("word", ["no", "2020-01-03", "1.0", "010"])
@pytest.mark.parametrize("place", KEYS)
def test_names_that_are_keys_are_named_with_their_spelling(tmp_path, place, word):
    with pytest.raises(InputError) as caught:
        loaded(tmp_path, KEYS[place] % (word, word))
    assert f"'{place}: " in str(caught.value)
    assert f"YAML reads {word} as {WORDS[word]}; write '{word}' in quotes" in str(caught.value)
    assert word in at(loaded(tmp_path, KEYS[place] % (word, f"'{word}'")), place)


def test_whole_numbers_that_are_keys_are_text(tmp_path):
    assert at(loaded(tmp_path, KEYS["dataset.scores"] % (7, 7)), "dataset.scores") == {
        "a": "s",
        "7": "t",
    }


@pytest.mark.parametrize("classes", [[0, 1, 2], ["0", 1, 2]])
def test_classes_that_are_numbers_are_text(classes):
    given = yaml.safe_load(MINIMAL + START)
    given["dataset"]["classes"] = classes
    assert config.resolve(given)["dataset"]["classes"] == ["0", "1", "2"]


@pytest.mark.parametrize(
    ("value", "shown"),
    [(False, "no"), (True, "yes"), (date(2020, 1, 3), "2020-01-03"), (1.5, "1.5"), (None, "null")],
)
def test_without_the_file_an_example_is_shown(value, shown):
    given = yaml.safe_load(MINIMAL + START)
    given["dataset"]["classes"] = ["a", value]
    with pytest.raises(InputError, match=f"YAML reads {shown} as .*; write '{shown}' in quotes"):
        config.resolve(given)


@pytest.mark.parametrize("word", ["true", "no", "null"])
def test_quotes_are_no_remedy_where_the_word_is_not_one_of_a_list(tmp_path, word):
    with pytest.raises(InputError, match="wanted none, tbi or csi") as caught:
        loaded(tmp_path, f"call: {{bgzip: {word}}}")
    assert "in quotes" not in str(caught.value)


def test_text_of_another_file_decides_nothing(tmp_path):
    (tmp_path / "other.yaml").write_text(PLACES["dataset.classes.1"] % "5")
    given = yaml.safe_load(PLACES["dataset.classes.1"] % "8" + START)
    filled = config.resolve(given, [tmp_path / "other.yaml"])
    assert filled["dataset"]["classes"] == ["a", "8"]


def test_a_key_that_is_there_twice_is_named(tmp_path):
    with pytest.raises(InputError, match=r"config\.yaml, line 1 .*: the key 'cv' is there twice"):
        loaded(tmp_path, MINIMAL + "cv: {n_splits: 3}\ncv: {seed: 1}\n")


@pytest.mark.parametrize(
    ("text", "path", "value"),
    [
        ("learner: {start_from: none, n_estimators: '50'}", "learner.n_estimators", 50),
        ("learner: {start_from: none, n_estimators: 50.0}", "learner.n_estimators", 50),
        ("learner: {start_from: none, learning_rate: 1e-2}", "learner.learning_rate", 0.01),
        ("learner: {start_from: none, learning_rate: '0.5'}", "learner.learning_rate", 0.5),
        ("learner: {start_from: none, use_weights: 'false'}", "learner.use_weights", False),
        ("features: {kmers: ['2', '3']}", "features.kmers", [2, 3]),
    ],
)
def test_a_number_is_taken_however_it_is_written(tmp_path, text, path, value):
    found = at(loaded(tmp_path, MINIMAL + text), path)
    assert found == value
    assert type(found) is type(value)


@pytest.mark.parametrize("number", [".nan", ".inf", "-.inf"])
def test_numbers_that_are_not_finite_are_refused(tmp_path, number):
    with pytest.raises(InputError, match=r"'learner\.learning_rate' is .*; wanted a finite number"):
        loaded(tmp_path, MINIMAL + f"learner: {{start_from: none, learning_rate: {number}}}")


def given_on_command_line(*entries):
    read = yaml.safe_load(MINIMAL + START)
    command_line = parse_config(entries)
    return config.resolve(config.merged(read, copy.deepcopy(command_line)), (), command_line)


@pytest.mark.parametrize(
    ("entry", "path", "value"),
    [
        ("learner={n_estimators: 50, learning_rate: 0.1}", "learner.n_estimators", 50),
        ("learner={learning_rate: 1e-2}", "learner.learning_rate", 0.01),
        ("learner={use_weights: false}", "learner.use_weights", False),
        ("learner={params: {gamma: 1.5}}", "learner.params.gamma", 1.5),
        ("batching={max_rows: null}", "batching.max_rows", None),
        ("dataset={null_label: null}", "dataset.null_label", None),
        ("dataset={weight: null}", "dataset.weight", None),
        ("test={groups: [1, 2]}", "test.groups", ["1", "2"]),
        ("test={groups: null}", "test.groups", None),
        ("dataset={classes: [no, yes]}", "dataset.classes", ["no", "yes"]),
        ("call={band: [0.1, 0.5]}", "call.band", [0.1, 0.5]),
        ("calibration={prevalence: {a: 0.25, b: 0.75}}", "calibration.prevalence.a", 0.25),
        ("sampling={rest: [{above: 0, fraction: 0.5}]}", "sampling.rest.0.fraction", 0.5),
        ("sequence={scorer: null}", "sequence.scorer", None),
        ("final=single", "final", "single"),
    ],
)
def test_what_the_command_line_nests_is_read_by_the_schema(entry, path, value):
    found = at(given_on_command_line(entry), path)
    assert found == value
    assert type(found) is type(value)


def test_what_the_command_line_gives_wrongly_is_named():
    with pytest.raises(InputError, match=r"'learner\.n_estimators' is 'many'"):
        given_on_command_line("learner={n_estimators: many}")


SCALARS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(),
    st.text(max_size=5),
    st.dates(),
    st.datetimes(),
    st.binary(max_size=3),
    st.sampled_from(["no", "null", "1e5", "{x}", "a\x1b"]),
)
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.one_of(
        st.lists(inner, max_size=3), st.dictionaries(SCALARS, inner, max_size=3)
    ),
    max_leaves=8,
)


@settings(max_examples=150, deadline=None)
@given(st.data())
def test_whatever_a_key_holds_is_taken_or_an_input_error(data):
    """Up to three keys hold anything at all; a configuration is resolved or refused."""
    given_config = yaml.safe_load(MINIMAL + START)
    properties = config.load_schema()["properties"]
    for _ in range(data.draw(st.integers(1, 3))):
        section = data.draw(st.sampled_from(sorted(properties)))
        inner = properties[section].get("properties")
        value = data.draw(VALUES)
        if inner is None or data.draw(st.booleans()):
            given_config[section] = value
        elif isinstance(given_config.setdefault(section, {}), dict):
            given_config[section][data.draw(st.sampled_from(sorted(inner)))] = value
    try:
        filled = config.resolve(given_config)
    except InputError:
        return
    assert config.resolve(filled) == filled
