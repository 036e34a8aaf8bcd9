"""What genebatch.rows promises."""

import polars as pl

from genebatch.rows import base_scores, group_codes, label_codes


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


def test_without_base_scores_there_is_no_base_system():
    assert base_scores(pl.DataFrame({"label": ["yes"]}), ["yes", "no"]) == {}
