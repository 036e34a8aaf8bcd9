"""What ensemble.candidates promises: more trees only where they are shown to be worth it."""

from types import SimpleNamespace

import numpy as np
import polars as pl
import pytest

from genebatch.ensemble.candidates import Candidate, compare_candidates
from genebatch.io import tables
from genebatch.io.files import InputError

CLASSES = ("no", "yes")


@pytest.fixture
def candidate(tmp_path):
    """A candidate whose rows of class `yes` have the given probabilities of it."""

    def make(name, yes, trees=(10,), groups=None, weight=None, scores=None, label="yes"):
        yes = np.asarray(yes, float)
        groups = [f"g{number:02d}" for number in range(len(yes))] if groups is None else groups
        rows = pl.DataFrame({"group": groups, "label": [label] * len(yes)})
        if weight is not None:
            rows = rows.with_columns(weight=pl.Series(weight, dtype=pl.Float64))
        scores = scores or name
        columns = {f"{scores}:yes": yes.astype(np.float32), f"{scores}:no": 1 - yes}
        rows.with_columns(**columns).write_parquet(tmp_path / f"{name}.parquet")
        members = [SimpleNamespace(n_trees=number) for number in trees]
        model = SimpleNamespace(classes=CLASSES, members=members, n_trees=sum(trees))
        return Candidate(name, model, tmp_path / f"{name}.parquet", scores)

    return make


def table(candidates, final="best"):
    compared = compare_candidates(candidates, final)
    assert compared["chosen"].sum() == 1
    return {row["candidate"]: row for row in compared.iter_rows(named=True)}


def chosen(candidates, final="best"):
    return next(name for name, row in table(candidates, final).items() if row["chosen"])


# Losses of twelve groups around that of 0.8, so that a difference has an interval.
AROUND = 0.8 + 0.02 * np.array([1, -1] * 6)


def test_loss_is_the_mean_log_loss_of_the_true_class(candidate):
    ensemble = candidate("ensemble", [0.5, 0.25])
    row = table([ensemble])["ensemble"]
    assert row["log_loss"] == pytest.approx((np.log(2) + np.log(4)) / 2)
    assert (row["difference"], row["groups"], row["rows"]) == (0.0, 2, 2)
    assert (row["difference_low"], row["reason"]) == (None, "lowest loss")


def test_rows_count_by_their_weight(candidate):
    ensemble = candidate("ensemble", [0.5, 0.25], weight=[3.0, 1.0])
    expected = (3 * np.log(2) + np.log(4)) / 4
    assert table([ensemble])["ensemble"]["log_loss"] == pytest.approx(expected)


def test_members_and_trees_are_those_of_a_prediction(candidate):
    ensemble = candidate("ensemble", AROUND, trees=(10, 20, 30))
    row = table([ensemble])["ensemble"]
    assert (row["members"], row["trees"]) == (3, 60)


def test_best_takes_the_fewest_trees_among_those_that_are_level(candidate):
    # The single model is better in half of the groups and worse in the others: by 0.01 in sum.
    ensemble = candidate("ensemble", AROUND, trees=(10, 10))
    single = candidate("single", AROUND[::-1] - 1e-4, trees=(15,))
    lines = table([ensemble, single])
    assert lines["single"]["difference"] > 0
    assert lines["single"]["difference_low"] < 0 < lines["single"]["difference_high"]
    assert lines["single"]["chosen"]


def test_best_takes_the_lowest_loss_where_others_are_worse_beyond_chance(candidate):
    ensemble = candidate("ensemble", AROUND, trees=(10, 10))
    single = candidate("single", AROUND - 0.05, trees=(15,))
    lines = table([ensemble, single])
    assert 0 < lines["single"]["difference_low"] < lines["single"]["difference"]
    assert lines["ensemble"]["chosen"]


def test_leader_with_the_fewest_trees_is_taken(candidate):
    ensemble = candidate("ensemble", AROUND - 0.05, trees=(10, 10))
    single = candidate("single", AROUND, trees=(15,))
    assert chosen([ensemble, single]) == "single"


def test_of_three_the_cheapest_that_is_level_is_taken(candidate):
    ensemble = candidate("ensemble", AROUND, trees=(10, 10))
    single = candidate("single", AROUND[::-1] - 1e-4, trees=(15,))
    distilled = candidate("distilled", AROUND - 0.05, trees=(5,))
    assert chosen([ensemble, single, distilled]) == "single"


def test_too_few_groups_show_nothing_and_the_lowest_loss_is_taken(candidate):
    ensemble = candidate("ensemble", AROUND[:9], trees=(10, 10))
    single = candidate("single", AROUND[:9][::-1] - 1e-4, trees=(15,))
    lines = table([ensemble, single])
    assert lines["ensemble"]["chosen"]
    assert lines["single"]["difference_low"] is None
    assert lines["single"]["reason"] == "no interval from 9 groups"


def test_named_candidate_that_was_not_trained_is_refused(candidate):
    with pytest.raises(
        InputError, match="final: distilled is not among the models given: ensemble"
    ):
        compare_candidates([candidate("ensemble", AROUND)], "distilled")


@pytest.mark.parametrize("final", ["ensemble", "single", "distilled"])
def test_named_candidate_is_taken_whatever_its_loss(candidate, final):
    given = [
        candidate("ensemble", AROUND, trees=(10, 10)),
        candidate("single", AROUND - 0.3, trees=(15,)),
        candidate("distilled", AROUND - 0.4, trees=(500,)),
    ]
    assert chosen(given, final) == final
    assert list(table(given, final)) == ["ensemble", "single", "distilled"]


def test_scores_of_the_ensemble_are_those_of_its_combiner(candidate):
    ensemble = candidate("ensemble", AROUND, scores="stacked")
    assert table([ensemble])["ensemble"]["log_loss"] == pytest.approx(-np.log(AROUND).mean())


def test_groups_in_common_alone_are_judged(candidate):
    ensemble = candidate("ensemble", [0.5, 0.25, 0.5, 0.5])
    distilled = candidate("distilled", [0.125, 0.5], groups=["g01", "g03"])
    lines = table([ensemble, distilled])
    assert (
        {row["groups"] for row in lines.values()} == {row["rows"] for row in lines.values()} == {2}
    )
    assert lines["ensemble"]["log_loss"] == pytest.approx((np.log(4) + np.log(2)) / 2)
    assert lines["distilled"]["log_loss"] == pytest.approx((np.log(8) + np.log(2)) / 2)


def test_candidates_without_a_group_in_common_are_refused(candidate):
    given = [candidate("ensemble", [0.5], groups=["a"]), candidate("single", [0.5], groups=["b"])]
    with pytest.raises(InputError, match="no groups in common"):
        compare_candidates(given, "best")


@pytest.mark.parametrize("groups", [["a", "b", "b"], ["a", "a", "b", "b"], ["b", "a", "a"]])
def test_candidates_on_different_rows_are_refused(candidate, groups):
    given = [
        candidate("ensemble", [0.5] * 3, groups=["a", "a", "b"]),
        candidate("single", [0.5] * len(groups), groups=groups),
    ]
    with pytest.raises(InputError, match=r"judged on different rows; delete ensemble, single and"):
        compare_candidates(given, "best")


def test_small_record_batches_change_nothing(candidate, monkeypatch):
    given = [candidate("ensemble", AROUND), candidate("single", AROUND[::-1])]
    expected = compare_candidates(given, "best")
    monkeypatch.setattr(tables, "BATCH_ROWS", 5)
    assert compare_candidates(given, "best").equals(expected)
