"""Closing words tell which model it is and how it compares, and name what is missing."""

import polars as pl
import pytest

from genebatch.report.closing_words import closing_words
from tests.builders.closing_tables import candidates, comparison

COMMANDS = [("predict a table", "genebatch predict 'my results' table.csv -o predictions.parquet")]


def words_of(*tables, **options) -> str:
    """The words in one line."""
    return " ".join(closing_words(*tables, "results", COMMANDS, **options).split())


@pytest.fixture
def chosen():
    """The table of a run that trained the ensemble alone."""
    return candidates("ensemble")


def test_missing_batches_are_named(chosen):
    rows = comparison(12, 0.1, 0.4)
    words = words_of(rows, chosen, missing=["b001", "b004"])
    assert "The ensemble goes without b001, b004, as ensemble.allow_missing" in words
    assert "goes without" not in words_of(rows, chosen)


def test_columns_stay_in_line_under_long_names(chosen):
    rows = comparison(12, 0.1, 0.4)
    name = "acceptor of a minor intron"
    table = rows.with_columns(pl.lit(name).alias("class"))
    words = closing_words(table, chosen, "results", COMMANDS).splitlines()
    head = next(line for line in words if line.startswith("class"))
    line = next(line for line in words if line.startswith(f"{name}  "))
    assert head.index("metric") == line.index("average_precision")


def test_lines_fit_a_terminal_but_for_commands(chosen):
    rows = comparison(3, None, None)
    both = pl.concat([rows, rows.with_columns(weighted=True)])
    words = closing_words(both, chosen, "results", COMMANDS, tracks=rows.drop("weighted"))
    shown, _, listed = words.partition("Next, to be pasted as it is:\n")
    assert max(map(len, shown.splitlines())) <= 80
    assert listed == (
        "    # predict a table\n"
        "    genebatch predict 'my results' table.csv -o predictions.parquet\n"
    )


def test_closing_words_name_the_delivered_model_and_compare_it(chosen):
    rows = comparison(12, 0.1, 0.4)
    words = words_of(rows, chosen)
    assert "Delivered: the ensemble, 10 trees" in words
    assert "Held-out log loss" not in words
    words = words_of(rows, candidates("ensemble", "single"))
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
    words = words_of(comparison(12, 0.1, 0.4), left_out)
    assert "Delivered: the ensemble" in words
    assert "Not trained: it would take a year" in words
    assert "Held-out log loss" not in words


def test_the_answer_comes_first_with_both_figures_and_the_interval(chosen):
    words = closing_words(comparison(12, 0.1, 0.4), chosen, "results", COMMANDS)
    answer = words.partition("class")[0]
    assert " ".join(answer.split()).endswith(
        "donor, on rows: average precision 0.5000 to 0.7500, +0.2500 against the base scores, "
        "95 % interval over groups [+0.1000, +0.4000]"
    )


def test_without_base_scores_the_answer_is_the_figure_of_the_model(chosen):
    nothing = pl.lit(None, pl.Float64)
    table = comparison(12, None, None).with_columns(base=nothing, difference=nothing)
    words = words_of(table, chosen)
    assert "donor, on rows: average precision 0.7500 class" in words
    assert "not judged" not in words


def test_closing_words_say_why_there_is_no_interval(chosen):
    words = words_of(comparison(3, None, None), chosen)
    assert "not judged: only 3 test groups with donor rows, fewer than 10" in words
    assert "interval over groups" not in words


def test_closing_words_tell_of_complete_tracks_where_there_are_any(chosen):
    rows = comparison(12, 0.1, 0.4)
    words = words_of(rows, chosen, tracks=rows.drop("weighted"))
    assert "donor: average precision 0.5000 to 0.7500, +0.2500 against the base scores" in words
    assert "results/calls/test/calls.bed" in words
    assert "calls.bed" not in words_of(rows, chosen)


def test_the_manual_is_named_where_there_is_one(chosen):
    rows = comparison(12, 0.1, 0.4)
    assert "Manual: docs/index.md" in words_of(rows, chosen, manual="docs/index.md")
    assert "Manual" not in words_of(rows, chosen)


def test_figures_that_need_words_have_them(chosen):
    rows = comparison(12, 0.1, 0.4)
    words = words_of(pl.concat([rows, rows.with_columns(metric=pl.lit("ece"))]), chosen)
    assert "ece: expected calibration error" in words
    assert "top_k" not in words
