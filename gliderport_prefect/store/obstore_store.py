"""The one adapter over obstore: S3, GCS, Azure, a local folder, memory.

Each call is one try with obstore's brief retries; `retrying` adds the long
ones. Only obstore's synchronous functions are used: its asynchronous ones
abort the process at exit in one run of ten.
"""

from __future__ import annotations

from collections.abc import Generator, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

import obstore
from obstore.exceptions import AlreadyExistsError, BaseError

from gliderport_prefect.errors import StoreKeyInvalid, StoreKeyMissing, StoreUnreachable
from gliderport_prefect.store.bulk import BulkTransfer
from gliderport_prefect.store.naming import check_key, check_prefix
from gliderport_prefect.store.seam import StoredObject
from gliderport_prefect.store.translation import Failure, is_missing_bucket, translate

if TYPE_CHECKING:
    from obstore import ObjectMeta
    from obstore.store import ObjectStore

_LIST_CHUNK = 1000


@dataclass(frozen=True)
class Clients:
    """The connections to one root."""

    control: ObjectStore = field(repr=False)
    """For records: small objects, short time-outs, brief retries."""
    bulk: ObjectStore = field(repr=False)
    """For files: long time-outs, and each part retried by itself."""
    is_folder: bool = False
    """Whether the root is a local folder."""


class ObstoreStore:
    """Objects below one root, by way of obstore."""

    def __init__(self, url: str, clients: Clients) -> None:
        """Keep the connections; nothing is sent before the first call."""
        self._url = url
        self._clients = clients
        self._bulk = BulkTransfer(clients.bulk)

    @property
    def url(self) -> str:
        """The root as people write it."""
        return self._url

    def __repr__(self) -> str:
        """Show the URL and nothing of the credentials."""
        return f"ObstoreStore({self._url!r})"

    def __reduce__(self) -> NoReturn:
        """Refuse to be pickled: the pickle would hold the secret."""
        raise TypeError("a store holds credentials and is not pickled: pass its url and open it again")

    def create(self, key: str, data: bytes) -> bytes | None:
        """Store an object under a free key; see `Store.create`."""
        check_key(key)
        with self._translated("create", key):
            try:
                obstore.put(self._clients.control, key, data, mode="create", use_multipart=False)
            except AlreadyExistsError:
                pass
            else:
                return None
        # Exists: someone else's, or ours whose reply was lost.
        standing = self.get(key)
        if standing is None:
            self._raise_phantom(key)
        return None if standing == data else standing

    def get(self, key: str) -> bytes | None:
        """Return the object's content, or None."""
        check_key(key)
        with self._translated("read", key):
            try:
                return obstore.get(self._clients.control, key).bytes().to_bytes()
            except FileNotFoundError as error:
                return self._admit_missing(error)

    def list(self, prefix: str = "") -> list[StoredObject]:
        """Return every object below the prefix, sorted by key."""
        below = check_prefix(prefix)
        with self._translated("list", below or "all keys"):
            # obstore's overloads name types of a package that it does not need.
            chunks = obstore.list(self._clients.control, below or None, chunk_size=_LIST_CHUNK)  # pyright: ignore[reportUnknownMemberType]
            return _sort_objects(chunks)

    def delete(self, keys: Sequence[str]) -> None:
        """Delete objects; keys that do not exist are no error."""
        doomed = [check_key(key) for key in keys]
        if not doomed:
            return
        with self._translated("delete", f"{doomed[0]} and {len(doomed) - 1} more" if doomed[1:] else doomed[0]):
            try:
                obstore.delete(self._clients.control, doomed)
            except FileNotFoundError as error:
                self._admit_missing(error)
                # Folders, GCS and Azure stop at a missing key: go one by one.
                self._delete_singly(doomed)

    def upload_file(self, path: Path, key: str) -> int:
        """Store a local file's content and return its length."""
        check_key(key)
        with self._translated("upload", key):
            try:
                return self._bulk.put_file(path, key)
            except FileNotFoundError as error:
                self._admit_missing(error)
                # The file itself vanished; its own error names it.
                path.stat()
                raise

    def download_file(self, key: str, path: Path) -> int:
        """Fetch an object into a local file and return its length."""
        check_key(key)
        with self._translated("download", key):
            try:
                return self._bulk.fetch_file(key, path)
            except FileNotFoundError as error:
                self._admit_missing(error)
                raise StoreKeyMissing(f"there is no {key} in {self._url}: it was deleted or never written") from error

    def size_bytes_of(self, key: str) -> int | None:
        """Return the object's length, or None."""
        check_key(key)
        with self._translated("look for", key):
            try:
                return obstore.head(self._clients.control, key)["size"]
            except FileNotFoundError as error:
                return self._admit_missing(error)

    def _delete_singly(self, keys: Sequence[str]) -> None:
        for key in keys:
            with suppress(FileNotFoundError):
                obstore.delete(self._clients.control, key)

    def _raise_phantom(self, key: str) -> NoReturn:
        if self._clients.is_folder and self.list(key):
            raise StoreKeyInvalid(f"the key {key!r} is taken by a folder of other keys in {self._url}: rename it")
        # S3 answers 409 while two creates race, though neither may have won yet.
        raise StoreUnreachable(
            f"cannot create {key} in {self._url}: the store reports a conflict but holds nothing there"
        )

    def _admit_missing(self, error: FileNotFoundError) -> None:
        """Return when only the object is missing; raise when it is more."""
        # obstore sets no errno, so this one is about a file of this machine.
        if error.errno is not None or is_missing_bucket(error):
            raise error

    @contextmanager
    def _translated(self, verb: str, key: str) -> Generator[None]:
        """Raise errors of our own tree in place of obstore's."""
        try:
            yield
        except (BaseError, FileNotFoundError, ValueError) as error:
            if isinstance(error, FileNotFoundError) and error.errno is not None:
                raise
            failure = Failure(error, url=self._url, action=f"{verb} {key}", is_folder=self._clients.is_folder)
            raise translate(failure) from error


def _sort_objects(chunks: Iterator[Sequence[ObjectMeta]]) -> list[StoredObject]:
    return sorted(StoredObject(meta["path"], meta["size"]) for chunk in chunks for meta in chunk)
