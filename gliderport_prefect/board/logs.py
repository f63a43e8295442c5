"""What attempts printed, byte for byte: from the ledger when it was short, else from its numbered parts."""

from __future__ import annotations

import base64
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

from gliderport_prefect.board.attempts import read_attempts
from gliderport_prefect.board.view import look_again
from gliderport_prefect.errors import StoreKeyMissing, UserError
from gliderport_prefect.protocol.ids import AttemptId, JobId, attempt_number

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from gliderport_prefect.board.names import JobName
    from gliderport_prefect.campaign.runtime import Runtime
    from gliderport_prefect.protocol.records import AttemptReport, StreamLog
    from gliderport_prefect.scheduling.state import CampaignState

StreamName = Literal["stdout", "stderr"]
Chunk = tuple[StreamName, bytes]
"""Some of what an attempt printed, and where it printed it."""

STREAMS: tuple[StreamName, ...] = ("stdout", "stderr")
_POLL_SECONDS = 1.0


@dataclass(frozen=True)
class Attempt:
    """An attempt whose output can be read."""

    id: AttemptId
    """Which."""
    report: AttemptReport | None
    """How it ended; none while it runs."""


def find_attempt(runtime: Runtime, state: CampaignState, *, job: JobName, number: int | None = None) -> Attempt | None:
    """Return the job's attempt of that number, or the one that runs, or the newest; None when it had none yet.

    Raises:
        UserError: The job had no attempt of that number.
    """
    running = _running(state, job.number)
    if running is not None and number in {None, attempt_number(running)}:
        return Attempt(running, None)
    known: list[int] = []
    for settled in read_attempts(runtime, state, job=job.number):
        known.insert(0, attempt_number(settled.report.attempt))
        if number in {None, known[0]}:
            return Attempt(settled.report.attempt, settled.report)
    if number is None:
        return None
    listed = ", ".join(map(str, known)) or "none"
    raise UserError(f"job {job.id!r} has no attempt {number} that ran", hint=f"attempts that ended: {listed}")


def read_log(runtime: Runtime, job: JobName, *, attempt: Attempt, streams: Iterable[StreamName]) -> Iterator[Chunk]:
    """Yield what the attempt has printed so far, one stream after the other.

    Raises:
        StoreKeyMissing: A part has been deleted.
    """
    for tail in [_Tail(runtime, JobId(job.id), attempt.id, stream) for stream in streams]:
        if attempt.report is None:
            yield from tail.mark(tail.read_news())
        else:
            yield from tail.mark(tail.read_rest(_log_of(attempt.report, tail.stream)))


def follow(
    runtime: Runtime, state: CampaignState, *, job: JobName, streams: Iterable[StreamName] = STREAMS
) -> Iterator[Chunk]:
    """Yield what the job's running attempt prints as it comes, until that attempt has ended.

    A job that waits is waited for; of one that has ended everything is yielded at once. Long output comes while the
    attempt runs, in parts; what a worker has not put into the bucket yet comes with its report.
    """
    attempt = _await_attempt(runtime, state, job=job)
    if attempt is None:
        return
    tails = [_Tail(runtime, JobId(job.id), attempt.id, stream) for stream in streams]
    while attempt.report is None:
        for tail in tails:
            yield from tail.mark(tail.read_news())
        runtime.clock.sleep(_POLL_SECONDS)
        look_again(runtime, state)
        if _running(state, job.number) != attempt.id:
            report = _report_of(runtime, state, job=job, attempt=attempt.id)
            if report is None:
                return  # handed back without an end of its own
            attempt = Attempt(attempt.id, report)
    for tail in tails:
        yield from tail.mark(tail.read_rest(_log_of(attempt.report, tail.stream)))


@dataclass
class _Tail:
    """Reads one stream of an attempt from where it stopped the last time."""

    runtime: Runtime
    job: JobId
    attempt: AttemptId
    stream: StreamName
    _next: int = 1
    _read_bytes: int = field(default=0)

    def mark(self, chunks: Iterator[bytes]) -> Iterator[Chunk]:
        for data in chunks:
            if data:
                yield self.stream, data

    def read_news(self) -> Iterator[bytes]:
        while (data := self._part()) is not None:
            yield data

    def read_rest(self, log: StreamLog) -> Iterator[bytes]:
        if not log.parts:
            # What came as parts meanwhile may be in the report once more.
            yield _inline(log)[self._read_bytes :]
            return
        while self._next <= log.parts:
            data = self._part()
            if data is None:
                raise StoreKeyMissing(
                    f"part {self._next} of {log.parts} of what job {self.job!r} printed on {self.stream} is not in "
                    f"{self.runtime.store.url} any more: somebody deleted it"
                )
            yield data

    def _part(self) -> bytes | None:
        key = self.runtime.keys.log_part(self.job, self.attempt, self.stream, self._next)
        data = self.runtime.store.get(key)
        if data is not None:
            self._next, self._read_bytes = self._next + 1, self._read_bytes + len(data)
        return data


def _inline(log: StreamLog) -> bytes:
    if log.base64 is not None:
        return base64.b64decode(log.base64)
    return (log.text or "").encode("utf-8", "surrogatepass")


def _log_of(report: AttemptReport, stream: StreamName) -> StreamLog:
    return report.stdout if stream == "stdout" else report.stderr


def _running(state: CampaignState, job: int) -> AttemptId | None:
    for session in state.sessions.values():
        held = session.held.get(job)
        if held is not None and held.started:
            return held.attempt
    return None


def _await_attempt(runtime: Runtime, state: CampaignState, *, job: JobName) -> Attempt | None:
    """Return the attempt that runs, or the last one of an ended job; None if it was ended before it had any."""
    while _running(state, job.number) is None and not state.jobs.has_ended(job.number):
        runtime.clock.sleep(_POLL_SECONDS)
        look_again(runtime, state)
    return find_attempt(runtime, state, job=job)


def _report_of(runtime: Runtime, state: CampaignState, *, job: JobName, attempt: AttemptId) -> AttemptReport | None:
    settled = read_attempts(runtime, state, job=job.number)
    return next((each.report for each in settled if each.report.attempt == attempt), None)
