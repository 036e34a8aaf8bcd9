"""Tells on the first screen what the results rest on, and every warning."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from genebatch.report.numbers import DASH, Cell, format_share

MOST_NAMED = 3  # classes whose calibration the first screen tells


class Remark(NamedTuple):
    """A fact or a warning about the results, and the section that tells more."""

    text: str
    section: str
    is_warning: bool = False


def remarks(facts: Mapping[str, Any]) -> list[Remark]:
    """Tell what the results rest on, and then every warning.

    Parameters
    ----------
    facts
        The other facts of the page.
    """
    return [*_grounds(facts), *_warnings(facts)]


def _grounds(facts: Mapping[str, Any]) -> Iterator[Remark]:
    rows = f"{facts['test_rows']:,} rows"
    if facts["tracks"]:
        rows = f"{facts['tracks']['summary']['positions']:,} positions"
    yield Remark(f"Judged on {facts['test_groups']:,} groups ({rows}) that no model saw", "method")
    standing = facts["standings"]
    known = [line for line in standing if line.low is not None]
    if facts["has_base"] and known:
        clear = sum(line.word in ("better", "worse") for line in known)
        yield Remark(
            f"The 95 % interval excludes zero in {clear} of {len(standing)} "
            f"{'class' if len(standing) == 1 else 'classes'}",
            "comparison",
        )
    sides = ", base scores to model" * facts["has_base"]
    yield Remark(f"Calibration error (ECE){sides}: {_calibration(facts)}", "calibration")


def _calibration(facts: Mapping[str, Any]) -> str:
    """The calibration errors of the classes of the first screen."""
    shown = {line.name for line in facts["standings"]}
    lines = [
        line
        for line in facts["verdicts"]
        if line.weighted == facts["weighted"] and line.name in shown
    ]
    parts = []
    for line in lines[:MOST_NAMED]:
        base, model = (_share(cell) for cell in line.cells["ece"])
        before = f"{base} to " if base != DASH else ""
        parts.append(f"{line.name} {before}{model}")
    return ", ".join(parts) + (", ..." if len(lines) > MOST_NAMED else "")


def _warnings(facts: Mapping[str, Any]) -> Iterator[Remark]:
    absent, over = facts["absent"], facts["over"]
    if absent:
        total = facts["n_batches"] + len(absent)
        yield Remark(f"{len(absent)} of {total} batches have no model", "batches", True)
    reasons: dict[str | None, list[str]] = {}
    for line in facts["standings"]:
        if line.low is None:
            reasons.setdefault(line.reason, []).append(line.name)
    for reason, names in reasons.items():
        yield Remark(f"No interval for {_named(names)}: {reason}", "comparison", True)
    if facts["neighbours"] and facts["neighbours"]["beside"]:
        yield Remark("Calls sit beside the sites, not on them", "neighbours", True)
    if facts["has_base"] and facts["differing"] and not facts["tracks"]:
        names = ", ".join(line.name for line in facts["differing"])
        yield Remark(f"Counted in rows the verdict differs: {names}", "comparison", True)
    if over:
        jobs = f"{len(over)} of {facts['jobs']} jobs"
        yield Remark(f"{jobs} needed more memory than estimated", "memory", True)
    problems = [p for p in facts["dataset"]["problems"] if p["level"] != "note"]
    if problems:
        found = "a problem" if len(problems) == 1 else f"{len(problems)} problems"
        yield Remark(f"The table has {found}", "data", True)


def _named(names: Sequence[str]) -> str:
    more = f" and {len(names) - MOST_NAMED} more" if len(names) > MOST_NAMED else ""
    return ", ".join(names[:MOST_NAMED]) + more


def _share(shown: Cell) -> str:
    """A cell of a share as the first screen shows it; its note is the full value."""
    return shown.text if shown.text == DASH else format_share(float(shown.note))
