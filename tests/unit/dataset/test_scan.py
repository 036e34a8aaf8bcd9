"""What genebatch.scan promises: counts of groups, and digests that know every cell."""

import numpy as np
import polars as pl
import pytest

from genebatch.dataset import profile as analysis
from genebatch.io import tables
from tests.builders.tables_and_figures import set_cells


def test_the_per_group_table_counts_rows_classes_and_weights(table, analyse):
    genes = analyse(table(n_groups=3, rows=10), shards=2).genes
    assert genes["group"].to_list() == ["g00", "g01", "g02"]
    assert genes["rows"].to_list() == [10] * 3
    assert genes.select("n_neither", "n_donor", "n_acceptor").rows() == [(8, 1, 1)] * 3
    weights = genes.select("weight_neither", "weight_donor", "weight_acceptor")
    assert weights.rows() == [(24.0, 1.0, 1.0)] * 3
    assert genes["fact.chrom"].to_list() == ["chr0", "chr1", "chr2"]
    assert genes["shards"].to_list() == [1, 2, 1]


def test_without_weights_every_row_weighs_one(table, analyse):
    genes = analyse(table(), weight=None, exclude=["sample_weight"]).genes
    assert genes["weight_neither"].to_list() == genes["n_neither"].to_list()


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
    genes = analyse(base_scored(table), scores=SCORES).genes
    # Weight 26 in either group: eight rows of 3 and two of 1.
    wanted = [-26 * np.log(0.5), -26 * np.log(0.2)]
    np.testing.assert_allclose(genes["base_log_loss"], wanted)
    assert genes["base_errors"].to_list() == [0, 10]


def test_base_scores_count_by_their_share_of_the_sum(table, analyse):
    halved = base_scored(table).with_columns(pl.col("^.*_score$") / 2)
    genes = analyse(halved, scores=SCORES).genes
    np.testing.assert_allclose(genes["base_log_loss"], [-26 * np.log(0.5), -26 * np.log(0.2)])


def test_without_base_scores_their_losses_are_unknown(table, analyse):
    genes = analyse(table()).genes
    assert genes["base_log_loss"].null_count() == genes["base_errors"].null_count() == 12
    assert genes.select("base_log_loss", "base_errors").dtypes == [pl.Float64, pl.UInt32]


def test_what_base_scores_are_for_is_no_part_of_the_digest(table, analyse):
    scored = analyse(base_scored(table), scores=SCORES, folder="scored").genes
    plain = analyse(base_scored(table), folder="plain").genes
    assert scored["digest"].equals(plain["digest"])


def test_chunks_are_the_row_groups_that_hold_a_group(table, analyse):
    genes = analyse(table(n_groups=4, rows=10), shards=2, row_group_size=15).genes
    assert genes["chunks"].to_list() == [[0], [0, 1], [2], [2, 3]]


def test_metadata_that_varies_inside_a_group_is_no_fact_of_groups(table, analyse):
    frame = table().with_columns(pl.col("position").cast(pl.String).alias("exon"))
    genes = analyse(frame, metadata=["chrom", "exon"]).genes
    assert "fact.chrom" in genes.columns
    assert "fact.exon" not in genes.columns


def test_metadata_that_varies_between_shards_only_is_found_too(table, analyse):
    frame = table(n_groups=1, rows=10).with_columns(
        (pl.col("position") > 4).cast(pl.String).alias("half")
    )
    assert "fact.half" not in analyse(frame, shards=2, metadata=["chrom", "half"]).genes.columns


@pytest.mark.parametrize("batch_rows", [7, 8192])
def test_the_order_of_rows_and_shards_does_not_matter(table, analyse, monkeypatch, batch_rows):
    monkeypatch.setattr(tables, "BATCH_ROWS", batch_rows)
    plain = analyse(table(), folder="plain")
    shuffled = table().sample(fraction=1, shuffle=True, seed=3)
    mixed = analyse(shuffled, folder="mixed", shards=4, row_group_size=11)
    order_free = pl.exclude("chunks", "shards")
    assert mixed.genes.select(order_free).equals(plain.genes.select(order_free))
    assert mixed.profile["digest"] == plain.profile["digest"]
    assert mixed.profile["columns"] == plain.profile["columns"]


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
    assert mixed.genes.select(same).equals(plain.genes.select(same))
    assert mixed.profile["digest"] == plain.profile["digest"]
    assert mixed.profile["columns"] == plain.profile["columns"]
    again = analyse(frame, folder="again", threads=2, **keys)
    assert again.genes.equals(mixed.genes)


def test_the_order_of_columns_does_not_matter(table, analyse):
    plain = analyse(table(), folder="plain").genes
    mixed = analyse(table().select(sorted(table().columns)), folder="mixed").genes
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
    changed = before.genes["group"].filter(before.genes["digest"] != after.genes["digest"])
    assert changed.to_list() == ["g04"]
    assert before.profile["digest"] != after.profile["digest"]


def test_a_missing_cell_is_not_a_zero(table, analyse):
    before = analyse(set_cells(table(), "ties", [47], 0.0), folder="zero")
    after = analyse(set_cells(table(), "ties", [47], None), folder="missing")
    assert (before.genes["digest"] != after.genes["digest"]).sum() == 1


def test_values_that_change_places_change_the_digest(table, analyse):
    before = analyse(table(), folder="before").genes
    columns = table().with_columns(noise=pl.col("ties"), ties=pl.col("noise"))
    swapped = analyse(columns, folder="columns").genes
    assert (before["digest"] != swapped["digest"]).all()
    rows = table().with_columns(pl.col("noise").reverse().over("gene_id"))
    moved = analyse(rows, folder="rows").genes
    assert (before["digest"] != moved["digest"]).all()


def test_a_removed_row_changes_the_digest(table, analyse):
    before = analyse(table(), folder="before").genes
    after = analyse(table()[:-1], folder="after").genes
    assert (before["digest"] != after["digest"]).to_list() == [False] * 11 + [True]
