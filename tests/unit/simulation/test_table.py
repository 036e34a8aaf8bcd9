"""The example is what it claims to be: its shape, its traps, its planted problems, its signal."""

import numpy as np
import polars as pl
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import average_precision_score, roc_auc_score

from genebatch.io.files import InputError
from genebatch.simulation import table as module
from genebatch.simulation.columns import KMERS, METADATA, PLANTED, SCORES
from genebatch.simulation.table import simulate

SMALL = {"n_genes": 30, "n_rows": 1_500, "n_shards": 3, "n_new_genes": 4}


@pytest.fixture(scope="module")
def example(tmp_path_factory):
    return simulate(tmp_path_factory.mktemp("simulated"), **SMALL)


@pytest.fixture(scope="module")
def rows(example):
    return pl.read_parquet(example / "example" / "*.parquet")


@pytest.fixture(scope="module")
def new(example):
    return pl.read_parquet(example / "new" / "part-000.parquet")


def test_table_has_the_promised_columns_and_rows(rows):
    assert rows.shape == (1_500, 1_167)
    assert tuple(rows.columns[:10]) == METADATA
    assert {*SCORES, *PLANTED, *KMERS} <= set(rows.columns)
    assert len(KMERS) == 64 + 1_024
    assert {KMERS[0], KMERS[63], KMERS[64], KMERS[-1]} == {
        *("3mer_AAA", "3mer_TTT", "5mer_AAAAA", "5mer_TTTTT")
    }
    assert {rows[name].dtype for name in KMERS} == {pl.UInt8}


def test_genes_have_8_to_2000_rows_in_order_of_position(rows):
    sizes = rows.group_by("gene_id").len()["len"]
    assert len(sizes) == 30
    assert 8 <= sizes.min() <= sizes.max() <= 2_000
    by_gene = rows.group_by("gene_id").agg(pl.col("position").diff().min().alias("step"))
    assert by_gene["step"].min() > 0


@settings(max_examples=50, deadline=None)
@given(n=st.integers(1, 60), seed=st.integers(0, 99), fill=st.floats(0, 1))
def test_sizes_sum_exactly_at_any_mean(n, seed, fill):
    n_rows = n * 8 + int(fill * n * 1_992)
    sizes = module._sizes(n, n_rows, np.random.default_rng(seed))
    assert sizes.sum() == n_rows
    assert 8 <= sizes.min() <= sizes.max() <= 2_000


def test_gene_is_never_in_two_shards(example, new):
    shards = sorted((example / "example").glob("*.parquet"))
    assert [path.name for path in shards] == [f"part-00{i}.parquet" for i in range(3)]
    genes = [name for path in shards for name in pl.read_parquet(path)["gene_id"].unique()]
    assert len(genes) == len(set(genes)) == 30
    assert not set(genes) & set(new["gene_id"])


def test_clusters_are_not_shared_with_the_new_genes(rows, new):
    assert not set(rows["cluster_id"]) & set(new["cluster_id"])
    assert not set(rows["chrom"]) & set(new["chrom"])


@pytest.mark.slow
def test_same_seed_gives_equal_bytes_and_another_does_not(example, tmp_path):
    again = simulate(tmp_path / "again", **SMALL)
    other = simulate(tmp_path / "other", **SMALL, seed=8)
    name = "example/part-001.parquet"
    assert (again / name).read_bytes() == (example / name).read_bytes()
    assert (other / name).read_bytes() != (example / name).read_bytes()


@pytest.mark.slow
def test_number_of_shards_changes_no_row(rows, tmp_path):
    simulate(tmp_path, **SMALL | {"n_shards": 1})
    one = pl.read_parquet(tmp_path / "example" / "part-000.parquet")
    order = ["gene_id", "position"]
    assert one.sort(order).equals(rows.sort(order))


def test_row_groups_have_about_4096_rows(tmp_path):
    simulate(tmp_path, n_genes=3, n_rows=5_000, n_shards=1, n_new_genes=1)
    facts = pq.ParquetFile(tmp_path / "example" / "part-000.parquet").metadata
    assert [facts.row_group(i).num_rows for i in range(facts.num_row_groups)] == [4_096, 904]
    assert facts.row_group(0).column(0).compression == "ZSTD"


def test_first_fifth_of_the_sorted_genes_has_donors_and_no_acceptor(rows):
    genes = sorted(rows["gene_id"].unique())
    first, rest = (
        rows.filter(pl.col("gene_id").is_in(part))["splice_type"] for part in (genes[:6], genes[6:])
    )
    assert (first == "donor").sum() > 0
    assert (first == "acceptor").sum() == 0
    assert (rest == "acceptor").sum() > 0


def test_classes_and_weights_look_like_thinned_sites(rows):
    shares = rows["splice_type"].fill_null("neither").value_counts(normalize=True)
    shares = dict(shares.iter_rows())
    assert shares["donor"] == pytest.approx(0.065, abs=0.025)
    assert shares["acceptor"] == pytest.approx(0.065, abs=0.025)
    sites = rows.filter(pl.col("splice_type").is_not_null())
    assert sites["sample_weight"].unique().to_list() == [1.0]
    candidates = rows.filter(pl.max_horizontal(SCORES[:2]) >= 0.05)
    assert candidates["sample_weight"].unique().to_list() == [1.0]
    assert 50 < rows["sample_weight"].quantile(0.6) < 300


def test_weights_of_a_gene_sum_to_its_length(rows):
    genes = rows.group_by("gene_id").agg(pl.sum("sample_weight"), pl.first("gene_length"))
    np.testing.assert_allclose(genes["sample_weight"], genes["gene_length"], rtol=1e-4)


def test_scores_sum_to_one(rows):
    np.testing.assert_allclose(rows.select(pl.sum_horizontal(SCORES)).to_series(), 1, atol=1e-6)


def test_only_planted_columns_hold_nulls(rows):
    empty = {name for name in rows.columns if rows[name].null_count()}
    assert empty == {"splice_type", "all_missing", "tx_length_filled"}
    features = rows.select(pl.selectors.float().fill_null(0))
    assert features.select(pl.all().is_finite().all()).row(0) == (True,) * features.width


def test_planted_columns_are_what_they_claim(rows):
    site = rows["splice_type"].is_not_null()
    assert rows["constant_flag"].unique().to_list() == [1]
    assert rows["all_missing"].null_count() == rows.height
    assert rows["tx_length_filled"].is_not_null().equals(site, check_names=False)
    assert (rows["tx_start"] != rows["gene_start"]).equals(site, check_names=False)
    assert rows["gc_content_copy"].equals(rows["gc_content"], check_names=False)
    donor = rows["splice_type"].eq_missing("donor")
    assert roc_auc_score(donor, rows["site_probe"]) > 0.995
    assert rows["site_probe"].filter(donor).min() < rows["site_probe"].filter(~donor).max()


def test_new_genes_have_no_label_and_empty_leaks(new, rows):
    assert new.columns == [name for name in rows.columns if name != "splice_type"]
    assert new["gene_id"].n_unique() == 4
    assert new["tx_length_filled"].null_count() == new.height
    assert (new["tx_start"] == new["gene_start"]).all()
    assert new["site_probe"].max() < 3.5


def test_window_counts_have_121_nt(rows):
    threes = rows.select(pl.sum_horizontal(pl.col(KMERS[:64]).cast(pl.Int32))).to_series()
    fives = rows.select(pl.sum_horizontal(pl.col(KMERS[64:]).cast(pl.Int32))).to_series()
    assert threes.unique().to_list() == [119]
    assert fives.unique().to_list() == [117]
    assert 0.08 < (rows.select(KMERS[64:]).to_numpy() > 0).mean() < 0.14


@pytest.mark.parametrize(("name", "column"), [("donor", "5mer_GTAAG"), ("acceptor", "5mer_TTTCA")])
def test_base_scores_are_good_and_a_motif_knows_what_they_miss(rows, name, column):
    truth = rows["splice_type"].eq_missing(name)
    assert 0.8 < average_precision_score(truth, rows[f"{name}_score"]) < 0.97
    unsure = rows.filter(pl.col(f"{name}_score").is_between(0.02, 0.98))
    share = unsure.group_by(pl.col(column) > 0).agg(pl.col("splice_type").eq_missing(name).mean())
    with_motif, without = (share.filter(pl.col(column) == value).row(0)[1] for value in (1, 0))
    assert with_motif > without + 0.1


def test_earlier_parts_are_replaced_and_none_is_left_over(tmp_path):
    simulate(tmp_path, **SMALL)
    simulate(tmp_path, **SMALL | {"n_shards": 2})
    assert sorted(path.name for path in (tmp_path / "example").iterdir()) == [
        *("part-000.parquet", "part-001.parquet")
    ]


def test_failed_run_leaves_the_earlier_parts_alone(tmp_path, monkeypatch):
    simulate(tmp_path, **SMALL)
    files = sorted(tmp_path.glob("*/*"))
    before = {path: path.read_bytes() for path in files}
    write = module._write_shard

    def fail_on_the_new_genes(path, genes, seed, labelled):
        if not labelled:
            raise OSError("disk full")
        write(path, genes, seed, labelled)

    monkeypatch.setattr(module, "_write_shard", fail_on_the_new_genes)
    with pytest.raises(OSError, match="disk full"):
        simulate(tmp_path, **SMALL, seed=8)
    assert {path: path.read_bytes() for path in sorted(tmp_path.glob("*/*"))} == before


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"n_rows": 200}, "set n_rows between 240 and 60000"),
        ({"n_rows": 60_001}, "set n_rows between 240 and 60000"),
        ({"n_shards": 31}, "31 shards"),
        ({"n_new_genes": 0}, "at least one new gene"),
    ],
)
def test_impossible_numbers_are_refused_before_anything_is_written(tmp_path, change, message):
    with pytest.raises(InputError, match=message):
        simulate(tmp_path, **SMALL | change)
    assert not list(tmp_path.iterdir())


def test_foreign_parquet_file_is_refused(tmp_path):
    (tmp_path / "example").mkdir()
    (tmp_path / "example" / "mine.parquet").write_bytes(b"")
    with pytest.raises(InputError, match=r"mine\.parquet"):
        simulate(tmp_path, **SMALL)
