"""Retrying, in one place: every transient failure, up to a deadline.

The adapter below tries for about two seconds and then raises StoreUnreachable;
this wrapper asks again until its patience ends. The sleeps are short and in
Python, so that signal handlers run in between.
"""

from __future__ import annotations

import random
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NoReturn, TypeVar

from gliderport_prefect.errors import StoreUnreachable

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from gliderport_prefect.store.seam import Store, StoredObject

T = TypeVar("T")


@dataclass(frozen=True)
class Patience:
    """How long a store is asked again before StoreUnreachable is raised."""

    outage_s: float = 180.0
    """For a store that has answered before: longer than a short outage."""
    first_contact_s: float = 5.0
    """For a store that never answered: a person is waiting, and has likely
    mistyped the endpoint. A worker that starts unattended gives more."""
    longest_pause_s: float = 5.0
    """Upper bound of the pause between two tries, in seconds."""


@dataclass
class RetryingStore:
    """A store that tries again while another one is unreachable."""

    inner: Store
    """The store that is asked."""
    patience: Patience = Patience()
    """When to give up."""
    clock: Callable[[], float] = time.monotonic
    """Monotonic seconds."""
    sleep: Callable[[float], None] = time.sleep
    """Pauses between two tries."""
    _was_reached: bool = field(default=False, init=False, repr=False)

    @property
    def url(self) -> str:
        """The root as people write it."""
        return self.inner.url

    def create(self, key: str, data: bytes) -> bytes | None:
        """Store an object under a free key; see `Store.create`."""
        return self._persist(lambda: self.inner.create(key, data))

    def get(self, key: str) -> bytes | None:
        """Return the object's content, or None."""
        return self._persist(lambda: self.inner.get(key))

    def list(self, prefix: str = "") -> list[StoredObject]:
        """Return every object below the prefix, sorted by key."""
        return self._persist(lambda: self.inner.list(prefix))

    def delete(self, keys: Sequence[str]) -> None:
        """Delete objects; keys that do not exist are no error."""
        self._persist(lambda: self.inner.delete(keys))

    def upload_file(self, path: Path, key: str) -> int:
        """Store a local file's content and return its length."""
        return self._persist(lambda: self.inner.upload_file(path, key))

    def download_file(self, key: str, path: Path) -> int:
        """Fetch an object into a local file and return its length."""
        return self._persist(lambda: self.inner.download_file(key, path))

    def size_bytes_of(self, key: str) -> int | None:
        """Return the object's length, or None."""
        return self._persist(lambda: self.inner.size_bytes_of(key))

    def __reduce__(self) -> NoReturn:
        """Refuse to be pickled."""
        raise TypeError("a store holds credentials and is not pickled: pass its url and open it again")

    def _persist(self, operation: Callable[[], T]) -> T:
        started_at = self.clock()
        tries = 0
        while True:
            try:
                result = operation()
            except StoreUnreachable as error:
                tries += 1
                self._pause_or_give_up(error, tries=tries, waited_s=self.clock() - started_at)
            else:
                self._was_reached = True
                return result

    def _pause_or_give_up(self, error: StoreUnreachable, *, tries: int, waited_s: float) -> None:
        left_s = self._patience_s - waited_s
        if left_s <= 0:
            raise StoreUnreachable(f"{error} (gave up after {tries} tries in {waited_s:.0f} s)") from error
        # Full jitter: a thousand workers must not come back in the same instant.
        ceiling_s = min(self.patience.longest_pause_s, 0.1 * 2 ** min(tries, 10))
        self.sleep(min(left_s, random.uniform(ceiling_s / 4, ceiling_s)))

    @property
    def _patience_s(self) -> float:
        return (
            self.patience.outage_s if self._was_reached else min(self.patience.first_contact_s, self.patience.outage_s)
        )
