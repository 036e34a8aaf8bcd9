"""Closing words tell which model it is and how it compares, and name what is missing."""

import polars as pl
import pytest

from genebatch.report.closing_words import closing_words
from tests.builders.closing_tables import candidates, comparison


@pytest.fixture
def chosen():
    """The table of a run that trained the ensemble alone."""
    return candidates("ensemble")


def test_missing_batches_are_named(chosen):
    rows = comparison(12, 0.1, 0.4)
    words = closing_words(rows, chosen, "results", missing=["b001", "b004"])
    assert "The ensemble goes without b001, b004, as ensemble.allow_missing" in words
    assert "goes without" not in closing_words(rows, chosen, "results")


def test_columns_stay_in_line_under_long_names(chosen):
    rows = comparison(12, 0.1, 0.4)
    name = "acceptor of a minor intron"
    table = rows.with_columns(pl.lit(name).alias("class"))
    words = closing_words(table, chosen, "results").splitlines()
    head, line = (next(t for t in words if t.startswith(s)) for s in ("class", name))
    assert head.index("metric") == line.index("average_precision")


def test_closing_words_name_the_delivered_model_and_compare_it(chosen):
    rows = comparison(12, 0.1, 0.4)
    words = closing_words(rows, chosen, "results")
    assert "Delivered: the ensemble, 10 trees" in words
    assert "Held-out log loss" not in words
    words = closing_words(rows, candidates("ensemble", "single"), "results")
    assert "Delivered: the single model, 20 trees" in words
    assert (
        "Held-out log loss: the ensemble 0.1 (10 trees), the single model 0.2 (20 trees)" in words
    )


def test_closing_words_say_what_was_left_out(chosen):
    table = candidates("ensemble", "single")
    lone = pl.col("candidate") == "ensemble"
    left_out = table.with_columns(
        pl.when(lone).then(pl.col("log_loss")).alias("log_loss"),
        chosen=lone,
        reason=pl.lit("it would take a year"),
    )
    words = closing_words(comparison(12, 0.1, 0.4), left_out, "results")
    assert "Delivered: the ensemble" in words
    assert "Not trained: it would take a year" in words
    assert "Held-out log loss" not in words


def test_closing_words_give_the_interval(chosen):
    words = closing_words(comparison(12, 0.1, 0.4), chosen, "results")
    assert "+0.2500 against the base scores, 95 % interval over groups [+0.1000, +0.4000]" in words


def test_closing_words_say_why_there_is_no_interval(chosen):
    words = closing_words(comparison(3, None, None), chosen, "results")
    assert "not judged: only 3 test groups with donor rows, fewer than 10" in words
    assert "interval over groups" not in words


def test_closing_words_tell_of_complete_tracks_where_there_are_any(chosen):
    rows = comparison(12, 0.1, 0.4)
    words = closing_words(rows, chosen, "results", rows.drop("weighted"))
    assert "donor: average precision 0.5000 to 0.7500, +0.2500 against the base scores" in words
    assert "results/calls/test/calls.bed" in words
    assert "results/calls/test/calls_igv.xml" in words
    assert "calls.bed" not in closing_words(rows, chosen, "results")
