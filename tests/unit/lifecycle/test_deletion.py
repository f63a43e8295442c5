"""What teardown deletes of a campaign's bucket."""

from __future__ import annotations

from gliderport_prefect.lifecycle.deletion import delete_checkpoints
from gliderport_prefect.protocol.ids import AttemptId
from gliderport_prefect.protocol.jobspec import Checkpoint
from gliderport_prefect.protocol.outcomes import JobState, Outcome
from gliderport_prefect.protocol.records import Assignment, AttemptReport
from gliderport_prefect.scheduling.state import CampaignState
from gliderport_prefect.store.counting import CountingStore
from tests.campaign_rig import KEYS, Bucket, job_specs
from tests.simulated import SimulatedWorker, report_of, run_on

SAVED = Checkpoint("state")


def run_jobs(bucket: Bucket, count: int, *outcomes: Outcome | None, checkpoint: Checkpoint | None) -> CampaignState:
    """Submit jobs and let the first of them end like this; return the campaign's state."""
    bucket.begin()
    bucket.submit(job_specs(count, checkpoint=checkpoint, retries=0))
    launcher, ends = bucket.take_over(), iter(outcomes)

    def run(assignment: Assignment) -> AttemptReport | None:
        outcome = next(ends, None)
        return run_on(assignment) if outcome is None else report_of(assignment, outcome)

    worker = SimulatedWorker(bucket.runtime(), run=run)
    worker.say_hello()
    for _ in range(2 * count):
        launcher.settle({})
        launcher.hand_out()
        worker.turn()
    launcher.settle({})
    return launcher.state


def save(bucket: Bucket, number: int) -> str:
    """Put what a worker leaves of a job and return the job's prefix."""
    spec = job_specs(1, first=number)[0]
    for key in (f"{KEYS.saved(spec.id)}/00000001", KEYS.saved_file(spec.id, AttemptId("1.1"), "1-a")):
        bucket.store.create(key, b"x")
    return KEYS.checkpoints_of(spec.id)


def test_checkpoints_of_jobs_that_succeeded_are_deleted_and_all_others_stay() -> None:
    bucket = Bucket()
    state = run_jobs(bucket, 3, Outcome.SUCCEEDED, Outcome.FAILED, None, checkpoint=SAVED)
    prefixes = [save(bucket, number) for number in range(3)]
    assert [state.jobs.state(number) for number in range(3)] == [JobState.SUCCEEDED, JobState.FAILED, JobState.RUNNING]

    assert delete_checkpoints(bucket.runtime(), state) == 2

    assert [len(bucket.store.list(prefix)) for prefix in prefixes] == [0, 2, 2]


def test_a_campaign_without_checkpoints_costs_one_request() -> None:
    bucket = Bucket()
    state = run_jobs(bucket, 1, Outcome.SUCCEEDED, checkpoint=None)
    store = CountingStore(bucket.store)
    assert delete_checkpoints(bucket.runtime(store), state) == 0
    assert store.total == 1
