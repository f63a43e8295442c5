"""What the workers say: reads the outboxes and knows which of their records may be deleted."""

from __future__ import annotations

import logging
from dataclasses import dataclass, field

from gliderport_prefect.campaign.runtime import Runtime
from gliderport_prefect.errors import ProtocolError
from gliderport_prefect.protocol.ids import SessionId
from gliderport_prefect.protocol.records import OutboxRecord
from gliderport_prefect.scheduling.settling import News
from gliderport_prefect.scheduling.state import CampaignState

_log = logging.getLogger(__name__)


@dataclass
class Reading:
    """What one look at the outboxes brought."""

    news: list[News] = field(default_factory=list[News])
    """Records that are not settled, in order for each session."""
    settled: list[str] = field(default_factory=list[str])
    """Keys of records whose content is in the ledger already, or whose session is over."""
    unreadable: dict[SessionId, str] = field(default_factory=dict[SessionId, str])
    """Sessions that wrote something that cannot be read, and what."""
    revenants: set[SessionId] = field(default_factory=set[SessionId])
    """Sessions that are over and still speak."""


@dataclass
class Outboxes:
    """All outboxes of a campaign; one LIST shows what is new in them."""

    runtime: Runtime
    state: CampaignState
    _strangers: set[str] = field(default_factory=set[str])

    def read(self) -> Reading:
        """Read what is there. An object that is no record at all is left where it is, and named once in the log."""
        runtime, reading = self.runtime, Reading()
        names = sorted(self._name(stored.key) for stored in runtime.store.list(runtime.keys.outbox))
        unread = [name for name in names if self._is_unread(name, reading)]
        for (session, number), found in zip(unread, runtime.in_parallel(self._fetch, unread), strict=True):
            if isinstance(found, str):
                reading.unreadable[session] = found
            elif found is not None:
                reading.news.append(News(session, number, found))
        return reading

    def _name(self, key: str) -> tuple[SessionId, int]:
        try:
            return self.runtime.keys.parse_outbox(key)
        except ProtocolError as error:
            if key not in self._strangers:
                _log.warning("%s", error)
                self._strangers.add(key)
            return SessionId(""), 0

    def _is_unread(self, name: tuple[SessionId, int], reading: Reading) -> bool:
        session, number = name
        if not session:
            return False
        is_over, is_settled = session in self.state.ended_sessions, number <= self.state.read.get(session, 0)
        if is_over and not is_settled:
            reading.revenants.add(session)
        if is_over or is_settled:
            reading.settled.append(self.runtime.keys.outbox_record(session, number))
        return not (is_over or is_settled)

    def _fetch(self, name: tuple[SessionId, int]) -> OutboxRecord | str | None:
        """Return the record, or what is wrong with it, or None when another launcher has deleted it."""
        try:
            return self.runtime.read(OutboxRecord, self.runtime.keys.outbox_record(*name))
        except ProtocolError as error:
            _log.warning("%s", error)
            return f"wrote what cannot be read: {error}"
