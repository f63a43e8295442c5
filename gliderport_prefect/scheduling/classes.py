"""Which jobs are alike to the scheduler: same priority, same needs.

Kept as runs of consecutive job numbers: a million equal jobs cost one entry, and no spec is read before its turn.
"""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from gliderport_prefect.protocol.records import Run
from gliderport_prefect.protocol.resources import Resources
from gliderport_prefect.scheduling.sessions import side_by_side

if TYPE_CHECKING:
    from collections.abc import Iterator

    from gliderport_prefect.protocol.records import SpecChunkHeader
    from gliderport_prefect.protocol.resources import Offer


@dataclass(frozen=True)
class JobClass:
    """What the scheduler knows of a job before it reads the spec."""

    priority: int = 0
    """Higher goes first."""
    needs: Resources = field(default_factory=Resources)
    """What the job needs while it runs."""
    kept: bool = False
    """Whether it needs a machine that is not taken back."""

    def slots_on(self, offer: Offer) -> int:
        """Return how many jobs of the class run side by side on an otherwise empty worker; 0 when none may."""
        return 0 if self.kept and offer.preemptible else side_by_side(offer, self.needs)


@dataclass
class ClassRuns:
    """The class of every job of a campaign, by number."""

    total: int = 0
    """How many jobs there are."""
    _firsts: list[int] = field(default_factory=list[int])
    _classes: list[JobClass] = field(default_factory=list[JobClass])

    def extend(self, header: SpecChunkHeader) -> Iterator[tuple[int, int, JobClass]]:
        """Take in a chunk of specs and yield its runs as (first number, count, class)."""
        for run in header.runs:
            first = self.total
            yield first, run.count, self.add(run)

    def add(self, run: Run) -> JobClass:
        """Take in the next jobs and return their class."""
        kind = JobClass(run.priority, run.needs)
        if not self._classes or self._classes[-1] != kind:
            self._firsts.append(self.total)
            self._classes.append(kind)
        self.total += run.count
        return self._classes[-1]

    def runs(self) -> Iterator[Run]:
        """Yield the runs of equal jobs, in order."""
        ends = [*self._firsts, self.total][1:]
        for first, end, kind in zip(self._firsts, ends, self._classes, strict=True):
            yield Run(end - first, kind.priority, kind.needs)

    def split(self, first: int, end: int) -> Iterator[tuple[int, int, JobClass]]:
        """Yield the jobs from `first` to before `end` as runs of one class: (first number, count, class)."""
        at = bisect_right(self._firsts, first) - 1
        while first < end:
            stop = min(end, self._firsts[at + 1]) if at + 1 < len(self._firsts) else end
            yield first, stop - first, self._classes[at]
            first, at = stop, at + 1

    def class_of(self, job: int) -> JobClass:
        """Return the class of the job of that number."""
        return self._classes[bisect_right(self._firsts, job) - 1]
