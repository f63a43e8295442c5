"""How long an attempt has that is being ended."""

from __future__ import annotations

import math
import os
import time

import pytest

from gliderport_prefect.protocol.ids import AttemptId, JobId, JobNumber
from gliderport_prefect.protocol.jobspec import JobSpec
from gliderport_prefect.protocol.outcomes import Outcome
from gliderport_prefect.protocol.records import Assignment
from vm_worker.attempt import Attempt, Ending, Respite

PREEMPTED = Ending(Outcome.PREEMPTED, "preempted")


def running(*, grace_seconds: float = 30) -> Attempt:
    """Return an attempt whose command seems to run."""
    spec = JobSpec(JobId("job-1"), run="true", grace_seconds=grace_seconds)
    attempt = Attempt(Assignment(JobNumber(1), AttemptId("1.1"), spec), ())
    attempt.begin_command(os.getpid(), "nobody")
    return attempt


def respite(command: float, report: float) -> Respite:
    """Return a respite of so many seconds from now."""
    now = time.monotonic()
    return Respite(now + command, now + report)


def term(attempt: Attempt) -> None:
    """End it: it gets its TERM now."""
    attempt.end(PREEMPTED)
    attempt.signal_members([], now=time.monotonic())


def has_grace_in(attempt: Attempt, seconds: float) -> bool:
    return attempt.has_grace_left(time.monotonic() + seconds)


def test_without_a_limit_there_is_no_hurry() -> None:
    assert running().seconds_left() == math.inf


def test_what_is_left_for_the_report_is_told_and_never_negative() -> None:
    attempt = running()
    attempt.limit(respite(10, 20))
    assert attempt.seconds_left() == pytest.approx(20, abs=1)

    attempt.limit(respite(-5, -1))

    assert attempt.seconds_left() == 0


def test_a_limit_that_comes_first_replaces_the_grace_time_even_when_it_is_longer() -> None:
    attempt = running(grace_seconds=1)
    attempt.limit(respite(60, 70))

    term(attempt)

    assert has_grace_in(attempt, 50)
    assert not has_grace_in(attempt, 65)


def test_a_limit_that_comes_later_only_shortens() -> None:
    attempt = running(grace_seconds=30)
    term(attempt)

    attempt.limit(respite(60, 70))
    assert has_grace_in(attempt, 25)
    assert not has_grace_in(attempt, 35)
    attempt.limit(respite(10, 20))

    assert has_grace_in(attempt, 5)
    assert not has_grace_in(attempt, 15)


def test_a_command_is_killed_earlier_when_its_checkpoint_takes_long_to_save() -> None:
    attempt = running()
    attempt.save_seconds = 40
    attempt.limit(respite(110, 116))

    term(attempt)

    assert has_grace_in(attempt, 70)
    assert not has_grace_in(attempt, 80)
    assert attempt.seconds_left() == pytest.approx(116, abs=1)
