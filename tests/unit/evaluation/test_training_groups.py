import numpy as np
import polars as pl
import pytest
from sklearn.metrics import average_precision_score, log_loss

from genebatch.evaluation.training_groups import estimate
from genebatch.model.held_out import score_names

QUICK = {"n_replicates": 50, "seed": 0}


@pytest.fixture(scope="module")
def estimated(toy, tmp_path_factory) -> pl.DataFrame:
    out = tmp_path_factory.mktemp("estimate") / "estimate.tsv"
    estimate(toy.ensemble_files, QUICK, out)
    return pl.read_csv(out, separator="\t", infer_schema_length=None)


def value(table, system, metric, column="value"):
    row = table.filter(
        pl.col("system") == system,
        pl.col("class") == "donor",
        pl.col("metric") == metric,
        "weighted",
    )
    return row[column].item()


def test_every_combiner_and_the_base_scores_are_judged(estimated):
    wanted = {"base", "voting", "log_odds", "weighted", "selected", "stacked", "hierarchical"}
    assert set(estimated["system"]) == wanted


def test_all_training_rows_count_and_no_test_row(toy, estimated):
    rows = pl.read_parquet(toy.ensemble_files["combined"])
    plan = pl.read_parquet(toy.paths()["plan"])
    assert set(rows["group"]) == set(plan.filter(~pl.col("test"))["group"])
    y, weight = (rows["label"] == "donor").to_numpy(), rows["weight"].to_numpy()
    donor = rows[score_names("stacked", ["donor"])[0]].to_numpy().astype(float)
    assert value(estimated, "stacked", "average_precision") == pytest.approx(
        average_precision_score(y, donor, sample_weight=weight)
    )


def test_gain_over_the_base_scores_is_the_difference_of_the_losses(toy, estimated):
    rows = pl.read_parquet(toy.ensemble_files["combined"])
    y, weight = (rows["label"] == "donor").to_numpy(), rows["weight"].to_numpy()
    own, base = (
        log_loss(y, rows[name].to_numpy().astype(float), sample_weight=weight)
        for name in ("log_odds:donor", "score_donor")
    )
    assert value(estimated, "log_odds", "log_loss", "over_base") == pytest.approx(own - base)
    low, high = (
        value(estimated, "log_odds", "log_loss", f"over_base_{end}") for end in ("low", "high")
    )
    assert low < own - base < high


def test_rival_is_judged_on_its_own_honest_rows(toy, tmp_path):
    rows = pl.read_parquet(toy.ensemble_files["combined"])
    known = rows.select("group", "label", "weight", pl.col("^score_.*$"))
    perfect = [
        pl.Series(f"single:{name}", np.where(rows["label"] == name, 0.98, 0.01))
        for name in ("neither", "donor", "acceptor")
    ]
    known.hstack(perfect).write_parquet(tmp_path / "honest.parquet")
    inputs = toy.ensemble_files | {"single_honest": tmp_path / "honest.parquet"}
    estimate(inputs, QUICK, tmp_path / "estimate.tsv")
    table = pl.read_csv(tmp_path / "estimate.tsv", separator="\t", infer_schema_length=None)
    assert value(table, "single", "average_precision") == 1
