"""The queue gives every waiting job once, oldest first, those to be tried again before the untried."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from gliderport_prefect.protocol.records import Run
from gliderport_prefect.protocol.resources import Resources
from gliderport_prefect.scheduling.classes import ClassRuns, JobClass
from gliderport_prefect.scheduling.queue import WaitingJobs

PLAIN, URGENT = JobClass(), JobClass(priority=5)


def test_the_urgent_come_first() -> None:
    queue = WaitingJobs(lambda _: True)
    queue.add_range(0, 3, kind=PLAIN)
    queue.add_range(3, 2, kind=URGENT)
    assert queue.demand() == [(URGENT, 2), (PLAIN, 3)]


def test_what_is_to_be_tried_again_comes_before_what_was_never_tried() -> None:
    queue = WaitingJobs(lambda _: True)
    queue.add_range(0, 4, kind=PLAIN)
    first = queue.take(PLAIN, 2)
    queue.push(first[1], PLAIN)
    queue.push(first[0], PLAIN)
    assert queue.take(PLAIN, 10) == [0, 1, 2, 3]


def test_a_job_that_is_in_it_twice_is_given_once() -> None:
    queue = WaitingJobs(lambda _: True)
    queue.push(7, PLAIN)
    queue.push(7, PLAIN)
    assert queue.take(PLAIN, 2) == [7]


def test_ranges_that_follow_each_other_are_one() -> None:
    queue = WaitingJobs(lambda _: True)
    for first in range(0, 100, 10):
        queue.add_range(first, 10, kind=PLAIN)
    assert queue.take(PLAIN, 1000) == list(range(100))
    assert len(queue) == 0


class Queue(RuleBasedStateMachine):
    """No job is lost, doubled or invented, whatever is taken, pushed and cancelled."""

    def __init__(self) -> None:
        """Begin with an empty queue."""
        super().__init__()
        self.waiting = dict[int, JobClass]()
        self.out = dict[int, JobClass]()
        self.total = 0
        self.queue = WaitingJobs(self.waiting.__contains__)

    @rule(count=st.integers(1, 5), kind=st.sampled_from([PLAIN, URGENT]))
    def add(self, count: int, kind: JobClass) -> None:
        self.queue.add_range(self.total, count, kind=kind)
        self.waiting.update(dict.fromkeys(range(self.total, self.total + count), kind))
        self.total += count

    @rule(most=st.integers(0, 6))
    def take(self, most: int) -> None:
        for kind, count in self.queue.demand():
            available = [job for job, its in self.waiting.items() if its == kind]
            taken = self.queue.take(kind, most)
            assert len(taken) == len(set(taken)) == min(most, len(available))
            assert set(taken) <= set(available)
            assert count >= len(available)
            for job in taken:
                self.out[job] = self.waiting.pop(job)

    @rule(data=st.data())
    def give_back(self, data: st.DataObject) -> None:
        if self.out:
            job = data.draw(st.sampled_from(sorted(self.out)))
            self.waiting[job] = self.out.pop(job)
            self.queue.push(job, self.waiting[job])

    @rule(data=st.data())
    def cancel(self, data: st.DataObject) -> None:
        if self.waiting:
            job = data.draw(st.sampled_from(sorted(self.waiting)))
            self.out[job] = self.waiting.pop(job)

    @invariant()
    def it_counts_at_least_what_waits(self) -> None:
        assert len(self.queue) >= len(self.waiting)


TestQueue = Queue.TestCase

RUNS = st.lists(
    st.builds(Run, st.integers(1, 5), st.integers(0, 1), st.builds(Resources, cpus=st.sampled_from([1.0, 2.0])))
)


@given(runs=RUNS)
def test_every_job_has_the_class_of_its_run(runs: list[Run]) -> None:
    classes = ClassRuns()
    for run in runs:
        classes.add(run)
    expected = [JobClass(run.priority, run.needs) for run in runs for _ in range(run.count)]
    assert [classes.class_of(job) for job in range(classes.total)] == expected
    assert [JobClass(run.priority, run.needs) for run in classes.runs() for _ in range(run.count)] == expected


@given(runs=RUNS, data=st.data())
def test_a_span_is_split_where_the_class_changes(runs: list[Run], data: st.DataObject) -> None:
    classes = ClassRuns()
    for run in runs:
        classes.add(run)
    first = data.draw(st.integers(0, classes.total))
    end = data.draw(st.integers(first, classes.total))
    pieces = list(classes.split(first, end))
    assert [job for start, count, _ in pieces for job in range(start, start + count)] == list(range(first, end))
    assert all(classes.class_of(job) == kind for start, count, kind in pieces for job in range(start, start + count))
