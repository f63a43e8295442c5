"""How often a worker speaks when it has nothing to say."""

from __future__ import annotations

import threading

from gliderport_prefect.protocol.ids import AttemptId, CampaignId, JobNumber, SessionId
from gliderport_prefect.protocol.keys import CampaignKeys
from gliderport_prefect.protocol.records import AttemptRef
from gliderport_prefect.store import open_store
from tests.waiting import wait_until
from vm_worker.health import StoreHealth
from vm_worker.news import NewsDesk
from vm_worker.outbox import Outbox, OutboxPlace

KEYS = CampaignKeys(CampaignId("storm"))


def test_a_worker_with_jobs_speaks_more_often_than_one_without() -> None:
    store = open_store("memory://")
    desks = {"busy": NewsDesk(), "idle": NewsDesk()}
    desks["busy"].tell_started(AttemptRef(JobNumber(0), AttemptId("1.1")), queued=0)
    desks["busy"].take()  # told already
    outboxes = {
        name: Outbox(
            OutboxPlace(store, KEYS, SessionId(f"{name}.aa")), desk, health=StoreHealth(60), heartbeat_seconds=0.05
        )
        for name, desk in desks.items()
    }

    def count(name: str) -> int:
        return sum(KEYS.parse_outbox(stored.key)[0] == f"{name}.aa" for stored in store.list(KEYS.outbox))

    for outbox in outboxes.values():
        threading.Thread(target=outbox.run, daemon=True).start()
    wait_until(lambda: count("idle") >= 10, "the idle worker has spoken ten times")
    assert count("busy") >= 13
    for outbox in outboxes.values():
        assert outbox.close("the end", timeout_seconds=30)


def test_a_worker_has_jobs_while_some_wait_or_run() -> None:
    desk, ref = NewsDesk(), AttemptRef(JobNumber(0), AttemptId("1.1"))
    assert not desk.has_jobs
    desk.tell_read(1, queued=1)
    assert desk.has_jobs
    desk.tell_started(ref, queued=0)
    assert desk.has_jobs
    desk.take()
    assert desk.has_jobs
