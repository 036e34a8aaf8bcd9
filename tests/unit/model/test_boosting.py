"""Boosters stop by held-out groups, give exact margins, and treat absent cells alike everywhere."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import polars as pl
import psutil
import pytest
from scipy import sparse
from scipy.special import expit, logit

from genebatch.config import schema as config
from genebatch.config.settings import Learner
from genebatch.dataset.feature_set import Features
from genebatch.io.files import InputError
from genebatch.model import boosting

N_ROWS = 400
PLAIN = {"subsample": 1.0, "colsample_bytree": 1.0}


def settings(threads=1, **changed):
    """Settings of boosters with few trees, some of them changed."""
    small = {"n_estimators": 25, "learning_rate": 0.3, "early_stopping_rounds": 6}
    needed = {"path": "data", "group": "gene", "label": "label", "classes": ["a", "b"]}
    given = {"dataset": needed, "learner": small | {"start_from": "none"} | changed}
    return Learner.build(config.resolve(given)["learner"]).with_threads(threads).for_rows(0)


class Sample:
    """Dense features of 16 values each, sparse counts, labels of which they know something."""

    def __init__(self, seed=0):
        rng = np.random.default_rng(seed)
        self.y = rng.random(N_ROWS) < 0.3
        dense = rng.integers(0, 16, (N_ROWS, 4)).astype(np.float32)
        dense[:, 0] = np.clip(rng.integers(0, 10, N_ROWS) + 5 * self.y, 0, 15)
        counts = rng.poisson(0.2, (N_ROWS, 3)).astype(np.float32)
        counts[:, 0] = rng.poisson(0.1 + 0.6 * self.y)
        self.dense, self.counts = dense, counts
        # Every dense cell is stored, even a zero; of the counts only what is not zero.
        stored = np.hstack([np.ones_like(dense, bool), counts > 0])
        rows, columns = np.nonzero(stored)
        values = np.hstack([dense, counts])[rows, columns]
        self.sparse = sparse.csr_matrix((values, (rows, columns)), shape=stored.shape)
        self.weight = rng.uniform(0.5, 2, N_ROWS)
        self.margin = rng.normal(-1, 1, N_ROWS).astype(np.float32)
        self.train = np.arange(N_ROWS) % 4 < 2
        self.stop = np.arange(N_ROWS) % 4 == 2

    def fit(self, block, margin, chosen, target=None):
        train, stop = self.part(block, self.train, margin), self.part(block, self.stop, margin)
        binned = boosting.build_matrix([block[self.train]], block.shape[1], 256, chosen.threads)
        target = None if target is None else target[self.train]
        return boosting.fit_until_stopped(train._replace(matrix=binned), stop, chosen, target)

    def part(self, block, rows, margin):
        start = None if margin is None else margin[rows]
        matrix = boosting.to_matrix(block[rows], 1)
        return boosting.Part(matrix, self.y[rows], self.weight[rows], start)


@pytest.fixture(scope="module")
def sample():
    return Sample()


def margins_of(booster, block, margin=None):
    return boosting.predict_margin(booster, boosting.to_matrix(block, 1), margin)


# Matrix


def test_blocks_of_rows_make_the_matrix_of_all_rows(sample):
    blocks = [sample.sparse[:150], sample.sparse[150:151], sample.sparse[151:]]
    parts = [boosting.build_matrix(given, 7, 256, 1) for given in (blocks, [sample.sparse])]
    chosen = settings()
    boosters = [
        boosting.fit_trees(part, sample.y, sample.weight, None, 5, chosen) for part in parts
    ]
    assert parts[0].num_row() == N_ROWS
    assert boosting.to_bytes(boosters[0]) == boosting.to_bytes(boosters[1])


def test_no_rows_to_train_on_is_said():
    with pytest.raises(InputError, match="no rows"):
        boosting.build_matrix([], 3, 256, 1)


def test_block_of_another_width_is_refused():
    blocks = [np.zeros((2, 3), np.float32), np.zeros((2, 4), np.float32)]
    with pytest.raises(ValueError, match="4 features, not of 3"):
        boosting.build_matrix(blocks, 3, 256, 1)


@pytest.mark.filterwarnings("ignore:.*No visible GPU|.*Device is changed")
@pytest.mark.skipif(Path("/dev/nvidia0").exists(), reason="there is a GPU")
@pytest.mark.parametrize(
    ("cuda", "remedy"),
    [(True, "finds no such GPU here"), (False, "pip uninstall --yes xgboost-cpu")],
)
def test_a_gpu_that_is_not_there_is_an_error(sample, monkeypatch, cuda, remedy):
    monkeypatch.setattr(boosting.xgb, "build_info", lambda: {"USE_CUDA": cuda})
    matrix = boosting.build_matrix([sample.dense], 4, 256, 1)
    chosen = settings(device="cuda")
    with pytest.raises(InputError, match=f"learner.device is cuda.*{remedy}.*learner.device: cpu"):
        boosting.fit_trees(matrix, sample.y, sample.weight, None, 2, chosen)


# Base scores


def test_base_margins_are_log_odds():
    frame = pl.DataFrame({"s": [0.5, 0.75, 0.1]})
    found = boosting.base_margins(frame, {"donor": "s"})["donor"]
    assert found.dtype == np.float32
    assert found.tolist() == pytest.approx([0, np.log(3), np.log(1 / 9)])


def test_certain_scores_have_finite_log_odds_in_their_order():
    frame = pl.DataFrame({"s": [0.0, 1e-6, 0.999, 1.0]})
    found = boosting.base_margins(frame, {"donor": "s"})["donor"]
    assert np.isfinite(found).all()
    assert (np.diff(found) > 0).all()


@pytest.mark.parametrize("kind", [pl.Float32, pl.Float64])
def test_rounding_beyond_0_and_1_is_cut_off(kind):
    found = [
        boosting.base_margins(pl.DataFrame({"s": pl.Series(values, dtype=kind)}), {"a": "s"})["a"]
        for values in ([1.0000001, -1e-9, 1.000001, -1e-6], [1, 0, 1, 0])
    ]
    assert found[0].tolist() == found[1].tolist()


@pytest.mark.parametrize("bad", [-0.01, 1.00001, -1e-5, 1.01, float("nan"), float("inf"), None])
def test_score_that_is_no_probability_is_an_error_with_its_column(bad):
    frame = pl.DataFrame({"s": [0.5, bad, 0.5]})
    with pytest.raises(InputError, match=r"'s' has 1 values .* dataset\.scores\.donor"):
        boosting.base_margins(frame, {"donor": "s"})


def test_without_trees_the_base_scores_come_back(sample):
    score = expit(sample.margin.astype(float))
    start = boosting.base_margins(pl.DataFrame({"s": score}), {"a": "s"})["a"]
    matrix = boosting.build_matrix([sample.dense], 4, 256, 1)
    booster = boosting.fit_trees(matrix, sample.y, sample.weight, start, 0, settings())
    np.testing.assert_array_equal(margins_of(booster, sample.dense, start), start)
    np.testing.assert_allclose(expit(start), score, atol=1e-6)


# Training


@pytest.mark.parametrize("start", [False, True])
def test_weight_zero_is_leaving_the_rows_out(sample, start):
    chosen = settings(**PLAIN)
    kept = sample.train | sample.stop
    weight = np.where(kept, sample.weight, 0)
    margin = sample.margin if start else None
    whole = boosting.build_matrix([sample.dense], 4, 256, 1)
    part = boosting.build_matrix([sample.dense[kept]], 4, 256, 1)
    with_zeros = boosting.fit_trees(whole, sample.y, weight, margin, 10, chosen)
    without = boosting.fit_trees(
        part, sample.y[kept], sample.weight[kept], margin[kept] if start else None, 10, chosen
    )
    np.testing.assert_array_equal(
        margins_of(with_zeros, sample.dense, margin), margins_of(without, sample.dense, margin)
    )
    assert len(with_zeros.trees_to_dataframe()) > 30


@pytest.mark.parametrize("subsample", [1.0, 0.7])
@pytest.mark.parametrize("start", [False, True])
@pytest.mark.parametrize("kind", ["dense", "sparse"])
def test_losses_of_the_cache_are_those_of_the_finished_booster(sample, kind, start, subsample):
    block = getattr(sample, kind)
    margin = sample.margin if start else None
    fit = sample.fit(block, margin, settings(subsample=subsample))
    assert fit.n_trees > 2
    assert fit.booster.num_boosted_rounds() == fit.n_trees
    for name, rows in (("train", sample.train), ("stop", sample.stop)):
        found = fit.curve[f"{name}_log_loss"][fit.n_trees]
        assert found == pytest.approx(mean_loss(sample, fit.booster, block, margin, rows), rel=1e-6)


def mean_loss(sample, booster, block, margin, rows):
    """Weighted mean log loss of some rows by a booster."""
    found = margins_of(booster, block, margin).astype(float)
    losses = np.logaddexp(0, np.where(sample.y, -1, 1) * found)[rows]
    return np.average(losses, weights=sample.weight[rows])


def test_stopping_takes_the_trees_of_the_lowest_stopping_loss(sample):
    fit = sample.fit(sample.dense, None, settings(n_estimators=300))
    losses = fit.curve["stop_log_loss"]
    assert fit.stopped
    assert fit.curve["n_trees"].to_list() == list(range(fit.curve.height))
    assert fit.n_trees == losses.arg_min()
    assert fit.curve.height == fit.n_trees + 6 + 1
    mean = mean_loss(sample, fit.booster, sample.dense, None, sample.stop)
    assert losses[fit.n_trees] == pytest.approx(mean, rel=1e-6)


def test_training_loss_is_measured_for_the_first_trees_and_then_for_each_tenth(sample):
    slow = settings(n_estimators=52, learning_rate=0.01, early_stopping_rounds=52)
    fit = sample.fit(sample.dense, None, slow)
    measured = fit.curve.filter(pl.col("train_log_loss").is_not_null())["n_trees"].to_list()
    assert measured == [*range(30), 30, 40, 50]
    for n_trees in (12, 40):
        mean = mean_loss(sample, fit.booster[:n_trees], sample.dense, None, sample.train)
        assert fit.curve["train_log_loss"][n_trees] == pytest.approx(mean, rel=1e-6)
    assert fit.n_trees > 50
    assert fit.train_log_loss == fit.curve["train_log_loss"][50]


def test_trees_that_run_out_are_not_called_stopped(sample):
    fit = sample.fit(sample.dense, None, settings(n_estimators=3, learning_rate=0.05))
    assert not fit.stopped
    assert fit.n_trees == 3


def test_labels_at_the_odds_of_the_base_take_no_tree():
    # Training rows have luck with x; in each half of x the stopping rows have the base's odds.
    x = np.tile([0.0, 1.0], 100).astype(np.float32)[:, None]
    train = np.arange(200) < 100
    y = np.where(train, (x[:, 0] == 1) ^ (np.arange(200) % 10 > 7), np.arange(200) % 4 < 2)
    margin = np.zeros(200, np.float32)
    parts = [
        boosting.Part(boosting.build_matrix([x[part]], 1, 256, 1), y[part], np.ones(100), start)
        for part, start in ((train, margin[train]), (~train, margin[~train]))
    ]
    fit = boosting.fit_until_stopped(*parts, settings(**PLAIN))
    assert fit.curve["train_log_loss"][1] < fit.curve["train_log_loss"][0]
    assert fit.n_trees == 0
    assert fit.stopped
    assert fit.booster.num_boosted_rounds() == 0
    np.testing.assert_array_equal(margins_of(fit.booster, x, margin), margin)


@pytest.mark.parametrize(("label", "odds"), [(False, 0.5 / 200.5), (True, 200.5 / 0.5)])
def test_class_of_one_label_gets_a_finite_constant(label, odds):
    # Half a row on either side of 200 training rows.
    alike = Sample()
    alike.y, alike.weight = np.full(N_ROWS, label), np.ones(N_ROWS)
    fit = alike.fit(alike.dense, None, settings())
    assert (fit.n_trees, fit.curve.height) == (0, 1)
    np.testing.assert_allclose(margins_of(fit.booster, alike.dense), np.log(odds), rtol=1e-5)


@pytest.mark.parametrize("kind", ["dense", "sparse"])
def test_targets_are_fitted_in_place_of_labels(sample, kind):
    block = getattr(sample, kind)
    same = sample.fit(block, None, settings(), target=sample.y.astype(np.float32))
    flat = sample.fit(block, None, settings(), target=np.full(N_ROWS, 0.3, np.float32))
    assert boosting.to_bytes(same.booster) == boosting.to_bytes(
        sample.fit(block, None, settings()).booster
    )
    np.testing.assert_allclose(expit(margins_of(flat.booster, block)), 0.3, atol=0.02)


def test_without_start_the_intercept_is_the_weighted_prior(sample):
    matrix = boosting.build_matrix([sample.dense], 4, 256, 1)
    weight = np.where(sample.y, 1.0, 50.0)
    booster = boosting.fit_trees(matrix, sample.y, weight, None, 0, settings())
    half = 0.5 * weight.mean()
    share = (weight[sample.y].sum() + half) / (weight.sum() + 2 * half)
    np.testing.assert_allclose(margins_of(booster, sample.dense), logit(share), rtol=1e-5)


def test_fixed_number_of_trees_is_the_start_of_the_stopped_booster(sample):
    chosen = settings(**PLAIN)
    fit = sample.fit(sample.dense, None, chosen)
    part = sample.part(sample.dense, sample.train, None)
    matrix = boosting.build_matrix([sample.dense[sample.train]], 4, 256, 1)
    again = boosting.fit_trees(matrix, part.y, part.weight, None, fit.n_trees, chosen)
    np.testing.assert_array_equal(
        margins_of(again, sample.dense), margins_of(fit.booster, sample.dense)
    )


# Memory


def resident_mb():
    return psutil.Process().memory_info().rss / 2**20


def test_finished_boosters_hold_no_histograms():
    # The 63 nodes of depth 6 have histograms of 25 MB: 100 features, 256 bins, 16 bytes.
    rng = np.random.default_rng(1)
    block = rng.normal(size=(3000, 100)).astype(np.float32)
    y, ones = rng.random(3000) < 0.4, np.ones(3000)
    matrix = boosting.build_matrix([block], 100, 256, 1)
    chosen = settings(max_depth=6, min_child_weight=0)
    first = boosting.fit_trees(matrix, y, ones, None, 1, chosen)
    assert first.trees_to_dataframe()["Node"].max() > 63
    before = resident_mb()
    kept = [boosting.fit_trees(matrix, y, ones, None, 1, chosen) for _ in range(8)]
    assert len(kept) == 8
    assert resident_mb() - before < 50


@pytest.mark.parametrize(("depth", "same"), [(6, True), (8, True), (9, True), (16, False)])
def test_the_bound_on_kept_histograms_leaves_trees_as_they_are(monkeypatch, depth, same):
    rng = np.random.default_rng(2)
    block = rng.normal(size=(8000, 5)).astype(np.float32)
    y, weight = rng.random(8000) < 0.5, rng.uniform(0.5, 2, 8000)
    matrix = boosting.build_matrix([block], 5, 256, 1)
    chosen = settings(max_depth=depth, min_child_weight=0, **PLAIN, **{"lambda": 0})
    bounded = boosting.fit_trees(matrix, y, weight, None, 2, chosen)
    monkeypatch.setattr(boosting, "CACHED_NODES", 65_536)
    unbounded = boosting.fit_trees(matrix, y, weight, None, 2, chosen)
    if same:
        assert boosting.to_bytes(bounded) == boosting.to_bytes(unbounded)
    else:
        # 511 nodes have a histogram at depth 9.
        assert len(bounded.get_dump()[0].splitlines()) > 1023
        expected = margins_of(unbounded, block)
        np.testing.assert_allclose(margins_of(bounded, block), expected, atol=1e-4)


# Absent cells


def test_absent_counts_are_missing_cells_in_training_and_prediction(sample):
    absent = sample.counts.copy()
    absent[absent == 0] = np.nan
    dense = np.hstack([sample.dense, absent])
    boosters = []
    for block in (sample.sparse, dense):
        matrix = boosting.build_matrix([block], 7, 256, 1)
        booster = boosting.fit_trees(matrix, sample.y, sample.weight, None, 8, settings())
        boosters.append(booster)
    expected = margins_of(boosters[0], sample.sparse)
    for booster in boosters:
        np.testing.assert_array_equal(margins_of(booster, sample.sparse), expected)
        np.testing.assert_array_equal(margins_of(booster, dense), expected)


def test_present_or_absent_is_learned_alike_from_either_storage(sample):
    # Of a column of 0 and 1 both storages allow the same splits and no others.
    present = (sample.counts > 0).astype(np.float32)
    chosen = settings(**PLAIN)
    found = []
    for block in (present, sparse.csr_matrix(present)):
        matrix = boosting.build_matrix([block], 3, 256, 1)
        booster = boosting.fit_trees(matrix, sample.y, sample.weight, None, 8, chosen)
        found.append(margins_of(booster, block))
    np.testing.assert_allclose(found[0], found[1], atol=1e-5)
    assert np.ptp(found[0]) > 0.5


def test_stored_zero_is_a_number_and_not_absent():
    stored = sparse.csr_matrix(([0.0] * 40 + [1.0] * 40, ([*range(80)], [0] * 80)), shape=(120, 1))
    y = np.arange(120) < 40
    matrix = boosting.build_matrix([stored.astype(np.float32)], 1, 256, 1)
    chosen = settings(**PLAIN, max_depth=2)
    booster = boosting.fit_trees(matrix, y, np.ones(120), None, 10, chosen)
    margin = margins_of(booster, stored.astype(np.float32))
    assert margin[:40].min() > margin[40:].max() + 1
    assert np.unique(margin[80:]).size == 1


# Contributions


@pytest.mark.parametrize("start", [False, True])
def test_contributions_sum_to_the_margin_from_where_the_row_starts(sample, start):
    margin = sample.margin if start else None
    fit = sample.fit(sample.sparse, margin, settings())
    matrix = boosting.to_matrix(sample.sparse, 1)
    values = boosting.contributions(fit.booster, matrix, margin)
    assert values.shape == (N_ROWS, 8)
    np.testing.assert_allclose(
        values.sum(axis=1), margins_of(fit.booster, sample.sparse, margin), atol=1e-4
    )
    trees = fit.booster.trees_to_dataframe().query("Feature == 'Leaf'")
    means = (trees["Gain"] * trees["Cover"]).groupby(trees["Tree"]).sum()
    known = (means / trees["Cover"].groupby(trees["Tree"]).sum()).sum()
    base_score = json.loads(fit.booster.save_config())["learner"]["learner_model_param"]
    begins = margin if start else logit(float(base_score["base_score"].strip("[]")))
    np.testing.assert_allclose(values[:, -1], begins + known, atol=1e-4)


def test_gains_belong_to_the_features_by_name():
    rng = np.random.default_rng(3)
    block = rng.normal(size=(200, 3)).astype(np.float32)
    matrix = boosting.build_matrix([block], 3, 256, 1)
    booster = boosting.fit_trees(
        matrix, block[:, 1] > 0, np.ones(200), None, 3, settings(max_depth=1)
    )
    found = boosting.gains(booster, Features(("x", "y", "z"), 3))
    assert found[1] > 0
    assert found[[0, 2]].tolist() == [0, 0]


# Numbers of features


@pytest.mark.parametrize(
    ("kind", "columns"), [("dense", [0, 2, 3]), ("sparse", [0, -3, -2, -1]), ("sparse", [0, 2, -1])]
)
def test_a_booster_of_some_features_predicts_alike_among_all(sample, kind, columns):
    """Of the last features most are dense, so the zeros of the count are stored in training."""
    block = getattr(sample, kind)
    columns = np.array(columns) % block.shape[1]
    features = Features(tuple(f"f{number}" for number in range(block.shape[1])), 4)
    part = block[:, columns]
    given = part.toarray() if kind == "sparse" and columns[1] == 2 else part
    own = sample.fit(given, sample.margin, settings()).booster
    wide = boosting.for_all_features(own, columns, features, 1)
    expected = margins_of(own, given, sample.margin)
    np.testing.assert_array_equal(margins_of(wide, block, sample.margin), expected)
    spread = features.spread(part, columns)
    np.testing.assert_array_equal(margins_of(wide, spread, sample.margin), expected)
    assert set(boosting.used_features([wide])) <= set(columns)
    assert (
        boosting.gains(wide, features)[columns].tolist()
        == boosting.gains(own, features.some(columns)).tolist()
    )
    assert wide.num_features() == len(features.names)


def test_absent_counts_go_where_stored_zeros_went():
    """A count is high in half of the positive rows; in training no cell of it is missing."""
    rng = np.random.default_rng(5)
    count = rng.integers(0, 3, 400)
    block = np.column_stack([rng.normal(size=400), count]).astype(np.float32)
    y = count > 0
    matrix = boosting.build_matrix([block], 2, 256, 1)
    own = boosting.fit_trees(matrix, y, np.ones(400), None, 3, settings(max_depth=1))
    features = Features(("x", "count"), 1)
    wide = boosting.for_all_features(own, np.array([0, 1]), features, 1)
    absent = sparse.csr_matrix(block)
    absent.eliminate_zeros()
    assert absent.nnz < block.size
    np.testing.assert_array_equal(margins_of(wide, absent, None), margins_of(own, block, None))


def test_used_features_are_those_of_splits():
    block = np.tile(np.arange(20, dtype=np.float32)[:, None], (1, 12))
    block[:, :11] = 0
    y = np.arange(20) < 10
    matrix = boosting.build_matrix([block], 12, 256, 1)
    grown, empty = (
        boosting.fit_trees(matrix, y, np.ones(20), None, n, settings(**PLAIN)) for n in (2, 0)
    )
    assert boosting.used_features([empty, grown]).tolist() == [11]
    assert boosting.used_features([empty]).tolist() == []


# Parameters, seeds, threads, bytes


def values_of(tree, name):
    """Every value of a key anywhere in nested JSON."""
    if not isinstance(tree, dict):
        return []
    found = [tree[name]] if name in tree and not isinstance(tree[name], dict) else []
    return found + [value for child in tree.values() for value in values_of(child, name)]


def test_the_config_arrives_at_xgboost(sample):
    chosen = {
        "learning_rate": 0.125,
        "max_depth": 3,
        "min_child_weight": 1.5,
        "lambda": 0.75,
        "subsample": 0.625,
        "colsample_bytree": 0.5,
        "max_bin": 32,
        "seed": 99,
    }
    given = settings(**chosen, params={"gamma": 0.25, "max_delta_step": 2})
    matrix = boosting.build_matrix([sample.dense], 4, 32, 1)
    booster = boosting.fit_trees(matrix, sample.y, sample.weight, None, 2, given)
    told = json.loads(booster.save_config())
    for name, value in (chosen | {"gamma": 0.25, "max_delta_step": 2, "nthread": 1}).items():
        assert [float(found) for found in values_of(told, name)], name
        assert {float(found) for found in values_of(told, name)} == {value}, name
    assert values_of(told, "objective") == ["binary:logistic"]
    assert values_of(told, "device") == ["cpu"]


@pytest.mark.parametrize(
    ("params", "message"),
    [
        (
            {"gama": 0.25, "gamma": 1, "max_detph": 3},
            r"learner\.params: XGBoost does not use 'gama', 'max_detph'",
        ),
        ({"gamma": "much"}, r"learner\.params: .* for min_split_loss .*'much'"),
        ({"max_leaves": -1}, r"learner\.params: .*max_leaves"),
    ],
)
def test_params_that_xgboost_does_not_take_are_refused(sample, params, message):
    matrix = boosting.build_matrix([sample.dense], 4, 32, 1)
    given = replace(settings(), params=params)
    with pytest.raises(InputError, match=message):
        boosting.fit_trees(matrix, sample.y, sample.weight, None, 2, given)
    with pytest.raises(InputError, match=message):  # before there are any rows
        boosting.check_parameters(replace(given, device="cuda"))


def test_params_that_xgboost_takes_pass_without_rows():
    taken = {"gamma": 0.25, "max_delta_step": 2, "grow_policy": "lossguide", "max_leaves": 8}
    boosting.check_parameters(replace(settings(), params=taken))
    boosting.check_parameters(settings())


def test_params_never_win_over_the_keys_of_our_own():
    ours = {"max_depth": 9, "nthread": 9, "gamma": 1, "verbosity": 0}
    given = replace(settings(), params=ours)
    found = boosting.parameters(given)
    assert (found["max_depth"], found["nthread"]) == (given.max_depth, given.threads)
    assert (found["gamma"], found["verbosity"]) == (1, 0)


@pytest.mark.parametrize("part", ["train", "stop"])
def test_a_part_without_weight_is_said(part):
    sample = Sample()
    sample.weight[getattr(sample, part)] = 0
    rows = int(getattr(sample, part).sum())
    message = (
        f"the {rows} rows that {part} boosting all have weight 0; .*dataset.weight.*use_weights"
    )
    with pytest.raises(InputError, match=message):
        sample.fit(sample.dense, None, settings())


def test_same_seed_gives_the_same_bytes_and_another_does_not(sample):
    first, again, other = (
        boosting.to_bytes(sample.fit(sample.sparse, None, settings(seed=seed)).booster)
        for seed in (7, 7, 8)
    )
    assert first == again
    assert first != other


def test_one_and_two_threads_give_the_same_margins(sample):
    one, two = (sample.fit(sample.sparse, None, settings(threads=n)) for n in (1, 2))
    assert one.n_trees == two.n_trees
    found = [margins_of(fit.booster, sample.sparse) for fit in (one, two)]
    np.testing.assert_allclose(*found, atol=1e-6)


def test_bytes_hold_the_whole_booster(sample):
    booster = sample.fit(sample.sparse, None, settings()).booster
    data = boosting.to_bytes(booster)
    back = boosting.from_bytes(data)
    assert boosting.to_bytes(back) == data
    np.testing.assert_array_equal(
        margins_of(back, sample.sparse), margins_of(booster, sample.sparse)
    )


# ---- categories

KINDS = {"t": "category", "x": "dense", "n": "count"}
CATEGORIES = Features.order(KINDS, {"t": tuple("abcdefgh")})


def categorical_rows(n=600, seed=2):
    """Rows of a category, a number and a count; the category tells most of the label."""
    rng = np.random.default_rng(seed)
    text, x, count = rng.choice(list("abcdefgh"), n), rng.normal(size=n), rng.integers(0, 3, n)
    y = (np.isin(text, list("aceg")) ^ (rng.random(n) < 0.1)) & (x > -1)
    return pl.DataFrame({"t": text, "x": x, "n": count}), y


def test_trees_split_by_sets_of_categories_however_the_rows_are_held(tmp_path):
    frame, y = categorical_rows()
    learner, weight, documents = settings(max_depth=3, **PLAIN), np.ones(len(y)), []
    for zeros in (True, False):
        for pages in (None, tmp_path / "pages"):
            blocks = [CATEGORIES.select(part, zeros) for part in frame.iter_slices(200)]
            size = (3, learner.max_bin, 1)
            matrix = boosting.build_matrix(blocks, *size, pages=pages, types=CATEGORIES.types)
            booster = boosting.fit_trees(matrix, y, weight, None, 5, learner)
            documents.append(json.loads(booster.save_raw("json"))["learner"]["gradient_booster"])
    first = documents[0]["model"]["trees"][0]
    root = first["categories"][: first["categories_sizes"][0]]
    assert {CATEGORIES.categories["t"][code] for code in root} in (set("aceg"), set("bdfh"))
    assert documents[0] == documents[1]
    assert documents[2] == documents[3]


def test_trees_of_categories_keep_their_meaning_among_all_features():
    frame, y = categorical_rows()
    wide = Features.order({"a": "dense"} | KINDS, CATEGORIES.categories)
    columns = np.array([1, 2])  # t and x
    some = wide.some(columns)
    learner = settings(max_depth=3, **PLAIN)
    matrix = boosting.build_matrix([some.select(frame)], 2, learner.max_bin, 1, types=some.types)
    booster = boosting.fit_trees(matrix, y, np.ones(len(y)), None, 5, learner)
    spread = boosting.for_all_features(booster, columns, wide, 1)
    told = frame.with_columns(a=pl.lit(0.5))
    expected = boosting.predict_margin(booster, boosting.to_matrix(some.select(frame), 1), None)
    block = wide.some(np.arange(3)).select(told)
    found = boosting.predict_margin(
        spread, boosting.to_matrix(wide.spread(block, np.arange(3)), 1), None
    )
    np.testing.assert_array_equal(found, expected)
    values = boosting.contributions(spread, boosting.to_matrix(wide.select(told), 1), None)
    np.testing.assert_allclose(values.sum(axis=1), expected, atol=1e-5)
    assert np.abs(values[:, 1]).mean() > 10 * np.abs(values[:, 0]).max()


def test_an_unknown_category_counts_as_missing():
    frame, y = categorical_rows()
    frame = frame.with_columns(t=pl.when(pl.int_range(pl.len()) % 5 > 0).then("t"))
    learner = settings(max_depth=3, **PLAIN)
    some = CATEGORIES.some(np.array([0, 1]))
    matrix = boosting.build_matrix([some.select(frame)], 2, learner.max_bin, 1, types=some.types)
    booster = boosting.fit_trees(matrix, y, np.ones(len(y)), None, 5, learner)

    def margins(text):
        told = frame.with_columns(t=pl.lit(text, pl.String))
        return boosting.predict_margin(booster, boosting.to_matrix(some.select(told), 1), None)

    np.testing.assert_array_equal(margins("zebra"), margins(None))
    assert (margins("zebra") != margins("a")).any()
