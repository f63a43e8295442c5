"""Whose silence counts, and when it means that a session is lost."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from gliderport_prefect.scheduling.listening import (
    LONGEST_LOOK_SECONDS,
    ListeningClock,
    derive_silent,
    note_overdue,
)
from tests.unit.scheduling.made import session

_ROUNDING = 1e-6  # of sums of floats up to tens of thousands of seconds


@given(gaps=st.lists(st.floats(-10, 1000), max_size=30))
def test_the_clock_never_goes_back_nor_faster_than_time_nor_through_a_stall(gaps: list[float]) -> None:
    clock, now = ListeningClock(seconds=0, looked_at=0), 0.0
    for gap in gaps:
        before, now = clock.seconds, now + gap
        clock.note_look(now)
        assert 0 <= clock.seconds - before <= min(max(gap, 0.0), LONGEST_LOOK_SECONDS) + _ROUNDING


def test_a_session_with_jobs_is_missed_sooner_than_one_without() -> None:
    busy, idle = session("busy", holds=1), session("idle")
    assert derive_silent([busy, idle], 45, now=45) == {}
    assert derive_silent([busy, idle], 45, now=46) == {busy.id: "was silent for more than 45 s"}
    assert derive_silent([busy, idle], 45, now=91).keys() == {busy.id, idle.id}


def test_a_session_is_overdue_half_way_and_not_once_it_is_heard() -> None:
    busy = session(holds=1)
    note_overdue([busy], 45, now=23)
    assert not busy.is_open
    busy.heard_at = 23
    note_overdue([busy], 45, now=24)
    assert busy.is_open
