"""What evaluation.group_ranks promises: genes in order of what they cost or divide."""

import numpy as np
import polars as pl
import pytest

from genebatch.evaluation.group_ranks import (
    ONE_MEMBER,
    UNSCORED,
    neighbours,
    rank,
    with_unscored,
)
from genebatch.evaluation.group_sums import sum_groups
from genebatch.io.files import InputError
from tests.builders.held_out_scores import BASE, MEMBERS, ROWS, WEIGHT, held_out, write


def ranked(folder, tables, by=None, features=None):
    paths = write(folder, tables)
    sums = sum_groups(paths["cross_batch"], paths["combined"], "log_odds")
    return rank(sums, by, features)


def line(table, group):
    return table.row(by_predicate=pl.col("group") == group, named=True)


def test_gene_that_divides_the_members_ranks_first_by_ambiguity(tmp_path):
    tables = held_out(ROWS, MEMBERS, weight=WEIGHT, base=BASE)
    ranks = ranked(tmp_path, tables, "weighted_ambiguity").table
    assert ranks.select("rank", "group").rows() == [(1, "split"), (2, "wrong"), (3, "easy")]


def test_gene_that_costs_most_ranks_first_unless_told_otherwise(tmp_path):
    """`wrong` costs log 10; `split` log 2 and four times log 10/9, less by 1.2."""
    ranks = ranked(tmp_path, held_out(ROWS, MEMBERS, weight=WEIGHT, base=BASE))
    assert ranks.by == "weighted_log_loss"
    assert ranks.table["group"].to_list() == ["wrong", "split", "easy"]


def test_columns_by_hand(tmp_path):
    table = ranked(tmp_path, held_out(ROWS, MEMBERS, weight=WEIGHT, base=BASE)).table
    split = line(table, "split")
    loss, weighted = -np.log(0.5 * 0.9), -np.log(0.5) - 4 * np.log(0.9)
    assert split["mean_log_loss"] == pytest.approx(loss / 2, rel=1e-6)
    assert split["weighted_mean_log_loss"] == pytest.approx(weighted / 5, rel=1e-6)
    assert split["gain"] == pytest.approx(-np.log(0.6 * 0.4) - loss, rel=1e-6)
    ambiguity = -np.log(0.09) / 2 - np.log(2)
    assert split["weighted_mean_ambiguity"] == pytest.approx(ambiguity / 5, rel=1e-6)
    # Ambiguities a and 0: their sum has the variance 2 x s2 = 2 x a2 / 2.
    assert split["error_of_ambiguity"] == pytest.approx(ambiguity, rel=1e-6)
    assert split["disagreement"] == 0.5
    assert split["weighted_disagreement"] == pytest.approx(0.2)
    assert split["reason"] is None
    assert line(table, "wrong")["reason"] == "a single row has no standard error"
    assert line(table, "wrong")["error_of_ambiguity"] is None


PLANNED = [
    ("split", "b001", 2),
    ("easy", "b000", 2),
    ("wrong", "b000", 1),
    ("new", "b001", 7),
    ("late", "b001", 5),
    ("late", "b000", 5),
    ("test", None, 9),
]


def test_groups_without_scores_are_named_behind_the_others(tmp_path):
    ranks = ranked(tmp_path, held_out(ROWS, MEMBERS, weight=WEIGHT, base=BASE))
    planned = pl.DataFrame(PLANNED, schema=["group", "batch", "rows"], orient="row")
    named = with_unscored(ranks, planned)
    assert ranks.counted == "3"
    assert named.counted == "3 of 5"
    assert named.table[:3].equals(ranks.table)
    known = named.table[3:].select("rank", "group", "batch", "rows", "reason").rows()
    assert known == [(None, "late", "b000", 5, UNSCORED), (None, "new", "b001", 7, UNSCORED)]
    empty = named.table[3:].drop("group", "batch", "rows", "reason")
    assert empty.null_count().sum_horizontal().item() == 2 * empty.width
    of_all = planned.filter(pl.col("group").is_in(["split", "easy", "wrong", "test"]))
    assert with_unscored(ranks, of_all).table.equals(ranks.table)


def test_without_weights_the_rows_count(tmp_path):
    ranks = ranked(tmp_path, held_out(ROWS, MEMBERS))
    assert ranks.by == "log_loss"
    assert not [name for name in ranks.table.columns if name.startswith("weighted")]


def test_without_base_scores_their_columns_are_empty_and_say_so(tmp_path):
    split = line(ranked(tmp_path, held_out(ROWS, MEMBERS)).table, "split")
    names = ("base_log_loss", "gain", "base_errors", "corrected", "made")
    assert [split[name] for name in names] == [None] * 5
    assert split["reason"] == "no base scores"


def test_base_scores_that_are_no_distribution_have_errors_and_no_loss(tmp_path):
    first, second = held_out(ROWS, MEMBERS, base=BASE)
    first = first.with_columns(pl.col("score_no") + 0.1)
    split = line(ranked(tmp_path, (first, second)).table, "split")
    assert split["gain"] is None
    assert split["base_errors"] == 1
    assert split["reason"] == "the base scores of a row do not sum to 1 (off by up to 0.1)"


def test_one_member_has_no_ambiguity_and_ranks_by_loss(tmp_path):
    tables = held_out(ROWS, {"b000": MEMBERS["b000"]}, base=BASE)
    table = ranked(tmp_path, tables, "ambiguity").table
    assert table["group"].to_list() == ["wrong", "easy", "split"]
    assert table["ambiguity"].null_count() == table["disagreement"].null_count() == 3
    assert set(table["reason"]) == {ONE_MEMBER}
    assert table["member_log_loss"].null_count() == 0


def test_group_without_weight_has_no_weighted_mean(tmp_path):
    tables = held_out(ROWS, MEMBERS, weight=[1, 1, 1, 0, 0])
    easy = line(ranked(tmp_path, tables).table, "easy")
    assert easy["weighted_mean_log_loss"] is None
    assert easy["mean_log_loss"] is not None
    assert easy["reason"] == "no base scores; its rows have weight 0"


def test_ties_stand_by_loss_and_then_by_name(tmp_path):
    rows = [(name, "yes") for name in ("d", "c", "b", "a")]
    tables = held_out(rows, {"b000": [0.9, 0.9, 0.9, 0.5], "b001": [0.9, 0.9, 0.9, 0.5]})
    assert ranked(tmp_path, tables, "errors").table["group"].to_list() == ["a", "b", "c", "d"]
    order = [2, 0, 3, 1]
    shuffled = [table[order] for table in tables]
    assert ranked(tmp_path, shuffled, "errors").table["group"].to_list() == ["a", "b", "c", "d"]


def test_similar_ambiguity_is_of_the_nearest_groups(tmp_path):
    """Twelve groups on a line of which the last is far off: its ten nearest leave the first out."""
    rows = [(f"g{number:02d}", "yes") for number in range(12)]
    # Members differ on the first group only.
    tables = held_out(rows, {"b000": [0.9] + [0.8] * 11, "b001": [0.1] + [0.8] * 11})
    place = [0.0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 50]
    frame = pl.DataFrame({"group": [name for name, _ in rows], "place": place})
    table = ranked(tmp_path, tables, "similar_ambiguity", frame[::-1]).table
    own = -np.log(0.09) / 2 - np.log(2)
    assert line(table, "g00")["similar_ambiguity"] == pytest.approx(own / 10, rel=1e-5)
    assert line(table, "g04")["similar_ambiguity"] == pytest.approx(own / 10, rel=1e-5)
    assert line(table, "g11")["similar_ambiguity"] == pytest.approx(0, abs=1e-6)
    assert table["rank"].to_list() == list(range(1, 13))


def test_group_without_features_is_named():
    features = pl.DataFrame({"group": ["a", "b"], "x": [1.0, None]})
    with pytest.raises(InputError, match="lack numbers of 2 groups: b, c"):
        neighbours(features, pl.Series(["a", "b", "c"]))


def test_unknown_column_is_answered_with_the_known_ones(tmp_path):
    with pytest.raises(InputError, match="not ranked by 'size'; --by takes rows, rows_no"):
        ranked(tmp_path, held_out(ROWS, MEMBERS), "size")
