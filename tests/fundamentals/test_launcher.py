"""How a launcher hands out jobs and settles what comes back, beside workers that only pretend to run."""

from __future__ import annotations

import pytest

from gliderport_prefect.campaign.replay import write_snapshot
from gliderport_prefect.campaign.requests import append_request, is_answered
from gliderport_prefect.errors import StoreUnreachable
from gliderport_prefect.lifecycle.launcher import Launcher
from gliderport_prefect.protocol.ids import JobNumber, SessionId
from gliderport_prefect.protocol.machines import MarketPolicy
from gliderport_prefect.protocol.outcomes import JobState, Outcome
from gliderport_prefect.protocol.records import Assignment, AttemptRef, AttemptReport, LauncherPolicy, RequestKind, Span
from gliderport_prefect.protocol.resources import Offer, Resources
from tests.campaign_rig import KEYS, Bucket, job_specs
from tests.property.world import Fault, FaultyStore
from tests.simulated import SimulatedWorker, report_of, run_on

GIB = 2**30


@pytest.fixture
def bucket() -> Bucket:
    made = Bucket()
    made.begin(LauncherPolicy(dead_seconds=100, loss_limit=2, black_hole_limit=3))
    return made


def add_worker(
    bucket: Bucket,
    name: str = "worker-0001",
    *,
    cpus: float = 1,
    memory_bytes: int = GIB,
    preemptible: bool = False,
) -> SimulatedWorker:
    offer = Offer(cpus=cpus, memory_bytes=memory_bytes, disk_bytes=GIB, preemptible=preemptible)
    worker = SimulatedWorker(bucket.runtime(), name, offer)
    worker.say_hello()
    return worker


def fail(assignment: Assignment) -> AttemptReport:
    return report_of(assignment, Outcome.FAILED)


def turn(launcher: Launcher, *workers: SimulatedWorker) -> None:
    """Let the launcher settle and hand out, then each worker do what it was given."""
    launcher.follow_requests()
    launcher.settle({})
    launcher.hand_out()
    for worker in workers:
        worker.turn()


def ask(bucket: Bucket, kind: RequestKind, *jobs: int) -> int:
    return append_request(bucket.runtime(), kind, jobs=[Span(JobNumber(job), JobNumber(job)) for job in jobs])


def states(launcher: Launcher) -> list[JobState]:
    return [launcher.state.jobs.state(job) for job in range(len(launcher.state.jobs))]


# --- the way of a job -------------------------------------------------------------------------------------------


def test_every_job_is_run_once_and_succeeds(bucket: Bucket) -> None:
    bucket.submit(job_specs(20))
    worker, launcher = add_worker(bucket, cpus=4), bucket.take_over()
    for _ in range(10):
        turn(launcher, worker)
    assert states(launcher) == [JobState.SUCCEEDED] * 20
    assert [launcher.state.jobs.settled(job) for job in range(20)] == [1] * 20


def test_a_started_job_is_running_and_a_waiting_one_assigned(bucket: Bucket) -> None:
    bucket.submit(job_specs(3))
    worker, launcher = add_worker(bucket), bucket.take_over()
    worker.run = run_on
    turn(launcher)
    assert states(launcher) == [JobState.ASSIGNED, JobState.ASSIGNED, JobState.QUEUED]
    worker.turn()
    launcher.settle({})
    assert states(launcher) == [JobState.RUNNING, JobState.RUNNING, JobState.QUEUED]


def test_a_failed_job_is_tried_again_as_often_as_its_retries_allow(bucket: Bucket) -> None:
    bucket.submit(job_specs(1, retries=2))
    worker, launcher = add_worker(bucket), bucket.take_over()
    worker.run = fail
    for _ in range(6):
        turn(launcher, worker)
    assert states(launcher) == [JobState.FAILED]
    assert launcher.state.jobs.settled(0) == 3


def test_a_preempted_attempt_costs_the_job_nothing(bucket: Bucket) -> None:
    bucket.submit(job_specs(1, retries=0))
    worker, launcher = add_worker(bucket), bucket.take_over()
    worker.run = lambda assignment: report_of(assignment, Outcome.PREEMPTED)
    for _ in range(4):
        turn(launcher, worker)
    assert launcher.state.jobs.charged(0) == 0
    assert launcher.state.jobs.settled(0) >= 3
    assert not launcher.state.jobs.has_ended(0)


def test_a_job_out_of_memory_waits_for_a_worker_that_has_more(bucket: Bucket) -> None:
    bucket.submit(job_specs(1, retries=0, resources=Resources(memory_bytes=GIB)))
    small, launcher = add_worker(bucket, "worker-0001"), bucket.take_over()
    large = add_worker(bucket, "worker-0002", memory_bytes=4 * GIB)
    small.run = lambda assignment: report_of(assignment, Outcome.OUT_OF_MEMORY)
    had = list[int | None]()

    def run(assignment: Assignment) -> AttemptReport:
        had.append(assignment.memory_bytes)
        return report_of(assignment, Outcome.SUCCEEDED)

    large.run = run
    for _ in range(3):
        turn(launcher, small, large)
    assert (had, states(launcher)) == ([2 * GIB], [JobState.SUCCEEDED])


def test_attempts_of_a_job_are_chained_through_the_ledger(bucket: Bucket) -> None:
    bucket.submit(job_specs(1, retries=1))
    worker, launcher = add_worker(bucket), bucket.take_over()
    worker.run = fail
    for _ in range(4):
        turn(launcher, worker)
    newest = launcher.state.jobs.last_record(0)
    (second,) = bucket.ledger()[newest - 1].settled
    (first,) = bucket.ledger()[second.previous - 1].settled
    assert (first.previous, first.report.attempt, second.report.attempt) == (0, "1.1", "2.1")


# --- lost workers -----------------------------------------------------------------------------------------------


def test_a_silent_session_is_lost_and_its_jobs_go_elsewhere_at_once(bucket: Bucket) -> None:
    bucket.submit(job_specs(2))
    lost, launcher = add_worker(bucket), bucket.take_over()
    turn(launcher)
    bucket.listen(launcher, 99)
    other = add_worker(bucket, "worker-0002")
    assert lost.session in launcher.state.sessions
    bucket.listen(launcher, 2)
    launcher.hand_out()
    other.turn()
    assert "silent for more than 100 s" in launcher.state.ended_sessions[lost.session]
    launcher.settle({})
    assert states(launcher) == [JobState.SUCCEEDED] * 2


def test_a_session_without_jobs_may_be_silent_for_twice_as_long(bucket: Bucket) -> None:
    worker, launcher = add_worker(bucket), bucket.take_over()
    launcher.settle({})
    bucket.listen(launcher, 199)
    assert worker.session in launcher.state.sessions
    bucket.listen(launcher, 2)
    assert "silent for more than 200 s" in launcher.state.ended_sessions[worker.session]


def test_a_heartbeat_keeps_a_session_alive(bucket: Bucket) -> None:
    bucket.submit(job_specs(1))
    worker, launcher = add_worker(bucket), bucket.take_over()
    worker.run = run_on
    turn(launcher, worker)
    for _ in range(5):
        bucket.listen(launcher, 60)
        worker.write()
    launcher.settle({})
    assert worker.session in launcher.state.sessions


@pytest.mark.parametrize("stalled", [30, 3600])
def test_nobody_is_lost_because_the_launcher_did_not_listen(bucket: Bucket, stalled: float) -> None:
    bucket.submit(job_specs(1))
    worker, launcher = add_worker(bucket), bucket.take_over()
    worker.run = run_on
    turn(launcher, worker)
    bucket.listen(launcher, 60)
    bucket.time.advance(stalled)
    bucket.listen(launcher, 30)
    assert worker.session in launcher.state.sessions


def test_a_launcher_that_always_looks_late_still_notices_who_is_lost(bucket: Bucket) -> None:
    bucket.submit(job_specs(1))
    worker, launcher = add_worker(bucket), bucket.take_over()
    turn(launcher, worker)
    for _ in range(50):
        bucket.time.advance(60)
        launcher.settle({})
    assert worker.session in launcher.state.ended_sessions


def test_nobody_is_lost_because_the_bucket_takes_no_records(bucket: Bucket) -> None:
    bucket.submit(job_specs(1))
    full = FaultyStore(bucket.store)
    worker, launcher = add_worker(bucket), bucket.take_over(full)
    worker.run = run_on
    turn(launcher, worker)
    launcher.settle({})
    # Whoever writes waits for half an hour; reading works all the time.
    full.on_create = lambda _key, _data: bucket.time.advance(1800)
    bucket.listen(launcher, 120)
    assert worker.session in launcher.state.sessions
    full.on_create = lambda _key, _data: None
    bucket.listen(launcher, 120)
    assert worker.session in launcher.state.ended_sessions


def test_a_session_that_should_have_spoken_gets_no_jobs_until_it_does(bucket: Bucket) -> None:
    worker, launcher = add_worker(bucket), bucket.take_over()
    launcher.settle({})
    bucket.listen(launcher, 101)
    bucket.submit(job_specs(1))
    ask(bucket, RequestKind.SUBMITTED)
    launcher.follow_requests()
    assert launcher.hand_out() == 0
    worker.write()
    launcher.settle({})
    assert launcher.hand_out() == 1


def test_a_replaced_session_is_over_at_once(bucket: Bucket) -> None:
    bucket.submit(job_specs(1))
    old, launcher = add_worker(bucket), bucket.take_over()
    old.run = run_on
    turn(launcher, old)
    launcher.settle({})
    new = SimulatedWorker(bucket.runtime(), old.name, replaces=old.session)
    new.say_hello()
    for _ in range(3):
        turn(launcher, new)
    assert states(launcher) == [JobState.SUCCEEDED]
    assert launcher.state.ended_sessions[old.session] == f"replaced by {new.session}"


def test_a_session_replaced_before_it_was_met_is_over_too(bucket: Bucket) -> None:
    old = SimulatedWorker(bucket.runtime(), "worker-0001")
    new = SimulatedWorker(bucket.runtime(), "worker-0001", replaces=old.session)
    new.say_hello()
    launcher = bucket.take_over()
    launcher.settle({})
    old.say_hello()
    launcher.settle({})
    assert launcher.state.sessions.keys() == {new.session}


def test_a_dead_session_that_speaks_again_is_ignored_and_told(bucket: Bucket) -> None:
    bucket.submit(job_specs(1))
    frozen, launcher = add_worker(bucket), bucket.take_over()
    frozen.run = run_on
    turn(launcher, frozen)
    bucket.listen(launcher, 101)
    launcher.settle({frozen.session: "gone"})
    again = bucket.take_over()
    frozen.finish(Outcome.SUCCEEDED)
    again.settle({})
    assert states(again) == [JobState.QUEUED]
    frozen.read_inbox()
    assert frozen.ended == "dead"


def test_the_next_launcher_tells_a_session_that_the_last_one_buried_and_did_not_tell(bucket: Bucket) -> None:
    worker, launcher = add_worker(bucket), bucket.take_over()
    launcher.settle({})
    launcher.settle({worker.session: "gone"})
    bucket.store.delete([stored.key for stored in bucket.store.list(KEYS.inbox(worker.session))])
    worker.write()
    bucket.take_over().settle({})
    worker.read_inbox()
    assert worker.ended == "dead"


def test_a_job_that_ran_on_too_many_lost_workers_is_quarantined(bucket: Bucket) -> None:
    bucket.submit(job_specs(1))
    launcher = bucket.take_over()
    for number in (1, 2):
        worker = add_worker(bucket, f"worker-{number:04d}")
        worker.run = run_on
        turn(launcher, worker)
        launcher.settle({})
        launcher.settle({worker.session: "the machine is gone"})
    assert states(launcher) == [JobState.QUARANTINED]


def test_a_job_that_only_waited_on_a_lost_worker_is_not_suspected(bucket: Bucket) -> None:
    bucket.submit(job_specs(1))
    worker, launcher = add_worker(bucket), bucket.take_over()
    turn(launcher)
    launcher.settle({worker.session: "gone"})
    assert (states(launcher), launcher.state.jobs.losses(0)) == ([JobState.QUEUED], 0)


def test_results_written_before_a_worker_died_count(bucket: Bucket) -> None:
    bucket.submit(job_specs(1))
    worker, launcher = add_worker(bucket), bucket.take_over()
    turn(launcher, worker)
    launcher.settle({worker.session: "gone"})
    assert states(launcher) == [JobState.SUCCEEDED]


@pytest.mark.parametrize("market", [MarketPolicy.FALLBACK, MarketPolicy.SPOT])
def test_a_job_that_was_evicted_often_goes_to_a_kept_machine_only(market: MarketPolicy) -> None:
    bucket = Bucket()
    bucket.begin(LauncherPolicy(market=market, fallback_preemptions=2))
    bucket.submit(job_specs(1))
    launcher = bucket.take_over()
    evicted = add_worker(bucket, "worker-0001", preemptible=True)
    evicted.run = lambda assignment: report_of(assignment, Outcome.PREEMPTED)
    turn(launcher, evicted)
    evicted.run = run_on
    turn(launcher, evicted)
    launcher.settle({})
    launcher.settle({evicted.session: "the machine is gone"})
    assert launcher.state.jobs.evictions(0) == 2
    spot = add_worker(bucket, "worker-0002", preemptible=True)
    write_snapshot(launcher.runtime, launcher.state)
    launcher = bucket.take_over()
    turn(launcher, spot)
    launcher.settle({})
    runs_on_spot = market is MarketPolicy.SPOT
    assert states(launcher) == [JobState.SUCCEEDED if runs_on_spot else JobState.QUEUED]
    turn(launcher, add_worker(bucket, "worker-0003"))
    launcher.settle({})
    assert states(launcher) == [JobState.SUCCEEDED]


def test_a_worker_on_which_everything_fails_is_drained(bucket: Bucket) -> None:
    bucket.submit(job_specs(12, retries=9))
    bad, good, launcher = add_worker(bucket), add_worker(bucket, "worker-0002"), bucket.take_over()
    bad.run = fail
    for _ in range(12):
        turn(launcher, bad, good)
    assert bad.ended == "drained"
    assert states(launcher) == [JobState.SUCCEEDED] * 12


def test_one_bad_job_does_not_make_a_black_hole_of_a_worker(bucket: Bucket) -> None:
    bucket.submit(job_specs(1, retries=8))
    bad, launcher = add_worker(bucket), bucket.take_over()
    good = add_worker(bucket, "worker-0002")
    launcher.settle({})
    launcher.state.sessions[good.session].succeeded = 1
    launcher.state.sessions[good.session].draining = True
    bad.run = fail
    for _ in range(12):
        turn(launcher, bad)
    assert bad.ended is None


def test_what_a_draining_worker_hands_back_goes_elsewhere(bucket: Bucket) -> None:
    bucket.submit(job_specs(2))
    leaving, launcher = add_worker(bucket), bucket.take_over()
    turn(launcher)
    leaving.read_inbox()
    leaving.drain("preemption notice")
    other = add_worker(bucket, "worker-0002")
    for _ in range(4):
        turn(launcher, other)
    assert states(launcher) == [JobState.SUCCEEDED] * 2
    assert [launcher.state.jobs.charged(job) for job in (0, 1)] == [0, 0]


def test_jobs_that_wait_behind_a_long_one_are_recalled_when_another_worker_is_idle(bucket: Bucket) -> None:
    bucket.submit(job_specs(2))
    busy, launcher = add_worker(bucket), bucket.take_over()
    busy.run = run_on
    turn(launcher)
    busy.read_inbox()
    busy.run(first := busy.queue.popleft())
    busy.running[first.job, first.attempt] = first
    busy.write(started=(AttemptRef(first.job, first.attempt),))
    idle = add_worker(bucket, "worker-0002")
    for _ in range(2):
        turn(launcher, idle)
    busy.read_inbox()
    for _ in range(3):
        turn(launcher, idle)
    assert states(launcher) == [JobState.RUNNING, JobState.SUCCEEDED]


# --- what people ask --------------------------------------------------------------------------------------------


def test_queued_assigned_and_running_jobs_can_be_cancelled(bucket: Bucket) -> None:
    bucket.submit(job_specs(3))
    worker, launcher = add_worker(bucket), bucket.take_over()
    turn(launcher)
    worker.read_inbox()
    running = worker.queue.popleft()
    worker.running[running.job, running.attempt] = running
    worker.write(started=(AttemptRef(running.job, running.attempt),))
    launcher.settle({})
    assert states(launcher) == [JobState.RUNNING, JobState.ASSIGNED, JobState.QUEUED]
    ask(bucket, RequestKind.CANCEL)
    for _ in range(2):
        turn(launcher, worker)
    assert states(launcher) == [JobState.CANCELLED] * 3
    assert not worker.queue
    assert not worker.running


def test_a_cancellation_that_was_asked_for_while_no_launcher_was_there_is_followed(bucket: Bucket) -> None:
    bucket.submit(job_specs(2))
    number = ask(bucket, RequestKind.CANCEL, 1)
    assert not is_answered(bucket.runtime(), number, since=0)
    worker, launcher = add_worker(bucket), bucket.take_over()
    for _ in range(3):
        turn(launcher, worker)
    assert states(launcher) == [JobState.SUCCEEDED, JobState.CANCELLED]
    assert is_answered(bucket.runtime(), number, since=0)


def test_the_next_launcher_sends_a_cancellation_that_the_last_one_did_not(bucket: Bucket) -> None:
    bucket.submit(job_specs(1))
    worker, launcher = add_worker(bucket), bucket.take_over()
    worker.run = run_on
    turn(launcher, worker)
    launcher.settle({})
    ask(bucket, RequestKind.CANCEL)
    dying = FaultyStore(bucket.store)
    launcher = bucket.take_over(dying)
    dying.arm(Fault(3, "crash"))
    with pytest.raises(StoreUnreachable):
        launcher.follow_requests()
    assert bucket.ledger()[-1].cancelled
    bucket.take_over()
    worker.read_inbox()
    assert not worker.running


def test_a_retry_gives_an_ended_job_fresh_retries(bucket: Bucket) -> None:
    bucket.submit(job_specs(2, retries=0))
    worker, launcher = add_worker(bucket), bucket.take_over()
    worker.run = fail
    for _ in range(3):
        turn(launcher, worker)
    ask(bucket, RequestKind.RETRY)
    worker.run = lambda assignment: report_of(assignment, Outcome.SUCCEEDED)
    for _ in range(3):
        turn(launcher, worker)
    assert states(launcher) == [JobState.SUCCEEDED] * 2


def test_a_job_that_succeeded_is_not_retried(bucket: Bucket) -> None:
    bucket.submit(job_specs(1))
    worker, launcher = add_worker(bucket), bucket.take_over()
    for _ in range(2):
        turn(launcher, worker)
    ask(bucket, RequestKind.RETRY, 0)
    turn(launcher, worker)
    assert (states(launcher), launcher.state.jobs.settled(0)) == ([JobState.SUCCEEDED], 1)


def test_the_late_answer_to_a_cancellation_does_not_end_the_job_that_was_retried_since(bucket: Bucket) -> None:
    bucket.submit(job_specs(1))
    slow, launcher = add_worker(bucket), bucket.take_over()
    turn(launcher)
    slow.read_inbox()
    ask(bucket, RequestKind.CANCEL)
    launcher.follow_requests()
    ask(bucket, RequestKind.RETRY)
    launcher.follow_requests()
    slow.read_inbox()
    launcher.settle({})
    assert states(launcher) == [JobState.QUEUED]
    assert list(bucket.take_over().state.jobs.in_state(JobState.QUEUED)) == [0]


@pytest.mark.parametrize("span", [Span(JobNumber(7), JobNumber(9)), Span(JobNumber(-3), JobNumber(-1))])
@pytest.mark.parametrize("kind", [RequestKind.CANCEL, RequestKind.RETRY])
def test_a_request_about_jobs_that_do_not_exist_changes_nothing(bucket: Bucket, kind: RequestKind, span: Span) -> None:
    bucket.submit(job_specs(2))
    launcher = bucket.take_over()
    append_request(bucket.runtime(), kind, jobs=[span])
    launcher.follow_requests()
    assert states(bucket.take_over()) == [JobState.QUEUED] * 2


def test_new_jobs_are_handed_out_when_their_submission_is_announced(bucket: Bucket) -> None:
    worker, launcher = add_worker(bucket), bucket.take_over()
    bucket.submit(job_specs(2))
    ask(bucket, RequestKind.SUBMITTED)
    for _ in range(3):
        turn(launcher, worker)
    assert states(launcher) == [JobState.SUCCEEDED] * 2


# --- what does not belong there ---------------------------------------------------------------------------------


@pytest.mark.parametrize("key", ["outbox/notes.txt", "outbox/some/where", "outbox/-00000001", "outbox/a/b-00000001"])
def test_a_stray_object_in_the_outbox_is_left_alone(bucket: Bucket, key: str, caplog: pytest.LogCaptureFixture) -> None:
    bucket.submit(job_specs(1))
    bucket.store.create(f"{KEYS.root}/{key}", b"hello")
    worker, launcher = add_worker(bucket), bucket.take_over()
    for _ in range(3):
        turn(launcher, worker)
    assert states(launcher) == [JobState.SUCCEEDED]
    assert bucket.store.get(f"{KEYS.root}/{key}") == b"hello"
    assert len(caplog.records) == 1
    assert key in caplog.text


def test_a_session_that_writes_what_cannot_be_read_is_lost(bucket: Bucket) -> None:
    bucket.submit(job_specs(1))
    worker, launcher = add_worker(bucket), bucket.take_over()
    worker.run = run_on
    turn(launcher, worker)
    launcher.settle({})
    bucket.store.create(KEYS.outbox_record(worker.session, 3), b'{"session": 7}')
    launcher.settle({})
    assert states(launcher) == [JobState.QUEUED]
    assert "cannot be read" in launcher.state.ended_sessions[worker.session]
    worker.read_inbox()
    assert worker.ended == "dead"


def test_a_session_without_a_readable_hello_is_over(bucket: Bucket) -> None:
    session = SessionId("worker-0001.aa")
    bucket.store.create(KEYS.outbox_record(session, 1), b"\xff")
    launcher = bucket.take_over()
    for _ in range(2):
        launcher.settle({})
    assert session in launcher.state.ended_sessions
    assert not bucket.store.list(KEYS.outbox)


def test_an_unreadable_request_is_passed_over(bucket: Bucket) -> None:
    bucket.submit(job_specs(1))
    bucket.store.create(f"{KEYS.requests}/00000001", b"{")
    launcher = bucket.take_over()
    ask(bucket, RequestKind.CANCEL)
    launcher.follow_requests()
    assert states(launcher) == [JobState.CANCELLED]


@pytest.mark.parametrize("prefix", [KEYS.launchers, KEYS.snapshots])
def test_stray_objects_beside_logs_do_not_stop_a_launcher(bucket: Bucket, prefix: str) -> None:
    bucket.store.create(f"{prefix}/.DS_Store", b"")
    assert bucket.take_over().epoch == 1


@pytest.mark.parametrize("job", [-1, 5, 10**30])
def test_a_report_of_a_job_that_does_not_exist_is_ignored(bucket: Bucket, job: int) -> None:
    bucket.submit(job_specs(2))
    worker, launcher = add_worker(bucket), bucket.take_over()
    turn(launcher)
    worker.read_inbox()
    stray = Assignment(JobNumber(job), worker.queue[0].attempt, worker.queue[0].spec)
    ref = AttemptRef(stray.job, stray.attempt)
    worker.write(finished=(report_of(stray, Outcome.SUCCEEDED),), started=(ref,), returned=(ref,))
    launcher.settle({})
    assert states(bucket.take_over()) == [JobState.ASSIGNED] * 2
