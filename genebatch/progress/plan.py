"""Reads what is known of the steps of a run before they begin."""

import csv
from pathlib import Path
from typing import Any

from genebatch.io.files import read_json
from genebatch.progress.pace import Expected
from genebatch.progress.steps import Step


class Plan:
    """The batches of a run, and how long its steps should take.

    Parameters
    ----------
    results
        The results folder.
    """

    def __init__(self, results: str | Path):
        self.results = Path(results)
        self.batches: dict[str, dict[str, str]] = {}
        self.whole: dict[str, Any] = {}
        manifest = self.results / "batches" / "manifest.tsv"
        needs = manifest.with_name("memory.json")
        if manifest.exists() and needs.exists():
            with manifest.open(newline="", encoding="utf-8") as stream:
                lines = csv.DictReader(stream, delimiter="\t")
                self.batches = {line["batch"]: line for line in lines}
            self.whole = read_json(needs)

    def expected(self, step: Step) -> Expected:
        """How long a step should take: by the plan, and by an earlier run of these results."""
        if step.of in self.batches:
            most = self.batches[step.of].get(f"seconds_{step.rule}")
        else:
            most = self.whole.get("seconds", {}).get(step.rule)
        used = self.results / "usage" / step.rule / f"{step.of or 'all'}.json"
        before = read_json(used)["seconds"] if used.exists() else None
        return Expected(float(most or 0), before)
