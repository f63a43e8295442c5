"""Inputs that attempts share: fetched once, kept while there is room, copied into each working folder.

Copied, not linked: a job may write into its input, and the next one must not see that.
"""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Callable, Generator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path


@dataclass
class _Entry:
    path: Path
    size_bytes: int = 0
    users: int = 0
    is_there: bool = False
    lock: threading.Lock = field(default_factory=threading.Lock)


@dataclass(frozen=True)
class Held:
    """A cached file that stays while it is held."""

    path: Path
    """The file; not to be written."""
    fetched_bytes: int
    """What had to be fetched for it now."""


class Cache:
    """A folder of fetched files by name, with a bound."""

    def __init__(self, folder: Path, *, limit_bytes: int) -> None:
        self._folder = folder
        self.limit_bytes = limit_bytes
        self._lock = threading.Lock()
        # Least recently used first.
        self._entries: dict[str, _Entry] = {}

    @contextmanager
    def hold(self, name: str, fetch: Callable[[Path], int]) -> Generator[Held]:
        """Yield the file of that name, fetched by the first who wants it; others wait for it.

        Args:
            name: What it is: names its content.
            fetch: Writes it to a path and returns its size.
        """
        entry = self._enter(name)
        try:
            yield Held(entry.path, self._fill(entry, fetch))
        finally:
            self._leave(entry)

    def _enter(self, name: str) -> _Entry:
        with self._lock:
            entry = self._entries.pop(name, None)
            if entry is None:
                entry = _Entry(self._folder / hashlib.sha256(name.encode()).hexdigest())
            self._entries[name] = entry
            entry.users += 1
            return entry

    def _fill(self, entry: _Entry, fetch: Callable[[Path], int]) -> int:
        with entry.lock:
            if entry.is_there:
                return 0
            entry.size_bytes = fetch(entry.path)
            entry.is_there = True
            return entry.size_bytes

    def _leave(self, entry: _Entry) -> None:
        with self._lock:
            entry.users -= 1
            self._make_room()

    def _make_room(self) -> None:
        excess = sum(each.size_bytes for each in self._entries.values() if each.is_there) - self.limit_bytes
        for name, each in list(self._entries.items()):
            if each.users == 0 and (excess > 0 or not each.is_there):
                excess -= each.size_bytes
                each.path.unlink(missing_ok=True)
                del self._entries[name]
