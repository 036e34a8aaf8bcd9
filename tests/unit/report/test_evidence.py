"""What the page says of tracks of evidence, against tables written by hand."""

import polars as pl
import pytest

from genebatch.report.evidence import EvidenceTables, evidence_facts
from genebatch.report.numbers import DASH

TOLD = {
    "cons": {"kind": "number", "columns": ["track_cons_value", "track_cons_max_10"]},
    "own": {"kind": "number", "columns": ["track_own_value"]},
}
SCREEN = pl.DataFrame(
    {
        "column": ["donor_score", "track_cons_value", "track_cons_max_10", "track_own_value"],
        "kept": [True, True, False, True],
        "auc_donor": [0.9, 0.3, 0.6, None],
    }
)
USE = pl.DataFrame(
    {
        **{"track": ["cons", "cons"], "kind": ["number"] * 2, "role": ["feature"] * 2},
        **{"measure": ["positions", "genes"], "count": [30, 0], "of": [120, 0]},
        "reads": [None, None],
    }
)


def batch(rise, error, gain=0.25):
    return pl.DataFrame(
        {
            "class": ["donor", "donor"],
            "family": ["track cons", "base scores"],
            "gain_share": [gain, 0.5],
            "mean_abs_shap": [0.5, 1.0],
            "log_loss_rise": [rise, 9.0],
            "standard_error": [error, 1.0],
        },
        schema_overrides={"log_loss_rise": pl.Float64, "standard_error": pl.Float64},
    )


def facts(*batches):
    return evidence_facts(TOLD, EvidenceTables(USE, batches), SCREEN, ["donor"])


def test_means_over_batches_and_the_best_column_alone():
    line, _ = facts(batch(0.1, 0.03, gain=0.2), batch(0.3, 0.04, gain=0.4))["lines"]
    assert line[:5] == ("cons", "number", "donor", 1, 2)
    assert line.auc.text == "0.7000"  # of a value that is lower at donors
    assert (line.gain.text, line.shap.text) == ("0.3000", "0.5000")
    # 0.05 / 2 is the root of .03 ** 2 + .04 ** 2, for two batches.
    assert (line.rise.text, line.error.text) == ("0.2000", "0.0250")
    assert line.word == "helped"


@pytest.mark.parametrize(
    ("rise", "error", "word"),
    [
        (0.05, 0.03, "no gain shown"),
        (-0.05, 0.03, "no gain shown"),
        (-0.1, 0.03, "harmed"),
        (0.0, 0.0, "no gain shown"),
        (None, None, "not judged"),
        (0.1, None, "not judged"),
    ],
)
def test_word_needs_more_than_chance(rise, error, word):
    line, _ = facts(batch(rise, error))["lines"]
    assert line.word == word


def test_track_whose_columns_are_in_another_family_is_not_judged():
    _, line = facts(batch(0.1, 0.01))["lines"]
    assert (line.track, line.word, line.rise.text) == ("own", "not judged", DASH)
    assert "explain.families" in line.rise.note
    assert line.auc.text == DASH


def test_use_has_its_shares():
    made = facts(batch(0.1, 0.01))
    assert [line["share"] for line in made["use"]] == ["25 %", DASH]
    assert made["needed"] == {"cons": "number", "own": "number"}
