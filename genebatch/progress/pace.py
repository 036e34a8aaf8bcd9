"""Estimates how much of a run is done and how long the rest takes."""

from collections.abc import Iterable, Mapping
from statistics import mean
from typing import NamedTuple

from genebatch.progress.steps import Step

START_SECONDS = 2.5  # of a job on an idle machine: it imports its libraries
# Boosting mostly stops early: what a step takes of the seconds that it takes at most.
TYPICAL = 0.1
SMALL_SECONDS = 1.0  # a step that takes less at most shows how long a job takes to start
STEADY = 0.15  # an end that is this much of the rest earlier or later is no news
LEAST_SECONDS = 30  # of a rest, for the same


class Expected(NamedTuple):
    """What is known of a step before it begins.

    Attributes
    ----------
    most
        Seconds of a core that it takes at most, beside its start.
    before
        Seconds that it took in an earlier run, if there was one.
    """

    most: float
    before: float | None = None


class Took(NamedTuple):
    """A finished step."""

    rule: str
    expected: Expected
    seconds: float


class Pace:
    """Shares of a run, from what steps are expected to take and have taken.

    A step takes `start + factor * most` seconds. Both are learned from the finished steps. A step
    of a rule that has finished steps takes as much as they, in proportion.

    Parameters
    ----------
    before
        Steps that were finished before the plan was known.
    """

    def __init__(self, before: Iterable[Took] = ()):
        self.left: dict[Step, Expected] = {}
        self.running: dict[Step, float] = {}
        self.took = list(before)
        self.spent = 0.0
        self.most_running = 1
        self._share = 0.0
        self._end: float | None = None

    def expect(self, steps: Mapping[Step, Expected]) -> None:
        """Take these for the steps that are left."""
        self.left = dict(steps)

    def start(self, step: Step, now: float) -> None:
        """Note that a step begins."""
        self.running[step] = now
        self.most_running = max(self.most_running, len(self.running))

    def finish(self, step: Step, seconds: float) -> None:
        """Note that a step is finished, and how long it took."""
        self.running.pop(step, None)
        self.took.append(Took(step.rule, self.left.pop(step, Expected(0.0)), seconds))
        self.spent += seconds

    def fail(self, step: Step) -> None:
        """Note that a step has failed."""
        self.running.pop(step, None)
        self.left.pop(step, None)

    def seconds_of(self, step: Step) -> float:
        """Seconds that a step that is left should take."""
        expected = self.left[step]
        if expected.before is not None:
            return max(expected.before, 0.1)
        same = [took for took in self.took if took.rule == step.rule]
        scale = 1.0
        if same:
            modelled = sum(self._modelled(took.expected) for took in same)
            scale = sum(took.seconds for took in same) / modelled
        return self._modelled(expected) * scale

    def share(self) -> float:
        """The share of the work that is done; it never falls."""
        rest = sum(map(self.seconds_of, self.left))
        if self.spent + rest > 0:
            self._share = max(self._share, self.spent / (self.spent + rest))
        return self._share

    def seconds_left(self, now: float) -> float | None:
        """Seconds until the end, or None if no step is left.

        Steps of batches, folds and tables run side by side, the others one after the other. The end
        moves only where that is news.
        """
        if not self.left:
            return None
        apart = sum(self._rest(step, now) for step in self.left if step.of)
        serial = sum(self._rest(step, now) for step in self.left if not step.of)
        rest = apart / self.most_running + serial
        end = now + rest
        if self._end is None or abs(end - self._end) > STEADY * max(rest, LEAST_SECONDS):
            self._end = end
        return max(self._end - now, 0.0)

    def _modelled(self, expected: Expected) -> float:
        small = [took.seconds for took in self.took if took.expected.most < SMALL_SECONDS]
        start = max(mean(small), 0.1) if small else START_SECONDS
        large = [took for took in self.took if took.expected.most >= SMALL_SECONDS]
        factor = TYPICAL
        if large:
            beyond = sum(max(took.seconds - start, 0.0) for took in large)
            factor = beyond / sum(took.expected.most for took in large)
        return start + factor * expected.most

    def _rest(self, step: Step, now: float) -> float:
        expected = self.seconds_of(step)
        return max(expected - (now - self.running.get(step, now)), 0.1 * expected)
