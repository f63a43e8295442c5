"""Whose silence means that it is lost: silence counts only while the launcher listened.

A bucket that does not answer, a laptop that sleeps, a look that takes a minute: in all of these nobody could have been
heard. So silence is measured by a clock that stands still while nobody listens.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from gliderport_prefect.protocol.records import IDLE_PATIENCE

if TYPE_CHECKING:
    from collections.abc import Iterable

    from gliderport_prefect.protocol.ids import SessionId
    from gliderport_prefect.scheduling.sessions import Session

LONGEST_LOOK_SECONDS = 5.0
"""More time than this between two looks at the outboxes counts as this much."""
_OVERDUE = 0.5
"""A session gets no more jobs once it has been silent for this part of the time after which it is lost."""


@dataclass
class ListeningClock:
    """Counts the seconds in which the launcher listened."""

    seconds: float
    """What it shows."""
    looked_at: float
    """When the last look at the outboxes began that succeeded, by the launcher's monotonic clock, in seconds."""

    def note_look(self, began_at: float) -> None:
        """Count the time up to a look that has succeeded.

        Args:
            began_at: When it began: what was written later may not have been seen.
        """
        self.seconds += min(max(began_at - self.looked_at, 0.0), LONGEST_LOOK_SECONDS)
        self.looked_at = began_at


def note_overdue(sessions: Iterable[Session], dead_seconds: float, *, now: float) -> None:
    """Mark the sessions that should have been heard by now: they get no jobs until they are heard again.

    Args:
        sessions: Live sessions.
        dead_seconds: How long a session that holds jobs may be silent.
        now: What the listening clock shows.
    """
    for session in sessions:
        session.overdue = now - session.heard_at > _OVERDUE * _patience_seconds(session, dead_seconds)


def derive_silent(sessions: Iterable[Session], dead_seconds: float, *, now: float) -> dict[SessionId, str]:
    """Return the sessions that have been silent for too long, and say so; the arguments are those of `note_overdue`."""
    return {
        each.id: f"was silent for more than {limit:g} s"
        for each in sessions
        if now - each.heard_at > (limit := _patience_seconds(each, dead_seconds))
    }


def _patience_seconds(session: Session, dead_seconds: float) -> float:
    """Return how long the session may be silent: those without jobs speak less often, and nobody waits for them."""
    return dead_seconds if session.held else IDLE_PATIENCE * dead_seconds
