"""Counts of groups, and digests that know every cell and the order of the rows of a group."""

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from genebatch.config.settings import Table
from genebatch.dataset import profile as analysis
from genebatch.dataset.columns import assign_roles
from genebatch.dataset.scan import Scan
from genebatch.dataset.screen import sample_groups
from genebatch.io import tables
from tests.builders.small_table import CLASSES, make_table
from tests.builders.tables_and_figures import set_cells


def test_the_table_of_groups_counts_rows_classes_and_weights(table, analyse):
    groups = analyse(table(n_groups=3, rows=10), shards=2).groups
    assert groups["group"].to_list() == ["g00", "g01", "g02"]
    assert groups["rows"].to_list() == [10] * 3
    assert groups.select("n_neither", "n_donor", "n_acceptor").rows() == [(8, 1, 1)] * 3
    weights = groups.select("weight_neither", "weight_donor", "weight_acceptor")
    assert weights.rows() == [(24.0, 1.0, 1.0)] * 3
    assert groups["fact.chrom"].to_list() == ["chr0", "chr1", "chr2"]
    assert groups["shards"].to_list() == [1, 2, 1]


def test_without_weights_every_row_weighs_one(table, analyse):
    groups = analyse(table(), weight=None, exclude=["sample_weight"]).groups
    assert groups["weight_neither"].to_list() == groups["n_neither"].to_list()


def test_rows_are_summed_beyond_32_bits(table, write):
    """Two groups of 2^31 rows, as a scan would have counted them."""
    frame = table(n_groups=2)
    (batch,) = frame.to_arrow().to_batches()
    scan = Scan(assign_roles(batch.schema, write(frame)), CLASSES, None, batch.schema)
    scan.add(batch, "file", 0, 0, 0)
    scan.counts = [np.array([2**31, 0, 0])] * 2
    groups = scan.groups()
    assert groups["rows"].sum() == groups["n_neither"].sum() == 2**32
    assert scan.profile([], groups, [])["classes"] == {"neither": 2**32, "donor": 0, "acceptor": 0}
    assert sample_groups(groups, 200_000, seed=0).height == 1


def base_scored(table):
    """Two groups of ten rows, each with one donor and one acceptor, and base scores."""
    frame = table(n_groups=2, rows=10)
    hit = pl.Series([0.5] * 10 + [0.2] * 10)  # the true class's score in either group
    label = pl.col("splice_type")
    return frame.with_columns(
        pl.when(label == name).then(hit).otherwise((1 - hit) / 2).alias(f"{name}_score")
        for name in ("neither", "donor", "acceptor")
    )


SCORES = {name: f"{name}_score" for name in ("neither", "donor", "acceptor")}


def test_what_the_base_scores_get_wrong_is_summed_by_group(table, analyse):
    groups = analyse(base_scored(table), scores=SCORES).groups
    # Weight 26 in either group: eight rows of 3 and two of 1.
    wanted = [-26 * np.log(0.5), -26 * np.log(0.2)]
    np.testing.assert_allclose(groups["base_log_loss"], wanted)
    assert groups["base_errors"].to_list() == [0, 10]


def test_base_scores_count_by_their_share_of_the_sum(table, analyse):
    halved = base_scored(table).with_columns(pl.col("^.*_score$") / 2)
    groups = analyse(halved, scores=SCORES).groups
    np.testing.assert_allclose(groups["base_log_loss"], [-26 * np.log(0.5), -26 * np.log(0.2)])


def test_without_base_scores_their_losses_are_unknown(table, analyse):
    groups = analyse(table()).groups
    assert groups["base_log_loss"].null_count() == groups["base_errors"].null_count() == 12
    assert groups.select("base_log_loss", "base_errors").dtypes == [pl.Float64, pl.Int64]


def test_what_base_scores_are_for_is_no_part_of_the_digest(table, analyse):
    scored = analyse(base_scored(table), scores=SCORES, folder="scored").groups
    plain = analyse(base_scored(table), folder="plain").groups
    assert scored["digest"].equals(plain["digest"])


def test_chunks_are_the_row_groups_that_hold_a_group(table, analyse):
    groups = analyse(table(n_groups=4, rows=10), shards=2, row_group_size=15).groups
    assert groups["chunks"].to_list() == [[0], [0, 1], [2], [2, 3]]


@pytest.mark.parametrize("batch_rows", [4, 8192])
def test_first_is_the_row_of_the_first_row_group_where_a_group_begins(
    table, analyse, monkeypatch, batch_rows
):
    monkeypatch.setattr(tables, "BATCH_ROWS", batch_rows)
    groups = analyse(table(n_groups=4, rows=10), shards=2, row_group_size=15).groups
    assert groups["first"].to_list() == [0, 10, 0, 10]


def test_metadata_that_varies_inside_a_group_is_no_fact_of_groups(table, analyse):
    frame = table().with_columns(pl.col("position").cast(pl.String).alias("exon"))
    groups = analyse(frame, metadata=["chrom", "exon"]).groups
    assert "fact.chrom" in groups.columns
    assert "fact.exon" not in groups.columns


def test_metadata_that_varies_between_shards_only_is_found_too(table, analyse):
    frame = table(n_groups=1, rows=10).with_columns(
        (pl.col("position") > 4).cast(pl.String).alias("half")
    )
    assert "fact.half" not in analyse(frame, shards=2, metadata=["chrom", "half"]).groups.columns


def shuffled_groups(frame, seed=3):
    """Rows of different groups change places; those of a group keep their order."""
    names = frame["gene_id"].sample(fraction=1, shuffle=True, seed=seed)
    turn = pl.int_range(pl.len()).over("gene_id").alias("turn")
    wanted = names.to_frame().with_columns(turn)
    rows = frame.with_columns(turn)
    return wanted.join(rows, on=["gene_id", "turn"], maintain_order="left").select(frame.columns)


@pytest.mark.parametrize("batch_rows", [7, 8192])
def test_how_rows_are_stored_and_where_their_groups_lie_does_not_matter(
    table, analyse, monkeypatch, batch_rows
):
    plain = analyse(table(), folder="plain")
    monkeypatch.setattr(tables, "BATCH_ROWS", batch_rows)
    mixed = analyse(shuffled_groups(table()), folder="mixed", shards=4, row_group_size=11)
    place_free = pl.exclude("chunks", "first", "shards")
    assert mixed.groups.select(place_free).equals(plain.groups.select(place_free))
    assert mixed.profile["digest"] == plain.profile["digest"]
    assert mixed.profile["columns"] == plain.profile["columns"]


def test_the_order_of_rows_counts_in_the_digest_alone(table, analyse):
    plain = analyse(table(), folder="plain")
    shuffled = table().sample(fraction=1, shuffle=True, seed=3)
    mixed = analyse(shuffled, folder="mixed", shards=4, row_group_size=11)
    order_free = pl.exclude("chunks", "first", "shards", "digest")
    assert mixed.groups.select(order_free).equals(plain.groups.select(order_free))
    assert (mixed.groups["digest"] != plain.groups["digest"]).all()
    assert mixed.profile["digest"] != plain.profile["digest"]
    assert mixed.profile["columns"] == plain.profile["columns"]


@pytest.mark.parametrize(("left", "right"), [(41, 42), (40, 49)])
def test_two_rows_that_change_places_change_the_digest_of_their_group_alone(
    table, analyse, left, right
):
    before = analyse(table(), folder="before").groups
    order = list(range(120))
    order[left], order[right] = right, left
    after = analyse(table()[order], folder="after").groups
    changed = before["group"].filter(before["digest"] != after["digest"])
    assert changed.to_list() == ["g04"]


def test_equal_rows_that_change_places_change_nothing(table, analyse):
    frame = pl.concat([table()[:1]] * 3 + [table()[1:]])
    keys = {"position": None, "exclude": ["position"]}
    before = analyse(frame, folder="before", **keys).groups
    after = analyse(frame[[2, 0, 1, *range(3, 122)]], folder="after", **keys).groups
    assert after.equals(before)


@given(
    order=st.permutations(range(24)),
    rows=st.integers(1, 12),
    row_group=st.integers(1, 24),
    stretch=st.integers(1, 24),
    n_shards=st.integers(1, 3),
)
@settings(max_examples=30)
def test_the_digest_is_that_of_the_rows_in_their_order_however_they_are_cut(
    tmp_path_factory, order, rows, row_group, stretch, n_shards
):
    frame = make_table(n_groups=3, rows=8).drop("chrom")[order]
    labels = {"group": "gene_id", "label": "splice_type", "weight": None, "position": "position"}
    labels |= {"classes": CLASSES, "null_label": None, "rest_class": None, "scores": None}
    others = {"metadata": [], "exclude": [], "infinite": "error", "categorical": []}
    digests = []
    for shards, size in ((1, None), (n_shards, row_group)):
        folder = tmp_path_factory.mktemp("cut")
        for number, part in enumerate(np.array_split(np.arange(24), shards)):
            frame[part].write_parquet(folder / f"{number}.parquet", row_group_size=size)
        section = Table.build(labels | others | {"path": str(folder)})
        with pytest.MonkeyPatch.context() as patch:
            if size is not None:
                patch.setattr(tables, "BATCH_ROWS", rows)
                patch.setattr(analysis, "STRETCH_ROWS", stretch)
            digests.append(analysis.analyze(section, None, threads=2).groups["digest"])
    assert digests[0].equals(digests[1])


@pytest.mark.parametrize("threads", [1, 3])
def test_threads_and_stretches_do_not_matter(table, analyse, monkeypatch, threads):
    thirds = pl.lit(1 / 3).alias("sample_weight")  # whose sums depend on the order of adding
    # Every group is in several shards and row groups; some cells are empty, some no number.
    frame = set_cells(table(rows=30), "ties", [40, 200, 359], None).with_columns(thirds)
    frame = set_cells(frame, "noise", [7, 300], float("nan")).sample(
        fraction=1, shuffle=True, seed=5
    )
    keys = {"shards": 4, "row_group_size": 11, "metadata": ["chrom", "position"]}
    keys |= {"position": None, "exclude": []}
    plain = analyse(frame, folder="plain", **keys)
    monkeypatch.setattr(analysis, "STRETCH_ROWS", 25)
    monkeypatch.setattr(tables, "BATCH_ROWS", 8)
    mixed = analyse(frame, folder="mixed", threads=threads, **keys)
    same = pl.exclude("^(weight|base)_.*$")
    assert mixed.groups.select(same).equals(plain.groups.select(same))
    assert mixed.profile["digest"] == plain.profile["digest"]
    assert mixed.profile["columns"] == plain.profile["columns"]
    again = analyse(frame, folder="again", threads=2, **keys)
    assert again.groups.equals(mixed.groups)


def test_the_order_of_columns_does_not_matter(table, analyse):
    plain = analyse(table(), folder="plain").groups
    mixed = analyse(table().select(sorted(table().columns)), folder="mixed").groups
    assert mixed["digest"].equals(plain["digest"])


@pytest.mark.parametrize(
    ("column", "value"),
    [
        ("noise", 0.123),
        ("kmer", 9),
        ("ties", None),
        ("ties", float("nan")),
        ("splice_type", "donor"),
        ("sample_weight", 3.5),
        ("position", 99),
    ],
)
def test_one_changed_cell_changes_the_digest_of_its_group_alone(table, analyse, column, value):
    before = analyse(table(), folder="before")
    after = analyse(set_cells(table(), column, [47], value), folder="after")
    changed = before.groups["group"].filter(before.groups["digest"] != after.groups["digest"])
    assert changed.to_list() == ["g04"]
    assert before.profile["digest"] != after.profile["digest"]


def test_a_missing_cell_is_not_a_zero(table, analyse):
    before = analyse(set_cells(table(), "ties", [47], 0.0), folder="zero")
    after = analyse(set_cells(table(), "ties", [47], None), folder="missing")
    assert (before.groups["digest"] != after.groups["digest"]).sum() == 1


def test_values_that_change_places_change_the_digest(table, analyse):
    before = analyse(table(), folder="before").groups
    columns = table().with_columns(noise=pl.col("ties"), ties=pl.col("noise"))
    swapped = analyse(columns, folder="columns").groups
    assert (before["digest"] != swapped["digest"]).all()
    rows = table().with_columns(pl.col("noise").reverse().over("gene_id"))
    moved = analyse(rows, folder="rows").groups
    assert (before["digest"] != moved["digest"]).all()


@pytest.mark.parametrize("kind", [pl.Float64, pl.Float32, pl.UInt64, pl.UInt8, pl.Boolean])
def test_indicators_that_change_columns_change_the_digest(table, analyse, kind):
    # Hashes of these two names agree in their lowest 12 bits, and 1.0 of float64 has no others.
    even = (pl.col("position") % 2 == 0).cast(kind)
    odd = (pl.col("position") % 2 == 1).cast(kind)
    before = analyse(table().with_columns(k017=even, k046=odd), folder="before").groups
    after = analyse(table().with_columns(k017=odd, k046=even), folder="after").groups
    assert (before["digest"] != after["digest"]).all()


@pytest.mark.parametrize("role", ["label", "weight", "position"])
def test_a_role_and_a_feature_of_its_name_are_told_apart(table, analyse, role):
    """What the column of the role loses, the feature gains: a donor (1) becomes neither (0)."""
    columns = {"label": "splice_type", "weight": "sample_weight", "position": "place"}
    frame = table().with_columns(place=pl.col("position") + 10).drop("position")
    frame = frame.with_columns(pl.col("sample_weight").cast(pl.Int64), pl.lit(1).alias(role))
    value = {"label": "neither", "weight": 0, "position": 9}[role]  # in place of donor, 1 and 10
    after = set_cells(set_cells(frame, columns[role], [40], value), role, [40], 2)
    before, after = (
        analyse(each, folder=name, position="place").groups["digest"]
        for name, each in (("before", frame), ("after", after))
    )
    assert (before != after).to_list() == [False] * 4 + [True] + [False] * 7


def test_a_removed_row_changes_the_digest(table, analyse):
    before = analyse(table(), folder="before").groups
    after = analyse(table()[:-1], folder="after").groups
    assert (before["digest"] != after["digest"]).to_list() == [False] * 11 + [True]
