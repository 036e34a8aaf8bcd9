"""Categories are those of training groups, in whatever type a table stores them."""

import logging

import numpy as np
import polars as pl
import pytest

from genebatch.dataset.categories import Unseen, as_text, learn, named, numbered
from genebatch.dataset.feature_set import Features
from genebatch.io.files import InputError

NAMES = ("brain", "liver", "skin")


@pytest.fixture
def learned(table, analyse):
    """Categories of the column `tissue` of a small table, learned without its group g00."""

    def of(tissue, most=64, **keys):
        analysed = analyse(table().with_columns(tissue=tissue), categorical=["tissue"], **keys)
        training = analysed.groups.filter(pl.col("group") != "g00")
        return learn(analysed.shards, training, "gene_id", ["tissue"], most)["tissue"]

    return of


def test_categories_are_those_of_training_groups_in_the_order_of_their_names(learned):
    of_test = pl.col("gene_id") == "g00"
    tissue = (
        pl.when(of_test)
        .then(pl.lit("only here"))
        .otherwise(pl.when(pl.col("position") < 3).then(pl.lit("skin")).otherwise(pl.lit("brain")))
    )
    found = learned(tissue)
    assert found.names == ("brain", "skin")
    assert found.alone == 0


def test_the_share_of_rows_whose_category_is_of_one_group_is_told(learned):
    # 11 training groups of 10 rows: one row of each has a category of its own.
    own = pl.when(pl.col("position") == 0).then("x" + pl.col("gene_id"))
    assert learned(own.otherwise(pl.lit("shared"))).alone == 11 / 110


@pytest.mark.parametrize(
    "values",
    [
        pl.col("position").cast(pl.Int16),
        pl.col("position").cast(pl.String),
        pl.col("position").cast(pl.String).cast(pl.Categorical),
    ],
)
def test_categories_are_the_same_in_every_type(learned, values):
    assert learned(values).names == tuple("0123456789")


def test_too_many_categories_are_refused_with_the_key(learned):
    with pytest.raises(InputError, match=r"'tissue' has more than 9 categories .*'0', '1'.*raise"):
        learned(pl.col("position"), most=9)


def test_as_many_categories_as_are_allowed_are_taken(learned):
    assert len(learned(pl.col("position"), most=10).names) == 10


@pytest.mark.parametrize(
    ("values", "text"),
    [
        (pl.Series(["a", "", None]), ["a", None, None]),
        (pl.Series([3, None], dtype=pl.Int8), ["3", None]),
        (pl.Series([3.0, float("nan"), None]), ["3", None, None]),  # as pandas stores them
        (pl.Series([True, False]), ["true", "false"]),
        (pl.Series(["a"], dtype=pl.Enum(["a"])), ["a"]),
        (pl.Series([None, None]), [None, None]),
    ],
)
def test_text_and_whole_numbers_are_categories(values, text):
    assert as_text(values).to_list() == text


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (pl.Series("x", [1.0, 2.5]), "column 'x' holds 2.5, but it has categories"),
        (pl.Series("x", [[1]]), r"column 'x' holds List\(Int64\), but it has categories"),
    ],
)
def test_other_values_are_no_categories(values, message):
    with pytest.raises(InputError, match=message):
        as_text(values)


def test_a_category_has_its_place_as_number_and_others_are_missing():
    found = numbered(pl.Series("t", ["skin", "heart", None, "brain"]), NAMES)
    assert found.to_list() == [2, None, None, 0]
    assert named(found, NAMES).to_list() == ["skin", None, None, "brain"]


def test_features_give_numbers_of_categories_among_dense_features():
    features = Features.order({"t": "category", "n": "count", "x": "dense"}, {"t": NAMES})
    assert features.names == ("t", "x", "n")
    assert features.types == ["c", "q", "q"]
    assert features.some(np.array([1, 2])).types is None
    assert Features.from_json(features.to_json()) == features
    frame = pl.DataFrame({"n": [0, 2], "x": [0.5, None], "t": ["liver", "heart"]})
    values = features.some(np.array([0, 1])).select(frame)
    np.testing.assert_array_equal(values, np.array([[1, 0.5], [np.nan, np.nan]], np.float32))
    sparse = features.select(frame)
    assert sparse[0].toarray().tolist() == [[1, 0.5, 0]]


def test_a_feature_set_with_other_categories_has_another_digest():
    features = [Features(("t",), 1, {"t": names}) for names in (NAMES, NAMES[:2])]
    assert len({each.digest for each in [*features, Features(("t",), 1)]}) == 3


def test_unseen_categories_are_counted_and_named(caplog):
    unseen = Unseen({"t": NAMES})
    with caplog.at_level(logging.WARNING):
        unseen.count(pl.DataFrame({"t": ["skin", None, "", "brain"]}))
        unseen.warn("a.csv")
        assert not caplog.messages
        for _ in range(2):
            unseen.count(pl.DataFrame({"t": ["heart", "skin", "heart", "bone"]}))
        unseen.warn("a.csv")
    assert caplog.messages == [
        "a.csv: in 6 rows column 't' has a category that no training group has "
        "('heart', 'bone'); it counts as missing"
    ]
