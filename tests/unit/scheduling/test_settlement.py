"""What becomes of a job after an attempt: every outcome with every budget."""

from __future__ import annotations

import pytest

from gliderport_prefect.protocol.ids import JobId
from gliderport_prefect.protocol.jobspec import JobSpec
from gliderport_prefect.protocol.outcomes import JobState, Outcome
from gliderport_prefect.scheduling.settlement import Account, Limits, Verdict, decide_verdict
from tests.unit.scheduling.made import report

Q, F, S, C, X = JobState.QUEUED, JobState.FAILED, JobState.SUCCEEDED, JobState.CANCELLED, JobState.QUARANTINED
SPEC = JobSpec(id=JobId("a"), run="x", retries=2)
LIMITS = Limits(losses=3, memory_bytes=100)


def verdict(outcome: Outcome, spec: JobSpec = SPEC, *, exit_code: int | None = 1, **used: int) -> Verdict:
    account = {"charged": 0, "losses": 0, "memory_bytes": 0, "cancel_wanted": False, **used}
    return decide_verdict(report(outcome, exit_code=exit_code), spec, account=Account(**account), limits=LIMITS)  # pyright: ignore[reportArgumentType]


@pytest.mark.parametrize(
    ("outcome", "fresh", "all_retries_used", "many_losses", "cancel_wanted"),
    [
        (Outcome.SUCCEEDED, S, S, S, S),
        (Outcome.FAILED, Q, F, Q, C),
        (Outcome.TIMED_OUT, Q, F, Q, C),
        (Outcome.OUT_OF_MEMORY, F, F, F, C),
        (Outcome.INPUT_MISSING, F, F, F, C),
        (Outcome.OUTPUT_FAILED, F, F, F, C),
        (Outcome.PREEMPTED, Q, Q, Q, C),
        (Outcome.WORKER_LOST, Q, Q, X, C),
        (Outcome.CANCELLED, C, C, C, C),
        (Outcome.REJECTED, F, F, F, C),
    ],
)
def test_each_outcome(
    outcome: Outcome, fresh: JobState, all_retries_used: JobState, many_losses: JobState, cancel_wanted: JobState
) -> None:
    assert verdict(outcome).then is fresh
    assert verdict(outcome, charged=2).then is all_retries_used
    assert verdict(outcome, losses=2).then is many_losses
    assert verdict(outcome, cancel_wanted=True).then is cancel_wanted


def test_the_table_has_every_outcome() -> None:
    (mark,) = test_each_outcome.pytestmark  # pyright: ignore[reportFunctionMemberAccess]
    assert {row[0] for row in mark.args[1]} == set(Outcome)


@pytest.mark.parametrize(("charged", "then"), [(0, Q), (1, Q), (2, F), (3, F)])
def test_retries_are_what_follows_the_first_try(charged: int, then: JobState) -> None:
    assert verdict(Outcome.FAILED, charged=charged).then is then


@pytest.mark.parametrize(("exit_code", "then"), [(75, Q), (1, F), (None, F)])
def test_only_the_named_exit_codes_are_worth_a_retry(exit_code: int | None, then: JobState) -> None:
    spec = JobSpec(id=JobId("a"), run="x", retry_on=(75, 76))
    assert verdict(Outcome.FAILED, spec, exit_code=exit_code).then is then


@pytest.mark.parametrize(
    ("had", "expected"),
    [(0, Verdict(F)), (10, Verdict(Q, 20)), (60, Verdict(Q, 100)), (100, Verdict(F)), (200, Verdict(F))],
)
def test_memory_is_doubled_up_to_what_a_worker_has(had: int, expected: Verdict) -> None:
    assert verdict(Outcome.OUT_OF_MEMORY, memory_bytes=had) == expected
