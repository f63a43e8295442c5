"""Rebuild a campaign's state from the bucket: newest snapshot, specs, the rest of the ledger, inboxes.

It changes nothing, so that `gliderport status` uses it as well as a launcher that takes over.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from gliderport_prefect.errors import ProtocolError, UserError
from gliderport_prefect.protocol import codec
from gliderport_prefect.protocol.keys import number_segment, parse_number
from gliderport_prefect.protocol.records import Campaign, InboxRecord, LedgerRecord, SpecChunkHeader
from gliderport_prefect.protocol.version import PROTOCOL_VERSION
from gliderport_prefect.scheduling.state import CampaignState

if TYPE_CHECKING:
    from collections.abc import Iterator

    from gliderport_prefect.campaign.runtime import Runtime, Record
    from gliderport_prefect.scheduling.sessions import Session

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
    now = runtime.clock.monotonic()
    for number, record in read_log(runtime, LedgerRecord, runtime.keys.ledger, state.ledger_number + 1):
        state.apply_ledger(number, record, now=now)
    state.rebuild_queue()
    return state


def add_new_chunks(runtime: Runtime, state: CampaignState) -> int:
    """Take in the spec chunks that came since, and return how many jobs they brought."""
    before = len(state.jobs)
    while (data := runtime.store.get(_chunk_key(runtime, state.chunks + 1))) is not None:
        header = data.partition(b"\n")[0]
        state.add_chunk(codec.decode(SpecChunkHeader, header, where=_chunk_key(runtime, state.chunks + 1)))
    return len(state.jobs) - before


def read_inbox(runtime: Runtime, state: CampaignState, session: Session) -> None:
    """Take in what the session's inbox holds beyond what is known."""
    start = max(session.next_inbox, state.floor.get(session.id, 1))
    for number, record in read_log(runtime, InboxRecord, runtime.keys.inbox(session.id), start):
        state.apply_inbox(session, number, record)


def read_log(runtime: Runtime, kind: type[Record], log: str, start: int) -> Iterator[tuple[int, Record]]:
    """Yield the numbered records of the log from the start until one is missing."""
    ahead = 1
    while True:
        numbers = range(start, start + ahead)
        fetched = runtime.in_parallel(lambda number: runtime.read_numbered(kind, log, number), numbers)
        for number, record in zip(numbers, fetched, strict=True):
            if record is None:
                return
            yield number, record
        start, ahead = start + ahead, min(ahead * 2, _AHEAD)


def write_snapshot(runtime: Runtime, state: CampaignState) -> None:
    """Store the fold of the ledger, and drop all older ones but the newest of them."""
    older = _snapshot_keys(runtime)
    data = json.dumps({"token": runtime.token(), **state.pack()}, separators=(",", ":")).encode()
    runtime.store.create(runtime.keys.snapshot(state.ledger_number), data)
    runtime.store.delete(older[:-1])


def _newest_snapshot(runtime: Runtime) -> CampaignState:
    state = CampaignState()
    keys = _snapshot_keys(runtime)
    data = runtime.store.get(keys[-1]) if keys else None
    if data is not None:
        state.unpack(json.loads(data), now=runtime.clock.monotonic())
    return state


def _snapshot_keys(runtime: Runtime) -> list[str]:
    keys = [stored.key for stored in runtime.store.list(runtime.keys.snapshots)]
    return sorted(keys, key=parse_number)


def _chunk_key(runtime: Runtime, number: int) -> str:
    return f"{runtime.keys.specs}/{number_segment(number)}"
