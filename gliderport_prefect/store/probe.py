"""Whether a store keeps the one promise on which everything stands.

Some S3 servers and gateways accept `If-None-Match: *` and ignore it. On such
a bucket two launchers could both drive one campaign, so it is refused.
"""

from __future__ import annotations

import secrets
from contextlib import suppress
from typing import TYPE_CHECKING

from gliderport_prefect.errors import StoreError, StoreUnsafe

if TYPE_CHECKING:
    from gliderport_prefect.store.seam import Store

_FOLDER = "probe"


def probe(store: Store) -> None:
    """Create one key twice and raise StoreUnsafe unless the first content stays.

    Costs six requests. Being the first use of a store, it also tells a person
    within seconds that the endpoint, the bucket or the credentials are wrong,
    and that listing and deleting are allowed.

    Raises:
        StoreUnsafe: If create-only puts do not hold or are not seen at once.
        StoreError: If the store cannot be used at all.
    """
    key = f"{_FOLDER}/{secrets.token_hex(8)}"
    first, second = secrets.token_bytes(16), secrets.token_bytes(16)
    store.create(key, first)
    try:
        _check_promises(store, key, first=first, second=second)
    except StoreError:
        # What was found out matters more than the tidying up.
        with suppress(StoreError):
            store.delete([key])
        raise
    store.delete([key])


def _check_promises(store: Store, key: str, *, first: bytes, second: bytes) -> None:
    if store.create(key, second) != first:
        raise StoreUnsafe(f"{store.url} lets a create-only put overwrite an object: use another store")
    if store.get(key) != first or not any(stored.key == key for stored in store.list(_FOLDER)):
        raise StoreUnsafe(f"{store.url} does not show at once what was written: use another store")
