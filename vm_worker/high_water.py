"""The worker's own high-water mark of memory, which the kernel also credits to whatever the worker spawns.

At exec the kernel carries the mark of the memory that a vforked child shared with its parent over to the child. What
`getrusage` says of the worker itself will not do to tell the two apart: it begins with the mark of the worker's parent.
"""

from __future__ import annotations

import os

_STATUS = "/proc/self/status"
_FIELD = b"VmHWM:"


class HighWater:
    """Tells a child's mark from the worker's own."""

    def __init__(self) -> None:
        self._bytes = 0

    def is_passed_by(self, max_rss_bytes: int) -> bool:
        """Say whether a child's mark is above the worker's, so that it is the child's doing."""
        if max_rss_bytes > self._bytes:
            self._bytes = _read_own_mark()
        return max_rss_bytes > self._bytes


def _read_own_mark() -> int:
    number = os.open(_STATUS, os.O_RDONLY)
    try:
        lines = os.read(number, 8192).splitlines()
    finally:
        os.close(number)
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(_FIELD))
