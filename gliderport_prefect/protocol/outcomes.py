"""How attempts end, in which states jobs are, and who pays for a failure.

`README.md` beside this file draws the way of a job through its states.
"""

from __future__ import annotations

from enum import Enum


class Outcome(str, Enum):
    """How one attempt ended."""

    SUCCEEDED = "SUCCEEDED"
    """The command ended with exit code 0 and its outputs are published."""
    FAILED = "FAILED"
    """The command ended with another exit code or by a signal, or left a required output out."""
    TIMED_OUT = "TIMED_OUT"
    """The command ran longer than the spec's `timeout`."""
    OUT_OF_MEMORY = "OUT_OF_MEMORY"
    """The command's processes used more memory than the attempt had."""
    INPUT_MISSING = "INPUT_MISSING"
    """An input was not there or could not be read."""
    OUTPUT_FAILED = "OUTPUT_FAILED"
    """The command succeeded, its outputs could not be written to their destination."""
    PREEMPTED = "PREEMPTED"
    """The worker was told to leave and stopped the command."""
    WORKER_LOST = "WORKER_LOST"
    """The worker died or fell silent; the launcher settles this, not the worker."""
    CANCELLED = "CANCELLED"
    """Somebody asked for the end of the job."""
    REJECTED = "REJECTED"
    """The worker cannot run such a spec at all."""


class JobState(str, Enum):
    """Where a job stands."""

    QUEUED = "QUEUED"
    """It waits for a worker."""
    ASSIGNED = "ASSIGNED"
    """It lies in a worker's inbox."""
    RUNNING = "RUNNING"
    """A worker has reported its start."""
    SUCCEEDED = "SUCCEEDED"
    """Its outputs, if any, are published."""
    FAILED = "FAILED"
    """Its retries are used up, or it cannot succeed."""
    QUARANTINED = "QUARANTINED"
    """It was running on too many workers that died, and is not given to another."""
    CANCELLED = "CANCELLED"
    """Somebody asked for its end."""


TERMINAL_STATES = frozenset({JobState.SUCCEEDED, JobState.FAILED, JobState.QUARANTINED, JobState.CANCELLED})

USER_PAID = frozenset({Outcome.FAILED, Outcome.TIMED_OUT})
"""Outcomes that use up one of the spec's `retries`."""

FREE = frozenset({Outcome.PREEMPTED, Outcome.WORKER_LOST})
"""Outcomes that cost the job nothing."""
