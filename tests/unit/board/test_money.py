"""Amounts of money as people read them: never more exact than useful, never 0 where nobody knows."""

from __future__ import annotations

import pytest

from gliderport_prefect.board.money import say_budget, say_cost, say_dollars, say_estimate, say_price, say_total
from gliderport_prefect.scheduling.cost import Cost
from gliderport_prefect.scheduling.estimate import Estimate


@pytest.mark.parametrize(
    ("dollars", "said"),
    [(None, "unknown"), (0, "$0"), (1234.5, "$1,234.50"), (0.5, "$0.50"), (0.0123, "$0.012"), (0.0000456, "$0.000046")],
)
def test_an_amount_is_said_to_the_cent_or_with_two_digits(dollars: float | None, said: str) -> None:
    assert say_dollars(dollars) == said


def test_a_price_is_by_the_hour() -> None:
    assert (say_price(0.25), say_price(None)) == ("$0.25/h", "unknown")


def test_a_cost_says_what_it_was_for() -> None:
    cost = Cost(spot=3.0, on_demand=1.0, spot_hours=30.0, on_demand_hours=1.0, used=3.5, wasted=0.5)
    assert say_cost(cost) == (
        "$4.00: $3.00 spot, $1.00 on demand, $0.50 wasted on attempts that were lost or tried again, "
        "$0.50 not used by jobs"
    )


def test_hours_at_an_unknown_price_are_never_left_out() -> None:
    assert say_total(Cost(spot_hours=2.0, unknown_hours=2.0)) == "unknown (2.00 hours at an unknown price)"
    some = Cost(on_demand=1.0, on_demand_hours=3.0, unknown_hours=2.0)
    assert say_total(some) == "$1.00 and 2.00 hours at an unknown price"


def test_a_budget_says_how_much_of_it_is_spent() -> None:
    assert say_budget(20.0, Cost(spot=5.0)) == "$20.00, 25% spent"


def test_an_estimate_says_what_a_worker_and_all_of_them_cost() -> None:
    estimate = Estimate(4, 0.1, spot=0.1, on_demand=0.31, kind="m6i.large in aws/us-east-1", at_most=12.0, budget=20.0)
    assert dict(say_estimate(estimate)) == {
        "cost": "a worker $0.10/h ($0.31/h on demand) for m6i.large in aws/us-east-1; 4 workers for an hour: $0.40",
        "at most": "$12.00 for the jobs if each takes all of its timeout, once",
        "budget": "$20.00",
    }


def test_an_estimate_of_workers_that_cost_nothing_says_nothing() -> None:
    assert list(say_estimate(Estimate(4, 0.0, at_most=0.0))) == []


def test_an_estimate_without_a_price_says_so() -> None:
    assert dict(say_estimate(Estimate(1, None))) == {"cost": "unknown: the site knows no price"}
