"""What genebatch.dataset promises."""

import numpy as np
import polars as pl
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import sparse

from genebatch.dataset.columns import (
    Features,
    assign_roles,
    described,
    match_columns,
    read_groups,
)
from genebatch.io import tables
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


# ---- roles

SCHEMA = pa.schema(
    [
        ("gene", pa.string()),
        ("type", pa.string()),
        ("weight", pa.float64()),
        ("position", pa.int64()),
        ("p_yes", pa.float32()),
        ("p_no", pa.float32()),
        ("chrom", pa.string()),
        ("chrom_size", pa.int64()),
        ("signal", pa.float32()),
        ("flag", pa.bool_()),
    ]
)
DATASET = {
    "group": "gene",
    "label": "type",
    "weight": "weight",
    "position": "position",
    "scores": {"yes": "p_yes", "no": "p_no"},
    "metadata": ["chrom*"],
    "exclude": ["flag"],
}


def test_every_column_has_one_role():
    roles = assign_roles(SCHEMA, DATASET)
    assert roles.metadata == ["chrom", "chrom_size"]
    assert roles.excluded == ["flag"]
    assert roles.candidates == ["p_yes", "p_no", "signal"]
    named = [roles.group, roles.label, roles.weight, roles.position]
    everything = [*named, *roles.metadata, *roles.excluded, *roles.candidates]
    assert sorted(everything) == sorted(SCHEMA.names)


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ({"group": "gena"}, r"'gena' is missing .*gene.*set dataset\.group"),
        ({"label": "typ"}, r"'typ' is missing .*type.*set dataset\.label"),
        ({"weight": "wieght"}, r"'wieght' is missing .*weight.*set dataset\.weight"),
        ({"position": "pos"}, r"'pos' is missing .*set dataset\.position"),
        ({"scores": {"yes": "p_yess", "no": "p_no"}}, r"p_yess.*set dataset\.scores\.yes"),
        ({"metadata": ["chrm"]}, r"'chrm' is missing .*chrom.*set dataset\.metadata"),
        ({"exclude": ["flg"]}, r"'flg' is missing .*flag.*set dataset\.exclude"),
        ({"metadata": []}, r"'chrom' \(string\) cannot be features.*dataset\.metadata or"),
        ({"weight": "chrom"}, r"'chrom' is string, but dataset\.weight must hold numbers"),
        ({"position": "chrom"}, r"'chrom' is string, but dataset\.position must hold numbers"),
        ({"label": "signal"}, r"'signal' is float, but dataset\.label must hold text or whole"),
        ({"group": "signal"}, r"'signal' is float, but dataset\.group must hold text or whole"),
        ({"exclude": ["p_*"]}, r"'p_yes' is dataset\.scores\.yes and in dataset\.exclude too"),
        ({"metadata": ["p_no", "chrom*"]}, r"'p_no' is dataset\.scores\.no and in dataset\.meta"),
    ],
)
def test_a_wrong_role_names_column_and_key(keys, message):
    with pytest.raises(InputError, match=message):
        assign_roles(SCHEMA, DATASET | keys)


def test_a_pattern_may_match_nothing_but_a_name_may_not():
    assert match_columns(["z*", "b"], ["a", "b"], "screen.keep") == ["b"]
    with pytest.raises(InputError, match=r"'z' is missing .*screen\.keep"):
        match_columns(["z"], ["a", "b"], "screen.keep")


# ---- features


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
def test_text_in_a_feature_is_named(name):
    frame = FRAME.with_columns(pl.lit("NA").alias(name))
    with pytest.raises(InputError, match=f"column '{name}' holds String, but this feature must"):
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


# ---- rows of some groups


def shards_of(analysed):
    return described(analysed.profile)[1]


def rows_of(analysed, groups, columns):
    genes = analysed.genes.filter(pl.col("group").is_in(groups))
    return pl.concat(list(read_groups(shards_of(analysed), genes, columns, "gene_id")))


def test_all_rows_of_the_wanted_groups_come_and_no_others(table, analyse):
    frame = table()
    analysed = analyse(frame.sample(fraction=1, shuffle=True, seed=1), shards=3, row_group_size=7)
    found = rows_of(analysed, ["g03", "g07"], ["position", "noise"])
    wanted = frame.filter(pl.col("gene_id").is_in(["g03", "g07"]))
    assert found.columns == ["gene_id", "position", "noise"]
    assert found.sort("gene_id", "position").equals(wanted.select(found.columns))


def test_only_row_groups_that_hold_the_groups_are_touched(table, analyse, monkeypatch):
    analysed = analyse(table(), shards=3, row_group_size=10)  # one gene a row group
    read = {}
    iterate = tables.pq.ParquetFile.iter_batches

    def counted(self, *args, row_groups, **options):
        read[len(read)] = row_groups
        return iterate(self, *args, row_groups=row_groups, **options)

    monkeypatch.setattr(tables.pq.ParquetFile, "iter_batches", counted)
    assert rows_of(analysed, ["g01", "g11"], ["noise"]).height == 20
    assert read == {0: [1], 1: [3]}  # the second gene of part-0, the last of part-2


def test_rows_come_in_pieces_of_at_most_a_batch(table, analyse, monkeypatch):
    analysed = analyse(table())
    monkeypatch.setattr(tables, "BATCH_ROWS", 16)
    pieces = list(read_groups(shards_of(analysed), analysed.genes, ["noise"], "gene_id"))
    assert max(piece.height for piece in pieces) <= 16
    assert pl.concat(pieces)["noise"].equals(table()["noise"])


@pytest.mark.parametrize("kind", [pl.Int32, pl.Categorical, pl.Boolean])
def test_groups_need_not_be_text(table, analyse, kind):
    numbers = pl.col("gene_id").str.slice(1).cast(pl.Int32)
    made = {
        pl.Int32: numbers,
        pl.Categorical: pl.col("gene_id").cast(pl.Categorical),
        pl.Boolean: numbers % 2 == 0,
    }
    frame = table().with_columns(
        made[kind].alias("gene_id"), pl.int_range(pl.len()).alias("position")
    )
    analysed = analyse(frame, shards=2)
    name = analysed.genes["group"][1]
    found = rows_of(analysed, [name], ["noise"])
    assert found["gene_id"].unique().to_list() == [name]
    assert found.height == analysed.genes["rows"][1]


@pytest.mark.parametrize("state", ["changed", "gone"])
def test_a_shard_that_is_not_the_analysed_one_is_refused(table, analyse, state, tmp_path):
    analysed = analyse(table())
    path = tmp_path / "data" / "part-0.parquet"
    if state == "gone":
        path.unlink()
    else:
        table(n_groups=13).write_parquet(path)
    with pytest.raises(InputError, match=r"part-0\.parquet (is gone|has [\d,]+ bytes) but had"):
        rows_of(analysed, ["g03"], ["noise"])


def test_a_shard_that_changed_to_the_same_size_is_refused(table, analyse, tmp_path):
    analysed = analyse(table().with_columns(noise=pl.lit(1.0)))
    path = tmp_path / "data" / "part-0.parquet"
    data = path.read_bytes()
    one, two = np.float64(1).tobytes(), np.float64(2).tobytes()
    assert one in data[-10_000:]  # in the values and in their statistics
    path.write_bytes(data.replace(one, two))
    with pytest.raises(InputError, match=r"part-0\.parquet has other values than when"):
        rows_of(analysed, ["g03"], ["noise"])
