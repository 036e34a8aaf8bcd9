"""What ensemble.thresholds promises: the best F1 on rows of groups that no booster saw."""

from dataclasses import replace

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.special import expit
from sklearn.metrics import f1_score

from genebatch.dataset.rows import label_codes
from genebatch.ensemble.thresholds import (
    best_f1,
    by_class,
    choose,
    threshold_facts,
    with_thresholds,
)
from genebatch.io import tables
from genebatch.model.archive import load_model

CLASSES = ["neither", "donor", "acceptor"]


@pytest.fixture(scope="module")
def model(toy):
    return load_model(toy.folder / "model.gbm")


@pytest.fixture(scope="module")
def held_out(toy):
    return toy.ensemble_files["combined"]


def lines(table, name):
    """Threshold by what was counted."""
    own = table.filter(pl.col("system") == "model", pl.col("class") == name)
    kinds = own.select("weighted", "threshold").iter_rows()
    return {"weighted" if weighted else "rows": threshold for weighted, threshold in kinds}


# One class


def test_threshold_is_midway_between_the_rows_it_parts():
    found = best_f1(np.array([1, 1, 0, 1, 0], bool), np.array([0.9, 0.8, 0.6, 0.2, 0.1]))
    # Called from 0.2 on: 3 of 4 are right and none is missed, F1 = 6/7; from 0.8 on 4/5.
    assert found.threshold == pytest.approx(0.15)
    assert (found.precision, found.recall) == (0.75, 1.0)
    assert found.f1 == pytest.approx(6 / 7)
    assert (found.called, found.rows, found.reason) == (4, 5, None)


def test_tied_rows_are_called_together():
    # Cutting the tie at 0.5 after its positive row would give F1 = 1; it cannot be cut.
    found = best_f1(np.array([1, 1, 0, 0, 0], bool), np.array([0.9, 0.5, 0.5, 0.5, 0.1]))
    assert found.called == 1
    assert found.threshold == pytest.approx(0.7)
    assert found.f1 == pytest.approx(2 / 3)


def test_of_equally_good_thresholds_the_highest_is_taken():
    # From 0.9 on 1 of 1 is right and one of two found; from 0.2 on 2 of 4 and all: both 2/3.
    found = best_f1(np.array([1, 0, 0, 1], bool), np.array([0.9, 0.6, 0.4, 0.2]))
    assert (found.threshold, found.called) == (0.75, 1)


def test_threshold_that_calls_every_row_lies_above_zero():
    found = best_f1(np.array([1, 1], bool), np.array([0.9, 0.2]))
    assert (found.threshold, found.called, found.f1) == (0.1, 2, 1.0)


def test_weights_count_in_precision_and_recall():
    y, probability = np.array([1, 0, 1, 0], bool), np.array([0.9, 0.7, 0.5, 0.1])
    assert best_f1(y, probability).threshold == pytest.approx(0.3)
    # The row at 0.7 stands for 100: one site in 102 calls, so half the sites are given up.
    found = best_f1(y, probability, np.array([1.0, 100.0, 1.0, 100.0]))
    assert (found.threshold, found.precision, found.recall) == (pytest.approx(0.8), 1.0, 0.5)


def test_rows_without_weight_are_as_if_absent():
    y, probability = np.array([1, 0, 1, 1], bool), np.array([0.9, 0.8, 0.7, 0.2])
    weight = np.array([2.0, 0.0, 1.0, 0.0])
    assert best_f1(y, probability, weight) == best_f1(
        y[[0, 2]], probability[[0, 2]], weight[[0, 2]]
    )


@pytest.mark.parametrize(
    ("y", "weight", "reason"),
    [
        ([0, 0], None, "no positive rows"),
        ([1, 0], [0.0, 1.0], "no positive rows with a weight above zero"),
        ([], None, "no rows"),
    ],
)
def test_no_positive_rows_no_threshold_but_a_reason(y, weight, reason):
    weight = None if weight is None else np.array(weight)
    found = best_f1(np.array(y, bool), np.full(len(y), 0.5), weight)
    assert found[:5] == (None,) * 5
    assert found.reason == reason


@given(
    st.lists(st.tuples(st.booleans(), st.integers(0, 6), st.integers(1, 5)), min_size=1).filter(
        lambda rows: any(y for y, _, _ in rows)
    )
)
def test_no_threshold_is_better_and_none_as_good_is_higher(rows):
    y, score, weight = (np.array(values) for values in zip(*rows, strict=True))
    y, probability, weight = y.astype(bool), score / 8 + 0.1, weight.astype(float)
    found = best_f1(y, probability, weight)
    worth = {}
    for cut in set(probability.tolist()):
        called = probability >= cut
        worth[cut] = 2 * weight[called & y].sum() / (weight[called].sum() + weight[y].sum())
    best = max(worth.values())
    assert found.f1 == pytest.approx(best)
    highest = max(cut for cut, value in worth.items() if value > best - 1e-9)
    assert ((probability >= found.threshold) == (probability >= highest)).all()
    assert found.called == (probability >= highest).sum()


# All classes of a model


def made(folder, rows, probability=None, name="held_out.parquet"):
    """A file of held-out probabilities of the system "made"; even ones where none are given."""
    if probability is None:
        probability = np.full((rows.height, 3), 1 / 3)
    columns = [pl.Series(f"made:{c}", probability[:, i]) for i, c in enumerate(CLASSES)]
    rows.hstack(columns).write_parquet(folder / name)
    return folder / name


def test_thresholds_are_of_the_held_out_probabilities(model, held_out):
    rows = pl.read_parquet(held_out)
    codes = label_codes(rows["label"], CLASSES, None)
    table = choose(model, held_out, "log_odds").filter(pl.col("system") == "model")
    assert table["rows"].to_list() == [rows.height] * 6
    assert table["weighted"].to_list() == [False, True] * 3
    for line in table.iter_rows(named=True):
        probability = rows[f"log_odds:{line['class']}"].to_numpy()
        y = codes == CLASSES.index(line["class"])
        weight = rows["weight"].to_numpy() if line["weighted"] else None
        called = probability >= line["threshold"]
        assert called.sum() == line["called"]
        assert f1_score(y, called, sample_weight=weight) == pytest.approx(line["f1"])
        cuts = np.quantile(probability, np.linspace(0, 1, 33))
        others = [f1_score(y, probability >= c, sample_weight=weight) for c in cuts]
        assert line["f1"] >= max(others) - 1e-9


def test_thresholds_are_of_the_system_that_is_asked_for(model, held_out):
    tables = [choose(model, held_out, system) for system in ("log_odds", "weighted")]
    found, other = (table.filter(pl.col("system") == "model") for table in tables)
    assert not found["threshold"].equals(other["threshold"])
    assert tables[0].filter(system="base").equals(tables[1].filter(system="base"))


def test_base_scores_have_thresholds_of_their_own_on_the_same_rows(model, held_out):
    rows = pl.read_parquet(held_out)
    codes = label_codes(rows["label"], CLASSES, None)
    table = choose(model, held_out, "log_odds")
    assert table["system"].to_list() == ["model"] * 6 + ["base"] * 6
    assert table["rows"].to_list() == [rows.height] * 12
    for line in table.filter(pl.col("system") == "base").iter_rows(named=True):
        score = rows[f"score_{line['class']}"].to_numpy().astype(np.float32)
        weight = rows["weight"].to_numpy() if line["weighted"] else None
        found = best_f1(codes == CLASSES.index(line["class"]), score, weight)
        assert tuple(line[name] for name in found._fields) == found
    facts = threshold_facts(table)
    assert facts["thresholds"] == by_class(table)
    assert facts["base_thresholds"] == by_class(table, "base") != facts["thresholds"]


def test_base_scores_are_taken_as_they_are(model, tmp_path):
    # Base scores: from 0.4 on three of four calls are donors, F1 = 6/7; from 0.8 on two of two,
    # F1 = 4/5. The prevalence of use does not move them.
    rows = pl.DataFrame(
        {
            "group": ["g"] * 5,
            "label": ["donor", "donor", "neither", "donor", "neither"],
            "score_donor": [0.9, 0.8, 0.6, 0.4, 0.1],
            "score_neither": [0.05, 0.15, 0.35, 0.55, 0.85],
            "score_acceptor": [0.05] * 5,
        }
    )
    share = {"neither": 0.9, "donor": 0.05, "acceptor": 0.05}
    table = choose(replace(model, prevalence=share), made(tmp_path, rows), "made")
    line = table.row(
        by_predicate=(pl.col("system") == "base") & (pl.col("class") == "donor"), named=True
    )
    assert line["threshold"] == pytest.approx(0.25)
    assert (line["precision"], line["recall"], line["called"], line["rows"]) == (0.75, 1.0, 4, 5)


def test_without_base_scores_there_are_none_of_their_thresholds(model, held_out, tmp_path):
    plain = tmp_path / "plain.parquet"
    pl.read_parquet(held_out).drop("^score_.*$").write_parquet(plain)
    table = choose(model, plain, "log_odds")
    assert table.equals(choose(model, held_out, "log_odds").filter(pl.col("system") == "model"))
    assert threshold_facts(table) == {"thresholds": by_class(table)}


def test_change_of_prevalence_moves_the_thresholds_and_calls_the_same_rows(model, tmp_path):
    # One donor in three rows of training and one in ten of use: odds fall by 4.5.
    margin = np.array([3.0, 1.0, 0.0, -1.0, -2.0, -3.0])
    rows = pl.DataFrame(
        {
            "group": ["g"] * 6,
            "label": ["donor", "donor", "neither", "donor", "neither", "neither"],
        }
    )
    path = made(tmp_path, rows, np.column_stack([expit(-margin), expit(margin), np.zeros(6)]))
    member = model.members[0]._replace(groups=("g",), class_weight=(2.0, 1.0, 1e-6))
    share = {"neither": 0.9, "donor": 0.1, "acceptor": 5e-7}
    plain = replace(model, members=(member,))
    before, after = (
        choose(m, path, "made").row(1, named=True)
        for m in (plain, replace(plain, prevalence=share))
    )
    assert before["called"] == after["called"] == 4
    assert before["f1"] == after["f1"] == pytest.approx(6 / 7)
    assert before["threshold"] == pytest.approx((expit(-1) + expit(-2)) / 2)
    shifted = [expit(m - np.log(4.5)) for m in (-1, -2)]
    assert after["threshold"] == pytest.approx(np.mean(shifted))


def test_pieces_of_the_file_change_nothing(model, held_out, monkeypatch):
    whole = choose(model, held_out, "log_odds")
    monkeypatch.setattr(tables, "BATCH_ROWS", 7)
    assert choose(model, held_out, "log_odds").equals(whole)


def test_table_without_weights_has_no_weighted_lines(model, held_out, tmp_path):
    plain = tmp_path / "plain.parquet"
    pl.read_parquet(held_out).drop("weight").write_parquet(plain)
    table = choose(model, plain, "log_odds")
    assert table["weighted"].to_list() == [False] * 6
    weighted = choose(model, held_out, "log_odds")
    assert by_class(table) == {
        name: {"rows": lines(weighted, name)["rows"], "weighted": None} for name in CLASSES
    }


def test_every_class_of_two_hundred_has_its_threshold(model):
    """One row each, whose probability is .9: midway to the others' is the threshold."""
    classes = tuple(f"c{number}" for number in range(200))
    many = replace(model, classes=classes, rest_class=None)
    probability = np.full((200, 200), 0.1 / 199)
    np.fill_diagonal(probability, 0.9)
    found = with_thresholds(many, pl.DataFrame({"label": classes}), probability).facts["thresholds"]
    assert [found[name]["rows"] for name in classes] == pytest.approx([(0.9 + 0.1 / 199) / 2] * 200)


def test_class_without_rows_has_no_threshold(model, held_out, tmp_path):
    label = pl.col("label").replace("acceptor", "neither")
    pl.read_parquet(held_out).with_columns(label).write_parquet(tmp_path / "made.parquet")
    table = choose(model, tmp_path / "made.parquet", "log_odds")
    table = table.filter(pl.col("class") == "acceptor")
    assert (
        table["reason"].to_list()
        == ["no positive rows", "no positive rows with a weight above zero"] * 2
    )
    assert by_class(table) == {"acceptor": {"rows": None, "weighted": None}}
