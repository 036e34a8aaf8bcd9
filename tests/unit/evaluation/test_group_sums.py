"""What evaluation.group_sums promises: sums by hand, however the rows are stored and read."""

import numpy as np
import polars as pl
import pytest

from genebatch.evaluation.group_sums import read_layout, sum_groups
from genebatch.io.files import InputError
from tests.builders.held_out_scores import BASE, MEMBERS, ROWS, WEIGHT, held_out, write


def sums(folder, tables, combiner="log_odds", row_group_size=None, batch_rows=None):
    paths = write(folder, tables, row_group_size)
    return sum_groups(paths["cross_batch"], paths["combined"], combiner, batch_rows)


def column(totals, name):
    return dict(totals.table.select("group", name).iter_rows())


def test_sums_of_each_group_by_hand(tmp_path):
    totals = sums(tmp_path, held_out(ROWS, MEMBERS, weight=WEIGHT, base=BASE))
    assert totals.table["group"].to_list() == ["easy", "split", "wrong"]
    assert column(totals, "rows") == {"easy": 2, "split": 2, "wrong": 1}
    assert column(totals, "rows_yes") == {"easy": 1, "split": 1, "wrong": 1}
    assert column(totals, "weighted_rows_no") == {"easy": 0, "split": 4, "wrong": 0}
    # The mean of odds 9 and 1/9 is even, that of equal members each of them.
    loss = {"easy": -np.log(0.9 * 0.8), "split": -np.log(0.5 * 0.9), "wrong": -np.log(0.1)}
    assert column(totals, "log_loss") == pytest.approx(loss, rel=1e-6)
    weighted = -np.log(0.5) - 4 * np.log(0.9)
    assert column(totals, "weighted_log_loss")["split"] == pytest.approx(weighted, rel=1e-6)
    ambiguity = -np.log(0.9 * 0.1) / 2 - np.log(2)
    expected = pytest.approx({"easy": 0, "split": ambiguity, "wrong": 0}, abs=1e-6)
    assert column(totals, "ambiguity") == expected
    assert column(totals, "ambiguity_yes") == expected
    assert column(totals, "squares")["split"] == pytest.approx(ambiguity**2, rel=1e-6)
    assert column(totals, "disagreement") == {"easy": 0, "split": 1, "wrong": 0}
    assert column(totals, "base_log_loss")["wrong"] == pytest.approx(-np.log(0.6))


def test_errors_of_the_base_are_corrected_and_made(tmp_path):
    """The base calls yes, yes | yes | no, no, the model no (a tie), no | no | yes, no."""
    totals = sums(tmp_path, held_out(ROWS, MEMBERS, [0.5, 0.1, 0.1, 0.9, 0.2], WEIGHT, BASE))
    assert column(totals, "base_errors") == {"split": 1, "wrong": 0, "easy": 1}
    assert column(totals, "corrected") == {"split": 1, "wrong": 0, "easy": 1}
    assert column(totals, "made") == {"split": 1, "wrong": 1, "easy": 0}
    assert column(totals, "weighted_corrected") == {"split": 4, "wrong": 0, "easy": 1}
    assert column(totals, "missed_yes") == {"split": 1, "wrong": 1, "easy": 0}
    assert column(totals, "false_no") == {"split": 1, "wrong": 1, "easy": 0}
    assert column(totals, "false_yes") == {"split": 0, "wrong": 0, "easy": 0}
    assert column(totals, "errors") == {"split": 1, "wrong": 1, "easy": 0}


def random_tables(seed=0, n=400):
    rng = np.random.default_rng(seed)
    rows = [(f"g{rng.integers(9)}", rng.choice(["no", "yes"])) for _ in range(n)]
    members = {f"b{number:03d}": rng.uniform(0.01, 0.99, n) for number in range(3)}
    return held_out(rows, members, weight=rng.uniform(0, 9, n), base=rng.uniform(0, 1, n))


@pytest.mark.parametrize(("row_group_size", "batch_rows"), [(7, 5), (64, 1), (400, 33)])
def test_pieces_give_the_sums_of_the_whole(tmp_path, row_group_size, batch_rows):
    whole = sums(tmp_path, random_tables()).table
    pieces = sums(tmp_path, random_tables(), "log_odds", row_group_size, batch_rows).table
    assert pieces["group"].equals(whole["group"])
    numbers = [table.drop("group", "batch").to_numpy() for table in (pieces, whole)]
    np.testing.assert_allclose(*numbers, rtol=1e-12, atol=1e-12)


def test_the_order_of_rows_does_not_matter(tmp_path):
    tables = random_tables()
    order = np.random.default_rng(1).permutation(400)
    shuffled = sums(tmp_path, [table[order] for table in tables]).table
    whole = sums(tmp_path, tables).table
    numbers = [table.drop("group", "batch").to_numpy() for table in (shuffled, whole)]
    np.testing.assert_allclose(*numbers, rtol=1e-12, atol=1e-12)


def test_equal_inputs_give_equal_bits(tmp_path):
    once, again = (sums(tmp_path, random_tables()).table for _ in range(2))
    assert once.equals(again)


def test_the_combiner_decides_whose_loss_it_is(tmp_path):
    totals = sums(tmp_path, held_out(ROWS, MEMBERS), "voting")
    assert column(totals, "log_loss")["wrong"] == pytest.approx(np.log(2))


def test_without_weights_and_base_scores_there_are_no_sums_of_them(tmp_path):
    totals = sums(tmp_path, held_out(ROWS, MEMBERS))
    assert totals.base_off is None
    assert not [n for n in totals.table.columns if n.startswith(("weighted", "base", "corr"))]


def test_three_classes_of_any_name_and_whole_number_groups(tmp_path):
    rng = np.random.default_rng(0)
    classes = ["a:b", "score_x", "7"]
    names = [f"b{m:03d}:{c}" for m in range(2) for c in classes]
    first = pl.DataFrame({"group": [1, 1, 2], "label": classes, "batch": "b000", "fold": 0})
    first = first.with_columns(pl.Series(name, rng.normal(size=3)) for name in names)
    first = first.with_columns(pl.lit(1 / 3).alias(f"score_{c}") for c in classes)
    second = first.select("group", "label").with_columns(
        pl.lit(1 / 3).alias(f"voting:{c}") for c in classes
    )
    totals = sums(tmp_path, (first, second), "voting")
    assert totals.layout.classes == classes
    assert totals.layout.members == ["b000", "b001"]
    assert column(totals, "rows_a:b") == {"1": 1, "2": 0}
    assert column(totals, "log_loss") == pytest.approx({"1": 2 * np.log(3), "2": np.log(3)})


def test_files_of_different_rows_are_refused(tmp_path):
    first, second = held_out(ROWS, MEMBERS)
    for other in (second.reverse(), second[:-1], pl.concat([second, second[:1]])):
        with pytest.raises(InputError, match="not of the same rows"):
            sums(tmp_path, (first, other))


def test_missing_file_names_what_makes_it(tmp_path):
    with pytest.raises(
        InputError, match=r"cross_batch.parquet does not exist; run the workflow again"
    ):
        read_layout(tmp_path / "cross_batch.parquet", tmp_path / "combined.parquet", "voting")


def test_unknown_combiner_is_answered_with_the_known_ones(tmp_path):
    with pytest.raises(InputError, match=r"'stacked' \(it has those by log_odds, voting\)"):
        sums(tmp_path, held_out(ROWS, MEMBERS), "stacked")


def test_member_without_a_class_is_named(tmp_path):
    first, second = held_out(ROWS, MEMBERS)
    with pytest.raises(InputError, match="see b001:yes"):
        sums(tmp_path, (first.drop("b001:yes"), second))


def test_member_without_scores_is_named(tmp_path):
    first, second = held_out(ROWS, MEMBERS)
    gap = pl.lit(None, pl.Float32).alias("b001:yes")
    with pytest.raises(InputError, match="member b001 has no log-odds"):
        sums(tmp_path, (first.with_columns(gap), second))
