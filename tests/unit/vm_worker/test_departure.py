"""When a worker leaves, and how much time its attempts have."""

from __future__ import annotations

import math
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gliderport_prefect.protocol.records import WorkerPolicy
from vm_worker.departure import Departure, Haste, Leave
from vm_worker.exits import Exit
from vm_worker.notices import SHORTEST_SECONDS, Notice

POLICY = WorkerPolicy(idle_seconds=60, grace_seconds=100)
NEVER_IDLE = None


def told(seconds_left: float) -> Departure:
    """Return the departure of a worker that was told so, and has taken it into account."""
    departure = Departure(POLICY)
    departure.foresee(Notice("it is taken back", seconds_left))
    departure.demand_by_clock(now=time.monotonic(), idle_since=NEVER_IDLE)
    return departure


def at(departure: Departure, *, seconds: float) -> Haste:
    """Return its haste so many seconds from now."""
    departure.demand_by_clock(now=time.monotonic() + seconds, idle_since=NEVER_IDLE)
    return departure.leave.haste


@pytest.mark.parametrize(("seconds_left", "command", "report"), [(30, 25, 28), (60, 50, 56), (120, 110, 116)])
def test_after_a_notice_jobs_have_what_is_left_but_for_a_reserve(
    seconds_left: float, command: float, report: float
) -> None:
    departure = told(seconds_left)

    respite = departure.grant(grace_seconds=1)

    now = time.monotonic()
    assert departure.leave.haste is Haste.ENDING
    assert respite.command_until - now == pytest.approx(command, abs=1)
    assert respite.report_by - now == pytest.approx(report, abs=1)


@given(
    notices=st.lists(st.floats(SHORTEST_SECONDS, 150), min_size=1, max_size=3),
    grace_seconds=st.floats(0, 1000),
    signals=st.lists(st.just("SIGTERM"), max_size=1),
)
def test_nobody_is_ever_given_more_time_than_the_machine_has(
    notices: list[float], grace_seconds: float, signals: list[str]
) -> None:
    departure = told(notices[0])
    for seconds_left in notices[1:]:
        departure.foresee(Notice("again", seconds_left))
    for name in signals:
        departure.demand_by_signal(name)

    respite = departure.grant(grace_seconds)

    now = time.monotonic()
    assert respite.command_until <= respite.report_by <= now + min(notices)
    assert respite.command_until > now or (signals and grace_seconds < 1)
    if signals:
        assert respite.command_until <= now + grace_seconds


def test_after_a_signal_jobs_have_the_grace_time_of_their_spec_and_some_to_clear_up() -> None:
    departure = Departure(POLICY)
    departure.demand_by_signal("SIGTERM")

    respite = departure.grant(grace_seconds=40)

    now = time.monotonic()
    assert departure.leave == Leave(Haste.ENDING, "told to by SIGTERM", Exit.PREEMPTED)
    assert respite.command_until - now == pytest.approx(40, abs=1)
    assert respite.report_by - now == pytest.approx(50, abs=1)


@pytest.mark.parametrize("departure", [Departure(POLICY), told(120)], ids=["working", "told of the machine's end"])
def test_the_second_signal_kills_whether_or_not_there_was_a_notice(departure: Departure) -> None:
    departure.demand_by_signal("SIGTERM")
    assert departure.leave.haste is Haste.ENDING
    departure.demand_by_signal("SIGTERM")

    assert departure.leave.haste is Haste.KILLING


def test_a_signal_at_the_end_of_a_life_kills() -> None:
    departure = Departure(POLICY)
    departure.demand(Leave(Haste.ENDING, "its life is over"))

    departure.demand_by_signal("SIGTERM")

    assert departure.leave.haste is Haste.KILLING


def test_a_machine_that_goes_much_later_is_used_until_shortly_before() -> None:
    departure = told(3600)

    assert at(departure, seconds=0) is Haste.WORKING
    assert at(departure, seconds=3600 - 260) is Haste.WORKING
    assert at(departure, seconds=3600 - 240) is Haste.DRAINING
    assert at(departure, seconds=3600 - 140) is Haste.ENDING
    assert departure.leave.reason == "it is taken back"


def test_an_announcement_that_is_withdrawn_is_forgotten() -> None:
    departure = told(3600)

    departure.foresee(None)

    assert at(departure, seconds=3600) is Haste.WORKING


def test_of_several_announcements_the_earliest_counts_once_the_worker_leaves() -> None:
    departure = told(60)
    departure.foresee(Notice("later", 120))
    departure.foresee(None)
    assert departure.grant(0).report_by - time.monotonic() == pytest.approx(56, abs=1)

    departure.foresee(Notice("earlier", 30))

    assert departure.grant(0).report_by - time.monotonic() == pytest.approx(28, abs=1)


def test_a_change_is_told_once_and_only_when_it_is_a_reason_to_leave() -> None:
    departure = Departure(POLICY)
    departure.foresee(Notice("much later", 3600))
    assert departure.take_change() is None

    departure.demand(Leave(Haste.DRAINING, "drained"))

    assert departure.take_change() == Leave(Haste.DRAINING, "drained")
    assert departure.take_change() is None
    departure.demand(Leave(Haste.DRAINING, "again"))
    assert departure.take_change() is None


def test_a_process_lingers_after_a_notice_unless_it_was_told_to_go_or_must_not_be_started_again() -> None:
    departure = told(30)
    assert (departure.linger_until(180) or 0) - time.monotonic() == pytest.approx(210, abs=1)

    departure.demand_by_signal("SIGTERM")

    assert departure.linger_until(180) is None
    assert Departure(POLICY).linger_until(180) is None
    for leaving, expected in ((Exit.FINISHED, False), (Exit.MISTAKE, False), (Exit.STORE_LOST, True)):
        other = told(30)
        other.demand(Leave(Haste.VANISHING, "something else", leaving))
        assert (other.linger_until(180) is not None) is expected


def test_nobody_waits_for_a_notice_that_is_far_away() -> None:
    departure = told(3600)
    departure.demand(Leave(Haste.KILLING, "a defect", Exit.CRASHED))

    assert departure.linger_until(180) is None


def test_a_worker_is_overdue_when_the_longest_grace_time_and_the_clearing_up_are_over() -> None:
    departure = Departure(POLICY)
    assert not departure.is_overdue(math.inf)
    departure.demand_by_signal("SIGTERM")

    departure.begin_ending(longest_grace_seconds=40)

    assert not departure.is_overdue(time.monotonic() + 45)
    assert departure.is_overdue(time.monotonic() + 55)
