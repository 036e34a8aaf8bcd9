"""Groups are dealt whole."""

import math
from dataclasses import replace

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from genebatch.config.settings import HoldOut
from genebatch.groups import (
    deal,
    folds,
    genes_of,
    hold_out,
    measures,
    overlapping,
    read_group_of,
    read_groups_list,
    sampled,
)
from genebatch.io.files import InputError
from genebatch.plan.strategies import balanced
from tests.builders.group_tables import BATCHING, count_tables, groups_of, loads, made_groups

TEST = HoldOut(fraction=0.2, groups=None, column=None, values=None, seed=7)
some_shares = st.lists(st.floats(0.05, 1), min_size=1, max_size=6)


# ---- deal


def test_dealing_balances_rows_classes_and_the_number_of_groups():
    groups = groups_of([[5, 1], [7, 0]])
    np.testing.assert_array_equal(measures(groups), [[6, 5, 1, 1], [7, 7, 0, 1]])


def test_a_small_deal_by_hand():
    sizes = np.array([[5.0], [4.0], [3.0], [3.0], [3.0]])  # 5+4 against 3+3+3
    parts = deal(list("abcde"), sizes, [1, 1], seed=0)
    assert sorted(sizes[parts == part].sum() for part in (0, 1)) == [8, 10]
    assert parts[0] != parts[1]


@given(count_tables, some_shares, st.integers(0, 99))
def test_the_excess_over_the_shares_is_at_most_that_of_a_random_deal(groups, shares, seed):
    """Each group joins the part of least cost, hence no dearer than the mean over parts.

    Summed over groups, sum(share x (load / (share x total) - 1)^2) is therefore at most
    (parts - 1) x sum((size / total)^2), which is its mean over random deals.
    """
    sizes = measures(groups)
    parts = deal(groups["group"].to_list(), sizes, shares, seed)
    assert parts.shape == (groups.height,)
    assert set(parts.tolist()) <= set(range(len(shares)))
    total = sizes.sum(axis=0)
    wanted = np.array(shares)[:, None] / np.sum(shares)
    relative = loads(groups, parts, len(shares)) / np.maximum(total, 1)
    excess = (wanted * (relative / wanted - 1) ** 2)[:, total > 0].sum()
    random = (len(shares) - 1) * ((sizes / np.maximum(total, 1)) ** 2).sum()
    assert excess <= random + 1e-9


@given(count_tables, st.integers(1, 12), st.integers(0, 99))
def test_no_part_is_empty_while_there_are_groups_enough(groups, n_parts, seed):
    parts = deal(groups["group"].to_list(), measures(groups), np.ones(n_parts), seed)
    assert len(np.unique(parts)) == min(n_parts, groups.height)


@given(count_tables, some_shares, st.integers(0, 99), st.randoms(use_true_random=False))
def test_the_order_of_groups_does_not_matter(groups, shares, seed, random):
    order = list(range(groups.height))
    random.shuffle(order)
    names, sizes = np.array(groups["group"].to_list()), measures(groups)
    plain = deal(names.tolist(), sizes, shares, seed)
    shuffled = deal(names[order].tolist(), sizes[order], shares, seed)
    np.testing.assert_array_equal(plain[order], shuffled)


def test_the_seed_decides_among_equal_groups():
    groups = groups_of(np.full((40, 2), 5))
    deals = [
        tuple(deal(groups["group"].to_list(), measures(groups), [1, 1, 1, 1], seed))
        for seed in (1, 1, 2, 3)
    ]
    assert deals[0] == deals[1]
    assert len(set(deals)) == 3


@given(count_tables, st.integers(1, 6), st.integers(0, 3))
def test_no_part_has_more_groups_than_allowed(groups, n_parts, spare):
    most = math.ceil(groups.height / n_parts) + spare
    parts = deal(groups["group"].to_list(), measures(groups), np.ones(n_parts), 7, max_groups=most)
    assert np.bincount(parts).max() <= most


def test_a_full_part_takes_no_more_groups():
    sizes = np.array([[100.0], *[[1.0]] * 9])
    names = list("abcdefghij")
    assert sorted(np.bincount(deal(names, sizes, [1, 1], seed=0))) == [1, 9]
    assert sorted(np.bincount(deal(names, sizes, [1, 1], seed=0, max_groups=6))) == [4, 6]


def test_what_parts_already_hold_counts():
    sizes = np.ones((10, 1))
    held = np.array([[10.0], [0.0]])
    parts = deal([str(n) for n in range(10)], sizes, [1, 1], seed=0, loads=held)
    assert parts.tolist() == [1] * 10


def test_nothing_to_deal_is_no_error():
    assert deal([], np.empty((0, 3)), [1, 1], seed=0).tolist() == []


# ---- overlap


@given(st.integers(1, 6), st.integers(2, 15), st.sampled_from([0.0, 0.1, 0.25, 0.5]))
def test_a_batch_lends_the_stated_share_to_the_next_and_keeps_its_own(n_batches, size, overlap):
    groups = groups_of(np.ones((n_batches * size, 1), int))
    batches = np.arange(groups.height) % n_batches
    members = overlapping(groups, batches, overlap, seed=7)
    lent = round(overlap * size) if n_batches > 1 else 0
    assert len(members) == n_batches
    for batch, rows in enumerate(members):
        own = set(np.flatnonzero(batches == batch).tolist())
        assert own <= set(rows.tolist())
        borrowed = set(rows.tolist()) - own
        assert len(rows) == len(set(rows.tolist())) == size + lent
        assert {batches[row] for row in borrowed} <= {(batch - 1) % n_batches}


def test_without_overlap_every_group_is_in_one_batch():
    groups = made_groups(30)
    members = overlapping(groups, balanced(groups, 4, BATCHING), 0.0, seed=7)
    assert sorted(np.concatenate(members).tolist()) == list(range(30))


# ---- folds


@given(count_tables, st.integers(2, 5), st.integers(0, 9))
@settings(max_examples=50)
def test_every_fold_has_groups_and_every_group_a_fold(groups, n_splits, seed):
    if groups.height < n_splits:
        with pytest.raises(InputError, match=f"cv.n_splits={n_splits}"):
            folds(groups, n_splits, seed)
    else:
        fold = folds(groups, n_splits, seed)
        assert fold.shape == (groups.height,)
        assert set(fold.tolist()) == set(range(n_splits))


def test_folds_share_rows_and_classes():
    groups = made_groups(100)
    held = loads(groups, folds(groups, 5, 7), 5)
    even = held.sum(axis=0) / 5
    assert (np.abs(held - even) / even)[:, [0, 1, 2, 4]].max() < 0.1
    assert np.abs(held - even)[:, 3].max() <= 2


# ---- test groups


@pytest.mark.parametrize("fraction", [0.1, 0.2, 0.5])
def test_a_fraction_of_rows_and_classes_is_held_out(fraction):
    groups = made_groups()
    chosen = hold_out(groups, replace(TEST, fraction=fraction))
    held = loads(groups, chosen.to_numpy().astype(int), 2)[1]
    share = held / measures(groups).sum(axis=0)
    np.testing.assert_allclose(share[[0, 1, 2, 4]], fraction, atol=0.02)
    assert share[3] == pytest.approx(fraction, abs=0.06)  # of about 40 rare rows


def test_named_groups_are_held_out():
    groups = made_groups(20)
    chosen = hold_out(groups, replace(TEST, groups=["g003", "g017"]))
    assert groups["group"].filter(chosen).to_list() == ["g003", "g017"]


def test_groups_are_held_out_by_the_values_of_a_column():
    chromosomes = ["1", "2", None, "1"]
    groups = made_groups(4).with_columns(pl.Series("fact.chrom", chromosomes))
    chosen = hold_out(groups, replace(TEST, column="chrom", values=[1]))
    assert chosen.to_list() == [True, False, False, True]


@pytest.mark.parametrize(
    ("test", "message"),
    [
        ({"groups": ["g001", "gene"]}, r"test\.groups names groups that are not .*\['gene'\]"),
        ({"column": "chrom", "values": ["X"]}, r"test\.values \['X'\].*'chrom' \(values: 1, 2\)"),
        ({"column": "chrom", "values": ["1", "2"]}, r"set aside 4 of 4 groups.*test\.values"),
        ({"groups": []}, r"set aside 0 of 4 groups.*test\.groups"),
        ({"fraction": 0.001}, r"set aside 0 of 4 groups.*test\.fraction"),
    ],
)
def test_a_test_set_that_cannot_be_names_the_key(test, message):
    groups = groups_of(np.full((4, 2), 10)).with_columns(
        pl.Series("fact.chrom", ["1", "2", "2", "1"])
    )
    with pytest.raises(InputError, match=message):
        hold_out(groups, replace(TEST, **test))


def test_test_groups_do_not_depend_on_the_order_of_groups():
    groups = made_groups()
    shuffled = groups.sample(fraction=1, shuffle=True, seed=2)
    plain = set(groups["group"].filter(hold_out(groups, TEST)))
    assert plain == set(shuffled["group"].filter(hold_out(shuffled, TEST)))
    assert plain != set(groups["group"].filter(hold_out(groups, replace(TEST, seed=8))))


# ---- samples


def lines_of_a_plan(n_groups=10, batches=("b000", "b001"), rows=50):
    """Lines of a plan: so many groups in each of two folds of every batch, and two test groups."""
    lines = [
        (f"{batch}-{fold}-{number}", batch, fold, rows)
        for batch in batches
        for fold in range(2)
        for number in range(n_groups)
    ]
    lines += [(f"test-{number}", None, None, rows) for number in range(2)]
    return pl.DataFrame(lines, schema=["group", "batch", "fold", "rows"], orient="row")


def counts(planned, groups):
    """Groups of a sample in every fold of every batch."""
    rows = planned.filter(pl.col("group").is_in(groups.implode()))
    return dict(
        ((batch, fold), n) for batch, fold, n in rows.group_by("batch", "fold").len().rows()
    )


def test_sample_has_the_same_share_of_the_groups_of_every_fold_of_every_batch():
    """Of 40 groups of 50 rows 1,000 rows are one half."""
    planned = lines_of_a_plan()
    groups = sampled(planned, 1000)
    assert counts(planned, groups) == dict.fromkeys(
        [("b000", 0), ("b000", 1), ("b001", 0), ("b001", 1)], 5
    )
    assert groups.to_list() == sorted(groups)


@pytest.mark.parametrize(("n_groups", "kept"), [(10, 2), (2, 2), (1, 1)])
def test_every_fold_of_every_batch_keeps_two_groups_if_it_has_them(n_groups, kept):
    planned = lines_of_a_plan(n_groups)
    groups = sampled(planned, 50)
    groups = planned.filter(pl.col("batch").is_not_null())["group"] if groups is None else groups
    assert set(counts(planned, groups).values()) == {kept}


def test_all_groups_are_taken_where_there_are_no_more_rows():
    planned = lines_of_a_plan()
    assert sampled(planned, 2000) is None
    assert sampled(planned, None) is None
    assert sampled(planned, 1999) is None  # 9.995 of ten groups are ten
    assert sampled(lines_of_a_plan(2), 50) is None  # two of each fold are all


def test_sample_is_the_same_whatever_the_order_and_the_rows_of_groups():
    planned = lines_of_a_plan()
    groups = sampled(planned, 1000)
    assert groups.equals(sampled(planned.sample(fraction=1, shuffle=True, seed=1), 1000))
    # Ten times the rows of one half of the groups, and ten times the rows that are scored.
    wider = planned.with_columns(rows=pl.col("rows") * 10)
    assert groups.equals(sampled(wider, 10_000))
    fewer = sampled(planned, 500)
    assert set(fewer) < set(groups)


def test_group_of_two_batches_belongs_to_the_first():
    """b001 lent its groups of fold 0 to b000: of these and of its own b000 gives two."""
    planned = lines_of_a_plan(6)
    lent = planned.filter(batch="b001", fold=0).with_columns(batch=pl.lit("b000"))
    groups = sampled(pl.concat([planned, lent]), 50)
    of_fold_0 = [name for name in groups if name.startswith(("b000-0", "b001-0"))]
    assert (len(of_fold_0), len(groups)) == (2, 6)


def test_large_sample_has_about_the_rows_that_were_asked_for():
    """Groups are drawn whatever their size, so rows come near the number by their mean."""
    rng = np.random.default_rng(0)
    rows = rng.lognormal(4, 1, 8000).astype(int) + 5
    planned = pl.DataFrame(
        {
            "group": [f"g{number}" for number in range(8000)],
            "batch": [f"b{number % 4:03d}" for number in range(8000)],
            "fold": [number // 4 % 5 for number in range(8000)],
            "rows": rows,
        }
    )
    drawn = planned.filter(pl.col("group").is_in(sampled(planned, rows.sum() // 4).implode()))
    assert drawn["rows"].sum() == pytest.approx(rows.sum() / 4, rel=0.05)


def test_names_of_groups_in_a_list_stay_text(tmp_path):
    (tmp_path / "test.tsv").write_text("group\n01\n07\n")
    assert read_groups_list(tmp_path / "test.tsv") == ["01", "07"]


def test_names_of_genes_stay_text(tmp_path):
    (tmp_path / "genes.tsv").write_text("gene_id\tgroup\tstart\n0001\t07\t5\n1e3\t08\t9\n")
    assert read_group_of(tmp_path / "genes.tsv") == {"0001": "07", "1e3": "08"}


def test_genes_of_some_groups_are_all_of_their_genes():
    """Every group has two genes, in an order of its own."""
    names = [f"g{number}" for number in range(5)]
    group_of = {f"{end}-{group}": group for group in names[::-1] for end in "zy"}
    genes = genes_of(names[1:4], group_of)
    assert genes == [f"{end}-{group}" for end in "yz" for group in names[1:4]]
