"""Uploads what running attempts print, so that it can be followed and outlives the machine."""

from __future__ import annotations

import math
import time
from collections.abc import Callable

from gliderport_prefect.errors import StoreError
from gliderport_prefect.store.seam import Store
from vm_worker.attempt import Attempt
from vm_worker.logbook import Event, note_trouble

_TICK_SECONDS = 0.5
_YOUNG_SECONDS = 3.0
_SHORTEST_SECONDS = 2.0
_LONGEST_SECONDS = 30.0
_SHARE_OF_AGE = 0.02


class LogUpload:
    """One thread for all attempts of the worker."""

    def __init__(self, store: Store, running: Callable[[], list[Attempt]]) -> None:
        self._store = store
        self._running = running

    def run_forever(self) -> None:
        """Upload what is due, again and again."""
        while True:
            now = time.monotonic()
            for attempt in self._running():
                if _is_due(attempt, now):
                    attempt.streams_looked_at = now
                    self._send(attempt)
            time.sleep(_TICK_SECONDS)

    def _send(self, attempt: Attempt) -> None:
        for stream in attempt.streams:
            try:
                stream.send_news(self._store)
            except StoreError as error:
                note_trouble(Event.STORE_TROUBLE, str(error), job=attempt.spec.id)


def _is_due(attempt: Attempt, now: float) -> bool:
    """Say whether to look: soon while the attempt is young, less often when it has run for hours."""
    if attempt.kin is None:
        return False
    age = now - attempt.command_began
    if attempt.seconds_left() < math.inf:
        # The machine may go earlier than is said.
        return now - attempt.streams_looked_at >= _SHORTEST_SECONDS
    interval = min(_LONGEST_SECONDS, max(_SHORTEST_SECONDS, age * _SHARE_OF_AGE))
    return age >= _YOUNG_SECONDS and now - attempt.streams_looked_at >= interval
