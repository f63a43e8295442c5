"""When something that may fail is tried again; what is wrong is logged once, and once when it is over."""

from __future__ import annotations

import logging
from dataclasses import dataclass

_log = logging.getLogger(__name__)

_MOST_DOUBLINGS = 30
"""Beyond any longest pause; a number that went on growing would be too large after days of trouble."""


@dataclass
class Tries:
    """When something may be tried again: the pauses double while it fails."""

    first_pause: float
    """After the first failure, in seconds."""
    longest_pause: float
    """After later ones, at most, in seconds."""
    failures: int = 0
    """How many in a row."""
    refusals: int = 0
    """How many of the last ones in a row only a person can mend."""
    due_at: float = 0.0
    """When it may be tried again, by the monotonic clock, in seconds."""
    trouble: str = ""
    """Why it failed last; empty when it did not."""
    _earlier: tuple[int, int] = (0, 0)
    """Failures and refusals in a row before the last success, which may yet turn out to be none."""

    def note_success(self, now: float, *, pause: float = 0.0) -> None:
        """Let it be due after the pause."""
        if self.trouble:
            _log.info("no longer so: %s", self.trouble)
        self._earlier = self.failures, self.refusals
        self.failures, self.refusals, self.due_at, self.trouble = 0, 0, now + pause, ""

    def note_undone(self, now: float, trouble: str, *, is_refusal: bool) -> None:
        """Take the last success back: it has come to nothing after all."""
        if not self.failures:
            self.failures, self.refusals = self._earlier
        self.note_failure(now, trouble, is_refusal=is_refusal)

    def note_failure(self, now: float, trouble: str, *, is_refusal: bool) -> None:
        """Let it be due after a longer pause than the last one, and log what is new."""
        if trouble != self.trouble:
            _log.warning("%s", trouble)
        self.failures, self.trouble = self.failures + 1, trouble
        self.refusals = self.refusals + 1 if is_refusal else 0
        doublings = min(self.failures - 1, _MOST_DOUBLINGS)
        self.due_at = now + min(self.first_pause * 2.0**doublings, self.longest_pause)
