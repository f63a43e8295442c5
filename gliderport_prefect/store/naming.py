"""Which keys every store can hold.

The rules are the intersection of S3, GCS, Azure and a POSIX folder as obstore
maps it, so that a campaign moves between them without surprises.
"""

from __future__ import annotations

import re

from gliderport_prefect.errors import StoreKeyInvalid

MAX_KEY_BYTES = 900
"""S3 allows 1,024 with the root's own prefix; see MAX_ROOT_BYTES."""
MAX_ROOT_BYTES = 120
"""Longest prefix of a bucket that may serve as a store's root."""
MAX_SEGMENT_BYTES = 250
"""A folder allows 255, and obstore appends `#<n>` while it writes."""

_SOUND_KEY = re.compile(r"[A-Za-z0-9_\-=+@,]+(?:[./][A-Za-z0-9_\-=+@,]+)*")
_CONTROL_CHARACTER = re.compile(r"[\x00-\x1f\x7f]")
# obstore's local folder keeps unfinished writes under such names and hides them.
_UNFINISHED_NAME = re.compile(r"#[0-9]+\Z")


def check_key(key: str) -> str:
    """Return the key if every store can hold it, or raise StoreKeyInvalid."""
    if len(key) > MAX_SEGMENT_BYTES or not _SOUND_KEY.fullmatch(key):
        fault = _find_fault(key)
        if fault:
            raise StoreKeyInvalid(f"the key {key!r} {fault}: rename it")
    return key


def check_prefix(prefix: str) -> str:
    """Return the prefix without a closing slash, or raise StoreKeyInvalid."""
    bare = prefix.removesuffix("/")
    return check_key(bare) if bare else ""


def _find_fault(key: str) -> str | None:
    try:
        size_bytes = len(key.encode())
    except UnicodeEncodeError:
        return "is not valid Unicode"
    if size_bytes > MAX_KEY_BYTES:
        return f"has {size_bytes} bytes, {MAX_KEY_BYTES} are allowed"
    if _CONTROL_CHARACTER.search(key):
        return "contains a control character"
    faults = (_find_segment_fault(segment) for segment in key.split("/"))
    return next((fault for fault in faults if fault), None)


def _find_segment_fault(segment: str) -> str | None:
    if not segment:
        return "is empty, or contains an empty segment"
    if segment in {".", ".."}:
        return "contains the segment '.' or '..'"
    if len(segment.encode()) > MAX_SEGMENT_BYTES:
        return f"has a segment of more than {MAX_SEGMENT_BYTES} bytes"
    if _UNFINISHED_NAME.search(segment):
        return "has a segment that ends in '#' and digits"
    return None
