"""Whether the bucket answers, and for how long it has not."""

from __future__ import annotations

import threading
import time

from gliderport_prefect.errors import StoreError
from vm_worker.logbook import Event, note, note_trouble


class StoreHealth:
    """Of one direction: a bucket that can be read may refuse to be written, and the other way round."""

    def __init__(self, patience_seconds: float) -> None:
        self._patience_seconds = patience_seconds
        self._lock = threading.Lock()
        self._failing_since: float | None = None

    @property
    def is_lost(self) -> bool:
        """Whether it has not answered for longer than the worker's patience."""
        since = self._failing_since
        return since is not None and time.monotonic() - since > self._patience_seconds

    def note_success(self) -> None:
        """Note that it answered."""
        if self._failing_since is None:
            return
        with self._lock:
            self._failing_since = None
        note(Event.STORE_BACK, "the bucket answers again")

    def note_failure(self, error: StoreError) -> None:
        """Note that it did not do as asked."""
        with self._lock:
            first = self._failing_since is None
            if first:
                self._failing_since = time.monotonic()
        if first:
            note_trouble(Event.STORE_TROUBLE, str(error))
