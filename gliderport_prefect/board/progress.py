"""What is told while a campaign runs, and the teller for pipes: a line now and then.

A view is told the counts as often as there are new ones, and decides itself when to show them. `display.py` has the
one for terminals.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol, Self

from gliderport_prefect.board.money import say_total
from gliderport_prefect.board.rate import RateMeter, Sample
from gliderport_prefect.board.wording import make_printable, say_counts, say_duration, say_rate, say_workers
from gliderport_prefect.protocol.outcomes import TERMINAL_STATES, JobState
from gliderport_prefect.scheduling.cost import Cost

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

_LINE_SECONDS = 10.0
"""Least time between two lines in a pipe, milestones aside."""
_MILESTONES = (25, 50, 75, 100)
"""Percent of jobs that have ended, each told once."""


@dataclass(frozen=True)
class Standing:
    """Where a campaign stands at a moment."""

    jobs: Mapping[JobState, int]
    """Number of jobs in each state."""
    workers: Mapping[str, int]
    """Number of workers in each state."""
    note: str = ""
    """What happened that is worth a line."""
    cost: Cost = field(default_factory=Cost)
    """What its workers have cost."""

    @property
    def total(self) -> int:
        """Number of jobs."""
        return sum(self.jobs.values())

    @property
    def ended(self) -> int:
        """Number of jobs that have ended."""
        return sum(self.jobs.get(state, 0) for state in TERMINAL_STATES)

    @property
    def failed(self) -> int:
        """Number of jobs that somebody should look at."""
        return self.jobs.get(JobState.FAILED, 0) + self.jobs.get(JobState.QUARANTINED, 0)

    @property
    def percent(self) -> int:
        """How many of a hundred jobs have ended, rounded down; 100 when there are none."""
        return 100 * self.ended // self.total if self.total else 100


class ProgressView(Protocol):
    """Shows how a campaign moves, as a context manager around the drive."""

    def show(self, standing: Standing) -> None:
        """Take in where the campaign stands now."""
        ...

    def say(self, line: str) -> None:
        """Show a line beside the progress, once."""
        ...

    def __enter__(self) -> Self: ...

    def __exit__(self, *_: object) -> None: ...


@dataclass
class ProgressLines:
    """One line every ten seconds at most, and one for each milestone."""

    campaign: str
    write: Callable[[str], None]
    clock: Callable[[], float] = time.monotonic
    _meter: RateMeter = field(default_factory=RateMeter)
    _said_at: float | None = None
    _said: tuple[object, ...] = ()
    _percent: int | None = None
    _failed: int = 0

    def show(self, standing: Standing) -> None:
        """Write a line if it is time for one and there is something new."""
        now = self.clock()
        self._meter.note(Sample(now, standing.ended))
        if standing.note:
            self.say(standing.note)
        milestone = self._passes_milestone(standing)
        due = self._said_at is None or now - self._said_at >= _LINE_SECONDS
        counts = (dict(standing.jobs), dict(standing.workers))
        if milestone or (due and counts != self._said):
            self.write(f"{self.campaign}: {describe(standing, self._meter)}")
            self._said_at, self._said = now, counts

    def say(self, line: str) -> None:
        """Write the line at once."""
        self.write(f"{self.campaign}: {make_printable(line)}")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        """Leave nothing to do."""

    def _passes_milestone(self, standing: Standing) -> bool:
        """Say whether a quarter is full or the first job has failed, since the last time."""
        before, self._percent = self._percent, standing.percent
        failed_before, self._failed = self._failed, standing.failed
        if before is None:
            return True
        passed = any(before < milestone <= standing.percent for milestone in _MILESTONES)
        return passed or (standing.failed > 0 and failed_before == 0)


def describe(standing: Standing, meter: RateMeter) -> str:
    """Say in one line where the campaign stands."""
    parts = [f"{standing.ended:,} of {standing.total:,} ended ({standing.percent}%)", say_counts(standing.jobs)]
    parts.append(f"workers: {say_workers(standing.workers)}")
    cost = [] if standing.cost.is_free else [f"cost: {say_total(standing.cost)}"]
    return "; ".join([*parts, *cost, *say_pace(standing, meter)])


def say_pace(standing: Standing, meter: RateMeter) -> list[str]:
    """Say rate and remaining time, as far as they are known."""
    rate, left = meter.per_second, meter.seconds_left(standing.total - standing.ended)
    said = [say_rate(rate)] if rate else []
    if left:
        said.append(f"about {say_duration(left)} left")
    return said
