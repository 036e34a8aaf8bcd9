"""Facts of a column are those of its values."""

import numpy as np
import polars as pl
import pytest

from tests.builders.tables_and_figures import set_cells


def test_facts_of_columns_are_those_of_their_values(table, analyse):
    frame = table().with_columns(
        pl.Series("shifted", np.arange(120) - 7, pl.Int16),
        (pl.col("position") > 4).alias("flag"),
        pl.when(pl.col("position") > 0).then(pl.col("kmer")).alias("gaps"),
        pl.lit(2.5).alias("same"),
    )
    columns = analyse(frame).profile["columns"]
    assert columns["kmer"]["kind"] == "count"
    assert columns["kmer"]["density"] == pytest.approx((frame["kmer"] != 0).mean())
    assert columns["kmer"]["maximum"] == frame["kmer"].max()
    assert columns["shifted"]["minimum"] == -7
    assert columns["shifted"]["kind"] == "dense"
    assert (columns["flag"]["kind"], columns["flag"]["density"]) == ("dense", 0.5)
    assert (columns["gaps"]["kind"], columns["gaps"]["nulls"]) == ("dense", 12)
    assert columns["same"]["constant"]
    assert not columns["noise"]["constant"]
    assert columns["noise"]["kind"] == "dense"


def test_a_column_with_one_value_and_gaps_is_not_constant(table, analyse):
    frame = set_cells(table().with_columns(pl.lit(1.0).alias("same")), "same", [3], None)
    assert not analyse(frame).profile["columns"]["same"]["constant"]


@pytest.mark.parametrize("kind", [pl.Int8, pl.UInt64, pl.Float32, pl.Float64, pl.Boolean])
def test_every_numeric_type_is_taken(table, analyse, kind):
    frame = table().with_columns((pl.col("position") % 2).cast(kind).alias("odd"))
    facts = analyse(frame).profile["columns"]["odd"]
    assert (facts["minimum"], facts["maximum"], facts["density"]) == (0, 1, 0.5)
