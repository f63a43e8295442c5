"""A campaign's state: a fold over spec headers, the ledger and, for a launcher, inboxes and outboxes.

Whoever folds the same records gets the same state: the launcher that writes the ledger applies its own records
through the same door as a new launcher that replays them, and as `gliderport status`, which only reads.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from gliderport_prefect.protocol import codec
from gliderport_prefect.protocol.ids import AttemptId, SessionId
from gliderport_prefect.protocol.outcomes import JobState
from gliderport_prefect.protocol.records import Hello, InboxRecord, LedgerRecord, Run, Settled, Span
from gliderport_prefect.scheduling.classes import ClassRuns
from gliderport_prefect.scheduling.jobs import JobTable
from gliderport_prefect.scheduling.queue import WaitingJobs
from gliderport_prefect.scheduling.sessions import Held, Session

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from gliderport_prefect.protocol.records import SpecChunkHeader


@dataclass
class CampaignState:
    """Everything that is known of a campaign's jobs and sessions."""

    jobs: JobTable = field(default_factory=JobTable)
    """Where each job stands."""
    classes: ClassRuns = field(default_factory=ClassRuns)
    """What each job needs."""
    sessions: dict[SessionId, Session] = field(default_factory=dict[SessionId, Session])
    """Live sessions."""
    ended_sessions: dict[SessionId, str] = field(default_factory=dict[SessionId, str])
    """Sessions that are over, and why."""
    read: dict[str, int] = field(default_factory=dict[str, int])
    """Newest outbox record of each session whose content is settled."""
    floor: dict[str, int] = field(default_factory=dict[str, int])
    """Oldest inbox record of each session that is kept."""
    requests_read: int = 0
    """Newest request that has been acted on."""
    cancel_wanted: set[int] = field(default_factory=set[int])
    """Jobs that run and are to end."""
    epoch: int = 0
    """Highest epoch in the ledger."""
    ledger_number: int = 0
    """Newest ledger record in this fold."""
    chunks: int = 0
    """Chunks of specs in this fold."""
    said_finished: bool = False
    """Whether the newest ledger record says that the campaign is over."""
    waiting: WaitingJobs = field(init=False)
    """Queued jobs; valid after `rebuild_queue`."""

    def __post_init__(self) -> None:
        """Start with an empty queue."""
        self.rebuild_queue()

    @property
    def finished(self) -> bool:
        """Whether the campaign is over: said so, and nothing was submitted or retried since."""
        return self.said_finished and not self.jobs.unfinished

    # --- specs --------------------------------------------------------------------------------------------------

    def add_chunk(self, header: SpecChunkHeader) -> None:
        """Take in the jobs of a chunk of specs."""
        known = len(self.jobs)
        for first, count, kind in self.classes.extend(header):
            if first >= known:
                self.jobs.extend(count)
                self.waiting.add_range(first, count, kind)
        self.chunks += 1

    def rebuild_queue(self) -> None:
        """Fill the queue from the table: after a replay, which leaves it behind, or after many jobs were cancelled."""
        self.waiting = WaitingJobs(lambda job: self.jobs.state(job) is JobState.QUEUED)
        for job in self.jobs.in_state(JobState.QUEUED):
            self.waiting.add_range(job, 1, self.classes.class_of(job))

    # --- the ledger ---------------------------------------------------------------------------------------------

    def apply_ledger(self, number: int, record: LedgerRecord, *, now: float) -> None:
        """Take in the ledger record of that number, read at that moment of the launcher's clock."""
        self.ledger_number, self.epoch = number, max(self.epoch, record.epoch)
        for meeting in record.met:
            self.sessions[meeting.session] = Session(meeting.session, meeting.hello, heard_at=now)
        for each in record.started:
            self._start(each.session, each.job, each.attempt)
        for settled in record.settled:
            self._settle(number, settled)
        for each in record.returned:
            self._release(each.session, each.job, each.attempt)
        for span in record.cancelled:
            self._cancel(span)
        for span in record.requeued:
            self._requeue(span)
        for death in record.dead:
            self._bury(death.session, death.reason)
        self.read.update(record.read)
        self.floor.update(record.floor)
        self.requests_read = max(self.requests_read, record.requests_read)
        self.said_finished = record.finished

    def _start(self, session: SessionId, job: int, attempt: AttemptId) -> None:
        self.jobs.note_try(job, attempt)
        holder = self.sessions.get(session)
        if holder is None or self.jobs.has_ended(job):
            return
        held = holder.held.setdefault(job, Held(attempt, self.needs_of(job), inbox_number=0))
        held.started = True
        self.jobs.move(job, JobState.RUNNING)

    def _settle(self, number: int, settled: Settled) -> None:
        report = settled.report
        session = self.sessions.get(settled.session)
        if session is not None:
            session.held.pop(report.job, None)
            session.learn(report)
        self.jobs.settle(settled, number)
        self.cancel_wanted.discard(report.job)
        if settled.then is JobState.QUEUED:
            self._wait_again(report.job)

    def _release(self, session: SessionId, job: int, attempt: AttemptId) -> None:
        self.jobs.let_go(job, attempt)
        holder = self.sessions.get(session)
        if holder is not None:
            holder.held.pop(job, None)
        if not self.jobs.has_ended(job):
            self._wait_again(job)

    def _wait_again(self, job: int) -> None:
        """Queue the job unless another session has it."""
        others = [each.held[job] for each in self.sessions.values() if job in each.held]
        if others:
            started = any(held.started for held in others)
            self.jobs.move(job, JobState.RUNNING if started else JobState.ASSIGNED)
        elif job in self.cancel_wanted:
            self.cancel_wanted.discard(job)
            self.jobs.move(job, JobState.CANCELLED)
        else:
            self.jobs.move(job, JobState.QUEUED)
            self.waiting.push(job, self.classes.class_of(job))

    def _cancel(self, span: Span) -> None:
        for job in range(span.first, span.last + 1):
            state = self.jobs.state(job)
            if state is JobState.RUNNING:
                self.cancel_wanted.add(job)
            elif not self.jobs.has_ended(job):
                self.jobs.move(job, JobState.CANCELLED)

    def _requeue(self, span: Span) -> None:
        for job in range(span.first, span.last + 1):
            if self.jobs.has_ended(job) and self.jobs.state(job) is not JobState.SUCCEEDED:
                self.jobs.requeue(job)
                self._wait_again(job)

    def _bury(self, session: SessionId, reason: str) -> None:
        self.ended_sessions[session] = reason
        ended = self.sessions.pop(session, None)
        for job in ended.held if ended else ():
            if not self.jobs.has_ended(job):
                self._wait_again(job)

    # --- what a launcher knows besides --------------------------------------------------------------------------

    def apply_inbox(self, session: Session, number: int, record: InboxRecord) -> None:
        """Take in a record of the session's inbox, as the session itself will."""
        session.next_inbox = number + 1
        session.kept_inbox.append(number)
        session.draining = session.draining or record.drain
        for each in record.assign:
            self.jobs.note_try(each.job, each.attempt)
            if not self.jobs.has_ended(each.job) and not self.jobs.is_over(each.job, each.attempt):
                needs = each.spec.resources
                if each.memory_bytes is not None:
                    needs = replace(needs, memory_bytes=each.memory_bytes)
                session.held[each.job] = Held(each.attempt, needs, inbox_number=number)
                if self.jobs.state(each.job) is not JobState.RUNNING:
                    self.jobs.move(each.job, JobState.ASSIGNED)
        for ref in record.cancel:
            held = session.held.get(ref.job)
            if held is not None and held.attempt == ref.attempt and not held.started:
                self._release(session.id, ref.job, ref.attempt)

    def needs_of(self, job: int) -> Any:
        """Return what the job needs."""
        return self.classes.class_of(job).needs

    # --- snapshots ----------------------------------------------------------------------------------------------

    def pack(self) -> dict[str, Any]:
        """Return the fold of the ledger as JSON values, without what inboxes and specs tell."""
        running = [
            {"session": each.id, "job": job, "attempt": held.attempt}
            for each in self.sessions.values()
            for job, held in each.held.items()
            if held.started
        ]
        return {
            "jobs": self.jobs.pack(),
            "sessions": [{"session": each.id, "hello": codec.to_wire(each.hello)} for each in self.sessions.values()],
            "running": running,
            "ended_sessions": dict(self.ended_sessions),
            "read": dict(self.read),
            "floor": dict(self.floor),
            "requests_read": self.requests_read,
            "cancel_wanted": sorted(self.cancel_wanted),
            "epoch": self.epoch,
            "ledger_number": self.ledger_number,
            "finished": self.said_finished,
            "classes": codec.to_wire(list(self.classes.runs())),
            "chunks": self.chunks,
        }

    def unpack(self, packed: dict[str, Any], *, now: float) -> None:
        """Fill this empty state from what `pack` returned; spec chunks are added afterwards."""
        self.jobs.unpack(packed["jobs"])
        for each in packed["sessions"]:
            hello = codec.from_wire(Hello, each["hello"])
            self.sessions[each["session"]] = Session(each["session"], hello, heard_at=now)
        self.ended_sessions = dict(packed["ended_sessions"])
        self.read, self.floor = dict(packed["read"]), dict(packed["floor"])
        self.requests_read, self.cancel_wanted = packed["requests_read"], set(packed["cancel_wanted"])
        self.epoch, self.ledger_number = packed["epoch"], packed["ledger_number"]
        self.said_finished, self.chunks = packed["finished"], packed["chunks"]
        for run in packed["classes"]:
            self.classes.add(codec.from_wire(Run, run))
        for each in packed["running"]:
            self._start(each["session"], each["job"], each["attempt"])


def spans_of(jobs: Iterable[int]) -> Iterator[Span]:
    """Yield the numbers, which ascend, as spans of consecutive ones."""
    first = last = None
    for job in jobs:
        if last is not None and job == last + 1:
            last = job
            continue
        if first is not None and last is not None:
            yield Span(first, last)  # pyright: ignore[reportArgumentType]
        first = last = job
    if first is not None and last is not None:
        yield Span(first, last)  # pyright: ignore[reportArgumentType]
