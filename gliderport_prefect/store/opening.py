"""From a URL to a store.

/data/runs, ~/runs, file:///data/runs    a folder of this machine
memory://                                 this process's memory, empty
s3://bucket/prefix   (also s3a://)        S3 and everything that speaks it
gs://bucket/prefix   (also gcs://)        Google Cloud Storage
az://container/prefix (also abfs://)      Azure Blob Storage
"""

from __future__ import annotations

import stat
from pathlib import Path
from typing import TYPE_CHECKING, Protocol
from urllib.parse import unquote, urlsplit

from obstore.store import LocalStore, MemoryStore

from gliderport_prefect.errors import StoreAccessDenied, StoreNotFound, UserError
from gliderport_prefect.store.cloud import Root, open_azure, open_gcs, open_s3
from gliderport_prefect.store.naming import MAX_ROOT_BYTES, check_prefix
from gliderport_prefect.store.obstore_store import Clients, ObstoreStore
from gliderport_prefect.store.retrying import Patience, RetryingStore

if TYPE_CHECKING:
    from collections.abc import Mapping

    from gliderport_prefect.store.seam import Store

_SCHEMES = "a folder, file://, memory://, s3://, gs:// or az://"


def open_store(
    url: str | Path,
    options: Mapping[str, str] | None = None,
    *,
    patience: Patience | None = None,
    makes_root: bool = False,
) -> Store:
    """Open the store at a URL; a bucket is not contacted before its first use.

    Args:
        url: A folder's path or one of the URLs above. Never with a secret.
        options: Settings of the store, all strings: `endpoint`, `region`,
            `profile`, `access_key_id`, `secret_access_key`, `session_token`,
            `timeout`, `proxy_url`, `root_certificate` (a PEM file) and every
            other setting that obstore knows. What is not given comes from the
            environment (AWS_ENDPOINT_URL, AWS_REGION, AWS_ACCESS_KEY_ID …),
            then from `~/.aws` where boto3 is installed, then from the role of
            the machine.
        patience: How long an outage is sat out; default 5 s until the store
            has answered once, then 180 s.
        makes_root: Whether a missing folder is made. Buckets never are.

    Raises:
        UserError: If the URL or an option makes no sense.
        StoreNotFound: If the folder does not exist.
    """
    limits = patience or Patience()
    given = dict(options or {})
    text = str(url)
    scheme = text.partition("://")[0].lower() if "://" in text else ""
    if scheme == "memory":
        store = _open_memory(given)
    elif scheme in {"", "file"}:
        store = _open_folder(_find_folder(text), given, makes_root=makes_root)
    else:
        store = _open_bucket(text, given, patience=limits)
    return RetryingStore(store, limits)


class _Opener(Protocol):
    def __call__(self, root: Root, options: dict[str, str], *, patience: Patience) -> Clients: ...


def _open_memory(options: Mapping[str, str]) -> ObstoreStore:
    _refuse_options(options, "memory://")
    memory = MemoryStore()
    return ObstoreStore("memory://", Clients(memory, memory))


def _open_folder(folder: Path, options: Mapping[str, str], *, makes_root: bool) -> ObstoreStore:
    _refuse_options(options, str(folder))
    try:
        if makes_root:
            folder.mkdir(parents=True, exist_ok=True)
        folder_kind = folder.stat().st_mode
    except FileNotFoundError as error:
        raise StoreNotFound(f"there is no folder {folder}: create it or correct the path") from error
    except (FileExistsError, NotADirectoryError) as error:
        raise StoreNotFound(f"{folder} is a file, not a folder: correct the path") from error
    except PermissionError as error:
        raise StoreAccessDenied(f"the folder {folder} may not be used: check its owner and mode ({error})") from error
    if not stat.S_ISDIR(folder_kind):
        raise StoreNotFound(f"{folder} is a file, not a folder: correct the path")
    # No automatic clean-up of empty folders: it races with the creates of other processes.
    local = LocalStore(folder)
    return ObstoreStore(folder.as_uri(), Clients(local, local, is_folder=True))


def _find_folder(text: str) -> Path:
    if "://" not in text:
        if not text:
            raise UserError("the store's URL is empty", hint=f"Give {_SCHEMES}.")
        return Path(text).expanduser().absolute()
    parts = urlsplit(text)
    if parts.netloc not in {"", "localhost"} or not parts.path.startswith("/"):
        raise UserError(f"{text} is not an absolute path", hint="Write file:///folder, with three slashes.")
    return Path(unquote(parts.path))


def _open_bucket(text: str, options: dict[str, str], *, patience: Patience) -> ObstoreStore:
    openers: dict[str, _Opener] = {
        "s3": open_s3,
        "s3a": open_s3,
        "gs": open_gcs,
        "gcs": open_gcs,
        "az": open_azure,
        "azure": open_azure,
        "abfs": open_azure,
        "abfss": open_azure,
    }
    parts = urlsplit(text)
    opener = openers.get(parts.scheme)
    if opener is None:
        raise UserError(f"{parts.scheme}:// is no kind of store", hint=f"Give {_SCHEMES}.")
    root = _read_root(text)
    return ObstoreStore(root.url, opener(root, options, patience=patience))


def _read_root(text: str) -> Root:
    parts = urlsplit(text)
    if parts.query or parts.fragment or parts.password or (parts.username and parts.scheme not in {"abfs", "abfss"}):
        raise UserError(
            "a store's URL holds a bucket and a prefix only",
            hint="Give keys and settings as options or in the environment.",
        )
    bucket = parts.username or parts.hostname
    if not bucket:
        raise UserError(f"{text} names no bucket", hint=f"Write {parts.scheme}://bucket/prefix.")
    prefix = check_prefix(unquote(parts.path).strip("/"))
    if len(prefix.encode()) > MAX_ROOT_BYTES:
        raise UserError(f"the prefix in {text} has more than {MAX_ROOT_BYTES} bytes", hint="Choose a shorter one.")
    url = f"{parts.scheme}://{parts.netloc}/{prefix}".rstrip("/")
    return Root(url=url, bucket=bucket, prefix=prefix, account=parts.hostname if parts.username else None)


def _refuse_options(options: Mapping[str, str], url: str) -> None:
    if options:
        raise UserError(f"{url} takes no options", key=", ".join(sorted(options)), hint="Leave them out.")
