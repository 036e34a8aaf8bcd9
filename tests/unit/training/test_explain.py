"""What training.explain promises: a fair sample, exact SHAP values, importances that mean it."""

from dataclasses import replace

import numpy as np
import polars as pl
import pytest

from genebatch.dataset.feature_set import Features
from genebatch.dataset.row_file import RowFile
from genebatch.io.files import InputError
from genebatch.model.archive import load_model
from genebatch.model.explanation import family_table
from genebatch.training import explain


@pytest.fixture(scope="module")
def stored(toy):
    """The row file of the first batch."""
    return RowFile.open(toy.paths("b000")["rows"])


@pytest.fixture(scope="module")
def draw(toy, stored):
    """Draw a sample of the first batch."""

    def draw(rows, seed=7):
        return explain.draw_sample(stored, replace(toy.settings.explain, rows=rows, seed=seed))

    return draw


@pytest.fixture(scope="module")
def everything(draw):
    return draw(10_000)


@pytest.fixture(scope="module")
def folds(toy):
    return load_model(toy.paths("b000")["models"])


# The sample


def test_every_group_gives_the_same_number_of_rows(draw, toy):
    counts = draw(90).rows.group_by("group").len()
    groups = toy.plan_lines.filter(batch="b000").height
    assert counts.height == groups == 9
    assert counts["len"].to_list() == [10] * 9


def test_small_groups_give_all_and_the_others_fill_up():
    groups = pl.DataFrame({"group": ["a", "b", "c"], "rows": [3, 50, 60]})
    chosen = explain._chosen_rows(groups, 43, 7)
    assert {name: len(rows) for name, rows in chosen.items()} == {"a": 3, "b": 20, "c": 20}
    assert chosen["a"] == {0, 1, 2}


def test_sample_larger_than_the_batch_is_the_batch(everything, toy):
    batch = pl.read_parquet(toy.paths("b000")["out_of_fold"])
    assert everything.rows.drop("fold").equals(batch.select(everything.rows.columns).drop("fold"))
    assert everything.rows["fold"].equals(batch["fold"])


def test_sample_is_seeded(draw):
    first, again, other = (draw(60, seed).rows for seed in (7, 7, 8))
    assert first.equals(again)
    keys = ["group", "position"]
    assert not first.select(keys).equals(other.select(keys))


def test_sample_does_not_depend_on_the_other_groups():
    groups = pl.DataFrame({"group": ["a", "b"], "rows": [30, 40]})
    both = explain._chosen_rows(groups, 20, 7)
    alone = explain._chosen_rows(groups[1:], 10, 7)
    assert both["b"] == alone["b"]


def test_values_are_the_features_of_their_rows(draw, toy_rows, stored):
    sample = draw(60)
    names = stored.features.names
    expected = sample.rows.join(
        toy_rows, left_on=["group", "position"], right_on=["gene_id", "position"], how="left"
    )
    for column, name in enumerate(names):
        wanted = expected[name].cast(pl.Float32).to_numpy()
        if name.startswith("2mer"):  # a count of zero is absent
            wanted = np.where(wanted == 0, np.nan, wanted)
        np.testing.assert_array_equal(sample.values[:, column], wanted, err_msg=name)


def test_batch_with_other_rows_than_planned_is_refused(toy, stored):
    with pytest.raises(InputError, match="were planned"):
        explain.draw_sample(replace(stored, n_rows=stored.n_rows + 1), toy.settings.explain)


# Permutation


def one_by_one(folds):
    return {name: name for name in folds.features.names}


def test_informative_column_rises_and_useless_ones_do_not(folds, everything):
    rises = explain.permutation(folds, everything, one_by_one(folds), True, 7)[1]
    best = rises["signal_donor"][0]
    assert best > 0.02
    for name in ("noise_a", "noise_b", "2mer_CC", "2mer_GG", "2mer_TT"):
        assert abs(rises[name][0]) < best / 5, name


def test_column_without_a_split_has_no_rise_at_all(folds, everything):
    stumps = tuple(
        member._replace(boosters=tuple(booster[:1] for booster in member.boosters))
        for member in folds.members
    )
    small = replace(folds, members=stumps)
    used = {
        feature
        for member in stumps
        for feature in member.boosters[2].get_score(importance_type="weight")
    }
    rises = explain.permutation(small, everything, one_by_one(small), True, 7)[2]
    names = small.features.names
    unused = [name for number, name in enumerate(names) if f"f{number}" not in used]
    assert unused
    starts = set(small.scores.values())
    for name in set(unused) - starts:
        assert rises[name] == (0.0, 0.0)


def test_permuted_base_scores_move_what_boosters_start_from(folds, everything):
    scores = set(folds.scores.values())
    family = {name: "scores" if name in scores else "rest" for name in folds.features.names}
    bare = tuple(
        member._replace(boosters=tuple(booster[:1] for booster in member.boosters))
        for member in folds.members
    )
    barely = replace(folds, members=bare)
    with_start = explain.permutation(barely, everything, family, True, 7)[1]
    unstarted = explain.permutation(replace(barely, scores=None), everything, family, True, 7)[1]
    assert with_start["scores"][0] > 0.05 > abs(unstarted["scores"][0])


def test_rise_is_measured_on_rows_the_fold_model_never_saw(folds, everything):
    # A member of which no row is held out has no part in it.
    family = one_by_one(folds)
    seen = folds.members[0]._replace(facts={"fold": 99})
    full = explain.permutation(folds, everything, family, True, 7)[1]
    padded = replace(folds, members=(*folds.members, seen))
    assert explain.permutation(padded, everything, family, True, 7)[1] == full


def test_a_fold_whose_drawn_rows_weigh_nothing_is_left_out(folds, everything):
    family = one_by_one(folds)
    first = folds.members[0].facts["fold"]
    weight = pl.when(pl.col("fold") == first).then(0.0).otherwise("weight").alias("weight")
    rows = everything.rows.with_columns(weight)
    found = explain.permutation(folds, everything._replace(rows=rows), family, True, 7)[1]
    assert np.isfinite([mean for mean, _ in found.values()]).all()
    nothing = everything._replace(rows=rows.with_columns(weight=pl.lit(0.0)))
    found = explain.permutation(folds, nothing, family, True, 7)[1]
    assert set(found.values()) == {(None, None)}


def test_permutation_is_seeded(folds, everything):
    family = one_by_one(folds)
    first, again, other = (
        explain.permutation(folds, everything, family, True, seed)[1] for seed in (7, 7, 8)
    )
    assert first == again != other


# A class without trees


def test_families_of_a_class_without_trees_stand_beside_those_of_others():
    family_of = {"a": "left", "b": "right"}
    rises = dict.fromkeys(("left", "right"), (0.0, None))
    tables = [
        family_table(name, family_of, np.zeros((4, 3)), np.array(gain), rises)
        for name, gain in (("no trees", [0.0, 0.0]), ("trees", [1.0, 3.0]))
    ]
    table = pl.concat(tables).sort("class", "family")
    assert table["gain_share"].to_list() == [None, None, 0.25, 0.75]


def test_columns_of_our_own_give_way_to_features():
    """Whatever features are called, each column is there once and can be told."""
    names = ("class", "label", "row.label", "group", "fold", "weight", "score_a", "position")
    rows = pl.DataFrame({"group": ["g"], "label": ["a"], "weight": [1.0], "fold": [0]})
    sample = explain.Sample(rows, np.arange(8, dtype=np.float32)[None])
    values = np.arange(9, dtype=np.float32)[None]
    table = explain._shap_table(sample, "a", values, Features(names, len(names)))
    assert table.columns[:2] == ["row.class", "(start)"]
    assert table.row(0, named=True) == {
        **{"row.class": "a", "(start)": 8.0, "row.group": "g", "row.row.label": "a"},
        **{"row.weight": 1.0, "row.fold": 0},
        **dict(zip(names, range(8), strict=True)),
    }
