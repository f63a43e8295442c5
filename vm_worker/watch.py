"""Looks at the running attempts: time limits, memory, and the signals for those that are to end."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from pathlib import Path

from gliderport_prefect.protocol.outcomes import Outcome
from vm_worker import tree
from vm_worker.attempt import Attempt, Ending

_BUSY_SECONDS = 0.1
_IDLE_SECONDS = 5.0


class OomCounter:
    """Tells whether the kernel has killed a process for want of memory since a given moment."""

    def __init__(self) -> None:
        self._count = _read_oom_kills()
        self._rose_at = float("-inf")

    def look(self) -> None:
        """Note a rise of the kernel's count."""
        count = _read_oom_kills()
        if count > self._count:
            self._count, self._rose_at = count, time.monotonic()

    def has_risen_since(self, moment: float) -> bool:
        """Say whether it has risen since that moment of the monotonic clock."""
        self.look()
        return self._rose_at >= moment


class Watch:
    """One thread for all attempts of the worker."""

    def __init__(self, running: Callable[[], list[Attempt]], oom: OomCounter) -> None:
        self._running = running
        self._oom = oom
        self._wake = threading.Event()
        self._is_idle = False

    def wake_if_idle(self) -> None:
        """Say that there is something to look at."""
        if self._is_idle:
            self._wake.set()

    def look_now(self) -> None:
        """Say that something has changed which cannot wait."""
        self._wake.set()

    def run_forever(self) -> None:
        """Look, again and again."""
        while True:
            running = self._running()
            self._is_idle = not running
            self._wake.wait(_BUSY_SECONDS if running else _IDLE_SECONDS)
            self._wake.clear()
            self._look(self._running(), time.monotonic())

    def _look(self, running: list[Attempt], now: float) -> None:
        commands = [each for each in running if each.kin is not None]
        for each in commands:
            if each.is_late(now):
                limit = each.spec.timeout_seconds
                each.end(Ending(Outcome.TIMED_OUT, f"ran longer than its time-out of {limit:g} s"))
        due = [each for each in commands if each.ending is not None or now >= each.sample_due]
        if due:
            self._examine(due, now)

    def _examine(self, due: list[Attempt], now: float) -> None:
        self._oom.look()
        seen, orphans = tree.look_at_processes(), tree.list_orphans()
        tree.reap_orphans(orphans)
        for each in due:
            kin = each.kin
            if kin is None:
                continue
            members = tree.find_members(kin, seen, orphans=orphans)
            each.note_sample(sum(member.rss_bytes for member in members), now=now)
            _check_memory(each, members)
            if each.ending is not None:
                each.signal_members(members, now=now)


def _check_memory(attempt: Attempt, members: list[tree.Seen]) -> None:
    limit = attempt.need.memory_bytes
    if not limit or attempt.ending is not None or sum(each.rss_bytes for each in members) <= limit:
        return
    # The quick sum counts shared pages once per process; before a verdict they are counted once.
    used = tree.measure_pss(members)
    if used > limit:
        reason = f"its processes used {used / 2**20:.0f} MiB of memory, it may use {limit / 2**20:.0f} MiB"
        attempt.end(Ending(Outcome.OUT_OF_MEMORY, reason), at_once=True)


def _read_oom_kills() -> int:
    for path in ("/sys/fs/cgroup/memory.events", "/proc/vmstat"):
        try:
            lines = Path(path).read_text("utf-8").splitlines()
        except OSError:
            continue
        for line in lines:
            name, _, count = line.partition(" ")
            if name == "oom_kill":
                return int(count)
    return 0
