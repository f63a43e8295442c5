"""How many workers the jobs are worth, and which ones are not needed or do harm."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gliderport_prefect.protocol.ids import WorkerName
from gliderport_prefect.protocol.resources import Resources
from gliderport_prefect.scheduling.classes import JobClass
from gliderport_prefect.scheduling.scaling import (
    FIRST_STARTS,
    Hand,
    Wanted,
    decide_displaced,
    decide_starts,
    decide_surplus,
    derive_black_holes,
    derive_unplaceable,
    derive_wanted,
)
from tests.unit.scheduling.made import GIB, session

PLAIN = JobClass()


def hands(*, spot: int = 0, kept: int = 0, coming: int = 0) -> list[Hand]:
    """Return so many workers that have come up, and so many cheap ones on their way."""
    come = [Hand(WorkerName(f"s-{n}"), kept=False, session=session(preemptible=True)) for n in range(spot)]
    come += [Hand(WorkerName(f"k-{n}"), session=session()) for n in range(kept)]
    return come + [Hand(WorkerName(f"c-{n}"), kept=False) for n in range(coming)]


@pytest.mark.parametrize(
    ("waiting", "present", "busy", "most", "new"),
    [
        (0, 0, 0, 9, 0),
        (1, 0, 0, 9, 1),
        (10, 0, 0, 9, 5),
        (100, 0, 0, 9, 9),
        (10, 5, 0, 9, 0),
        (2, 5, 5, 9, 1),
        (2, 5, 2, 9, 0),
        (100, 9, 9, 9, 0),
        (100, 12, 9, 9, 0),
    ],
)
def test_workers_are_added_as_the_queue_is_worth(waiting: int, present: int, busy: int, most: int, new: int) -> None:
    offer, sessions = session(cpus=2).offer, [session(cpus=2, holds=1) for _ in range(busy)]
    wanted = derive_wanted([(PLAIN, waiting)] if waiting else [], offer=offer, sessions=sessions)
    assert decide_starts(wanted, hands(kept=present), most=most, is_proven=True).plain == new


def test_jobs_that_wait_long_in_a_session_are_worth_another_worker() -> None:
    slow, fast = session(holds=3), session(holds=3)
    slow.job_seconds, fast.job_seconds = 3600.0, 0.1
    wanted = derive_wanted([], offer=slow.offer, sessions=[slow, fast])
    assert wanted.total == 4


def test_small_jobs_of_several_kinds_share_a_worker() -> None:
    demand = [(JobClass(needs=Resources(cpus=0.25)), 2), (JobClass(needs=Resources(cpus=0.5)), 1)]
    assert derive_wanted(demand, offer=session().offer, sessions=[]).total == 1


def test_before_any_worker_has_come_up_only_a_few_are_on_their_way() -> None:
    wanted = Wanted(plain=100)
    assert decide_starts(wanted, [], most=100, is_proven=False).plain == FIRST_STARTS
    assert decide_starts(wanted, hands(coming=6), most=100, is_proven=False).plain == FIRST_STARTS - 6
    assert decide_starts(wanted, hands(coming=6), most=100, is_proven=True).plain == 94


def test_jobs_that_need_kept_machines_get_them_first() -> None:
    starts = decide_starts(Wanted(plain=5, kept=2), hands(spot=1), most=4, is_proven=True)
    assert (starts.kept, starts.plain) == (2, 1)


def test_a_kept_machine_that_is_busy_is_not_counted_twice() -> None:
    starts = decide_starts(Wanted(kept=1, held_on_kept=2), hands(kept=2), most=9, is_proven=True)
    assert (starts.kept, starts.plain) == (1, 0)


def test_cheap_workers_make_room_who_has_least_to_do_first() -> None:
    there = hands(spot=2, coming=1)
    assert there[0].session is not None
    there[0].session.hold(1, next(iter(session(holds=1).held.values())))
    displaced = decide_displaced(Wanted(kept=2, held=1), there, most=3)
    assert [each.name for each in displaced] == ["c-0", "s-1"]
    assert decide_displaced(Wanted(kept=2, held=1), there, most=5) == []
    assert decide_displaced(Wanted(held=1), there, most=3) == []


WANTED = st.builds(Wanted, plain=st.integers(0, 20), kept=st.integers(0, 5))
HANDS = st.builds(hands, spot=st.integers(0, 5), kept=st.integers(0, 5), coming=st.integers(0, 5))


@given(wanted=WANTED, there=HANDS, most=st.integers(1, 12), is_proven=st.booleans())
def test_there_are_never_more_workers_than_allowed_and_none_is_both_started_and_sent_away(
    *, wanted: Wanted, there: list[Hand], most: int, is_proven: bool
) -> None:
    starts = decide_starts(wanted, there, most=most, is_proven=is_proven)
    new = starts.plain + starts.kept
    assert min(starts.plain, starts.kept) >= 0
    assert new == 0 or len(there) + new <= most
    assert new == 0 or not decide_surplus(wanted, there)


@given(wanted=WANTED, there=HANDS, most=st.integers(1, 12))
def test_jobs_that_need_kept_machines_are_never_stuck_behind_cheap_ones(
    *, wanted: Wanted, there: list[Hand], most: int
) -> None:
    starts = decide_starts(wanted, there, most=most, is_proven=True)
    displaced = decide_displaced(wanted, there, most=most)
    on_kept = sum(each.kept for each in there)
    assert on_kept + starts.kept + len(displaced) >= min(wanted.on_kept, most - max(0, len(there) - most))


@pytest.mark.parametrize(("held", "sent_away"), [(0, ["c-1", "c-0"]), (2, ["c-1"]), (3, [])])
def test_who_is_on_the_way_for_nothing_is_sent_away_the_newest_first(held: int, sent_away: list[str]) -> None:
    there = hands(spot=1, coming=2)
    assert [each.name for each in decide_surplus(Wanted(held=held), there)] == sent_away
    assert decide_surplus(Wanted(held=held, plain=0.1), there) == []


def test_what_no_worker_can_run_is_named() -> None:
    demand = [(PLAIN, 5), (JobClass(needs=Resources(memory_bytes=2 * GIB)), 3)]
    assert [count for _, count in derive_unplaceable(demand, [session().offer])] == [3]
    assert [
        count for _, count in derive_unplaceable([(JobClass(kept=True), 2)], [session(preemptible=True).offer])
    ] == [2]


def test_a_worker_is_a_black_hole_only_when_others_succeed() -> None:
    bad, other = session("bad"), session("other")
    bad.failed_since = {1, 2, 3}
    assert derive_black_holes([bad, other], 3) == []
    other.succeeded = 1
    assert derive_black_holes([bad, other], 3) == [bad]
    assert derive_black_holes([bad, other], 4) == []
    bad.draining = True
    assert derive_black_holes([bad, other], 3) == []
