"""How often a worker may be started when nobody takes notice."""

from __future__ import annotations

import pytest

from gliderport_prefect.errors import UserError
from gliderport_prefect.protocol.ids import CampaignId, SessionId, WorkerName
from gliderport_prefect.protocol.keys import CampaignKeys
from gliderport_prefect.store import Store, open_store
from vm_worker.session import register

KEYS = CampaignKeys(CampaignId("storm"))
ONE, TWO = WorkerName("worker-0001"), WorkerName("worker-0002")


@pytest.fixture
def store() -> Store:
    return open_store("memory://")


def start(store: Store, times: int, *, worker: WorkerName = ONE) -> list[SessionId]:
    return [register(store, KEYS, worker=worker).id for _ in range(times)]


def notice(store: Store, session: SessionId) -> None:
    """Be a launcher that has told the session something."""
    store.create(f"{KEYS.inbox(session)}/00000001", b"{}")


def test_each_session_replaces_the_one_before(store: Store) -> None:
    first = register(store, KEYS, worker=ONE)
    second = register(store, KEYS, worker=ONE)
    assert (first.replaces, second.replaces) == (None, first.id)


def test_a_worker_that_is_started_over_and_over_unnoticed_ends_for_good(store: Store) -> None:
    start(store, 30)
    registered = len(store.list(KEYS.workers))
    with pytest.raises(UserError, match=r"worker-0001 was started 30 times in a row, and no launcher took notice"):
        register(store, KEYS, worker=ONE)
    assert len(store.list(KEYS.workers)) == registered
    assert register(store, KEYS, worker=TWO).replaces is None


def test_a_worker_whose_machines_are_taken_away_for_weeks_goes_on_while_a_launcher_listens(store: Store) -> None:
    for _ in range(10):
        notice(store, start(store, 30)[-1])
    start(store, 30)
    with pytest.raises(UserError, match="no launcher took notice"):
        start(store, 1)
