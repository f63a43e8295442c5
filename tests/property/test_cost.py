"""What workers and jobs cost, whatever is seen of machines and in whatever order it is told."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import datetime
from typing import Any, NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gliderport_prefect.protocol.ids import WorkerName
from gliderport_prefect.protocol.machines import Machine, Market, WorkerState
from gliderport_prefect.protocol.records import LedgerRecord, Sighting, timestamp
from gliderport_prefect.scheduling.cost import Fleet, Use
from gliderport_prefect.scheduling.sightings import derive_sightings
from gliderport_prefect.scheduling.state import CampaignState

HOUR = 3600.0
WORKERS = [WorkerName("worker-0001"), WorkerName("worker-0002")]
UP = {WorkerState.RUNNING, WorkerState.STARTING}
"""All sightings here name a machine."""


class Told(NamedTuple):
    """What one ledger record says: something of a machine, or of an attempt that is settled."""

    sighting: Sighting | None = None
    use: Use | None = None


@st.composite
def stories(draw: st.DrawFn) -> tuple[list[Told], float]:
    """Return ledger records with a clock that may go back, and a moment after them."""
    told: list[Told] = []
    now, recoveries = 1000.0, dict.fromkeys(WORKERS, 0)
    for _ in range(draw(st.integers(0, 12))):
        worker = draw(st.sampled_from(WORKERS))
        if draw(st.booleans()):
            share = draw(st.sampled_from([0.25, 0.5, 1.0]))
            told.append(Told(use=Use(worker, draw(st.floats(0, 10_000)), share, draw(st.booleans()))))
            continue
        now += draw(st.floats(-50, 5000))
        recoveries[worker] += draw(st.integers(0, 1))
        price = draw(st.sampled_from([None, 0.0, 0.5, 3.0]))
        machine = Machine("cluster", market=draw(st.sampled_from([None, *Market])), price_per_hour=price)
        state = draw(st.sampled_from(WorkerState))
        told.append(Told(Sighting(worker, state, timestamp(now), machine, recoveries[worker])))
    return told, now + draw(st.floats(-100, 5000))


def fold(told: list[Told], *, split: int | None = None) -> Fleet:
    """Return what the records say, read in one go or with a snapshot before the record at that place."""
    state = CampaignState()
    for number, each in enumerate(told, 1):
        if split == number - 1:
            packed, state = json.loads(json.dumps(state.pack())), CampaignState()
            state.unpack(packed, now=0)
        seen = () if each.sighting is None else (each.sighting,)
        state.apply_ledger(number, LedgerRecord(1, "t", seen=seen), now=0)
        if each.use is not None:
            state.fleet.use(each.use)
    return state.fleet


class Interval(NamedTuple):
    """From one sighting of a worker to its next."""

    hours: float
    sighting: Sighting


def intervals(told: list[Told], worker: WorkerName, *, now: float) -> list[Interval]:
    """Return the time of a worker, cut at its sightings; no cut is before an earlier one."""
    seen = [each.sighting for each in told if each.sighting is not None and each.sighting.worker == worker]
    cuts: list[float] = []
    for each in seen:
        moment = _seconds(each)
        cuts.append(max(moment, cuts[-1]) if cuts else moment)
    ends = [*cuts[1:], max(now, cuts[-1])] if cuts else []
    return [
        Interval((end - begin) / HOUR, each)
        for begin, end, each in zip(cuts, ends, seen, strict=True)
        if each.state in UP
    ]


def _seconds(sighting: Sighting) -> float:
    return datetime.fromisoformat(sighting.seen_at).timestamp()


def priced(found: list[Interval]) -> Iterator[tuple[float, Machine]]:
    """Yield hours and machine; a machine whose price is told later had it from the start."""
    for at, (hours, sighting) in enumerate(found):
        machine = sighting.machine
        for later in found[at + 1 :]:
            if machine.price_per_hour is not None or later.sighting.recoveries != sighting.recoveries:
                break
            machine = later.sighting.machine
        yield hours, machine


@given(stories())
def test_the_cost_is_the_sum_of_the_intervals_between_sightings(story: tuple[list[Told], float]) -> None:
    told, now = story
    parts = [part for worker in WORKERS for part in priced(intervals(told, worker, now=now))]
    cost = fold(told).cost(now=now)
    dollars: dict[bool, float] = {True: 0.0, False: 0.0}
    for hours, machine in parts:
        dollars[machine.market is Market.SPOT] += hours * (machine.price_per_hour or 0.0)
    assert (cost.spot, cost.on_demand) == pytest.approx((dollars[True], dollars[False]))
    assert cost.hours == pytest.approx(sum(hours for hours, _ in parts))
    unknown = sum(hours for hours, machine in parts if machine.price_per_hour is None)
    assert cost.unknown_hours == pytest.approx(unknown)


@given(stories(), st.integers(0, 11))
def test_a_snapshot_between_any_two_records_changes_nothing(story: tuple[list[Told], float], split: int) -> None:
    told, now = story
    whole, cut = fold(told), fold(told, split=split)
    assert cut == whole
    assert cut.cost(now=now) == whole.cost(now=now)


@given(stories())
def test_jobs_never_cost_more_than_their_workers(story: tuple[list[Told], float]) -> None:
    told, now = story
    fleet = fold(told)
    costs = [
        (fleet.price(each.use, record=number, now=now) or 0.0, each.use.is_wasted)
        for number, each in enumerate(told, 1)
        if each.use is not None
    ]
    cost = fleet.cost(now=now)
    assert sum(each for each, _ in costs) == pytest.approx(cost.used)
    assert sum(each for each, is_wasted in costs if is_wasted) == pytest.approx(cost.wasted)
    assert cost.wasted <= cost.used + 1e-9
    assert cost.used <= cost.total + 1e-9
    assert cost.unused == pytest.approx(cost.total - cost.used)


@given(stories())
def test_no_dollar_is_ever_taken_back(story: tuple[list[Told], float]) -> None:
    told, now = story
    later = [fold(told).cost(now=now + seconds).total for seconds in (0.0, 100.0, 1e6)]
    assert 0 <= later[0] <= later[1] <= later[2]


@given(stories())
def test_what_was_written_down_is_not_written_down_again(story: tuple[list[Told], float]) -> None:
    told, now = story
    looked: dict[WorkerName, Any] = {}
    known: dict[WorkerName, Sighting] = {}
    for each in (each.sighting for each in told if each.sighting is not None):
        looked[each.worker] = each
        known |= {seen.worker: seen for seen in derive_sightings(looked.values(), known, now=now)}
        assert derive_sightings(looked.values(), known, now=now) == ()
        assert {name: (seen.state, seen.recoveries) for name, seen in known.items()} == {
            name: (seen.state, seen.recoveries) for name, seen in looked.items()
        }
