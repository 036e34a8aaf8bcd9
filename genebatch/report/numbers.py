"""Writes numbers as figures and pages show them."""

import math
from collections.abc import Mapping
from typing import NamedTuple

MOST_DECIMALS = 7  # of a share; a smaller one has a power of ten
DASH = "\N{EN DASH}"  # a number that does not exist


class Cell(NamedTuple):
    """A number as the page shows it; the note is its full value, or why there is none."""

    text: str
    note: str


def cell(value: float | None, reason: str | None, signed: bool = False) -> Cell:
    """Write a number as the page shows it, or a dash with the reason."""
    if value is None:
        return Cell(DASH, reason or "not computed")
    return Cell(format_value(value, signed), repr(value))


def format_value(value: float, signed: bool = False) -> str:
    """Write a number with as many decimals as its distance from 0 and from 1 asks for.

    A share of 0.99999979 must not read as 1.0000, nor a loss of 0.00063 as 0.0006.
    """
    sign = "+" if signed else ""
    if value == 0 or abs(value) >= 1:
        return f"{value:{sign}.4g}"
    if abs(value) < 0.01:
        return f"{value:{sign}.2e}" if abs(value) < 1e-4 else f"{value:{sign}#.3g}"
    rest = 1 - abs(value)
    return f"{value:{sign}.{max(4, 1 - math.floor(math.log10(rest)))}f}"


def loss_text(losses: Mapping[str, float | None]) -> str:
    """Write log loss and ECE for the legend of a calibration; a missing one is a dash."""
    names = {"log_loss": "log loss", "ece": "ECE"}
    return ", ".join(f"{text} {cell(losses[key], None).text}" for key, text in names.items())


def format_share(value: float, signed: bool = False) -> str:
    """Write a share in three decimals without its zero, in more where it is nearly 0 or 1.

    0.675 is .675, and 0.999985 is .999985. What is nearer to 1 than decimals tell is >.999999.
    """
    sign = "+" if signed else ""
    rest = min(abs(value), 1 - abs(value))
    if rest <= 0:
        return f"{value:{sign}.0f}"
    decimals = max(3, 1 - math.floor(math.log10(rest)))
    if decimals <= MOST_DECIMALS:
        return f"{value:{sign}.{decimals}f}".replace("0.", ".", 1)
    if abs(value) < 0.5:
        return f"{value:{sign}.1e}"
    return ">.999999" if value > 0 else "<-.999999"


def format_seconds(seconds: float) -> str:
    """Write a time as a person says it: 41 s, 12 min, 3.5 h."""
    if seconds < 100:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 100 * 60 else f"{seconds / 3600:.1f} h"
