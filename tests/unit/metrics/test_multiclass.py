"""What genebatch.scoring promises."""

import numpy as np
import polars as pl
import pytest
from sklearn.metrics import log_loss

from genebatch.io.files import InputError
from genebatch.metrics.binary import METRICS
from genebatch.metrics.multiclass import corrections, score_table
from tests.builders.tables_and_figures import grouped, value

CLASSES = ["neither", "donor", "acceptor"]


def cell(table, name, metric, weighted=False):
    row = table.filter(
        (pl.col("class") == name) & (pl.col("metric") == metric) & (pl.col("weighted") == weighted)
    )
    return row.select("value", "reason").row(0)


def test_top_k_ignores_weights_but_the_table_does_not_call_it_weighted():
    y, score, groups, weight = grouped()
    p = 1 / (1 + np.exp(-score))
    assert value("top_k", y, p, groups=groups, weight=weight) == value("top_k", y, p, groups=groups)
    table = score_table(y.astype(int), np.column_stack([1 - p, p]), ["no", "yes"], weight, groups)
    assert cell(table, "yes", "top_k")[0] == value("top_k", y, p, groups=groups)
    assert cell(table, "yes", "top_k", weighted=True) == (
        None,
        "counts rows, which weights do not change",
    )


CODES = np.array([0, 0, 1, 2])
PROBABILITY = np.array([[0.8, 0.1, 0.1], [0.2, 0.7, 0.1], [0.3, 0.6, 0.1], [0.1, 0.1, 0.8]])


def test_score_table_has_every_metric_of_every_class_once():
    table = score_table(CODES, PROBABILITY, CLASSES, groups=np.zeros(4, int), candidate="base")
    overall = {"accuracy", "macro_f1", "log_loss", "macro_average_precision"}
    wanted = {(name, metric) for name in CLASSES for metric in METRICS}
    wanted |= {("all", metric) for metric in overall}
    assert table.columns == ["system", "class", "metric", "weighted", "value", "reason"]
    assert set(table.select("class", "metric").rows()) == wanted
    assert table.height == len(wanted)
    assert table["system"].unique().to_list() == ["base"]
    assert not table["weighted"].any()
    assert table.schema["value"] == pl.Float64
    assert table.schema["reason"] == pl.String


def test_weights_add_the_weighted_rows_and_leave_the_others_alone():
    plain = score_table(CODES, PROBABILITY, CLASSES)
    both = score_table(CODES, PROBABILITY, CLASSES, weight=np.array([1.0, 2.0, 1.0, 1.0]))
    assert both.filter(~pl.col("weighted")).equals(plain)
    assert both.filter("weighted").height == plain.height


def test_metrics_of_all_classes_have_the_values_worked_out_by_hand():
    table = score_table(CODES, PROBABILITY, CLASSES, weight=np.array([1.0, 2.0, 1.0, 1.0]))
    assert cell(table, "all", "accuracy")[0] == pytest.approx(3 / 4)
    assert cell(table, "all", "accuracy", weighted=True)[0] == pytest.approx(3 / 5)
    assert cell(table, "all", "macro_f1")[0] == pytest.approx((2 / 3 + 2 / 3 + 1) / 3)
    own = -np.log([0.8, 0.2, 0.6, 0.8])
    assert cell(table, "all", "log_loss")[0] == pytest.approx(own.mean())
    assert cell(table, "all", "log_loss", weighted=True)[0] == pytest.approx(
        np.average(own, weights=[1, 2, 1, 1])
    )
    precision = [(1 + 2 / 3) / 2, 1 / 2, 1]
    assert cell(table, "all", "macro_average_precision")[0] == pytest.approx(np.mean(precision))


def test_multiclass_log_loss_agrees_with_scikit_learn():
    rng = np.random.default_rng(3)
    probability = rng.dirichlet(np.ones(3), 50)
    codes, weight = rng.integers(0, 3, 50), rng.random(50) + 0.1
    table = score_table(codes, probability.astype(np.float32), CLASSES, weight)
    wanted = log_loss(codes, probability, sample_weight=weight)
    assert cell(table, "all", "log_loss", weighted=True)[0] == pytest.approx(wanted, rel=1e-5)


def test_a_class_without_rows_leaves_no_macro_mean():
    table = score_table(CODES[:3], PROBABILITY[:3], CLASSES)
    assert cell(table, "all", "macro_f1") == (None, "acceptor: no positive rows")
    assert cell(table, "acceptor", "auc") == (None, "no positive rows")
    assert cell(table, "all", "accuracy")[0] == pytest.approx(2 / 3)


def test_rows_that_do_not_sum_to_one_have_no_multiclass_log_loss():
    score, reason = cell(score_table(CODES, PROBABILITY * 0.9, CLASSES), "all", "log_loss")
    assert score is None
    assert "do not sum to 1 (off by up to 0.1)" in reason


def test_a_null_always_has_a_reason_and_a_value_never():
    tables = [
        score_table(CODES[:n], PROBABILITY[:n], CLASSES, weight)
        for n in (0, 1, 3, 4)
        for weight in (None, np.zeros(n), np.ones(n))
    ]
    table = pl.concat(tables)
    assert (table["value"].is_null() == table["reason"].is_not_null()).all()
    assert table["value"].drop_nulls().is_finite().all()


@pytest.mark.parametrize(
    ("codes", "probability", "message"),
    [
        (CODES, PROBABILITY[:, :2], "4 rows x 3 classes"),
        (CODES[:3], PROBABILITY, "3 rows x 3 classes"),
        (CODES + 1, PROBABILITY, "from 1 to 3, wanted 0 to 2"),
        (CODES - 1, PROBABILITY, "from -1 to 1, wanted 0 to 2"),
    ],
)
def test_shapes_and_codes_that_do_not_fit_are_refused(codes, probability, message):
    with pytest.raises(InputError, match=message):
        score_table(codes, probability, CLASSES)


def test_corrections_counts_both_directions_per_true_class():
    codes = [0, 0, 0, 1, 1]
    base = np.eye(2)[[0, 1, 1, 0, 1]]
    model = np.eye(2)[[1, 0, 1, 1, 1]]
    table = corrections(codes, base, model, ["no", "yes"], weight=[1, 2, 4, 8, 16])
    assert table.to_dict(as_series=False) == {
        "class": ["no", "yes", "all"],
        "n": [3, 2, 5],
        "corrected": [1, 1, 2],
        "made": [1, 0, 1],
        "n_weight": [7.0, 24.0, 31.0],
        "corrected_weight": [2.0, 8.0, 10.0],
        "made_weight": [1.0, 0.0, 1.0],
    }


def test_corrections_without_weights_has_no_weighted_columns():
    table = corrections(CODES, PROBABILITY, PROBABILITY, CLASSES)
    assert table.columns == ["class", "n", "corrected", "made"]
    assert table["corrected"].sum() == table["made"].sum() == 0
