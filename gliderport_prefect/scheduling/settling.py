"""From what the outboxes say to the next ledger record: what counts, what follows, who is lost."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from functools import cached_property

from gliderport_prefect.protocol.ids import AttemptId, JobNumber, SessionId, is_attempt_id
from gliderport_prefect.protocol.jobspec import JobSpec
from gliderport_prefect.protocol.outcomes import USER_PAID, JobState, Outcome
from gliderport_prefect.protocol.records import (
    AttemptRef,
    AttemptReport,
    Death,
    Hello,
    LedgerRecord,
    Meeting,
    OutboxRecord,
    SessionAttempt,
    Settled,
    Usage,
    timestamp,
)
from gliderport_prefect.protocol.version import PROTOCOL_VERSION
from gliderport_prefect.scheduling.cost import share_of
from gliderport_prefect.scheduling.settlement import Account, Limits, Verdict, decide_verdict
from gliderport_prefect.scheduling.state import CampaignState


@dataclass(frozen=True)
class News:
    """An outbox record that has not been settled."""

    session: SessionId
    """Whose."""
    number: int
    """Its number."""
    record: OutboxRecord
    """What it says."""

    @property
    def is_heartbeat(self) -> bool:
        """Whether it says nothing but that the session lives."""
        said = self.record
        return not (said.hello or said.finished or said.started or said.returned or said.goodbye is not None)


@dataclass(frozen=True)
class SettlingRules:
    """What the decision needs besides records."""

    epoch: int
    """Epoch of the launcher."""
    loss_limit: int
    """Lost workers that make a job a likely killer."""
    spec_of: Callable[[int], JobSpec]
    """Reads the spec of a job; called for attempts that did not succeed only."""
    wall_time: float
    """The moment, in seconds since 1970, for records that people read."""


def decide_ledger(
    state: CampaignState, news: Iterable[News], *, lost: dict[SessionId, str], rules: SettlingRules
) -> LedgerRecord | None:
    """Return what is to be settled now, without token; None when nothing is.

    Args:
        state: The fold so far; it is not changed.
        news: Unread outbox records, in order for each session.
        lost: Sessions that fell silent or whose machine is gone, and why.
        rules: Limits and the way to read a spec.
    """
    draft = _Draft(state, rules)
    unsettled = [each for each in news if each.session not in state.ended_sessions]
    for each in unsettled:
        draft.meet(each)
    for each in unsettled:
        draft.take_in(each)
    for session, reason in lost.items():
        if session not in state.ended_sessions:
            draft.dead.setdefault(session, reason)
    for session, reason in draft.dead.items():
        draft.settle_lost(session, reason)
    return draft.record()


@dataclass
class _Draft:
    """The ledger record in the making, and what earlier parts of it change for later ones.

    A report of an attempt that its session does not have, as far as the ledger and the inbox tell, counts only if it
    succeeded: such an attempt was cancelled or given up before, and its failure must not end a job that was retried.
    """

    state: CampaignState
    rules: SettlingRules
    met: dict[SessionId, Hello] = field(default_factory=dict[SessionId, Hello])
    started: list[SessionAttempt] = field(default_factory=list[SessionAttempt])
    returned: list[SessionAttempt] = field(default_factory=list[SessionAttempt])
    settled: dict[int, list[Settled]] = field(default_factory=dict[int, list[Settled]])
    over: set[tuple[str, int]] = field(default_factory=set[tuple[str, int]])
    dead: dict[SessionId, str] = field(default_factory=dict[SessionId, str])
    read: dict[str, int] = field(default_factory=dict[str, int])

    def meet(self, news: News) -> None:
        """Get to know the session of a first record, before anything else is read."""
        hello, session = news.record.hello, news.session
        if hello is None or session in self.state.sessions:
            return
        if hello.protocol != PROTOCOL_VERSION:
            self.dead[session] = f"speaks version {hello.protocol} of the protocol, not {PROTOCOL_VERSION}"
            return
        self.met[session] = hello
        if hello.replaces is not None and hello.replaces not in self.state.ended_sessions:
            self.dead[hello.replaces] = f"replaced by {session}"

    def take_in(self, news: News) -> None:
        """Take in what the record says of attempts."""
        record, session = news.record, news.session
        if session not in self.state.sessions and session not in self.met:
            self.dead.setdefault(session, "spoke without a readable hello")
            return
        for report in record.finished:
            self.settle(session, report)
        self.started += [SessionAttempt(session, *ref) for ref in self._known(session, record.started)]
        back = self._known(session, record.returned)
        self.returned += [SessionAttempt(session, *ref) for ref in back]
        self.over.update((session, job) for job, _ in back)
        if record.goodbye is not None:
            self.dead.setdefault(session, f"said goodbye: {record.goodbye}")
        if not news.is_heartbeat:
            self.read[session] = news.number

    def settle(self, session: SessionId, report: AttemptReport) -> None:
        """Settle an attempt, unless its job has ended: the first result wins."""
        if not self._counts(session, report):
            return
        verdict = Verdict(JobState.SUCCEEDED) if report.outcome is Outcome.SUCCEEDED else self._judge(report)
        previous = self.state.jobs.last_record(report.job)
        share = self._share(session, report.job)
        settled = Settled(session, verdict.then, report, verdict.memory_bytes, previous, share)
        self.settled.setdefault(report.job, []).append(settled)
        self.over.add((session, report.job))

    def settle_lost(self, session: SessionId, reason: str) -> None:
        """Settle what ran on a session that is over; what had not started there is queued again with its death."""
        ended = self.state.sessions.get(session)
        running = {ref.job: ref.attempt for ref in self.started if ref.session == session}
        if ended is not None:
            running |= {JobNumber(job): held.attempt for job, held in ended.held.items() if held.started}
        for job, attempt in running.items():
            if (session, job) not in self.over and not self._has_ended(job):
                self.settle(session, self._report_lost(session, AttemptRef(job, attempt), reason=reason))

    def _report_lost(self, session: SessionId, ref: AttemptRef, *, reason: str) -> AttemptReport:
        """Return the report that the session did not write: the attempt ran until the session was heard last."""
        holder = self.state.sessions.get(session)
        held = None if holder is None else holder.held.get(ref.job)
        seconds = 0.0
        if holder is not None and held is not None and held.started_at is not None:
            seconds = max(0.0, holder.heard_at - held.started_at)
        ended_at = self.rules.wall_time
        return AttemptReport(
            job=ref.job,
            id=self.rules.spec_of(ref.job).id,
            attempt=ref.attempt,
            outcome=Outcome.WORKER_LOST,
            started_at=timestamp(ended_at - seconds),
            finished_at=timestamp(ended_at),
            reason=f"{session} {reason}",
            usage=Usage(wall_seconds=seconds),
        )

    def _share(self, session: SessionId, job: JobNumber) -> float:
        """Return which part of its worker an attempt has."""
        holder = self.state.sessions.get(session)
        if holder is None:
            return share_of(self.met[session].offer, self.state.class_of(job).needs)
        held = holder.held.get(job)
        return share_of(holder.offer, self.state.class_of(job).needs if held is None else held.needs)

    def record(self) -> LedgerRecord | None:
        """Return what is to be written, without token; None when there is nothing."""
        if not (self.read or self.dead):
            return None
        return LedgerRecord(
            epoch=self.rules.epoch,
            token="",
            met=tuple(Meeting(session, hello) for session, hello in self.met.items()),
            started=tuple(each for each in self.started if (each.session, each.job) not in self.over),
            returned=tuple(self.returned),
            settled=tuple(each for of_job in self.settled.values() for each in of_job),
            dead=tuple(Death(session, reason) for session, reason in self.dead.items()),
            read=self.read,
        )

    def _known(self, session: SessionId, refs: Iterable[AttemptRef]) -> list[tuple[JobNumber, AttemptId]]:
        """Return the attempts that the session has and about which nothing newer is said."""
        holder = self.state.sessions.get(session)
        if holder is None:
            return []
        return [
            (ref.job, ref.attempt)
            for ref in refs
            if holder.has(ref.job, ref.attempt) and (session, ref.job) not in self.over
        ]

    def _counts(self, session: SessionId, report: AttemptReport) -> bool:
        job = report.job
        if not 0 <= job < len(self.state.jobs) or self._has_ended(job):
            return False
        if report.outcome is Outcome.SUCCEEDED:
            return is_attempt_id(report.attempt)
        holder = self.state.sessions.get(session)
        return holder is not None and holder.has(job, report.attempt) and (session, job) not in self.over

    def _has_ended(self, job: int) -> bool:
        here = self.settled.get(job)
        return self.state.jobs.has_ended(job) or (here is not None and here[-1].then is not JobState.QUEUED)

    def _judge(self, report: AttemptReport) -> Verdict:
        state, job, spec = self.state, report.job, self.rules.spec_of(report.job)
        earlier = [each.report.outcome for each in self.settled.get(job, ())]
        account = Account(
            charged=state.jobs.charged(job) + sum(outcome in USER_PAID for outcome in earlier),
            losses=state.jobs.losses(job) + earlier.count(Outcome.WORKER_LOST),
            memory_bytes=state.jobs.memory_bytes(job) or spec.resources.memory_bytes,
            cancel_wanted=job in state.cancel_wanted,
        )
        return decide_verdict(report, spec, account=account, limits=self._limits)

    @cached_property
    def _limits(self) -> Limits:
        most_memory_bytes = max((each.offer.memory_bytes for each in self.state.sessions.values()), default=0)
        return Limits(self.rules.loss_limit, most_memory_bytes)
