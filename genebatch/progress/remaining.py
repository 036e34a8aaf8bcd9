"""Adds to what Snakemake logs which steps are left."""

import logging
from typing import Any

from genebatch.progress.steps import Step

NO_STEPS = ("all", "default")  # rules that only ask for files


class Remaining(logging.Filter):
    """Puts the steps that are left on the record of a job that starts, whenever they have changed.

    They change when the plan is made. It is a filter of Snakemake's logger, as only this is called
    by the thread that changes the steps.

    Parameters
    ----------
    dag
        Snakemake's graph of jobs.
    results
        The results folder.
    """

    def __init__(self, dag: Any, results: str):
        super().__init__()
        self.dag, self.results = dag, results
        self.known: int | None = None

    def filter(self, record: logging.LogRecord) -> bool:
        """Let every record pass."""
        if getattr(record, "event", None) == "job_info" and len(self.dag) != self.known:
            self.known = len(self.dag)
            jobs = [job for job in self.dag.needrun_jobs() if job.rule.name not in NO_STEPS]
            record.steps = [Step.build(job.rule.name, job.wildcards_dict) for job in jobs]
            record.results = self.results
        return True
