"""Puts the bundle where workers find it."""

from __future__ import annotations

from gliderport_prefect.bundle.building import build_bundle
from gliderport_prefect.errors import StoreError
from gliderport_prefect.protocol.keys import CampaignKeys
from gliderport_prefect.store.seam import Store


def bundle_key(keys: CampaignKeys) -> str:
    """Return where the bundle of this installation is, once it is placed."""
    return keys.bundle(build_bundle().sha256)


def place_bundle(store: Store, keys: CampaignKeys) -> str:
    """Upload the bundle unless it is there already, and return its key."""
    bundle = build_bundle()
    key = keys.bundle(bundle.sha256)
    if store.size_bytes_of(key) is None and store.create(key, bundle.data) is not None:
        raise StoreError(f"{key} in {store.url} holds other bytes than its name says: delete it")
    return key
