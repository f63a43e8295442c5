"""How fast a campaign goes and when it will be over, from successive counts; pure."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field

_WINDOW_SECONDS = 60.0
"""The rate is that of about the last minute,"""
_LEAST_ENDED = 10
"""or of as long as so many jobs took to end, if that is longer."""
_LEAST_SECONDS = 1.0
"""Nothing is said before this time has passed."""
_KEPT = 600
"""Samples that are kept; every second one goes when there are more."""


@dataclass(frozen=True)
class Sample:
    """How many jobs had ended at a moment."""

    at: float
    """Seconds of a monotonic clock."""
    ended: int
    """Number of jobs."""


@dataclass
class RateMeter:
    """Remembers as many samples as it needs to tell rate and remaining time."""

    _samples: deque[Sample] = field(default_factory=deque[Sample])

    def note(self, sample: Sample) -> None:
        """Take in a sample; a count that fell, because jobs were queued again, starts anew."""
        samples = self._samples
        if samples and sample.ended < samples[-1].ended:
            samples.clear()
        if len(samples) > 1 and samples[-1].ended == sample.ended == samples[-2].ended:
            samples.pop()
        samples.append(sample)
        if len(samples) > _KEPT:
            newest = samples[-1]
            self._samples = deque(list(samples)[:-1:2])
            self._samples.append(newest)

    @property
    def per_second(self) -> float | None:
        """Jobs that end per second; None before that can be said."""
        return derive_rate(self._samples)

    def seconds_left(self, unfinished: int) -> float | None:
        """Return how long the rest will take at this rate; None when that cannot be said."""
        rate = self.per_second
        if unfinished == 0:
            return 0.0
        return unfinished / rate if rate else None


def derive_rate(samples: deque[Sample]) -> float | None:
    """Return the jobs per second between the newest sample and the one that begins its window."""
    if not samples:
        return None
    newest = samples[-1]
    first = newest
    for sample in reversed(samples):
        first = sample
        if newest.at - sample.at >= _WINDOW_SECONDS and newest.ended - sample.ended >= _LEAST_ENDED:
            break
    seconds, ended = newest.at - first.at, newest.ended - first.ended
    return ended / seconds if seconds >= _LEAST_SECONDS and ended else None
