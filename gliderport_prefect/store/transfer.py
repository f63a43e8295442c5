"""Many files at once, and the hash that names content."""

from __future__ import annotations

import hashlib
import threading
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from typing import TYPE_CHECKING, Generic, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from pathlib import Path

    from gliderport_prefect.store.seam import Store

DEFAULT_PARALLEL = 16
_BLOCK_BYTES = 1024 * 1024

T = TypeVar("T")


def upload_many(store: Store, files: Iterable[tuple[Path, str]], *, parallel: int = DEFAULT_PARALLEL) -> int:
    """Upload files under their keys and return the number of bytes.

    The files may come from a stream of any length: it is read only as fast as
    they are uploaded. After the first failure nothing further is started.

    Raises:
        StoreError: The first failure.
        OSError: If a file cannot be read.
    """
    return _run_all(lambda item: store.upload_file(item[0], item[1]), files, parallel=parallel)


def download_many(store: Store, files: Iterable[tuple[str, Path]], *, parallel: int = DEFAULT_PARALLEL) -> int:
    """Download objects into files and return the number of bytes.

    Raises:
        StoreError: The first failure; StoreKeyMissing for a missing object.
        OSError: If a file cannot be written.
    """
    return _run_all(lambda item: store.download_file(item[0], item[1]), files, parallel=parallel)


def hash_file(path: Path) -> str:
    """Return the SHA-256 of the file's content in hexadecimal."""
    digest = hashlib.sha256()
    with path.open("rb", buffering=0) as file:
        while block := file.read(_BLOCK_BYTES):
            digest.update(block)
    return digest.hexdigest()


def _run_all(move: Callable[[T], int], items: Iterable[T], *, parallel: int) -> int:
    source = _Source(iter(items))
    with ThreadPoolExecutor(parallel, thread_name_prefix="transfer") as pool:
        futures = [pool.submit(_run_until_empty, move, source) for _ in range(parallel)]
        try:
            wait(futures, return_when=FIRST_EXCEPTION)
        finally:
            # Also on KeyboardInterrupt: the pool's exit waits for its threads.
            source.close()
    if source.error is not None:
        raise source.error
    return sum(future.result() for future in futures)


def _run_until_empty(move: Callable[[T], int], source: _Source[T]) -> int:
    moved_bytes = 0
    for item in source:
        try:
            moved_bytes += move(item)
        except Exception as error:  # noqa: BLE001 - raised again in the caller's thread
            source.close(error)
    return moved_bytes


class _Source(Generic[T]):
    """One iterator that several threads take from until it is closed."""

    def __init__(self, items: Iterator[T]) -> None:
        self.error: Exception | None = None
        self._items = items
        self._lock = threading.Lock()
        self._is_closed = False

    def __iter__(self) -> _Source[T]:
        return self

    def __next__(self) -> T:
        with self._lock:
            if self._is_closed:
                raise StopIteration
            try:
                return next(self._items)
            except StopIteration:
                self._is_closed = True
                raise
            except Exception as error:
                self._is_closed, self.error = True, self.error or error
                raise StopIteration from error

    def close(self, error: Exception | None = None) -> None:
        with self._lock:
            self._is_closed = True
            self.error = self.error or error
