"""Facts of a column are those of its values."""

from itertools import combinations

import numpy as np
import polars as pl
import pyarrow as pa
import pytest

from genebatch.dataset.column_facts import CategoryFacts, ColumnFacts
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


@pytest.mark.parametrize("gap", [None, float("nan"), float("inf"), -float("inf"), 1e39])
def test_a_column_with_one_value_and_gaps_is_not_constant(table, analyse, gap):
    frame = table().with_columns(pl.lit(1.0).alias("same"), pl.lit(gap, pl.Float64).alias("bare"))
    analysed = analyse(set_cells(frame, "same", [3], gap), infinite="missing")
    assert not analysed.profile["columns"]["same"]["constant"]
    notes = [problem["message"] for problem in analysed.profile["problems"]]
    assert "column 'bare' is empty in every row" in notes
    assert not any("is constant" in note for note in notes)


@pytest.mark.parametrize("kind", [pl.Int8, pl.UInt64, pl.Float32, pl.Float64, pl.Boolean])
def test_every_numeric_type_is_taken(table, analyse, kind):
    frame = table().with_columns((pl.col("position") % 2).cast(kind).alias("odd"))
    facts = analyse(frame).profile["columns"]["odd"]
    assert (facts["minimum"], facts["maximum"], facts["density"]) == (0, 1, 0.5)


# Indicators, what differs in the highest bits alone, and what differs in the lowest.
NUMBERS = [0, 1, 2, 3, 4, 100]
FRACTIONS = [0.0, 1.0, 2.0, 3.0, 0.5, -1.0, 1024.0, 0.1]
VALUES = {
    **{kind: pa.array(FRACTIONS, kind) for kind in (pa.float16(), pa.float32(), pa.float64())},
    **{kind: pa.array([*NUMBERS, -1], kind) for kind in (pa.int8(), pa.int16(), pa.int32())},
    **{kind: pa.array(NUMBERS, kind) for kind in (pa.uint8(), pa.uint16(), pa.uint32())},
    pa.int64(): pa.array([*NUMBERS, -1, 2**52, 2**62, -(2**63)], pa.int64()),
    pa.uint64(): pa.array([*NUMBERS, 2**52, 2**62, 2**63, 2**64 - 1], pa.uint64()),
    pa.bool_(): pa.array([False, True, None]),
    pa.string(): pa.array(["", "0", "1", "no", "yes", None]),
}


def hashes_of(name, values):
    """What a column of these values adds to the hashes of rows."""
    hashes = np.zeros(len(values), np.uint64)
    facts = CategoryFacts(name) if pa.types.is_string(values.type) else ColumnFacts(name)
    facts.add(values, "file", hashes)
    return hashes


@pytest.mark.parametrize("kind", VALUES, ids=str)
def test_no_two_columns_may_change_places(kind):
    """Neither 0 and 1, nor any other two values of a type, in any two of a thousand columns."""
    hashes = np.array([hashes_of(f"k{number:03d}", VALUES[kind]) for number in range(1_000)])
    for left, right in combinations(range(len(VALUES[kind])), 2):
        assert len(np.unique(hashes[:, left] - hashes[:, right])) == 1_000


@pytest.mark.parametrize("kind", VALUES, ids=str)
def test_all_values_of_a_column_differ_in_the_low_bits_of_their_hashes(kind):
    """A product modulo 2^64 keeps the trailing zeros of its factors, and loses as many bits."""
    hashes = hashes_of("x", VALUES[kind])
    gaps = np.subtract.outer(hashes, hashes)[np.triu_indices(len(hashes), 1)]
    assert (gaps & np.uint64(0xFFFF)).all()
