"""Whole runs on real tables; skipped with a reason where they are absent."""

import json

import numpy as np
import polars as pl
import pytest

from genebatch import load_model
from tests.workflow.running import Run

pytestmark = [pytest.mark.real, pytest.mark.workflow]

COMPARISON, PAGE = "results/evaluation/comparison.tsv", "results/report/index.html"
QUICK = {"explain": {"rows": 60}, "evaluation": {"n_replicates": 100}}
QUICK |= {"ensemble": {"rivals": []}, "final": "ensemble"}


def start(tmp_path, config, *targets: str) -> Run:
    run = Run(tmp_path)
    run.configure(config)
    run.ok(*targets, "--resources", "mem_mb=8000")
    return run


def comparison(run: Run, metric: str, weighted: bool) -> dict[str, tuple[float, float]]:
    table = pl.read_csv(run.folder / COMPARISON, separator="\t").filter(
        pl.col("metric") == metric, pl.col("weighted") == weighted
    )
    return {row["class"]: (row["base"], row["model"]) for row in table.iter_rows(named=True)}


def test_real_splice_sites_beat_the_base_scores_at_the_genomes_prevalence(tmp_path, real_data):
    config = {
        "dataset": {
            "path": str(real_data / "human/mouse"),
            "group": "cluster_id",
            "label": "splice_type",
            "classes": ["neither", "donor", "acceptor"],
            "scores": {name: f"{name}_score" for name in ("neither", "donor", "acceptor")},
            "weight": "sample_weight",
            "metadata": [
                "gene_id", "transcript_id", "chrom", "strand", "position", "genomic_position",
                "row_source",
            ],
            "exclude": [
                "num_exons", "total_exon_length", "total_intron_length", "avg_exon_length",
                "distance_to_start", "distance_to_end", "relative_position", "gene_length",
            ],
        },
        "test": {"fraction": 0.25},
        "batching": {"max_genes": 70},
        **QUICK,
    }  # fmt: skip
    run = start(tmp_path, config, COMPARISON)
    model = load_model(tmp_path / "results")
    assert len(model.members) >= 4
    leaky = {"num_exons", "total_exon_length", "total_intron_length", "avg_exon_length"}
    assert not leaky & set(model.feature_names_in_)
    weighted = comparison(run, "average_precision", weighted=True)
    assert weighted["donor"][1] > weighted["donor"][0]
    assert weighted["acceptor"][1] > weighted["acceptor"][0] - 0.005
    losses = comparison(run, "log_loss", weighted=True)
    assert losses["donor"][1] < losses["donor"][0]
    assert losses["acceptor"][1] < losses["acceptor"][0]


def test_vowels_of_unseen_speakers_run_through_config_alone(tmp_path, real_data):
    table = pl.read_csv(real_data / "other/vowel.csv.gz")
    (tmp_path / "data").mkdir()
    table.write_parquet(tmp_path / "data/vowel.parquet")
    config = {
        "dataset": {
            "path": "data",
            "group": "V1",  # the speaker
            "label": "Class",
            "classes": sorted(table["Class"].unique().to_list()),
        },
        "test": {"fraction": 0.2},
        "batching": {"min_genes": 4, "max_genes": 6, "min_positives": 6},
        "cv": {"n_splits": 3, "stop_fraction": 0.3},
        "learner": {"start_from": "none", "n_estimators": 40, "learning_rate": 0.3},
        **QUICK,
    }
    run = start(tmp_path, config, COMPARISON, PAGE)
    accuracy = comparison(run, "accuracy", weighted=False)["all"]
    assert accuracy[0] is None
    assert accuracy[1] > 3 / 11
    probabilities = load_model(tmp_path / "results").predict_proba(tmp_path / "data")
    assert probabilities.shape == (990, 11)
    np.testing.assert_allclose(probabilities.sum(axis=1), 1)


def test_splice_junctions_run_through_config_alone(tmp_path, real_data):
    table = pl.read_csv(real_data / "other/splice_junctions.csv").with_columns(
        pl.all().str.strip_chars()
    )
    locus = pl.col("instance_name").str.split("-").list.first().alias("locus")
    base_at = {
        f"{base}_{position}": pl.col("sequence").str.slice(position, 1) == base
        for position in range(60)
        for base in "ACGT"
    }
    (tmp_path / "data").mkdir()
    shaped = table.with_columns(locus, **base_at).drop("sequence")
    shaped = shaped.with_columns(pl.col(pl.Boolean).cast(pl.UInt8))
    shaped.write_parquet(tmp_path / "data/junctions.parquet")
    config = {
        "dataset": {
            "path": "data/*.parquet",
            "group": "locus",
            "label": "label",
            "classes": ["N", "IE", "EI"],
            "metadata": ["instance_name"],
        },
        "batching": {"max_genes": 800},
        "cv": {"n_splits": 3},
        "learner": {"start_from": "none", "n_estimators": 60, "learning_rate": 0.2},
        **QUICK,
    }
    run = start(tmp_path, config, COMPARISON)
    precision = comparison(run, "average_precision", weighted=False)
    assert precision["EI"][1] > 0.9
    assert precision["IE"][1] > 0.9
    kinds = json.loads((tmp_path / "results/features/features.json").read_text())
    assert kinds["n_dense"] < len(kinds["names"])  # one-hot bases are sparse counts
