"""A launcher: the holder of an epoch, the only writer of the ledger and of the inboxes.

It settles what the outboxes say and hands out jobs. Whom to start and when to stop is not its business; `distribute`
does that around it. Each step leaves the bucket in a state from which another launcher can go on.
"""

from __future__ import annotations

import os
import socket
from collections import deque
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from gliderport_prefect import __version__
from gliderport_prefect.errors import Superseded
from gliderport_prefect.campaign.replay import add_new_chunks, read_campaign, read_inbox, replay, write_snapshot
from gliderport_prefect.protocol.ids import attempt_id
from gliderport_prefect.protocol.keys import number_segment, parse_number
from gliderport_prefect.protocol.outcomes import JobState
from gliderport_prefect.protocol.records import (
    Assignment,
    AttemptRef,
    InboxRecord,
    LauncherClaim,
    LedgerRecord,
    OutboxRecord,
    Request,
    RequestKind,
    Span,
    timestamp,
)
from gliderport_prefect.scheduling.matching import decide_assignments, decide_recalls
from gliderport_prefect.scheduling.scaling import derive_black_holes
from gliderport_prefect.scheduling.settling import News, SettlingRules, decide_ledger

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from gliderport_prefect.campaign.runtime import Runtime
    from gliderport_prefect.protocol.ids import SessionId
    from gliderport_prefect.protocol.jobspec import JobSpec
    from gliderport_prefect.protocol.records import Campaign
    from gliderport_prefect.scheduling.sessions import Session
    from gliderport_prefect.scheduling.state import CampaignState

_RECORD_BYTES = 4 * 1024 * 1024
"""About how large an inbox record may get."""
_SPEC_BYTES = 300
"""About how large the rest of a spec is besides its script."""
_SNAPSHOT_EVERY = 500
"""Ledger records between two snapshots."""


@dataclass
class Launcher:
    """The right to drive a campaign, and the view of it that this right rests on."""

    runtime: Runtime
    campaign: Campaign
    epoch: int
    state: CampaignState
    spec_of: Callable[[int], JobSpec]
    _snapshot_at: int = 0
    _to_delete: deque[str] = field(default_factory=deque[str])

    # --- one round ----------------------------------------------------------------------------------------------

    def settle(self, lost: dict[SessionId, str]) -> bool:
        """Read the outboxes, settle what they say, and tell the sessions that are over.

        Args:
            lost: Sessions whose machine is gone, and why.

        Returns:
            Whether there was anything new.

        Raises:
            Superseded: Another launcher has taken over.
        """
        news = self._read_outboxes()
        self._hear(news)
        rules = SettlingRules(self.epoch, self.campaign.launcher.loss_limit, self.spec_of, self.runtime.clock.wall())
        record = decide_ledger(self.state, news, {**self._silent(), **lost}, rules)
        if record is not None:
            told = [each for each in record.dead if each.session in self.state.sessions]
            sessions = [self.state.sessions[each.session] for each in told]
            self.write_ledger(replace(record, floor=self._prunable()))
            self._send_all([(session, InboxRecord(self.epoch, "", dead=True)) for session in sessions])
            self._cancel_doubles(record)
        self._delete_settled(news)
        self._snapshot_sometimes()
        return bool(news) or record is not None

    def hand_out(self) -> int:
        """Give waiting jobs to the sessions, ask some back, drain the harmful, and return how many were given."""
        records: dict[SessionId, InboxRecord] = {}
        given = decide_assignments(self.state.waiting, self.state.sessions.values())
        for session, jobs in given:
            records[session.id] = self._record(session, records, assign=self._assignments(jobs))
        if not given and not len(self.state.waiting):
            for recall in decide_recalls(list(self.state.sessions.values())):
                session = recall.session
                session.held[recall.job].recalled = True
                asked = (*self._record(session, records).recall, AttemptRef(recall.job, recall.attempt))  # type: ignore[arg-type]
                records[session.id] = self._record(session, records, recall=asked)
        for session in derive_black_holes(list(self.state.sessions.values()), self.campaign.launcher.black_hole_limit):
            records[session.id] = self._record(session, records, drain=True)
        self._send_all([(self.state.sessions[session], record) for session, record in records.items()])
        return sum(len(jobs) for _, jobs in given)

    def drain(self, sessions: Iterable[Session]) -> None:
        """Tell sessions to finish what runs there, hand back the rest, and leave."""
        self._send_all([(each, InboxRecord(self.epoch, "", drain=True)) for each in sessions if not each.draining])

    def fence_inboxes(self) -> None:
        """Write into every live inbox, so that its session ignores launchers of lower epochs."""
        self._send_all([(each, InboxRecord(self.epoch, "")) for each in self.state.sessions.values()])

    def read_new_specs(self) -> bool:
        """Take in the jobs that were submitted since the last look, and say whether there were any."""
        return add_new_chunks(self.runtime, self.state) > 0

    def follow_requests(self) -> bool:
        """Act on what people asked for since the last look, and say whether there was anything."""
        runtime, number = self.runtime, self.state.requests_read
        found = False
        while (request := runtime.read_numbered(Request, runtime.keys.requests, number + 1)) is not None:
            number, found = number + 1, True
            self._follow(request, number)
        return found

    def write_ledger(self, record: LedgerRecord) -> None:
        """Append to the ledger and take the record into the state.

        Raises:
            Superseded: A launcher of a higher epoch has written there.
        """
        runtime, signed = self.runtime, replace(record, token=self.runtime.token())
        standing = runtime.append(runtime.keys.ledger, self.state.ledger_number + 1, signed)
        if standing is not None:
            raise Superseded(
                f"campaign {runtime.campaign!r} is driven by a launcher of epoch {standing.epoch} now; this one had {self.epoch}"
            )
        self.state.apply_ledger(self.state.ledger_number + 1, signed, now=runtime.clock.monotonic())

    # --- outboxes -----------------------------------------------------------------------------------------------

    def _read_outboxes(self) -> list[News]:
        runtime, state = self.runtime, self.state
        names = sorted(runtime.keys.parse_outbox(stored.key) for stored in runtime.store.list(runtime.keys.outbox))
        unread: list[tuple[SessionId, int]] = []
        for session, number in names:
            if number <= state.read.get(session, 0) or session in state.ended_sessions:
                self._to_delete.append(runtime.keys.outbox_record(session, number))
            else:
                unread.append((session, number))
        found = runtime.in_parallel(lambda name: self._read_outbox(*name), unread)
        return [news for news in found if news is not None]

    def _read_outbox(self, session: SessionId, number: int) -> News | None:
        key = self.runtime.keys.outbox_record(session, number)
        record = self.runtime.read(OutboxRecord, key)
        return None if record is None else News(session, number, record)

    def _hear(self, news: list[News]) -> None:
        now = self.runtime.clock.monotonic()
        for each in news:
            session = self.state.sessions.get(each.session)
            if session is not None:
                session.heard_at = now
                session.read = max(session.read, each.record.read)
                session.draining = session.draining or each.record.draining is not None

    def _silent(self) -> dict[SessionId, str]:
        now, limit = self.runtime.clock.monotonic(), self.campaign.launcher.dead_seconds
        silent = (each for each in self.state.sessions.values() if now - each.heard_at > limit)
        return {each.id: f"was silent for more than {limit:g} s" for each in silent}

    def _delete_settled(self, news: list[News]) -> None:
        self._to_delete.extend(self.runtime.keys.outbox_record(each.session, each.number) for each in news)
        if self._to_delete:
            self.runtime.store.delete(list(self._to_delete))
            self._to_delete.clear()

    # --- inboxes ------------------------------------------------------------------------------------------------

    def _record(self, session: Session, drafts: dict[SessionId, InboxRecord], **changes: object) -> InboxRecord:
        """Return the session's record of this round with the changes."""
        return replace(drafts.get(session.id, InboxRecord(self.epoch, "")), **changes)  # type: ignore[arg-type]

    def _assignments(self, jobs: list[int]) -> tuple[Assignment, ...]:
        """Return assignments that fit into one record; jobs with large specs beyond that go back to the queue."""
        made: list[Assignment] = []
        room_bytes = _RECORD_BYTES
        for at, job in enumerate(jobs):
            if room_bytes <= 0:
                for left in jobs[at:]:
                    self.state.waiting.push(left, self.state.classes.class_of(left))
                break
            made.append(self._assignment(job))
            spec = made[-1].spec
            room_bytes -= len(spec.run or spec.python or "") + _SPEC_BYTES
        return tuple(made)

    def _assignment(self, job: int) -> Assignment:
        jobs = self.state.jobs
        attempt = attempt_id(jobs.next_try(job), self.epoch)
        return Assignment(job, attempt, self.spec_of(job), jobs.memory_bytes(job))  # type: ignore[arg-type]

    def _send_all(self, records: list[tuple[Session, InboxRecord]]) -> None:
        """Append to the inboxes, several at once; the state changes one by one.

        Raises:
            Superseded: A launcher of a higher epoch has written there.
        """
        signed = [(session, replace(record, token=self.runtime.token())) for session, record in records]
        standing = self.runtime.in_parallel(lambda each: self._put(*each), signed)
        for (session, record), other in zip(signed, standing, strict=True):
            self._take_in(session, record, other)

    def _put(self, session: Session, record: InboxRecord) -> InboxRecord | None:
        return self.runtime.append(self.runtime.keys.inbox(session.id), session.next_inbox, record)

    def _take_in(self, session: Session, record: InboxRecord, standing: InboxRecord | None) -> None:
        """Apply the record, after what an older launcher turns out to have put into its place."""
        while standing is not None:
            if standing.epoch > self.epoch:
                raise Superseded(
                    f"campaign {self.runtime.campaign!r} is driven by a launcher of epoch {standing.epoch} now"
                )
            self.state.apply_inbox(session, session.next_inbox, standing)
            standing = self._put(session, record)
        self.state.apply_inbox(session, session.next_inbox, record)

    def _prunable(self) -> dict[str, int]:
        """Delete-list inbox records that are read and whose jobs have left the session; return the new floors.

        The newest record of an inbox always stays: it carries the epoch that fences older launchers.
        """
        floors: dict[str, int] = {}
        for session in self.state.sessions.values():
            oldest_needed = min((held.inbox_number for held in session.held.values()), default=session.read)
            kept = session.kept_inbox
            while len(kept) > 1 and kept[0] <= session.read and kept[0] < oldest_needed:
                self._to_delete.append(f"{self.runtime.keys.inbox(session.id)}/{number_segment(kept.popleft())}")
                floors[session.id] = kept[0]
        return floors

    def _cancel_doubles(self, record: LedgerRecord) -> None:
        """End the other attempts of jobs that have ended."""
        ended = {each.report.job for each in record.settled if each.then is not JobState.QUEUED}
        self._cancel_held(lambda job: job in ended)

    def _cancel_held(self, is_meant: Callable[[int], bool]) -> None:
        records: list[tuple[Session, InboxRecord]] = []
        for session in self.state.sessions.values():
            refs = tuple(AttemptRef(job, held.attempt) for job, held in session.held.items() if is_meant(job))  # type: ignore[arg-type]
            if refs:
                records.append((session, InboxRecord(self.epoch, "", cancel=refs)))
                for ref in refs:
                    if self.state.jobs.has_ended(ref.job):
                        del session.held[ref.job]
        self._send_all(records)

    # --- requests -----------------------------------------------------------------------------------------------

    def _follow(self, request: Request, number: int) -> None:
        """Put the request into the ledger; new specs are read first."""
        add_new_chunks(self.runtime, self.state)
        spans = request.jobs or self._everything()
        if request.kind is RequestKind.CANCEL:
            self.write_ledger(LedgerRecord(self.epoch, "", requests_read=number, cancelled=spans))
            wanted = self.state.cancel_wanted
            self._cancel_held(lambda job: job in wanted or self.state.jobs.has_ended(job))
            self.state.rebuild_queue()
        elif request.kind is RequestKind.RETRY:
            self.write_ledger(LedgerRecord(self.epoch, "", requests_read=number, requeued=spans))
        else:
            self.write_ledger(LedgerRecord(self.epoch, "", requests_read=number))

    def _everything(self) -> tuple[Span, ...]:
        last = len(self.state.jobs) - 1
        return (Span(0, last),) if last >= 0 else ()  # type: ignore[arg-type]

    def _snapshot_sometimes(self) -> None:
        if self.state.ledger_number - self._snapshot_at >= _SNAPSHOT_EVERY:
            write_snapshot(self.runtime, self.state)
            self._snapshot_at = self.state.ledger_number


def take_over(runtime: Runtime, spec_of: Callable[[int], JobSpec]) -> Launcher:
    """Claim the next epoch, replay the campaign, fence every older launcher, and return the right to drive.

    Raises:
        Superseded: Somebody claimed a higher epoch meanwhile.
    """
    campaign = read_campaign(runtime)
    epoch = _claim_epoch(runtime)
    state = replay(runtime)
    launcher = Launcher(runtime, campaign, epoch, state, spec_of, state.ledger_number)
    _fence_ledger(launcher)
    for session in list(state.sessions.values()):
        session.next_inbox = state.floor.get(session.id, 1)
        read_inbox(runtime, state, session)
    launcher.fence_inboxes()
    state.rebuild_queue()
    return launcher


def _claim_epoch(runtime: Runtime) -> int:
    claim = LauncherClaim(
        token=runtime.token(),
        host=socket.gethostname(),
        pid=os.getpid(),
        claimed_at=timestamp(runtime.clock.wall()),
        version=__version__,
    )
    claims = [parse_number(stored.key) for stored in runtime.store.list(runtime.keys.launchers)]
    epoch = max(claims, default=0) + 1
    while runtime.append(runtime.keys.launchers, epoch, claim) is not None:
        epoch += 1
    return epoch


def _fence_ledger(launcher: Launcher) -> None:
    """Append the first record of the epoch, after the last ones of older launchers.

    Raises:
        Superseded: A launcher of a higher epoch has written to the ledger.
    """
    runtime, state = launcher.runtime, launcher.state
    if state.epoch > launcher.epoch:
        raise Superseded(f"campaign {runtime.campaign!r} is driven by a launcher of epoch {state.epoch} already")
    fence = LedgerRecord(launcher.epoch, runtime.token(), fence=True)
    while (standing := runtime.append(runtime.keys.ledger, state.ledger_number + 1, fence)) is not None:
        if standing.epoch > launcher.epoch:
            raise Superseded(f"campaign {runtime.campaign!r} is driven by a launcher of epoch {standing.epoch} already")
        state.apply_ledger(state.ledger_number + 1, standing, now=runtime.clock.monotonic())
    state.apply_ledger(state.ledger_number + 1, fence, now=runtime.clock.monotonic())
