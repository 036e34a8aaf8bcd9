"""What genebatch.coverage promises."""

import polars as pl
import pytest

from genebatch.plan.coverage import check_coverage, coverage, times_held

CLASSES = ["no", "yes"]


def make_plan():
    """Groups a and b in b0, c and d in b1 which borrows b, and the test group t."""
    groups = {
        "a": (10, 1, 30.0),
        "b": (10, 1, 10.0),
        "c": (30, 2, 40.0),
        "d": (30, 4, 20.0),
        "t": (99, 9, 900.0),
    }
    places = [("a", "b0"), ("b", "b0"), ("c", "b1"), ("d", "b1"), ("b", "b1"), ("t", None)]
    lines = [
        {
            "group": name,
            "rows": groups[name][0],
            "n_no": groups[name][0] - groups[name][1],
            "n_yes": groups[name][1],
            "weight_no": groups[name][2] - 1,
            "weight_yes": 1.0,
            "batch": batch,
            "lent": None if batch is None else (name, batch) == ("b", "b1"),
            "test": batch is None,
        }
        for name, batch in places
    ]
    return pl.DataFrame(lines)


def groups_of(plan):
    return plan.unique("group", keep="first", maintain_order=True).drop("batch", "lent", "test")


def test_coverage_by_hand():
    first, second = coverage(make_plan(), CLASSES).iter_rows(named=True)
    # 80 training rows, 8 of them yes; weight 100. Complexity is the mean share of rows and of yes.
    assert first.pop("complexity") == pytest.approx((20 / 80 + 2 / 8) / 2)
    assert second.pop("complexity") == pytest.approx((70 / 80 + 7 / 8) / 2)
    assert first.pop("weight_share") == pytest.approx(0.4)
    assert second.pop("weight_share") == pytest.approx(0.7)
    assert first == {
        **{"batch": "b0", "groups": 2, "lent": 0, "rows": 20, "rows_no": 18, "rows_yes": 2},
        "rows_per_group": 10.0,
    }
    assert second == {
        **{"batch": "b1", "groups": 2, "lent": 1, "rows": 70, "rows_no": 63, "rows_yes": 7},
        "rows_per_group": pytest.approx(70 / 3),
    }


def test_without_lent_groups_the_shares_sum_to_one():
    table = coverage(make_plan().filter(pl.col("lent").not_()), CLASSES)
    assert table["weight_share"].sum() == pytest.approx(1)
    assert table["complexity"].sum() == pytest.approx(1)


def test_groups_are_counted_by_how_many_batches_hold_them():
    assert times_held(make_plan()).rows() == [
        ("training", 0, 0, 0),
        ("training", 1, 3, 70),
        ("training", 2, 1, 10),
        ("test", 0, 1, 99),
        ("test", 1, 0, 0),
        ("test", 2, 0, 0),
    ]


def test_a_plan_of_every_group_once_passes():
    plan = make_plan()
    check_coverage(plan, groups_of(plan), ["t"])


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda p: p.filter(pl.col("group") != "c"), "training groups are not dealt exactly once"),
        (lambda p: pl.concat([p, p[:1]]), "not dealt exactly once.*held twice by a batch"),
        (lambda p: p.filter(pl.col("group") != "t"), "test groups are not those"),
        (
            lambda p: p.with_columns(
                batch=pl.col("batch").fill_null("b1"), lent=pl.col("lent").fill_null(False)
            ),
            "training groups are not dealt exactly once",
        ),
        (lambda p: pl.concat([p, p[4:5]]), "groups are lent twice"),
        (lambda p: p.remove(pl.col("group") == "b", pl.col("batch") == "b0"), "no batch owns"),
    ],
)  # fmt: skip
def test_any_other_plan_is_refused(spoil, message):
    plan = make_plan()
    with pytest.raises(RuntimeError, match=message):
        check_coverage(spoil(plan), groups_of(plan), ["t"])
