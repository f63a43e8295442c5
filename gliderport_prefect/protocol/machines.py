"""The machines of workers, as their site tells of them: where they are, what they cost, what became of them."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum


class WorkerState(str, Enum):
    """What a site says of a worker that it started."""

    STARTING = "STARTING"
    """It has been asked for."""
    RUNNING = "RUNNING"
    """Its process runs, as far as the site can tell."""
    RECOVERING = "RECOVERING"
    """Its machine was lost and the site brings up another."""
    GONE = "GONE"
    """It has ended and will not come back."""


class Market(str, Enum):
    """How a machine is paid for."""

    SPOT = "SPOT"
    """Cheap, and may be taken back at any time."""
    ON_DEMAND = "ON_DEMAND"
    """At the full price, and kept."""


class MarketPolicy(str, Enum):
    """On what kind of machine a campaign's workers run."""

    TEMPLATE = "TEMPLATE"
    """As the sky template says."""
    SPOT = "SPOT"
    """On machines that may be taken back."""
    ON_DEMAND = "ON_DEMAND"
    """On machines that are kept."""
    FALLBACK = "FALLBACK"
    """On machines that may be taken back; on kept ones for jobs that were preempted too often, and when there are none
    of the others."""


class CapacityPolicy(str, Enum):
    """What to do when the site has no machines, or the quota is used up."""

    WAIT = "WAIT"
    """Try again, with growing pauses."""
    ON_DEMAND = "ON_DEMAND"
    """Take machines that are kept in place of those that may be taken back."""
    FAIL = "FAIL"
    """Give up after a few tries."""


@dataclass(frozen=True)
class Machine:
    """Where a worker runs; what the site does not know is empty."""

    cluster: str = ""
    """The site's name for the machine, such as SkyPilot's cluster or a host name."""
    infra: str = ""
    """Cloud, region and zone as SkyPilot writes them, such as `aws/us-east-1/us-east-1b`, or `slurm/main`."""
    instance_type: str = ""
    """The cloud's name for its kind, such as `m6i.large`."""
    market: Market | None = None
    """How it is paid for; none where nobody pays."""
    price_per_hour: float | None = None
    """US dollars; none when the site does not know it, 0 when it costs nothing."""
