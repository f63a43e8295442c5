"""Waiting for what another process or thread does. Nothing else in the tests may sleep."""

import time
from collections.abc import Callable

_POLL_SECONDS = 0.02


def wait_until(
    predicate: Callable[[], object],
    description: str,
    *,
    timeout_seconds: float = 30,
    poll_seconds: float = _POLL_SECONDS,
) -> None:
    """Return as soon as the predicate holds; fail the test, naming what never came, after the time-out."""
    deadline = time.monotonic() + timeout_seconds
    while not predicate():
        if time.monotonic() > deadline:
            message = f"waited {timeout_seconds:g} s, and this did not come true: {description}"
            raise AssertionError(message)
        time.sleep(poll_seconds)
