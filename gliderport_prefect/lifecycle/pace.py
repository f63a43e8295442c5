"""How often the launcher looks at what."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True)
class Pace:
    """How often the launcher looks, in seconds."""

    shortest: float = 0.05
    """After news."""
    calm: float = 0.25
    """After news: part of the time for which even the session with the least work has enough."""
    longest: float = 1.0
    """While jobs run and nothing new comes."""
    idle: float = 10.0
    """While no job waits or runs: outboxes then hold hellos and heartbeats only."""
    growth: float = 1.4
    """Factor from one look without news to the next."""
    site: float = 2.0
    """Between two looks at the site."""
    requests: float = 1.0
    """Between two looks for requests."""
    idle_requests: float = 5.0
    """The same while no job waits or runs, for one live session; the more sessions there are, the more often. With
    the sessions' own looks that makes less than one request per second and session."""
    feed: float = 0.1
    """Between two looks at the feed while it is open; they cost no request."""
    note: float = 10.0
    """Between two progress notes."""


@dataclass
class Due:
    """Says when something that happens every so often is due."""

    seconds: float
    _next: float = field(default=0.0)

    def is_due(self, now: float) -> bool:
        """Say whether it is time, and start the next interval if so."""
        if now < self._next:
            return False
        self._next = now + self.seconds
        return True

    def put_off(self, now: float, *, seconds: float) -> None:
        """Let it be due in that time from now."""
        self._next = now + seconds

    @property
    def at(self) -> float:
        """When it is due."""
        return self._next
