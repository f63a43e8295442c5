"""Assignments that have not started, and which of them goes next.

Order: higher priority first, then order of arrival. A smaller job may go before one that does not fit beside what
runs now, but only for a while: then room is kept for the larger one, so that it does not starve.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Container, Iterable
from dataclasses import dataclass, replace

from gliderport_prefect.protocol.records import Assignment, AttemptRef
from gliderport_prefect.protocol.resources import Resources

OVERTAKING_SECONDS = 30.0
"""How long smaller jobs may go before one that has to wait for room."""


@dataclass(frozen=True)
class _Line:
    """Jobs that are alike to the packing, in order of arrival."""

    priority: int
    need: Resources
    jobs: deque[tuple[int, Assignment]]

    @property
    def rank(self) -> tuple[int, int]:
        return (-self.priority, self.jobs[0][0])


def need_of(assignment: Assignment) -> Resources:
    """Return what the attempt may use: the spec's resources, with the memory that it got after having run out of it."""
    need = assignment.spec.resources
    return need if assignment.memory_bytes is None else replace(need, memory_bytes=assignment.memory_bytes)


def ref_of(assignment: Assignment) -> AttemptRef:
    """Return the name of the attempt."""
    return AttemptRef(assignment.job, assignment.attempt)


class WaitingJobs:
    """The queue of one worker; its user holds the lock."""

    def __init__(self) -> None:
        self._lines: dict[tuple[int, Resources], _Line] = {}
        self._arrived = 0
        self._count = 0
        self._blocked: tuple[int, float] | None = None

    def __len__(self) -> int:
        """Return how many wait."""
        return self._count

    def add(self, assignments: Iterable[Assignment]) -> None:
        """Queue them behind what is there already."""
        for each in assignments:
            need = need_of(each)
            key = (each.spec.priority, need)
            line = self._lines.get(key)
            if line is None:
                line = self._lines[key] = _Line(each.spec.priority, need, deque())
            self._arrived += 1
            line.jobs.append((self._arrived, each))
            self._count += 1

    def take(self, fits: Callable[[Resources], bool], *, now: float) -> Assignment | None:
        """Remove and return the one that goes next, or none if no job may start beside what runs now."""
        line = self._find_line(fits, now=now)
        return None if line is None else self._remove_first(line)

    def has_fitting(self, fits: Callable[[Resources], bool], *, now: float) -> bool:
        """Say whether `take` would return one."""
        return self._find_line(fits, now=now) is not None

    def peek(self, need: Resources, *, past: Container[AttemptRef]) -> Assignment | None:
        """Return the first one, besides those given, if it is of this need and none of another need goes first."""
        for line in self._in_order()[:1]:
            if line.need == need:
                return next((each for _, each in line.jobs if ref_of(each) not in past), None)
        return None

    def remove(self, ref: AttemptRef) -> Assignment | None:
        """Remove and return the assignment of that attempt, or none if it does not wait here."""
        for line in self._lines.values():
            for place, (_, each) in enumerate(line.jobs):
                if each.job == ref.job and each.attempt == ref.attempt:
                    del line.jobs[place]
                    self._forget(line)
                    return each
        return None

    def remove_all(self) -> list[Assignment]:
        """Remove and return everything that waits."""
        everything = [each for line in self._in_order() for _, each in line.jobs]
        self._lines.clear()
        self._count = 0
        return everything

    def _find_line(self, fits: Callable[[Resources], bool], *, now: float) -> _Line | None:
        for place, line in enumerate(self._in_order()):
            if fits(line.need):
                return line
            if place == 0 and self._must_keep_room(line.jobs[0][0], now=now):
                return None
        return None

    def _in_order(self) -> list[_Line]:
        lines = list(self._lines.values())
        return lines if len(lines) == 1 else sorted(lines, key=lambda line: line.rank)

    def _must_keep_room(self, arrival: int, *, now: float) -> bool:
        if self._blocked is None or self._blocked[0] != arrival:
            self._blocked = (arrival, now)
        return now - self._blocked[1] > OVERTAKING_SECONDS

    def _remove_first(self, line: _Line) -> Assignment:
        _, first = line.jobs.popleft()
        self._forget(line)
        return first

    def _forget(self, line: _Line) -> None:
        self._count -= 1
        if not line.jobs:
            del self._lines[line.priority, line.need]
