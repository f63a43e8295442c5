"""Jobs that wait for a worker, grouped by class; the scheduler looks at groups, never at every job."""

from __future__ import annotations

import heapq
from collections import deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from gliderport_prefect.scheduling.classes import JobClass


@dataclass
class _Group:
    """Waiting jobs of one class: some to be tried again, then ranges that were never handed out."""

    again: list[int] = field(default_factory=list[int])
    ranges: deque[tuple[int, int]] = field(default_factory=deque[tuple[int, int]])
    count: int = 0


class WaitingJobs:
    """The queue. Jobs that left it by other ways than `take` are dropped when their turn comes."""

    def __init__(self, is_waiting: Callable[[int], bool]) -> None:
        """Make an empty queue.

        Args:
            is_waiting: Says whether a job is still to be handed out.
        """
        self._is_waiting = is_waiting
        self._groups: dict[JobClass, _Group] = {}

    def __len__(self) -> int:
        """Return how many jobs wait; it may count some that have been cancelled meanwhile."""
        return sum(group.count for group in self._groups.values())

    def add_range(self, first: int, count: int, *, kind: JobClass) -> None:
        """Queue consecutive new jobs of one class."""
        group = self._groups.setdefault(kind, _Group())
        follows = bool(group.ranges) and group.ranges[-1][1] == first
        start = group.ranges.pop()[0] if follows else first
        group.ranges.append((start, first + count))
        group.count += count

    def push(self, job: int, kind: JobClass) -> None:
        """Queue a job again, ahead of its class's untried ones."""
        group = self._groups.setdefault(kind, _Group())
        heapq.heappush(group.again, job)
        group.count += 1

    def demand(self) -> list[tuple[JobClass, int]]:
        """Return the classes with waiting jobs and how many, highest priority first."""
        waiting = [(kind, group.count) for kind, group in self._groups.items() if group.count]
        return sorted(waiting, key=lambda each: -each[0].priority)

    def take(self, kind: JobClass, most: int) -> list[int]:
        """Remove up to `most` jobs of the class, oldest first."""
        group = self._groups[kind]
        taken: dict[int, None] = {}  # a job cancelled and then retried is in here twice
        while len(taken) < most and group.count:
            job = _pop(group)
            if self._is_waiting(job):
                taken[job] = None
        return list(taken)


def _pop(group: _Group) -> int:
    group.count -= 1
    if group.again:
        return heapq.heappop(group.again)
    first, end = group.ranges.popleft()
    if first + 1 < end:
        group.ranges.appendleft((first + 1, end))
    return first
