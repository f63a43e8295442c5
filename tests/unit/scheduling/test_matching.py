"""Who gets which job: packed, urgent first, each its share near the end, and asked back when others are idle."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gliderport_prefect.protocol.outcomes import Outcome
from gliderport_prefect.protocol.resources import Offer, Resources
from gliderport_prefect.scheduling.classes import JobClass
from gliderport_prefect.scheduling.matching import decide_assignments, decide_recalls
from gliderport_prefect.scheduling.queue import WaitingJobs
from gliderport_prefect.scheduling.sessions import Session, side_by_side
from tests.unit.scheduling.made import GIB, report, session


def waiting(count: int, kind: JobClass | None = None) -> WaitingJobs:
    queue = WaitingJobs(lambda _: True)
    queue.add_range(0, count, kind=kind or JobClass())
    return queue


def given_to(queue: WaitingJobs, *sessions: Session) -> dict[str, list[int]]:
    return {each.hello.worker: jobs for each, jobs in decide_assignments(queue, sessions)}


def test_an_unknown_session_gets_one_job_per_slot_and_one_ahead() -> None:
    assert given_to(waiting(100), session(cpus=4)) == {"worker-0001": list(range(8))}


def test_a_session_of_short_jobs_gets_enough_for_some_seconds() -> None:
    fast = session()
    fast.learn(report(Outcome.SUCCEEDED))
    fast.job_seconds = 0.1
    assert len(given_to(waiting(1000), fast)["worker-0001"]) == 41


def test_a_session_of_long_jobs_gets_one_ahead() -> None:
    slow = session()
    slow.job_seconds = 3600
    assert len(given_to(waiting(1000), slow)["worker-0001"]) == 2


def test_nothing_is_given_while_a_queue_is_more_than_half_full() -> None:
    assert given_to(waiting(9), session(cpus=4, holds=7)) == {}


def test_the_last_jobs_are_shared_out() -> None:
    four = [session(f"worker-{n}", cpus=4) for n in range(4)]
    assert sorted(map(len, given_to(waiting(6), *four).values())) == [1, 1, 2, 2]


def test_larger_sessions_get_larger_shares() -> None:
    shares = given_to(waiting(10), session("small", cpus=1), session("large", cpus=4))
    assert (len(shares["small"]), len(shares["large"])) == (2, 8)


def test_the_emptiest_session_comes_first() -> None:
    assert list(given_to(waiting(1), session("busy", holds=1), session("idle"))) == ["idle"]


def test_a_draining_session_gets_nothing() -> None:
    leaving = session()
    leaving.draining = True
    assert given_to(waiting(1), leaving) == {}


def test_a_job_goes_only_where_it_fits() -> None:
    large = JobClass(needs=Resources(cpus=3))
    assert given_to(waiting(1, large), session("small", cpus=2), session("large", cpus=3)) == {"large": [0]}


def test_urgent_jobs_take_the_room_first() -> None:
    queue = waiting(10)
    queue.add_range(10, 1, kind=JobClass(priority=1))
    assert given_to(queue, session()) == {"worker-0001": [10, 0]}


needs_of_jobs = st.builds(
    Resources,
    cpus=st.sampled_from([0.1, 0.5, 1.0, 3.0]),
    memory_bytes=st.sampled_from([0, GIB // 4, GIB]),
    gpus=st.integers(0, 2),
)
offers = st.builds(
    Offer,
    cpus=st.sampled_from([0.5, 1.0, 4.0]),
    memory_bytes=st.sampled_from([GIB // 2, 4 * GIB]),
    disk_bytes=st.just(GIB),
    gpus=st.integers(0, 4),
)


@given(offer=offers, needs=needs_of_jobs)
def test_side_by_side_is_the_most_that_fits(offer: Offer, needs: Resources) -> None:
    slots = side_by_side(offer, needs)
    assert (slots > 0) == offer.fits(needs)
    for have, need in ((offer.cpus, needs.cpus), (offer.memory_bytes, needs.memory_bytes), (offer.gpus, needs.gpus)):
        assert slots * need <= have + 1e-6
    one_more = [
        (slots + 1) * need > have + 1e-6
        for have, need in ((offer.cpus, needs.cpus), (offer.memory_bytes, needs.memory_bytes), (offer.gpus, needs.gpus))
    ]
    assert any(one_more)


@given(counts=st.lists(st.tuples(needs_of_jobs, st.integers(1, 30)), max_size=4), machines=st.lists(offers, max_size=4))
def test_a_session_never_gets_more_than_its_slots_and_what_waits_behind_them(
    counts: list[tuple[Resources, int]], machines: list[Offer]
) -> None:
    queue, total = WaitingJobs(lambda _: True), 0
    kinds = [JobClass(needs=needs) for needs, _ in counts]
    needs_by_job: dict[int, Resources] = {}
    for kind, (needs, count) in zip(kinds, counts, strict=True):
        queue.add_range(total, count, kind=kind)
        needs_by_job.update(dict.fromkeys(range(total, total + count), needs))
        total += count
    sessions = [session(f"worker-{n}") for n in range(len(machines))]
    for each, offer in zip(sessions, machines, strict=True):
        object.__setattr__(each.hello, "offer", offer)
    decided = decide_assignments(queue, sessions)
    given_jobs = [job for _, jobs in decided for job in jobs]
    assert len(given_jobs) == len(set(given_jobs))
    assert len(queue) == total - len(given_jobs)
    for each, jobs in decided:
        assert all(each.offer.fits(needs_by_job[job]) for job in jobs)
        assert math.fsum(1 / side_by_side(each.offer, needs_by_job[job]) for job in jobs) <= 2 + 1e-6


# --- recalls ----------------------------------------------------------------------------------------------------


def test_nothing_is_recalled_when_nobody_is_idle() -> None:
    assert decide_recalls([session("a", holds=5), session("b", holds=1)]) == []


def test_the_newest_of_what_waits_is_recalled_for_an_idle_session() -> None:
    (recall,) = decide_recalls([busy := session("a", holds=5), session("b")])
    assert (recall.session, recall.job) == (busy, -5)


def test_no_more_is_recalled_than_there_is_room_for() -> None:
    assert len(decide_recalls([session("a", holds=50), session("b", cpus=3)])) == 3


def test_what_has_started_is_not_recalled() -> None:
    busy = session("a", holds=2)
    for held in busy.held.values():
        held.started_at = 0.0
    assert decide_recalls([busy, session("b")]) == []


def test_what_was_recalled_is_not_recalled_again() -> None:
    busy, idle = session("a", holds=2), session("b")
    for recall in decide_recalls([busy, idle]):
        busy.held[recall.job].recalled = True
    assert decide_recalls([busy, idle]) == []


def test_a_short_queue_is_left_to_its_session() -> None:
    quick = session("a", holds=5)
    quick.job_seconds = 0.1
    assert decide_recalls([quick, session("b")]) == []


def test_what_fits_nowhere_else_stays() -> None:
    large = session("a", cpus=4, holds=3, needs=Resources(cpus=4))
    assert decide_recalls([large, session("b", cpus=1)]) == []


def test_a_draining_session_makes_no_room() -> None:
    leaving = session("b")
    leaving.draining = True
    assert decide_recalls([session("a", holds=5), leaving]) == []


# --- machines that are kept -------------------------------------------------------------------------------------


def test_a_job_that_needs_a_kept_machine_waits_for_one() -> None:
    queue, spot, kept = waiting(1, JobClass(kept=True)), session("spot", preemptible=True), session("kept")
    assert given_to(queue, spot) == {}
    assert given_to(queue, spot, kept) == {"kept": [0]}


def test_a_kept_machine_runs_everything() -> None:
    assert given_to(waiting(1), session("kept")) == {"kept": [0]}


@pytest.mark.parametrize(("preemptible", "count"), [(True, 0), (False, 1)])
def test_a_job_that_needs_a_kept_machine_is_asked_back_for_another_only(*, preemptible: bool, count: int) -> None:
    busy, idle = session("busy", holds=2), session("idle", preemptible=preemptible)
    busy.job_seconds = 60
    for held in busy.held.values():
        held.kept = True
    assert len(decide_recalls([busy, idle])) == count
