"""The first objects of a campaign: its place in the bucket's index, then who it is."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gliderport_prefect.protocol import codec
from gliderport_prefect.protocol.ids import CampaignId
from gliderport_prefect.protocol.keys import INDEX, CampaignKeys, index_key
from gliderport_prefect.protocol.records import Campaign

if TYPE_CHECKING:
    from gliderport_prefect.campaign.runtime import Runtime
    from gliderport_prefect.store import Store


def write_identity(runtime: Runtime, campaign: Campaign) -> Campaign | None:
    """Begin the campaign, or return the identity with which it has begun before.

    The index comes first: a campaign that is in it and has no identity never began.
    """
    runtime.create(index_key(campaign.campaign), campaign)
    return runtime.create(runtime.keys.identity, campaign)


def list_campaigns(store: Store) -> list[Campaign]:
    """Return the campaigns of the bucket, the one begun last first."""
    ids = [CampaignId(stored.key.rpartition("/")[2]) for stored in store.list(INDEX)]
    found = (_read(store, CampaignKeys(each)) for each in ids)
    return sorted((each for each in found if each is not None), key=lambda each: each.created_at, reverse=True)


def _read(store: Store, keys: CampaignKeys) -> Campaign | None:
    data = store.get(keys.identity)
    return None if data is None else codec.decode(Campaign, data, where=keys.identity)
