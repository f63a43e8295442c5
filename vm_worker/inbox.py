"""Reads what the launcher says, in order, as often as there is reason to.

A miss costs a GET. The pace slows down while nothing comes: to two seconds or so when the worker could do with more
work, to ten when it has enough; it is fast again as soon as the queue runs low.
"""

from __future__ import annotations

import threading
from collections.abc import Callable

from gliderport_prefect.errors import ProtocolError, StoreError
from gliderport_prefect.protocol.codec import decode
from gliderport_prefect.protocol.keys import number_segment
from gliderport_prefect.protocol.records import InboxRecord
from gliderport_prefect.store.seam import Store
from vm_worker.health import StoreHealth

FASTEST_SECONDS = 0.05
FED_SECONDS = 1.0
IDLE_SECONDS = 1.7
SATED_SECONDS = 10.0
_SLOWDOWN = 1.5

Act = Callable[[int, "InboxRecord | None"], None]
"""Takes the number of a record and its content; none when a launcher wrote it that is over."""


class Pace:
    """How long to wait before the next look."""

    def __init__(self) -> None:
        self._seconds = FASTEST_SECONDS

    def quicken(self, *, is_sated: bool = False) -> None:
        """Look soon: something moves. Not that soon when the queue has just been filled."""
        self._seconds = FED_SECONDS if is_sated else FASTEST_SECONDS

    def next_seconds(self, *, is_sated: bool) -> float:
        """Return the wait before the next look after one that found nothing."""
        seconds = min(self._seconds, SATED_SECONDS if is_sated else IDLE_SECONDS)
        self._seconds = seconds * _SLOWDOWN
        return seconds


class Inbox:
    """The reader of a session's inbox."""

    def __init__(self, store: Store, prefix: str, *, health: StoreHealth, act: Act) -> None:
        self._store = store
        self._prefix = prefix
        self._health = health
        self._act = act
        self._next = 1
        self._epoch = 0
        self._pace = Pace()
        self._hunger = threading.Event()
        self._is_over = False
        self._pause = threading.Event()
        self.failure: Exception | None = None

    def hurry(self) -> None:
        """Say that the queue runs low."""
        self._hunger.set()

    def stop(self) -> None:
        """Read no more."""
        self._is_over = True
        self._pause.set()
        self._hunger.set()

    def run(self, is_sated: Callable[[], bool]) -> None:
        """Read until stopped.

        Args:
            is_sated: Says whether the queue holds enough work for a while.
        """
        while not self._is_over:
            if self._read_all():
                self._pace.quicken(is_sated=is_sated())
            if self._hunger.wait(self._pace.next_seconds(is_sated=is_sated())):
                # Jobs that take a millisecond each must not cause a look each.
                self._pause.wait(FASTEST_SECONDS)
                self._hunger.clear()
                self._pace.quicken()

    def _read_all(self) -> bool:
        found = False
        try:
            while not self._is_over and (data := self._store.get(self._key())) is not None:
                self._take(data)
                found = True
            self._health.note_success()
        except ProtocolError as error:
            self.failure = error
            self._is_over = True
        except StoreError as error:
            self._health.note_failure(error)
        return found

    def _take(self, data: bytes) -> None:
        record = decode(InboxRecord, data, where=self._key())
        number, self._next = self._next, self._next + 1
        is_over = record.epoch < self._epoch
        self._epoch = max(self._epoch, record.epoch)
        self._act(number, None if is_over else record)

    def _key(self) -> str:
        return f"{self._prefix}/{number_segment(self._next)}"
