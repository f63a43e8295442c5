"""One shift of a worker, from its orders to its exit code: builds what it works with, lets it work, clears up."""

from __future__ import annotations

import os
import time
from dataclasses import dataclass
from pathlib import Path

from gliderport_prefect.protocol.ids import CampaignId, WorkerName
from gliderport_prefect.protocol.keys import CampaignKeys
from vm_worker.cache import Cache
from vm_worker.checkpoint import Stock
from vm_worker.environment import JobEnvironment
from vm_worker.execution import Workshop
from vm_worker.high_water import HighWater
from vm_worker.inputs import Pantry
from vm_worker.logbook import Event, note
from vm_worker.machine import Given, measure_offer
from vm_worker.notices_watch import NoticeSource
from vm_worker.outbox import OutboxPlace
from vm_worker.places import Places
from vm_worker.process import Shell
from vm_worker.publication import Publisher
from vm_worker.runtime_bucket import open_runtime_bucket
from vm_worker.scratch import Scratch
from vm_worker.session import make_hello, read_campaign, register
from vm_worker.watch import OomCounter
from vm_worker.worker import Worker

# Inputs that are kept for other jobs may fill this part of the scratch space.
_CACHE_SHARE = 4


@dataclass(frozen=True)
class Orders:
    """What the command line says."""

    bucket: str
    """URL of the runtime bucket."""
    campaign: CampaignId
    """Whose jobs."""
    name: WorkerName
    """Who this is."""
    scratch: Path
    """Where on the local disk."""
    given: Given
    """What the machine is said to have."""
    notices: NoticeSource
    """Who would say that the machine is taken back."""
    linger_seconds: float
    """How long after the announced end of the machine the process may end by itself."""


def work(orders: Orders) -> int:
    """Run jobs until there is a reason to leave, and return the exit code."""
    began_at = time.time()
    keys = CampaignKeys(orders.campaign)
    bucket = open_runtime_bucket(orders.bucket)
    campaign = read_campaign(bucket.control, keys)
    environment = JobEnvironment.derive(os.environ, campaign=orders.campaign, worker=orders.name)
    shell = Shell(environment.path)
    session = register(bucket.control, keys, worker=orders.name)
    scratch = Scratch(orders.scratch, session.id)
    scratch.open()
    try:
        offer = measure_offer(orders.given, scratch.folder)
        patience = campaign.worker.store_patience_seconds
        transfer = bucket.make_patient(patience)
        places = Places(transfer, patience_seconds=patience)
        cache = Cache(scratch.cache, limit_bytes=offer.disk_bytes // _CACHE_SHARE)
        shop = Workshop(
            store=transfer,
            keys=keys,
            scratch=scratch,
            shell=shell,
            environment=environment,
            pantry=Pantry(transfer, keys, cache=cache, places=places),
            publisher=Publisher(transfer, keys, session.id, places),
            stock=Stock(transfer, keys, session.id),
            own_memory=HighWater(),
            oom=OomCounter(),
        )
        worker = Worker(shop, OutboxPlace(bucket.control, keys, session.id), policy=campaign.worker, offer=offer)
        worker.greet(make_hello(session, offer, started_at=began_at))
        worker.watch_for_notices(orders.notices)
        code = worker.run()
        note(Event.REQUESTS, "how often it asked the bucket for records", **bucket.control.counts)
    finally:
        scratch.close()
    worker.linger(orders.linger_seconds)
    return code
