"""Signals to the worker, taken one by one by its main thread.

They are blocked in every thread and fetched, so that no Python code runs in the middle of something else. Other
threads wake the main thread in the same way.
"""

from __future__ import annotations

import os
import signal

LEAVE = frozenset({signal.SIGTERM, signal.SIGINT, signal.SIGHUP})
"""Signals that tell the worker to go."""
_WAKE = signal.SIGUSR1


def block() -> None:
    """Block what is fetched later; to be called before any thread exists, because threads inherit it."""
    signal.pthread_sigmask(signal.SIG_BLOCK, {*LEAVE, _WAKE})


def wake() -> None:
    """Let `wait` return."""
    os.kill(os.getpid(), _WAKE)


def wait(seconds: float) -> signal.Signals | None:
    """Return the signal that came, or none when the time is over or another thread called `wake`."""
    taken = signal.sigtimedwait({*LEAVE, _WAKE}, max(0.0, seconds))
    if taken is None or taken.si_signo == _WAKE:
        return None
    return signal.Signals(taken.si_signo)
