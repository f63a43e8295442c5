"""Workers that speak the real protocol and run nothing, for tests and benchmarks of the launcher."""

from __future__ import annotations

import secrets
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field, replace

from gliderport_prefect.campaign.runtime import Runtime
from gliderport_prefect.protocol.ids import SessionId, WorkerName, session_id
from gliderport_prefect.protocol.outcomes import Outcome
from gliderport_prefect.protocol.records import (
    Assignment,
    AttemptRef,
    AttemptReport,
    Hello,
    InboxRecord,
    OutboxRecord,
    Usage,
    timestamp,
)
from gliderport_prefect.protocol.resources import Offer

SMALL_OFFER = Offer(cpus=1, memory_bytes=2**30, disk_bytes=2**30)
Attempt = tuple[int, str]


def succeed(assignment: Assignment) -> AttemptReport:
    """Return the report of an attempt that printed its id and succeeded."""
    return report_of(assignment, Outcome.SUCCEEDED)


def report_of(assignment: Assignment, outcome: Outcome) -> AttemptReport:
    """Return a report of that outcome."""
    moment = timestamp(0)
    return AttemptReport(
        job=assignment.job,
        id=assignment.spec.id,
        attempt=assignment.attempt,
        outcome=outcome,
        started_at=moment,
        finished_at=moment,
        exit_code=0 if outcome is Outcome.SUCCEEDED else 1,
        usage=Usage(wall_seconds=0.001, cpu_seconds=0.001),
    )


def run_on(_: Assignment) -> None:
    """Begin an attempt that goes on until `finish`."""


@dataclass
class SimulatedWorker:
    """One session. `turn` does what a worker does between two polls."""

    runtime: Runtime
    name: str = "worker-0001"
    offer: Offer = SMALL_OFFER
    run: Callable[[Assignment], AttemptReport | None] = succeed
    """Runs an assignment; None: it goes on running."""
    replaces: SessionId | None = None
    session: SessionId = field(init=False)
    queue: deque[Assignment] = field(default_factory=deque[Assignment])
    running: dict[Attempt, Assignment] = field(default_factory=dict[Attempt, Assignment])
    ended: str | None = None
    """Why it has left or must leave."""
    draining: bool = False
    read: int = 0
    _epoch: int = 0
    _written: int = 0

    def __post_init__(self) -> None:
        """Take a new session id."""
        self.session = session_id(WorkerName(self.name), secrets.token_hex(5))

    def say_hello(self) -> None:
        """Write the first outbox record."""
        hello = Hello(WorkerName(self.name), self.offer, "host", 1, timestamp(0), "0", "3.11", "test", self.replaces)
        self.write(hello=hello)

    def write(self, **said: object) -> None:
        """Append to the outbox; nothing said is a heartbeat."""
        number = self._written + 1
        draft = OutboxRecord(self.session, secrets.token_hex(8), read=self.read)
        draft = replace(draft, queued=len(self.queue), running=len(self.running), **said)
        standing = self.runtime.create(self.runtime.keys.outbox_record(self.session, number), draft)
        assert standing is None, "somebody else wrote into this outbox"
        self._written = number

    def turn(self) -> None:
        """Read, run all that came, report; leave when told to and nothing runs any more."""
        self.read_inbox()
        if self.ended is None:
            self.run_queue()
        if self.draining and not self.running and self.ended is None:
            self.ended = "drained"
            self.write(goodbye=self.ended)

    def read_inbox(self) -> None:
        """Take in what came, ignoring launchers of lower epochs."""
        inbox = self.runtime.keys.inbox(self.session)
        while self.ended is None:
            record = self.runtime.read_numbered(InboxRecord, inbox, number=self.read + 1)
            if record is None:
                return
            self.read += 1
            if record.epoch >= self._epoch:
                self._epoch = record.epoch
                self._obey(record)

    def run_queue(self) -> None:
        """Begin all that waits and report what has begun and what has ended."""
        reports, begun = list[AttemptReport](), list[AttemptRef]()
        while self.queue:
            assignment = self.queue.popleft()
            report = self.run(assignment)
            if report is not None:
                reports.append(report)
            else:
                self.running[assignment.job, assignment.attempt] = assignment
                begun.append(AttemptRef(assignment.job, assignment.attempt))
        if reports or begun:
            self.write(finished=tuple(reports), started=tuple(begun))

    def finish(self, outcome: Outcome = Outcome.SUCCEEDED, *, most: int | None = None) -> None:
        """End running attempts, the oldest first, and report them."""
        ended = [self.running.pop(attempt) for attempt in list(self.running)[:most]]
        if ended:
            self.write(finished=tuple(report_of(each, outcome) for each in ended))

    def drain(self, reason: str) -> None:
        """Hand back what has not started and take no more."""
        self.draining = True
        back = tuple(AttemptRef(each.job, each.attempt) for each in self.queue)
        self.queue.clear()
        self.write(returned=back, draining=reason)

    def _obey(self, record: InboxRecord) -> None:
        self.queue.extend(record.assign)
        self._hand_back({(ref.job, ref.attempt) for ref in record.recall})
        self._cancel({(ref.job, ref.attempt) for ref in record.cancel})
        if record.dead:
            self.ended = "dead"
            self.queue.clear()
            self.running.clear()
        elif record.drain or (self.draining and self.queue):
            self.drain("told to")

    def _hand_back(self, asked: set[Attempt]) -> None:
        back = self._unqueue(asked)
        if back:
            self.write(returned=tuple(AttemptRef(each.job, each.attempt) for each in back))

    def _cancel(self, asked: set[Attempt]) -> None:
        ended = self._unqueue(asked) + [self.running.pop(attempt) for attempt in asked if attempt in self.running]
        if ended:
            self.write(finished=tuple(report_of(each, Outcome.CANCELLED) for each in ended))

    def _unqueue(self, asked: set[Attempt]) -> list[Assignment]:
        found = [each for each in self.queue if (each.job, each.attempt) in asked]
        if found:
            self.queue = deque(each for each in self.queue if (each.job, each.attempt) not in asked)
        return found
