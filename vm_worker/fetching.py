"""Inputs from web servers."""

from __future__ import annotations

import time
from http import HTTPStatus
from pathlib import Path

from gliderport_prefect.errors import StoreKeyMissing, StoreUnreachable

_TRIES = 4
_TIMEOUT_SECONDS = 60.0
_BLOCK_BYTES = 1 << 20
_WORTH_ANOTHER_TRY = {HTTPStatus.REQUEST_TIMEOUT, HTTPStatus.TOO_MANY_REQUESTS}


def is_web(source: str) -> bool:
    """Say whether it is the address of something on a web server."""
    return source.startswith(("https://", "http://"))


def fetch_url(url: str, target: Path) -> int:
    """Write what the server gives to the file and return its size.

    Raises:
        StoreKeyMissing: The server does not have it or does not give it.
        StoreUnreachable: It gave no answer after several tries.
    """
    for number in range(_TRIES - 1):
        try:
            return _fetch_once(url, target)
        except StoreUnreachable:
            time.sleep(2.0**number)
    return _fetch_once(url, target)


def _fetch_once(url: str, target: Path) -> int:
    # Half of the worker's start would be the import of these two.
    from http.client import HTTPException  # noqa: PLC0415
    from urllib import error, request  # noqa: PLC0415

    part = target.with_name(f".{target.name}.part")
    try:
        with request.urlopen(url, timeout=_TIMEOUT_SECONDS) as answer, part.open("wb") as file:  # noqa: S310 - http(s) only
            while block := answer.read(_BLOCK_BYTES):
                file.write(block)
        part.rename(target)
        return target.stat().st_size
    except error.HTTPError as failure:
        if failure.code >= HTTPStatus.INTERNAL_SERVER_ERROR or failure.code in _WORTH_ANOTHER_TRY:
            raise StoreUnreachable(f"the server answers {failure.code} {failure.reason}") from failure
        raise StoreKeyMissing(f"the server answers {failure.code} {failure.reason}") from failure
    except (error.URLError, HTTPException, TimeoutError, ConnectionError) as failure:
        raise StoreUnreachable(f"the server does not answer: {failure}") from failure
    finally:
        part.unlink(missing_ok=True)
