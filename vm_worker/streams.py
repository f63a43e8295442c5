"""What an attempt prints: a file on disk, numbered parts in the bucket while it runs when it is long."""

from __future__ import annotations

import base64
import os
import threading
from collections.abc import Callable

from gliderport_prefect.protocol.records import StreamLog
from gliderport_prefect.store.seam import Store

INLINE_BYTES = 4096
"""Up to this size the report carries the text itself."""
PART_BYTES = 8 * 1024 * 1024
"""Largest part."""
_TAIL_BYTES = 2048
_NOTHING = StreamLog()


class Stream:
    """Standard output or standard error of one attempt."""

    def __init__(self, path: str, key_of: Callable[[int], str]) -> None:
        self._path = path
        self._key_of = key_of
        self._lock = threading.Lock()
        self._sent_bytes = 0
        self._parts = 0
        self._tried_end: int | None = None

    def send_news(self, store: Store) -> None:
        """Upload what was printed since the last call."""
        with self._lock:
            self._send_up_to(store, self._size_bytes())

    @property
    def is_short(self) -> bool:
        """Whether the report can carry all of it so far."""
        return not self._parts and self._size_bytes() <= INLINE_BYTES

    def conclude(self, store: Store) -> StreamLog:
        """Return where all of it is, after uploading the rest when it is long.

        Raises:
            StoreError: The rest could not be uploaded.
        """
        size_bytes = self._size_bytes()
        if size_bytes == 0 and not self._parts:
            return _NOTHING
        if size_bytes <= INLINE_BYTES and self._sent_bytes <= size_bytes:
            return self._inline()
        with self._lock:
            self._send_up_to(store, size_bytes)
        return self.describe()

    def describe(self) -> StreamLog:
        """Return where that part of it is which has been uploaded."""
        size_bytes = self._size_bytes()
        tail = self._read(max(0, size_bytes - _TAIL_BYTES), size_bytes).decode("utf-8", "replace")
        return StreamLog(size_bytes=size_bytes, parts=self._parts, tail=tail)

    def _inline(self) -> StreamLog:
        content = self._read(0, INLINE_BYTES)
        try:
            return StreamLog(size_bytes=len(content), text=content.decode("utf-8"))
        except UnicodeDecodeError:
            return StreamLog(size_bytes=len(content), base64=base64.b64encode(content).decode("ascii"))

    def _send_up_to(self, store: Store, size_bytes: int) -> None:
        if size_bytes < self._sent_bytes:
            # The job truncated it, as `> /dev/stdout` does: what follows is new.
            self._sent_bytes, self._tried_end = 0, None
        while self._sent_bytes < size_bytes:
            # A part whose reply was lost is sent again as it was: it may stand there already.
            end = self._tried_end or min(self._sent_bytes + PART_BYTES, size_bytes)
            part = self._read(self._sent_bytes, end)
            if not part:
                return
            self._tried_end = end
            store.create(self._key_of(self._parts + 1), part)
            self._tried_end = None
            self._parts += 1
            self._sent_bytes = end

    def _size_bytes(self) -> int:
        try:
            return os.stat(self._path).st_size
        except OSError:
            return 0

    def _read(self, first: int, end: int) -> bytes:
        try:
            with open(self._path, "rb", buffering=0) as file:
                file.seek(first)
                return file.read(end - first)
        except OSError:
            return b""
