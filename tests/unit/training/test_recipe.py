"""What training.recipe promises: boosters of all rows, and calibrators that earn their place."""

import numpy as np
import polars as pl
import pytest
from scipy.special import expit, logit
from sklearn.metrics import log_loss

from genebatch.dataset.feature_set import Features
from genebatch.dataset.row_file import RowFile
from genebatch.io.files import read_json
from genebatch.model import boosting
from genebatch.model.archive import load_model
from genebatch.model.calibration import Calibrator
from genebatch.training import recipe
from genebatch.training.batch import load_batch
from genebatch.training.matrices import held_block
from tests.builders.toy_run import shuffled_labels

CLASSES = ["neither", "donor", "acceptor"]
MARGINS = [f"margin_{name}" for name in CLASSES]


@pytest.fixture(scope="module")
def batch(toy):
    """The rows of the first batch, loaded."""
    return load_batch(RowFile.open(toy.paths("b000")["rows"]), toy.settings.learner)


# Boosters on all rows


def test_labels_have_no_part_in_the_features(toy, toy_rows):
    features = Features.from_json(read_json(toy.paths()["features"]))
    groups = toy_rows["gene_id"].unique().to_list()
    before, after = (
        features.select(rows) for rows in (toy_rows, shuffled_labels(toy_rows, groups))
    )
    for part in ("data", "indices", "indptr"):
        assert getattr(before, part).tobytes() == getattr(after, part).tobytes()


def test_all_rows_train_with_their_weight_from_the_base_score(toy, batch):
    member = load_model(toy.paths("b000")["uncalibrated"]).members[0]
    learner, n_features = toy.settings.learner, len(batch.features.names)
    every = np.ones(len(batch.codes), bool)
    for column, name in enumerate(CLASSES):
        block = held_block(batch, every, None, zeros=batch.features.stores_zeros)
        booster = boosting.fit_trees(
            boosting.build_matrix([block], n_features, learner.max_bin, 1),
            batch.codes == column,
            np.where(batch.codes == 0, 3.0, 1.0),
            logit(batch.rows[f"score_{name}"].to_numpy()).astype(np.float32),
            member.facts["n_trees"][name],
            learner,
        )
        assert booster.num_boosted_rounds() > 0
        expected, trees = (b.trees_to_dataframe() for b in (booster, member.boosters[column]))
        assert expected["Split"].equals(trees["Split"])
        np.testing.assert_allclose(expected["Gain"], trees["Gain"], rtol=1e-3, atol=1e-4)


# Calibrators


@pytest.fixture(scope="module")
def calibrated(toy):
    """Calibrate a model on made out-of-fold margins; gives the JSON and the finished model."""
    uncalibrated = load_model(toy.paths("b000")["uncalibrated"])

    def calibrate(margins, codes, method="auto", weight=None, folds=None):
        rows = {
            "group": [f"g{number:05d}" for number in range(len(codes))],
            "label": [CLASSES[code] for code in codes],
            "fold": np.arange(len(codes)) % 3 if folds is None else folds,
            **dict(zip(MARGINS, np.asarray(margins, np.float32).T, strict=True)),
        }
        if weight is not None:
            rows["weight"] = weight
        result = recipe.calibrate(uncalibrated, pl.DataFrame(rows), method, True, {"cv": "1"})
        return result.described, result.model

    return calibrate


def exact_rows():
    """Margins that are exactly right in every fold: at probability i/5, i of every 5 rows."""
    share = np.repeat([1, 2, 3, 4], 15)
    within = np.tile(np.repeat(np.arange(5), 3), 4)  # the same for the three folds
    donor = within < share
    margins = np.column_stack([-logit(share / 5), logit(share / 5), np.full(60, -9.0)])
    return margins, np.where(donor, 1, 0)


def test_identity_stays_where_nothing_improves(calibrated):
    # Each fold errs its own way about margins that are right over all, so fits on two mislead.
    margin = np.tile(logit([0.25, 0.75]), 12)
    donor = np.array([0, 1] * 4 + [1, 0, 1, 0, 0, 1, 0, 1] + [1, 0, 0, 1, 0, 1, 0, 1])
    margins = np.column_stack([-margin, margin, np.full(24, -9.0)])
    described, model = calibrated(margins, donor, "sigmoid", folds=np.repeat([0, 1, 2], 8))
    chosen = described["classes"]["donor"]
    losses = {line["method"]: line["log_loss"] for line in chosen["methods"]}
    assert losses["sigmoid"] > losses["identity"]
    assert chosen["method"] == "identity"
    assert model.members[0].calibrators[1] == Calibrator("identity", {})


def test_reliability_is_described_before_and_after(calibrated):
    described, _ = calibrated(*exact_rows(), method="identity")
    donor = described["classes"]["donor"]
    assert donor["method"] == "identity"
    assert donor["before"] == donor["after"]
    # Fifteen bins of equal width; 15 rows at each of 0.2, 0.4, 0.6, 0.8,
    # of which the third class takes one ten-thousandth.
    assert [line["n"] for line in donor["before"]["reliability"]] == [15, 15, 15, 15]
    points = [
        (line["mean_probability"], line["observed"]) for line in donor["before"]["reliability"]
    ]
    np.testing.assert_allclose(points, np.repeat([[0.2], [0.4], [0.6], [0.8]], 2, 1), atol=2e-4)


def test_overconfident_margins_get_a_calibrator_that_the_model_keeps(calibrated):
    rng = np.random.default_rng(0)
    truth = rng.normal(0, 1.5, 3000)
    donor = rng.random(3000) < expit(truth)
    margins = np.column_stack([-4 * truth, 4 * truth, np.full(3000, -9.0)])
    described, model = calibrated(margins, donor.astype(int), weight=np.ones(3000))
    chosen = described["classes"]["donor"]
    losses = {line["method"]: line["log_loss"] for line in chosen["methods"]}
    assert losses[chosen["method"]] == min(losses.values()) < losses["identity"] - 0.1
    assert [line["method"] for line in chosen["methods"] if line["chosen"]] == [chosen["method"]]
    kept = model.members[0].calibrators[1]
    assert kept == Calibrator(chosen["method"], chosen["parameters"])
    assert kept.apply([4.0])[0] == pytest.approx(expit(1.0), abs=0.05)

    def gap(lines):
        miss = [abs(x["mean_probability"] - x["observed"]) * x["weight"] for x in lines]
        return sum(miss) / 3000

    assert gap(chosen["after"]["reliability"]) < 0.03
    assert gap(chosen["before"]["reliability"]) > 0.1


def test_losses_before_and_after_are_of_probabilities_that_the_model_gives(calibrated):
    rng = np.random.default_rng(1)
    truth = rng.normal(0, 1.5, 900)
    donor = rng.random(900) < expit(truth)
    margins = np.column_stack([-truth, 4 * truth, rng.normal(-2, 1, 900)]).astype(np.float32)
    described, _ = calibrated(margins, donor.astype(int), method="identity")
    raw = expit(margins.astype(float))
    given = raw / raw.sum(axis=1, keepdims=True)
    for column, name in enumerate(CLASSES[:2]):
        y = donor == (column == 1)
        for side in ("before", "after"):
            losses = described["classes"][name][side]
            assert losses["log_loss"] == pytest.approx(log_loss(y, given[:, column]))
            mass = sum(line["weight"] * line["mean_probability"] for line in losses["reliability"])
            assert mass == pytest.approx(given[:, column].sum())
        assert log_loss(y, raw[:, column]) != pytest.approx(losses["log_loss"], rel=0.01)
