"""Keep a campaign within its budget: nothing new when it is spent, and an end when what runs costs too much."""

from __future__ import annotations

import logging
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from gliderport_prefect.board.money import say_dollars
from gliderport_prefect.campaign.replay import read_campaign
from gliderport_prefect.campaign.requests import append_request
from gliderport_prefect.errors import BudgetReached, UserError
from gliderport_prefect.protocol.records import RequestKind
from gliderport_prefect.scheduling.budget import PATIENCE, Spending, budget_of, decide_spending
from gliderport_prefect.scheduling.cost import Cost
from gliderport_prefect.scheduling.estimate import Estimate, derive_longest_hours

if TYPE_CHECKING:
    from gliderport_prefect.campaign.runtime import Runtime
    from gliderport_prefect.lifecycle.checks import Summary
    from gliderport_prefect.lifecycle.launcher import Launcher
    from gliderport_prefect.lifecycle.plan import Plan
    from gliderport_prefect.sites.seam import Quote, Site

_log = logging.getLogger(__name__)

_LOOK_SECONDS = 1.0
"""Between two looks at the cost, which is a sum over all workers that ever were."""
_MORE = 2
"""How many times the budget is proposed to go on with."""


@dataclass
class Purse:
    """What a campaign that is driven has cost and may cost."""

    launcher: Launcher
    cost: Cost = field(default_factory=Cost)
    """What it had cost at the last look."""
    _reckoned: float = 0.0
    _look_at: float = 0.0
    _is_winding_down: bool = False

    @property
    def budget(self) -> float | None:
        """What it may cost, in US dollars; none when there is no limit."""
        return budget_of(self.launcher.state, self.launcher.campaign.launcher)

    @property
    def waiting_for(self) -> str:
        """Why nothing new is started; empty while there is money."""
        if not self._is_winding_down:
            return ""
        return f"the budget of {say_dollars(self.budget)} is spent: what runs may finish, nothing new starts"

    def look(self) -> None:
        """Bring the cost up to date, once a second."""
        clock, fleet = self.launcher.runtime.clock, self.launcher.state.fleet
        if clock.monotonic() < self._look_at:
            return
        self._look_at = clock.monotonic() + _LOOK_SECONDS
        self.cost = fleet.cost(now=clock.wall())
        self._reckoned = fleet.reckon(self.cost)

    def allows_more(self) -> bool:
        """Say whether anything new may be started; while not, let what runs finish and then end the campaign.

        Raises:
            BudgetReached: The budget is spent and nothing runs, or what runs costs too much.
        """
        spending, state = decide_spending(self._reckoned, self.budget), self.launcher.state
        if spending is Spending.OPEN or not state.jobs.unfinished:
            self._is_winding_down = False
            return True
        self._wind_down()
        if spending is Spending.STOP or not any(each.held for each in state.sessions.values()):
            raise BudgetReached(self._say_end())
        return False

    def _wind_down(self) -> None:
        """Let every session finish what runs there and hand back the rest, also those that come to speak only now."""
        if not self._is_winding_down:
            self._is_winding_down = True
            _log.warning("campaign %s: %s", self.launcher.runtime.campaign, self.waiting_for)
        self.launcher.drain(list(self.launcher.state.sessions.values()))

    def _say_end(self) -> str:
        runtime, state, budget = self.launcher.runtime, self.launcher.state, self.budget or 0.0
        running = sum(held.started for each in state.sessions.values() for held in each.held.values())
        ended = f"; {running} running were ended at {PATIENCE:g} times the budget" if running else ""
        return (
            f"campaign {runtime.campaign!r} has cost {say_dollars(self._reckoned)} of its budget of "
            f"{say_dollars(budget)}; {state.jobs.unfinished:,} jobs have not ended{ended}. To go on: "
            f"gliderport resume {runtime.campaign} --bucket {runtime.store.url} --budget {_MORE * budget:g}"
        )


def change_budget(runtime: Runtime, plan: Plan, *, asked: float | None) -> None:
    """Ask for another budget than the campaign began with, when somebody asks for one or its source has one.

    A source that still says what the campaign began with does not take back what somebody has granted since.

    Args:
        runtime: The campaign, which has begun before.
        plan: How it would begin now.
        asked: What somebody asks for beside the source, in US dollars.
    """
    is_changed = plan.launcher.budget != read_campaign(runtime).launcher.budget
    wanted = asked if asked is not None else plan.launcher.budget if is_changed else None
    if wanted is not None:
        append_request(runtime, RequestKind.BUDGET, budget=wanted)


def estimate_cost(plan: Plan, site: Site, *, summary: Summary) -> Estimate:
    """Return what the campaign may cost, as far as that can be told before."""
    quote, hours = site.quote, None
    if summary.jobs_without_timeout == 0:
        hours = derive_longest_hours(summary.timeouts, site.offer)
    price = quote.price_per_hour
    return Estimate(
        workers=plan.launcher.max_workers,
        price_per_hour=price,
        spot=quote.spot,
        on_demand=quote.on_demand,
        kind=quote.kind,
        at_most=None if price is None or hours is None else hours * price,
        budget=plan.launcher.budget,
    )


def check_budget(budget: float | None, quote: Quote) -> None:
    """Check that a budget can be kept.

    Raises:
        UserError: Nobody knows what a worker costs.
    """
    if budget is not None and quote.price_per_hour is None:
        raise UserError(
            "a budget cannot be kept: the site knows no price of a worker",
            key="budget",
            hint="give the price of an hour of a worker (`workers: {price: 0.25}`), or leave the budget out",
        )
