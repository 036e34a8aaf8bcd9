"""The page says why a candidate was delivered."""

import polars as pl
import pytest

from genebatch.report.choice import choice


def candidates(*lines):
    """Candidates by name, loss, difference with its ends, trees and whether chosen."""
    names = ("candidate", "log_loss", "difference", "difference_low", "difference_high", "trees")
    table = pl.DataFrame(lines, schema=[*names, "chosen", "reason"], orient="row")
    return table.with_columns(groups=40, rows=400, members=1)


ENSEMBLE = ("ensemble", 0.25, 0.0, None, None, 90, True, "lowest loss")
SINGLE = ("single", 0.5, 0.25, 0.125, 0.375, 30, False, None)
LEVEL = ("single", 0.5, 0.25, -0.125, 0.625, 30, True, None)


def test_the_best_is_delivered_because_of_its_loss_or_its_trees():
    chosen = choice(candidates(ENSEMBLE, SINGLE), "best")
    assert "the ensemble has the lowest log loss on 40 training groups" in chosen.sentence
    assert chosen.lines[1]["why"] == "worse beyond chance"
    chosen = choice(candidates((*ENSEMBLE[:6], False, "lowest loss"), LEVEL), "best")
    assert chosen.sentence.startswith("The single model was delivered as the best (final: best)")
    assert "needs 30 trees instead of 90" in chosen.sentence
    assert [row["why"] for row in chosen.lines] == [
        "lowest loss; more trees",
        "not worse beyond chance; fewest trees of the equally good",
    ]


def test_both_models_are_named_with_their_cost():
    both = ("both", 0.125, 0.0, None, None, 120, True, "lowest loss")
    others = [(*line[:3], 0.0625, 0.25, line[5], False, None) for line in (ENSEMBLE, SINGLE)]
    chosen = choice(candidates(both, *others), "best")
    assert chosen.sentence.startswith("The ensemble with the single model was delivered as the be")
    assert "no model with fewer trees is as good within chance" in chosen.sentence
    assert [row["trees"] for row in chosen.lines] == [120, 90, 30]


def test_a_model_that_was_asked_for_is_said_to_be_worse():
    worse = (*SINGLE[:6], True, None)
    chosen = choice(candidates((*ENSEMBLE[:6], False, "lowest loss"), worse), "single")
    assert "because it was asked for (final: single)" in chosen.sentence
    assert "the single model is worse beyond chance (+0.2500 nats" in chosen.sentence


def test_a_model_that_was_left_out_is_named_with_the_reason():
    left_out = [(name, *[None] * 5, False, "it would take a year") for name in ("single", "both")]
    chosen = choice(candidates(ENSEMBLE, *left_out), "best")
    assert chosen.sentence.endswith("compare it with. Not trained: it would take a year.")
    assert [line["candidate"] for line in chosen.lines] == ["ensemble"]


@pytest.mark.parametrize("final", ["ensemble", "best"])
def test_a_lone_candidate_is_compared_with_nothing(final):
    chosen = choice(candidates(ENSEMBLE), final)
    assert chosen.sentence == (
        "The ensemble was delivered; no other model was trained to compare it with."
    )
