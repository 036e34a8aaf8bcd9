"""What is said of the candidates follows from the tables, and nothing is flattered."""

import polars as pl

from genebatch.report.candidate_tables import ComparedModels
from genebatch.report.candidate_text import compare_classes
from genebatch.report.verdicts import EvaluationResults

METRICS = ("average_precision", "log_loss", "brier", "ece", "top_k", "corrected", "made")
ABOVE, AROUND, BELOW = (0.01, 0.03), (-0.01, 0.03), (-0.03, -0.01)
CANDIDATES = ("base", "voting", "stacked", "single", "member best", "member median", "member worst")


def line(candidate, metric, value=0.5, over_base=AROUND, over_single=AROUND):
    """A line of systems.tsv of class donor; differences are the middle of their intervals."""
    columns = {"system": candidate, "class": "donor", "metric": metric, "weighted": False}
    columns |= {"value": value, "reason": None}
    for name, ends in (("base", over_base), ("single", over_single)):
        low, high = (None, None) if ends is None or candidate.startswith("member") else ends
        columns |= {f"over_{name}": 0.02, f"over_{name}_low": low, f"over_{name}_high": high}
    return columns


def classes(final="ensemble", n_members=5, groups=12, **changed):
    """The only class of a run with combiner stacked; `changed` is candidate to metric to ends."""
    lines = [
        line(candidate, metric, **changed.get(candidate, {}).get(metric, {}))
        for candidate in CANDIDATES
        for metric in METRICS
    ]
    table = pl.DataFrame(lines, infer_schema_length=None)
    compared = ComparedModels(table, "stacked", final)
    in_use = pl.col("system") == compared.in_use
    compared = compared._replace(table=table.with_columns(in_use.alias("in_use")))
    comparison = pl.DataFrame(
        {
            "class": ["donor"] * 3,
            "metric": METRICS[:3],
            "weighted": [False] * 3,
            "groups": [groups] * 3,
        }
    )
    rows = pl.DataFrame({"label": ["donor"]})
    results = EvaluationResults(["donor"], rows, pl.DataFrame(), comparison, pl.DataFrame())
    (comparison,) = compare_classes(compared, results, n_members)
    return comparison


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


def test_candidates_stand_by_kind_and_the_one_in_use_is_marked():
    (table,) = classes(final="single").tables
    kinds = [each.kind for each in table.lines]
    assert kinds == ["base"] + ["member"] * 3 + ["combiner"] * 2 + ["alone"]
    assert [each.label for each in table.lines if each.in_use] == ["single model"]
    assert [each.label for each in table.lines if each.is_ensemble] == ["stacked"]


def test_of_one_member_there_is_one_line():
    (table,) = classes(n_members=1).tables
    assert [each.label for each in table.lines if each.kind == "member"] == ["the one member"]


def test_small_losses_are_shown_in_the_power_of_ten_of_their_column():
    losses = {"log_loss": {"value": 0.000731, "over_base": (-0.00005, 0.000125)}}
    others = {s: {"log_loss": {"value": 0.0005}} for s in CANDIDATES if s != "stacked"}
    (table,) = classes(stacked=losses, **others).tables
    assert table.units["log_loss"] == -4
    stacked = next(each for each in table.lines if each.label == "stacked")
    assert stacked.cells["log_loss"] == ("7.310", "0.000731")
    assert stacked.gains["log_loss", "base"].high == ("+1.250", "0.000125")
    assert stacked.cells["brier"].text == "0.5000"
