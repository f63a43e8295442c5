"""One attempt while it lives: shared by the slot that runs it, the watch that limits it, and who wants it to end.

preparing ──▶ command runs ──▶ command over ──▶ outputs ──▶ reported
└────────────── end() ─────────┘
"""

from __future__ import annotations

import math
import signal
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

from gliderport_prefect.protocol.outcomes import Outcome
from gliderport_prefect.protocol.records import Assignment, AttemptRef
from vm_worker import tree
from vm_worker.ahead import Ahead
from vm_worker.streams import Stream
from vm_worker.waiting import need_of, ref_of

_FIRST_SAMPLE_SECONDS = 0.1
_LONGEST_SAMPLE_SECONDS = 2.0
_LIMITED_SAMPLE_SECONDS = 0.5


@dataclass(frozen=True)
class Ending:
    """Why an attempt is ended before its time."""

    outcome: Outcome
    """What it is reported as."""
    reason: str
    """What happened, as a sentence."""


@dataclass(frozen=True)
class Respite:
    """How long an attempt may still take when its worker has to go, by the monotonic clock."""

    command_until: float
    """Until then its processes may end by themselves; then they are killed."""
    report_by: float
    """By then its checkpoint is saved, its logs are uploaded and its report is written, or it is lost."""


class Attempt:
    """What several threads need to know of one attempt."""

    def __init__(self, assignment: Assignment, gpus: tuple[int, ...]) -> None:
        self.assignment = assignment
        self.ahead: Ahead | None = None
        self.on_running: Callable[[], None] = _ignore
        self.on_over: Callable[[], None] = _ignore
        self.follower: Attempt | None = None
        self.has_left_room = False
        self.spec = assignment.spec
        self.ref: AttemptRef = ref_of(assignment)
        self.need = need_of(assignment)
        self.gpus = gpus
        self.began_at = time.time()
        self.began = time.monotonic()
        self.streams: tuple[Stream, ...] = ()
        self.streams_looked_at = 0.0
        self.kin: tree.Kin | None = None
        self.command_began = 0.0
        self.sample_due = 0.0
        self.peak_rss_bytes = 0
        self.ending: Ending | None = None
        self.was_signalled = False
        self.was_interrupted = False
        self.save_seconds = 0.0
        self._command_until = math.inf
        self._report_by = math.inf
        self._kill_at: float | None = None
        self._kills_at_once = False
        self._lock = threading.Lock()

    def end(self, ending: Ending, *, at_once: bool = False) -> None:
        """Ask for its end: TERM, the spec's grace time, KILL; only KILL if it is to be at once."""
        with self._lock:
            self.ending = self.ending or ending
            if at_once:
                self._kills_at_once = True

    def limit(self, respite: Respite) -> None:
        """Take into account that its worker has to go; of several limits the earliest counts."""
        with self._lock:
            # What is known to take long to save has to begin earlier, but the command needs time to write it.
            now = time.monotonic()
            latest = max(respite.report_by - self.save_seconds, now + (respite.report_by - now) / 2)
            until = min(respite.command_until, latest)
            self._command_until = min(self._command_until, until)
            self._report_by = min(self._report_by, respite.report_by)
            if self._kill_at is not None:
                self._kill_at = min(self._kill_at, self._command_until)

    def seconds_left(self) -> float:
        """Return for how many seconds the worker can still wait for this attempt's report, at least 0.

        It is infinite while nobody wants the worker to go. After a signal or a notice that the machine is taken back it
        is what is left for everything after the command's end: a last checkpoint, logs, outputs. Whoever starts
        something long there (say, an upload) asks before, and gives up in time: later the worker leaves without the
        report and the attempt counts as lost. Who knows how long saving takes says so in `save_seconds`, before the
        attempt is ended; then its command is killed that much earlier.
        """
        return max(0.0, self._report_by - time.monotonic())

    def let_go(self) -> None:
        """Let the shell go on that waits for this attempt."""
        if self.ahead is not None:
            self.command_began = time.monotonic()
            self.ahead.gate.open()
            self.begin_command(self.ahead.leader, self.ahead.folder.tmp)

    def begin_command(self, leader: int, marker: str) -> None:
        """Note that its command runs, since `command_began`."""
        self.sample_due = self.command_began + _FIRST_SAMPLE_SECONDS
        self.kin = tree.Kin(leader, marker)

    def end_command(self) -> None:
        """Note that its first process has ended; from here on its slot alone deals with its processes."""
        with self._lock:
            self.kin = None

    def note_sample(self, rss_bytes: int, *, now: float) -> None:
        """Take a measurement of its memory; the next one is due later the longer it runs."""
        self.peak_rss_bytes = max(self.peak_rss_bytes, rss_bytes)
        longest = _LIMITED_SAMPLE_SECONDS if self.need.memory_bytes else _LONGEST_SAMPLE_SECONDS
        self.sample_due = now + min(longest, max(_FIRST_SAMPLE_SECONDS, now - self.command_began))

    def is_late(self, now: float) -> bool:
        """Say whether its command has run for longer than the spec allows."""
        limit = self.spec.timeout_seconds
        return limit is not None and self.ending is None and now - self.command_began > limit

    def has_grace_left(self, now: float) -> bool:
        """Say whether the processes that are left may still end by themselves."""
        return self.was_signalled and not self._kills_at_once and self._kill_at is not None and now < self._kill_at

    def signal_members(self, members: list[tree.Seen], *, now: float) -> None:
        """Send what is due to an attempt that is being ended: TERM first, KILL after the grace time."""
        with self._lock:
            if self.kin is None:
                return
            if self._kills_at_once or (self._kill_at is not None and now >= self._kill_at):
                tree.send_signal(members, signal.SIGKILL)
                self.was_signalled = True
            elif self._kill_at is None:
                until = self._command_until
                self._kill_at = until if until < math.inf else now + self.spec.grace_seconds
                self.was_interrupted = any(tree.catches(each, signal.SIGTERM) for each in members)
                tree.send_signal(members, signal.SIGTERM)
                self.was_signalled = True


def _ignore() -> None:
    pass
