"""What evaluation.training_groups promises: every training row, by scores that never saw it."""

import numpy as np
import polars as pl
import pytest
from sklearn.metrics import average_precision_score, log_loss

from genebatch.config.settings import Evaluation
from genebatch.evaluation.training_groups import estimate
from genebatch.model.held_out import score_names

CLASSES = ["neither", "donor", "acceptor"]
COMBINED = ["voting", "log_odds", "weighted", "selected", "stacked", "hierarchical"]
QUICK = Evaluation(n_replicates=50, seed=0)


@pytest.fixture(scope="module")
def estimated(toy) -> pl.DataFrame:
    return estimate(dict.fromkeys(COMBINED, toy.ensemble_files["combined"]), CLASSES, QUICK)


def value(table, system, metric, column="value"):
    row = table.filter(
        pl.col("system") == system,
        pl.col("class") == "donor",
        pl.col("metric") == metric,
        "weighted",
    )
    return row[column].item()


def test_every_combiner_and_the_base_scores_are_judged(estimated):
    assert set(estimated["system"]) == {"base", *COMBINED}


def test_all_training_rows_count_and_no_test_row(toy, estimated):
    rows = pl.read_parquet(toy.ensemble_files["combined"])
    assert set(rows["group"]) == set(toy.plan_lines["group"])
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


def test_model_that_is_no_ensemble_is_judged_on_its_own_rows(toy, tmp_path):
    rows = pl.read_parquet(toy.ensemble_files["combined"])
    known = rows.select("group", "label", "weight", pl.col("^score_.*$"))
    perfect = [
        pl.Series(f"single:{name}", np.where(rows["label"] == name, 0.98, 0.01)) for name in CLASSES
    ]
    known.hstack(perfect).write_parquet(tmp_path / "single.parquet")
    scores = dict.fromkeys(COMBINED, toy.ensemble_files["combined"])
    table = estimate(scores | {"single": tmp_path / "single.parquet"}, CLASSES, QUICK)
    assert value(table, "single", "average_precision") == 1
