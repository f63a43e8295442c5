"""Copies of local files: shared blocks where the file system can, else by the kernel."""

from __future__ import annotations

import fcntl
import os
import shutil
from pathlib import Path

_FICLONE = 0x40049409
_BLOCK_BYTES = 1 << 30


def copy_file(source: Path, target: Path, *, executable: bool) -> None:
    """Copy the content into a new file that its owner may write."""
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL
    with source.open("rb", buffering=0) as read, os.fdopen(os.open(target, flags, 0o600), "wb", buffering=0) as write:
        _copy_content(read.fileno(), write.fileno())
    target.chmod(0o755 if executable else 0o644)


def _copy_content(source: int, target: int) -> None:
    try:
        fcntl.ioctl(target, _FICLONE, source)
    except OSError:
        _copy_by_kernel(source, target)


def _copy_by_kernel(source: int, target: int) -> None:
    copied = 0
    try:
        while count := os.copy_file_range(source, target, _BLOCK_BYTES):
            copied += count
    except OSError:
        if copied:
            raise
    # Nothing was copied: it is empty, or the kernel cannot (two file systems, /proc).
    if not copied:
        with os.fdopen(os.dup(source), "rb") as read, os.fdopen(os.dup(target), "wb") as write:
            shutil.copyfileobj(read, write)
