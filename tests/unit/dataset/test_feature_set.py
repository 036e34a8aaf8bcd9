"""Feature columns have an order, and become blocks of numbers."""

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import sparse

from genebatch.dataset.feature_set import Features
from genebatch.io.files import InputError

FEATURES = Features(("dense_a", "dense_b", "count_a", "count_b"), 2)
FRAME = pl.DataFrame(
    {
        "count_b": [0, 2, None, 0],
        "dense_a": [0.0, 1.5, None, float("nan")],
        "unused": ["a", "b", "c", "d"],
        "count_a": [3, 0, 0, 1],
        "dense_b": [0, 0, 7, None],
    }
)


def cells(matrix):
    """Dense form of a sparse matrix and the mask of the cells that it stores."""
    stored = sparse.csr_matrix((np.ones(matrix.nnz), matrix.indices, matrix.indptr), matrix.shape)
    return matrix.toarray(), stored.toarray().astype(bool)


def test_features_are_dense_first_then_counts_in_table_order():
    kinds = {"c1": "count", "d1": "dense", "c2": "count", "d2": "dense"}
    features = Features.order(kinds)
    assert features == Features(("d1", "d2", "c1", "c2"), 2)
    assert Features.from_json(features.to_json()) == features


def test_the_digest_of_features_knows_names_order_and_kinds():
    variants = [
        Features(("a", "b"), 1),
        Features(("b", "a"), 1),
        Features(("a", "b"), 2),
        Features(("a", "c"), 1),
    ]
    assert len({features.digest for features in variants}) == 4


def test_zeros_of_dense_features_are_stored_and_zeros_of_counts_are_absent():
    values, stored = cells(FEATURES.select(FRAME))
    missing = np.nan
    wanted = [[0, 0, 3, 0], [1.5, 0, 0, 2], [missing, 7, 0, missing], [missing, missing, 1, 0]]
    np.testing.assert_array_equal(values, np.array(wanted, np.float32))
    assert stored[:, :2].all()
    np.testing.assert_array_equal(stored[:, 2:], values[:, 2:] != 0)


def test_a_null_is_missing_in_dense_features_and_in_counts():
    values = FEATURES.select(FRAME).toarray()
    np.testing.assert_array_equal(np.isnan(values[2]), [True, False, False, True])


@given(st.permutations(FRAME.columns))
def test_the_order_of_columns_does_not_matter(order):
    shuffled, wanted = FEATURES.select(FRAME.select(order)), FEATURES.select(FRAME)
    np.testing.assert_array_equal(shuffled.toarray(), wanted.toarray())
    np.testing.assert_array_equal(shuffled.indices, wanted.indices)


def test_without_counts_the_matrix_is_dense():
    matrix = Features(("dense_b", "dense_a"), 2).select(FRAME)
    assert isinstance(matrix, np.ndarray)
    assert matrix.flags.c_contiguous
    assert matrix.dtype == np.float32
    np.testing.assert_array_equal(matrix[:2], [[0, 0], [0, 1.5]])


def test_without_dense_features_the_matrix_holds_counts_alone():
    matrix = Features(("count_b", "count_a"), 0).select(FRAME.fill_null(0))
    assert matrix.nnz == 3
    np.testing.assert_array_equal(matrix.toarray(), [[0, 3], [2, 0], [0, 0], [0, 1]])


def test_infinite_values_are_missing():
    frame = pl.DataFrame({"a": [1.0, float("inf"), float("-inf"), 1e39]})
    matrix = Features(("a",), 1).select(frame)
    np.testing.assert_array_equal(matrix[:, 0], [1, np.nan, np.nan, np.nan])


def test_booleans_are_zero_and_one():
    matrix = Features(("a",), 1).select(pl.DataFrame({"a": [True, False, None]}))
    np.testing.assert_array_equal(matrix[:, 0], [1, 0, np.nan])


@pytest.mark.parametrize("name", ["dense_a", "count_a"])
@pytest.mark.parametrize("value", [float("inf"), float("-inf"), 1e300])
def test_infinite_values_are_missing_in_counts_too(name, value):
    given = FRAME.with_columns(pl.lit(value).alias(name))
    wanted = FRAME.with_columns(pl.lit(float("nan")).alias(name))
    features = Features(("dense_a", "count_a"), 1)
    found = [features.select(frame.cast({name: pl.Float64})).toarray() for frame in (given, wanted)]
    np.testing.assert_array_equal(*found)


@pytest.mark.parametrize("name", ["dense_a", "count_a"])
def test_text_in_a_feature_is_named(name):
    frame = FRAME.with_columns(pl.lit("NA").alias(name))
    with pytest.raises(InputError, match=f"column '{name}' holds String, such as 'NA', but"):
        FEATURES.select(frame)


def test_a_feature_that_is_empty_everywhere_is_missing():
    frame = FRAME.with_columns(pl.lit(None).alias("dense_a"))
    assert np.isnan(FEATURES.select(frame).toarray()[:, 0]).all()


def test_missing_features_are_named_with_the_nearest_column():
    frame = FRAME.drop("count_b").rename({"dense_a": "dense_A"})
    with pytest.raises(InputError) as caught:
        FEATURES.select(frame)
    assert "lacks 2 of the columns needed: 'dense_a', 'count_b'" in str(caught.value)
    assert "nearest to 'dense_a' is 'dense_" in str(caught.value)
