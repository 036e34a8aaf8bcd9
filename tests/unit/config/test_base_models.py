"""The key `sequence.scores`: one base model or several."""

import pytest

from genebatch.config.base_models import BaseModels, faults, files_of

BIGWIGS = {side: {site: f"{side}.{site}.bw" for site in ("donor", "acceptor")} for side in
           ("plus", "minus")}  # fmt: skip


def test_one_base_model_has_no_name():
    for value in ("scores.tsv", BIGWIGS):
        found = BaseModels.build(value)
        assert found == BaseModels(value)
        assert found.sources == {"": value}
        assert list(faults(value)) == []


def test_of_several_base_models_the_first_is_the_start():
    value = {"mouse": "m.tsv", "human": BIGWIGS}
    found = BaseModels.build(value)
    assert found == BaseModels("m.tsv", "mouse", {"human": BIGWIGS})
    assert list(found.sources) == ["mouse", "human"]
    assert list(faults(value)) == []
    assert files_of(BIGWIGS) == [
        *("plus.donor.bw", "plus.acceptor.bw", "minus.donor.bw", "minus.acceptor.bw")
    ]


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ({"plus": BIGWIGS["plus"]}, "missing key 'sequence.scores.minus.donor'"),
        ({"plus": BIGWIGS["plus"], "mouse": "m.tsv"}, "missing key 'sequence.scores.minus.donor'"),
        ({"mouse": {"plus": {"donor": "a"}}}, "missing key 'sequence.scores.mouse.plus.acceptor'"),
        ({"mouse": BIGWIGS | {"both": "b"}}, "unknown key 'sequence.scores.mouse.both.?'"),
        ({"a mouse": "m.tsv"}, "'sequence.scores.a mouse' is the name of a base model"),
    ],
)
def test_a_fault_is_named_by_its_key(value, message):
    found = list(faults(value))
    assert any(line.startswith(message) for line in found), found
