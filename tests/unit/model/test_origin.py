"""Results of other rows or settings are never mixed."""

from dataclasses import replace
from types import SimpleNamespace

import polars as pl
import pytest

from genebatch.config.settings import Settings
from genebatch.io.files import InputError, write_parquet
from genebatch.model.origin import (
    Origin,
    members_origin,
    read_origin,
    refuse_mixed,
    refuse_other_settings,
    training_settings,
)
from tests.builders.toy_run import Run


def member(name, key="k", **settings):
    return SimpleNamespace(name=name, facts={"key": key, "settings": settings})


def test_every_setting_of_the_training_counts_but_the_threads(tmp_path):
    settings: Settings = Run(tmp_path).settings
    learner, cv = settings.learner, settings.cv
    before = training_settings(learner, cv)
    assert before.keys() == {"learner", "cv"}
    assert training_settings(learner.with_threads(7), cv) == before
    others = [
        training_settings(replace(learner, n_estimators=99), cv),
        training_settings(replace(learner, params={"gamma": 1}), cv),
        training_settings(replace(learner, use_weights=not learner.use_weights), cv),
        training_settings(learner, replace(cv, n_splits=9)),
    ]
    assert before not in others


def test_an_origin_is_read_from_the_file_that_was_written_with_it(tmp_path):
    origin = Origin("abc", {"learner": "1", "cv": "2"})
    write_parquet(tmp_path / "a.parquet", pl.DataFrame({"x": [1]}), origin.metadata())
    assert read_origin(tmp_path / "a.parquet") == origin


def test_a_file_without_an_origin_is_mixed_with_nothing(tmp_path):
    write_parquet(tmp_path / "a.parquet", pl.DataFrame({"x": [1]}))
    none = read_origin(tmp_path / "a.parquet")
    assert none.without(none) == ["rows"]


@pytest.mark.parametrize(
    ("other", "different"),
    [
        (Origin("k", {"learner": "1"}), None),
        (Origin("k", {"learner": "1", "cv": "2", "calibration": "3"}), None),
        (Origin("k", {"learner": "9", "cv": "2"}), "learner"),
        (Origin("k", {"learner": "9", "cv": "8"}), "cv and learner"),
        (Origin("q", {"learner": "1", "cv": "2"}), "rows"),
    ],
)
def test_a_difference_is_named(other, different):
    origin = Origin("k", {"learner": "1", "cv": "2"})
    if different is None:
        refuse_mixed("a", origin, "b", other)
        return
    with pytest.raises(InputError, match=f"a and b were not made from the same {different}; del"):
        refuse_mixed("a", origin, "b", other)


def test_members_of_one_training_are_put_together():
    refuse_other_settings([member("b000", "x", cv="1"), member("b001", "y", cv="1")])


@pytest.mark.parametrize("settings", [{"cv": "2"}, {}])
def test_the_member_of_another_training_is_named(settings):
    members = [member("b000", cv="1"), member("b001", **settings), member("b002", cv="1")]
    with pytest.raises(InputError, match=r"batches b001 were .* delete batches/\{b001\} in"):
        refuse_other_settings(members)


def test_what_members_scored_is_of_their_rows_settings_and_of_the_whole_plan():
    members, keys = [member("b000", "x", cv="1"), member("b001", "y", cv="1")], {"b000": "x"}
    origin = members_origin(members, keys)
    assert members_origin(members[::-1], keys) == origin
    others = [
        members_origin(members[:1], keys),
        members_origin([member("b000", "z", cv="1"), members[1]], keys),
        members_origin([member("b000", "x", cv="2"), members[1]], keys),
        members_origin(members, keys | {"b001": "y"}),
    ]
    assert origin not in others
