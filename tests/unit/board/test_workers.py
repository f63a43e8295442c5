"""Workers as the bucket and their site see them, in one row each."""

from __future__ import annotations

from pathlib import Path

import pytest

from gliderport_prefect.board.view import look
from gliderport_prefect.board.workers import WorkerRow, list_workers
from gliderport_prefect.campaign.replay import replay
from gliderport_prefect.protocol.ids import WorkerName
from gliderport_prefect.protocol.machines import Machine, Market, WorkerState
from gliderport_prefect.protocol.records import LedgerRecord, Sighting, timestamp
from tests.unit.board.stage import Stage, many

HOUR = 3600.0
MACHINE = Machine("sky-1", "aws/us-east-1/us-east-1b", "m6i.large", Market.SPOT, 0.5)


@pytest.fixture
def stage(tmp_path: Path) -> Stage:
    return Stage(tmp_path, many(2))


def sighting(state: WorkerState, at: float = 0, *, name: str = "worker-0001", reason: str = "") -> Sighting:
    return Sighting(WorkerName(name), state, timestamp(at * HOUR), MACHINE, reason=reason)


def rows(stage: Stage, at: float, *, with_gone: bool = False) -> list[WorkerRow]:
    """Return the rows at that hour, from the bucket alone."""
    return list_workers(look(stage.runtime), now=at * HOUR, with_gone=with_gone)


def test_a_worker_that_has_not_said_hello_starts_and_says_for_how_long(stage: Stage) -> None:
    stage.drive().note_workers([sighting(WorkerState.STARTING, reason="waits for a machine")])
    (row,) = rows(stage, 0.5)
    assert (row.worker, row.session, row.state, row.state_seconds) == ("worker-0001", None, "starting", 0.5 * HOUR)
    assert row.reason == "waits for a machine"


def test_a_machine_that_is_up_without_a_word_of_its_worker_is_still_a_start(stage: Stage) -> None:
    stage.drive().note_workers([sighting(WorkerState.RUNNING)])
    (row,) = rows(stage, 1)
    assert (row.state, row.reason) == ("starting", "its machine runs; it has not said hello yet")


def test_a_worker_that_works_says_where_it_runs_and_what_it_has_cost(stage: Stage) -> None:
    stage.add_worker()
    stage.turn()
    assert stage.launcher is not None
    stage.launcher.note_workers([sighting(WorkerState.RUNNING)])
    (row,) = rows(stage, 3)
    assert (row.state, row.cluster, row.infra, row.instance_type, row.market) == (
        "idle",
        "sky-1",
        "aws/us-east-1/us-east-1b",
        "m6i.large",
        "SPOT",
    )
    assert (row.price_per_hour, row.hours, row.cost, row.recoveries) == (0.5, 3.0, 1.5, 0)


def test_a_worker_whose_machine_was_lost_recovers(stage: Stage) -> None:
    stage.add_worker()
    stage.turn()
    assert stage.launcher is not None
    stage.launcher.note_workers([sighting(WorkerState.RUNNING)])
    stage.launcher.note_workers([sighting(WorkerState.RECOVERING, 1, reason="spot capacity was taken back")])
    (row,) = rows(stage, 3)
    assert (row.state, row.cost, row.reason) == ("recovering", 0.5, "spot capacity was taken back")


def test_a_worker_that_has_said_goodbye_leaves_until_its_site_says_that_it_is_gone(stage: Stage) -> None:
    worker = stage.add_worker()
    stage.turn()
    assert stage.launcher is not None
    stage.launcher.note_workers([sighting(WorkerState.RUNNING)])
    stage.launcher.settle({worker.session: "said goodbye"})
    assert [row.state for row in rows(stage, 1)] == ["leaving"]
    stage.launcher.note_workers([sighting(WorkerState.GONE, 2)])
    assert rows(stage, 3) == []
    (row,) = rows(stage, 3, with_gone=True)
    assert (row.state, row.reason, row.cost) == ("gone", "said goodbye", 1.0)


def test_the_cost_of_a_worker_is_told_once_however_many_sessions_it_had(stage: Stage) -> None:
    first = stage.add_worker()
    stage.turn()
    assert stage.launcher is not None
    stage.launcher.note_workers([sighting(WorkerState.RUNNING)])
    stage.launcher.settle({first.session: "was lost"})
    stage.add_worker()
    stage.turn()
    found = rows(stage, 2, with_gone=True)
    assert [(row.state, row.cost) for row in found] == [("gone", None), ("idle", 1.0)]


def test_a_worker_that_never_spoke_is_gone_with_its_sites_reason(stage: Stage) -> None:
    stage.drive().note_workers([sighting(WorkerState.GONE, reason="setup failed")])
    assert rows(stage, 1) == []
    (row,) = rows(stage, 1, with_gone=True)
    assert (row.state, row.reason) == ("gone", "setup failed")


def test_workers_that_somebody_ends_beside_their_site_are_gone_and_the_others_are_not(stage: Stage) -> None:
    launcher = stage.drive()
    launcher.note_workers([sighting(WorkerState.RUNNING), sighting(WorkerState.RUNNING, name="worker-0002")])
    launcher.note_gone([WorkerName("worker-0001"), WorkerName("nobody")], reason="was reaped")
    found = rows(stage, 1, with_gone=True)
    assert [(row.worker, row.state) for row in found] == [("worker-0001", "gone"), ("worker-0002", "starting")]
    assert found[0].reason == "was reaped"


def test_a_campaign_that_was_over_is_still_over_when_the_last_worker_is_seen_to_be_gone(stage: Stage) -> None:
    stage.add_worker()
    stage.play()
    assert stage.launcher is not None
    stage.launcher.write_ledger(LedgerRecord(stage.launcher.epoch, "", finished=True))
    later = stage.drive()
    later.note_workers([sighting(WorkerState.GONE)])
    assert replay(stage.runtime).finished
