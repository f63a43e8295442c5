"""Objects and numbered logs over one seam; obstore stays inside this package."""

from gliderport_prefect.store.counting import CountingStore
from gliderport_prefect.store.log import Appended, NumberedLog, Taken, list_numbers
from gliderport_prefect.store.opening import open_store
from gliderport_prefect.store.probe import probe
from gliderport_prefect.store.retrying import Patience, RetryingStore
from gliderport_prefect.store.seam import Store, StoredObject
from gliderport_prefect.store.transfer import download_many, hash_file, upload_many

__all__ = [
    "Appended",
    "CountingStore",
    "NumberedLog",
    "Patience",
    "RetryingStore",
    "Store",
    "StoredObject",
    "Taken",
    "download_many",
    "hash_file",
    "list_numbers",
    "open_store",
    "probe",
    "upload_many",
]
