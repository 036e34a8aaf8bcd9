"""Tests of features.base_scores: formulas checked by hand, finite values, blind to labels."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from genebatch.features.base_scores import COLUMNS, MAKERS, score_features

DONOR = (0.01, 0.03, 0.6, 0.1, 0.02)
ACCEPTOR = (0.0, 0.04, 0.2, 0.0, 0.0)
MIRRORED = {"m2": "p2", "m1": "p1", "p1": "m1", "p2": "m2"}


def features(donor=DONOR, acceptor=ACCEPTOR, families=tuple(MAKERS)):
    """Every feature of one position, as a dictionary of numbers."""
    near = np.array([donor, acceptor], dtype=float)[:, :, None]
    return {name: value.item() for name, value in score_features(near, families).items()}


def close(expected):
    return pytest.approx(expected, rel=1e-4)


def test_neither_is_what_the_sites_leave_and_never_below_zero():
    assert features()["neither_score"] == close(0.2)
    assert features(donor=(0, 0, 1, 0, 0), acceptor=(0, 0, 1e-5, 0, 0))["neither_score"] == 0


def test_probabilities_of_the_position_are_contrasted():
    made = features()
    assert made["splice_probability"] == close(0.8)
    assert made["relative_donor_probability"] == close(0.75)
    assert made["donor_acceptor_diff"] == close(0.4)
    assert made["splice_neither_diff"] == close(0.6)
    assert made["score_difference_ratio"] == close(0.5)
    assert made["donor_logit"] == close(np.log(1.5))
    assert made["acceptor_logit"] == close(np.log(0.25))
    assert made["donor_acceptor_logodds"] == close(np.log(3))
    assert made["splice_neither_logodds"] == close(np.log(4))
    assert made["probability_entropy"] == close(-0.6 * np.log(0.6) - 0.4 * np.log(0.2))


def test_context_is_the_higher_of_the_two_classes():
    made = features()
    tags = ("m2", "m1", "p1", "p2")
    assert [made[f"context_score_{tag}"] for tag in tags] == close([0.01, 0.04, 0.1, 0.02])
    assert [made[f"acceptor_score_{tag}"] for tag in tags] == close([0.0, 0.04, 0.0, 0.0])
    assert made["context_neighbor_mean"] == close(0.0425)
    assert made["context_max"] == close(0.6)
    assert made["context_asymmetry"] == close((0.12 - 0.05) / 0.17)


def test_shape_of_a_peak():
    made = features()
    assert made["donor_is_local_peak"] == 1
    assert made["donor_signal_strength"] == close(0.56)
    assert made["donor_peak_height_ratio"] == close(15)
    assert made["donor_surge_ratio"] == close(6)
    assert made["donor_second_derivative"] == close(0.13 - 1.2)
    assert made["donor_context_diff_ratio"] == close(0.07 / 0.13)
    assert made["donor_weighted_context"] == close(0.24 + 0.026 + 0.003)
    assert made["donor_context_max"] == close(0.6)
    differences = [made[f"donor_diff_{tag}"] for tag in ("m2", "m1", "p1", "p2")]
    assert differences == close([0.59, 0.57, 0.5, 0.58])


@pytest.mark.parametrize(
    ("scores", "peak"),
    [
        ((0.0, 0.0, 2e-6, 0.0, 0.0), 1),
        ((0.0, 0.0, 1e-6, 0.0, 0.0), 0),
        ((0.5, 0.1, 0.5, 0.1, 0.1), 0),
        ((0.1, 0.1, 0.5, 0.1, 0.6), 0),
    ],
)
def test_local_peak_beats_all_four_neighbours_and_a_millionth(scores, peak):
    assert features(donor=scores)["donor_is_local_peak"] == peak


def test_donor_is_compared_with_the_acceptor():
    made = features()
    assert made["donor_acceptor_peak_ratio"] == close(15 / 20)
    assert made["signal_strength_ratio"] == close(0.56 / 0.19)
    assert made["type_signal_difference"] == close(0.269 - 0.088)
    weaker = features(acceptor=(0.0, 0.2, 0.0, 0.2, 0.0))
    assert weaker["signal_strength_ratio"] == close(0.56 / 0.1)


def test_columns_are_distinct_and_come_family_by_family():
    names = [name for family in COLUMNS.values() for name in family]
    assert len(names) == len(set(names)) == 55
    assert list(features()) == names
    assert list(features(families=("peak", "scores"))) == [*COLUMNS["scores"], *COLUMNS["peak"]]


probability = st.sampled_from([0.0, 1e-9, 1e-5, 0.5, 1.0]) | st.floats(0, 1)
five = st.lists(probability, min_size=5, max_size=5)


@given(five, five)
def test_every_feature_of_any_scores_is_finite(donor, acceptor):
    assert all(np.isfinite(value) for value in features(donor, acceptor).values())


@given(five, five)
def test_reading_backwards_swaps_upstream_and_downstream(donor, acceptor):
    forward, backward = features(donor, acceptor), features(donor[::-1], acceptor[::-1])
    for name, value in forward.items():
        stem, _, tag = name.rpartition("_")
        mirrored = backward[f"{stem}_{MIRRORED[tag]}" if tag in MIRRORED else name]
        turns = name.endswith(("context_asymmetry", "context_diff_ratio"))
        assert mirrored == pytest.approx(-value if turns else value, rel=1e-6, abs=1e-9)


@given(five, five)
def test_donor_and_acceptor_are_treated_alike(donor, acceptor):
    one, other = features(donor, acceptor), features(acceptor, donor)
    for name in (*COLUMNS["peak"], *COLUMNS["context"], "donor_logit", "donor_score"):
        if name.startswith("donor"):
            assert one[name] == other[name.replace("donor", "acceptor", 1)]
    assert one["probability_entropy"] == pytest.approx(other["probability_entropy"], abs=1e-9)
