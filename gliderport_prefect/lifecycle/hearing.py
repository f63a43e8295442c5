"""Who was heard when, and whose silence means that it is lost."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from gliderport_prefect.lifecycle.inboxes import Inboxes
from gliderport_prefect.protocol.ids import SessionId
from gliderport_prefect.scheduling.listening import (
    LONGEST_LOOK_SECONDS,
    ListeningClock,
    derive_silent,
    note_overdue,
)
from gliderport_prefect.scheduling.settling import News
from gliderport_prefect.scheduling.state import CampaignState


@dataclass
class Hearing:
    """What a launcher has heard of the live sessions."""

    state: CampaignState
    inboxes: Inboxes
    clock: ListeningClock
    dead_seconds: float
    """How long a session that holds jobs may be silent."""

    def hear(self, news: Iterable[News]) -> None:
        """Note that the sessions that wrote this are alive, and what they said of themselves."""
        for each in news:
            session = self.state.sessions.get(each.session)
            if session is not None:
                session.heard_at = self.clock.seconds
                session.read = max(session.read, each.record.read)
                session.draining = session.draining or each.record.draining is not None

    def hear_all(self) -> None:
        """Let everybody's silence begin now."""
        for session in self.state.sessions.values():
            session.heard_at = self.clock.seconds

    def find_silent(self) -> dict[SessionId, str]:
        """Return the sessions that were silent for too long, unless nobody could have written to the bucket."""
        sessions, now = self.state.sessions, self.clock.seconds
        note_overdue(sessions.values(), self.dead_seconds, now=now)
        silent = derive_silent(sessions.values(), self.dead_seconds, now=now)
        if silent and not self._writes_promptly(silent):
            self.hear_all()
            return {}
        return silent

    def _writes_promptly(self, silent: Iterable[SessionId]) -> bool:
        """Say whether the bucket takes records right now, by telling these sessions who drives.

        A bucket that can be read and not be written keeps all sessions silent, and no look at it shows that.
        """
        monotonic, draft = self.inboxes.runtime.clock.monotonic, self.inboxes.draft()
        began_at = monotonic()
        self.inboxes.send([(self.state.sessions[each], draft) for each in silent])
        return monotonic() - began_at <= LONGEST_LOOK_SECONDS
