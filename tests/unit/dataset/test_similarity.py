"""Groups are described by features that hardly vary inside a group."""

import json

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from genebatch.dataset import similarity
from genebatch.dataset.similarity import (
    Moments,
    centroids,
    group_moments,
    intraclass_correlation,
    standardise,
)
from genebatch.io.files import InputError
from tests.builders.row_files import features_of

SIZES = np.array([4, 6, 10, 5, 7, 8])
NAMES = np.repeat([f"g{number}" for number in range(6)], SIZES)
LEVELS = np.repeat([1.0, 4.0, 2.0, 6.0, 3.0, 5.0], SIZES)


def make_table(seed=0, **columns):
    """Rows of six groups: `level` and `twin` tell them apart, `noise` does not."""
    rng = np.random.default_rng(seed)
    size = len(NAMES)
    given = {
        "gene_id": NAMES,
        "position": np.arange(size),
        "splice_type": np.array(["donor", "acceptor", "neither"])[np.arange(size) % 3],
        "sample_weight": np.ones(size),
        "chrom": "chr1",
        "noise": rng.normal(size=size),
        "level": LEVELS + rng.normal(0, 0.1, size),
        "twin": 7 - 2 * LEVELS,
        "other": np.repeat([0.0, 0.0, 9.0, 9.0, 0.0, 0.0], SIZES) + rng.normal(0, 1, size),
    }
    return pl.DataFrame(given | columns)


@pytest.fixture
def describe(analyse):
    """Analyse a table, and describe its groups; gives their features, and how they were made."""

    def run(frame, test=("g5",), similar_by=None, **keys):
        done = analyse(frame, **keys)
        training = done.groups.filter(~pl.col("group").is_in(test))
        names = features_of(done).names
        groups, facts = similarity.describe(done.shards, training, "gene_id", names, similar_by)
        return groups, json.loads(json.dumps(facts, allow_nan=False))

    return run


def considered(facts):
    return {line.pop("column"): line for line in facts["considered"]}


# ---- which columns


def test_columns_that_vary_between_groups_are_chosen_and_no_others(describe):
    groups, facts = describe(make_table())
    assert facts["columns"] == ["twin", "other"]
    assert groups.columns == ["group", "twin", "other"]
    lines = considered(facts)
    assert lines["noise"]["reason"] == "intraclass correlation below 0.5, or unknown"
    assert lines["level"]["reason"] == "correlates above 0.95 with 'twin'"
    assert lines["twin"]["intraclass_correlation"] == 1.0
    assert [name for name, line in lines.items() if line["chosen"]] == facts["columns"]


def test_named_columns_are_taken_whatever_their_variance(describe):
    groups, facts = describe(make_table(), similar_by=["noi*", "other"])
    assert facts["columns"] == ["noise", "other"]
    assert groups.columns == ["group", "noise", "other"]


def test_a_column_that_is_the_same_in_every_group_is_left_out(describe):
    same = np.concatenate([np.arange(size) - (size - 1) / 2 for size in SIZES])
    _, facts = describe(make_table(same=same), similar_by=["same", "other"])
    assert facts["columns"] == ["other"]
    assert considered(facts)["same"]["reason"] == "the same in every group"


@pytest.mark.parametrize(
    ("similar_by", "message"),
    [
        (
            ["levle"],
            r"batching\.similar_by names 'levle', which is no feature of numbers; .*screen\.tsv",
        ),
        (["chrom"], r"batching\.similar_by names 'chrom', which is no feature"),
        (["zzz*"], r"batching\.similar_by \['zzz\*'\] leaves no feature"),
        (["flat"], r"batching\.similar_by \['flat'\] leaves no feature"),
    ],
)
def test_names_that_leave_nothing_are_refused(describe, similar_by, message):
    with pytest.raises(InputError, match=message):
        describe(make_table(flat=np.full(len(NAMES), 3.0)), similar_by=similar_by)


def test_where_no_column_shows_the_group_the_error_says_what_to_set(describe):
    frame = make_table().drop("level", "twin", "other")
    message = r"variance between groups \(highest: 'noise', -?0\.\d+\).*batching\.similar_by, or"
    with pytest.raises(InputError, match=message):
        describe(frame)


# ---- their values


def test_values_are_means_of_groups_in_units_of_the_training_groups(describe):
    groups, facts = describe(make_table(), similar_by=["twin"])
    means = np.array([5.0, -1.0, 3.0, -5.0, 1.0])  # of g0 to g4; g5 is a test group
    assert facts["mean"] == pytest.approx([means.mean()])
    assert facts["scale"] == pytest.approx([means.std()])
    assert groups["group"].to_list() == ["g0", "g1", "g2", "g3", "g4"]
    wanted = (means - means.mean()) / means.std()
    np.testing.assert_allclose(groups["twin"], wanted, rtol=1e-6)
    assert groups["twin"].dtype == pl.Float32


def test_missing_values_are_left_out_and_a_group_without_any_is_average(describe):
    holes = 7 - 2 * LEVELS
    holes[NAMES == "g1"] = np.nan
    holes[0] = np.nan  # one of g0's
    table = make_table(twin=holes)
    groups, facts = describe(table, similar_by=["twin"])
    means = np.array([5.0, 3.0, -5.0, 1.0])
    assert facts["mean"] == pytest.approx([means.mean()])
    wanted = (np.array([5.0, means.mean(), 3.0, -5.0, 1.0]) - means.mean()) / means.std()
    np.testing.assert_allclose(groups["twin"], wanted, atol=1e-6)


def test_test_groups_decide_nothing(describe):
    plain = describe(make_table(), folder="plain")
    frame = make_table().with_columns(
        pl.when(pl.col("gene_id") == "g5")
        .then(9 * pl.col(name))
        .otherwise(pl.col(name))
        .alias(name)
        for name in ("level", "twin", "other", "noise")
    )
    other = describe(frame, folder="other")
    assert other[0].equals(plain[0])
    assert other[1] == plain[1]


def test_labels_weights_and_the_order_of_rows_and_shards_decide_nothing(describe):
    groups, facts = describe(make_table(), folder="plain")
    mixed = make_table().with_columns(
        pl.col("splice_type").reverse(), sample_weight=pl.int_range(1, pl.len() + 1) / 7
    )
    mixed = mixed.sample(fraction=1, shuffle=True, seed=1)
    other, same = describe(mixed, folder="mixed", shards=3, row_group_size=5)
    assert other.columns == groups.columns
    assert other["group"].equals(groups["group"])
    columns = facts["columns"]
    np.testing.assert_allclose(other.select(columns), groups.select(columns), atol=1e-5)
    assert same["columns"] == facts["columns"]


def test_reading_in_blocks_of_columns_changes_nothing(describe, monkeypatch):
    plain = describe(make_table(), folder="plain")
    monkeypatch.setattr(similarity, "BLOCK_COLUMNS", 1)
    blocks = describe(make_table(), folder="blocks")
    assert blocks[0].equals(plain[0])
    assert blocks[1] == plain[1]


def test_rows_standardised_and_averaged_give_the_features_of_their_group(describe):
    table = make_table()
    groups, facts = describe(table)
    rows = standardise(table.select(reversed(table.columns)), facts)
    names = table["gene_id"].to_numpy()
    for name in groups["group"]:
        own = groups.filter(pl.col("group") == name).drop("group").row(0)
        np.testing.assert_allclose(rows[names == name].mean(axis=0), own, atol=1e-5)


def test_a_missing_or_infinite_value_is_the_average():
    facts = {"columns": ["a", "b"], "mean": [1.0, 2.0], "scale": [2.0, 4.0]}
    frame = pl.DataFrame({"b": [6.0, None, np.nan], "a": [0, 3, None], "c": ["x", "y", "z"]})
    wanted = [[-0.5, 1.0], [1.0, 0.0], [0.0, 0.0]]
    np.testing.assert_array_equal(standardise(frame, facts), wanted)
    infinite = frame.with_columns(b=pl.lit(-np.inf))
    np.testing.assert_array_equal(standardise(infinite, facts)[:, 1], np.zeros(3))


def test_a_table_without_a_column_is_refused():
    facts = {"columns": ["a", "b"], "mean": [1.0, 2.0], "scale": [2.0, 4.0]}
    with pytest.raises(InputError, match=r"lacks 1 of the columns needed: 'b'"):
        standardise(pl.DataFrame({"a": [1.0]}), facts)


# ---- centroids


def test_a_centroid_is_the_mean_of_the_groups_that_a_batch_holds():
    described = pl.DataFrame({"group": ["a", "b", "c"], "x": [1.0, 3.0, 7.0], "y": [0.0, 2.0, 2.0]})
    plan = pl.DataFrame(
        {"group": ["a", "b", "c", "b", "t"], "batch": ["b0", "b0", "b1", "b1", None]}
    )
    found = centroids(described, plan, ["b1", "b0"])
    np.testing.assert_array_equal(found, [[5.0, 2.0], [2.0, 1.0]])
    assert found.dtype == np.float64


def test_a_batch_of_groups_without_features_is_refused():
    described = pl.DataFrame({"group": ["a"], "x": [1.0]})
    plan = pl.DataFrame({"group": ["a", "z"], "batch": ["b0", "b0"]})
    with pytest.raises(InputError, match=r"batch b0 has 2 groups .*without: z.*delete dataset/gro"):
        centroids(described, plan, ["b0"])
    with pytest.raises(InputError, match="batch b7 has 0 groups"):
        centroids(described, plan, ["b7"])


# ---- moments


@given(st.integers(0, 99), st.integers(1, 40), st.sampled_from([0.0, 1e6]))
def test_moments_of_pieces_are_those_of_the_whole(seed, rows, shift):
    rng = np.random.default_rng(seed)
    names = rng.choice(["a", "b", "c"], 40)
    values = np.where(rng.random((40, 2)) < 0.2, np.nan, rng.normal(size=(40, 2)) + shift)
    values = values.astype(np.float32).astype(float)
    frame = pl.DataFrame({"g": names, "x": values[:, 0], "y": values[:, 1]})
    groups = pl.DataFrame({"group": ["a", "b", "c"]})
    with pytest.MonkeyPatch.context() as patch:
        pieces = list(frame.iter_slices(rows))
        patch.setattr(similarity, "read_groups", lambda *_: iter(pieces))
        moments = group_moments([], groups, ["x", "y"], "g")
    for row, name in enumerate("abc"):
        own = values[names == name]
        present = ~np.isnan(own)
        np.testing.assert_array_equal(moments.count[row], present.sum(axis=0))
        for column in range(2):
            if present[:, column].any():
                assert moments.mean[row, column] == pytest.approx(np.nanmean(own[:, column]))
            else:
                assert np.isnan(moments.mean[row, column])
    centred = pl.DataFrame(values, ["x", "y"]).fill_nan(None).with_columns(g=pl.Series(names))
    centred = centred.select(pl.col("x", "y") - pl.col("x", "y").mean().over("g"))
    wanted = [centred.select((pl.col(name) ** 2).sum()).item() for name in "xy"]
    np.testing.assert_allclose(moments.within, wanted, rtol=1e-6, atol=1e-9)


def test_intraclass_correlation_by_hand():
    # Groups {1, 3} and {5, 7}: squares 16 between on 1, 4 within on 2 degrees of freedom, n0 = 2:
    # (16 - 2) / (16 + 2).
    moments = Moments(np.array([[2], [2]]), np.array([[2.0], [6.0]]), np.array([4.0]))
    assert intraclass_correlation(moments) == pytest.approx([14 / 18])
    # Groups {1}, {2, 4} and {9}: mean 4; between 9 + 2 + 25 = 36 on 2, within 2 on 1,
    # n0 = (4 - 6/4) / 2 = 1.25: (18 - 2) / (18 + 0.25 * 2).
    moments = Moments(np.array([[1], [2], [1]]), np.array([[1.0], [3.0], [9.0]]), np.array([2.0]))
    assert intraclass_correlation(moments) == pytest.approx([16 / 18.5])


def test_intraclass_correlation_is_unknown_where_nothing_can_be_compared():
    count = np.array([[1, 3, 0, 2], [1, 0, 0, 2]])  # no group of two, one group, none, constant
    mean = np.array([[1.0, 5.0, np.nan, 4.0], [2.0, np.nan, np.nan, 4.0]])
    moments = Moments(count, mean, np.array([0.0, 1.0, 0.0, 0.0]))
    assert np.isnan(intraclass_correlation(moments)).all()


def test_a_feature_called_group_gives_way_to_the_group(describe):
    frame = make_table().rename({"level": "group"})
    described, facts = describe(frame, similar_by=["group"])
    assert described.columns == ["group", "row.group"]
    assert facts["columns"] == ["group"]


def test_no_feature_takes_the_name_that_another_was_given(describe):
    both = make_table().rename({"level": "group", "other": "row.group"})
    described, facts = describe(both, similar_by=["group", "row.group"])
    assert described.columns == ["group", "row.row.group", "row.group"]
    assert facts["columns"] == ["group", "row.group"]
