"""A batch's figures are drawn and its summary says what its tables say."""

import json

import polars as pl
import pytest

from genebatch.report.batch import diagnose_batch, summarise
from tests.builders.finished_run import DRAWN, FEATURES, PNG, VOWELS, Data


@pytest.mark.parametrize(
    "options",
    [
        {"absent": 1},
        {"classes": VOWELS, "base": False, "weight": False},
    ],
)
def test_a_batch_gets_six_figures_and_a_summary(options, tmp_path):
    data = Data(tmp_path, **options)
    outputs = {key: tmp_path / "figures" / f"{key}.png" for key in DRAWN}
    outputs["summary"] = tmp_path / "summary.json"
    diagnose_batch(data.batch(), "b007", data.config["dataset"], outputs)
    assert all(outputs[key].read_bytes()[:4] == PNG for key in DRAWN)
    summary = json.loads(outputs["summary"].read_text())
    assert (summary["batch"], summary["rows"], summary["groups"]) == ("b007", 300, 10)
    assert list(summary["classes"]) == data.classes
    systems = {line["system"] for line in summary["metrics"]}
    assert systems == ({"model", "base"} if data.base else {"model"})
    assert {line["weighted"] for line in summary["metrics"]} == (
        {False, True} if data.weight else {False}
    )
    for code, facts in enumerate(summary["classes"].values()):
        assert facts["rows"] == int((data.codes == code).sum())
        assert facts["trees"] == {"median": 15.0, "min": 10, "max": 20}
        assert facts["verdicts"] == {"good": 2}
        assert [line["feature"] for line in facts["top_features"]] == FEATURES
        assert (
            facts["calibration"]["after"]["log_loss"] <= facts["calibration"]["before"]["log_loss"]
        )


def fold_values(values):
    return pl.DataFrame(
        {
            "system": "model",
            "class": "a",
            "metric": "auc",
            "weighted": False,
            "value": values,
            "reason": [None if v is not None else "no positive rows" for v in values],
            "fold": range(len(values)),
        },
        schema_overrides={"value": pl.Float64, "reason": pl.String},
    )


@pytest.mark.parametrize(
    ("values", "mean", "folds", "reason"),
    [
        ([0.5, 1.0], 0.75, 2, None),
        ([0.5, None], 0.5, 1, "fold 1: no positive rows"),
        ([None, None], None, 0, "fold 0: no positive rows; fold 1: no positive rows"),
    ],
)
def test_means_say_which_folds_they_lack(values, mean, folds, reason):
    rows = pl.DataFrame({"label": ["a"], "group": ["g"]})
    summary = summarise([], rows, pl.DataFrame(), fold_values(values), {}, pl.DataFrame())
    (line,) = summary["metrics"]
    assert (line["mean"], line["folds"], line["reason"]) == (mean, folds, reason)
