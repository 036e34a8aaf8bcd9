"""Lists the sections of the page, each with a line that says what is in it."""

from collections.abc import Mapping
from typing import Any

# Section to its title, in the order of the page. Snakemake's report has the same categories.
SECTIONS = {
    "comparison": "Comparison of candidates",
    "importance": "What the model looks at",
    "genes": "Test genes",
    "calibration": "Calibration",
    "tracks": "Complete tracks",
    "neighbours": "Neighbours of sites",
    "evidence": "Evidence tracks",
    "thresholds": "Thresholds",
    "batches": "Batches",
    "memory": "Memory and time",
    "data": "Data set",
    "method": "Method and limits",
    "use": "Use",
}
OPTIONAL = ("genes", "tracks", "neighbours", "evidence")  # only where the run has such facts


def contents(facts: Mapping[str, Any]) -> dict[str, str]:
    """Give the sections of a run with their titles."""
    return {
        name: title
        for name, title in SECTIONS.items()
        if name not in OPTIONAL or facts[name] is not None
    }


def gists(facts: Mapping[str, Any]) -> dict[str, str]:
    """Give the line that stands for each folded section of a run."""
    return {name: text(facts) for name, text in GISTS.items() if name in facts["contents"]}


def _comparison(facts: Mapping[str, Any]) -> str:
    number = len(facts["overall_candidates"])
    return f"{number} candidates on the same test groups; delivered: {facts['delivered']}"


def _importance(facts: Mapping[str, Any]) -> str:
    names = [bar.name for bar in facts["looks"].features[:3]]
    return ", ".join(names) or "no feature has an effect"


def _calibration(facts: Mapping[str, Any]) -> str:
    methods = ", ".join(f"{count} {name}" for name, count in facts["methods"].items())
    return f"calibrators: {methods}"


def _genes(facts: Mapping[str, Any]) -> str:
    return ", ".join(f"{gene.name} ({gene.reason})" for gene in facts["genes"])


def _tracks(facts: Mapping[str, Any]) -> str:
    summary = facts["tracks"]["summary"]
    return f"{summary['positions']:,} positions of {summary['genes']:,} test genes"


def _neighbours(facts: Mapping[str, Any]) -> str:
    return facts["neighbours"]["verdict"].split(" (")[0].split(":")[0].rstrip(".")


def _evidence(facts: Mapping[str, Any]) -> str:
    lines = facts["evidence"]["lines"]
    helped = list(dict.fromkeys(line.track for line in lines if line.word == "helped"))
    return f"helped: {', '.join(helped)}" if helped else "no track helped beyond chance"


def _thresholds(facts: Mapping[str, Any]) -> str:
    lines = [
        f"{line['class']} {line['threshold'].text}"
        for line in facts["thresholds"]
        if line["system"] == "model" and line["weighted"] == facts["weighted"]
    ]
    return ", ".join(lines[:4]) + (", ..." if len(lines) > 4 else "")


def _batches(facts: Mapping[str, Any]) -> str:
    rows = sum(batch["rows"] for batch in facts["batches"])
    number = facts["n_batches"]
    return f"{number} {'batch' if number == 1 else 'batches'}, {rows:,} rows"


def _memory(facts: Mapping[str, Any]) -> str:
    if not facts["jobs"]:
        return "no job recorded its memory"
    over = len(facts["over"])
    above = f"{over} above their estimate" if over else "none above its estimate"
    peak = facts["usage"][0].peak_mb
    return f"{facts['jobs']:,} jobs, {facts['job_time']}; largest peak {peak:,.0f} MB; {above}"


def _data(facts: Mapping[str, Any]) -> str:
    data = facts["dataset"]
    return f"{data['rows']:,} rows of {data['groups']:,} groups; {facts['kept']:,} features"


GISTS = {
    "comparison": _comparison,
    "importance": _importance,
    "genes": _genes,
    "calibration": _calibration,
    "tracks": _tracks,
    "neighbours": _neighbours,
    "evidence": _evidence,
    "thresholds": _thresholds,
    "batches": _batches,
    "memory": _memory,
    "data": _data,
    "method": lambda facts: "how groups were split and judged, and what this does not show",
    "use": lambda facts: "load the model, predict a table",
}
