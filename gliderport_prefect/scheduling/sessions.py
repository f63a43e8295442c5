"""What the launcher knows of each live session: what it offers, what it has been given, when it was last heard."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from gliderport_prefect.protocol.outcomes import FREE, Outcome

if TYPE_CHECKING:
    from gliderport_prefect.protocol.ids import AttemptId, SessionId
    from gliderport_prefect.protocol.records import AttemptReport, Hello
    from gliderport_prefect.protocol.resources import Offer, Resources

_FORGET = 0.3
"""Weight of the newest report in the running mean of job durations."""
_LEAST_SECONDS = 0.002
"""A job is never expected to be shorter than its spawning."""

_NOT_ITS_FAULT = FREE | {Outcome.CANCELLED, Outcome.TIMED_OUT, Outcome.OUT_OF_MEMORY}
"""Outcomes that say nothing about the health of the worker."""


@dataclass
class Held:
    """An attempt that lies with a session."""

    attempt: AttemptId
    """Which try."""
    needs: Resources
    """What it needs."""
    inbox_number: int
    """The inbox record that brought it."""
    started: bool = False
    """Whether the session has reported its start."""
    recalled: bool = False
    """Whether it has been asked back."""


@dataclass
class Session:
    """A live session, as the launcher sees it."""

    id: SessionId
    """Its id."""
    hello: Hello
    """What it said of itself."""
    heard_at: float
    """Launcher's monotonic clock when its newest record was read, in seconds."""
    held: dict[int, Held] = field(default_factory=dict[int, Held])
    """Attempts that it has, by job, oldest first."""
    next_inbox: int = 1
    """Number of the next record of its inbox."""
    read: int = 0
    """Newest inbox record that it has read."""
    kept_inbox: deque[int] = field(default_factory=deque[int])
    """Numbers of its inbox records that are not pruned."""
    draining: bool = False
    """Whether it gets no more jobs."""
    job_seconds: float | None = None
    """Running mean of how long an attempt takes here; none before the first report."""
    failures_in_row: int = 0
    """Attempts that failed here since the last success."""
    succeeded: int = 0
    """Attempts that succeeded here."""

    @property
    def offer(self) -> Offer:
        """What it has for jobs."""
        return self.hello.offer

    @property
    def load(self) -> float:
        """How many times over it is filled by what it holds: 1 keeps it busy, more waits in its queue."""
        return sum(1 / max(1, side_by_side(self.offer, held.needs)) for held in self.held.values())

    def learn(self, report: AttemptReport) -> None:
        """Take in how long an attempt took and how it ended."""
        usage = report.usage
        seconds = max(usage.wall_seconds + usage.stage_in_seconds + usage.stage_out_seconds, _LEAST_SECONDS)
        mean = self.job_seconds
        self.job_seconds = seconds if mean is None else mean + _FORGET * (seconds - mean)
        if report.outcome is Outcome.SUCCEEDED:
            self.succeeded, self.failures_in_row = self.succeeded + 1, 0
        elif report.outcome not in _NOT_ITS_FAULT:
            self.failures_in_row += 1


def side_by_side(offer: Offer, needs: Resources) -> int:
    """Return how many jobs of the need run at the same time on an otherwise empty worker; 0 when none can."""
    if not offer.fits(needs):
        return 0
    counts = [int(offer.cpus / needs.cpus + 1e-9)]
    pairs = ((offer.memory_bytes, needs.memory_bytes), (offer.disk_bytes, needs.disk_bytes), (offer.gpus, needs.gpus))
    counts += [have // need for have, need in pairs if need]
    return min(counts)
