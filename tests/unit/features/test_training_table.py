"""Tests of features.training_table: how rows are cut into row groups."""

import polars as pl

from genebatch.features import training_table as module


def test_row_group_holds_whole_groups_but_for_one_larger_than_it(monkeypatch):
    monkeypatch.setattr(module, "ROW_GROUP", 10)
    sizes = {"a": [4], "b": [3, 2], "c": [2], "d": [6, 17], "e": [1], "f": [10]}
    pieces = [
        (name, pl.DataFrame({"name": [name] * rows}))
        for name, parts in sizes.items()
        for rows in parts
    ]
    made = [frame["name"].str.join().item() for frame in module._row_groups(pieces)]
    assert made == ["aaaabbbbb", "cc", "d" * 10, "d" * 10, "ddd", "e", "f" * 10]
