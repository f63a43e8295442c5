"""The campaign's bucket, once for records and once for files.

Both use the same connections. Loops that send records have a patience of their own and stay responsive; transfers
sit an outage out.
"""

from __future__ import annotations

from dataclasses import dataclass

from gliderport_prefect.store.counting import CountingStore
from gliderport_prefect.store.opening import open_store
from gliderport_prefect.store.retrying import Patience, RetryingStore
from gliderport_prefect.store.seam import Store

_CONTROL = Patience(outage_s=5.0, first_contact_s=30.0)


@dataclass(frozen=True)
class RuntimeBucket:
    """Two ways to the same objects."""

    control: CountingStore
    """For records: gives up soon. Its requests are counted, because there is a budget for them."""
    plain: Store
    """The same without any patience."""

    def make_patient(self, seconds: float) -> Store:
        """Return it for files: as patient as the campaign says."""
        return RetryingStore(self.plain, Patience(outage_s=seconds, first_contact_s=seconds))


def open_runtime_bucket(url: str) -> RuntimeBucket:
    """Open the bucket at the URL; nothing is asked of it yet."""
    opened = open_store(url, patience=_CONTROL)
    inner = opened.inner if isinstance(opened, RetryingStore) else opened
    return RuntimeBucket(CountingStore(RetryingStore(inner, _CONTROL)), inner)
