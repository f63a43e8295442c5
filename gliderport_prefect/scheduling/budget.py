"""Whether a campaign may spend more; pure."""

from __future__ import annotations

from enum import Enum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from gliderport_prefect.protocol.records import LauncherPolicy
    from gliderport_prefect.scheduling.state import CampaignState

PATIENCE = 1.1
"""Running jobs may finish until this multiple of the budget is spent; then they are ended."""


class Spending(Enum):
    """What the money allows."""

    OPEN = "open"
    """Go on."""
    NOTHING_NEW = "nothing new"
    """The budget is spent: what runs may finish, nothing is started."""
    STOP = "stop"
    """What runs would cost too much: end it."""


def budget_of(state: CampaignState, policy: LauncherPolicy) -> float | None:
    """Return what the campaign may cost, in US dollars: what was asked for last, else what it began with."""
    return policy.budget if state.budget is None else state.budget


def decide_spending(cost: float, budget: float | None) -> Spending:
    """Return what the money allows.

    Args:
        cost: What the campaign has cost so far, in US dollars.
        budget: What it may cost; none when there is no limit.
    """
    if budget is None or cost < budget:
        return Spending.OPEN
    return Spending.NOTHING_NEW if cost < PATIENCE * budget else Spending.STOP
