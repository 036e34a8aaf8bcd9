"""Tests of genome.scores.sparse_file: its rows and its row groups."""

import numpy as np
import polars as pl
import pyarrow.parquet as pq
import pytest

from genebatch.genome.scores import sparse_file as module
from genebatch.genome.scores.sparse_file import FLOOR, SCHEMA, ScoredStretch, write_scores


def stretch(gene, start, donor, acceptor):
    return ScoredStretch(gene, start, np.array([donor, acceptor], dtype=np.float32))


def test_entries_are_the_positions_where_either_score_reaches_the_floor(tmp_path):
    path = tmp_path / "scores.parquet"
    below = FLOOR * 0.99
    stretches = [
        stretch("A", 0, [0.5, below, 0.0], [0.1, below, 0.2]),
        stretch("A", 3, [below, FLOOR], [0.0, 0.0]),
        stretch("B", 0, [0.0], [0.0]),
        stretch("C", 7, [1.0], [0.0]),
    ]
    assert write_scores(path, stretches) == 4
    found = pl.read_parquet(path).cast({"gene_id": pl.String})
    assert found.select("gene_id", "position").rows() == [("A", 0), ("A", 2), ("A", 4), ("C", 7)]
    assert found["donor"].to_list() == pytest.approx([0.5, 0.0, FLOOR, 1.0])
    assert found["acceptor"].to_list() == pytest.approx([0.1, 0.2, 0.0, 0.0])


def test_row_groups_are_full_but_for_the_last_whatever_the_stretches(tmp_path, monkeypatch):
    monkeypatch.setattr(module, "ROW_GROUP", 4)
    path = tmp_path / "scores.parquet"
    sizes = {"A": 3, "B": 2, "C": 9}
    write_scores(path, (stretch(gene, 0, [0.5] * n, [0.1] * n) for gene, n in sizes.items()))
    with pq.ParquetFile(path) as file:
        groups = [file.metadata.row_group(i) for i in range(file.num_row_groups)]
        assert file.schema_arrow.equals(SCHEMA)
    assert [group.num_rows for group in groups] == [4, 4, 4, 2]
    statistics = [group.column(0).statistics for group in groups]
    assert [(s.min, s.max) for s in statistics] == [("A", "B"), ("B", "C"), ("C", "C"), ("C", "C")]
    assert pl.read_parquet(path)["position"].to_list() == [0, 1, 2, 0, 1, *range(9)]


def test_no_entry_at_all_is_an_empty_table(tmp_path):
    path = tmp_path / "scores.parquet"
    assert write_scores(path, []) == 0
    assert pq.read_table(path).schema.equals(SCHEMA)


def test_scorer_that_fails_leaves_no_file(tmp_path):
    def failing():
        yield stretch("A", 0, [0.5], [0.1])
        raise OSError("disk full")

    with pytest.raises(OSError, match="disk full"):
        write_scores(tmp_path / "scores.parquet", failing())
    assert not list(tmp_path.iterdir())
