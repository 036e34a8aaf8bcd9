"""How the probabilities of the members become one probability."""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np


def voting(probabilities: np.ndarray, parameters: Mapping[str, Any]) -> np.ndarray:
    """Give the plain mean over members.

    Parameters
    ----------
    probabilities
        (rows, members, classes), calibrated; each member's classes sum to 1.
    parameters
        Voting has none.

    Returns
    -------
    numpy.ndarray
        (rows, classes); sums to 1.
    """
    return probabilities.mean(axis=1)


COMBINERS: dict[str, Callable[[np.ndarray, Mapping[str, Any]], np.ndarray]] = {"voting": voting}
