"""Tests of calls.thresholds: which thresholds a call takes."""

from dataclasses import replace

import pytest

from genebatch.calls.thresholds import base_call_thresholds, call_thresholds
from genebatch.io.files import InputError
from genebatch.model.archive import load_model
from tests.builders.called_genome import THRESHOLDS


@pytest.fixture(scope="module")
def model(toy):
    return load_model(toy.folder / "model.gbm")


@pytest.fixture
def called(model):
    return replace(model, facts=model.facts | {"thresholds": THRESHOLDS})


def test_given_thresholds_come_before_the_model_s(called):
    given = {"donor": 0.1, "acceptor": 0.2}
    assert call_thresholds(called, given) == given
    assert call_thresholds(called) == {"donor": 0.4, "acceptor": 0.35}


@pytest.mark.parametrize(
    "known", [None, {"donor": THRESHOLDS["donor"]}, {**THRESHOLDS, "acceptor": {"weighted": None}}]
)
def test_model_without_threshold_asks_for_the_flag(called, known):
    model = replace(called, facts=called.facts | {"thresholds": known})
    with pytest.raises(InputError, match=r"no threshold for '(donor|acceptor)'.* --threshold"):
        call_thresholds(model)


@pytest.mark.parametrize("value", [-0.1, 1.5, float("nan")])
def test_threshold_must_be_a_probability(called, value):
    with pytest.raises(InputError, match=r"acceptor.* wanted a probability"):
        call_thresholds(called, {"donor": 0.5, "acceptor": value})


def test_base_scores_call_at_the_prevalence_that_the_model_does(model):
    known = {"donor": {"rows": 0.4, "weighted": 0.6}, "acceptor": {"rows": 0.3, "weighted": None}}
    tuned = replace(model, facts=model.facts | {"base_thresholds": known})
    assert base_call_thresholds(tuned) == {"donor": 0.6, "acceptor": 0.3}


@pytest.mark.parametrize("known", [None, {"donor": {"rows": 0.4, "weighted": None}}])
def test_model_that_lacks_a_base_threshold_has_none(model, known):
    older = replace(model, facts=model.facts | {"base_thresholds": known})
    assert base_call_thresholds(older) is None
