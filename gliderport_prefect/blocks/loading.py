"""Fetch a block from Prefect by its name, and say plainly why that did not work."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from prefect.blocks.core import Block, UnknownBlockType
from prefect.exceptions import PrefectHTTPStatusError
from prefect.settings import get_current_settings
from pydantic import ValidationError

from gliderport_prefect.errors import UserError
from gliderport_prefect.protocol.notation import unknown_key

if TYPE_CHECKING:
    from gliderport_prefect.blocks.opened import OpenedBlock

_KEY = "credentials"
_KINDS = {
    **dict.fromkeys(("aws-credentials", "minio-credentials", "s3-bucket"), ("prefect_aws", "amazon")),
    **dict.fromkeys(("gcp-credentials", "gcs-bucket"), ("prefect_gcp", "google")),
    **dict.fromkeys(("azure-blob-storage-credentials", "azure-blob-storage-container"), ("prefect_azure", "azure")),
}
"""Types of blocks: the package that has them, and the module here that reads them; imported when one is named."""


def open_block(reference: str) -> OpenedBlock:
    """Return what the block says.

    Args:
        reference: Type and name, such as `aws-credentials/lab`.

    Raises:
        UserError: There is no such block, it cannot be had, or it makes no sense.
    """
    slug, _, name = reference.partition("/")
    if not name:
        raise UserError(
            f"{reference!r} is not the type and the name of a block", key=_KEY, hint="for example aws-credentials/lab"
        )
    if slug not in _KINDS:
        hint = unknown_key(slug, _KINDS, key=_KEY).hint
        raise UserError(f"{slug!r} is no type of block that opens a bucket", key=_KEY, hint=hint)
    package, reader = _KINDS[slug]
    _import_package(package, slug)
    try:
        return import_module(f"gliderport_prefect.blocks.{reader}").open_block(_load(reference))
    except UserError as error:
        raise UserError(f"block {reference}: {error.message}", key=error.key, hint=error.hint) from error


def _import_package(package: str, slug: str) -> None:
    """Let the package register its blocks."""
    try:
        import_module(package)
    except ImportError as error:
        raise UserError(
            f"blocks of type {slug} need the package {package.replace('_', '-')}: {error}",
            key=_KEY,
            hint=f"pip install {package.replace('_', '-')}",
        ) from error


def _load(reference: str) -> Any:  # noqa: ANN401 - some block
    server = get_current_settings().api.url or "the local database (PREFECT_API_URL is not set)"
    try:
        # Prefect calls hooks inside an event loop, where it would hand out a coroutine instead.
        load: Any = Block.load
        return load(reference, _sync=True)
    except ValidationError as error:
        # Its text shows the values; what is wrong with which field is enough.
        wrong = "; ".join(f"{'.'.join(map(str, each['loc']))}: {each['msg']}" for each in error.errors())
        raise UserError(f"it is not valid: {wrong}", key=_KEY) from None
    except UnknownBlockType as error:
        raise UserError(str(error), key=_KEY) from error
    except ValueError as error:
        raise UserError(
            f"there is none of that name in {server}", key=_KEY, hint="`prefect block ls` shows the blocks there are"
        ) from error
    except PrefectHTTPStatusError as error:
        raise UserError(
            f"{server} refuses to hand it out ({error.response.status_code})", key=_KEY, hint="`prefect config view`"
        ) from error
    except Exception as error:
        raise UserError(
            f"Prefect cannot be asked at {server} ({type(error).__name__}: {error})",
            key=_KEY,
            hint="set PREFECT_API_URL, or log in to Prefect",
        ) from error
