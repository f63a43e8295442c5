"""What workers, attempts and campaigns cost, by example; `tests/property/test_cost.py` has the laws."""

from __future__ import annotations

from dataclasses import replace

import pytest

from gliderport_prefect.protocol.ids import JobId, JobNumber, SessionId, WorkerName, attempt_id
from gliderport_prefect.protocol.jobspec import JobSpec
from gliderport_prefect.protocol.machines import Machine, Market, WorkerState
from gliderport_prefect.protocol.outcomes import JobState, Outcome
from gliderport_prefect.protocol.records import (
    Assignment,
    AttemptRef,
    InboxRecord,
    LauncherPolicy,
    LedgerRecord,
    OutboxRecord,
    Run,
    Sighting,
    SpecChunkHeader,
    timestamp,
)
from gliderport_prefect.protocol.resources import Offer, Resources
from gliderport_prefect.scheduling.budget import Spending, budget_of, decide_spending
from gliderport_prefect.scheduling.cost import Fleet, Use, is_wasted, share_of
from gliderport_prefect.scheduling.estimate import Estimate, derive_longest_hours
from gliderport_prefect.scheduling.settling import News, SettlingRules, decide_ledger
from gliderport_prefect.scheduling.state import CampaignState
from tests.unit.scheduling.made import GIB, hello, session

ONE = WorkerName("worker-0001")
HOUR = 3600.0


def seen(state: WorkerState, at: float, recoveries: int = 0, **machine: object) -> Sighting:
    """Return a sighting of the first worker at that hour, on a spot machine of 1 $/h."""
    known = replace(Machine("cluster", market=Market.SPOT, price_per_hour=1.0), **machine)
    return Sighting(ONE, state, timestamp(at * HOUR), known, recoveries)


def fleet(*sightings: Sighting) -> Fleet:
    """Return what these sightings say, one in each ledger record."""
    made = Fleet()
    for record, each in enumerate(sightings, 1):
        made.see([each], record=record)
    return made


def test_a_worker_costs_from_the_moment_that_its_machine_is_named_until_it_is_gone() -> None:
    told = fleet(
        seen(WorkerState.STARTING, 0, cluster="", price_per_hour=None),
        seen(WorkerState.STARTING, 1),
        seen(WorkerState.RUNNING, 2),
        seen(WorkerState.GONE, 5),
    )
    assert told.cost(now=100 * HOUR).spot == 4.0


def test_a_live_worker_costs_until_now() -> None:
    assert fleet(seen(WorkerState.RUNNING, 2)).cost(now=5 * HOUR).total == 3.0


def test_a_worker_that_recovers_costs_nothing_meanwhile() -> None:
    told = fleet(
        seen(WorkerState.RUNNING, 0),
        seen(WorkerState.RECOVERING, 1),
        seen(WorkerState.RUNNING, 3, recoveries=1, price_per_hour=5.0, market=Market.ON_DEMAND),
    )
    cost = told.cost(now=4 * HOUR)
    assert (cost.spot, cost.on_demand, cost.hours) == (1.0, 5.0, 2.0)


def test_time_at_an_unknown_price_is_counted_and_is_not_free() -> None:
    cost = fleet(seen(WorkerState.RUNNING, 0, price_per_hour=None)).cost(now=3 * HOUR)
    assert (cost.total, cost.hours, cost.unknown_hours, cost.is_free) == (0, 3.0, 3.0, False)


def test_a_price_that_is_told_late_holds_from_the_start() -> None:
    told = fleet(seen(WorkerState.RUNNING, 0, price_per_hour=None), seen(WorkerState.RUNNING, 2))
    assert told.cost(now=3 * HOUR).total == 3.0


def test_a_budget_is_held_against_the_highest_known_price_where_a_price_is_unknown() -> None:
    told = fleet(seen(WorkerState.RUNNING, 0), seen(WorkerState.RUNNING, 1, recoveries=1, price_per_hour=None))
    assert told.reckon(told.cost(now=4 * HOUR)) == 1.0 + 3.0


def test_an_attempt_costs_its_share_at_the_price_of_its_machine() -> None:
    told = fleet(seen(WorkerState.RUNNING, 0), seen(WorkerState.RUNNING, 1, recoveries=1, price_per_hour=8.0))
    before, after = Use(ONE, 0.5 * HOUR, 0.25, is_wasted=True), Use(ONE, 0.5 * HOUR, 0.25, is_wasted=False)
    assert told.price(before, record=1, now=2 * HOUR) == 0.125
    assert told.price(after, record=2, now=2 * HOUR) == 1.0


def test_an_attempt_of_which_too_little_is_known_has_no_cost() -> None:
    told = fleet(seen(WorkerState.RUNNING, 0, price_per_hour=None))
    assert told.price(Use(ONE, 10, 1.0, is_wasted=False), record=1, now=HOUR) is None
    assert told.price(Use(WorkerName("other"), 10, 1.0, is_wasted=False), record=1, now=HOUR) is None
    assert fleet(seen(WorkerState.RUNNING, 0)).price(Use(ONE, 10, 0.0, is_wasted=False), record=1, now=HOUR) is None


def test_the_share_is_the_largest_of_cpus_memory_and_gpus() -> None:
    offer = Offer(cpus=4, memory_bytes=8 * GIB, disk_bytes=GIB, gpus=2)
    assert share_of(offer, Resources(cpus=1)) == 0.25
    assert share_of(offer, Resources(cpus=1, memory_bytes=6 * GIB)) == 0.75
    assert share_of(offer, Resources(cpus=1, gpus=2)) == 1.0
    assert share_of(Offer(cpus=1, memory_bytes=0, disk_bytes=0), Resources(cpus=2)) == 1.0


def running_job() -> CampaignState:
    """Return a campaign whose job began on a worker of four cpus when the launcher's clock showed 100."""
    state = CampaignState()
    state.add_chunk(SpecChunkHeader("t", JobNumber(0), 1, (Run(1, 0, Resources()),)))
    holder = session(cpus=4).id
    met = OutboxRecord(holder, "t", hello=hello(Offer(cpus=4, memory_bytes=GIB, disk_bytes=GIB)))
    settle(state, News(holder, 1, met))
    inbox_record = state.sessions[holder]
    state.fleet.see([seen(WorkerState.RUNNING, 0)], record=1)
    assignment = Assignment(JobNumber(0), attempt_id(1, 1), JobSpec(id=JobId("job-0"), run="x"))
    state.apply_inbox(inbox_record, InboxRecord(1, "t", assign=(assignment,)), number=1)
    started = OutboxRecord(holder, "t", started=(AttemptRef(JobNumber(0), attempt_id(1, 1)),))
    settle(state, News(holder, 2, started), now=100.0)
    return state


def settle(
    state: CampaignState, *news: News, now: float = 0.0, lost: dict[SessionId, str] | None = None
) -> LedgerRecord:
    rules = SettlingRules(1, 3, lambda job: JobSpec(id=JobId(f"job-{job}"), run="x"), 10_000.0)
    record = decide_ledger(state, list(news), lost=lost or {}, rules=rules)
    assert record is not None
    state.apply_ledger(state.ledger_number + 1, record, now=now)
    return record


def test_an_attempt_on_a_lost_worker_ran_until_the_worker_was_heard_last() -> None:
    state = running_job()
    (holder,) = state.sessions.values()
    holder.heard_at = 700.0
    (settled,) = settle(state, lost={holder.id: "is silent"}, now=900.0).settled
    assert settled.report.outcome is Outcome.WORKER_LOST
    assert settled.report.usage.wall_seconds == 600.0
    assert (settled.report.started_at, settled.report.finished_at) == (timestamp(9400.0), timestamp(10_000.0))
    cost = state.fleet.cost(now=HOUR)
    assert cost.wasted == cost.used == pytest.approx(600 / HOUR / 4)


def test_the_budget_is_what_was_asked_for_last() -> None:
    state, policy = CampaignState(), LauncherPolicy(budget=5.0)
    assert budget_of(state, policy) == 5.0
    state.apply_ledger(1, LedgerRecord(1, "t", budget=9.0), now=0)
    state.apply_ledger(2, LedgerRecord(1, "t"), now=0)
    assert budget_of(state, policy) == 9.0


@pytest.mark.parametrize(
    ("cost", "budget", "expected"),
    [
        (1e9, None, Spending.OPEN),
        (9.99, 10.0, Spending.OPEN),
        (10.0, 10.0, Spending.NOTHING_NEW),
        (10.99, 10.0, Spending.NOTHING_NEW),
        (11.01, 10.0, Spending.STOP),
    ],
)
def test_what_the_money_allows(cost: float, budget: float | None, expected: Spending) -> None:
    assert decide_spending(cost, budget) is expected


def test_the_longest_hours_count_how_many_jobs_run_side_by_side() -> None:
    offer = Offer(cpus=4, memory_bytes=GIB, disk_bytes=GIB)
    timeouts = {Resources(cpus=1): 8 * HOUR, Resources(cpus=2): 4 * HOUR}
    assert derive_longest_hours(timeouts, offer) == 2.0 + 2.0
    assert derive_longest_hours({Resources(cpus=8): HOUR}, offer) is None


def test_an_estimate_without_a_price_has_no_total() -> None:
    assert Estimate(workers=3, price_per_hour=None).all_workers_per_hour is None
    assert Estimate(workers=3, price_per_hour=0.5).all_workers_per_hour == 1.5
    assert Estimate(workers=3, price_per_hour=0.0).is_free


def test_wasted_is_what_was_lost_or_is_tried_again() -> None:
    assert is_wasted(Outcome.PREEMPTED, JobState.QUEUED)
    assert is_wasted(Outcome.WORKER_LOST, JobState.QUARANTINED)
    assert is_wasted(Outcome.FAILED, JobState.QUEUED)
    assert not is_wasted(Outcome.FAILED, JobState.FAILED)
    assert not is_wasted(Outcome.SUCCEEDED, JobState.SUCCEEDED)
