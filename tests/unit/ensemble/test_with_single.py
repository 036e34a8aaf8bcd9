"""What ensemble.with_single promises: the single model is weighed by rows that it never saw."""

from dataclasses import replace
from typing import NamedTuple

import numpy as np
import polars as pl
import pytest
from scipy.special import logit

from genebatch.ensemble.combining import combined_scores, learn, with_combiner
from genebatch.ensemble.with_single import (
    SingleScores,
    beside_single,
    join_single,
    renamed,
    single_log_odds,
)
from genebatch.io import tables
from genebatch.io.files import InputError
from genebatch.model.archive import load_model
from genebatch.model.calibration import fold_calibrators
from genebatch.model.combiners import COMBINERS, combine
from genebatch.model.ensemble import EnsembleModel
from genebatch.model.held_out import learning_rows, read_scores

CLASSES = ["neither", "donor", "acceptor"]
KNOWN = [name for name in COMBINERS if name != "routed"]


class Alone(NamedTuple):
    """The single model of a run, with its out-of-fold scores and held-out log-odds."""

    model: EnsembleModel
    rows: pl.DataFrame
    scores: SingleScores

    @property
    def log_odds(self):
        return self.scores.log_odds


def own_log_odds(toy, model, out_of_fold):
    return single_log_odds(model, out_of_fold, toy.ensemble_files["scores"], use_weights=True)


@pytest.fixture(scope="module")
def alone(toy, made_once):
    folder = made_once("toy-single", toy.train_single)
    files = toy.alone_files("single", folder)
    model = load_model(files["model"])
    rows = pl.read_parquet(files["out_of_fold"])
    return Alone(model, rows, own_log_odds(toy, model, files["out_of_fold"]))


@pytest.fixture(scope="module")
def ensemble(toy):
    return load_model(toy.ensemble_files["ensemble"])


@pytest.fixture(scope="module")
def scores(toy, ensemble, alone):
    """Read the held-out scores of all members."""
    return lambda: beside_single(read_scores(toy.ensemble_files["scores"], ensemble), alone.scores)


def test_scores_are_out_of_fold_and_calibrated_by_the_other_folds(alone):
    (member,) = alone.model.members
    rows = alone.rows
    fold, weight = rows["fold"].to_numpy(), rows["weight"].to_numpy()
    for column, name in enumerate(CLASSES):
        margin = rows[f"margin_{name}"].to_numpy().astype(np.float64)
        y = (rows["label"] == name).to_numpy()
        method = member.calibrators[column].method
        fits = fold_calibrators(method, margin, y, fold, weight)
        expected = [logit(fits[f].apply(margin[[row]]))[0] for row, f in enumerate(fold)]
        np.testing.assert_allclose(alone.log_odds[:, column], expected, rtol=1e-4, atol=1e-4)


def test_no_row_has_the_score_of_the_finished_model(toy, toy_rows, alone):
    """Trained on every row, it is surer of each than models that never saw its group."""
    trained = toy_rows.filter(~pl.col("gene_id").is_in(toy.test_groups))
    order = {name: number for number, name in enumerate(CLASSES)}
    codes = trained["splice_type"].fill_null("neither").replace_strict(order).to_numpy()
    places = trained.select(group="gene_id", position="position").with_row_index("row")
    place = alone.rows.join(places, on=["group", "position"], how="left", maintain_order="left")
    fitted = alone.model.frame_log_odds(trained)[:, 0][place["row"].to_numpy()]
    assert (np.abs(fitted - alone.log_odds) > 1e-4).any(axis=1).all()
    sign = np.where(np.eye(3, dtype=bool)[codes][place["row"].to_numpy()], 1, -1)
    assert (sign * fitted).mean() > (sign * alone.log_odds).mean() + 0.1


def test_scores_of_other_rows_are_refused(toy, alone, tmp_path):
    alone.rows.reverse().write_parquet(tmp_path / "out_of_fold.parquet")
    with pytest.raises(InputError, match=r"does not hold the out-of-fold scores.*in their order"):
        own_log_odds(toy, alone.model, tmp_path / "out_of_fold.parquet")
    alone.rows[:-1].write_parquet(tmp_path / "out_of_fold.parquet")
    with pytest.raises(InputError, match=r"does not hold the out-of-fold scores"):
        own_log_odds(toy, alone.model, tmp_path / "out_of_fold.parquet")


def test_pieces_of_the_tables_change_nothing(toy, ensemble, alone, scores, tmp_path, monkeypatch):
    whole = np.concatenate([part.log_odds for part in scores()])
    assert whole.shape == (alone.rows.height, len(ensemble.members) + 1, 3)
    monkeypatch.setattr(tables, "BATCH_ROWS", 11)
    pieces = list(scores())
    assert len(pieces) > 1
    np.testing.assert_array_equal(np.concatenate([part.log_odds for part in pieces]), whole)
    alone.rows.write_parquet(tmp_path / "out_of_fold.parquet")
    again = own_log_odds(toy, alone.model, tmp_path / "out_of_fold.parquet")
    np.testing.assert_array_equal(again.log_odds, alone.log_odds)


def test_rows_that_the_single_model_never_scored_are_left_out(toy, ensemble, alone, tmp_path):
    """As where one fold was held out: its groups are dealt into parts of their own."""
    part = alone.rows.filter(pl.col("fold") == 1)
    names = part["group"].unique().sort()
    place = {name: number % 2 for number, name in enumerate(names)}
    part = part.with_columns(pl.col("group").replace_strict(place).cast(pl.Int32).alias("fold"))
    part.write_parquet(tmp_path / "out_of_fold.parquet")
    known = own_log_odds(toy, alone.model, tmp_path / "out_of_fold.parquet")
    scored = alone.rows["group"].is_in(names.implode()).to_numpy()
    np.testing.assert_array_equal(known.fold >= 0, scored)
    np.testing.assert_array_equal(np.isnan(known.log_odds).any(axis=1), ~scored)
    assert known.groups == frozenset(names)
    joined = list(beside_single(read_scores(toy.ensemble_files["scores"], ensemble), known))
    rows = pl.concat(each.rows for each in joined)
    assert rows.select("group", "position").equals(part.select("group", "position"))
    assert rows["fold"].to_list() == part["fold"].to_list()
    log_odds = np.concatenate([each.log_odds for each in joined])
    np.testing.assert_array_equal(log_odds[:, -1], known.log_odds[scored])


def test_groups_that_the_single_model_does_not_hold_are_refused(toy, alone, tmp_path):
    other = alone.rows.with_columns(pl.lit("elsewhere").alias("group"))
    other.write_parquet(tmp_path / "out_of_fold.parquet")
    with pytest.raises(InputError, match="its groups are not those"):
        own_log_odds(toy, alone.model, tmp_path / "out_of_fold.parquet")


@pytest.mark.parametrize("name", KNOWN)
def test_rows_of_a_fold_are_combined_by_what_the_other_folds_taught(
    toy, ensemble, alone, scores, name
):
    both = join_single(ensemble, alone.model)
    sizes = toy.plan_lines.unique("group").select("group", "rows")
    rows = learning_rows(scores(), sizes, both, use_weights=True)
    assert rows.log_odds.shape[1] == len(ensemble.members) + 1
    learned = learn(rows, toy.settings.ensemble, [name])
    both = with_combiner(both, name, learned.whole)
    table = pl.concat(renamed(combined_scores(scores(), both, learned), both))
    probability = table.select(f"both:{label}" for label in CLASSES).to_numpy()
    for fold in np.unique(rows.folds):
        own = rows.folds == fold
        fitted = COMBINERS[name].fit(rows.take(~own), toy.settings.ensemble)
        expected = combine(name, fitted, rows.log_odds[own])
        np.testing.assert_allclose(probability[own], expected, atol=1e-6)


def test_model_is_of_the_genes_and_without_the_thresholds_of_its_parts(ensemble, alone):
    facts = ensemble.facts | {"trained_genes": ["one"], "thresholds": {"donor": {"rows": 0.5}}}
    every = alone.model.facts | {"trained_genes": ["one", "two"]}
    parts = (
        replace(model, facts=known) for model, known in ((ensemble, facts), (alone.model, every))
    )
    both = join_single(*parts)
    assert both.facts["trained_genes"] == ["one", "two"]
    assert both.facts["missing_batches"] == []
    assert "thresholds" not in both.facts
