"""Tells probabilities from other numbers, and writes numbers into messages with enough digits."""

from typing import Any

import numpy as np

CLIPPED = 1e-6  # outside of 0 to 1 by at most so much is rounding, such as of a float32 softmax


def beyond_rounding(values: np.ndarray) -> np.ndarray:
    """Whether numbers are no probabilities: NaN, or outside of 0 to 1 by more than `CLIPPED`."""
    # Compared in their own type: float32(1 + CLIPPED) is larger than 1 + CLIPPED.
    low, high = values.dtype.type(-CLIPPED), values.dtype.type(1 + CLIPPED)
    return ~((values >= low) & (values <= high))


def clipped(values: np.ndarray) -> np.ndarray:
    """Set numbers that rounding put outside of 0 to 1 to 0 or 1; all others stay, and NaN too."""
    return np.where(beyond_rounding(values), values, np.clip(values, 0, 1))


def digits(value: Any) -> str:
    """The shortest text that tells a number from its neighbours, not 1 for 1.0000001.

    Parameters
    ----------
    value
        A float, or a scalar of numpy, whose neighbours lie further apart if it is a float32.
    """
    return str(value).removesuffix(".0")
