"""What is said of the compared systems follows from the tables, and nothing is flattered."""

import polars as pl
import pytest

from genebatch.report.system_tables import Systems
from genebatch.report.system_text import choice, class_systems, estimates
from genebatch.report.verdicts import Evaluation

METRICS = ("average_precision", "log_loss", "brier", "ece", "top_k", "corrected", "made")
ABOVE, AROUND, BELOW = (0.01, 0.03), (-0.01, 0.03), (-0.03, -0.01)
SYSTEMS = ("base", "voting", "stacked", "single", "member best", "member median", "member worst")


def line(system, metric, value=0.5, over_base=AROUND, over_single=AROUND):
    """A line of systems.tsv of class donor; differences are the middle of their intervals."""
    found = {"system": system, "class": "donor", "metric": metric, "weighted": False}
    found |= {"value": value, "reason": None}
    for name, ends in (("base", over_base), ("single", over_single)):
        low, high = (None, None) if ends is None or system.startswith("member") else ends
        found |= {f"over_{name}": 0.02, f"over_{name}_low": low, f"over_{name}_high": high}
    return found


def classes(final="ensemble", n_members=5, groups=12, **changed):
    """The only class of a run with combiner stacked; `changed` is system to metric to ends."""
    lines = [
        line(system, metric, **changed.get(system, {}).get(metric, {}))
        for system in SYSTEMS
        for metric in METRICS
    ]
    table = pl.DataFrame(lines, infer_schema_length=None)
    systems = Systems(table, "stacked", final)
    in_use = pl.col("system") == systems.in_use
    systems = systems._replace(table=table.with_columns(in_use.alias("in_use")))
    comparison = pl.DataFrame(
        {
            "class": ["donor"] * 3,
            "metric": METRICS[:3],
            "weighted": [False] * 3,
            "groups": [groups] * 3,
        }
    )
    rows = pl.DataFrame({"label": ["donor"]})
    evaluation = Evaluation(["donor"], rows, pl.DataFrame(), comparison, pl.DataFrame())
    (found,) = class_systems(systems, evaluation, n_members)
    return found


def said(**options):
    return " ".join(classes(**options).sentences)


def test_a_rise_of_precision_is_better_and_a_rise_of_loss_is_worse():
    ends = {"over_base": ABOVE}
    text = said(stacked={"average_precision": ends, "log_loss": ends})
    better = "The delivered model is better than the base scores in average precision (+0.0200, "
    assert better in text
    assert "; worse in log loss (+0.0200, +0.0100 to +0.0300)" in text
    assert "not distinguishable in Brier score" in text


def test_the_ensemble_that_loses_is_said_to_lose_also_where_another_model_is_delivered():
    lost = {"log_loss": {"over_single": ABOVE}, "average_precision": {"over_single": BELOW}}
    text = said(final="single", stacked=lost)
    assert "The ensemble (stacked) loses to the single model in average precision" in text
    assert "log loss (+0.0200, +0.0100 to +0.0300)." in text
    text = said(stacked=lost)
    assert "The delivered model is worse than the single model in average precision" in text
    assert "The ensemble (stacked) is nowhere worse than" in said(final="single")


def test_the_single_model_is_not_compared_with_itself():
    assert (
        "the delivered model is not distinguishable from the base" in said(final="single").lower()
    )
    assert "delivered model is not distinguishable from the single" not in said(final="single")
    assert "delivered model is not distinguishable from the single" in said()


def test_without_intervals_nothing_is_judged_and_the_reason_is_given_once():
    few = {metric: {"over_base": None, "over_single": None} for metric in METRICS}
    text = said(groups=3, stacked=few)
    assert text.count("only 3 test groups with donor rows, fewer than 10") == 2
    assert "not judged against the base scores in average precision, log loss and Brier" in text
    assert not {"better", "worse"} & set(text.split())


def test_systems_stand_in_groups_and_the_one_in_use_is_marked():
    (table,) = classes(final="single").tables
    kinds = [each.kind for each in table.lines]
    assert kinds == ["base"] + ["member"] * 3 + ["combiner"] * 2 + ["rival"]
    assert [each.label for each in table.lines if each.in_use] == ["single model"]
    assert [each.label for each in table.lines if each.is_ensemble] == ["stacked"]


def test_of_one_member_there_is_one_line():
    (table,) = classes(n_members=1).tables
    assert [each.label for each in table.lines if each.kind == "member"] == ["the one member"]


def test_small_losses_are_shown_in_the_power_of_ten_of_their_column():
    losses = {"log_loss": {"value": 0.000731, "over_base": (-0.00005, 0.000125)}}
    others = {s: {"log_loss": {"value": 0.0005}} for s in SYSTEMS if s != "stacked"}
    (table,) = classes(stacked=losses, **others).tables
    assert table.units["log_loss"] == -4
    stacked = next(each for each in table.lines if each.label == "stacked")
    assert stacked.cells["log_loss"] == ("7.310", "0.000731")
    assert stacked.gains["log_loss", "base"].high == ("+1.250", "0.000125")
    assert stacked.cells["brier"].text == "0.5000"


def candidates(*lines):
    """Candidates by name, loss, difference with its ends, trees and whether chosen."""
    names = ("candidate", "log_loss", "difference", "difference_low", "difference_high", "trees")
    table = pl.DataFrame(lines, schema=[*names, "chosen", "reason"], orient="row")
    return table.with_columns(groups=40, rows=400, members=1)


ENSEMBLE = ("ensemble", 0.25, 0.0, None, None, 90, True, "lowest loss")
SINGLE = ("single", 0.5, 0.25, 0.125, 0.375, 30, False, None)
LEVEL = ("single", 0.5, 0.25, -0.125, 0.625, 30, True, None)


def test_the_best_is_delivered_because_of_its_loss_or_its_trees():
    found = choice(candidates(ENSEMBLE, SINGLE), "best")
    assert "the ensemble has the lowest log loss on 40 training groups" in found.sentence
    assert found.lines[1]["why"] == "worse beyond chance"
    found = choice(candidates((*ENSEMBLE[:6], False, "lowest loss"), LEVEL), "best")
    assert found.sentence.startswith("The single model was delivered as the best (final: best)")
    assert "asks 30 trees instead of 90" in found.sentence
    assert [row["why"] for row in found.lines] == [
        "lowest loss; more trees",
        "not worse beyond chance; fewest trees of those level",
    ]


def test_a_model_that_was_asked_for_is_said_to_be_worse():
    worse = (*SINGLE[:6], True, None)
    found = choice(candidates((*ENSEMBLE[:6], False, "lowest loss"), worse), "single")
    assert "because it was asked for (final: single)" in found.sentence
    assert "the single model is worse beyond chance (+0.2500 nats" in found.sentence


@pytest.mark.parametrize("final", ["ensemble", "best"])
def test_a_lone_candidate_is_compared_with_nothing(final):
    found = choice(candidates(ENSEMBLE), final)
    assert found.sentence == (
        "The ensemble was delivered; no other model was trained to compare it with."
    )


def test_estimate_puts_the_model_in_use_beside_the_base_scores():
    keys = ("system", "class", "metric", "weighted", "value", "reason", "over_base")
    lines = [
        ("base", "donor", "average_precision", True, 0.9, None, None),
        ("base", "donor", "log_loss", True, 0.5, None, None),
        ("stacked", "donor", "average_precision", True, 0.95, None, None),
        ("stacked", "donor", "log_loss", True, 0.25, None, -0.25),
        ("voting", "donor", "log_loss", True, 0.125, None, -0.375),
    ]
    table = pl.DataFrame(lines, schema=keys, orient="row", schema_overrides={"reason": pl.String})
    ends = (pl.lit(-0.3).alias("over_base_low"), pl.lit(-0.2).alias("over_base_high"))
    (line,) = estimates(table.with_columns(*ends), "stacked", weighted=True)
    assert [cell.text for cell in line.precision] == ["0.9000", "0.9500"]
    assert [cell.text for cell in line.loss] == ["0.5000", "0.2500"]
    assert (line.difference.text, line.low.text) == ("-0.2500", "-0.3000")
