"""The full-size data set has the document's size, skew and features, at any share of it."""

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from sklearn.metrics import average_precision_score

from genebatch.cli import main
from genebatch.features.positions import position_features
from genebatch.io.files import InputError
from genebatch.simulation import full_size as module
from genebatch.simulation.columns import KMERS, METADATA, PLANTED, SPEC
from genebatch.simulation.full_size import (
    FEATURES,
    MEASURES,
    NOISE,
    TRACKS,
    Measures,
    block_table,
    gene_sizes,
    measure,
    simulate_document,
)
from genebatch.simulation.gene import draw_gene
from genebatch.simulation.table import place_genes

pytestmark = pytest.mark.slow

SHARE = 0.008  # 74 genes, 29,834 rows


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return simulate_document(tmp_path_factory.mktemp("document"), share=SHARE) / "example"


@pytest.fixture(scope="module")
def rows(folder):
    return pl.read_parquet(folder / "part-*.parquet")


@pytest.fixture(scope="module")
def unsure(rows):
    """Rows on which the base model leaves room for other features."""
    best = pl.max_horizontal("donor_score", "acceptor_score")
    site = pl.col("splice_type").is_not_null().cast(pl.Float32)
    return rows.filter(best.is_between(0.02, 0.98)).with_columns(site=site)


def test_sizes_are_those_of_the_document():
    sizes = gene_sizes(9_280, 3_729_279)
    assert len(sizes) == 9_280
    assert sizes.sum() == 3_729_279
    assert (sizes[0], sizes[-1]) == (sizes.min(), sizes.max()) == (8, 17_629)
    # The rows of the document's first two batches, of 1,200 genes each.
    assert sizes[:1_200].sum() == pytest.approx(11_763, rel=0.15)
    assert sizes[1_200:2_400].sum() == pytest.approx(25_424, rel=0.15)


def test_an_eighth_of_the_genes_reaches_both_ends():
    sizes = gene_sizes(1_160, 466_160)
    assert sizes.sum() == 466_160
    assert (sizes.min(), sizes.max()) == (8, 17_629)


def test_gene_has_no_more_than_a_quarter_of_few_rows():
    sizes = gene_sizes(19, 7_459)
    assert sizes.sum() == 7_459
    assert (sizes.min(), sizes.max()) == (8, 1_864)


def test_table_has_the_promised_columns_and_rows(rows):
    assert rows.shape == (29_834, 10 + 1_167)
    assert tuple(rows.columns) == (*METADATA, *FEATURES)
    assert len(set(FEATURES) - set(PLANTED)) == 1_160
    sizes = rows.group_by("gene_id").len()["len"]
    assert (len(sizes), sizes.min(), sizes.max()) == (74, 8, 29_834 // 4)


def test_genes_come_by_name_with_their_rows_by_position(rows):
    assert rows["gene_id"].is_sorted()
    steps = rows.select(pl.col("position").diff().over("gene_id")).to_series().drop_nulls()
    assert steps.min() > 0


def test_no_gene_is_in_two_shards(rows, tmp_path):
    simulate_document(tmp_path, share=SHARE, shard_rows=5_000)
    shards = [pl.read_parquet(path) for path in sorted(tmp_path.glob("example/part-*.parquet"))]
    assert len(shards) == 6
    assert sum(shard["gene_id"].n_unique() for shard in shards) == 74
    assert pl.concat(shards).equals(rows)


def test_row_groups_are_bounded_whatever_the_largest_gene(tmp_path):
    simulate_document(tmp_path, share=0.002, block_rows=500)  # its largest gene has 1,864 rows
    facts = pq.ParquetFile(tmp_path / "example" / "part-000.parquet").metadata
    groups = [facts.row_group(i).num_rows for i in range(facts.num_row_groups)]
    assert sum(groups) == 7_459
    assert max(groups) <= 500


def test_no_more_than_a_row_group_or_a_gene_is_made_at_a_time(tmp_path, monkeypatch):
    made = []

    def watched(genes, seed):
        made.append([gene.rows for gene in genes])
        return pa.table({"rows": [gene.rows for gene in genes]})

    monkeypatch.setattr(module, "block_table", watched)
    simulate_document(tmp_path, share=0.1)
    assert sum(map(sum, made)) == 372_928
    assert all(len(block) == 1 or sum(block) <= 8_192 for block in made)
    assert max(len(block) for block in made) > 1


def test_same_seed_gives_equal_bytes_and_another_does_not(tmp_path):
    first, again, other = (
        (simulate_document(tmp_path / name, share=0.001, seed=seed) / "example/part-000.parquet")
        for name, seed in (("first", 7), ("again", 7), ("other", 8))
    )
    assert first.read_bytes() == again.read_bytes()
    assert first.read_bytes() != other.read_bytes()


def test_counts_are_as_sparse_as_those_of_real_windows(rows):
    shares = [(rows.select(part).to_numpy() > 0).mean() for part in (KMERS[64:], KMERS)]
    assert shares[0] == pytest.approx(0.105, abs=0.01)  # 5-mers
    assert shares[1] == pytest.approx(0.145, abs=0.01)


def test_only_the_label_and_planted_columns_hold_nulls(rows):
    empty = {name for name in rows.columns if rows[name].null_count()}
    assert empty == {"splice_type", "all_missing", "tx_length_filled"}


def test_classes_have_the_shares_of_thinned_sites(rows):
    shares = dict(rows["splice_type"].fill_null("neither").value_counts(normalize=True).rows())
    assert shares["donor"] == pytest.approx(0.07, abs=0.01)
    assert shares["acceptor"] == pytest.approx(0.07, abs=0.01)


@pytest.mark.parametrize("name", ["donor", "acceptor"])
def test_base_scores_are_good_and_not_perfect(rows, name):
    truth = rows["splice_type"].eq_missing(name)
    assert 0.8 < average_precision_score(truth, rows[f"{name}_score"]) < 0.95


def test_conservation_knows_what_the_base_scores_miss(unsure):
    assert unsure.select(pl.corr("conservation", "site")).item() > 0.1


@pytest.mark.parametrize(
    ("name", "half"),
    [
        ("accessibility", pl.col("gene_gc_content") > 0.45),
        ("methylation", pl.col("gene_type") == "protein_coding"),
        ("occupancy", pl.col("trait_marker") > 0),
    ],
)
def test_effect_has_another_sign_in_the_other_half_of_the_genes(unsure, name, half):
    with_it, without = (unsure.filter(part) for part in (half, ~half))
    assert with_it.select(pl.corr(name, "site")).item() > 0.04
    assert without.select(pl.corr(name, "site")).item() < -0.04


def test_command_writes_a_share(tmp_path, capsys):
    assert main(["simulate", str(tmp_path), "--like", "document", "--share", "0.001"]) == 0
    assert str(tmp_path) in capsys.readouterr().out
    assert pl.read_parquet(tmp_path / "example" / "part-000.parquet").height == 3_729


@pytest.mark.parametrize("arguments", [["--like", "document", "--genes", "9"], ["--share", "0.5"]])
def test_option_without_a_meaning_is_refused(tmp_path, capsys, arguments):
    assert main(["simulate", str(tmp_path), *arguments]) == 1
    assert "--share goes with --like" in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("share", [0, 0.0005, 1.1, float("nan")])
def test_impossible_share_is_refused(tmp_path, share):
    with pytest.raises(InputError, match=r"set it from 0\.00087 to 1"):
        simulate_document(tmp_path, share=share)
    assert not list(tmp_path.iterdir())


def genes(*rows):
    return place_genes(np.array(rows), np.random.default_rng(5), 1, ("chr1",))


def test_rows_of_a_gene_do_not_depend_on_the_genes_beside_it():
    members = genes(8, 120, 30)
    alone = pa.concat_tables([block_table([gene], 1) for gene in members])
    assert block_table(members, 1).equals(alone)


def test_features_are_those_of_the_gene_alone_up_to_its_ends():
    first, second = genes(40, 300)
    rng = np.random.default_rng([1, 3, second.index])
    drawn = draw_gene(second, rng, measure(second, rng).cell_log_odds())
    wanted = position_features(drawn.sequence, *drawn.tracks, drawn.rows.position, SPEC)
    made = pl.from_arrow(block_table([first, second], 1)).select(SPEC.columns).tail(300)
    assert made.equals(wanted)


def test_cell_adds_its_measures_times_their_signs():
    cells = np.array([[1, 2, 3, 4, *[9] * len(NOISE)], [0] * len(TRACKS)], dtype=np.float32)
    added = Measures(cells, np.array([1, -1, 1, 0.5]), 0.0).cell_log_odds()
    np.testing.assert_allclose(added, [0.8 * (1 - 2 + 3 + 2), 0])


def test_positions_of_a_cell_share_its_values():
    cells = np.arange(2 * len(TRACKS), dtype=np.float32).reshape(2, -1)
    columns = Measures(cells, np.ones(4), 3.0).at(np.array([0, 63, 64]))
    assert tuple(columns) == MEASURES
    assert columns["accessibility"].tolist() == [1, 1, 1 + len(TRACKS)]
    assert columns["trait_marker"].tolist() == [3, 3, 3]


@pytest.mark.parametrize(
    ("gc", "kind", "signs"),
    [(0.55, "lncRNA", (1, 1, -1)), (0.35, "protein_coding", (1, -1, 1)), (0.45, "x", (1, 0, -1))],
)
def test_gc_and_type_of_the_gene_set_the_signs(gc, kind, signs):
    gene = place_genes(np.array([20]), np.random.default_rng(1), 1, ("chr1",))[0]
    made = measure(gene._replace(gc=gc, kind=kind), np.random.default_rng(2))
    np.testing.assert_allclose(made.signs[:3], signs, atol=1e-3)
    assert abs(made.signs[3]) == 1


def test_trait_differs_between_genes_and_its_marker_follows_it():
    gene = place_genes(np.array([20]), np.random.default_rng(1), 1, ("chr1",))[0]
    made = [measure(gene, np.random.default_rng(seed)) for seed in range(200)]
    trait = np.array([m.signs[3] for m in made])
    marker = np.array([m.marker for m in made])
    assert marker[trait > 0].mean() == pytest.approx(1, abs=0.3)
    assert marker[trait < 0].mean() == pytest.approx(-1, abs=0.3)
