"""Which of the waiting jobs goes next."""

from __future__ import annotations

from gliderport_prefect.protocol.ids import AttemptId, JobId, JobNumber
from gliderport_prefect.protocol.jobspec import JobSpec
from gliderport_prefect.protocol.records import Assignment
from gliderport_prefect.protocol.resources import Offer, Resources
from vm_worker.capacity import Capacity
from vm_worker.waiting import OVERTAKING_SECONDS, WaitingJobs, need_of, ref_of


def make(number: int, *, cpus: float = 1, priority: int = 0, gpus: int = 0) -> Assignment:
    """Return a job of that number."""
    spec = JobSpec(JobId(f"job-{number}"), run="true", priority=priority, resources=Resources(cpus=cpus, gpus=gpus))
    return Assignment(JobNumber(number), AttemptId("1.1"), spec)


def make_queue(*jobs: Assignment) -> WaitingJobs:
    """Return a queue of these jobs."""
    waiting = WaitingJobs()
    waiting.add(jobs)
    return waiting


def take_all(waiting: WaitingJobs) -> list[int]:
    """Take everything and return the numbers in order."""
    order: list[int] = []
    while (job := waiting.take(lambda _: True, now=0.0)) is not None:
        order.append(job.job)
    return order


def test_jobs_go_in_order_of_arrival() -> None:
    assert take_all(make_queue(make(3), make(1, cpus=2), make(2))) == [3, 1, 2]


def test_higher_priority_goes_first_and_arrival_decides_among_equals() -> None:
    waiting = make_queue(make(1), make(2, priority=1), make(3, priority=-1), make(4, priority=1))

    assert take_all(waiting) == [2, 4, 1, 3]


def test_a_smaller_job_overtakes_one_that_does_not_fit() -> None:
    waiting = make_queue(make(1, cpus=4), make(2, cpus=1))

    taken = waiting.take(lambda need: need.cpus <= 2, now=0.0)

    assert taken is not None
    assert taken.job == 2
    assert len(waiting) == 1


def test_a_large_job_that_waits_too_long_is_overtaken_no_more() -> None:
    waiting = make_queue(make(1, cpus=4), make(2), make(3))
    assert waiting.take(lambda need: need.cpus <= 2, now=0.0) is not None

    assert waiting.take(lambda need: need.cpus <= 2, now=OVERTAKING_SECONDS + 1) is None
    assert take_all(waiting) == [1, 3]


def test_removed_jobs_do_not_go() -> None:
    first, second = make(1), make(2)
    waiting = make_queue(first, second)

    assert waiting.remove(ref_of(first)) == first
    assert waiting.remove(ref_of(first)) is None
    assert take_all(waiting) == [2]


def test_everything_can_be_removed_at_once() -> None:
    waiting = make_queue(make(1), make(2, priority=1))

    assert [each.job for each in waiting.remove_all()] == [2, 1]
    assert len(waiting) == 0


def test_memory_given_after_running_out_of_it_replaces_that_of_the_spec() -> None:
    job = Assignment(JobNumber(1), AttemptId("2.1"), make(1).spec, memory_bytes=5)

    assert need_of(job) == Resources(cpus=1, memory_bytes=5)


def test_ten_tenths_of_a_cpu_fit_into_one() -> None:
    capacity = Capacity(Offer(cpus=1, memory_bytes=0, disk_bytes=0))
    need = Resources(cpus=0.1)

    for _ in range(10):
        assert capacity.fits(need)
        capacity.occupy(need)

    assert not capacity.fits(need)


def test_gpus_are_handed_out_by_index_and_come_back() -> None:
    capacity = Capacity(Offer(cpus=8, memory_bytes=0, disk_bytes=0, gpus=3))

    first = capacity.occupy(Resources(gpus=2))
    second = capacity.occupy(Resources(gpus=1))
    assert (first, second) == ((0, 1), (2,))
    assert not capacity.fits(Resources(gpus=1))

    capacity.release(Resources(gpus=2), first)
    assert capacity.occupy(Resources(gpus=1)) == (0,)
