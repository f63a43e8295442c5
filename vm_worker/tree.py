"""The processes of an attempt, wherever they went.

A job's processes are found by descent from its first process, by its session, and, when they left both (a daemon),
by their becoming children of the worker, which is the reaper of orphans below it, and by a variable in their
environment.
"""

from __future__ import annotations

import ctypes
import os
import signal
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass

_PR_SET_CHILD_SUBREAPER = 36
_PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")
MARKER = "GLIDERPORT_SCRATCH"
"""Variable whose value no two attempts of a machine share."""


@dataclass(frozen=True)
class Seen:
    """One process at the moment of a look at all of them."""

    pid: int
    """Its id."""
    parent: int
    """Id of its parent."""
    session: int
    """Id of the process that began its session."""
    is_zombie: bool
    """Whether it has ended and waits for its parent."""
    rss_bytes: int
    """Its memory."""


@dataclass(frozen=True)
class Kin:
    """What tells the processes of one attempt from others."""

    leader: int
    """Its first process, which began a session."""
    marker: str
    """Value of the marker variable in its environment."""


def become_reaper() -> None:
    """Make orphans of the jobs children of this process, so that none escapes."""
    ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def look_at_processes() -> dict[int, Seen]:
    """Return all processes of the machine by id."""
    seen = (_read_stat(name) for name in os.listdir("/proc") if name.isdecimal())
    return {each.pid: each for each in seen if each is not None}


def list_orphans() -> list[int]:
    """Return the adopted children of this process; the jobs' first processes are children of other threads."""
    own = os.getpid()
    try:
        with open(f"/proc/{own}/task/{own}/children", "rb", buffering=0) as file:
            return [int(word) for word in file.read().split()]
    except OSError:
        # A kernel without that file: look at all.
        return [each.pid for each in look_at_processes().values() if each.parent == own]


def find_members(kin: Kin, seen: dict[int, Seen], *, orphans: Iterable[int]) -> list[Seen]:
    """Return the living processes of the attempt.

    Args:
        kin: Whose.
        seen: All processes.
        orphans: Those that the worker adopted.
    """
    found = {each.pid for each in seen.values() if each.session == kin.leader}
    found.add(kin.leader)
    marker = f"{MARKER}={kin.marker}\0".encode()
    found.update(pid for pid in orphans if pid in seen and _has_variable(pid, marker))
    _add_descendants(found, seen)
    return [seen[pid] for pid in found if pid in seen and not seen[pid].is_zombie]


def send_signal(members: Iterable[Seen], number: signal.Signals) -> None:
    """Send the signal to each process that is still there."""
    for each in members:
        with suppress(ProcessLookupError, PermissionError):
            os.kill(each.pid, number)


def catches(each: Seen, number: signal.Signals) -> bool:
    """Say whether the process has a routine of its own for the signal."""
    try:
        with open(f"/proc/{each.pid}/status", "rb") as file:
            line = next(line for line in file if line.startswith(b"SigCgt:"))
    except (OSError, StopIteration):
        return False
    return bool(int(line.split()[1], 16) >> (number - 1) & 1)


def kill_marked(prefix: str) -> None:
    """Kill every process whose marker begins like this: what a dead worker left."""
    wanted = f"{MARKER}={prefix}".encode()
    seen = look_at_processes().values()
    send_signal([each for each in seen if _has_variable(each.pid, wanted)], signal.SIGKILL)


def reap_orphans(orphans: Iterable[int]) -> None:
    """Let go of adopted processes that have ended."""
    for pid in orphans:
        with suppress(ChildProcessError):
            os.waitpid(pid, os.WNOHANG)


def measure_pss(members: Iterable[Seen]) -> int:
    """Return the memory of the processes with what they share counted once; slower than the sum of `rss_bytes`."""
    return sum(_read_pss(each) for each in members)


def _add_descendants(found: set[int], seen: dict[int, Seen]) -> None:
    children: dict[int, list[int]] = {}
    for each in seen.values():
        children.setdefault(each.parent, []).append(each.pid)
    ahead = list(found)
    while ahead:
        fresh = [pid for pid in children.get(ahead.pop(), ()) if pid not in found]
        found.update(fresh)
        ahead.extend(fresh)


def _read_stat(name: str) -> Seen | None:
    try:
        with open(f"/proc/{name}/stat", "rb", buffering=0) as file:
            text = file.read()
    except OSError:
        return None
    # The second field, a program's name in parentheses, may hold anything.
    fields = text[text.rindex(b")") + 2 :].split()
    return Seen(
        pid=int(name),
        parent=int(fields[1]),
        session=int(fields[3]),
        is_zombie=fields[0] in {b"Z", b"X"},
        rss_bytes=int(fields[21]) * _PAGE_BYTES,
    )


def _has_variable(pid: int, beginning: bytes) -> bool:
    try:
        with open(f"/proc/{pid}/environ", "rb", buffering=0) as file:
            return b"\0" + beginning in b"\0" + file.read()
    except OSError:
        return False


def _read_pss(each: Seen) -> int:
    try:
        with open(f"/proc/{each.pid}/smaps_rollup", "rb") as file:
            line = next(line for line in file if line.startswith(b"Pss:"))
    except (OSError, StopIteration):
        return each.rss_bytes
    return int(line.split()[1]) * 1024
