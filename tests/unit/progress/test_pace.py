"""How much is done, and how long the rest takes, by hand."""

import pytest

from genebatch.progress.pace import START_SECONDS, TYPICAL, Expected, Pace, Took
from genebatch.progress.steps import Step

FIRST, SECOND, LAST = Step("train", "b000"), Step("train", "b001"), Step("report")


def pace(**known: Expected) -> Pace:
    made = Pace([Took("analysis", Expected(0.0), 2.0)])
    made.expect({FIRST: Expected(100.0), SECOND: Expected(100.0), LAST: Expected(0.0)})
    return made


def test_a_step_takes_a_start_and_a_typical_part_of_what_it_takes_at_most():
    made = Pace()
    made.expect({FIRST: Expected(100.0)})
    assert made.seconds_of(FIRST) == pytest.approx(START_SECONDS + 100 * TYPICAL)


def test_the_start_is_that_of_steps_with_nothing_to_do():
    assert pace().seconds_of(LAST) == pytest.approx(2.0)


def test_a_step_takes_what_another_of_its_rule_took():
    made = pace()
    made.start(FIRST, 0.0)
    made.finish(FIRST, 42.0)
    assert made.seconds_of(SECOND) == pytest.approx(42.0)


def test_a_step_of_an_earlier_run_takes_what_it_took_then():
    made = pace()
    made.expect({FIRST: Expected(100.0, before=7.0)})
    assert made.seconds_of(FIRST) == 7.0


def test_shares_are_of_time_and_reach_the_whole():
    made = pace()
    assert made.share() == 0
    made.finish(FIRST, 42.0)
    assert made.share() == pytest.approx(42 / (42 + 42 + 2))
    made.finish(SECOND, 42.0)
    made.finish(LAST, 2.0)
    assert made.share() == 1


def test_a_share_never_falls():
    made = pace()
    made.finish(FIRST, 42.0)
    before = made.share()
    made.expect({SECOND: Expected(1e6), LAST: Expected(0.0)})
    assert made.share() == before


def test_batches_run_side_by_side_and_the_report_after_them():
    made = pace()
    made.finish(FIRST, 42.0)
    assert made.seconds_left(100.0) == pytest.approx(42 + 2)
    made = pace()
    made.start(FIRST, 0.0)
    made.start(SECOND, 0.0)
    expected = made.seconds_of(FIRST)
    assert made.seconds_left(0.0) == pytest.approx((expected + expected) / 2 + 2)


def test_the_end_stays_while_it_moves_a_little():
    made = pace()
    made.finish(FIRST, 42.0)
    assert made.seconds_left(100.0) == pytest.approx(44)
    assert made.seconds_left(104.0) == pytest.approx(40)  # and not 44 again
    assert made.seconds_left(200.0) == pytest.approx(44)  # the old end is over


def test_nothing_is_said_of_the_rest_of_nothing():
    made = pace()
    for step in (FIRST, SECOND, LAST):
        made.fail(step)
    assert made.seconds_left(0.0) is None
