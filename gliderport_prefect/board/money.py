"""Costs as people read them."""

from __future__ import annotations

import dataclasses
import math
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

    from gliderport_prefect.scheduling.cost import Cost
    from gliderport_prefect.scheduling.estimate import Estimate

_DIGITS = 2
_UNKNOWN = "unknown"


def say_dollars(dollars: float | None) -> str:
    """Say an amount to the cent, or with two digits when it is less than a cent; unknown when it is none."""
    if dollars is None:
        return _UNKNOWN
    if not dollars:
        return "$0"
    decimals = max(_DIGITS, _DIGITS - 1 - math.floor(math.log10(abs(dollars))))
    return f"${dollars:,.{decimals}f}"


def say_price(dollars_per_hour: float | None) -> str:
    """Say a price, such as `$0.34/h`."""
    return _UNKNOWN if dollars_per_hour is None else f"{say_dollars(dollars_per_hour)}/h"


def say_total(cost: Cost) -> str:
    """Say what was spent, and the hours whose price nobody knows: never that these cost nothing."""
    if cost.unknown_hours and not cost.total:
        return f"{_UNKNOWN} ({cost.unknown_hours:.2f} hours at an unknown price)"
    said = say_dollars(cost.total)
    return f"{said} and {cost.unknown_hours:.2f} hours at an unknown price" if cost.unknown_hours else said


def say_cost(cost: Cost) -> str:
    """Say what was spent on what, in one line."""
    parts = [f"{say_dollars(amount)} {what}" for amount, what in _kinds(cost)]
    return ": ".join([say_total(cost), ", ".join(parts)]) if parts else say_total(cost)


def cost_document(cost: Cost) -> dict[str, float]:
    """Return the cost as JSON has it."""
    return {**dataclasses.asdict(cost), "hours": cost.hours, "total": cost.total, "unused": cost.unused}


def say_budget(budget: float, cost: Cost) -> str:
    """Say how much of the budget is spent."""
    return f"{say_dollars(budget)}, {100 * cost.total / budget:.0f}% spent"


def say_estimate(estimate: Estimate) -> Iterator[tuple[str, str]]:
    """Yield what a campaign may cost, as pairs of a heading and a text; nothing for workers that cost nothing."""
    if not estimate.is_free:
        yield "cost", _say_worker(estimate)
        if estimate.at_most is not None:
            yield "at most", f"{say_dollars(estimate.at_most)} for the jobs if each takes all of its timeout, once"
    if estimate.budget is not None:
        yield "budget", say_dollars(estimate.budget)


def _kinds(cost: Cost) -> Iterator[tuple[float, str]]:
    if cost.spot:
        yield cost.spot, "spot"
        if cost.on_demand:
            yield cost.on_demand, "on demand"
    if cost.wasted:
        yield cost.wasted, "wasted on attempts that were lost or tried again"
    if cost.total:
        yield cost.unused, "not used by jobs"


def _say_worker(estimate: Estimate) -> str:
    if estimate.price_per_hour is None:
        return f"{_UNKNOWN}: the site knows no price"
    said = f"a worker {say_price(estimate.price_per_hour)}"
    others = [
        f"{say_price(price)} {market}"
        for price, market in ((estimate.spot, "spot"), (estimate.on_demand, "on demand"))
        if price is not None and price != estimate.price_per_hour
    ]
    said += f" ({', '.join(others)})" if others else ""
    said += f" for {estimate.kind}" if estimate.kind else ""
    workers = "1 worker" if estimate.workers == 1 else f"{estimate.workers} workers"
    return f"{said}; {workers} for an hour: {say_dollars(estimate.all_workers_per_hour)}"
