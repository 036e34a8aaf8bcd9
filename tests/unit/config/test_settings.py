"""Typed sections refuse what the schema does not know, and pass on what they were built from."""

from dataclasses import FrozenInstanceError

import pytest

from genebatch.config.schema import resolve
from genebatch.config.settings import Folds, Labels, Learner, Settings, Table

DATASET = {"path": "data", "group": "g", "label": "y", "classes": ["a", "b"], "rest_class": "b"}


@pytest.fixture
def config():
    return resolve({"dataset": DATASET, "learner": {"start_from": "none", "threads": 3}})


def test_a_whole_configuration_is_built(config):
    settings = Settings.build(config)
    assert settings.table.labels.classes == ("a", "b")
    assert settings.table.labels.rest == 1
    assert settings.learner.reg_lambda == config["learner"]["lambda"]
    assert settings.learner.threads == 3
    assert settings.cv == Folds.build(config["cv"])


@pytest.mark.parametrize("kind", [Folds, Learner, Labels, Table])
def test_a_missing_key_and_an_unknown_one_fail(config, kind):
    section = {Folds: "cv", Learner: "learner"}.get(kind, "dataset")
    keys = config[section]
    if kind is Labels:
        keys = Table.build(keys).labels.plain()
    with pytest.raises(TypeError, match="unheard_of"):
        kind.build(keys | {"unheard_of": 1})
    with pytest.raises(TypeError, match="missing"):
        kind.build(dict(list(keys.items())[1:]))


def test_settings_do_not_change(config):
    with pytest.raises(FrozenInstanceError):
        Settings.build(config).cv.n_splits = 2


def test_what_a_section_passes_on_builds_it_again(config):
    settings = Settings.build(config)
    for section in (settings.table, settings.learner, settings.cv, settings.batching):
        assert type(section).build(section.plain()) == section


def test_what_is_auto_in_the_learner_goes_by_the_rows_of_the_model(config):
    auto = Settings.build(config).learner
    few, many = auto.for_rows(199_999), auto.for_rows(200_000)
    fewest = auto.for_rows(99_999)
    assert (fewest.learning_rate, fewest.max_bin, fewest.select) == (0.05, 256, None)
    assert (few.learning_rate, few.max_bin, few.select.top) == (0.05, 256, 150)
    assert (many.learning_rate, many.max_bin, many.select.top) == (0.1, 64, 75)
    section = config["learner"] | {"learning_rate": 0.2, "max_bin": 16}
    given = Learner.build(section | {"select": config["learner"]["select"] | {"top": 9}})
    assert given.for_rows(1) == given.for_rows(10**6) == given
    every = Learner.build(config["learner"] | {"select": None})
    assert every.for_rows(1).select is every.for_rows(10**6).select is None


def test_threads_of_a_learner_are_not_passed_on(config):
    assert "threads" not in Settings.build(config).learner.plain()


@pytest.mark.parametrize(
    ("final", "ensemble", "beside"),
    [
        ("best", {}, ("both", "single")),
        ("best", {"rivals": []}, ()),
        ("ensemble", {"rivals": []}, ()),
        ("single", {"rivals": []}, ("both", "single")),
        ("both", {"rivals": []}, ("both", "single")),
        (
            "ensemble",
            {"rivals": ["distilled"], "with_single": True},
            ("both", "distilled", "single"),
        ),
        ("best", {"with_single": False}, ("single",)),
        ("best", {"combiner": "routed"}, ("single",)),
        ("distilled", {"rivals": []}, ("distilled",)),
    ],
)
def test_candidates_beside_the_ensemble(final, ensemble, beside):
    """Both models are one where the single model is trained anyway, or where they are asked for."""
    given = {"dataset": DATASET, "final": final, "ensemble": ensemble}
    given |= {"learner": {"start_from": "none"}, "batching": {"strategy": "similarity"}}
    assert Settings.build(resolve(given)).beside == beside


@pytest.mark.parametrize(
    ("keys", "rows"),
    [
        ({}, 1_000_000),
        ({"ensemble": {"score_rows": 5000}}, 5000),
        ({"ensemble": {"score_rows": None}}, None),
        ({"ensemble": {"score_rows": 5000, "rivals": ["distilled"]}}, None),
        ({"ensemble": {"score_rows": 5000}, "final": "distilled"}, None),
    ],
)
def test_all_rows_are_scored_where_a_student_is_taught_by_them(keys, rows):
    given = {"dataset": DATASET, "learner": {"start_from": "none"}} | keys
    assert Settings.build(resolve(given)).score_rows == rows
