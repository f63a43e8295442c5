"""What is done while there are no machines, by a clock that goes on for as long as it takes."""

from __future__ import annotations

from dataclasses import replace

import pytest

from gliderport_prefect.protocol.ids import WorkerName
from gliderport_prefect.protocol.machines import CapacityPolicy, Market, MarketPolicy
from gliderport_prefect.protocol.records import LauncherPolicy
from gliderport_prefect.scheduling.capacity import (
    Drought,
    decide_market,
    decide_relief,
    decide_replaced,
    note_waited,
)
from gliderport_prefect.scheduling.scaling import Hand

FALLBACK = LauncherPolicy(market=MarketPolicy.FALLBACK, fallback_after_seconds=600)
AT_ONCE = LauncherPolicy(market=MarketPolicy.SPOT, no_capacity=CapacityPolicy.ON_DEMAND)


def drought(tries: int, *, began_at: float = 0.0, failed_at: float = 0.0) -> Drought:
    return Drought(tries, began_at, failed_at, "sold out")


def waiting(seconds: float, **changes: bool) -> Hand:
    return replace(Hand(WorkerName("w"), kept=False, waits_seconds=seconds), **changes)


@pytest.mark.parametrize(("tries", "pause"), [(1, 30), (2, 60), (5, 480), (6, 600), (7, 600), (100_000, 600)])
def test_the_pauses_double_up_to_ten_minutes(tries: int, pause: float) -> None:
    assert drought(tries, failed_at=50).retry_at == 50 + pause


def test_failures_are_counted_from_the_first() -> None:
    second = Drought().after_failure(5, reason="none").after_failure(40, reason="still none")
    assert second == Drought(2, 5, 40, "still none")


@pytest.mark.parametrize(
    ("policy", "age", "market"),
    [
        (FALLBACK, 599, Market.SPOT),
        (FALLBACK, 600, Market.ON_DEMAND),
        (AT_ONCE, 0, Market.ON_DEMAND),
        (LauncherPolicy(market=MarketPolicy.SPOT), 1e9, Market.SPOT),
        (LauncherPolicy(), 1e9, None),
        (LauncherPolicy(market=MarketPolicy.ON_DEMAND), 0, Market.ON_DEMAND),
    ],
)
def test_other_machines_are_taken_when_the_policy_says_so(
    policy: LauncherPolicy, age: float, market: Market | None
) -> None:
    assert decide_market(policy, drought(1), now=age) is market


def test_cheap_machines_are_tried_again_after_as_long_a_time() -> None:
    assert decide_relief(FALLBACK, drought(3), now=1199) == drought(3)
    assert decide_relief(FALLBACK, drought(3), now=1200) == Drought()
    assert decide_relief(LauncherPolicy(), drought(3), now=1e9) == drought(3)


def test_who_has_waited_too_long_is_replaced_if_the_policy_says_so() -> None:
    patient, tired, kept = waiting(599), waiting(600), waiting(1e9, kept=True)
    assert decide_replaced(FALLBACK, [patient, tired, kept]) == [tired]
    short = waiting(1, lacks_capacity=True)
    assert decide_replaced(AT_ONCE, [patient, tired, short]) == [short]
    assert decide_replaced(LauncherPolicy(market=MarketPolicy.SPOT), [tired, short]) == []


def test_after_somebody_waited_too_long_others_are_taken_at_once() -> None:
    noted = note_waited(FALLBACK, Drought(), now=700, reason="sold out")
    assert decide_market(FALLBACK, noted, now=700) is Market.ON_DEMAND
