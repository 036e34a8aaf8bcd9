"""Fits calibrators, which map a booster's log-odds to a probability, on held-out rows.

A calibrator is a method and a few numbers, so that it fits in a JSON file. It maps the raw margin
of one class to the probability of that class. The probability never falls as the margin rises.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import polars as pl
from scipy.special import expit, logit
from sklearn.isotonic import IsotonicRegression
from sklearn.linear_model import LogisticRegression

from genebatch.io.files import InputError
from genebatch.metrics.binary import CLIP, METRICS, ScoredClass

# 1/C is the ridge penalty on slopes of about 1, beside a loss summed over all rows. It only keeps
# the slope finite where the classes do not overlap.
C = 1e8
TOLERANCE = 1e-8  # on the gradient of the mean log loss
MAX_ITERATIONS = 200  # Newton steps; about ten are needed where the classes overlap

Parameters = dict[str, list[float] | float]


@dataclass(frozen=True)
class Calibrator:
    """A map from log-odds to probability: the name of its method and its numbers.

    ========== ================= ====================================================
    method     parameters        probability of a margin m, with p = logistic(m)
    ========== ================= ====================================================
    identity   none              p
    sigmoid    slope, intercept  logistic(slope m + intercept)
    isotonic   x, y              linear between the points (x, y), constant outside
    beta       a, b, c           logistic(a ln p - b ln(1 - p) + c)
    ========== ================= ====================================================
    """

    method: str
    parameters: Parameters

    def __post_init__(self) -> None:
        problem = _problem(self.method, self.parameters)
        if problem is not None:
            raise InputError(problem)

    def apply(self, margin: np.ndarray) -> np.ndarray:
        """Compute the probability of each margin, float64 within [1e-9, 1 - 1e-9].

        The bounds are those of the log loss (`metrics.binary.CLIP`). No calibration sample supports
        more certainty. With them one unforeseen row costs 20.7 nats, not infinity.

        Raises
        ------
        InputError
            If a margin is NaN or infinite.
        """
        probability = APPLY[self.method](_finite(margin), **self.parameters)
        return np.clip(probability, CLIP, 1 - CLIP)

    def to_json(self) -> dict[str, Any]:
        """Give a plain value for a JSON file; `from_json` gives the same calibrator back."""
        return {"method": self.method, "parameters": dict(self.parameters)}

    @classmethod
    def from_json(cls, value: dict[str, Any]) -> "Calibrator":
        """Read what `to_json` gave; raise an `InputError` for anything else."""
        if not isinstance(value, dict) or set(value) != {"method", "parameters"}:
            raise InputError(f"a calibrator is an object of method and parameters, not {value!r}")
        return cls(value["method"], value["parameters"])


class ChosenCalibrator(NamedTuple):
    """The calibrator of one class, and how its method was chosen.

    Attributes
    ----------
    calibrator
        Fitted on all rows.
    cross_fitted
        Probability of each row by the same method, fitted on the other folds.
    table
        A row per method tried: `method, log_loss, brier, ece, chosen`, cross-fitted and weighted.
    reason
        Why only identity was tried, else None.
    """

    calibrator: Calibrator
    cross_fitted: np.ndarray
    table: pl.DataFrame
    reason: str | None


FitCalibrator = Callable[[np.ndarray, np.ndarray, np.ndarray | None], Calibrator]


def identity(
    margin: np.ndarray, y: np.ndarray | None = None, weight: np.ndarray | None = None
) -> Calibrator:
    """Give the logistic of the margin; there is nothing to fit."""
    return Calibrator("identity", {})


def sigmoid(margin: np.ndarray, y: np.ndarray, weight: np.ndarray | None = None) -> Calibrator:
    """Fit Platt scaling: logistic regression on the margin, with a slope of 0 or more."""
    margin, y, weight = _sample(margin, y, weight)
    (slope,), intercept = _logistic_regression(margin[:, None], y, weight)
    return Calibrator("sigmoid", {"slope": slope, "intercept": intercept})


def isotonic(margin: np.ndarray, y: np.ndarray, weight: np.ndarray | None = None) -> Calibrator:
    """Fit the best non-decreasing step function of the margin, joined by straight lines.

    All margins of one step get the same probability; these ties cost average precision. The
    outermost steps hold rows of one class only and would claim certainty. They are limited by the
    rule of succession: as if one more row of the lightest weight had the other label.
    """
    margin, y, weight = _sample(margin, y, weight)
    floor = weight.min() / (weight.sum() + 2 * weight.min())
    fit = IsotonicRegression(y_min=floor, y_max=1 - floor, out_of_bounds="clip")
    fit.fit(margin, y.astype(float), sample_weight=weight)
    points = {"x": fit.X_thresholds_.tolist(), "y": fit.y_thresholds_.tolist()}
    return Calibrator("isotonic", points)


def beta(margin: np.ndarray, y: np.ndarray, weight: np.ndarray | None = None) -> Calibrator:
    """Fit beta calibration (Kull et al. 2017), with one slope for high and one for low scores.

    It is a logistic regression on ln p and -ln(1 - p). A negative slope is set to 0, and the other
    parameters are fitted again.
    """
    margin, y, weight = _sample(margin, y, weight)
    (a, b), c = _logistic_regression(np.column_stack(_log_probabilities(margin)), y, weight)
    return Calibrator("beta", {"a": a, "b": b, "c": c})


CALIBRATORS: dict[str, FitCalibrator] = {
    "identity": identity,
    "sigmoid": sigmoid,
    "isotonic": isotonic,
    "beta": beta,
}


def choose(
    margin: np.ndarray,
    y: np.ndarray,
    folds: np.ndarray,
    weight: np.ndarray | None = None,
    method: str = "auto",
) -> ChosenCalibrator:
    """Choose and fit the calibrator of one class; identity unless another clearly has less loss.

    1. Every method is cross-fitted: rows of a fold are calibrated by a fit on the other folds.
    2. A method is a candidate only if it clearly gains on identity. Its gain is the difference in
       weighted log loss, averaged over folds; it must exceed the standard error of that average.
       Without this rule the choice would favour methods that won by chance.
    3. The candidate with the lowest weighted log loss of all rows is fitted on all rows. Without a
       candidate identity is chosen.

    Parameters
    ----------
    margin : (n,)
        Out-of-fold log-odds.
    y : (n,) bool
        Rows of the class.
    folds : (n,) int
        Fold of each row; rows of one group belong in one fold.
    weight : (n,), optional
        Row weights.
    method : str
        "auto" to try all of `CALIBRATORS`, or the name of one. That one, too, is replaced by
        identity where it is no candidate.

    Returns
    -------
    ChosenCalibrator
        Identity and a reason where the rows outside some fold are all of one class.

    Raises
    ------
    InputError
        If margins are NaN or infinite, arrays differ in length, labels are not 0 and 1, or the
        method is unknown.
    """
    if method != "auto" and method not in CALIBRATORS:
        raise InputError(f"unknown calibrator {method!r}; known: auto, {', '.join(CALIBRATORS)}")
    margin, y, weight = _rows(margin, y, weight)
    folds = np.asarray(folds)
    if folds.shape != margin.shape:
        raise InputError(f"folds have shape {folds.shape}, wanted that of margin {margin.shape}")
    reason = _unfit(y, folds, weight)
    names = list(CALIBRATORS) if method == "auto" else list(dict.fromkeys(["identity", method]))
    if reason is not None:
        names = ["identity"]
    tried = {name: cross_fit(name, margin, y, folds, weight) for name in names}
    table = _compare(tried, y, folds, weight)
    best = table.filter("chosen")["method"].item()
    return ChosenCalibrator(CALIBRATORS[best](margin, y, weight), tried[best], table, reason)


def cross_fit(
    method: str,
    margin: np.ndarray,
    y: np.ndarray,
    folds: np.ndarray,
    weight: np.ndarray | None = None,
) -> np.ndarray:
    """Compute the probability of each row by a calibrator fitted on the other folds.

    No label of the row's own fold is used.
    """
    probability = np.empty(len(margin))
    for fold, calibrator in fold_calibrators(method, margin, y, folds, weight).items():
        held_out = folds == fold
        probability[held_out] = calibrator.apply(margin[held_out])
    return probability


def fold_calibrators(
    method: str,
    margin: np.ndarray,
    y: np.ndarray,
    folds: np.ndarray,
    weight: np.ndarray | None = None,
) -> dict[int, Calibrator]:
    """Fit a calibrator for each fold, on the rows of the other folds."""
    margin, y, weight = _rows(margin, y, weight)
    fit = CALIBRATORS[method]
    calibrators = {}
    for fold in np.unique(folds).tolist():
        others = folds != fold
        calibrators[fold] = fit(margin[others], y[others], weight[others])
    return calibrators


def _compare(
    tried: dict[str, np.ndarray], y: np.ndarray, folds: np.ndarray, weight: np.ndarray
) -> pl.DataFrame:
    """Score each method's probabilities and mark the chosen one; identity wins a tie."""
    by_method = {name: ScoredClass(y, probability) for name, probability in tried.items()}
    scores = {"method": list(tried)}
    for metric in ("log_loss", "brier", "ece"):
        values = [METRICS[metric].of(scored, weight).value for scored in by_method.values()]
        scores[metric] = pl.Series(values, dtype=pl.Float64)
    losses = dict(zip(tried, scores["log_loss"], strict=True))
    rows = {name: scored.losses["log_loss"] for name, scored in by_method.items()}
    plain, *others = tried  # identity comes first
    better = [name for name in others if _gains(rows[plain] - rows[name], folds, weight)]
    best = min([plain, *better], key=losses.get)
    return pl.DataFrame(scores | {"chosen": [name == best for name in tried]})


def _gains(gained: np.ndarray, folds: np.ndarray, weight: np.ndarray) -> bool:
    """Tell whether the mean gain in log loss over folds exceeds its standard error.

    `gained` is the gain of each row.
    """
    _, number = np.unique(folds, return_inverse=True)
    mass = np.bincount(number, weight)
    gains = np.bincount(number, weight * gained)[mass > 0] / mass[mass > 0]
    error = np.std(gains, ddof=1) / np.sqrt(len(gains)) if len(gains) > 1 else np.inf
    return bool(np.mean(gains) > error)


def _logistic_regression(
    features: np.ndarray, y: np.ndarray, weight: np.ndarray
) -> tuple[list[float], float]:
    """Fit a weighted logistic regression; give its slopes, 0 or more, and its intercept.

    Weights are divided by their mean, so that their unit does not change the fit. The fit starts
    from slopes of 1 and an intercept of 0, the identity, which the solution is near to.
    """
    weight = weight / weight.mean()
    slopes, kept = np.zeros(features.shape[1]), list(range(features.shape[1]))
    while kept:
        fit = LogisticRegression(
            C=C,
            solver="newton-cholesky",
            tol=TOLERANCE,
            max_iter=MAX_ITERATIONS,
            warm_start=True,
        )
        fit.coef_, fit.intercept_ = np.ones((1, len(kept))), np.zeros(1)
        fit.fit(features[:, kept], y, sample_weight=weight)
        if fit.coef_.min() >= 0:
            slopes[kept] = fit.coef_[0]
            return slopes.tolist(), float(fit.intercept_[0])
        kept.pop(int(fit.coef_[0].argmin()))
    return slopes.tolist(), float(logit(np.average(y, weights=weight)))


def _log_probabilities(margin: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Compute ln p and -ln(1 - p) from log-odds, exactly for large margins too."""
    return -np.logaddexp(0.0, -margin), np.logaddexp(0.0, margin)


def _apply_beta(margin: np.ndarray, a: float, b: float, c: float) -> np.ndarray:
    log_p, minus_log_rest = _log_probabilities(margin)
    return expit(a * log_p + b * minus_log_rest + c)


APPLY: dict[str, Callable[..., np.ndarray]] = {
    "identity": expit,
    "sigmoid": lambda margin, slope, intercept: expit(slope * margin + intercept),
    "isotonic": lambda margin, x, y: np.interp(margin, x, y),
    "beta": _apply_beta,
}
NAMES: dict[str, set[str]] = {
    "identity": set(),
    "sigmoid": {"slope", "intercept"},
    "isotonic": {"x", "y"},
    "beta": {"a", "b", "c"},
}
SLOPES = {"slope", "a", "b"}


LARGEST = 1e12  # a parameter beyond it could overflow when multiplied by a margin


def _problem(method: Any, parameters: Any) -> str | None:
    """Say why `parameters` are not a rising map of this method; None if they are."""
    if not isinstance(method, str) or method not in APPLY:
        return f"unknown calibrator {method!r}; known: {', '.join(APPLY)}"
    if not isinstance(parameters, dict) or set(parameters) != NAMES[method]:
        wanted = ", ".join(sorted(NAMES[method])) or "no parameters"
        return f"calibrator {method} needs {wanted}, not {parameters!r}"
    if method == "isotonic":
        return _point_problem(parameters["x"], parameters["y"])
    for name, value in parameters.items():
        if not _are_numbers([value]) or (name in SLOPES and value < 0):
            kind = "a finite number of 0 or more" if name in SLOPES else "a finite number"
            return f"calibrator {method}: {name} is {value!r}, wanted {kind}"
    return None


def _point_problem(x: Any, y: Any) -> str | None:
    for values in (x, y):
        if not isinstance(values, list) or not values or not _are_numbers(values):
            return "calibrator isotonic: x and y must be lists of finite numbers, one or more"
    if len(x) != len(y):
        return f"calibrator isotonic: {len(x)} values of x but {len(y)} of y, wanted as many"
    if (np.diff(x) <= 0).any():
        return "calibrator isotonic: x must rise from point to point"
    if (np.diff(y) < 0).any() or y[0] < 0 or y[-1] > 1:
        return "calibrator isotonic: y must be probabilities that never fall"
    return None


def _are_numbers(values: Iterable[Any]) -> bool:
    return all(type(value) in (int, float) and abs(value) <= LARGEST for value in values)


def _finite(margin: np.ndarray) -> np.ndarray:
    margin = np.asarray(margin, dtype=np.float64)
    wrong = ~np.isfinite(margin)
    if wrong.any():
        raise InputError(
            f"{wrong.sum():,} of {margin.size:,} margins are NaN or infinite; drop these rows or "
            "keep the base scores they start from inside 0 to 1 before taking log-odds"
        )
    return margin


def _rows(
    margin: np.ndarray, y: np.ndarray, weight: np.ndarray | None
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Check the arrays; give float64 margins, bool labels and float64 weights (default 1)."""
    margin, y = _finite(margin), np.asarray(y)
    weight = np.ones(margin.size) if weight is None else np.asarray(weight, dtype=np.float64)
    if not margin.shape == y.shape == weight.shape == (margin.size,):
        raise InputError(
            f"margin, y and weight have shapes {margin.shape}, {y.shape} and {weight.shape}, "
            "wanted one value per row in each"
        )
    if not (np.isfinite(weight) & (weight >= 0)).all():
        raise InputError("row weights are negative, NaN or infinite; give finite weights from 0")
    if not np.isin(y, (0, 1)).all():
        raise InputError("y holds values other than 0 and 1; pass `codes == class`")
    return margin, y.astype(bool), weight


def _sample(
    margin: np.ndarray, y: np.ndarray, weight: np.ndarray | None
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Select the rows with a weight above zero; raise unless both classes have some."""
    margin, y, weight = _rows(margin, y, weight)
    used = weight > 0
    missing = _one_sided(y[used])
    if missing is not None:
        raise InputError(f"a calibrator cannot be fitted: {missing} with a weight above zero")
    return margin[used], y[used], weight[used]


def _one_sided(y: np.ndarray) -> str | None:
    if not y.any():
        return "no positive rows"
    return "no negative rows" if y.all() else None


def _unfit(y: np.ndarray, folds: np.ndarray, weight: np.ndarray) -> str | None:
    """Say why some fold cannot be calibrated from the rows of the others; None if all can."""
    used = weight > 0
    missing = _one_sided(y[used])
    if missing is not None:
        return missing
    for fold in np.unique(folds):
        missing = _one_sided(y[used & (folds != fold)])
        if missing is not None:
            return f"{missing} outside fold {fold}"
    return None
