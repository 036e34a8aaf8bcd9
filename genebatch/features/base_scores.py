"""Computes features of a position from its base scores and those of two positions on each side.

The formulas are those of the public tables of splice-site meta-models. Names and terms follow
meta-spliceai's feature set, with the epsilons below, so that tables made elsewhere and here agree
to float32 rounding. Labels and annotation are not arguments.
"""

from collections.abc import Callable, Collection

import numpy as np

MARGIN = 2  # positions on each side that the formulas look at
EPS = 1e-6  # keeps quotients and log-odds finite; a local peak has a higher score
ENTROPY_EPS = 1e-9  # least probability inside the entropy
NEIGHBOURS = {"m2": 0, "m1": 1, "p1": 3, "p2": 4}  # m: upstream, p: downstream, nt away
CHANNELS = ("donor", "acceptor")


def score_features(near: np.ndarray, families: Collection[str]) -> dict[str, np.ndarray]:
    """Columns of some families of score features.

    Parameters
    ----------
    near : (2, 5, n) float64
        Donor and acceptor scores, each in [0, 1]: 2 and 1 nt upstream, of the position itself, 1
        and 2 nt downstream.
    families : collection of str
        Keys of `MAKERS`.

    Returns
    -------
    dict of (n,) float32
        Named and ordered as `COLUMNS` of each family, families in the order of `MAKERS`. Finite
        if the scores are. Computing holds the columns of one family as float64.
    """
    columns = {}
    for family, make in MAKERS.items():
        if family in families:
            made = make(*near)
            columns |= {name: value.astype(np.float32) for name, value in made.items()}
    return columns


def _scores(donor: np.ndarray, acceptor: np.ndarray) -> dict[str, np.ndarray]:
    """Base scores, where neither = 1 - donor - acceptor, at least 0."""
    d, a = donor[MARGIN], acceptor[MARGIN]
    return {"donor_score": d, "acceptor_score": a, "neither_score": _neither(d, a)}


def _probability(donor: np.ndarray, acceptor: np.ndarray) -> dict[str, np.ndarray]:
    """Contrasts of the three probabilities d, a, n of the position.

    Quotients have `EPS` added to the denominator, log-odds have it added on both sides. Logits
    clip the score to [EPS, 1 - EPS]. The entropy is in nats, over probabilities of at least
    `ENTROPY_EPS`.
    """
    d, a = donor[MARGIN], acceptor[MARGIN]
    splice, n = d + a, _neither(d, a)
    bounded = [np.clip(p, ENTROPY_EPS, 1) for p in (d, a, n)]
    return {
        "splice_probability": splice,
        "relative_donor_probability": d / (splice + EPS),
        "donor_acceptor_diff": d - a,
        "splice_neither_diff": splice - n,
        "score_difference_ratio": (d - a) / (splice + EPS),
        "donor_logit": log_odds(d),
        "acceptor_logit": log_odds(a),
        "donor_acceptor_logodds": np.log((d + EPS) / (a + EPS)),
        "splice_neither_logodds": np.log((splice + EPS) / (n + EPS)),
        "probability_entropy": -sum(p * np.log(p) for p in bounded),
    }


def _context(donor: np.ndarray, acceptor: np.ndarray) -> dict[str, np.ndarray]:
    """Scores of the four neighbours, per class and as the higher of the two classes.

    `context_max` is the highest of all five positions. Asymmetry = (downstream pair - upstream
    pair) / (sum of both pairs + `EPS`).
    """
    either = np.maximum(donor, acceptor)
    columns = {}
    for name, scores in (("donor", donor), ("acceptor", acceptor), ("context", either)):
        columns |= {f"{name}_score_{tag}": scores[row] for tag, row in NEIGHBOURS.items()}
    return columns | {
        "context_neighbor_mean": _neighbour_mean(either),
        "context_max": either.max(axis=0),
        "context_asymmetry": _contrast(either[3] + either[4], either[0] + either[1]),
    }


def _peak(donor: np.ndarray, acceptor: np.ndarray) -> dict[str, np.ndarray]:
    """Shape of each class's scores around the position."""
    shapes = zip(CHANNELS, (donor, acceptor), strict=True)
    return {f"{name}_{key}": value for name, s in shapes for key, value in _shape(s).items()}


def _shape(scores: np.ndarray) -> dict[str, np.ndarray]:
    """Shape of one class's scores (5, n) around the middle one.

    - A local peak is higher than all four neighbours and than `EPS`.
    - Surge = score / (highest neighbour + `EPS`).
    - Peak height = score / (mean of the neighbours + `EPS`).
    - The second derivative is the curvature, below 0 at a peak.
    - The context difference is the contrast of the two adjacent neighbours.
    """
    m2, m1, own, p1, p2 = scores
    highest = np.maximum(np.maximum(m2, m1), np.maximum(p1, p2))
    shape = {
        "is_local_peak": (own > highest) & (own > EPS),
        "signal_strength": _strength(scores),
        "peak_height_ratio": _height(scores),
        "surge_ratio": own / (highest + EPS),
        "second_derivative": m1 + p1 - 2 * own,
        "context_diff_ratio": _contrast(p1, m1),
        "weighted_context": _weighted(scores),
        "context_max": np.maximum(highest, own),
    }
    return shape | {f"diff_{tag}": own - scores[row] for tag, row in NEIGHBOURS.items()}


def _cross(donor: np.ndarray, acceptor: np.ndarray) -> dict[str, np.ndarray]:
    """The donor's shape against the acceptor's, with `EPS` in the denominators."""
    return {
        "donor_acceptor_peak_ratio": _height(donor) / (_height(acceptor) + EPS),
        "signal_strength_ratio": _strength(donor) / (np.abs(_strength(acceptor)) + EPS),
        "type_signal_difference": _weighted(donor) - _weighted(acceptor),
    }


def _neither(donor: np.ndarray, acceptor: np.ndarray) -> np.ndarray:
    return np.maximum(1 - donor - acceptor, 0)


def log_odds(score: np.ndarray) -> np.ndarray:
    """Log-odds of scores that are clipped to [`EPS`, 1 - `EPS`]."""
    bounded = np.clip(score, EPS, 1 - EPS)
    return np.log(bounded / (1 - bounded))


def _contrast(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    return (a - b) / (a + b + EPS)


def _neighbour_mean(scores: np.ndarray) -> np.ndarray:
    return (scores[0] + scores[1] + scores[3] + scores[4]) / 4


def _strength(scores: np.ndarray) -> np.ndarray:
    return scores[MARGIN] - _neighbour_mean(scores)


def _height(scores: np.ndarray) -> np.ndarray:
    return scores[MARGIN] / (_neighbour_mean(scores) + EPS)


def _weighted(scores: np.ndarray) -> np.ndarray:
    return 0.4 * scores[2] + 0.2 * (scores[1] + scores[3]) + 0.1 * (scores[0] + scores[4])


MAKERS: dict[str, Callable[[np.ndarray, np.ndarray], dict[str, np.ndarray]]] = {
    "scores": _scores,
    "probability": _probability,
    "context": _context,
    "peak": _peak,
    "cross": _cross,
}
COLUMNS = {family: tuple(make(*np.zeros((2, 5, 0)))) for family, make in MAKERS.items()}
