"""Counts the calls at the seam, for request budgets in tests and benchmarks."""

from __future__ import annotations

import threading
from collections import Counter
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from gliderport_prefect.store.seam import Store, StoredObject


class CountingStore:
    """A store that counts its calls by verb; retries below it do not count."""

    def __init__(self, inner: Store) -> None:
        """Wrap a store, with all counts at zero."""
        self._inner = inner
        self._lock = threading.Lock()
        self._counts: Counter[str] = Counter()

    @property
    def url(self) -> str:
        """The root as people write it."""
        return self._inner.url

    @property
    def counts(self) -> Counter[str]:
        """Calls so far by method name, as a copy."""
        with self._lock:
            return Counter(self._counts)

    @property
    def total(self) -> int:
        """Calls so far of all kinds."""
        return self.counts.total()

    def create(self, key: str, data: bytes) -> bytes | None:
        """Count, then store an object under a free key."""
        self._count("create")
        return self._inner.create(key, data)

    def get(self, key: str) -> bytes | None:
        """Count, then return the object's content, or None."""
        self._count("get")
        return self._inner.get(key)

    def list(self, prefix: str = "") -> list[StoredObject]:
        """Count, then return every object below the prefix."""
        self._count("list")
        return self._inner.list(prefix)

    def delete(self, keys: Sequence[str]) -> None:
        """Count once, then delete the objects."""
        self._count("delete")
        self._inner.delete(keys)

    def upload_file(self, path: Path, key: str) -> int:
        """Count, then store a local file's content."""
        self._count("upload_file")
        return self._inner.upload_file(path, key)

    def download_file(self, key: str, path: Path) -> int:
        """Count, then fetch an object into a local file."""
        self._count("download_file")
        return self._inner.download_file(key, path)

    def size_bytes_of(self, key: str) -> int | None:
        """Count, then return the object's length, or None."""
        self._count("size_bytes_of")
        return self._inner.size_bytes_of(key)

    def _count(self, verb: str) -> None:
        with self._lock:
            self._counts[verb] += 1
