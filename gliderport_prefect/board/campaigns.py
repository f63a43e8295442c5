"""The campaigns of a bucket."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gliderport_prefect.protocol import codec
from gliderport_prefect.protocol.ids import CampaignId
from gliderport_prefect.protocol.keys import CAMPAIGNS, CampaignKeys
from gliderport_prefect.protocol.records import Campaign

if TYPE_CHECKING:
    from gliderport_prefect.store import Store


def list_campaigns(store: Store) -> list[Campaign]:
    """Return the campaigns of the bucket, the one begun last first.

    The store lists objects, not folders: a bucket of many and large campaigns takes its time.
    """
    keys = {stored.key for stored in store.list(CAMPAIGNS)}
    ids = sorted({CampaignId(key.split("/")[1]) for key in keys if key.count("/") > 1})
    found = (_read(store, CampaignKeys(each)) for each in ids if CampaignKeys(each).identity in keys)
    return sorted((each for each in found if each is not None), key=lambda each: each.created_at, reverse=True)


def _read(store: Store, keys: CampaignKeys) -> Campaign | None:
    data = store.get(keys.identity)
    return None if data is None else codec.decode(Campaign, data, where=keys.identity)
