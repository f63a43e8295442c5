"""Whole files to and from an obstore client, in parallel parts when large.

Raises obstore's own errors; the adapter translates them.
"""

from __future__ import annotations

import os
import secrets
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import TYPE_CHECKING

import obstore

if TYPE_CHECKING:
    from collections.abc import Generator
    from pathlib import Path

    from obstore.store import ObjectStore

LARGE_BYTES = 16 * 1024 * 1024
"""From this size on a file travels in several parts at a time."""
PART_BYTES = 8 * 1024 * 1024
"""Size of a part; PARALLEL_PARTS of them are in memory per large file."""
PARALLEL_PARTS = 8
_LARGE_FILES_AT_ONCE = 2
_MOST_PARTS = 9_000  # S3 refuses more than 10,000.


class BulkTransfer:
    """Moves files over one client, and bounds the memory that large ones take."""

    def __init__(self, client: ObjectStore) -> None:
        """Keep the client; nothing is sent."""
        self._client = client
        self._large_files = threading.BoundedSemaphore(_LARGE_FILES_AT_ONCE)

    def put_file(self, path: Path, key: str) -> int:
        """Store the file under the key and return its length."""
        size_bytes = path.stat().st_size
        if size_bytes < LARGE_BYTES:
            content = path.read_bytes()
            obstore.put(self._client, key, content, use_multipart=False)
            return len(content)
        part_bytes = max(PART_BYTES, -(-size_bytes // _MOST_PARTS))
        with self._large_files:
            obstore.put(self._client, key, path, chunk_size=part_bytes, max_concurrency=PARALLEL_PARTS)
        return size_bytes

    def fetch_file(self, key: str, path: Path) -> int:
        """Fetch the object into the file and return its length."""
        answer = obstore.get(self._client, key)
        size_bytes = answer.meta["size"]
        with _written_beside(path) as descriptor:
            if size_bytes < LARGE_BYTES:
                _write_at(descriptor, memoryview(answer.bytes()), offset=0)
            else:
                # An unread body would hold its connection while the ranges run.
                del answer
                with self._large_files:
                    _fetch_parts(self._client, key, descriptor=descriptor, size_bytes=size_bytes)
        return size_bytes


@contextmanager
def _written_beside(path: Path) -> Generator[int]:
    """Give a descriptor of a file that becomes `path` when the block succeeds."""
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.parent / f".gliderport-{secrets.token_hex(8)}.part"
    descriptor = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o666)
    try:
        try:
            yield descriptor
        finally:
            os.close(descriptor)
        beside.replace(path)
    except BaseException:
        beside.unlink(missing_ok=True)
        raise


def _fetch_parts(client: ObjectStore, key: str, *, descriptor: int, size_bytes: int) -> None:
    def fetch_part(start: int) -> None:
        end = min(start + PART_BYTES, size_bytes)
        part = obstore.get_range(client, key, start=start, end=end)
        _write_at(descriptor, memoryview(part), offset=start)

    os.truncate(descriptor, size_bytes)
    pool = ThreadPoolExecutor(PARALLEL_PARTS, thread_name_prefix="fetch-part")
    try:
        for _ in pool.map(fetch_part, range(0, size_bytes, PART_BYTES)):
            pass
    finally:
        pool.shutdown(cancel_futures=True)


def _write_at(descriptor: int, content: memoryview, *, offset: int) -> None:
    while content:
        written = os.pwrite(descriptor, content, offset)
        content, offset = content[written:], offset + written
