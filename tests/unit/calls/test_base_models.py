"""Which scores of several base models a model needs."""

import pytest

from genebatch.calls.base_models import scores_for
from genebatch.config.base_models import BaseModels
from genebatch.features.further_scores import further_columns
from genebatch.features.positions import Spec
from genebatch.io.files import InputError

SPEC = Spec(families=("scores",))
PLAIN = {"features": SPEC.plain()}
TOLD = PLAIN | {
    "base_models": {
        "first": "mouse",
        "further": {name: list(further_columns(name, SPEC)) for name in ("human", "fly")},
    }
}
HUMAN = ["donor_score", "scores_human_donor_gap"]
GIVEN = {"fly": "f.tsv", "human": "h.tsv", "mouse": "m.tsv"}


def needed(sequence, columns, value):
    return scores_for(sequence, columns, BaseModels.build(value), "model.gbm")


def test_base_models_go_by_their_names_and_not_by_their_order():
    assert needed(TOLD, HUMAN, GIVEN) == BaseModels("m.tsv", "mouse", {"human": "h.tsv"})


def test_a_base_model_that_no_tree_asks_for_is_not_needed():
    for value in ("m.tsv", {"mouse": "m.tsv"}):
        assert needed(TOLD, ["donor_score"], value) == BaseModels("m.tsv", "mouse", {})


def test_a_model_of_one_base_model_takes_the_only_scores():
    for value in ("m.tsv", {"mouse": "m.tsv"}):
        assert needed(PLAIN, ["donor_score"], value).first == "m.tsv"


@pytest.mark.parametrize(
    ("sequence", "columns", "value", "message"),
    [
        (TOLD, HUMAN, "m.tsv", r"the base model 'human' too, .*set sequence\.scores or --scores"),
        (TOLD, HUMAN, {"mouse": "m.tsv", "fly": "f.tsv"}, "the base model 'human' too"),
        (TOLD, ["donor_score"], {"human": "h.tsv"}, "of the base model 'mouse', .* are of 'human'"),
        (PLAIN, ["donor_score"], GIVEN, "one base model, which has no name, .*'fly', 'human'"),
    ],
)
def test_scores_that_are_missing_or_not_clear_are_refused(sequence, columns, value, message):
    with pytest.raises(InputError, match=message):
        needed(sequence, columns, value)


def test_columns_of_another_version_are_refused():
    further = {"human": ["scores_human_donor_score", "scores_human_old"]}
    sequence = PLAIN | {"base_models": {"first": "mouse", "further": further}}
    with pytest.raises(InputError, match="other columns of the base model 'human'"):
        needed(sequence, ["scores_human_old"], GIVEN)


def test_scores_of_base_models_that_the_model_does_not_know_are_a_warning(caplog):
    needed(TOLD, HUMAN, GIVEN)
    assert not caplog.records
    needed(TOLD, HUMAN, GIVEN | {"flyy": "f.tsv"})
    (record,) = caplog.records
    assert record.levelname == "WARNING"
    assert "not used: the scores of 'flyy'" in record.message
    assert "was trained on those of 'mouse', 'human', 'fly'" in record.message
