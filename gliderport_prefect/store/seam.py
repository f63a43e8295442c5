"""The seam between Gliderport and whatever holds its objects.

Deliberately absent: compare-and-swap, rename, attributes, time stamps and
list offsets. Several S3 servers get those wrong, and a local folder cannot do
the first at all.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path


@dataclass(frozen=True, order=True)
class StoredObject:
    """One object in a listing."""

    key: str
    """Key relative to the store's root."""
    size_bytes: int
    """Length of its content in bytes."""


class Store(Protocol):
    """Objects under one root: a bucket with a prefix, or a folder.

    The contract, held by every implementation and checked by one suite
    (`tests/contract/test_store_conformance.py`):

    - Keys are relative to the root, made of segments joined by `/`, and
      refused with StoreKeyInvalid when some store could not hold them (see
      `store.naming`). A key is never also a prefix of another key.
    - A reader sees an object whole or not at all, even when its writer was
      killed in the middle.
    - What `create`, `upload_file` and `delete` did when they return is seen
      by every later call of every process (strong consistency).
    - All methods may be called from several threads. A store is not usable
      after a fork and refuses to be pickled, because it holds credentials:
      pass its `url` and open it again.
    - Only errors of `gliderport_prefect.errors` are raised about the store;
      a local file that cannot be read or written raises its own OSError.
    - Transient failures are retried inside. StoreUnreachable says that the
      store's patience is used up.

    The control protocol uses `create`, `get`, `list` and `delete` alone.
    """

    @property
    def url(self) -> str:
        """The root as people write it; never contains a secret."""
        ...

    def create(self, key: str, data: bytes) -> bytes | None:
        """Store an object under a key that must be free.

        Of any number of concurrent creates of one key exactly one succeeds.
        A put whose reply was lost is recognised by its content: therefore
        `data` must differ from what any other writer might put there, which
        is why every record carries a random token of its writer.

        Returns:
            None if `data` now stands under the key; otherwise the content
            that stands there instead.
        """
        ...

    def get(self, key: str) -> bytes | None:
        """Return the object's content, or None if there is no such object."""
        ...

    def list(self, prefix: str = "") -> list[StoredObject]:
        """Return every object below the prefix, at any depth, sorted by key.

        The prefix means whole segments: `a/b` holds `a/b/c` but neither
        `a/bc` nor an object `a/b`. The empty prefix means all.
        """
        ...

    def delete(self, keys: Sequence[str]) -> None:
        """Delete objects; keys that do not exist are no error."""
        ...

    def upload_file(self, path: Path, key: str) -> int:
        """Store a local file's content, in parallel parts when it is large.

        Overwrites: for content-addressed blobs and for staged outputs that
        one writer owns, never for records.

        Returns:
            The number of bytes stored.
        """
        ...

    def download_file(self, key: str, path: Path) -> int:
        """Fetch an object into a local file, in parallel ranges when large.

        Missing parent folders are made. The file appears whole: it is written
        beside its place and renamed.

        Returns:
            The number of bytes fetched.

        Raises:
            StoreKeyMissing: If there is no such object.
        """
        ...

    def size_bytes_of(self, key: str) -> int | None:
        """Return the object's length, or None if there is no such object."""
        ...
