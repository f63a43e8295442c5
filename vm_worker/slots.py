"""Runs attempts side by side, as many as fit.

A thread per running attempt. The thread that ends one takes the next itself, so that no job waits for a poll or for
another thread to wake up. Of short jobs the next one runs before the last one's report is written.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

from gliderport_prefect.protocol.records import Assignment, AttemptRef, AttemptReport
from gliderport_prefect.protocol.resources import Offer
from vm_worker.ahead import SHORT_SECONDS, Ahead, is_plain
from vm_worker.attempt import Attempt, Ending
from vm_worker.capacity import Capacity
from vm_worker.news import NewsDesk
from vm_worker.waiting import WaitingJobs, need_of, ref_of

_RATE_JOBS = 50
_SATED_SECONDS = 2.0
_HUNGRY_SECONDS = 0.5


@dataclass(frozen=True)
class Trade:
    """What the slots know of running attempts."""

    run: Callable[[Attempt], AttemptReport]
    """Runs one to its report."""
    start_ahead: Callable[[Assignment], Ahead | None]
    """Starts the shell of one that may come next; none when it cannot be started."""
    discard: Callable[[Ahead], None]
    """Ends such a shell."""


class Slots:
    """Queue, capacity and running attempts of the worker."""

    def __init__(self, offer: Offer, news: NewsDesk, *, trade: Trade) -> None:
        self._news = news
        self._trade = trade
        self._lock = threading.Lock()
        self._work_or_end = threading.Condition(self._lock)
        self._waiting = WaitingJobs()
        self._capacity = Capacity(offer)
        self._running: dict[AttemptRef, Attempt] = {}
        self._ahead: dict[AttemptRef, Ahead] = {}
        self._are_short = False
        self._idle_threads = 0
        self._threads = 0
        self._is_closed = False
        self._starts: deque[float] = deque(maxlen=_RATE_JOBS)
        self.last_busy = time.monotonic()
        self.on_low_queue: Callable[[], None] = _ignore
        self.on_empty: Callable[[], None] = _ignore
        self.on_start: Callable[[], None] = _ignore

    def running(self) -> list[Attempt]:
        """Return the attempts that run now."""
        return list(self._running.values())

    @property
    def is_empty(self) -> bool:
        """Whether nothing runs and nothing waits."""
        with self._lock:
            return not self._running and not self._waiting

    @property
    def queued(self) -> int:
        """How many assignments wait."""
        return len(self._waiting)

    def is_sated(self) -> bool:
        """Say whether the queue holds enough for a while, at the pace of the last jobs."""
        with self._lock:
            return not self._runs_out_within(_SATED_SECONDS)

    def accept(self, assignments: Sequence[Assignment]) -> list[Assignment]:
        """Queue them and start what fits; return them again if nothing more is to start."""
        with self._lock:
            if self._is_closed:
                return list(assignments)
            self._waiting.add(assignments)
            self._engage_threads()
            return []

    def hand_back(self, refs: Sequence[AttemptRef]) -> list[AttemptRef]:
        """Remove those that wait from the queue and return their names."""
        with self._lock:
            removed = [self._remove(ref) for ref in refs]
        return [ref_of(each) for each in removed if each is not None]

    def end(self, ref: AttemptRef, ending: Ending) -> Assignment | None:
        """End the attempt if it runs; if it waits, remove and return its assignment."""
        with self._lock:
            attempt = self._running.get(ref)
            if attempt is None:
                return self._remove(ref)
        attempt.end(ending)
        return None

    def close(self) -> list[AttemptRef]:
        """Start nothing more; return what waited."""
        with self._lock:
            self._is_closed = True
            for ref in list(self._ahead):
                self._trade.discard(self._ahead.pop(ref))
            return [ref_of(each) for each in self._waiting.remove_all()]

    def end_all(self, ending: Ending, *, at_once: bool = False) -> None:
        """End everything that runs."""
        for attempt in self.running():
            attempt.end(ending, at_once=at_once)

    def abandon(self) -> list[Attempt]:
        """Wait for nothing more and return the attempts whose reports come too late."""
        with self._lock:
            late = self.running()
            self._running.clear()
        return late

    def _engage_threads(self) -> None:
        """Wake or add a thread if a job may start; that one sees to the next."""
        if self._idle_threads:
            self._work_or_end.notify()
        elif self._can_start():
            self._threads += 1
            threading.Thread(target=self._serve, name=f"slot-{self._threads}", daemon=True).start()

    def _can_start(self) -> bool:
        return not self._is_closed and self._waiting.has_fitting(self._capacity.fits, now=time.monotonic())

    def _serve(self) -> None:
        attempt = self._begin_next()
        while True:
            self.on_start()
            self._finish(attempt, report=self._trade.run(attempt))
            attempt = attempt.follower or self._begin_next()

    def _begin_next(self) -> Attempt:
        with self._lock:
            while (attempt := self._take()) is None:
                self._idle_threads += 1
                self._work_or_end.wait()
                self._idle_threads -= 1
        self._begin(attempt)
        return attempt

    def _begin(self, attempt: Attempt) -> None:
        attempt.let_go()
        with self._lock:
            if self._waiting and self._can_start():
                self._engage_threads()
            is_low = self._runs_out_within(_HUNGRY_SECONDS)
        if is_low:
            self.on_low_queue()

    def _take(self) -> Attempt | None:
        now = time.monotonic()
        assignment = None if self._is_closed else self._waiting.take(self._capacity.fits, now=now)
        if assignment is None:
            return None
        attempt = Attempt(assignment, self._capacity.occupy(need_of(assignment)))
        attempt.ahead = self._ahead.pop(attempt.ref, None)
        attempt.on_running, attempt.on_over = partial(self._look_ahead, attempt), partial(self._pass_on, attempt)
        self._running[attempt.ref] = attempt
        self._starts.append(now)
        self._news.tell_started(attempt.ref, queued=len(self._waiting))
        return attempt

    def _look_ahead(self, attempt: Attempt) -> None:
        """Start the shell of a job that waits, if it can take this one's place."""
        # All under the lock, lest two slots start one for the same job; spawning stops all threads anyway.
        with self._lock:
            coming = self._find_coming(attempt) if self._are_short and not self._is_closed else None
            ahead = None if coming is None else self._trade.start_ahead(coming)
            if coming is not None and ahead is not None:
                self._ahead[ref_of(coming)] = ahead

    def _find_coming(self, attempt: Attempt) -> Assignment | None:
        if len(self._ahead) >= len(self._running):
            return None
        coming = self._waiting.peek(attempt.need, past=self._ahead)
        return coming if coming is not None and is_plain(coming) else None

    def _pass_on(self, attempt: Attempt) -> None:
        """Begin what comes after a short attempt whose command is over, before its report is written."""
        with self._lock:
            if not self._ahead or not is_plain(attempt.assignment):
                return
            self._release(attempt)
            attempt.follower = self._take()
        if attempt.follower is not None:
            self._begin(attempt.follower)

    def _release(self, attempt: Attempt) -> None:
        if not attempt.has_left_room:
            attempt.has_left_room = True
            self._capacity.release(attempt.need, attempt.gpus)

    def _finish(self, attempt: Attempt, *, report: AttemptReport) -> None:
        with self._lock:
            self._release(attempt)
            self._are_short = report.usage.wall_seconds < SHORT_SECONDS
            if self._running.pop(attempt.ref, None) is None:
                return
            self._news.tell_finished(report, ref=attempt.ref)
            self.last_busy = time.monotonic()
            is_idle = not self._waiting
            is_over = is_idle and not self._running
        if is_idle:
            self._news.urge()
        if is_over:
            self.on_empty()

    def _remove(self, ref: AttemptRef) -> Assignment | None:
        ahead = self._ahead.pop(ref, None)
        if ahead is not None:
            self._trade.discard(ahead)
        return self._waiting.remove(ref)

    def _runs_out_within(self, seconds: float) -> bool:
        queued = len(self._waiting)
        if queued < len(self._running) or not self._starts:
            return True
        rate = len(self._starts) / max(1e-3, time.monotonic() - self._starts[0])
        return queued < rate * seconds


def _ignore() -> None:
    pass
