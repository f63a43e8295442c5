"""Rebuild a campaign's state from the bucket: newest snapshot, specs, the rest of the ledger, inboxes.

It changes nothing, so that `gliderport status` uses it as well as a launcher that takes over.
"""

from __future__ import annotations

import json
import logging
import zlib
from collections.abc import Iterable, Iterator

from gliderport_prefect.campaign.runtime import Record, Runtime
from gliderport_prefect.errors import ProtocolError, UserError
from gliderport_prefect.protocol import codec
from gliderport_prefect.protocol.keys import number_segment
from gliderport_prefect.protocol.records import Campaign, InboxRecord, LedgerRecord, SpecChunkHeader
from gliderport_prefect.protocol.version import PROTOCOL_VERSION
from gliderport_prefect.scheduling.sessions import Session
from gliderport_prefect.scheduling.state import CampaignState
from gliderport_prefect.store import list_numbers

_log = logging.getLogger(__name__)

_AHEAD = 16
"""Records of a log that are fetched at once."""


def read_campaign(runtime: Runtime) -> Campaign:
    """Return the identity of the campaign.

    Raises:
        UserError: There is no such campaign in this bucket.
        ProtocolError: It was written by a version that this one does not understand.
    """
    campaign = runtime.read(Campaign, runtime.keys.identity)
    if campaign is None:
        raise UserError(
            f"there is no campaign {runtime.campaign!r} in {runtime.store.url}",
            hint="`gliderport list` shows the campaigns of a bucket",
        )
    if campaign.protocol != PROTOCOL_VERSION:
        raise ProtocolError(
            f"campaign {runtime.campaign!r} follows version {campaign.protocol} of the protocol, "
            f"this program version {PROTOCOL_VERSION}: use the program that began it"
        )
    return campaign


def replay(runtime: Runtime) -> CampaignState:
    """Return the state that specs and ledger tell, with an empty view of the inboxes."""
    state = _newest_snapshot(runtime)
    add_new_chunks(runtime, state)
    follow_ledger(runtime, state)
    state.rebuild_queue()
    return state


def follow_ledger(runtime: Runtime, state: CampaignState) -> None:
    """Take in the ledger records that came since."""
    now = runtime.clock.monotonic()
    for number, record in read_log(runtime, LedgerRecord, log=runtime.keys.ledger, start=state.ledger_number + 1):
        _know_jobs(runtime, state, jobs=_jobs_of_ledger(record))
        state.apply_ledger(number, record, now=now)


def add_new_chunks(runtime: Runtime, state: CampaignState) -> int:
    """Take in the spec chunks that came since, and return how many jobs they brought."""
    before = len(state.jobs)
    while (data := runtime.store.get(_chunk_key(runtime, state.chunks + 1))) is not None:
        header = data.partition(b"\n")[0]
        state.add_chunk(codec.decode(SpecChunkHeader, header, where=_chunk_key(runtime, state.chunks + 1)))
    return len(state.jobs) - before


def read_inboxes(runtime: Runtime, state: CampaignState) -> None:
    """Take in what the inboxes of the live sessions hold beyond what is known."""

    def read(session: Session) -> list[tuple[int, InboxRecord]]:
        return _read_inbox(runtime, session, floor=state.floor.get(session.id, 1))

    sessions = list(state.sessions.values())
    for session, records in zip(sessions, runtime.in_parallel(read, sessions), strict=True):
        for number, record in records:
            _know_jobs(runtime, state, jobs=(each.job for each in record.assign))
            state.apply_inbox(session, record, number=number)


def _read_inbox(runtime: Runtime, session: Session, *, floor: int) -> list[tuple[int, InboxRecord]]:
    session.next_inbox = max(session.next_inbox, floor)
    inbox, found = runtime.keys.inbox(session.id), list[tuple[int, InboxRecord]]()
    while True:
        number = session.next_inbox + len(found)
        record = runtime.read_numbered(InboxRecord, inbox, number=number)
        if record is None:
            return found
        found.append((number, record))


def _know_jobs(runtime: Runtime, state: CampaignState, *, jobs: Iterable[int]) -> None:
    """Read the specs that were submitted while the log that names these jobs was read."""
    newest = max(jobs, default=-1)
    if newest >= len(state.jobs):
        add_new_chunks(runtime, state)
    if newest >= len(state.jobs):
        raise ProtocolError(f"campaign {runtime.campaign!r} speaks of job number {newest} and has {len(state.jobs)}")


def _jobs_of_ledger(record: LedgerRecord) -> Iterator[int]:
    yield from (each.job for each in (*record.started, *record.returned))
    yield from (each.report.job for each in record.settled)
    yield from (each.last for each in (*record.cancelled, *record.requeued))


def read_log(runtime: Runtime, kind: type[Record], *, log: str, start: int) -> Iterator[tuple[int, Record]]:
    """Yield the numbered records of the log from the start until one is missing."""
    ahead = 1
    while True:
        keys = [f"{log}/{number_segment(number)}" for number in range(start, start + ahead)]
        # Decoded one by one: records take several times the room of their text.
        for number, (key, data) in enumerate(
            zip(keys, runtime.in_parallel(runtime.store.get, keys), strict=True), start
        ):
            if data is None:
                return
            yield number, codec.decode(kind, data, where=key)
        start, ahead = start + ahead, min(ahead * 2, _AHEAD)


def write_snapshot(runtime: Runtime, state: CampaignState) -> None:
    """Store the fold of the ledger, and drop all older ones but the newest of them."""
    older = _snapshot_numbers(runtime)
    data = json.dumps({"token": runtime.token(), **state.pack()}, separators=(",", ":")).encode()
    runtime.store.create(runtime.keys.snapshot(state.ledger_number), data)
    runtime.store.delete([runtime.keys.snapshot(number) for number in older[:-1]])


def _newest_snapshot(runtime: Runtime) -> CampaignState:
    """Return the fold to begin with: the newest snapshot that can be read, or nothing."""
    for number in reversed(_snapshot_numbers(runtime)):
        state = CampaignState()
        data = runtime.store.get(runtime.keys.snapshot(number))
        try:
            if data is not None:
                state.unpack(json.loads(data), now=runtime.clock.monotonic())
                return state
        except (ValueError, KeyError, TypeError, AttributeError, IndexError, zlib.error) as error:
            _log.warning("snapshot %d of campaign %s is passed over: %r", number, runtime.campaign, error)
    return CampaignState()


def _snapshot_numbers(runtime: Runtime) -> list[int]:
    return sorted(list_numbers(runtime.store, runtime.keys.snapshots))


def _chunk_key(runtime: Runtime, number: int) -> str:
    return f"{runtime.keys.specs}/{number_segment(number)}"
