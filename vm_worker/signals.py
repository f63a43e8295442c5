"""Signals to the worker, taken one by one.

They are blocked in every thread and fetched by one that does nothing else, so that no Python code runs in the middle
of something else, and no signal waits behind a request. (`sigtimedwait` would need no thread, but CPython returns an
uninitialised signal from it when it is interrupted shortly before its time is over.)
"""

from __future__ import annotations

import queue
import signal
import threading

_LEAVE = frozenset({signal.SIGTERM, signal.SIGINT, signal.SIGHUP})


def block() -> None:
    """Block what is fetched later; to be called before any thread exists, because threads inherit it."""
    signal.pthread_sigmask(signal.SIG_BLOCK, _LEAVE)


class Bell:
    """What the worker's main thread waits on: a signal that tells it to go, or another thread that wakes it."""

    def __init__(self) -> None:
        self._rings: queue.SimpleQueue[signal.Signals | None] = queue.SimpleQueue()

    def listen(self) -> None:
        """Fetch signals from now on."""
        threading.Thread(target=self._fetch, name="signals", daemon=True).start()

    def ring(self) -> None:
        """Let `wait` return."""
        self._rings.put(None)

    def wait(self, seconds: float) -> signal.Signals | None:
        """Return the signal that came, or none when the time is over or another thread rang."""
        try:
            return self._rings.get(timeout=max(0.0, seconds))
        except queue.Empty:
            return None

    def _fetch(self) -> None:
        while True:
            self._rings.put(signal.Signals(signal.sigwait(_LEAVE)))
