"""Asks an instance's metadata service: one small answer per connection, no proxy, no redirect, little patience."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timezone
from types import MappingProxyType
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from gliderport_prefect.errors import UserError
from vm_worker.notices import MetadataTrouble

if TYPE_CHECKING:
    from http.client import HTTPConnection, HTTPResponse

DEFAULT_ADDRESS = "http://169.254.169.254"
"""Where all three clouds have it; a name would need DNS."""
_REACH_SECONDS = 1.0
_ANSWER_SECONDS = 2.0
_LONGEST_BYTES = 256 * 1024
_NO_HEADERS: Mapping[str, str] = MappingProxyType({})


@dataclass(frozen=True)
class Answer:
    """What the metadata service said."""

    status: int
    """HTTP status."""
    text: str
    """Body, without white space around it."""
    flavor: str
    """Its header Metadata-Flavor; empty when there is none."""
    at: datetime | None
    """What time it is there, by its header Date; none when it does not say."""


class MetadataService:
    """The metadata service at an address."""

    def __init__(self, address: str = DEFAULT_ADDRESS) -> None:
        """Take the address, without asking anything.

        Raises:
            UserError: It is no such address.
        """
        self._host, self._port = _split(address)

    def is_reachable(self) -> bool:
        """Say whether anybody listens there; costs one connection, and a second where packets vanish."""
        connection = self._connection(_REACH_SECONDS)
        try:
            connection.connect()
        except OSError:
            return False
        finally:
            connection.close()
        return True

    def ask(
        self,
        path: str,
        *,
        method: str = "GET",
        headers: Mapping[str, str] = _NO_HEADERS,
        patience_seconds: float = _ANSWER_SECONDS,
    ) -> Answer:
        """Return the answer to a request.

        Raises:
            MetadataTrouble: There was none.
        """
        from http.client import HTTPException  # noqa: PLC0415 - see _connection

        connection = self._connection(patience_seconds)
        try:
            connection.request(method, path, headers=dict(headers))
            return _read(connection.getresponse())
        except (OSError, HTTPException) as error:
            raise MetadataTrouble(f"{method} {path}: {error or type(error).__name__}") from error
        finally:
            connection.close()

    def _connection(self, patience_seconds: float) -> HTTPConnection:
        # A tenth of the worker's start would be this import.
        from http.client import HTTPConnection  # noqa: PLC0415

        return HTTPConnection(self._host, self._port, timeout=patience_seconds)


def read_date(text: str) -> datetime:
    """Return the moment that an HTTP date names.

    Raises:
        ValueError: It is none.
    """
    from email.utils import parsedate_to_datetime  # noqa: PLC0415 - see _connection

    try:
        moment = parsedate_to_datetime(text)
    except (TypeError, IndexError, OverflowError) as error:
        raise ValueError(f"{text!r} is no date") from error
    return moment if moment.tzinfo else moment.replace(tzinfo=timezone.utc)


def _split(address: str) -> tuple[str, int]:
    try:
        parts = urlsplit(address)
        host, port, rest = parts.hostname, parts.port or 80, (parts.path + parts.query + parts.fragment).strip("/")
    except ValueError:
        host, port, rest = None, 80, ""
    if host is None or not address.startswith("http://") or rest:
        raise UserError(
            f"{address!r} is no address of a metadata service",
            key="--metadata-address",
            hint=f"Write it like {DEFAULT_ADDRESS}, or leave it out.",
        )
    return host, port


def _read(response: HTTPResponse) -> Answer:
    return Answer(
        status=response.status,
        text=response.read(_LONGEST_BYTES).decode("utf-8", "replace").strip(),
        flavor=response.headers.get("Metadata-Flavor", ""),
        at=_read_time(response.headers.get("Date")),
    )


def _read_time(text: str | None) -> datetime | None:
    try:
        return None if text is None else read_date(text)
    except ValueError:
        return None
