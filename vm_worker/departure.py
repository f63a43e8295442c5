"""When and how a worker leaves.

working ──▶ draining ──▶ gone            nothing new is started, what runs may end by itself
└──────────┴──▶ ending ──▶ gone ──▶ lingering      what runs gets TERM, its time, KILL

How much time that is depends on who wants the worker to go: after a signal each job has the grace time of its spec;
after a notice that the machine is taken back it has all the time that is left, but for a reserve. A process that ends
on such a machine would be started there again, so after a notice it lingers once all is said.
"""

from __future__ import annotations

import math
import threading
import time
from dataclasses import dataclass
from enum import IntEnum

from gliderport_prefect.protocol.records import WorkerPolicy
from vm_worker.attempt import Respite
from vm_worker.exits import Exit
from vm_worker.notices import Notice

_CLEAR_UP_SECONDS = 10.0
# The longest warning of a spot machine is two minutes; whoever is told earlier works on until then.
_LONGEST_WARNING_SECONDS = 150.0
# Of the time that is left: for what follows the command's end, and of that for the last records.
_RESERVED_SHARE = 1 / 6
_MOST_RESERVED_SECONDS = 10.0
_FAREWELL_SHARE = 0.4


class Haste(IntEnum):
    """How urgent it is."""

    WORKING = 0
    """Not leaving."""
    DRAINING = 1
    """What runs may end by itself."""
    ENDING = 2
    """What runs is ended, with its time."""
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
    is_notice: bool = False
    """Whether the machine itself is about to go."""


@dataclass(frozen=True)
class Loss:
    """What is known of the machine's end."""

    at: float
    """When, by the monotonic clock."""
    reason: str
    """Who says so, for people."""
    reserve_seconds: float
    """How long before that all commands are to be over."""

    @property
    def farewell_at(self) -> float:
        """When the worker stops waiting for reports and says goodbye."""
        return self.at - _FAREWELL_SHARE * self.reserve_seconds


STAY = Leave(Haste.WORKING, "")


class Departure:
    """Collects reasons to leave; the most urgent one counts."""

    def __init__(self, policy: WorkerPolicy) -> None:
        self._policy = policy
        self._began = time.monotonic()
        self._lock = threading.Lock()
        self.leave = STAY
        self._loss: Loss | None = None
        self._was_signalled = False
        self._has_changed = False
        self._latest = math.inf

    def demand(self, leave: Leave) -> None:
        """Take a reason into account unless there is one as urgent already."""
        with self._lock:
            if leave.haste > self.leave.haste:
                self.leave = leave
                self._has_changed = True

    def demand_by_signal(self, name: str) -> None:
        """Take a signal into account: the first one ends what runs, the next one kills it."""
        with self._lock:
            is_ending = self.leave.haste >= Haste.ENDING and not self.leave.is_notice
            haste = Haste.KILLING if is_ending or self._was_signalled else Haste.ENDING
            self._was_signalled = self._has_changed = True
        self.demand(Leave(haste, f"told to by {name}", Exit.PREEMPTED))

    def foresee(self, notice: Notice | None) -> None:
        """Take into account what is announced of the machine's end; none: nothing any more.

        Once the worker leaves because of an announcement, only an earlier end changes anything.
        """
        loss = None if notice is None else _foresee_loss(notice, now=time.monotonic())
        with self._lock:
            is_earlier = loss is not None and (self._loss is None or loss.at < self._loss.at)
            if is_earlier or not self.leave.is_notice:
                self._loss, self._has_changed = loss, True

    def demand_by_clock(self, *, now: float, idle_since: float | None) -> None:
        """Take the timers into account.

        Args:
            now: The monotonic clock.
            idle_since: When the last job ended; none while there is something to do.
        """
        loss = self._loss
        if loss is not None:
            self.demand(Leave(self._haste_of(loss, now=now), loss.reason, Exit.PREEMPTED, is_notice=True))
        if idle_since is not None and now - idle_since >= self._policy.idle_seconds:
            self.demand(Leave(Haste.DRAINING, f"no job for {self._policy.idle_seconds:g} s"))
        life = self._policy.max_life_seconds
        if life is None:
            return
        if now - self._began >= life:
            self.demand(Leave(Haste.ENDING, f"its life of {life:g} s is over"))
        elif now - self._began >= life - self._policy.grace_seconds:
            self.demand(Leave(Haste.DRAINING, f"its life of {life:g} s is nearly over"))

    def take_change(self) -> Leave | None:
        """Return why and how to leave when that has changed since the last call."""
        with self._lock:
            has_changed, self._has_changed = self._has_changed, False
        return self.leave if has_changed and self.leave.haste else None

    def begin_ending(self, longest_grace_seconds: float) -> None:
        """Note that what runs is ended now; the worker waits for it no longer than it must."""
        self._latest = min(self._latest, self.grant(longest_grace_seconds).report_by)

    def grant(self, grace_seconds: float, *, save_seconds: float = 0.0) -> Respite:
        """Return how long an attempt may take from now on.

        Args:
            grace_seconds: Its grace time.
            save_seconds: How long saving its checkpoint is known to take.
        """
        now, loss = time.monotonic(), self._loss
        respite = Respite(now + grace_seconds, now + grace_seconds + save_seconds + _CLEAR_UP_SECONDS)
        if loss is None:
            return respite
        last = Respite(loss.at - loss.reserve_seconds, loss.farewell_at)
        if self.leave.is_notice and not self._was_signalled:
            return last
        return Respite(min(respite.command_until, last.command_until), min(respite.report_by, last.report_by))

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

    def linger_until(self, seconds: float) -> float | None:
        """Return until when the process stays although its work is done; none when it may end now.

        Args:
            seconds: A machine that stands for so much longer than was announced is not taken after all.
        """
        loss = self._loss
        is_to_be_restarted = self.leave.exit not in {Exit.FINISHED, Exit.MISTAKE}
        if loss is None or self._was_signalled or not is_to_be_restarted:
            return None
        return loss.at + seconds if self._haste_of(loss, now=time.monotonic()) else None

    def _haste_of(self, loss: Loss, *, now: float) -> Haste:
        seconds_left = loss.at - now
        if seconds_left <= _LONGEST_WARNING_SECONDS:
            return Haste.ENDING
        is_near = seconds_left <= _LONGEST_WARNING_SECONDS + self._policy.grace_seconds
        return Haste.DRAINING if is_near else Haste.WORKING


def _foresee_loss(notice: Notice, *, now: float) -> Loss:
    reserve_seconds = min(_MOST_RESERVED_SECONDS, notice.seconds_left * _RESERVED_SHARE)
    return Loss(now + notice.seconds_left, notice.reason, reserve_seconds)
