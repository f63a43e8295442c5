"""What to do while a site has no machines, or no quota for more."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from gliderport_prefect.protocol.machines import CapacityPolicy, Market, MarketPolicy

if TYPE_CHECKING:
    from collections.abc import Iterable

    from gliderport_prefect.protocol.records import LauncherPolicy
    from gliderport_prefect.scheduling.scaling import Hand

_FIRST_PAUSE_SECONDS = 30.0
_LONGEST_PAUSE_SECONDS = 600.0
_MOST_DOUBLINGS = 30
"""Beyond the longest pause; a number that went on growing would be too large after a week without machines."""
_ASKED = {
    MarketPolicy.TEMPLATE: None,
    MarketPolicy.SPOT: Market.SPOT,
    MarketPolicy.ON_DEMAND: Market.ON_DEMAND,
    MarketPolicy.FALLBACK: Market.SPOT,
}


@dataclass(frozen=True)
class Drought:
    """A time without machines of one kind; times are of the launcher's monotonic clock, in seconds."""

    tries: int = 0
    """Failed tries in a row; those that fail together count as one."""
    began_at: float = 0.0
    """When the first of them failed, or its waiting began."""
    failed_at: float = 0.0
    """When the newest one failed."""
    reason: str = ""
    """What the site said then."""

    def after_failure(self, now: float, *, reason: str) -> Drought:
        """Return the drought after another try that failed."""
        return Drought(self.tries + 1, self.began_at if self.tries else now, now, reason)

    @property
    def retry_at(self) -> float:
        """When to try again: after a pause that doubles with each failure."""
        if not self.tries:
            return -math.inf
        doublings = min(self.tries - 1, _MOST_DOUBLINGS)
        return self.failed_at + min(_FIRST_PAUSE_SECONDS * 2.0**doublings, _LONGEST_PAUSE_SECONDS)


def decide_market(policy: LauncherPolicy, drought: Drought, *, now: float) -> Market | None:
    """Return on what a new worker runs that may run on anything; none when the sky template says it.

    Args:
        policy: What the campaign wants.
        drought: Of machines that may be taken back.
        now: The launcher's monotonic clock.
    """
    if drought.tries and now - drought.began_at >= _patience_seconds(policy):
        return Market.ON_DEMAND
    return _ASKED[policy.market]


def decide_relief(policy: LauncherPolicy, drought: Drought, *, now: float) -> Drought:
    """Return the drought, or none when it has lasted so long that cheap machines are tried again."""
    end = drought.began_at + _patience_seconds(policy) + policy.fallback_after_seconds
    return Drought() if drought.tries and now >= end else drought


def decide_replaced(policy: LauncherPolicy, coming: Iterable[Hand]) -> list[Hand]:
    """Return the workers that have waited too long for a cheap machine and are replaced by ones that are kept."""
    falls_back = policy.market is MarketPolicy.FALLBACK
    return [
        each
        for each in coming
        if not each.kept
        and (
            (each.lacks_capacity and each.waits_seconds >= _patience_seconds(policy))
            or (falls_back and each.waits_seconds >= policy.fallback_after_seconds)
        )
    ]


def note_waited(policy: LauncherPolicy, drought: Drought, *, now: float, reason: str) -> Drought:
    """Return the drought after workers have waited too long: so long that machines of the other kind are taken."""
    noted = drought.after_failure(now, reason=reason)
    return replace(noted, began_at=min(noted.began_at, now - _patience_seconds(policy)))


def _patience_seconds(policy: LauncherPolicy) -> float:
    """Return how long to wait for cheap machines before others are taken; for ever when nobody wants others."""
    if policy.market is MarketPolicy.ON_DEMAND:
        return math.inf
    if policy.no_capacity is CapacityPolicy.ON_DEMAND:
        return 0.0
    return policy.fallback_after_seconds if policy.market is MarketPolicy.FALLBACK else math.inf
