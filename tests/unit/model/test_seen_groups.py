"""Tests of model.seen_groups: a model is not judged on groups that it was trained on."""

from types import SimpleNamespace

import pytest

from genebatch.io.files import InputError
from genebatch.model.seen_groups import refuse_seen_groups


def model(**groups):
    members = [SimpleNamespace(name=name, groups=names) for name, names in groups.items()]
    return SimpleNamespace(members=members)


def test_models_of_other_groups_pass():
    refuse_seen_groups({"the model": model(b000=("a", "b"), b001=("c",))}, ["d", "e"])


def test_member_that_has_seen_test_groups_is_named_with_its_model():
    models = {"the model": model(b000=("a",)), "single": model(b000=("b",), b001=("e", "d", "c"))}
    wanted = r"single: member b001 was trained on 2 of the test groups \(for example 'd'\)"
    with pytest.raises(InputError, match=wanted):
        refuse_seen_groups(models, ["d", "e"])
