"""What holds when one launcher follows another: nothing that finished is run again, and only the newest acts."""

from __future__ import annotations

from dataclasses import replace

import pytest

from gliderport_prefect.campaign.replay import replay, write_snapshot
from gliderport_prefect.campaign.requests import append_request
from gliderport_prefect.campaign.specs import SpecReader
from gliderport_prefect.errors import ProtocolError, StoreUnreachable, Superseded
from gliderport_prefect.lifecycle.launcher import take_over
from gliderport_prefect.protocol.outcomes import JobState, Outcome
from gliderport_prefect.protocol.records import (
    Assignment,
    AttemptReport,
    InboxRecord,
    LauncherPolicy,
    LedgerRecord,
    RequestKind,
    Usage,
)
from tests.campaign_rig import KEYS, Bucket, job_specs
from tests.property.audit import compare_states
from tests.property.world import Fault, FaultyStore
from tests.simulated import SimulatedWorker, run_on, succeed


@pytest.fixture
def bucket() -> Bucket:
    made = Bucket()
    made.begin(LauncherPolicy(dead_seconds=100))
    return made


@pytest.fixture
def worker(bucket: Bucket) -> SimulatedWorker:
    made = SimulatedWorker(bucket.runtime())
    made.say_hello()
    return made


def test_a_new_launcher_goes_on_where_the_last_one_stopped(bucket: Bucket, worker: SimulatedWorker) -> None:
    bucket.submit(job_specs(6))
    for _ in range(8):
        launcher = bucket.take_over()
        launcher.settle({})
        launcher.hand_out()
        worker.turn()
    last = bucket.take_over()
    last.settle({})
    assert [last.state.jobs.state(job) for job in range(6)] == [JobState.SUCCEEDED] * 6
    assert [last.state.jobs.settled(job) for job in range(6)] == [1] * 6


@pytest.mark.usefixtures("worker")
def test_what_lies_in_an_inbox_is_not_handed_out_again(bucket: Bucket) -> None:
    bucket.submit(job_specs(2))
    first = bucket.take_over()
    first.settle({})
    assert first.hand_out() == 2
    assert bucket.take_over().hand_out() == 0


def test_what_was_handed_back_is_handed_out_again(bucket: Bucket, worker: SimulatedWorker) -> None:
    bucket.submit(job_specs(2))
    first = bucket.take_over()
    first.settle({})
    first.hand_out()
    worker.read_inbox()
    worker.drain("leaving")
    first.settle({})
    assert bucket.take_over().state.jobs.counts()[JobState.QUEUED] == 2


def test_a_launcher_that_takes_over_knows_which_attempts_run(bucket: Bucket, worker: SimulatedWorker) -> None:
    bucket.submit(job_specs(1))
    first = bucket.take_over()
    worker.run = run_on
    first.settle({})
    first.hand_out()
    worker.turn()
    first.settle({})
    second = bucket.take_over()
    second.settle({worker.session: "gone"})
    assert second.state.jobs.losses(0) == 1


def test_an_older_launcher_stops_at_its_next_ledger_record(bucket: Bucket, worker: SimulatedWorker) -> None:
    bucket.submit(job_specs(1))
    first = bucket.take_over()
    first.settle({})
    first.hand_out()
    worker.turn()
    bucket.take_over()
    with pytest.raises(Superseded, match="epoch 2 now; this one had 1"):
        first.settle({})


@pytest.mark.usefixtures("worker")
def test_an_older_launcher_stops_at_its_next_inbox_record(bucket: Bucket) -> None:
    bucket.submit(job_specs(1))
    first = bucket.take_over()
    first.settle({})
    bucket.take_over()
    with pytest.raises(Superseded):
        first.hand_out()


def test_an_older_launcher_does_not_eat_the_signs_of_life_that_the_newer_waits_for(
    bucket: Bucket, worker: SimulatedWorker
) -> None:
    first = bucket.take_over()
    first.settle({})
    second = bucket.take_over()
    worker.write()
    with pytest.raises(Superseded):
        first.settle({})
    bucket.time.advance(99)
    second.settle({})
    bucket.listen(second, 198)
    assert worker.session in second.state.sessions


def test_a_launcher_that_claimed_earlier_and_woke_later_stops(bucket: Bucket) -> None:
    sleepy = FaultyStore(bucket.store)
    sleepy.arm(Fault(3, "meanwhile", lambda: bucket.take_over() and None))
    with pytest.raises(Superseded):
        bucket.take_over(sleepy)


def test_a_worker_ignores_a_launcher_of_a_lower_epoch(bucket: Bucket, worker: SimulatedWorker) -> None:
    runtime = bucket.runtime()
    inbox = KEYS.inbox(worker.session)
    runtime.append(inbox, InboxRecord(2, "b"), number=1)
    runtime.append(inbox, InboxRecord(1, "a", dead=True), number=2)
    worker.read_inbox()
    assert worker.ended is None


@pytest.mark.parametrize("kind", ["crash", "lost"])
@pytest.mark.parametrize("at", range(12))
def test_a_take_over_that_dies_at_any_request_hinders_nobody(
    bucket: Bucket, worker: SimulatedWorker, kind: str, at: int
) -> None:
    bucket.submit(job_specs(2))
    first = bucket.take_over()
    first.settle({})
    first.hand_out()
    dying = FaultyStore(bucket.store)
    dying.arm(Fault(at, kind))
    with pytest.raises(StoreUnreachable):
        bucket.take_over(dying).settle({})
    worker.turn()
    last = bucket.take_over()
    last.settle({})
    assert last.state.jobs.counts()[JobState.SUCCEEDED] == 2


def test_specs_that_come_while_a_launcher_replays_are_known_when_the_ledger_names_them(
    bucket: Bucket, worker: SimulatedWorker
) -> None:
    first = bucket.take_over()

    def meanwhile() -> None:
        bucket.submit(job_specs(1))
        append_request(bucket.runtime(), RequestKind.SUBMITTED)
        first.follow_requests()
        first.settle({})
        first.hand_out()
        worker.turn()
        first.settle({})

    store = FaultyStore(bucket.store)
    store.arm(Fault(5, "meanwhile", meanwhile))
    second = bucket.take_over(store)
    assert second.state.jobs.counts()[JobState.SUCCEEDED] == 1


def test_a_ledger_that_cannot_be_read_stops_everybody_and_says_where(bucket: Bucket) -> None:
    bucket.store.create(f"{KEYS.ledger}/00000001", b"not ours")
    with pytest.raises(ProtocolError, match="ledger/00000001"):
        bucket.take_over()


# --- snapshots --------------------------------------------------------------------------------------------------


def lively(bucket: Bucket, worker: SimulatedWorker, *, snapshot_at: int) -> None:
    """Let all kinds of things happen, with a snapshot after the given step."""
    bucket.submit(job_specs(9, retries=1))
    launcher = bucket.take_over()
    outcomes = [Outcome.SUCCEEDED, Outcome.FAILED, Outcome.PREEMPTED, Outcome.FAILED]
    for step in range(6):
        launcher.follow_requests()
        launcher.settle({worker.session: "gone"} if step == 4 else {})
        launcher.hand_out()
        if step == snapshot_at:
            write_snapshot(launcher.runtime, launcher.state)
        worker.run = run_on
        worker.turn()
        worker.finish(outcomes[step % 4], most=1)
        if step == 3:
            append_request(bucket.runtime(), RequestKind.CANCEL)
        if step == 4:
            append_request(bucket.runtime(), RequestKind.RETRY)


@pytest.mark.parametrize("snapshot_at", range(6))
def test_a_replay_from_a_snapshot_is_that_of_the_whole_ledger(
    bucket: Bucket, worker: SimulatedWorker, snapshot_at: int
) -> None:
    lively(bucket, worker, snapshot_at=snapshot_at)
    runtime = bucket.runtime()
    short = replay(runtime)
    assert short.snapshot_number > 0
    runtime.store.delete([stored.key for stored in runtime.store.list(KEYS.snapshots)])
    assert compare_states("the short cut", short, expected=replay(runtime)) == []


def test_a_job_that_lay_in_an_inbox_at_a_snapshot_is_not_lost_with_its_worker(
    bucket: Bucket, worker: SimulatedWorker
) -> None:
    bucket.submit(job_specs(1))
    launcher = bucket.take_over()
    launcher.settle({})
    launcher.hand_out()
    write_snapshot(launcher.runtime, launcher.state)
    launcher.settle({worker.session: "gone"})
    assert bucket.take_over().state.jobs.state(0) is JobState.QUEUED


def test_a_snapshot_that_cannot_be_read_is_passed_over(bucket: Bucket, worker: SimulatedWorker) -> None:
    lively(bucket, worker, snapshot_at=2)
    expected = replay(bucket.runtime())
    for data in (b"", b"[]", b'{"jobs": {}}', b'{"jobs": {"states": "!"}}', b"\xff"):
        bucket.store.delete([KEYS.snapshot(99)])
        bucket.store.create(KEYS.snapshot(99), data)
        assert compare_states("the reader", replay(bucket.runtime()), expected=expected) == []


def test_only_the_newest_two_snapshots_are_kept(bucket: Bucket) -> None:
    launcher = bucket.take_over()
    for _ in range(4):
        launcher.write_ledger(LedgerRecord(launcher.epoch, ""))
        write_snapshot(launcher.runtime, launcher.state)
    assert [stored.key for stored in bucket.store.list(KEYS.snapshots)] == [KEYS.snapshot(4), KEYS.snapshot(5)]


# --- inboxes ----------------------------------------------------------------------------------------------------


def succeed_slowly(assignment: Assignment) -> AttemptReport:
    """Take so long that few jobs are handed out at a time."""
    return replace(succeed(assignment), usage=Usage(wall_seconds=60))


def test_inboxes_are_pruned_but_never_of_their_newest_record(bucket: Bucket, worker: SimulatedWorker) -> None:
    bucket.submit(job_specs(30))
    launcher = bucket.take_over()
    worker.run = succeed_slowly
    for _ in range(40):
        launcher.settle({})
        launcher.hand_out()
        worker.turn()
    numbers = [int(stored.key[-8:]) for stored in bucket.store.list(KEYS.inbox(worker.session))]
    assert numbers[0] > 10
    assert numbers[-1] == launcher.state.sessions[worker.session].next_inbox - 1
    assert len(numbers) < 5


def test_an_inbox_record_stays_as_long_as_something_of_it_runs(bucket: Bucket, worker: SimulatedWorker) -> None:
    bucket.submit(job_specs(20))
    launcher = bucket.take_over()
    launcher.settle({})
    launcher.hand_out()
    worker.run = lambda assignment: None if assignment.job == 0 else succeed_slowly(assignment)
    for _ in range(30):
        worker.turn()
        launcher.settle({})
        launcher.hand_out()
    assert launcher.state.jobs.counts()[JobState.RUNNING] == 1
    assert bucket.take_over().state.jobs.state(0) is JobState.RUNNING
    assert bucket.store.list(KEYS.inbox(worker.session))[0].key.endswith("00000001")


def test_an_inbox_record_that_was_not_read_stays(bucket: Bucket, worker: SimulatedWorker) -> None:
    bucket.submit(job_specs(1))
    launcher = bucket.take_over()
    launcher.settle({})
    launcher.hand_out()
    append_request(bucket.runtime(), RequestKind.CANCEL)
    launcher.follow_requests()
    SimulatedWorker(bucket.runtime(), "worker-0002").say_hello()
    launcher.settle({})
    worker.turn()
    assert worker.read == 2


def test_who_takes_over_after_a_known_epoch_gives_way_to_who_came_first(bucket: Bucket) -> None:
    bucket.submit(job_specs(1))
    driving = bucket.take_over()
    runtime = bucket.runtime()
    with pytest.raises(Superseded, match="somebody else has just begun to drive"):
        take_over(runtime, SpecReader(runtime.store, KEYS).spec_of, after=driving.epoch - 1)
    driving.write_ledger(LedgerRecord(driving.epoch, ""))
    assert take_over(runtime, SpecReader(runtime.store, KEYS).spec_of, after=driving.epoch).epoch == driving.epoch + 1


def test_a_campaign_is_torn_down_until_somebody_takes_it_over(bucket: Bucket) -> None:
    bucket.submit(job_specs(1))
    launcher = bucket.take_over()
    launcher.write_ledger(LedgerRecord(launcher.epoch, "", torn_down=True))
    write_snapshot(bucket.runtime(), launcher.state)
    assert replay(bucket.runtime()).is_torn_down
    bucket.take_over()
    assert not replay(bucket.runtime()).is_torn_down
