"""A campaign's place in the runtime bucket: the store, the keys, and records by kind."""

from __future__ import annotations

import secrets
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypeVar

from gliderport_prefect.protocol import codec
from gliderport_prefect.protocol.keys import CampaignKeys, number_segment

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from gliderport_prefect.protocol.ids import CampaignId
    from gliderport_prefect.store import Store

Record = TypeVar("Record")
Item = TypeVar("Item")
Result = TypeVar("Result")

_PARALLEL = 16
"""Requests under way at once."""


@dataclass(frozen=True)
class Clock:
    """Time, as it enters at the rim; tests bring their own."""

    monotonic: Callable[[], float] = time.monotonic
    """Seconds that never go back."""
    wall: Callable[[], float] = time.time
    """Seconds since 1970, for what people read."""
    sleep: Callable[[float], None] = time.sleep
    """Waits that many seconds."""


def random_token() -> str:
    """Return what makes a record its writer's own."""
    return secrets.token_hex(8)


@dataclass(frozen=True)
class Runtime:
    """One campaign in one runtime bucket."""

    store: Store
    """The bucket."""
    keys: CampaignKeys
    """Where things are in it."""
    clock: Clock = field(default_factory=Clock)
    """Time."""
    token: Callable[[], str] = random_token
    """Makes a new token."""

    @property
    def campaign(self) -> CampaignId:
        """Id of the campaign."""
        return self.keys.campaign

    def read(self, kind: type[Record], key: str) -> Record | None:
        """Return the record under the key, or None when there is none.

        Raises:
            ProtocolError: It cannot be read.
        """
        data = self.store.get(key)
        return None if data is None else codec.decode(kind, data, where=key)

    def read_numbered(self, kind: type[Record], log: str, *, number: int) -> Record | None:
        """Return the record of that number of the log, or None when there is none."""
        return self.read(kind, f"{log}/{number_segment(number)}")

    def create(self, key: str, record: Record) -> Record | None:
        """Put the record where nothing is; return what stands there instead, or None when it is ours."""
        standing = self.store.create(key, codec.encode(record))
        return None if standing is None else codec.decode(type(record), standing, where=key)

    def append(self, log: str, record: Record, *, number: int) -> Record | None:
        """Put the record at the number of the log; return what stands there instead, or None when it is ours."""
        return self.create(f"{log}/{number_segment(number)}", record)

    def in_parallel(self, function: Callable[[Item], Result], items: Sequence[Item]) -> Iterable[Result]:
        """Apply the function to all items, several at once, and return the results in order."""
        if len(items) <= 1:
            return [function(item) for item in items]
        with ThreadPoolExecutor(min(_PARALLEL, len(items)), thread_name_prefix="bucket") as pool:
            return list(pool.map(function, items))
