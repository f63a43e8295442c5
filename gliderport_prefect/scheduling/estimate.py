"""What a campaign may cost, told before it starts; pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from gliderport_prefect.scheduling.sessions import side_by_side

if TYPE_CHECKING:
    from collections.abc import Mapping

    from gliderport_prefect.protocol.resources import Offer, Resources

_HOUR = 3600.0


@dataclass(frozen=True)
class Estimate:
    """Prices in US dollars; none where nobody knows."""

    workers: int
    """Most workers at a time."""
    price_per_hour: float | None
    """Of a worker as it will be started."""
    spot: float | None = None
    """Price of an hour of a worker on a machine that may be taken back."""
    on_demand: float | None = None
    """Price of an hour of a worker on a machine that is kept."""
    kind: str = ""
    """What a worker's machine would be now, for people."""
    at_most: float | None = None
    """Cost of the jobs if each takes all of its `timeout`, once; none when one has no `timeout`."""
    budget: float | None = None
    """What the campaign may cost; none when there is no limit."""

    @property
    def is_free(self) -> bool:
        """Whether workers cost nothing."""
        return self.price_per_hour == 0

    @property
    def all_workers_per_hour(self) -> float | None:
        """Price of an hour of as many workers as there may be."""
        return None if self.price_per_hour is None else self.price_per_hour * self.workers


def derive_longest_hours(timeouts: Mapping[Resources, float], offer: Offer) -> float | None:
    """Return the hours of workers for jobs that all take as long as they may; none when a job fits no worker.

    Args:
        timeouts: The `timeout` of all jobs of a need together, in seconds.
        offer: What a worker has.
    """
    hours = 0.0
    for needs, seconds in timeouts.items():
        slots = side_by_side(offer, needs)
        if not slots:
            return None
        hours += seconds / slots / _HOUR
    return hours
