"""The worker's place on the local disk: one folder per session, one folder per attempt within it.

<scratch>/<session>/lock                     held while the worker lives
<scratch>/<session>/cache/                   inputs that attempts share
<scratch>/<session>/streams/<n>.stdout       what an attempt prints, outside of its reach
<scratch>/<session>/<number>-<attempt>/work  working folder; also .tmp/ for its temporary files
"""

from __future__ import annotations

import fcntl
import os
import shutil
import stat
import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gliderport_prefect.protocol.ids import SessionId
from gliderport_prefect.protocol.records import Assignment
from vm_worker import tree
from vm_worker.logbook import Event, note

_PRIVATE = 0o700
_WORK, _TMP = "work", ".tmp"


@dataclass
class AttemptFolder:
    """Where one attempt works."""

    home: str
    """The attempt's own folder."""
    work: str
    """Its working folder."""
    tmp: str
    """For its temporary files."""
    stdout: str
    """File that takes what it prints."""
    stderr: str
    """File that takes what it prints as errors."""


class Scratch:
    """The session's folder, from start to removal."""

    def __init__(self, root: Path, session: SessionId) -> None:
        self._root = root
        self.folder = root / session
        self.cache = self.folder / "cache"
        self._streams = self.folder / "streams"
        self._lock_file: int | None = None
        self._lock = threading.Lock()
        self._empty: list[AttemptFolder] = []
        self._numbered = 0

    def open(self) -> None:
        """Make the session's folder and mark it as in use."""
        for folder in (self._root, self.folder, self.cache, self._streams):
            folder.mkdir(mode=_PRIVATE, parents=True, exist_ok=True)
        self._lock_file = os.open(self.folder / "lock", os.O_CREAT | os.O_RDWR, 0o600)
        fcntl.flock(self._lock_file, fcntl.LOCK_EX)

    def close(self) -> None:
        """Remove the session's folder."""
        remove_tree(self.folder)

    def remove_stale_sessions(self) -> None:
        """End what earlier workers left running here when they died, and remove their folders."""
        for folder in self._root.iterdir():
            if folder != self.folder and _is_abandoned(folder / "lock"):
                tree.kill_marked(f"{folder}/")
                remove_tree(folder)
                note(Event.STALE_REMOVED, "removed what a worker that died had left", folder=str(folder))

    def make_attempt_folder(self, assignment: Assignment) -> AttemptFolder:
        """Return a fresh, private, empty folder for the attempt."""
        home = f"{self.folder}/{assignment.job}-{assignment.attempt}"
        if assignment.spec.own_home:
            folder = self._make(home, assignment.spec.id)
            # Where the original gliderport's jobs look for their working folder.
            with suppress(FileExistsError):
                os.symlink(assignment.spec.id, f"{home}/sky_workdir")
            return folder
        with self._lock:
            reused = self._empty.pop() if self._empty else None
        if reused is None:
            return self._make(home, _WORK)
        os.rename(reused.home, home)
        return AttemptFolder(home, f"{home}/{_WORK}", f"{home}/{_TMP}", reused.stdout, reused.stderr)

    def clear(self, used: AttemptFolder) -> None:
        """Remove what the attempt left; a folder that it left as it was serves the next one."""
        if is_as_made(used):
            with self._lock:
                self._empty.append(used)
        else:
            self.remove(used)

    def remove(self, used: AttemptFolder) -> None:
        """Remove all that belongs to the attempt."""
        remove_tree(Path(used.home))
        for stream in (used.stdout, used.stderr):
            with suppress(OSError):
                os.unlink(stream)

    def _make(self, home: str, work_name: str) -> AttemptFolder:
        with self._lock:
            self._numbered += 1
            stem = f"{self._streams}/{self._numbered}"
        work, tmp = f"{home}/{work_name}", f"{home}/{_TMP}"
        for folder in (home, work, tmp):
            os.mkdir(folder, _PRIVATE)
        return AttemptFolder(home, work, tmp, f"{stem}.stdout", f"{stem}.stderr")


def remove_tree(folder: Path) -> None:
    """Remove a folder with all that is in it, also what a job has made read-only."""

    def unlock_and_retry(remove: Callable[..., Any], path: str, _: object) -> None:
        with suppress(OSError):
            os.chmod(os.path.dirname(path), _PRIVATE)
            if remove is not os.unlink and os.path.isdir(path):
                os.chmod(path, _PRIVATE)
                shutil.rmtree(path, ignore_errors=True)
            else:
                os.unlink(path)

    shutil.rmtree(folder, onerror=unlock_and_retry)


def is_as_made(used: AttemptFolder) -> bool:
    """Say whether the attempt has left nothing there."""
    if used.work != f"{used.home}/{_WORK}":
        return False
    try:
        return (
            not os.listdir(used.work)
            and not os.listdir(used.tmp)
            and len(os.listdir(used.home)) == 2  # noqa: PLR2004 - work and tmp
            and all(os.lstat(path).st_mode == stat.S_IFDIR | _PRIVATE for path in (used.home, used.work, used.tmp))
        )
    except OSError:
        return False


def _is_abandoned(lock: Path) -> bool:
    """Say whether the worker that held the lock is gone."""
    try:
        number = os.open(lock, os.O_RDWR)
    except OSError:
        return False
    try:
        fcntl.flock(number, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    finally:
        os.close(number)
    return True
