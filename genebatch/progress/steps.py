"""Names the steps of a run in words, and reads what a job said in its log."""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

# What each rule makes; rules of a batch are told with its number.
WORDS = {
    "gene_sequences": "sequences for the scorer",
    "run_scorer": "scorer",
    "score_genes": "base scores",
    "build_dataset": "table from the genome",
    "table_of_text": "table from text",
    "analyze_dataset": "analysis of the table",
    "choose_test_groups": "test groups",
    "screen_features": "screen of features",
    "describe_groups": "features of groups",
    "plan_batches": "plan",
    "cross_validate_batch": "cross-validation",
    "train_batch": "training",
    "calibrate_batch": "calibration",
    "explain_batch": "explanation",
    "diagnose_batch": "figures",
    "neighbours_batch": "scores around sites",
    "cross_batch_scores": "scores by all members",
    "combine_batches": "combiners",
    "cross_validate_single": "single model",
    "train_single": "single model of all rows",
    "add_single": "ensemble with the single model",
    "distil": "distilled model",
    "consolidate": "delivered model",
    "estimate": "candidates on training groups",
    "evaluate": "candidates on test groups",
    "explain_final": "explanation of the delivered model",
    "rank_groups": "groups to add",
    "call_genes": "calls of",
    "evaluate_tracks": "complete tracks",
    "neighbours": "scores around all sites",
    "predict": "predictions of",
    "write_report": "report",
}
USED = re.compile(r" peak ([\d.]+) MB of (\d+) MB declared, ([\d.]+) s$")
SAID = re.compile(r"^\d\d:\d\d:\d\d INFO (?:batch )?(?:b\d+: )?(.*)$")
ERROR = re.compile(r"^\d\d:\d\d:\d\d ERROR ")
ERROR_LINES = 5  # of a failed job that are shown


class Step(NamedTuple):
    """A job of a run.

    Attributes
    ----------
    rule
        Its rule.
    of
        What it is about: a batch, a fold, a table or a set of calls; empty if it is about all.
    """

    rule: str
    of: str = ""

    @classmethod
    def build(cls, rule: str, wildcards: Mapping[str, str]) -> "Step":
        """The step of a rule and its wildcards."""
        return cls(rule, next(iter(wildcards.values()), ""))

    def name(self, batches: Mapping[str, object]) -> str:
        """The step in words.

        Parameters
        ----------
        batches
            All batches of the plan, in its order; empty before there is a plan.
        """
        words = WORDS.get(self.rule, self.rule)
        if self.of in batches:
            return f"batch {[*batches].index(self.of) + 1}/{len(batches)} {words}"
        if self.rule.endswith("_batch") and self.of:
            return f"batch {self.of} {words}"
        if self.rule == "cross_validate_single":
            return f"{words}, fold {int(self.of) + 1}"
        return f"{words} {self.of}" if self.of else words


class Used(NamedTuple):
    """What a job said when it ended.

    Attributes
    ----------
    said
        The last fact of its log; empty if there is none.
    peak_mb, declared_mb, seconds
        Memory and time.
    """

    said: str
    peak_mb: float
    declared_mb: float
    seconds: float


def read_used(log: str | Path) -> Used | None:
    """Read the end of a job's log; None if the log does not tell."""
    lines = _lines(log)
    found = USED.search(lines[-1]) if lines else None
    if found is None:
        return None
    facts = [said[1] for said in map(SAID.match, lines[:-1]) if said]
    # The kinds of calibrators, and trees by class, are no summary.
    facts = [fact for fact in facts if re.search(r"\d", fact) and "class " not in fact]
    return Used(facts[-1] if facts else "", *map(float, found.groups()))


def read_error(log: str | Path) -> list[str]:
    """Read the first lines of the error in a job's log; its last lines if it names none.

    A traceback is left out but for its last line.
    """
    lines = _lines(log)
    begins = next((n for n, line in enumerate(lines) if ERROR.match(line)), None)
    if begins is None:
        return lines[-ERROR_LINES:]
    told = [ERROR.sub("", lines[begins]), *lines[begins + 1 :]]
    traced = next((n for n, line in enumerate(told) if line.startswith("Traceback")), None)
    if traced is None:
        return told[:ERROR_LINES]
    last = next(
        (line for line in reversed(told) if re.match(r"[\w.]+(Error|Exception)\b", line)), ""
    )
    own = told[:traced]
    return [line for line in own[:ERROR_LINES] if line not in last] + ([last] if last else [])


def _lines(path: str | Path) -> list[str]:
    try:
        return Path(path).read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return []
