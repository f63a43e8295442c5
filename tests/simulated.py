"""Workers that speak the real protocol and run nothing, for tests and benchmarks of the launcher."""

from __future__ import annotations

import secrets
from collections import deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

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

if TYPE_CHECKING:
    from collections.abc import Callable

    from gliderport_prefect.campaign.runtime import Runtime


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


@dataclass
class SimulatedWorker:
    """One session. `turn` does what a worker does between two polls."""

    runtime: Runtime
    name: str = "worker-0001"
    offer: Offer = field(default_factory=lambda: Offer(cpus=1, memory_bytes=2**30, disk_bytes=2**30))
    run: Callable[[Assignment], AttemptReport | None] = succeed
    """Runs an assignment; None: it goes on running."""
    replaces: SessionId | None = None
    session: SessionId = field(init=False)
    queue: deque[Assignment] = field(default_factory=deque[Assignment])
    running: dict[int, Assignment] = field(default_factory=dict[int, Assignment])
    ended: str | None = None
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
        """Append to the outbox."""
        self._written += 1
        record = OutboxRecord(self.session, secrets.token_hex(8), read=self.read, **said)  # type: ignore[arg-type]
        standing = self.runtime.create(self.runtime.keys.outbox_record(self.session, self._written), record)
        assert standing is None, "somebody else wrote into this outbox"

    def read_inbox(self) -> None:
        """Take in what came, ignoring launchers of lower epochs."""
        inbox = self.runtime.keys.inbox(self.session)
        while (record := self.runtime.read_numbered(InboxRecord, inbox, self.read + 1)) is not None:
            self.read += 1
            if record.epoch < self._epoch:
                continue
            self._epoch = record.epoch
            self.queue.extend(record.assign)
            self._let_go(record)
            if record.dead or record.drain:
                self.ended = "dead" if record.dead else "drained"

    def turn(self) -> None:
        """Read, run all that came, report."""
        self.read_inbox()
        if self.ended == "dead":
            return
        reports, begun = list[AttemptReport](), list[AttemptRef]()
        while self.queue:
            assignment = self.queue.popleft()
            report = self.run(assignment)
            if report is None:
                self.running[assignment.job] = assignment
                begun.append(AttemptRef(assignment.job, assignment.attempt))
            else:
                reports.append(report)
        if reports or begun:
            self.write(finished=tuple(reports), started=tuple(begun))

    def _let_go(self, record: InboxRecord) -> None:
        asked = {(ref.job, ref.attempt) for ref in record.recall}
        back = tuple(AttemptRef(each.job, each.attempt) for each in self.queue if (each.job, each.attempt) in asked)
        if back:
            self.queue = deque(each for each in self.queue if (each.job, each.attempt) not in asked)
            self.write(returned=back)
        for ref in record.cancel:
            assignment = self.running.pop(ref.job, None)
            if assignment is not None:
                self.write(finished=(report_of(assignment, Outcome.CANCELLED),))
