"""When and how a worker leaves.

working ──▶ draining ──▶ gone            nothing new is started, what runs may end by itself
└──────────┴──▶ ending ──▶ gone      what runs gets TERM, its grace time, KILL
"""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass
from enum import IntEnum

from gliderport_prefect.protocol.records import WorkerPolicy
from vm_worker.exits import Exit


class Haste(IntEnum):
    """How urgent it is."""

    WORKING = 0
    """Not leaving."""
    DRAINING = 1
    """What runs may end by itself."""
    ENDING = 2
    """What runs is ended, with its grace time."""
    KILLING = 3
    """What runs is killed now."""
    VANISHING = 4
    """What runs is killed, and nothing is said."""


@dataclass(frozen=True)
class Leave:
    """A reason to go."""

    haste: Haste
    """How urgent."""
    reason: str
    """Why, for people."""
    exit: Exit = Exit.FINISHED
    """How the process ends."""


_CLEAR_UP_SECONDS = 10.0

STAY = Leave(Haste.WORKING, "")


class Departure:
    """Collects reasons to leave; the most urgent one counts."""

    def __init__(self, policy: WorkerPolicy) -> None:
        self._policy = policy
        self._began = time.monotonic()
        self._lock = threading.Lock()
        self.leave = STAY
        self._latest = float("inf")

    def demand(self, leave: Leave) -> None:
        """Take a reason into account unless there is one as urgent already."""
        with self._lock:
            if leave.haste > self.leave.haste:
                self.leave = leave

    def demand_by_clock(self, *, now: float, idle_since: float | None) -> None:
        """Take the timers into account.

        Args:
            now: The monotonic clock.
            idle_since: When the last job ended; none while there is something to do.
        """
        if idle_since is not None and now - idle_since >= self._policy.idle_seconds:
            self.demand(Leave(Haste.DRAINING, f"no job for {self._policy.idle_seconds:g} s"))
        life = self._policy.max_life_seconds
        if life is None:
            return
        if now - self._began >= life:
            self.demand(Leave(Haste.ENDING, f"its life of {life:g} s is over"))
        elif now - self._began >= life - self._policy.grace_seconds:
            self.demand(Leave(Haste.DRAINING, f"its life of {life:g} s is nearly over"))

    def allow_seconds(self, grace_seconds: float) -> None:
        """Allow what runs its grace time, and some more to clear up."""
        self._latest = time.monotonic() + grace_seconds + _CLEAR_UP_SECONDS

    def is_overdue(self, now: float) -> bool:
        """Say whether what still runs is to be left alone: the worker goes."""
        return now > self._latest

    def next_deadline(self, *, now: float, idle_since: float | None) -> float:
        """Return for how many seconds no timer will matter."""
        ends = [] if idle_since is None else [idle_since + self._policy.idle_seconds]
        if self._policy.max_life_seconds is not None:
            end = self._began + self._policy.max_life_seconds
            ends += [end - self._policy.grace_seconds, end]
        return min([each - now for each in ends if each > now], default=60.0)
