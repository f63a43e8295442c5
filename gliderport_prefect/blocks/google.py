"""Blocks of prefect-gcp as variables: `GcpCredentials`, `GcsBucket`. The package need not be installed."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

from gliderport_prefect.blocks.opened import OpenedBlock, join_url

_OTHERS: dict[str, str | None] = dict.fromkeys(
    (
        *("GOOGLE_SERVICE_ACCOUNT", "GOOGLE_SERVICE_ACCOUNT_PATH", "SERVICE_ACCOUNT", "GOOGLE_SERVICE_ACCOUNT_KEY"),
        *("GOOGLE_BEARER_TOKEN", "GOOGLE_APPLICATION_CREDENTIALS"),
    )
)


def open_block(block: Any) -> OpenedBlock:  # noqa: ANN401 - of a package that may not be there
    """Return the variables of the service account that the block has, and the bucket if it is one."""
    inner = getattr(block, "gcp_credentials", None)
    if inner is None:
        return _open_credentials(block)
    return replace(_open_credentials(inner), bucket=join_url("gs", block.bucket, folder=block.bucket_folder))


def _open_credentials(block: Any) -> OpenedBlock:  # noqa: ANN401 - the same
    """Return the variables of a service account; a block without one leaves what is there."""
    if block.service_account_info is not None:
        content = json.dumps(block.service_account_info.get_secret_value())
        return OpenedBlock({**_OTHERS, "GOOGLE_SERVICE_ACCOUNT_KEY": content})
    if block.service_account_file is not None:
        return OpenedBlock({**_OTHERS, "GOOGLE_APPLICATION_CREDENTIALS": str(block.service_account_file)})
    return OpenedBlock()
