"""What becomes of a job after an attempt, and who pays for a failure (DESIGN section 5)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from gliderport_prefect.protocol.outcomes import FREE, USER_PAID, JobState, Outcome

if TYPE_CHECKING:
    from gliderport_prefect.protocol.jobspec import JobSpec
    from gliderport_prefect.protocol.records import AttemptReport

_MORE_MEMORY = 2
"""Factor by which an attempt gets more memory than the one that ran out of it."""


@dataclass(frozen=True)
class Account:
    """What a job has used up before the attempt that is being settled."""

    charged: int
    """Failures that the user's retries pay for."""
    losses: int
    """Lost workers on which it was running."""
    memory_bytes: int
    """Memory that the attempt had; 0 when it had no limit."""
    cancel_wanted: bool
    """Whether somebody asked for its end."""


@dataclass(frozen=True)
class Verdict:
    """What becomes of the job."""

    then: JobState
    """Its state."""
    memory_bytes: int | None = None
    """Memory of its next attempt, if it is to differ."""


@dataclass(frozen=True)
class Limits:
    """What no job may exceed."""

    losses: int
    """Lost workers that make a job a likely killer."""
    memory_bytes: int
    """Memory of the largest worker there is."""


def decide_verdict(report: AttemptReport, spec: JobSpec, *, account: Account, limits: Limits) -> Verdict:
    """Return what becomes of a job after the attempt.

    Args:
        report: How the attempt ended.
        spec: The job.
        account: What it has used up before.
        limits: What it may not exceed.
    """
    outcome = report.outcome
    if outcome is Outcome.SUCCEEDED:
        return Verdict(JobState.SUCCEEDED)
    if account.cancel_wanted or outcome is Outcome.CANCELLED:
        return Verdict(JobState.CANCELLED)
    if outcome is Outcome.OUT_OF_MEMORY:
        return _more_memory(account.memory_bytes, limits.memory_bytes)
    if outcome in FREE:
        is_killer = outcome is Outcome.WORKER_LOST and account.losses + 1 >= limits.losses
        return Verdict(JobState.QUARANTINED if is_killer else JobState.QUEUED)
    has_retry = outcome in USER_PAID and account.charged < spec.retries and _is_worth_retry(report, spec)
    return Verdict(JobState.QUEUED if has_retry else JobState.FAILED)


def _is_worth_retry(report: AttemptReport, spec: JobSpec) -> bool:
    return not spec.retry_on or report.exit_code in spec.retry_on


def _more_memory(had: int, most: int) -> Verdict:
    """Return a next attempt with more memory as long as a worker can have it."""
    if not 0 < had < most:
        return Verdict(JobState.FAILED)
    return Verdict(JobState.QUEUED, memory_bytes=min(had * _MORE_MEMORY, most))
