"""What the workers say: reads the outboxes and knows which of their records may be deleted."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass, field

from gliderport_prefect.campaign.runtime import Runtime
from gliderport_prefect.errors import ProtocolError
from gliderport_prefect.protocol.ids import SessionId
from gliderport_prefect.protocol.records import OutboxRecord
from gliderport_prefect.scheduling.settling import News
from gliderport_prefect.scheduling.state import CampaignState

_log = logging.getLogger(__name__)


_BATCH_BYTES = 4 * 1024 * 1024
"""About how much is read, and settled by one ledger record, at a time."""


@dataclass
class Reading:
    """What one look at the outboxes brought."""

    news: list[News] = field(default_factory=list[News])
    """Records that are not settled, in order for each session."""
    unreadable: dict[SessionId, str] = field(default_factory=dict[SessionId, str])
    """Sessions that wrote something that cannot be read, and what."""


@dataclass
class Listing:
    """Which records there are."""

    batches: list[list[tuple[SessionId, int]]] = field(default_factory=list[list[tuple[SessionId, int]]])
    """Those that are not settled, in order for each session, and so many together as are read at a time."""
    settled: list[str] = field(default_factory=list[str])
    """Keys of those whose content is in the ledger already, or whose session is over."""
    revenants: set[SessionId] = field(default_factory=set[SessionId])
    """Sessions that are over and still speak."""


@dataclass
class Outboxes:
    """All outboxes of a campaign; one LIST shows what is new in them."""

    runtime: Runtime
    state: CampaignState
    _strangers: set[str] = field(default_factory=set[str])

    def list(self) -> Listing:
        """List what is there. An object that is no record is left where it is, and named once in the log."""
        listing, room_bytes = Listing(), 0
        for session, number, size_bytes in self._names():
            is_over, is_settled = session in self.state.ended_sessions, number <= self.state.read.get(session, 0)
            if is_over and not is_settled:
                listing.revenants.add(session)
            if is_over or is_settled:
                listing.settled.append(self.runtime.keys.outbox_record(session, number))
                continue
            if room_bytes <= 0:
                listing.batches.append([])
                room_bytes = _BATCH_BYTES
            listing.batches[-1].append((session, number))
            room_bytes -= size_bytes
        return listing

    def read(self, batch: Sequence[tuple[SessionId, int]]) -> Reading:
        """Read these records."""
        reading = Reading()
        for (session, number), found in zip(batch, self.runtime.in_parallel(self._fetch, batch), strict=True):
            if isinstance(found, str):
                reading.unreadable[session] = found
            elif found is not None:
                reading.news.append(News(session, number, found))
        return reading

    def _names(self) -> list[tuple[SessionId, int, int]]:
        names: list[tuple[SessionId, int, int]] = []
        for stored in self.runtime.store.list(self.runtime.keys.outbox):
            try:
                names.append((*self.runtime.keys.parse_outbox(stored.key), stored.size_bytes))
            except ProtocolError as error:
                if stored.key not in self._strangers:
                    _log.warning("%s", error)
                    self._strangers.add(stored.key)
        return sorted(names)

    def _fetch(self, name: tuple[SessionId, int]) -> OutboxRecord | str | None:
        """Return the record, or what is wrong with it, or None when another launcher has deleted it."""
        try:
            return self.runtime.read(OutboxRecord, self.runtime.keys.outbox_record(*name))
        except ProtocolError as error:
            _log.warning("%s", error)
            return f"wrote what cannot be read: {error}"
