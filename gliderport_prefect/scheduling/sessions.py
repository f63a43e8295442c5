"""What the launcher knows of each live session: what it offers, what it has been given, when it was last heard."""

from __future__ import annotations

from collections import Counter, deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from gliderport_prefect.protocol.outcomes import FREE, Outcome
from gliderport_prefect.protocol.resources import Resources

if TYPE_CHECKING:
    from gliderport_prefect.protocol.ids import AttemptId, SessionId
    from gliderport_prefect.protocol.records import AttemptReport, Hello
    from gliderport_prefect.protocol.resources import Offer

_FORGET = 0.3
"""Weight of the newest report in the running mean of job durations."""
_LEAST_SECONDS = 0.002
"""A job is never expected to be shorter than its spawning."""
_ROUNDING = 1e-9
"""Ten jobs of 0.1 cpus fit one cpu, whatever the floating point says."""

_NOT_ITS_FAULT = FREE | {Outcome.CANCELLED, Outcome.TIMED_OUT, Outcome.OUT_OF_MEMORY}
"""Outcomes that say nothing about the health of the worker."""


@dataclass(slots=True)
class Held:
    """An attempt that lies with a session."""

    attempt: AttemptId
    """Which try."""
    needs: Resources
    """What it needs."""
    inbox_number: int
    """The inbox record that brought it."""
    started_at: float | None = None
    """Launcher's monotonic clock when it learned of the start, in seconds; none before it has."""
    recalled: bool = False
    """Whether it has been asked back."""
    kept: bool = False
    """Whether it needs a machine that is not taken back."""

    @property
    def started(self) -> bool:
        """Whether the session has reported its start."""
        return self.started_at is not None


@dataclass
class Session:
    """A live session, as the launcher sees it."""

    id: SessionId
    """Its id."""
    hello: Hello
    """What it said of itself."""
    heard_at: float
    """What the launcher's listening clock showed when its newest record was read, in seconds."""
    held: dict[int, Held] = field(default_factory=dict[int, Held])
    """Attempts that it has, by job, in the order of its inbox. Changed by `hold` and `let_go` alone."""
    next_inbox: int = 1
    """Number of the next record of its inbox."""
    read: int = 0
    """Newest inbox record that it has read."""
    kept_inbox: deque[int] = field(default_factory=deque[int])
    """Numbers of its inbox records that are not pruned."""
    draining: bool = False
    """Whether it gets no more jobs."""
    overdue: bool = False
    """Whether it should have been heard by now; it gets no jobs until it is."""
    job_seconds: float | None = None
    """Running mean of how long an attempt takes here; none before the first report."""
    failed_since: set[int] = field(default_factory=set[int])
    """Jobs that failed here since the last success."""
    succeeded: int = 0
    """Attempts that succeeded here."""
    _held_by_need: Counter[Resources] = field(default_factory=Counter[Resources])

    @property
    def offer(self) -> Offer:
        """What it has for jobs."""
        return self.hello.offer

    @property
    def is_open(self) -> bool:
        """Whether it may get jobs."""
        return not (self.draining or self.overdue)

    @property
    def load(self) -> float:
        """How many times over it is filled by what it holds: 1 keeps it busy, more waits in its queue."""
        return sum(count / max(1, side_by_side(self.offer, needs)) for needs, count in self._held_by_need.items())

    def hold(self, job: int, held: Held) -> None:
        """Note that it has the attempt, as the newest; an earlier attempt of the job is forgotten."""
        self.let_go(job)
        self.held[job] = held
        self._held_by_need[held.needs] += 1

    def let_go(self, job: int) -> None:
        """Note that it does not have the job any more."""
        held = self.held.pop(job, None)
        if held is not None:
            self._held_by_need[held.needs] -= 1
            if not self._held_by_need[held.needs]:
                del self._held_by_need[held.needs]

    def has(self, job: int, attempt: AttemptId) -> bool:
        """Say whether it has this attempt of the job."""
        held = self.held.get(job)
        return held is not None and held.attempt == attempt

    @property
    def oldest_needed(self) -> int:
        """Number of the oldest inbox record that brought something which it still has; its newest when none did."""
        oldest = next(iter(self.held.values()), None)
        return self.next_inbox - 1 if oldest is None else oldest.inbox_number

    def learn(self, report: AttemptReport) -> None:
        """Take in how long an attempt took and how it ended."""
        usage = report.usage
        seconds = max(usage.wall_seconds + usage.stage_in_seconds + usage.stage_out_seconds, _LEAST_SECONDS)
        mean = self.job_seconds
        self.job_seconds = seconds if mean is None else mean + _FORGET * (seconds - mean)
        if report.outcome is Outcome.SUCCEEDED:
            self.succeeded += 1
            self.failed_since.clear()
        elif report.outcome not in _NOT_ITS_FAULT:
            self.failed_since.add(report.job)


def side_by_side(offer: Offer, needs: Resources) -> int:
    """Return how many jobs of the need run at the same time on an otherwise empty worker; 0 when none can."""
    if not offer.fits(needs):
        return 0
    counts = [int(offer.cpus / needs.cpus + _ROUNDING)]
    pairs = ((offer.memory_bytes, needs.memory_bytes), (offer.disk_bytes, needs.disk_bytes), (offer.gpus, needs.gpus))
    counts += [have // need for have, need in pairs if need]
    return min(counts)
