"""What SkyPilot's queue says of workers."""

from __future__ import annotations

from typing import Any

import pytest

from gliderport_prefect.protocol.ids import WorkerName
from gliderport_prefect.sites.seam import Market, SiteWorker, WorkerState
from gliderport_prefect.sites.sky_jobs import ManagedJob, choose_jobs, describe_worker, read_job

ONE = WorkerName("worker-0001")
RECORD: dict[str, Any] = {
    "job_id": 7,
    "job_name": "gliderport-fit-0123456789-worker-0001",
    "status": "RUNNING",
    "recovery_count": 1,
    "submitted_at": 100.0,
    "start_at": 130.0,
    "end_at": None,
    "last_recovered_at": 200.0,
    "job_duration": 50.0,
    "cloud": "AWS",
    "region": "us-east-1",
    "zone": "us-east-1b",
    "cluster_resources_full": "1x[spot](cpus=4, mem=16, m6i.xlarge, disk=256)",
    "cluster_name_on_cloud": "gliderport-fit-7-abc",
}


def describe(**changes: object) -> SiteWorker:
    return describe_worker(ONE, read_job({**RECORD, **changes}))


@pytest.mark.parametrize(
    ("status", "state"),
    [
        ("PENDING", WorkerState.STARTING),
        ("STARTING", WorkerState.STARTING),
        ("RUNNING", WorkerState.RUNNING),
        ("WINDING_DOWN", WorkerState.RUNNING),
        ("RECOVERING", WorkerState.RECOVERING),
        ("CANCELLING", WorkerState.RUNNING),
        ("SUCCEEDED", WorkerState.GONE),
        ("CANCELLED", WorkerState.GONE),
        ("FAILED", WorkerState.GONE),
        ("FAILED_SETUP", WorkerState.GONE),
        ("FAILED_PRECHECKS", WorkerState.GONE),
        ("FAILED_NO_RESOURCE", WorkerState.GONE),
        ("FAILED_CONTROLLER", WorkerState.GONE),
    ],
)
def test_each_state_of_a_job_is_one_of_a_worker(status: str, state: WorkerState) -> None:
    assert describe(status=status).state is state


def test_a_running_worker_is_told_with_its_machine() -> None:
    worker = describe()
    assert worker.machine.infra == "aws/us-east-1/us-east-1b"
    assert worker.machine.instance_type == "m6i.xlarge"
    assert worker.machine.market is Market.SPOT
    assert worker.machine.cluster == "gliderport-fit-7-abc"
    assert worker.recoveries == 1


def test_a_machine_of_a_cluster_of_ones_own_costs_nothing_and_is_on_no_market() -> None:
    machine = describe(cloud="Slurm", region="rig", zone="main", cluster_resources_full="1x(cpus=2, mem=0)").machine
    assert (machine.infra, machine.market, machine.price_per_hour) == ("slurm/rig/main", None, 0.0)


def test_what_has_no_machine_yet_is_told_without_one() -> None:
    machine = describe(cloud="-", region="-", zone="-", cluster_resources_full="-", cluster_name_on_cloud=None).machine
    assert (machine.infra, machine.instance_type, machine.price_per_hour) == ("", "", None)


@pytest.mark.parametrize(
    ("status", "since"), [("PENDING", 100.0), ("RUNNING", 200.0), ("RECOVERING", 250.0), ("FAILED", 300.0)]
)
def test_a_state_is_told_with_its_beginning(status: str, since: float) -> None:
    assert describe(status=status, end_at=300.0).since == since


def test_what_has_not_happened_has_no_time() -> None:
    job = read_job({**RECORD, "last_recovered_at": -1.0, "start_at": None})
    assert (job.recovered_at, job.started_at) == (None, None)


def test_a_worker_that_fails_is_told_with_exit_code_and_last_lines() -> None:
    reason = "Job exited with exit code 78 (user program failure). To see the details, run: …"
    worker = describe_worker(
        ONE, read_job({**RECORD, "status": "FAILED", "failure_reason": reason}), last_words="oh no"
    )
    assert worker.exit_code == 78
    assert "managed job 7 is FAILED" in worker.reason
    assert worker.reason.endswith("last lines of its log:\noh no")


def test_a_worker_that_finished_has_exit_code_0_and_one_that_runs_has_none() -> None:
    assert describe(status="SUCCEEDED").exit_code == 0
    assert describe(status="RUNNING").exit_code is None


def test_a_worker_that_waits_says_for_what() -> None:
    assert describe(status="STARTING", details="Launching (nodes allocated)").reason == "Launching (nodes allocated)"


@pytest.mark.parametrize(
    ("status", "details", "lacks"),
    [
        ("FAILED_NO_RESOURCE", "", True),
        ("PENDING", "In backoff, waiting for resources: InsufficientInstanceCapacity in us-east-1", True),
        ("RECOVERING", "quota 'vCPU' exceeded", True),
        ("STARTING", "Launching (nodes allocated)", False),
        ("RUNNING", "quota", False),
        ("FAILED_SETUP", "", False),
    ],
)
def test_want_of_machines_is_told_from_defects(status: str, details: str, *, lacks: bool) -> None:
    assert describe(status=status, details=details).lacks_capacity is lacks


def test_somebody_who_was_stopped_is_told_from_somebody_who_failed() -> None:
    assert describe(status="CANCELLED").was_stopped
    assert not describe(status="FAILED").was_stopped


def test_a_worker_that_keeps_ending_soon_is_told_from_one_whose_machines_are_taken_away() -> None:
    looping = read_job({**RECORD, "recovery_count": 5, "job_duration": 90.0})
    unlucky = read_job({**RECORD, "recovery_count": 5, "job_duration": 6 * 3600.0})
    young = read_job({**RECORD, "recovery_count": 4, "job_duration": 10.0})
    assert [each.is_looping for each in (looping, unlucky, young)] == [True, False, False]
    ended = describe(status="CANCELLED", recovery_count=5, job_duration=90.0)
    assert not ended.was_stopped
    assert "started 6 times" in ended.reason


def job(number: int, status: str, name: str = "a") -> ManagedJob:
    return ManagedJob(id=number, name=name, status=status)


def test_of_two_living_jobs_of_one_name_the_older_counts_and_the_other_is_surplus() -> None:
    chosen, surplus = choose_jobs([job(3, "PENDING"), job(2, "RUNNING"), job(4, "STARTING")])
    assert chosen["a"].id == 2
    assert [each.id for each in surplus] == [3, 4]


def test_a_living_job_counts_before_one_that_ended_and_among_those_the_newest() -> None:
    assert choose_jobs([job(1, "FAILED"), job(2, "RUNNING"), job(3, "FAILED")])[0]["a"].id == 2
    assert choose_jobs([job(1, "FAILED"), job(2, "CANCELLED")])[0]["a"].id == 2
    assert choose_jobs([job(1, "FAILED"), job(2, "RUNNING")])[1] == []


def test_jobs_of_different_names_do_not_concern_each_other() -> None:
    chosen, surplus = choose_jobs([job(1, "RUNNING", "a"), job(2, "RUNNING", "b")])
    assert sorted(chosen) == ["a", "b"]
    assert surplus == []
