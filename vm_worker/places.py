"""Where a URI or a folder outside of the runtime bucket is: a store and what stands before each key."""

from __future__ import annotations

import threading
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote

from gliderport_prefect.errors import UserError
from gliderport_prefect.store.opening import open_store
from gliderport_prefect.store.retrying import Patience
from gliderport_prefect.store.seam import Store

_FILE = "file://"


@dataclass(frozen=True)
class Place:
    """A store and a prefix in it."""

    store: Store
    """Where."""
    prefix: str
    """Stands before each key, without a closing slash; may be empty."""

    def key(self, path: str) -> str:
        """Return the key of something below."""
        return f"{self.prefix}/{path}" if self.prefix else path


def local_path(source: str) -> Path | None:
    """Return the path that a `file://` URI or an absolute path means; none for everything else."""
    if source.startswith(_FILE):
        return Path(unquote(source.removeprefix(_FILE).removeprefix("localhost")))
    return Path(source) if source.startswith("/") else None


class Places:
    """Opens each store once."""

    def __init__(self, runtime: Store, *, patience_seconds: float) -> None:
        self._runtime = runtime
        self._patience = Patience(outage_s=patience_seconds)
        self._lock = threading.Lock()
        self._opened: dict[str, Store] = {}

    def locate(self, uri: str) -> Place:
        """Return where the URI of a bucket, or below one, is.

        Raises:
            UserError: It is no such URI.
            StoreError: The store cannot be opened.
        """
        within = uri.removeprefix(f"{self._runtime.url}/")
        if within != uri:
            return Place(self._runtime, within.rstrip("/"))
        path = local_path(uri)
        if path is not None:
            return Place(self._open(str(path)), "")
        scheme, found, rest = uri.partition("://")
        bucket, _, key = rest.partition("/")
        if not found or not bucket:
            raise UserError(f"{uri} is no URI of a bucket and no absolute path")
        return Place(self._open(f"{scheme}://{bucket}"), key.rstrip("/"))

    def _open(self, root: str) -> Store:
        with self._lock:
            if root not in self._opened:
                self._opened[root] = open_store(root, patience=self._patience, makes_root=True)
            return self._opened[root]
