"""A campaign's state: a fold over spec headers, the ledger and, for a launcher, inboxes and outboxes.

Whoever folds the same records gets the same state: the launcher that writes the ledger applies its own records
through the same door as a new launcher that replays them, and as `gliderport status`, which only reads.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from gliderport_prefect.protocol import codec
from gliderport_prefect.protocol.ids import AttemptId, JobNumber, SessionId, attempt_number
from gliderport_prefect.protocol.outcomes import JobState
from gliderport_prefect.protocol.records import (
    Assignment,
    AttemptRef,
    Hello,
    InboxRecord,
    LedgerRecord,
    Run,
    SessionAttempt,
    Settled,
    Span,
)
from gliderport_prefect.scheduling.classes import ClassRuns, JobClass
from gliderport_prefect.scheduling.cost import Fleet, use_of
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
    fleet: Fleet = field(default_factory=Fleet)
    """The workers' machines, what they cost and what use was made of them."""
    budget: float | None = None
    """US dollars that the campaign may cost, as somebody asked for; none when it is what the campaign began with."""
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
    is_torn_down: bool = False
    """Whether the newest ledger record says that the workers were ended, so that nobody drives the campaign."""
    snapshot_number: int = 0
    """Ledger number of the snapshot that this fold began with."""
    waiting: WaitingJobs = field(init=False)
    """Queued jobs; valid after `rebuild_queue`."""
    _holders: dict[int, tuple[SessionId, ...]] = field(default_factory=dict[int, tuple[SessionId, ...]])

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
        for first, count, kind in self.classes.extend(header):
            self.jobs.extend(count)
            self.waiting.add_range(first, count, kind=kind)
        self.chunks += 1

    def rebuild_queue(self) -> None:
        """Fill the queue from the table: after a replay, which leaves it behind, or after many jobs were cancelled."""
        self.waiting = WaitingJobs(lambda job: self.jobs.state(job) is JobState.QUEUED)
        for first, end in self.jobs.queued_spans():
            if self.class_of(first) != self.classes.class_of(first):
                self.waiting.push(first, self.class_of(first))
                continue
            for start, count, kind in self.classes.split(first, end):
                self.waiting.add_range(start, count, kind=kind)

    def class_of(self, job: int) -> JobClass:
        """Return what the job needs now: its spec's class, with more if it ran out of memory or was evicted often."""
        kind, memory_bytes = self.classes.class_of(job), self.jobs.memory_bytes(job)
        if memory_bytes is not None:
            kind = replace(kind, needs=replace(kind.needs, memory_bytes=memory_bytes))
        return replace(kind, kept=True) if self.jobs.needs_kept(job) else kind

    # --- the ledger ---------------------------------------------------------------------------------------------

    def apply_ledger(self, number: int, record: LedgerRecord, *, now: float) -> None:
        """Take in the ledger record of that number, read at that moment of the launcher's clock."""
        self.ledger_number, self.epoch = number, max(self.epoch, record.epoch)
        self.fleet.see(record.seen, record=number)
        for meeting in record.met:
            self.sessions[meeting.session] = Session(meeting.session, meeting.hello, heard_at=now)
        for each in record.started:
            self._start(each, now=now)
        for settled in record.settled:
            self._settle(number, settled)
        for each in record.returned:
            self._release(each)
        for span in record.cancelled:
            self._cancel(span)
        for span in record.requeued:
            self._requeue(span)
        for death in record.dead:
            self._bury(death.session, death.reason)
        self.read.update(record.read)
        self.floor.update(record.floor)
        self.requests_read = max(self.requests_read, record.requests_read)
        self.budget = self.budget if record.budget is None else record.budget
        self.said_finished, self.is_torn_down = record.finished, record.torn_down

    def _start(self, each: SessionAttempt, *, now: float) -> None:
        self.jobs.note_try(each.job, each.attempt)
        session = self.sessions.get(each.session)
        if session is None or self.jobs.has_ended(each.job):
            return
        if not session.has(each.job, each.attempt):  # the inbox that brought it is read after the ledger
            kind = self.class_of(each.job)
            self._hold(session, each.job, held=Held(each.attempt, kind.needs, inbox_number=0, kept=kind.kept))
        session.held[each.job].started_at = now
        self.jobs.move(each.job, JobState.RUNNING)

    def _settle(self, number: int, settled: Settled) -> None:
        report = settled.report
        session = self.sessions.get(settled.session)
        if session is not None:
            session.learn(report)
        self.fleet.use(use_of(settled))
        self.jobs.settle(settled, number)
        self.let_go(settled.session, report.job, attempt=report.attempt)
        self.cancel_wanted.discard(report.job)
        if settled.then is JobState.QUEUED:
            self._wait_again(report.job)

    def _release(self, each: SessionAttempt) -> None:
        self.jobs.note_over(each.job, each.attempt)
        self.let_go(each.session, each.job, attempt=each.attempt)
        if not self.jobs.has_ended(each.job):
            self._wait_again(each.job)

    def _wait_again(self, job: int) -> None:
        """Queue the job unless another session has it."""
        others = [self.sessions[session].held[job] for session in self._holders.get(job, ())]
        if others:
            started = any(held.started for held in others)
            self.jobs.move(job, JobState.RUNNING if started else JobState.ASSIGNED)
        elif job in self.cancel_wanted:
            self.cancel_wanted.discard(job)
            self.jobs.move(job, JobState.CANCELLED)
        else:
            self.jobs.move(job, JobState.QUEUED)
            self.waiting.push(job, self.class_of(job))

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
        ended = self.sessions.get(session)
        if ended is None:
            return
        held = list(ended.held.items())
        for job, each in held:
            self.let_go(session, job, attempt=each.attempt)
        del self.sessions[session]
        for job, _ in held:
            if not self.jobs.has_ended(job):
                self._wait_again(job)

    # --- who has what -------------------------------------------------------------------------------------------

    def apply_inbox(self, session: Session, record: InboxRecord, *, number: int) -> None:
        """Take in a record of the session's inbox, as the session itself will.

        What the ledger says of an attempt goes before what the inbox says, however late the inbox is read.
        """
        session.next_inbox = number + 1
        session.kept_inbox.append(number)
        session.draining = session.draining or record.drain
        for each in record.assign:
            self._assign(session, each, number=number)
        for ref in record.cancel:
            self._note_cancel(session, ref)

    def _assign(self, session: Session, each: Assignment, *, number: int) -> None:
        job, known = each.job, session.held.get(each.job)
        self.jobs.note_try(job, each.attempt)
        if self.jobs.is_over(job, each.attempt):
            return
        if known is not None and attempt_number(known.attempt) > attempt_number(each.attempt):
            return
        needs = each.spec.resources
        if each.memory_bytes is not None:
            needs = replace(needs, memory_bytes=each.memory_bytes)
        started_at = session.held[job].started_at if session.has(job, each.attempt) else None
        kept = self.jobs.needs_kept(job)
        self._hold(session, job, held=Held(each.attempt, needs, inbox_number=number, started_at=started_at, kept=kept))
        if self.jobs.state(job) is JobState.QUEUED:
            self.jobs.move(job, JobState.ASSIGNED)

    def _note_cancel(self, session: Session, ref: AttemptRef) -> None:
        """Note that the session was told to end the attempt; only of one that was known to run is an answer awaited."""
        if ref.job in self.cancel_wanted or not session.has(ref.job, ref.attempt):
            return
        self.let_go(session.id, ref.job, attempt=ref.attempt)
        if not self.jobs.has_ended(ref.job):
            self._wait_again(ref.job)

    def holders(self, job: int) -> list[Session]:
        """Return the sessions that have an attempt of the job."""
        return [self.sessions[session] for session in self._holders.get(job, ())]

    def unwanted(self) -> list[int]:
        """Return the jobs that sessions have though they have ended, or that are to end."""
        return [job for job in self._holders if job in self.cancel_wanted or self.jobs.has_ended(job)]

    def let_go(self, session: SessionId, job: int, *, attempt: AttemptId) -> None:
        """Note that the session does not have the attempt any more."""
        holder = self.sessions.get(session)
        if holder is not None and holder.has(job, attempt):
            holder.let_go(job)
            others = tuple(each for each in self._holders.pop(job) if each != session)
            if others:
                self._holders[job] = others

    def _hold(self, session: Session, job: int, *, held: Held) -> None:
        session.hold(job, held)
        others = self._holders.get(job, ())
        if session.id not in others:
            self._holders[job] = (*others, session.id)

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
            "fleet": self.fleet.pack(),
            "budget": self.budget,
            "requests_read": self.requests_read,
            "cancel_wanted": sorted(self.cancel_wanted),
            "epoch": self.epoch,
            "ledger_number": self.ledger_number,
            "finished": self.said_finished,
            "torn_down": self.is_torn_down,
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
        self.fleet.unpack(packed.get("fleet", {}))  # a snapshot of an older launcher has none of these
        self.budget = packed.get("budget")
        self.requests_read, self.cancel_wanted = packed["requests_read"], set(packed["cancel_wanted"])
        self.epoch, self.ledger_number = packed["epoch"], packed["ledger_number"]
        self.snapshot_number = self.ledger_number
        self.said_finished, self.chunks = packed["finished"], packed["chunks"]
        self.is_torn_down = packed.get("torn_down", False)  # a snapshot of an older version has none
        for run in packed["classes"]:
            self.classes.add(codec.from_wire(Run, run))
        for each in packed["running"]:
            self._start(codec.from_wire(SessionAttempt, each), now=now)


def spans_of(jobs: Iterable[int]) -> Iterator[Span]:
    """Yield the numbers, which ascend, as spans of consecutive ones."""
    first = last = -1
    for job in jobs:
        if job != last + 1 or first < 0:
            if first >= 0:
                yield Span(JobNumber(first), JobNumber(last))
            first = job
        last = job
    if first >= 0:
        yield Span(JobNumber(first), JobNumber(last))
