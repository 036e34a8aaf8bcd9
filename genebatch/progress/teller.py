"""Turns what Snakemake logs into lines for a person."""

import re
import time
from collections.abc import Callable, Iterator
from logging import INFO, LogRecord
from typing import NamedTuple

from genebatch.progress import words
from genebatch.progress.pace import Expected, Pace, Took
from genebatch.progress.plan import Plan
from genebatch.progress.remaining import NO_STEPS
from genebatch.progress.steps import Step, read_error, read_used

# What Snakemake says without an event, and a person wants to know.
WANTED = ("Nothing to be done", "Complete log(s)", "Unlocked", "This was a dry-run")
WANTED += ("The run involves checkpoint",)
# What it says of a failure that has been told with its job.
TOLD_BEFORE = ("Exiting because a job execution failed", "At least one job did not complete")
EXIT_STATUS = "returned non-zero exit status"
UNLOCK = "--unlock"  # what Snakemake says of a lock without a command
PLAN = "plan_batches"
LONG_SECONDS = 60  # a step that takes longer is told when it begins
LOCATION = re.compile(r"\s*File .*, line \d+|\w+ in (rule|checkpoint|file) .*:$|Error:$|\w+Error:$")


class Line(NamedTuple):
    """A line for a person: the time and the share done, what happened, and how bad it is."""

    head: str
    text: str
    level: str = ""


class Started(NamedTuple):
    """A step that has begun, its log, and when."""

    step: Step
    log: str | None
    at: float


class Teller:
    """Tells a run in lines.

    Parameters
    ----------
    dry
        Whether nothing is run.
    clock
        Gives seconds since the epoch.
    unlock
        The command that removes the lock that a killed run left.
    """

    def __init__(self, dry: bool, clock: Callable[[], float] = time.time, unlock: str = ""):
        self.dry, self.clock, self.unlock = dry, clock, unlock
        self.jobs: dict[int, Started] = {}
        self.before: list[Took] = []
        self.pace: Pace | None = None
        self.plan: Plan | None = None
        self.said_left = ""
        self.counted = self.awaits_plan = self.failed = False
        self.events: dict[str, Callable[[LogRecord], Iterator[Line]]] = {
            "run_info": self._counts,
            "job_info": self._planned_job if dry else self._begin,
            "job_finished": self._finish,
            "job_error": self._fail,
            "error": self._error,
        }

    def lines(self, record: LogRecord) -> Iterator[Line]:
        """The lines that a record gives; mostly none."""
        event = getattr(record, "event", None)
        if event is not None:
            yield from self.events.get(str(event), lambda record: iter(()))(record)
        elif record.getMessage().startswith(TOLD_BEFORE):
            return
        elif record.levelno > INFO:
            yield Line(
                self._head(), f"{record.levelname.lower()}: {record.getMessage()}", "warning"
            )
        elif record.getMessage().startswith(WANTED):
            yield Line("", record.getMessage())

    def _counts(self, record: LogRecord) -> Iterator[Line]:
        """Tell how many steps are known; a dry run counts twice."""
        if self.counted:
            return
        self.counted = True
        stats = {name: n for name, n in record.stats.items() if name not in (*NO_STEPS, "total")}
        text = f"{sum(stats.values())} steps"
        self.awaits_plan = PLAN in stats
        if self.awaits_plan:
            text += ", and those of the batches, which the plan will tell"
        yield Line(self._head(), text)

    def _planned_job(self, record: LogRecord) -> Iterator[Line]:
        """Tell a job of a dry run with the reason."""
        if record.rule_name not in NO_STEPS:
            step = Step.build(record.rule_name, record.wildcards)
            reason = " ".join(str(record.reason).split())
            shown = reason if len(reason) <= 100 else f"{reason[:99]}…"
            yield Line("", f"{step.name({})} ({step.rule}): {shown}")

    def _begin(self, record: LogRecord) -> Iterator[Line]:
        if record.rule_name in NO_STEPS:
            return
        now = self.clock()
        step = Step.build(record.rule_name, record.wildcards)
        if hasattr(record, "steps"):
            yield from self._steps_left(record.steps, record.results)
        log = next(iter(record.log), None)
        self.jobs[record.jobid] = Started(step, log, now)
        if self.pace is None:
            return
        self.pace.start(step, now)
        expected = self.pace.seconds_of(step) if step in self.pace.left else 0.0
        if expected > LONG_SECONDS:
            takes = words.rest(expected).removesuffix(" left")
            yield Line(self._head(), f"{self._name(step)} begins, {takes}")

    def _steps_left(self, steps: list[Step], results: str) -> Iterator[Line]:
        """Begin to count when all steps are known: when there is a plan that stays."""
        if any(step.rule == PLAN for step in steps):
            return
        self.plan = Plan(results)
        if self.pace is None:
            self.pace = Pace(self.before)
        self.pace.expect({step: self.plan.expected(step) for step in steps})
        number = len(self.plan.batches)
        batches = f"{number} batches" if number > 1 else "one batch"
        if self.awaits_plan:
            yield Line(self._head(), f"{batches} planned; {len(steps)} steps to do")

    def _finish(self, record: LogRecord) -> Iterator[Line]:
        started = self.jobs.pop(record.job_id, None)
        if started is None:
            return
        now = self.clock()
        used = read_used(started.log) if started.log else None
        took = used.seconds if used else now - started.at
        if self.pace is None:
            self.before.append(Took(started.step.rule, Expected(0.0), took))
        else:
            self.pace.finish(started.step, took)
        parts = [self._said(started.step, used.said if used else "")]
        if used is not None:
            parts += [f"{words.memory(used.declared_mb)} declared"]
            parts += [f"{words.memory(used.peak_mb)} peak"]
        parts += [words.duration(took)]
        text = f"{self._name(started.step)}: {', '.join(filter(None, parts))}"
        # What a failed job keeps from running is not known.
        left = None if self.pace is None or self.failed else self.pace.seconds_left(now)
        said = "" if left is None else words.rest(left)
        if said != self.said_left:
            self.said_left = said
            text += f"; {said}" if said else ""
        yield Line(self._head(), text)

    def _said(self, step: Step, fact: str) -> str:
        """What a step did: a batch is told by its size, another step by the fact in its log."""
        row = self.plan.batches.get(step.of) if self.plan else None
        if row is None:
            return fact
        return f"{int(row['groups']):,} groups, {int(row['rows']):,} rows"

    def _fail(self, record: LogRecord) -> Iterator[Line]:
        """Tell a failed job: which it is, what its log says, and where that is."""
        started = self.jobs.pop(record.jobid, None)
        if started is None:
            return  # told before
        if self.pace is not None:
            self.pace.fail(started.step)
        self.failed = True
        step = started.step
        told = [f"FAILED: {self._name(step)} (rule {' '.join(filter(None, step))})"]
        told += [f"{key}: {value}" for key, value in record.aux.items()]
        for log in record.log:
            told += [*read_error(log), f"log: {log}"]
        yield Line(self._head(), "\n".join(told), "failed")

    def _error(self, record: LogRecord) -> Iterator[Line]:
        text = plain_error(record.getMessage())
        if UNLOCK in text:
            text += f"\n    {self.unlock}"
        if EXIT_STATUS not in text and not text.startswith(TOLD_BEFORE):
            yield Line(self._head(), text, "failed")

    def _name(self, step: Step) -> str:
        return step.name(self.plan.batches if self.plan else {})

    def _head(self) -> str:
        """The time of day, and the share that is done once it is known."""
        share = "     " if self.pace is None else f"{int(100 * self.pace.share()):3d} %"
        return f"{time.strftime('%H:%M:%S', time.localtime(self.clock()))} {share}  "


def plain_error(text: str) -> str:
    """An error as Snakemake tells it, without the places in its own files."""
    lines = text.partition("\nTraceback:")[0].partition("\nWildcards:")[0].splitlines()
    kept = [line.strip() for line in lines if line.strip() and not LOCATION.match(line.strip())]
    return "\n".join(kept) or text
