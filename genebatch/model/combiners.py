"""Combines the log-odds of the members into one probability, and learns how to.

Combiners learn from held-out scores alone: the members never saw the group of the row.
"""

import logging
import math
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
from scipy.cluster.hierarchy import fcluster, linkage
from scipy.optimize import lsq_linear
from scipy.spatial.distance import squareform
from scipy.special import expit

from genebatch.config.settings import Combining
from genebatch.dataset.rows import normalised
from genebatch.io.files import InputError
from genebatch.metrics.binary import CLIP, log_loss_rows, own_log_loss

log = logging.getLogger(__name__)

Parameters = dict[str, Any]

# Strengths of the stacked combiner's penalty, in units of the loss of equal weights: moving the
# weight of every member by its own size costs this share of that loss.
PENALTIES = (0.001, 0.01, 0.1, 1.0)
# Greedy selection adds at most this many members, counting repeats. It ends when none helps.
MOST_ADDED = 50
# Newton's method ends where a step would gain less than this share of the objective.
TOLERANCE = 1e-9
MOST_STEPS, MOST_HALVINGS = 50, 30
LEAST_CURVATURE = 1e-8  # of the intercept, which has no penalty: keeps a step finite
BLOCK_ROWS = 8192  # rows at a time: a block of 14 members fits in the cache of a core
# Reaches to try, in units of the median distance of a row to a member.
REACHES = (0.25, 0.5, 1.0, 2.0)
# Combiners that learn an intercept: their probabilities have the shares of the classes among the
# rows that they learned from. Those of the others have the shares of the members' rows.
OWN_SHARES = ("stacked", "hierarchical")
# Rows to correlate members on. More rows change the correlations in the third digit only.
CORRELATED_ROWS = 50_000


class HeldOut(NamedTuple):
    """Held-out scores: rows, scored by members that never saw the group of the row.

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
        (rows, classes) log-odds of the base scores, which a member must improve on. None stands
        for the share of each class.
    distance
        (rows, members) distance of a row to each member's groups, or None where rows are not
        routed.
    rest
        Index of the class of rows that belong to no other class; see `rows.normalised`.
    """

    log_odds: np.ndarray
    codes: np.ndarray
    weight: np.ndarray
    folds: np.ndarray
    reference: np.ndarray | None
    distance: np.ndarray | None
    rest: int | None = None

    def take(self, rows: np.ndarray) -> "HeldOut":
        """Select rows by a mask or an index."""
        *parts, rest = self
        return HeldOut(*(None if part is None else part[rows] for part in parts), rest)

    def of_members(self, members: list[int]) -> "HeldOut":
        """Select the scores of some members."""
        distance = None if self.distance is None else self.distance[:, members]
        return self._replace(log_odds=self.log_odds[:, members], distance=distance)


class Combiner(NamedTuple):
    """One way to combine: `fit` learns the parameters that `apply` needs.

    Attributes
    ----------
    fit
        `fit(rows, ensemble)` learns from held-out scores, with the settings of combiners.
    apply
        `apply(parameters, log_odds, distance, rest)` gives probabilities, (rows, classes), which
        sum to 1. `log_odds` is (rows, members, classes) and `distance` (rows, members) or None;
        see `rows.normalised` for `rest`.
    """

    fit: Callable[[HeldOut, Combining], Parameters]
    apply: Callable[[Parameters, np.ndarray, np.ndarray | None, int | None], np.ndarray]


def to_probabilities(log_odds: np.ndarray, rest: int | None = None) -> np.ndarray:
    """Convert log-odds of each class against all others to probabilities that sum to 1."""
    return normalised(expit(log_odds.astype(np.float64)), rest)


def mean_log_loss(probability: np.ndarray, codes: np.ndarray, weight: np.ndarray) -> float:
    """Compute the weighted mean log loss in nats of (rows, classes) probabilities."""
    return float(np.average(log_losses(probability, codes), weights=weight))


def log_losses(probability: np.ndarray, codes: np.ndarray) -> np.ndarray:
    """Compute the log loss in nats of each row, (rows,), of (rows, classes) probabilities."""
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
    """Sum the weights of each member over classes, (members,); None if they depend on the row."""
    if name == "routed" and parameters["reach"] is not None:
        return None
    if "weights" in parameters:
        return np.asarray(parameters["weights"], float).sum(axis=0)
    return np.full(n_members, 1 / n_members)


def without_members(name: str, parameters: Parameters, kept: Sequence[int]) -> Parameters:
    """Give the parameters without those of members that are not kept and have no weight."""
    if "weights" not in parameters:
        return parameters
    slim = [[row[member] for member in kept] for row in parameters["weights"]]
    rest = {key: value for key, value in parameters.items() if key not in ("weights", "tiers")}
    return {"weights": slim} | rest


def check(name: Any, parameters: Any, n_members: int, n_classes: int) -> None:
    """Raise unless a combiner is known and has the parameters it needs, all finite."""
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
    """Average the members' probabilities."""
    total = np.zeros((len(log_odds), log_odds.shape[2]))
    for member in range(log_odds.shape[1]):
        total += to_probabilities(log_odds[:, member], rest)
    return total / log_odds.shape[1]


def mean(log_odds: np.ndarray, rest: int | None = None) -> np.ndarray:
    """Average the members' log-odds, and convert to probabilities."""
    return to_probabilities(log_odds.mean(axis=1, dtype=np.float64), rest)


def linear(parameters: Parameters, log_odds: np.ndarray, rest: int | None = None) -> np.ndarray:
    """Sum the members' log-odds with weights and an intercept for each class."""
    weights = np.asarray(parameters["weights"], float)
    total = np.einsum("nmc,cm->nc", log_odds, weights.astype(np.float32), dtype=np.float64)
    return to_probabilities(total + np.asarray(parameters["intercept"], float), rest)


def routed(
    parameters: Parameters,
    log_odds: np.ndarray,
    distance: np.ndarray | None,
    rest: int | None = None,
) -> np.ndarray:
    """Average the members' log-odds; members with near groups count more.

    A member at distance d from a row has weight exp(-(d / reach)^2 / 2). Without a reach all
    members have equal weights.
    """
    if parameters["reach"] is None:
        return mean(log_odds, rest)
    if distance is None:
        raise ValueError("a routed model needs the distance of every row to its members")
    exponent = -((distance / parameters["reach"]) ** 2) / 2
    share = np.exp(exponent - exponent.max(axis=1, keepdims=True))
    share /= share.sum(axis=1, keepdims=True)
    return to_probabilities(np.einsum("nmc,nm->nc", log_odds, share, dtype=np.float64), rest)


def fit_weighted(rows: HeldOut, ensemble: Combining) -> Parameters:
    """Weight each member by its gain in held-out log loss over the reference.

    The reference is the base score where boosters start from base scores, else the share of the
    class. A member without a gain has weight 0. If no member has one, all weights are equal, and
    `equal` lists the class.
    """
    n_members, n_classes = rows.log_odds.shape[1:]
    weights, equal = [], []
    for column in range(n_classes):
        y = rows.codes == column
        reference = _loss(y, _reference(rows, column), rows.weight)
        gains = [
            reference - _loss(y, rows.log_odds[:, member, column], rows.weight)
            for member in range(n_members)
        ]
        useful = np.maximum(gains, 0)
        if not useful.any():
            equal.append(column)
            useful = np.ones(n_members)
        weights.append((useful / useful.sum()).tolist())
    parameters = {"weights": weights, "intercept": [0.0] * n_classes}
    return parameters | {"equal": equal} if equal else parameters


def fit_selected(rows: HeldOut, ensemble: Combining) -> Parameters:
    """Select members greedily, with replacement, for the mean log-odds (Caruana et al. 2004).

    Adds the member that lowers the held-out log loss most, until none lowers it. With `top_k` it
    takes the k members of lowest loss instead, each once.
    """
    n_members, n_classes = rows.log_odds.shape[1:]
    if ensemble.top_k is not None:
        alone = _member_losses(rows, np.zeros((len(rows.codes), n_classes), np.float32), 0)
        counts = np.zeros(n_members)
        counts[np.argsort(alone, kind="stable")[: ensemble.top_k]] = 1
    else:
        counts = _greedy(rows)
    shares = (counts / counts.sum()).tolist()
    return {"weights": [shares] * n_classes, "intercept": [0.0] * n_classes}


def fit_stacked(rows: HeldOut, ensemble: Combining) -> Parameters:
    """Fit a logistic regression on the members' log-odds for each class, weights 0 or more.

    The penalty pulls every weight towards the equal share 1 / members. Its strength is the one of
    lowest log loss in cross-validation over the folds.
    """
    return _stacked(rows, rows.log_odds)


def fit_hierarchical(rows: HeldOut, ensemble: Combining) -> Parameters:
    """Average the log-odds inside tiers of similar members, then fit `stacked` over the tiers.

    There are sqrt(members) tiers, so a few hundred members leave some fifteen weights to learn.
    Members are similar if their deviations from the mean of all members correlate (average
    linkage).
    """
    tiers = _tiers(rows.log_odds)
    means = np.stack([rows.log_odds[:, tier].mean(axis=1) for tier in tiers], axis=1)
    fitted = _stacked(rows, means)
    weights = np.zeros((rows.log_odds.shape[2], rows.log_odds.shape[1]))
    for number, tier in enumerate(tiers):
        weights[:, tier] = np.asarray(fitted["weights"])[:, [number]] / len(tier)
    return fitted | {"weights": weights.tolist(), "tiers": tiers}


def fit_routed(rows: HeldOut, ensemble: Combining) -> Parameters:
    """Choose the reach of lowest held-out log loss; None, for equal weights, is one of them."""
    if rows.distance is None:
        raise InputError("ensemble.combiner: routed needs batching.strategy: similarity")
    median = float(np.median(rows.distance))
    reaches = [None, *(factor * median for factor in REACHES if median > 0)]
    losses = [
        mean_log_loss(
            routed({"reach": reach}, rows.log_odds, rows.distance, rows.rest),
            rows.codes,
            rows.weight,
        )
        for reach in reaches
    ]
    return {"reach": reaches[int(np.argmin(losses))]}


COMBINERS: dict[str, Combiner] = {
    "voting": Combiner(lambda rows, ensemble: {}, lambda p, z, d, rest: voting(z, rest)),
    "log_odds": Combiner(lambda rows, ensemble: {}, lambda p, z, d, rest: mean(z, rest)),
    "weighted": Combiner(fit_weighted, lambda p, z, d, rest: linear(p, z, rest)),
    "selected": Combiner(fit_selected, lambda p, z, d, rest: linear(p, z, rest)),
    "stacked": Combiner(fit_stacked, lambda p, z, d, rest: linear(p, z, rest)),
    "routed": Combiner(fit_routed, routed),
    "hierarchical": Combiner(fit_hierarchical, lambda p, z, d, rest: linear(p, z, rest)),
}


def _loss(y: np.ndarray, margin: np.ndarray, weight: np.ndarray) -> float:
    return float(np.average(log_loss_rows(y, margin), weights=weight))


def _member_losses(rows: HeldOut, added: np.ndarray, n_added: int) -> np.ndarray:
    """Mean log loss of each member's log-odds averaged with those of members added, (members,).

    `added` is the sum of `n_added` members' log-odds, (rows, classes). Works in float32, to a
    relative error of 1e-7 of a row's loss, on blocks of rows.
    """
    losses = np.zeros(rows.log_odds.shape[1])
    for start in range(0, len(rows.codes), BLOCK_ROWS):
        block = slice(start, start + BLOCK_ROWS)
        mean = (rows.log_odds[block] + added[block, None]) / np.float32(n_added + 1)
        own = _own_losses(mean, rows.codes[block], rows.rest)
        losses += rows.weight[block] @ own.astype(np.float64)
    return losses / rows.weight.sum()


def _own_losses(log_odds: np.ndarray, codes: np.ndarray, rest: int | None) -> np.ndarray:
    """Log loss of each row by each member, (rows, members); log-odds are (rows, members, classes).

    It is that of `to_probabilities`. P(rest) is close to 1 in most rows, so that its logarithm is
    taken from the sum of the other classes.
    """
    with np.errstate(over="ignore", divide="ignore"):
        probability = 1 / (1 + np.exp(-log_odds))
        if rest is not None:
            probability[..., rest] = 0
        total = probability.sum(axis=2)
        own = np.take_along_axis(probability, codes[:, None, None], axis=2)[..., 0]
        if rest is None:
            loss = np.log(total) - np.log(own)
        else:
            loss = np.log(np.maximum(total, 1)) - np.log(own)
            is_rest = codes == rest
            loss[is_rest] = -np.log1p(-np.minimum(total[is_rest], 1))
    return np.clip(loss, 0, -math.log(CLIP), out=loss)


def _reference(rows: HeldOut, column: int) -> np.ndarray:
    """Log-odds of the class without any member: its base score, else its share, (rows,)."""
    if rows.reference is not None:
        return rows.reference[:, column]
    share = np.average(rows.codes == column, weights=rows.weight)
    share = float(np.clip(share, CLIP, 1 - CLIP))
    return np.full(len(rows.codes), math.log(share / (1 - share)))


def _greedy(rows: HeldOut) -> np.ndarray:
    """Count how often each member is selected, (members,)."""
    counts = np.zeros(rows.log_odds.shape[1])
    total = np.zeros((len(rows.codes), rows.log_odds.shape[2]), np.float32)
    best = math.inf
    for n_selected in range(MOST_ADDED):
        losses = _member_losses(rows, total, n_selected)
        member = int(np.argmin(losses))
        if losses[member] >= best:
            break
        best = losses[member]
        counts[member] += 1
        total += rows.log_odds[:, member]
    return counts


def _stacked(rows: HeldOut, log_odds: np.ndarray) -> Parameters:
    """Fit weights and intercepts of (rows, inputs, classes) log-odds."""
    weights, intercepts, penalties = [], [], []
    for column in range(log_odds.shape[2]):
        inputs, y = np.ascontiguousarray(log_odds[:, :, column].T), rows.codes == column
        penalty = _best_penalty(inputs, y, rows.weight, rows.folds)
        fitted = _Logistic(inputs, y, rows.weight).fit(penalty)
        weights.append(fitted[1:].tolist())
        intercepts.append(float(fitted[0]))
        penalties.append(penalty)
    return {"weights": weights, "intercept": intercepts, "penalty": penalties}


def _best_penalty(
    inputs: np.ndarray, y: np.ndarray, weight: np.ndarray, folds: np.ndarray
) -> float:
    """Choose the penalty of lowest log loss on the folds left out; on a tie the strongest.

    `inputs` is (inputs, rows).
    """
    numbers = np.unique(folds)
    if len(numbers) < 2:
        return max(PENALTIES)
    totals = dict.fromkeys(sorted(PENALTIES, reverse=True), 0.0)
    for number in numbers:
        left_out = folds == number
        others = ~left_out
        learned = _Logistic(inputs[:, others], y[others], weight[others])
        judged = inputs[:, left_out].astype(np.float64)
        for penalty in totals:
            fitted = learned.fit(penalty)
            margin = fitted[1:] @ judged + fitted[0]
            totals[penalty] += float(log_loss_rows(y[left_out], margin) @ weight[left_out])
    return min(totals, key=totals.get)


class _Slope(NamedTuple):
    """Mean log loss of a logistic regression, with its gradient and Hessian."""

    loss: float
    gradient: np.ndarray
    hessian: np.ndarray


class _Logistic:
    """Logistic regressions on the same rows, with weights of 0 or more pulled to equal shares.

    By Newton's method. A fit begins where the fit before ended: the penalties of a path from
    strong to weak take two or three steps each. Holds nothing beside the rows but a block of them.

    Parameters
    ----------
    inputs
        (inputs, rows) log-odds. NumPy is slow along short rows.
    y
        (rows,) bool, the class against the rest.
    weight
        (rows,) row weights.
    """

    def __init__(self, inputs: np.ndarray, y: np.ndarray, weight: np.ndarray):
        self.inputs, self.y, self.share = inputs, y, weight / weight.sum()
        n_inputs = len(inputs)
        self.equal = np.concatenate([[0.0], np.full(n_inputs, 1 / n_inputs)])
        self.values, self.slope = self.equal, self._slope(self.equal)
        self.start = self.slope.loss

    def fit(self, penalty: float) -> np.ndarray:
        """Fit the intercept and weights, (1 + inputs,)."""
        strength = penalty * max(self.start, CLIP) * len(self.inputs)
        here = self._penalised(self.values, self.slope, strength)
        for _ in range(MOST_STEPS):
            step = _bounded_step(self.values, here)
            gain = -float(here.gradient @ step + step @ here.hessian @ step / 2)
            if gain <= TOLERANCE * max(here.loss, 1):
                break
            for _ in range(MOST_HALVINGS):
                values = self.values + step
                values[1:] = np.maximum(values[1:], 0)  # a step to 0 may round to -1e-18
                slope = self._slope(values)
                there = self._penalised(values, slope, strength)
                if there.loss <= here.loss:
                    break
                step = step / 2
            else:
                break
            self.values, self.slope, here = values, slope, there
        return self.values

    def _penalised(self, values: np.ndarray, slope: _Slope, strength: float) -> _Slope:
        """Add the penalty, in units of which all is measured: about 1 at every prevalence."""
        off = values - self.equal
        off[0] = 0
        pull = np.full(len(values), 2.0)
        pull[0] = LEAST_CURVATURE
        return _Slope(
            slope.loss / strength + float(off @ off),
            slope.gradient / strength + 2 * off,
            slope.hessian / strength + np.diag(pull),
        )

    def _slope(self, values: np.ndarray) -> _Slope:
        loss, width = 0.0, len(values)
        gradient, hessian = np.zeros(width), np.zeros((width, width))
        for start in range(0, len(self.y), BLOCK_ROWS):
            block = slice(start, start + BLOCK_ROWS)
            share, sign = self.share[block], np.where(self.y[block], -1.0, 1.0)
            # In units of the log-odds of the wrong label all rows have the same derivatives.
            signed = np.empty((width, len(sign)))
            signed[0] = sign
            np.multiply(self.inputs[:, block], sign, out=signed[1:])
            against = values @ signed
            small = np.exp(-np.abs(against))
            loss += float((np.maximum(against, 0) + np.log1p(small)) @ share)
            wrong = np.where(against > 0, 1, small) / (1 + small)
            gradient += signed @ (share * wrong)
            hessian += (signed * (share * small / (1 + small) ** 2)) @ signed.T
        return _Slope(loss, gradient, hessian)


def _bounded_step(values: np.ndarray, slope: _Slope) -> np.ndarray:
    """Step to the minimum of the quadratic model, with weights of 0 or more after it."""
    root = np.linalg.cholesky(slope.hessian).T
    target = root @ values - np.linalg.solve(root.T, slope.gradient)
    least = np.concatenate([[-np.inf], np.zeros(len(values) - 1)])
    return lsq_linear(root, target, (least, np.inf), method="bvls").x - values


def _tiers(log_odds: np.ndarray) -> list[list[int]]:
    """Group similar members into tiers, in the order of the first member of each."""
    n_members = log_odds.shape[1]
    n_tiers = math.ceil(math.sqrt(n_members))
    if n_tiers == n_members:
        return [[member] for member in range(n_members)]
    step = max(len(log_odds) // CORRELATED_ROWS, 1)
    added = log_odds[::step] - log_odds[::step].mean(axis=1, keepdims=True)
    flat = added.transpose(1, 0, 2).reshape(n_members, -1).astype(np.float64)
    flat -= flat.mean(axis=1, keepdims=True)
    length = np.sqrt((flat**2).sum(axis=1))
    # A member that never deviates from the mean counts as uncorrelated with all others.
    unit = np.divide(flat, length[:, None], out=np.zeros_like(flat), where=length[:, None] > 0)
    apart = np.clip(1 - unit @ unit.T, 0, 2)
    np.fill_diagonal(apart, 0)
    labels = fcluster(linkage(squareform(apart, checks=False), "average"), n_tiers, "maxclust")
    tiers = [np.flatnonzero(labels == label).tolist() for label in np.unique(labels)]
    return sorted(tiers)
