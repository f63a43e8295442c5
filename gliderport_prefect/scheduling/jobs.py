"""Where every job stands, in a dozen bytes each."""

from __future__ import annotations

import re
import zlib
from array import array
from base64 import b64decode, b64encode
from bisect import bisect_left
from typing import TYPE_CHECKING, Any

from gliderport_prefect.protocol.ids import AttemptId, attempt_number
from gliderport_prefect.protocol.outcomes import FREE, TERMINAL_STATES, USER_PAID, JobState, Outcome

if TYPE_CHECKING:
    from collections.abc import Iterator

    from gliderport_prefect.protocol.records import Settled

_STATES = tuple(JobState)
_CODES = {state: code for code, state in enumerate(_STATES)}
_TERMINAL = frozenset(_CODES[state] for state in TERMINAL_STATES)
_QUEUED = _CODES[JobState.QUEUED]
_QUEUED_RUN = re.compile(re.escape(bytes([_QUEUED])) + b"+")
_ASSIGNED_AS_QUEUED = bytes.maketrans(bytes([_CODES[JobState.ASSIGNED]]), bytes([_QUEUED]))
_MOST = 65535
"""Counters stop here."""


class JobTable:
    """State and counters of each job, by number."""

    def __init__(self) -> None:
        """Make a table without jobs."""
        self._states = bytearray()
        self._tries = array("H")
        self._settled = array("H")
        self._charged = array("H")
        self._losses = array("H")
        self._over = array("H")
        self._records = array("I")
        self._memory: dict[int, int] = {}
        self._evictions: dict[int, int] = {}
        self._counts = [0] * len(_STATES)
        self.keep_after: int | None = None
        """A job that was evicted this many times needs a machine that is kept; none when no job ever does."""

    def __len__(self) -> int:
        """Return how many jobs there are."""
        return len(self._states)

    def extend(self, count: int) -> None:
        """Add that many queued jobs."""
        self._states.extend(bytes(count))
        for counters in (self._tries, self._settled, self._charged, self._losses, self._over, self._records):
            counters.frombytes(bytes(count * counters.itemsize))
        self._counts[_CODES[JobState.QUEUED]] += count

    # --- reading ------------------------------------------------------------------------------------------------

    def state(self, job: int) -> JobState:
        """Return where the job stands."""
        return _STATES[self._states[job]]

    def has_ended(self, job: int) -> bool:
        """Say whether the job is in a state that only a person's request leaves."""
        return self._states[job] in _TERMINAL

    def counts(self) -> dict[JobState, int]:
        """Return the number of jobs in each state."""
        return dict(zip(_STATES, self._counts, strict=True))

    @property
    def unfinished(self) -> int:
        """Number of jobs that have not ended."""
        return len(self) - sum(self._counts[code] for code in _TERMINAL)

    def in_state(self, *states: JobState) -> Iterator[int]:
        """Yield the numbers of the jobs in one of the states, in order."""
        wanted = {_CODES[state] for state in states}
        return (job for job, code in enumerate(self._states) if code in wanted)

    def queued_spans(self) -> Iterator[tuple[int, int]]:
        """Yield (first, end) of the runs of consecutive queued jobs, in order; `end` is not queued.

        A job that is not as its spec says any more makes a run of one.
        """
        changed = {*self._memory, *(job for job in self._evictions if self.needs_kept(job))}
        own = sorted(job for job in changed if self._states[job] == _QUEUED)
        for found in _QUEUED_RUN.finditer(self._states):
            first, end = found.span()
            for job in own[bisect_left(own, first) : bisect_left(own, end)]:
                yield from ((first, job), (job, job + 1)) if first < job else ((job, job + 1),)
                first = job + 1
            if first < end:
                yield first, end

    def settled(self, job: int) -> int:
        """Return how many attempts of the job have been settled."""
        return self._settled[job]

    def charged(self, job: int) -> int:
        """Return how many of the job's retries are used up, plus one for the first failure."""
        return self._charged[job]

    def losses(self, job: int) -> int:
        """Return on how many lost workers the job was running."""
        return self._losses[job]

    def evictions(self, job: int) -> int:
        """Return how often the job was preempted or lost with its worker."""
        return self._evictions.get(job, 0)

    def needs_kept(self, job: int) -> bool:
        """Say whether the job has been evicted so often that it needs a machine that is kept."""
        return self.keep_after is not None and self.evictions(job) >= self.keep_after

    def last_record(self, job: int) -> int:
        """Return the number of the ledger record with the job's newest settled attempt; 0 when there is none."""
        return self._records[job]

    def memory_bytes(self, job: int) -> int | None:
        """Return the memory that the job is to have in place of its spec's."""
        return self._memory.get(job)

    # --- writing ------------------------------------------------------------------------------------------------

    def move(self, job: int, state: JobState) -> None:
        """Put the job into the state."""
        self._counts[self._states[job]] -= 1
        self._states[job] = _CODES[state]
        self._counts[self._states[job]] += 1

    def next_try(self, job: int) -> int:
        """Count a new try of the job and return its number, from 1."""
        self._tries[job] = min(self._tries[job] + 1, _MOST)
        return self._tries[job]

    def note_try(self, job: int, attempt: AttemptId) -> None:
        """Learn of a try that another launcher handed out."""
        self._tries[job] = max(self._tries[job], min(attempt_number(attempt), _MOST))

    def note_over(self, job: int, attempt: AttemptId) -> None:
        """Learn that a try is over or was handed back: the assignment in the inbox holds no longer."""
        self.note_try(job, attempt)
        self._over[job] = max(self._over[job], min(attempt_number(attempt), _MOST))

    def is_over(self, job: int, attempt: AttemptId) -> bool:
        """Say whether the try, or a later one, is over; an assignment that is read again must not bring it back."""
        return attempt_number(attempt) <= self._over[job]

    def settle(self, settled: Settled, ledger_number: int) -> None:
        """Count an attempt that is settled and put its job into the state that follows."""
        job, outcome = settled.report.job, settled.report.outcome
        self.note_over(job, settled.report.attempt)
        self._settled[job] = min(self._settled[job] + 1, _MOST)
        self._charged[job] = min(self._charged[job] + (outcome in USER_PAID), _MOST)
        self._losses[job] = min(self._losses[job] + (outcome is Outcome.WORKER_LOST), _MOST)
        if outcome in FREE:
            self._evictions[job] = self.evictions(job) + 1
        self._records[job] = ledger_number
        if settled.memory_bytes is not None:
            self._memory[job] = settled.memory_bytes
        self.move(job, settled.then)

    def requeue(self, job: int) -> None:
        """Queue an ended job again with fresh retries."""
        self._charged[job] = self._losses[job] = 0
        self._evictions.pop(job, None)
        self.move(job, JobState.QUEUED)

    # --- snapshots ----------------------------------------------------------------------------------------------

    def pack(self) -> dict[str, Any]:
        """Return the table as JSON values, as the ledger tells it: of an assigned job only the inboxes tell."""
        columns: dict[str, Any] = {name: _pack(bytes(column)) for name, column in self._columns()}
        columns["states"] = _pack(bytes(self._states).translate(_ASSIGNED_AS_QUEUED))
        for name, found in (("memory", self._memory), ("evictions", self._evictions)):
            columns[name] = {str(job): count for job, count in found.items()}
        return columns

    def unpack(self, packed: dict[str, Any]) -> None:
        """Fill this empty table from what `pack` returned."""
        self._states = bytearray(_unpack(packed["states"]))
        for name, column in self._columns():
            if isinstance(column, array):
                column.frombytes(_unpack(packed[name]))
        self._memory = {int(job): size for job, size in packed["memory"].items()}
        # A snapshot of an older launcher has no evictions.
        self._evictions = {int(job): count for job, count in packed.get("evictions", {}).items()}
        self._counts = [self._states.count(code) for code in range(len(_STATES))]

    def _columns(self) -> tuple[tuple[str, bytearray | array[int]], ...]:
        return (
            ("states", self._states),
            ("tries", self._tries),
            ("settled", self._settled),
            ("charged", self._charged),
            ("losses", self._losses),
            ("over", self._over),
            ("records", self._records),
        )


def _pack(column: bytes) -> str:
    return b64encode(zlib.compress(column, level=1)).decode("ascii")


def _unpack(text: str) -> bytes:
    return zlib.decompress(b64decode(text))
