"""Blocks of prefect-azure as variables: `AzureBlobStorageCredentials`, `AzureBlobStorageContainer`.

The package need not be installed.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any
from urllib.parse import urlsplit

from gliderport_prefect.blocks.opened import OpenedBlock, join_url, plain
from gliderport_prefect.errors import UserError

_OTHERS: dict[str, str | None] = dict.fromkeys(
    (
        *("AZURE_STORAGE_ACCOUNT_KEY", "AZURE_STORAGE_ACCESS_KEY", "AZURE_STORAGE_MASTER_KEY"),
        *("AZURE_STORAGE_SAS_KEY", "AZURE_STORAGE_SAS_TOKEN", "AZURE_STORAGE_TOKEN"),
        *("AZURE_STORAGE_CLIENT_ID", "AZURE_STORAGE_CLIENT_SECRET", "AZURE_STORAGE_TENANT_ID"),
        *("AZURE_CLIENT_ID", "AZURE_CLIENT_SECRET", "AZURE_TENANT_ID", "AZURE_FEDERATED_TOKEN_FILE"),
        *("AZURE_STORAGE_ENDPOINT", "AZURE_ENDPOINT", "AZURE_STORAGE_USE_EMULATOR"),
    )
)
_USUAL_SUFFIX = "core.windows.net"


def open_block(block: Any) -> OpenedBlock:  # noqa: ANN401 - of a package that may not be there
    """Return the variables of the account that the block names, and the container if it is one."""
    inner = getattr(block, "credentials", None)
    if inner is None:
        return _open_credentials(block)
    url = join_url("az", block.container_name, folder=block.base_folder)
    return replace(_open_credentials(inner), bucket=url)


def _open_credentials(block: Any) -> OpenedBlock:  # noqa: ANN401 - the same
    """Return the variables of a storage account, by connection string or by URL."""
    if block.connection_string is not None:
        return OpenedBlock(_read_connection(plain(block.connection_string)))
    account = _read_account(str(block.account_url))
    if not block.client_id:
        return OpenedBlock(account)
    principal = {"AZURE_CLIENT_ID": block.client_id, "AZURE_TENANT_ID": block.tenant_id}
    return OpenedBlock({**_OTHERS, **account, **principal, "AZURE_CLIENT_SECRET": plain(block.client_secret)})


def _read_connection(text: str) -> dict[str, str | None]:
    """Return the variables for what Azure's portal calls a connection string."""
    parts = {name: value for name, _, value in (part.partition("=") for part in text.split(";"))}
    if parts.get("UseDevelopmentStorage", "").lower() == "true":
        return {**_OTHERS, "AZURE_STORAGE_USE_EMULATOR": "true"}
    name, suffix = parts.get("AccountName", ""), parts.get("EndpointSuffix") or _USUAL_SUFFIX
    endpoint = parts.get("BlobEndpoint") or f"{parts.get('DefaultEndpointsProtocol', 'https')}://{name}.blob.{suffix}"
    found = {**_OTHERS, **_read_account(endpoint)}
    if name:
        found["AZURE_STORAGE_ACCOUNT_NAME"] = name
    if parts.get("AccountKey"):
        return {**found, "AZURE_STORAGE_ACCOUNT_KEY": parts["AccountKey"]}
    if parts.get("SharedAccessSignature"):
        return {**found, "AZURE_STORAGE_SAS_TOKEN": parts["SharedAccessSignature"]}
    raise UserError("the block's connection string has neither a key nor a signature", key="credentials")


def _read_account(url: str) -> dict[str, str | None]:
    """Return the account that the URL names, and the endpoint where it is not Azure's usual one."""
    name, _, rest = (urlsplit(url).hostname or "").partition(".")
    account: dict[str, str | None] = {"AZURE_STORAGE_ACCOUNT_NAME": name}
    return account if rest == f"blob.{_USUAL_SUFFIX}" else {**account, "AZURE_STORAGE_ENDPOINT": url.rstrip("/")}
