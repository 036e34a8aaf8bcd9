"""How the log-odds of the members become one probability, and how that is learned.

Everything here is learned from honest rows alone: scores of members that never saw the row's group.
"""

import logging
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from scipy.cluster.hierarchy import fcluster, linkage
from scipy.optimize import minimize
from scipy.spatial.distance import squareform
from scipy.special import expit

from genebatch.dataset.rows import normalised
from genebatch.io.files import InputError
from genebatch.metrics.binary import CLIP, log_loss_rows, own_log_loss

log = logging.getLogger(__name__)

Parameters = dict[str, Any]

# Strengths of the stacked combiner's penalty, in units of the loss of equal weights: a weight that
# moves by its own size on every member costs so much of that loss.
PENALTIES = (0.001, 0.01, 0.1, 1.0)
# Greedy selection may add this many members, repeats counted; it ends earlier where none helps.
MOST_ADDED = 50
# Reach of a route in units of the median distance of a row to a member.
REACHES = (0.25, 0.5, 1.0, 2.0)
# Rows by which members are told to be alike: correlations change in the third digit beyond.
CORRELATED_ROWS = 50_000


class Honest(NamedTuple):
    """Rows with the scores of members that never saw their group.

    Attributes
    ----------
    log_odds
        (rows, members, classes) float32, calibrated.
    codes
        (rows,) class of each row.
    weight
        (rows,) row weights.
    folds
        (rows,) fold of each row; rows of one group share it.
    reference
        (rows, classes) log-odds that a member must better to be of use: those of the base scores,
        or None for the share of each class.
    distance
        (rows, members) distance of a row to each member's groups, or None where rows are not
        routed.
    rest
        The class of what is none of the others, see `rows.normalised`.
    """

    log_odds: np.ndarray
    codes: np.ndarray
    weight: np.ndarray
    folds: np.ndarray
    reference: np.ndarray | None
    distance: np.ndarray | None
    rest: int | None = None

    def take(self, rows: np.ndarray) -> "Honest":
        """The rows of a mask or of an index."""
        *parts, rest = self
        return Honest(*(None if part is None else part[rows] for part in parts), rest)

    def of_members(self, members: list[int]) -> "Honest":
        """The scores of some members."""
        distance = None if self.distance is None else self.distance[:, members]
        return self._replace(log_odds=self.log_odds[:, members], distance=distance)


class Combiner(NamedTuple):
    """One way to combine: `fit(honest, options)` learns what `apply` needs.

    `apply(parameters, log_odds, distance, rest)` gives probabilities, (rows, classes), that sum to
    1; `log_odds` is (rows, members, classes), `distance` (rows, members) or None, and `rest` as in
    `rows.normalised`.
    """

    fit: Callable[[Honest, Mapping[str, Any]], Parameters]
    apply: Callable[[Parameters, np.ndarray, np.ndarray | None, int | None], np.ndarray]


def to_probabilities(log_odds: np.ndarray, rest: int | None = None) -> np.ndarray:
    """Log-odds of each class against all others as probabilities that sum to 1."""
    return normalised(expit(log_odds.astype(np.float64)), rest)


def mean_log_loss(probability: np.ndarray, codes: np.ndarray, weight: np.ndarray) -> float:
    """Weighted mean log loss in nats of (rows, classes) probabilities that sum to 1."""
    return float(np.average(log_losses(probability, codes), weights=weight))


def log_losses(probability: np.ndarray, codes: np.ndarray) -> np.ndarray:
    """Log loss in nats of each row, (rows,), of (rows, classes) probabilities that sum to 1."""
    own = probability[np.arange(len(codes)), codes].astype(np.float64)
    return own_log_loss(own)


def combine(
    name: str,
    parameters: Parameters,
    log_odds: np.ndarray,
    distance: np.ndarray | None = None,
    rest: int | None = None,
) -> np.ndarray:
    """Apply a combiner; see `Combiner`."""
    return COMBINERS[name].apply(parameters, log_odds, distance, rest)


def member_weights(name: str, parameters: Parameters, n_members: int) -> np.ndarray | None:
    """Weight of each member over all classes, (members,); None where it depends on the row."""
    if name == "routed" and parameters["reach"] is not None:
        return None
    if "weights" in parameters:
        return np.asarray(parameters["weights"], float).sum(axis=0)
    return np.full(n_members, 1 / n_members)


def without_members(name: str, parameters: Parameters, kept: Sequence[int]) -> Parameters:
    """Parameters for the kept members alone, where the others have no weight."""
    if "weights" not in parameters:
        return parameters
    slim = [[row[member] for member in kept] for row in parameters["weights"]]
    rest = {key: value for key, value in parameters.items() if key not in ("weights", "tiers")}
    return {"weights": slim} | rest


def check(name: Any, parameters: Any, n_members: int, n_classes: int) -> None:
    """Raise unless a combiner is known and has the numbers that it needs."""
    if not isinstance(name, str) or name not in COMBINERS:
        raise InputError(f"unknown combiner {name!r}; known: {', '.join(COMBINERS)}")
    shapes = {"weights": (n_classes, n_members), "intercept": (n_classes,)}
    wanted = [] if name in ("voting", "log_odds") else list(shapes)
    if name == "routed":
        width = len(parameters["columns"])
        shapes = {"centroids": (n_members, width), "mean": (width,), "scale": (width,)}
        wanted = list(shapes)
        reach = parameters["reach"]
        if not (reach is None or (isinstance(reach, float) and reach > 0)):
            raise InputError(f"combiner routed has reach {reach!r}, wanted a number above 0")
    for key in wanted:
        values = np.asarray(parameters[key], float)
        if values.shape != shapes[key] or not np.isfinite(values).all():
            raise InputError(
                f"combiner {name}: {key} has shape {values.shape}, wanted {shapes[key]}, all finite"
            )


def voting(log_odds: np.ndarray, rest: int | None = None) -> np.ndarray:
    """Plain mean of the members' probabilities."""
    total = np.zeros((len(log_odds), log_odds.shape[2]))
    for member in range(log_odds.shape[1]):
        total += to_probabilities(log_odds[:, member], rest)
    return total / log_odds.shape[1]


def mean(log_odds: np.ndarray, rest: int | None = None) -> np.ndarray:
    """Mean of the members' log-odds, as probabilities."""
    return to_probabilities(log_odds.mean(axis=1, dtype=np.float64), rest)


def linear(parameters: Parameters, log_odds: np.ndarray, rest: int | None = None) -> np.ndarray:
    """Weighted sum of the members' log-odds, by class, plus an intercept."""
    weights = np.asarray(parameters["weights"], float)
    total = np.einsum("nmc,cm->nc", log_odds, weights.astype(np.float32), dtype=np.float64)
    return to_probabilities(total + np.asarray(parameters["intercept"], float), rest)


def routed(
    parameters: Parameters,
    log_odds: np.ndarray,
    distance: np.ndarray | None,
    rest: int | None = None,
) -> np.ndarray:
    """Mean of the log-odds, members with near groups counting more.

    A member at distance d of a row has weight exp(-(d / reach)^2 / 2); without a reach all are
    equal.
    """
    if parameters["reach"] is None:
        return mean(log_odds, rest)
    if distance is None:
        raise ValueError("a routed model needs the distance of every row to its members")
    exponent = -((distance / parameters["reach"]) ** 2) / 2
    share = np.exp(exponent - exponent.max(axis=1, keepdims=True))
    share /= share.sum(axis=1, keepdims=True)
    return to_probabilities(np.einsum("nmc,nm->nc", log_odds, share, dtype=np.float64), rest)


def fit_weighted(honest: Honest, options: Mapping[str, Any]) -> Parameters:
    """Weights by what a member gains in held-out log loss over knowing nothing.

    Knowing nothing is the base scores where boosters start from them, else the share of the class.
    A member that gains nothing has no weight; where none gains, all are equal and `equal` names
    the class.
    """
    n_members, n_classes = honest.log_odds.shape[1:]
    weights, equal = [], []
    for column in range(n_classes):
        y = honest.codes == column
        nothing = _loss(y, _reference(honest, column), honest.weight)
        gains = [
            nothing - _loss(y, honest.log_odds[:, member, column], honest.weight)
            for member in range(n_members)
        ]
        useful = np.maximum(gains, 0)
        if not useful.any():
            equal.append(column)
            useful = np.ones(n_members)
        weights.append((useful / useful.sum()).tolist())
    parameters = {"weights": weights, "intercept": [0.0] * n_classes}
    return parameters | {"equal": equal} if equal else parameters


def fit_selected(honest: Honest, options: Mapping[str, Any]) -> Parameters:
    """Greedy forward selection with replacement (Caruana et al. 2004) on the mean log-odds.

    Adds the member that lowers the held-out log loss most, until none does. With `top_k` the k
    members of lowest loss, each once.
    """
    n_members, n_classes = honest.log_odds.shape[1:]
    if options.get("top_k") is not None:
        alone = [_multiclass(honest, honest.log_odds[:, m]) for m in range(n_members)]
        counts = np.zeros(n_members)
        counts[np.argsort(alone, kind="stable")[: options["top_k"]]] = 1
    else:
        counts = _greedy(honest)
    shares = (counts / counts.sum()).tolist()
    return {"weights": [shares] * n_classes, "intercept": [0.0] * n_classes}


def fit_stacked(honest: Honest, options: Mapping[str, Any]) -> Parameters:
    """Logistic regression on the members' log-odds, class by class, no weight below 0.

    The penalty draws every weight to the equal share 1 / members; its strength is that of lowest
    log loss on folds that the weights were not fitted on.
    """
    return _stacked(honest, honest.log_odds)


def fit_hierarchical(honest: Honest, options: Mapping[str, Any]) -> Parameters:
    """Mean log-odds inside tiers of alike members, then `stacked` over the tiers.

    The square root of the number of members says how many tiers, so a few hundred members leave
    some fifteen weights to learn. Members are alike where what they add to the mean of all
    correlates (average linkage).
    """
    tiers = _tiers(honest.log_odds)
    means = np.stack([honest.log_odds[:, tier].mean(axis=1) for tier in tiers], axis=1)
    over = _stacked(honest, means)
    weights = np.zeros((honest.log_odds.shape[2], honest.log_odds.shape[1]))
    for number, tier in enumerate(tiers):
        weights[:, tier] = np.asarray(over["weights"])[:, [number]] / len(tier)
    return over | {"weights": weights.tolist(), "tiers": tiers}


def fit_routed(honest: Honest, options: Mapping[str, Any]) -> Parameters:
    """The reach of lowest held-out log loss; equal weights, which is no reach, are among them."""
    if honest.distance is None:
        raise InputError("ensemble.combiner: routed needs batching.strategy: similarity")
    median = float(np.median(honest.distance))
    reaches = [None, *(factor * median for factor in REACHES if median > 0)]
    losses = [
        mean_log_loss(
            routed({"reach": reach}, honest.log_odds, honest.distance, honest.rest),
            honest.codes,
            honest.weight,
        )
        for reach in reaches
    ]
    return {"reach": reaches[int(np.argmin(losses))]}


COMBINERS: dict[str, Combiner] = {
    "voting": Combiner(lambda honest, options: {}, lambda p, z, d, rest: voting(z, rest)),
    "log_odds": Combiner(lambda honest, options: {}, lambda p, z, d, rest: mean(z, rest)),
    "weighted": Combiner(fit_weighted, lambda p, z, d, rest: linear(p, z, rest)),
    "selected": Combiner(fit_selected, lambda p, z, d, rest: linear(p, z, rest)),
    "stacked": Combiner(fit_stacked, lambda p, z, d, rest: linear(p, z, rest)),
    "routed": Combiner(fit_routed, routed),
    "hierarchical": Combiner(fit_hierarchical, lambda p, z, d, rest: linear(p, z, rest)),
}


def _loss(y: np.ndarray, margin: np.ndarray, weight: np.ndarray) -> float:
    return float(np.average(log_loss_rows(y, margin), weights=weight))


def _multiclass(honest: Honest, log_odds: np.ndarray) -> float:
    probability = to_probabilities(log_odds, honest.rest)
    return mean_log_loss(probability, honest.codes, honest.weight)


def _reference(honest: Honest, column: int) -> np.ndarray:
    """Log-odds of the class by what is known without any member, (rows,)."""
    if honest.reference is not None:
        return honest.reference[:, column]
    share = np.average(honest.codes == column, weights=honest.weight)
    share = float(np.clip(share, CLIP, 1 - CLIP))
    return np.full(len(honest.codes), math.log(share / (1 - share)))


def _greedy(honest: Honest) -> np.ndarray:
    """How often each member is taken, (members,)."""
    n_members = honest.log_odds.shape[1]
    counts = np.zeros(n_members)
    total = np.zeros((len(honest.codes), honest.log_odds.shape[2]))
    best = math.inf
    for taken in range(MOST_ADDED):
        losses = [
            _multiclass(honest, (total + honest.log_odds[:, member]) / (taken + 1))
            for member in range(n_members)
        ]
        member = int(np.argmin(losses))
        if losses[member] >= best:
            break
        best = losses[member]
        counts[member] += 1
        total += honest.log_odds[:, member]
    return counts


def _stacked(honest: Honest, log_odds: np.ndarray) -> Parameters:
    """Weights and intercepts of (rows, inputs, classes) log-odds."""
    weights, intercepts, penalties = [], [], []
    for column in range(log_odds.shape[2]):
        inputs, y = log_odds[:, :, column], honest.codes == column
        penalty = _best_penalty(inputs, y, honest.weight, honest.folds)
        fitted = _logistic(inputs, y, honest.weight, penalty)
        weights.append(fitted[1:].tolist())
        intercepts.append(float(fitted[0]))
        penalties.append(penalty)
    return {"weights": weights, "intercept": intercepts, "penalty": penalties}


def _best_penalty(
    inputs: np.ndarray, y: np.ndarray, weight: np.ndarray, folds: np.ndarray
) -> float:
    """The strength of lowest log loss on folds that were left out; the strongest on a draw."""
    numbers = np.unique(folds)
    if len(numbers) < 2:
        return max(PENALTIES)
    totals = dict.fromkeys(sorted(PENALTIES, reverse=True), 0.0)
    for number in numbers:
        held = folds == number
        for penalty in totals:
            fitted = _logistic(inputs[~held], y[~held], weight[~held], penalty)
            margin = inputs[held] @ fitted[1:] + fitted[0]
            totals[penalty] += float(log_loss_rows(y[held], margin) @ weight[held])
    return min(totals, key=totals.get)


def _logistic(inputs: np.ndarray, y: np.ndarray, weight: np.ndarray, penalty: float) -> np.ndarray:
    """Intercept and non-negative weights, (1 + inputs,), drawn to equal shares."""
    n_inputs = inputs.shape[1]
    equal = np.concatenate([[0.0], np.full(n_inputs, 1 / n_inputs)])
    share = weight / weight.sum()
    start = float(log_loss_rows(y, inputs.mean(axis=1)) @ share)
    strength = penalty * max(start, CLIP) * n_inputs

    def objective(values: np.ndarray) -> tuple[float, np.ndarray]:
        margin = inputs @ values[1:].astype(inputs.dtype) + values[0]
        error = share * (expit(margin.astype(np.float64)) - y)
        off = values - equal
        off[0] = 0
        gradient = np.concatenate([[error.sum()], inputs.T @ error])
        loss = float(log_loss_rows(y, margin) @ share) + strength * float(off @ off)
        # Around 1 for the optimiser's tolerances, whatever the prevalence.
        return loss / strength, (gradient + 2 * strength * off) / strength

    bounds = [(None, None), *[(0, None)] * n_inputs]
    found = minimize(objective, equal, jac=True, method="L-BFGS-B", bounds=bounds)
    return found.x


def _tiers(log_odds: np.ndarray) -> list[list[int]]:
    """Members in tiers of alike ones, in the order of their first member."""
    n_members = log_odds.shape[1]
    wanted = math.ceil(math.sqrt(n_members))
    if wanted == n_members:
        return [[member] for member in range(n_members)]
    step = max(len(log_odds) // CORRELATED_ROWS, 1)
    added = log_odds[::step] - log_odds[::step].mean(axis=1, keepdims=True)
    flat = added.transpose(1, 0, 2).reshape(n_members, -1).astype(np.float64)
    flat -= flat.mean(axis=1, keepdims=True)
    length = np.sqrt((flat**2).sum(axis=1))
    # A member that adds nothing is as unlike any other as uncorrelated ones are.
    unit = np.divide(flat, length[:, None], out=np.zeros_like(flat), where=length[:, None] > 0)
    apart = np.clip(1 - unit @ unit.T, 0, 2)
    np.fill_diagonal(apart, 0)
    labels = fcluster(linkage(squareform(apart, checks=False), "average"), wanted, "maxclust")
    tiers = [np.flatnonzero(labels == label).tolist() for label in np.unique(labels)]
    return sorted(tiers)
