"""What genebatch.summary promises."""

import polars as pl
import pytest

from genebatch.report.closing_words import closing_words


def comparison(path, groups, low, high):
    """Average precision of one class beside base scores, with the ends of its interval."""
    ends = {"difference_low": low, "difference_high": high}
    line = {
        "class": "donor",
        "metric": "average_precision",
        "weighted": False,
        "base": 0.5,
        "model": 0.75,
        "difference": 0.25,
        "groups": groups,
        **ends,
    }
    table = pl.DataFrame([line], schema_overrides=dict.fromkeys(ends, pl.Float64))
    table.write_csv(path, separator="\t")
    return path


def candidates(path, *names):
    """Candidates of 10, 20, ... trees and log loss 0.1, 0.2, ..., of which the last was chosen."""
    lines = [
        {
            "candidate": name,
            "log_loss": 0.1 * number,
            "trees": 10 * number,
            "chosen": name == names[-1],
            "reason": None,
        }
        for number, name in enumerate(names, 1)
    ]
    pl.DataFrame(lines, schema_overrides={"reason": pl.String}).write_csv(path, separator="\t")
    return path


@pytest.fixture
def chosen(tmp_path):
    """The table of a run that trained the ensemble alone."""
    return candidates(tmp_path / "candidates.tsv", "ensemble")


def test_batches_that_the_evaluated_model_goes_without_are_named(tmp_path, chosen):
    rows = comparison(tmp_path / "c.tsv", 12, 0.1, 0.4)
    predictions = tmp_path / "predictions.parquet"
    for names, said in (("b001,b004", True), ("", False)):
        origin = {"genebatch.missing_batches": names}
        pl.DataFrame({"group": ["g"]}).write_parquet(predictions, metadata=origin)
        words = closing_words(rows, chosen, "model.gbm", predictions=predictions)
        assert ("The ensemble goes without b001, b004, as ensemble.allow_missing" in words) == said
    pl.DataFrame({"group": ["g"]}).write_parquet(predictions)  # of an earlier version
    words = closing_words(rows, chosen, "model.gbm", predictions=predictions)
    assert "goes without" not in words


def test_columns_stay_in_line_under_long_names(tmp_path, chosen):
    rows = comparison(tmp_path / "c.tsv", 12, 0.1, 0.4)
    name = "acceptor of a minor intron"
    table = pl.read_csv(rows, separator="\t").with_columns(pl.lit(name).alias("class"))
    table.write_csv(rows, separator="\t")
    words = closing_words(rows, chosen, "model.gbm").splitlines()
    head, line = (next(t for t in words if t.startswith(s)) for s in ("class", name))
    assert head.index("metric") == line.index("average_precision")


def test_closing_words_name_the_delivered_model_and_compare_it(tmp_path, chosen):
    rows = comparison(tmp_path / "c.tsv", 12, 0.1, 0.4)
    words = closing_words(rows, chosen, "model.gbm")
    assert "Delivered: the ensemble, 10 trees" in words
    assert "Held-out log loss" not in words
    words = closing_words(rows, candidates(chosen, "ensemble", "single"), "model.gbm")
    assert "Delivered: the single model, 20 trees" in words
    assert (
        "Held-out log loss: the ensemble 0.1 (10 trees), the single model 0.2 (20 trees)" in words
    )


def test_closing_words_give_the_interval(tmp_path, chosen):
    words = closing_words(comparison(tmp_path / "c.tsv", 12, 0.1, 0.4), chosen, "model.gbm")
    assert "+0.2500 against the base scores, 95 % interval over groups [+0.1000, +0.4000]" in words


def test_closing_words_say_why_there_is_no_interval(tmp_path, chosen):
    words = closing_words(comparison(tmp_path / "c.tsv", 3, None, None), chosen, "model.gbm")
    assert "not judged: only 3 test groups with donor rows, fewer than 10" in words
    assert "interval over groups" not in words


def test_closing_words_tell_of_complete_tracks_where_there_are_any(tmp_path, chosen):
    rows = comparison(tmp_path / "c.tsv", 12, 0.1, 0.4)
    tracks = tmp_path / "tracks.tsv"
    pl.read_csv(rows, separator="\t").drop("weighted").write_csv(tracks, separator="\t")
    words = closing_words(rows, chosen, "model.gbm", tracks)
    assert "donor: average precision 0.5000 to 0.7500, +0.2500 against the base scores" in words
    assert "results/calls/test/calls.bed" in words
    assert "calls.bed" not in closing_words(rows, chosen, "model.gbm")
