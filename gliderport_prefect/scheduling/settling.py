"""From what the outboxes say to the next ledger record: what counts, what follows, who is lost."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from gliderport_prefect.protocol.outcomes import JobState, Outcome
from gliderport_prefect.protocol.records import (
    AttemptReport,
    Death,
    LedgerRecord,
    Meeting,
    OutboxRecord,
    SessionAttempt,
    Settled,
    timestamp,
)
from gliderport_prefect.protocol.version import PROTOCOL_VERSION
from gliderport_prefect.scheduling.settlement import Account, decide_verdict

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from gliderport_prefect.protocol.ids import SessionId
    from gliderport_prefect.protocol.jobspec import JobSpec
    from gliderport_prefect.protocol.records import Hello
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


@dataclass
class _Draft:
    """The ledger record in the making, and what earlier parts of it change for later ones."""

    met: dict[SessionId, Hello] = field(default_factory=dict)
    started: list[SessionAttempt] = field(default_factory=list[SessionAttempt])
    returned: list[SessionAttempt] = field(default_factory=list[SessionAttempt])
    settled: dict[int, Settled] = field(default_factory=dict[int, Settled])
    dead: dict[SessionId, str] = field(default_factory=dict)
    read: dict[str, int] = field(default_factory=dict[str, int])


def decide_ledger(
    state: CampaignState, news: Iterable[News], lost: dict[SessionId, str], rules: SettlingRules
) -> LedgerRecord | None:
    """Return what is to be settled now, without token; None when nothing is.

    Args:
        state: The fold so far; it is not changed.
        news: Unread outbox records, in order for each session.
        lost: Sessions that fell silent or whose machine is gone, and why.
        rules: Limits and the way to read a spec.
    """
    draft = _Draft()
    for each in news:
        if each.session not in state.ended_sessions:  # a dead session is never revived, whatever it still says
            _take_in(draft, state, each, rules)
    for session, reason in lost.items():
        if session in state.sessions:
            draft.dead.setdefault(session, reason)
    for session, reason in draft.dead.items():
        _settle_lost(draft, state, session, reason, rules)
    return _record(draft, rules.epoch)


def _take_in(draft: _Draft, state: CampaignState, each: News, rules: SettlingRules) -> None:
    record, session = each.record, each.session
    if record.hello is not None and session not in state.sessions:
        _meet(draft, state, session, record.hello)
    if session not in state.sessions and session not in draft.met:
        return
    for report in record.finished:
        _settle(draft, state, session, report, rules)
    draft.started += [
        SessionAttempt(session, ref.job, ref.attempt) for ref in record.started if ref.job not in draft.settled
    ]
    draft.returned += [SessionAttempt(session, ref.job, ref.attempt) for ref in record.returned]
    if record.goodbye is not None:
        draft.dead[session] = f"said goodbye: {record.goodbye}"
    if not each.is_heartbeat:
        draft.read[session] = each.number


def _meet(draft: _Draft, state: CampaignState, session: SessionId, hello: Hello) -> None:
    if hello.protocol != PROTOCOL_VERSION:
        draft.dead[session] = f"speaks version {hello.protocol} of the protocol, not {PROTOCOL_VERSION}"
        return
    draft.met[session] = hello
    if hello.replaces in state.sessions or hello.replaces in draft.met:
        draft.dead[hello.replaces] = f"replaced by {session}"


def _settle(
    draft: _Draft, state: CampaignState, session: SessionId, report: AttemptReport, rules: SettlingRules
) -> None:
    """Settle the first attempt of a job that ends; a later one counts only if no earlier one succeeded."""
    job = report.job
    earlier = draft.settled.get(job)
    if job >= len(state.jobs) or state.jobs.has_ended(job) or (earlier and earlier.then is not JobState.QUEUED):
        return
    if report.outcome is Outcome.SUCCEEDED:
        then, memory_bytes = JobState.SUCCEEDED, None
    else:
        verdict = decide_verdict(
            report,
            rules.spec_of(job),
            _account(state, job, rules),
            loss_limit=rules.loss_limit,
            most_memory_bytes=max((each.offer.memory_bytes for each in state.sessions.values()), default=0),
        )
        then, memory_bytes = verdict.then, verdict.memory_bytes
    draft.settled[job] = Settled(session, then, report, memory_bytes, previous=state.jobs.last_record(job))


def _account(state: CampaignState, job: int, rules: SettlingRules) -> Account:
    return Account(
        charged=state.jobs.charged(job),
        losses=state.jobs.losses(job),
        memory_bytes=state.jobs.memory_bytes(job) or rules.spec_of(job).resources.memory_bytes,
        cancel_wanted=job in state.cancel_wanted,
    )


def _settle_lost(draft: _Draft, state: CampaignState, session: SessionId, reason: str, rules: SettlingRules) -> None:
    """Settle what ran on a session that is over; what had not started there goes back to the queue with its death."""
    ended = state.sessions.get(session)
    started = {ref.job: ref.attempt for ref in draft.started if ref.session == session}
    if ended is not None:
        started |= {job: held.attempt for job, held in ended.held.items() if held.started}
    gone = {ref.job for ref in draft.returned if ref.session == session}
    moment = timestamp(rules.wall_time)
    for job, attempt in started.items():
        if job not in gone and job not in draft.settled:
            spec_id = rules.spec_of(job).id
            report = AttemptReport(job, spec_id, attempt, Outcome.WORKER_LOST, moment, moment, reason=f"{session} {reason}")  # type: ignore[arg-type]
            _settle(draft, state, session, report, rules)
    draft.started = [ref for ref in draft.started if ref.session != session]


def _record(draft: _Draft, epoch: int) -> LedgerRecord | None:
    if not (draft.read or draft.dead):
        return None
    return LedgerRecord(
        epoch=epoch,
        token="",
        met=tuple(Meeting(session, hello) for session, hello in draft.met.items()),
        started=tuple(each for each in draft.started if each.job not in draft.settled),
        returned=tuple(draft.returned),
        settled=tuple(draft.settled.values()),
        dead=tuple(Death(session, reason) for session, reason in draft.dead.items()),
        read=draft.read,
    )


def with_token(record: LedgerRecord, token: str) -> LedgerRecord:
    """Return the record as this writer signs it."""
    return replace(record, token=token)
