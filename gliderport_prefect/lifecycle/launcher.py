"""A launcher: the holder of an epoch, the only writer of the ledger and of the inboxes.

It settles what the outboxes say and hands out jobs. Whom to start and when to stop is not its business; `distribute`
does that around it. Each step leaves the bucket in a state from which another launcher can go on. After any error
but those that a step handles itself, the view in memory may be behind the bucket: drop the launcher and take over.
"""

from __future__ import annotations

import logging
import os
import socket
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass, field, replace

from gliderport_prefect import __version__
from gliderport_prefect.campaign.replay import (
    add_new_chunks,
    follow_ledger,
    read_campaign,
    read_inboxes,
    replay,
    write_snapshot,
)
from gliderport_prefect.campaign.runtime import Runtime
from gliderport_prefect.errors import ProtocolError, Superseded
from gliderport_prefect.lifecycle.inboxes import Inboxes
from gliderport_prefect.lifecycle.outboxes import Outboxes
from gliderport_prefect.protocol import codec
from gliderport_prefect.protocol.ids import JobNumber, SessionId, WorkerName, attempt_id
from gliderport_prefect.protocol.jobspec import JobSpec
from gliderport_prefect.protocol.keys import number_segment
from gliderport_prefect.protocol.machines import WorkerState
from gliderport_prefect.protocol.records import (
    Assignment,
    AttemptRef,
    Campaign,
    InboxRecord,
    LauncherClaim,
    LedgerRecord,
    Request,
    RequestKind,
    Sighting,
    Span,
    timestamp,
)
from gliderport_prefect.scheduling.listening import (
    LONGEST_LOOK_SECONDS,
    ListeningClock,
    derive_silent,
    note_overdue,
)
from gliderport_prefect.scheduling.matching import decide_assignments, decide_recalls
from gliderport_prefect.scheduling.scaling import derive_black_holes
from gliderport_prefect.scheduling.sessions import Session
from gliderport_prefect.scheduling.settling import News, SettlingRules, decide_ledger
from gliderport_prefect.scheduling.sightings import derive_sightings
from gliderport_prefect.scheduling.state import CampaignState
from gliderport_prefect.store import list_numbers

_log = logging.getLogger(__name__)

_RECORD_BYTES = 4 * 1024 * 1024
"""About how large an inbox record may get."""
_SPEC_BYTES = 300
"""About how large the rest of a spec is besides its script."""
_SNAPSHOT_RECORDS = 500
"""Ledger records between two snapshots, so that a take-over takes seconds."""
_SNAPSHOT_ATTEMPTS = 50_000
"""Settled attempts between two snapshots, for the same reason."""


@dataclass
class Launcher:
    """The right to drive a campaign, and the view of it that this right rests on."""

    runtime: Runtime
    campaign: Campaign
    epoch: int
    state: CampaignState
    spec_of: Callable[[int], JobSpec]
    inboxes: Inboxes = field(init=False)
    outboxes: Outboxes = field(init=False)
    _listening: ListeningClock = field(init=False)
    _snapshot_at: int = 0
    _settled_since: int = 0

    def __post_init__(self) -> None:
        """Look at the bucket through the same view; nobody has been silent yet."""
        now = self.runtime.clock.monotonic()
        self._listening = ListeningClock(seconds=now, looked_at=now)
        self._hear_all()
        self.state.jobs.keep_after = self.campaign.launcher.keep_after
        self.inboxes = Inboxes(self.runtime, self.state, self.epoch)
        self.outboxes = Outboxes(self.runtime, self.state)
        self._snapshot_at = self.state.snapshot_number

    # --- one round ----------------------------------------------------------------------------------------------

    def settle(self, lost: dict[SessionId, str]) -> bool:
        """Read the outboxes, settle what they say, and tell the sessions that are over.

        Args:
            lost: Sessions whose machine is gone, and why.

        Returns:
            Whether there was anything but heartbeats.

        Raises:
            Superseded: Another launcher has taken over.
        """
        began_at = self.runtime.clock.monotonic()
        listing = self.outboxes.list()
        self._listening.note_look(began_at)
        settled = [self._settle_batch(batch, lost=None) for batch in listing.batches[:-1]]
        settled.append(self._settle_batch(listing.batches[-1] if listing.batches else [], lost=lost))
        self.inboxes.tell_dead(listing.revenants)
        if listing.settled:
            self.runtime.store.delete(listing.settled)
        self._snapshot_sometimes()
        return any(settled)

    def hand_out(self) -> int:
        """Give waiting jobs to the sessions, ask some back, drain the harmful, and return how many were given."""
        sessions = list(self.state.sessions.values())
        self.drain(derive_black_holes(sessions, self.campaign.launcher.black_hole_limit))
        given = decide_assignments(self.state.waiting, sessions)
        draft = self.inboxes.draft()
        self.inboxes.send([(session, replace(draft, assign=self._assignments(jobs))) for session, jobs in given])
        if not given and not len(self.state.waiting):
            self._recall(sessions)
        return sum(len(jobs) for _, jobs in given)

    def drain(self, sessions: Iterable[Session]) -> None:
        """Tell sessions to finish what runs there, hand back the rest, and leave."""
        record = replace(self.inboxes.draft(), drain=True)
        self.inboxes.send([(each, record) for each in sessions if not each.draining])

    def read_new_specs(self) -> bool:
        """Take in the jobs that were submitted since the last look, and say whether there were any."""
        return add_new_chunks(self.runtime, self.state) > 0

    def follow_requests(self) -> bool:
        """Act on what people asked for since the last look, and say whether there was anything."""
        runtime, found = self.runtime, False
        while (data := runtime.store.get(_request_key(runtime, number := self.state.requests_read + 1))) is not None:
            self._follow(data, number)
            found = True
        return found

    def note_workers(self, looked: Iterable[Sighting]) -> None:
        """Write down what has changed of the workers' machines, if anything has.

        Args:
            looked: What the site says of all workers of the campaign.
        """
        seen = self.derive_seen(looked)
        if seen:
            self.write_ledger(LedgerRecord(self.epoch, "", finished=self.state.said_finished, seen=seen))

    def note_gone(self, workers: Collection[WorkerName], *, reason: str) -> None:
        """Write down that these workers are gone, whatever their site says of others."""
        known = self.state.fleet.known()
        gone = {
            name: replace(each, state=WorkerState.GONE, seen_at="", reason=reason)
            for name, each in known.items()
            if name in workers
        }
        self.note_workers({**known, **gone}.values())

    def derive_seen(self, looked: Iterable[Sighting]) -> tuple[Sighting, ...]:
        """Return what has changed of the workers' machines since it was written down."""
        return derive_sightings(looked, self.state.fleet.known(), now=self.runtime.clock.wall())

    def write_ledger(self, record: LedgerRecord) -> None:
        """Append to the ledger and take the record into the state.

        Raises:
            Superseded: A launcher of a higher epoch has written there.
        """
        runtime, signed = self.runtime, replace(record, token=self.runtime.token())
        number = self.state.ledger_number + 1
        standing = runtime.append(runtime.keys.ledger, signed, number=number)
        if standing is not None:
            raise self._superseded(standing.epoch)
        self.state.apply_ledger(number, signed, now=self._listening.seconds)

    # --- settling -----------------------------------------------------------------------------------------------

    def _settle_batch(self, batch: list[tuple[SessionId, int]], *, lost: dict[SessionId, str] | None) -> bool:
        """Settle what these outbox records say, with the last of them also who is lost; return whether that was any.

        Who is lost is decided when all have been heard.
        """
        reading = self.outboxes.read(batch)
        self._hear(reading.news)
        gone = reading.unreadable if lost is None else {**self._silent(), **reading.unreadable, **lost}
        rules = SettlingRules(self.epoch, self.campaign.launcher.loss_limit, self.spec_of, self.runtime.clock.wall())
        record = decide_ledger(self.state, reading.news, lost=gone, rules=rules)
        done = [self.runtime.keys.outbox_record(each.session, each.number) for each in reading.news]
        if record is not None:
            done += self._write_settlement(record)
        elif reading.news:
            self._refuse_superseded()
        if done:
            self.runtime.store.delete(done)
        return record is not None

    def _hear(self, news: list[News]) -> None:
        for each in news:
            session = self.state.sessions.get(each.session)
            if session is not None:
                session.heard_at = self._listening.seconds
                session.read = max(session.read, each.record.read)
                session.draining = session.draining or each.record.draining is not None

    def _hear_all(self) -> None:
        for session in self.state.sessions.values():
            session.heard_at = self._listening.seconds

    def _silent(self) -> dict[SessionId, str]:
        """Return the sessions that were silent for too long, unless nobody could have written to the bucket."""
        sessions, limit = self.state.sessions, self.campaign.launcher.dead_seconds
        note_overdue(sessions.values(), limit, now=self._listening.seconds)
        silent = derive_silent(sessions.values(), limit, now=self._listening.seconds)
        if silent and not self._writes_promptly(silent):
            self._hear_all()
            return {}
        return silent

    def _writes_promptly(self, silent: Iterable[SessionId]) -> bool:
        """Say whether the bucket takes records right now, by telling these sessions who drives.

        A bucket that can be read and not be written keeps all sessions silent, and no look at it shows that.
        """
        began_at, draft = self.runtime.clock.monotonic(), self.inboxes.draft()
        self.inboxes.send([(self.state.sessions[each], draft) for each in silent])
        return self.runtime.clock.monotonic() - began_at <= LONGEST_LOOK_SECONDS

    def _write_settlement(self, record: LedgerRecord) -> list[str]:
        """Put the record into the ledger, tell those concerned, and return keys that may be deleted now."""
        dead = [each.session for each in record.dead if each.session in self.state.sessions]
        floor, pruned = self.inboxes.prune()
        self.write_ledger(replace(record, floor=floor))
        self._settled_since += len(record.settled)
        self.inboxes.tell_dead(dead)
        self.inboxes.cancel({each.report.job for each in record.settled if self.state.jobs.has_ended(each.report.job)})
        return pruned

    def _refuse_superseded(self) -> None:
        """Make sure that nobody else drives before signs of life are deleted that another launcher waits for."""
        next_number = self.state.ledger_number + 1
        standing = self.runtime.read_numbered(LedgerRecord, self.runtime.keys.ledger, number=next_number)
        if standing is not None:
            raise self._superseded(standing.epoch)

    def _superseded(self, epoch: int) -> Superseded:
        return Superseded(
            f"campaign {self.runtime.campaign!r} is driven by a launcher of epoch {epoch} now; "
            f"this one had {self.epoch}"
        )

    def _snapshot_sometimes(self) -> None:
        is_long = self.state.ledger_number - self._snapshot_at >= _SNAPSHOT_RECORDS
        if is_long or self._settled_since >= _SNAPSHOT_ATTEMPTS:
            write_snapshot(self.runtime, self.state)
            self._snapshot_at, self._settled_since = self.state.ledger_number, 0

    # --- handing out --------------------------------------------------------------------------------------------

    def _assignments(self, jobs: list[int]) -> tuple[Assignment, ...]:
        """Return assignments that fit into one record; jobs with large specs beyond that go back to the queue."""
        made: list[Assignment] = []
        room_bytes = _RECORD_BYTES
        for at, job in enumerate(jobs):
            if room_bytes <= 0:
                for left in jobs[at:]:
                    self.state.waiting.push(left, self.state.class_of(left))
                break
            made.append(self._assignment(job))
            spec = made[-1].spec
            room_bytes -= len(spec.run or spec.python or "") + _SPEC_BYTES
        return tuple(made)

    def _assignment(self, job: int) -> Assignment:
        jobs = self.state.jobs
        attempt = attempt_id(jobs.next_try(job), self.epoch)
        return Assignment(JobNumber(job), attempt, self.spec_of(job), jobs.memory_bytes(job))

    def _recall(self, sessions: list[Session]) -> None:
        records: dict[SessionId, InboxRecord] = {}
        for recall in decide_recalls(sessions):
            session = recall.session
            session.held[recall.job].recalled = True
            record = records.get(session.id, self.inboxes.draft())
            asked = (*record.recall, AttemptRef(JobNumber(recall.job), recall.attempt))
            records[session.id] = replace(record, recall=asked)
        self.inboxes.send([(self.state.sessions[session], record) for session, record in records.items()])

    # --- requests -----------------------------------------------------------------------------------------------

    def _follow(self, data: bytes, number: int) -> None:
        """Put the request into the ledger; new specs are read first."""
        add_new_chunks(self.runtime, self.state)
        answer = LedgerRecord(self.epoch, "", requests_read=number)
        request = self._decode(data, number)
        spans = self._spans(request) if request is not None else ()
        if request is not None and request.kind is RequestKind.CANCEL:
            self.write_ledger(replace(answer, cancelled=spans))
            self.inboxes.cancel(self.state.unwanted())
            self.state.rebuild_queue()
        elif request is not None and request.kind is RequestKind.RETRY:
            self.write_ledger(replace(answer, requeued=spans))
        elif request is not None and request.kind is RequestKind.BUDGET:
            self.write_ledger(replace(answer, budget=request.budget))
        else:
            self.write_ledger(answer)

    def _decode(self, data: bytes, number: int) -> Request | None:
        try:
            return codec.decode(Request, data, where=_request_key(self.runtime, number))
        except ProtocolError as error:
            _log.warning("request %d is passed over: %s", number, error)
            return None

    def _spans(self, request: Request) -> tuple[Span, ...]:
        """Return the jobs that are meant and exist; all when the request names none."""
        last = len(self.state.jobs) - 1
        spans = request.jobs or (Span(JobNumber(0), JobNumber(last)),)
        clipped = (Span(JobNumber(max(each.first, 0)), JobNumber(min(each.last, last))) for each in spans)
        return tuple(each for each in clipped if each.first <= each.last)


def take_over(runtime: Runtime, spec_of: Callable[[int], JobSpec], *, after: int | None = None) -> Launcher:
    """Claim the next epoch, replay the campaign, fence every older launcher, and return the right to drive.

    Args:
        runtime: The campaign.
        spec_of: Returns the spec of a job.
        after: The epoch that must be the newest one until now; whichever it is when not given.

    Raises:
        Superseded: Somebody claimed a higher epoch meanwhile.
    """
    campaign = read_campaign(runtime)
    epoch = _claim_epoch(runtime, after=after)
    state = replay(runtime)
    _fence_ledger(runtime, state, epoch=epoch)
    launcher = Launcher(runtime, campaign, epoch, state, spec_of)
    read_inboxes(runtime, state)
    fence = launcher.inboxes.draft()
    launcher.inboxes.send([(session, fence) for session in state.sessions.values()])
    launcher.inboxes.cancel(state.unwanted())  # an older launcher may have died before it told them
    state.rebuild_queue()
    return launcher


def _request_key(runtime: Runtime, number: int) -> str:
    return f"{runtime.keys.requests}/{number_segment(number)}"


def _claim_epoch(runtime: Runtime, *, after: int | None) -> int:
    claim = LauncherClaim(
        token=runtime.token(),
        host=socket.gethostname(),
        pid=os.getpid(),
        claimed_at=timestamp(runtime.clock.wall()),
        version=__version__,
    )
    newest = max(list_numbers(runtime.store, runtime.keys.launchers), default=0)
    epoch = (newest if after is None else after) + 1
    while runtime.append(runtime.keys.launchers, claim, number=epoch) is not None:
        if after is not None:
            raise Superseded(f"somebody else has just begun to drive campaign {runtime.campaign!r}")
        epoch += 1
    return epoch


def _fence_ledger(runtime: Runtime, state: CampaignState, *, epoch: int) -> None:
    """Append the first record of the epoch, after the last ones of older launchers.

    Raises:
        Superseded: A launcher of a higher epoch has written to the ledger.
    """
    token = runtime.token()
    while True:
        # What is over stays over: a launcher also comes only to write down that the last workers are gone.
        fence = LedgerRecord(epoch, token, fence=True, finished=state.said_finished)
        if state.epoch > epoch:
            raise Superseded(f"campaign {runtime.campaign!r} is driven by a launcher of epoch {state.epoch} already")
        if runtime.append(runtime.keys.ledger, fence, number=state.ledger_number + 1) is None:
            break
        follow_ledger(runtime, state)
    state.apply_ledger(state.ledger_number + 1, fence, now=runtime.clock.monotonic())
