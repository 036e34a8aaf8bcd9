"""What is known about rows beside their features."""

import numpy as np
import polars as pl

from genebatch.config.settings import Labels
from genebatch.dataset.rows import (
    base_scores,
    group_codes,
    identity_columns,
    label_codes,
    normalised,
)


def test_labels_become_class_numbers():
    labels = pl.Series(["b", None, "a", "b"])
    assert label_codes(labels, ["a", "b"], "a").tolist() == [1, 0, 0, 1]
    assert label_codes(pl.Series([7, 3]), ["3", "7"], None).tolist() == [1, 0]


def test_groups_become_numbers_in_the_order_of_their_names():
    rows = pl.DataFrame({"group": ["b", "a", "c", "b"]})
    assert group_codes(rows).tolist() == [1, 0, 2, 1]


def test_base_scores_are_columns_of_classes_as_given():
    rows = pl.DataFrame({"score_no": [0.9, 0.0], "score_yes": [0.3, 0.0]})
    assert base_scores(rows, ["yes", "no"])["base"].tolist() == [[0.3, 0.9], [0.0, 0.0]]


def test_rounding_of_base_scores_beyond_0_and_1_does_not_reach_the_rows():
    labels = Labels("g", "l", ("yes", "no"), None, None, {"yes": "s", "no": "t"}, None, None)
    frame = pl.DataFrame({"g": ["a"], "l": ["no"], "s": [1.0000001], "t": [-1e-9]})
    assert base_scores(identity_columns(frame, labels), ["yes", "no"])["base"].tolist() == [[1, 0]]


def test_without_base_scores_there_is_no_base_system():
    assert base_scores(pl.DataFrame({"label": ["yes"]}), ["yes", "no"]) == {}


def test_probabilities_of_several_members_sum_to_one_over_classes():
    members = np.array([[[0.2, 0.2], [0.3, 0.1]], [[0.1, 0.4], [0.5, 0.5]]])
    expected = [[[0.5, 0.5], [0.75, 0.25]], [[0.2, 0.8], [0.5, 0.5]]]
    np.testing.assert_allclose(normalised(members), expected)
    np.testing.assert_allclose(normalised(members[:, 0]), np.array(expected)[:, 0])


def test_class_of_the_rest_gets_what_the_others_leave():
    found = normalised(np.array([[0.9, 0.25, 0.5], [0.2, 0.8, 0.8]]), rest=0)
    np.testing.assert_allclose(found[0], [0.25, 0.25, 0.5])
    np.testing.assert_allclose(found[1], [0, 0.5, 0.5], atol=1e-8)
    assert found.min() > 0
    np.testing.assert_allclose(found.sum(axis=1), 1)


def test_the_rest_may_be_any_class_behind_any_axes():
    raw = np.random.default_rng(0).uniform(0.01, 0.4, (4, 3, 3))
    found = normalised(raw, rest=2)
    np.testing.assert_array_equal(found[..., :2], raw[..., :2])
    np.testing.assert_allclose(found.sum(axis=-1), 1)
