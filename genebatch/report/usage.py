"""Tells the memory and time that every job used, and sums them up by rule."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

MOST_JOBS = 500  # that the page lists one by one


class RuleUsage(NamedTuple):
    """Memory and time of a rule's jobs; ratios are measured peak by estimate."""

    rule: str
    jobs: int
    declared_mb: int
    peak_mb: float
    lowest_ratio: float
    highest_ratio: float
    seconds: float
    threads: int


def usage_by_rule(usage: Sequence[Mapping[str, Any]]) -> list[RuleUsage]:
    """Sum up the usage records of each rule; the rule with the largest peak comes first."""
    lines = []
    for rule in dict.fromkeys(record["rule"] for record in usage):
        own = [record for record in usage if record["rule"] == rule]
        ratios = [record["peak_mb"] / record["declared_mb"] for record in own]
        lines.append(
            RuleUsage(
                rule,
                len(own),
                max(record["declared_mb"] for record in own),
                max(record["peak_mb"] for record in own),
                min(ratios),
                max(ratios),
                sum(record["seconds"] for record in own),
                max(record["threads"] for record in own),
            )
        )
    return sorted(lines, key=lambda line: -line.peak_mb)


def listed_jobs(usage: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """Give the jobs that the page lists: those that came nearest to their estimate come first."""
    ranked = sorted(usage, key=lambda record: -record["peak_mb"] / record["declared_mb"])
    return ranked[:MOST_JOBS]
