"""Rows around annotated sites of finished tables."""

from dataclasses import replace

import numpy as np
import polars as pl
import pytest
from scipy.special import expit

from genebatch.config.settings import Labels
from genebatch.dataset.rows import normalised
from genebatch.evaluation.neighbours import (
    held_out_rows,
    predicted_rows,
    row_windows,
    site_classes,
    why_no_neighbours,
)
from genebatch.metrics.neighbours import ABSENT, OTHER, TEST

CLASSES = ("neither", "donor", "acceptor")
LABELS = Labels(
    group="g",
    label="y",
    classes=CLASSES,
    null_label="neither",
    rest_class=None,
    scores=None,
    weight=None,
    position="p",
)


def made_rows(seed=0):
    """Rows of two batches and of one without a model, at random positions."""
    rng = np.random.default_rng(seed)
    groups = {"a": "b000", "b": "b001", "c": "b000", "d": "b002"}
    parts = []
    for group, batch in groups.items():
        position = np.sort(rng.choice(400, 150, replace=False))
        label = rng.choice(CLASSES, 150, p=[0.8, 0.1, 0.1])
        parts.append(
            pl.DataFrame({"group": group, "label": label, "position": position, "batch": batch})
        )
    rows = pl.concat(parts)
    values = {f"{b}:{c}": rng.normal(-2, 2, rows.height) for b in ("b000", "b001") for c in CLASSES}
    values |= {f"score_{c}": rng.random(rows.height) for c in CLASSES}
    return rows.with_columns(pl.Series(k, v, dtype=pl.Float32) for k, v in values.items())


@pytest.fixture
def scores(tmp_path):
    made_rows().write_parquet(tmp_path / "scores.parquet")
    return tmp_path / "scores.parquet"


def test_a_row_has_the_held_out_probability_of_its_own_batch(scores):
    rows = made_rows().filter(pl.col("batch") != "b002")
    found = pl.concat(held_out_rows(scores, LABELS))
    assert sorted(found["batch"].unique()) == ["b000", "b001"]
    joined = rows.join(found, left_on=["group", "position"], right_on=["gene", "at"])
    assert joined.height == rows.height == found.height
    for (name,), part in joined.partition_by("batch", as_dict=True).items():
        log_odds = part.select(f"{name}:{label}" for label in CLASSES).to_numpy()
        wanted = normalised(expit(log_odds.astype(np.float64)), None)
        got = part.select("model_donor", "model_acceptor").to_numpy()
        np.testing.assert_allclose(got, wanted[:, 1:], rtol=1e-6)
        assert part["base_donor"].equals(part["score_donor"], check_names=False)


def test_windows_have_the_rows_there_are_and_count_the_others(scores):
    rows = made_rows()
    windows = row_windows(lambda: held_out_rows(scores, LABELS), ("donor", "acceptor"), 20, 1)
    assert (
        windows.filter(pl.col("offset") == 0).group_by("batch").len()["len"].to_list() == [20] * 2
    )
    label = {row[:2]: row[2] for row in rows.select("group", "position", "label").iter_rows()}
    for row in windows.iter_rows(named=True):
        at = label.get((row["gene"], row["position"] + row["offset"]))
        other = row["offset"] != 0 and at == row["class"]
        assert row["left_out"] == (ABSENT if at is None else OTHER if other else None)
        assert (row["model"] is None) == (row["left_out"] is not None)


def test_test_rows_have_the_probabilities_of_the_delivered_model(tmp_path):
    rows = made_rows().drop("batch", "^b.*:.*$", "^score_.*$")
    values = {f"probability_{c}": np.linspace(0, 1, rows.height) for c in CLASSES}
    rows = rows.with_columns(pl.Series(name, value) for name, value in values.items())
    rows.write_parquet(tmp_path / "predictions.parquet")
    (found,) = predicted_rows(tmp_path / "predictions.parquet", LABELS)
    assert found["batch"].unique().to_list() == [TEST]
    np.testing.assert_allclose(found["model_donor"], values["probability_donor"], rtol=1e-6)
    assert found["base_donor"].null_count() == rows.height


@pytest.mark.parametrize(
    ("changes", "kind", "message"),
    [
        ({}, pl.Int32, None),
        ({"position": None}, pl.Int32, "rows have no position; set dataset.position"),
        ({}, pl.String, "the column 'p' of dataset.position holds no whole numbers"),
        ({"null_label": None}, pl.Int32, "set dataset.rest_class"),
        ({"null_label": None, "rest_class": "neither"}, pl.Int32, None),
    ],
)
def test_tables_without_neighbours_are_told_why(tmp_path, changes, kind, message):
    path = tmp_path / "rows.parquet"
    made_rows().with_columns(pl.col("position").cast(kind)).write_parquet(path)
    reason = why_no_neighbours(path, replace(LABELS, **changes))
    assert reason is None if message is None else message in reason


def test_classes_of_sites_are_all_but_the_rest():
    assert site_classes(LABELS) == ["donor", "acceptor"]
    assert site_classes(replace(LABELS, rest_class="donor")) == ["neither", "acceptor"]
