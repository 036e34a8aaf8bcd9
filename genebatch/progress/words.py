"""Writes sizes and times for a person."""

import math


def memory(megabytes: float) -> str:
    """A size such as `580 MB` or `1.9 GB`."""
    return f"{megabytes / 1000:.1f} GB" if megabytes >= 999.5 else f"{megabytes:.0f} MB"


def duration(seconds: float) -> str:
    """A time such as `41 s`, `3 min 20 s` or `1 h 05 min`."""
    whole = max(round(seconds), 1)
    if whole < 60:
        return f"{whole} s"
    minutes, rest = divmod(whole, 60)
    if minutes < 60:
        return f"{minutes} min {rest:02d} s"
    return f"{minutes // 60} h {minutes % 60:02d} min"


def rest(seconds: float) -> str:
    """A time to come, in steps that do not change with every line."""
    if seconds < 50:
        return "less than a minute left"
    minutes = math.ceil(seconds / 60)
    if minutes > 10:
        minutes = 5 * round(minutes / 5)
    if minutes < 60:
        return f"about {minutes} min left"
    return f"about {minutes // 60} h {minutes % 60:02d} min left"
