"""The beginning of a session: the campaign's policy, the registration, the hello."""

from __future__ import annotations

import os
import platform
import secrets
import socket
import sys
import time
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass

from gliderport_prefect import __version__
from gliderport_prefect.errors import ProtocolError, UserError
from gliderport_prefect.protocol.codec import decode, encode
from gliderport_prefect.protocol.ids import SessionId, WorkerName, session_id, worker_of
from gliderport_prefect.protocol.keys import CampaignKeys
from gliderport_prefect.protocol.records import Campaign, Hello, Registration, timestamp
from gliderport_prefect.protocol.resources import Offer
from gliderport_prefect.protocol.version import PROTOCOL_VERSION
from gliderport_prefect.store.log import Appended, NumberedLog
from gliderport_prefect.store.seam import Store

_RANDOM_BYTES = 8
_MOST_UNNOTICED = 30
"""Sessions in a row of which no launcher took notice, after which nobody wants this worker any more."""


@dataclass(frozen=True)
class Session:
    """One process of a worker, as the launcher knows it."""

    id: SessionId
    """Its id."""
    replaces: SessionId | None
    """The session of the worker before it."""


def read_campaign(store: Store, keys: CampaignKeys) -> Campaign:
    """Return the campaign's identity and policy.

    Raises:
        UserError: There is no such campaign.
        ProtocolError: It speaks another protocol.
    """
    data = store.get(keys.identity)
    if data is None:
        raise UserError(f"there is no campaign {keys.campaign} in {store.url}", hint="Check --bucket and --campaign.")
    campaign = decode(Campaign, data, where=keys.identity)
    if campaign.protocol != PROTOCOL_VERSION:
        raise ProtocolError(
            f"campaign {keys.campaign} speaks protocol {campaign.protocol}, this worker {PROTOCOL_VERSION}: "
            "start the worker from the campaign's own bundle"
        )
    return campaign


def register(store: Store, keys: CampaignKeys, *, worker: WorkerName) -> Session:
    """Enter a new session into the worker's log and return it with the one before it.

    Raises:
        UserError: The worker was started again and again while no launcher listened.
    """
    own = session_id(worker, secrets.token_hex(_RANDOM_BYTES))
    record = encode(Registration(own, secrets.token_hex(_RANDOM_BYTES), timestamp(time.time())))
    log = NumberedLog(store, keys.registrations(worker))
    newest = deque((data for _, data in log.read_next()), maxlen=_MOST_UNNOTICED)
    earlier = [decode(Registration, each, where=keys.registrations(worker)).session for each in newest]
    _refuse_unnoticed(store, keys, earlier=earlier)
    while not isinstance(entry := log.append(record), Appended):
        earlier.append(decode(Registration, entry.data, where=keys.registrations(worker)).session)
    return Session(own, earlier[-1] if earlier else None)


def _refuse_unnoticed(store: Store, keys: CampaignKeys, *, earlier: Sequence[SessionId]) -> None:
    """Refuse to be started for ever, on one machine after the other, when nobody is there to end it.

    A launcher leaves a record in the inbox of every session that it has heard of, at the latest when that is over, and
    the newest one stays: however often its machines were taken away, a worker of a campaign that is driven is noticed.
    """
    if len(earlier) < _MOST_UNNOTICED or any(store.list(keys.inbox(each)) for each in reversed(earlier)):
        return
    raise UserError(
        f"worker {worker_of(earlier[-1])} was started {len(earlier)} times in a row, and no launcher took notice",
        hint="The campaign's next launcher starts other workers.",
    )


def make_hello(session: Session, offer: Offer, *, started_at: float) -> Hello:
    """Return the first words of the session."""
    return Hello(
        worker=worker_of(session.id),
        offer=offer,
        host=socket.gethostname(),
        pid=os.getpid(),
        started_at=timestamp(started_at),
        version=__version__,
        python=".".join(map(str, sys.version_info[:3])),
        platform=f"{platform.system()}-{platform.release()}-{platform.machine()}",
        replaces=session.replaces,
    )
