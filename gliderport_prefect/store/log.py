"""Numbered logs of create-only objects: append, read, find the end.

Nothing is ever overwritten, so of two writers exactly one gets a number, and
the other learns what the winner wrote.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from gliderport_prefect.protocol.keys import number_segment

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from gliderport_prefect.store.seam import Store


@dataclass(frozen=True)
class Appended:
    """Our record stands in the log."""

    n: int
    """Its number."""


@dataclass(frozen=True)
class Taken:
    """Someone else's record stands where ours was to go; ours is not in the log."""

    n: int
    """The number."""
    data: bytes
    """What stands there."""


class NumberedLog:
    """Objects `<prefix>/00000001`, `…2` and so on, without gaps when written.

    One object serves one writer or one reader: both move `next_number`.
    """

    def __init__(self, store: Store, prefix: str, *, next_number: int = 1, separator: str = "/") -> None:
        """Start at a number; nothing is read.

        Args:
            store: Where the log lives.
            prefix: What stands before the number.
            next_number: The first number that this object writes or reads.
            separator: Between prefix and number; `-` puts the logs of several
                writers into one folder, so that one listing shows them all.
        """
        self._store = store
        self._stem = f"{prefix}{separator}"
        self.next_number = next_number

    def key_of(self, n: int) -> str:
        """Spell the key of a record."""
        return f"{self._stem}{number_segment(n)}"

    def append(self, data: bytes) -> Appended | Taken:
        """Put the record at the next number, or say what stands there.

        `next_number` moves on in both cases: after Taken the caller knows the
        other record, and decides whether to append again or to stop.
        """
        n = self.next_number
        standing = self._store.create(self.key_of(n), data)
        self.next_number = n + 1
        return Appended(n) if standing is None else Taken(n, standing)

    def read(self, n: int) -> bytes | None:
        """Return one record, or None if it is not there (yet, or any more)."""
        return self._store.get(self.key_of(n))

    def read_next(self) -> Iterator[tuple[int, bytes]]:
        """Yield records from `next_number` on until one is missing."""
        while (data := self.read(self.next_number)) is not None:
            n = self.next_number
            self.next_number = n + 1
            yield n, data

    def seek_end(self) -> int:
        """Move `next_number` to the first free number and return it.

        Needs all records from the present `next_number` on to exist; takes
        about 2 log2(n) look-ups for n of them.
        """
        first_free = _bisect_free(self._exists, self.next_number)
        self.next_number = first_free
        return first_free

    def _exists(self, n: int) -> bool:
        return self._store.size_bytes_of(self.key_of(n)) is not None


def list_numbers(store: Store, prefix: str) -> list[int]:
    """List the numbers of a log `<prefix>/<n>` that may have lost its beginning."""
    start = len(prefix) + 1
    names = (stored.key[start:] for stored in store.list(prefix))
    return [int(name) for name in names if len(name) >= len(number_segment(0)) and name.isdecimal()]


def _bisect_free(exists: Callable[[int], bool], start: int) -> int:
    """Find the first number from `start` on that is free: gallop, then halve."""
    step = 1
    taken, probed = start - 1, start
    while exists(probed):
        taken, step = probed, step * 2
        probed = taken + step
    free = probed
    while free - taken > 1:
        middle = (taken + free) // 2
        if exists(middle):
            taken = middle
        else:
            free = middle
    return free
