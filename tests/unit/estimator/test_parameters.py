"""Parameters of the estimator are keys of the configuration, with the same defaults."""

from inspect import signature

import numpy as np
import pytest

from genebatch import BatchEnsembleClassifier, InputError
from genebatch.config.schema import load_schema
from genebatch.estimator.parameters import KEYS, SEEDS, in_words_of_parameters, settings_of

DATASET = {"path": "table", "group": "group", "label": "label", "classes": ["1", "2"]}


def default_of(key: str):
    known = load_schema()
    for name in key.split("."):
        known = known["properties"][name]
    return known["default"]


def given(**changes):
    return BatchEnsembleClassifier(**changes).get_params()


@pytest.mark.parametrize("name", KEYS)
def test_default_is_that_of_the_configuration(name):
    value = given()[name]
    if name == "params":
        assert value is None  # no dictionary may be a default
        value = {}
    assert (list(value) if isinstance(value, tuple) else value) == default_of(KEYS[name])


def test_seeds_have_the_default_of_the_configuration():
    assert {default_of(key) for key in SEEDS} == {given()["random_state"]}


def test_every_parameter_stands_for_a_key():
    names = set(signature(BatchEnsembleClassifier.__init__).parameters) - {"self"}
    assert names == {*KEYS, "random_state", "n_jobs"}


def test_parameters_become_settings():
    parameters = given(
        max_groups=np.int64(30), reg_lambda=0.5, calibration="beta", select_top=9, random_state=3
    )
    settings = settings_of(parameters, DATASET)
    assert settings.batching.max_groups == 30
    assert settings.learner.reg_lambda == 0.5
    assert settings.calibration.method == "beta"
    assert settings.learner.select.top == 9
    assert settings.learner.select.rounds == 40
    assert (settings.batching.seed, settings.cv.seed, settings.learner.seed) == (3, 3, 3)


def test_none_selects_no_features_and_passes_no_parameters():
    learner = settings_of(given(select_top=None), DATASET).learner
    assert learner.select is None
    assert learner.params == {}


def test_labels_of_any_type_name_classes():
    settings = settings_of(given(rest_class=2, prevalence={1: 0.1, np.int8(2): 0.9}), DATASET)
    assert settings.table.labels.rest_class == "2"
    assert settings.calibration.prevalence == {"1": 0.1, "2": 0.9}


def test_a_random_state_is_drawn_from():
    first, again = (
        settings_of(given(random_state=np.random.RandomState(1)), DATASET) for _ in range(2)
    )
    assert first.cv.seed == again.cv.seed == first.learner.seed
    assert settings_of(given(random_state=None), DATASET).cv.seed != first.cv.seed


def test_errors_speak_of_parameters():
    with pytest.raises(InputError) as raised, in_words_of_parameters("tmp/table.parquet"):
        settings_of(given(max_groups=1, reg_lambda=-1, calibration="mine"), DATASET)
    message = str(raised.value)
    assert message.startswith("parameters:\n")
    assert "'max_groups' is 1: wanted a whole number from 2" in message
    assert "'reg_lambda' is -1" in message
    assert "'calibration' is 'mine'" in message


def test_errors_do_not_name_the_temporary_table():
    path = "/tmp/genebatch-x/table.parquet"
    text = f"data set {path}:\n  {path}: column 'weight' (dataset.weight) sums to 0"
    with pytest.raises(InputError) as raised, in_words_of_parameters(path):
        raise InputError(text)
    assert str(raised.value) == "the rows:\n  column 'weight' (sample_weight) sums to 0"
