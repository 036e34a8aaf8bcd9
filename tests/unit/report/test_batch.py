"""The summary of a batch says what its tables say."""

import polars as pl
import pytest

from genebatch.report.batch import fold_means


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
    (line,) = fold_means(fold_values(values))
    assert (line["mean"], line["folds"], line["reason"]) == (mean, folds, reason)
