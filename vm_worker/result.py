"""How an attempt went, and the report that says so."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import Any

from gliderport_prefect.protocol.outcomes import Outcome
from gliderport_prefect.protocol.records import AttemptReport, Published, StreamLog, Usage, timestamp
from vm_worker.attempt import Attempt
from vm_worker.process import Ended


@dataclass(frozen=True)
class Result:
    """How an attempt went, before it is written down as a report."""

    outcome: Outcome
    """How it ended."""
    reason: str = ""
    """What happened, when it did not succeed."""
    ended: Ended | None = None
    """How its first process ended; none when it did not start."""
    usage: Usage = field(default_factory=Usage)
    """What it used."""
    stdout: StreamLog = field(default_factory=StreamLog)
    """What it printed."""
    stderr: StreamLog = field(default_factory=StreamLog)
    """What it printed as errors."""
    outputs: tuple[Published, ...] = ()
    """Where its outputs are."""
    values: dict[str, Any] = field(default_factory=dict[str, Any])
    """What the job told of itself."""


def write_report(attempt: Attempt, result: Result) -> AttemptReport:
    """Return the report of how the attempt went."""
    ended = result.ended
    return AttemptReport(
        job=attempt.ref.job,
        id=attempt.spec.id,
        attempt=attempt.ref.attempt,
        outcome=result.outcome,
        started_at=timestamp(attempt.began_at),
        finished_at=timestamp(attempt.began_at + time.monotonic() - attempt.began),
        exit_code=None if ended is None else ended.exit_code,
        signal=None if ended is None else ended.signal,
        reason=result.reason,
        usage=result.usage,
        stdout=result.stdout,
        stderr=result.stderr,
        outputs=result.outputs,
        result=result.values,
    )


def write_late_report(attempt: Attempt, reason: str) -> AttemptReport:
    """Return the report of an attempt whose worker has to go before it is through; of its logs, what is there."""
    said = [each.describe() for each in attempt.streams] or [StreamLog(), StreamLog()]
    text = f"{reason}; its files could not be dealt with in time"
    return write_report(attempt, Result(Outcome.PREEMPTED, text, stdout=said[0], stderr=said[1]))
