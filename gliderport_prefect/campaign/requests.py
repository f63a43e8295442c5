"""What people ask a running or resting campaign for: one numbered log that whoever drives it reads."""

from __future__ import annotations

import getpass
import socket
from typing import TYPE_CHECKING

from gliderport_prefect.campaign.replay import read_log
from gliderport_prefect.protocol.records import LedgerRecord, Request, RequestKind, Span, timestamp
from gliderport_prefect.store import list_numbers

if TYPE_CHECKING:
    from collections.abc import Iterable

    from gliderport_prefect.campaign.runtime import Runtime


def append_request(
    runtime: Runtime, kind: RequestKind, *, jobs: Iterable[Span] = (), budget: float | None = None
) -> int:
    """Ask whoever drives the campaign, now or later, for something, and return the request's number.

    Args:
        runtime: The campaign.
        kind: What is asked for.
        jobs: The jobs that it is about; all that it can apply to when empty.
        budget: US dollars that the campaign may cost, of a request about that.
    """
    request = Request(
        kind=kind,
        token=runtime.token(),
        requested_at=timestamp(runtime.clock.wall()),
        requested_by=f"{getpass.getuser()}@{socket.gethostname()}",
        jobs=tuple(jobs),
        budget=budget,
    )
    number = max(list_numbers(runtime.store, runtime.keys.requests), default=0) + 1
    while runtime.append(runtime.keys.requests, request, number=number) is not None:
        number += 1
    return number


def is_answered(runtime: Runtime, number: int, *, since: int) -> bool:
    """Say whether a launcher has acted on the request.

    Args:
        runtime: The campaign.
        number: Number of the request.
        since: Number of the newest ledger record before the request was made.
    """
    records = read_log(runtime, LedgerRecord, log=runtime.keys.ledger, start=since + 1)
    return any(record.requests_read >= number for _, record in records)
