"""What the launcher does not know yet: the outbox takes from here what others put in."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass

from gliderport_prefect.protocol.records import AttemptRef, AttemptReport

_LARGEST_BYTES = 1_500_000
_MOST_REPORTS = 2000
_REPORT_BYTES = 700


@dataclass(frozen=True)
class News:
    """The content of one outbox record."""

    started: tuple[AttemptRef, ...]
    """Attempts that run and were not reported as started."""
    finished: tuple[AttemptReport, ...]
    """Attempts that ended."""
    returned: tuple[AttemptRef, ...]
    """Attempts handed back."""
    read: int
    """Newest inbox record that was read."""
    queued: int
    """Assignments that wait."""
    running: int
    """Attempts that run."""


class NewsDesk:
    """Collects news until a record takes them."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._unreported: dict[AttemptRef, None] = {}
        self._running = 0
        self._queued = 0
        self._read = 0
        self._finished: deque[AttemptReport] = deque()
        self._returned: list[AttemptRef] = []
        self._oldest: float | None = None
        self.has_news = threading.Event()
        self.is_urgent = False

    @property
    def oldest(self) -> float | None:
        """When the oldest untold thing happened, by the monotonic clock."""
        return self._oldest

    @property
    def has_jobs(self) -> bool:
        """Whether attempts run or assignments wait."""
        return self._running > 0 or self._queued > 0

    def tell_read(self, number: int, *, queued: int) -> None:
        """Note how far the inbox was read."""
        with self._lock:
            self._read, self._queued = number, queued

    def tell_started(self, ref: AttemptRef, *, queued: int) -> None:
        """Note that an attempt runs."""
        with self._lock:
            self._unreported[ref] = None
            self._running += 1
            self._queued = queued
            self._note_time()

    def tell_finished(self, report: AttemptReport, *, ref: AttemptRef | None) -> None:
        """Note that an attempt is over; `ref` names it when it was told as started."""
        with self._lock:
            if ref is not None:
                self._unreported.pop(ref, None)
                self._running -= 1
            self._finished.append(report)
            self._note_time()

    def tell_returned(self, refs: Sequence[AttemptRef], *, queued: int) -> None:
        """Note that attempts were handed back."""
        with self._lock:
            self._returned.extend(refs)
            self._queued = queued
            self._note_time()

    def tell_leaving(self) -> None:
        """Note that the worker has begun to leave, which is told at once."""
        with self._lock:
            self._note_time()
        self.urge()

    def urge(self) -> None:
        """Say that what is there should be told at once."""
        with self._lock:
            if self._oldest is not None:
                self.is_urgent = True
                self.has_news.set()

    def take(self) -> News:
        """Return what fits into one record; the rest waits for the next."""
        with self._lock:
            news = News(
                started=tuple(self._unreported),
                finished=tuple(self._take_finished()),
                returned=tuple(self._returned),
                read=self._read,
                queued=self._queued,
                running=self._running,
            )
            self._unreported.clear()
            self._returned.clear()
            self.has_news.clear()
            self._oldest = None
            if self._finished:
                self._note_time()
            else:
                self.is_urgent = False
            return news

    def _take_finished(self) -> list[AttemptReport]:
        taken: list[AttemptReport] = []
        size_bytes = 0
        while self._finished and size_bytes < _LARGEST_BYTES and len(taken) < _MOST_REPORTS:
            report = self._finished.popleft()
            size_bytes += _estimate_bytes(report)
            taken.append(report)
        return taken

    def _note_time(self) -> None:
        if self._oldest is None:
            self._oldest = time.monotonic()
            self.has_news.set()


def _estimate_bytes(report: AttemptReport) -> int:
    texts = (report.stdout.text, report.stdout.base64, report.stdout.tail)
    more = (report.stderr.text, report.stderr.base64, report.stderr.tail)
    return _REPORT_BYTES + 2 * sum(len(text) for text in (*texts, *more) if text) + len(report.reason)
