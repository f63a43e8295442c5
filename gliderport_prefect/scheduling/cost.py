"""What a campaign costs: its workers' hours times their prices, and each job's part of that; pure.

A job has its share of the worker for as long as its attempts took: inputs, command and outputs. The share is the
largest of the parts of cpus, memory and gpus that the attempt had. What the jobs of a worker cost never exceeds what
the worker costs: where clocks or overlapping attempts would make it more, all of them are scaled down alike.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple

from gliderport_prefect.protocol.ids import WorkerName, worker_of
from gliderport_prefect.protocol.machines import Market
from gliderport_prefect.protocol.outcomes import FREE, JobState, Outcome
from gliderport_prefect.scheduling.meters import Meter, Stretch

if TYPE_CHECKING:
    from collections.abc import Iterable

    from gliderport_prefect.protocol.records import Settled, Sighting
    from gliderport_prefect.protocol.resources import Offer, Resources

_HOUR = 3600.0
_SHARE_DIGITS = 6


@dataclass(frozen=True)
class Cost:
    """What workers have cost until a moment, in US dollars and hours."""

    spot: float = 0.0
    """Dollars for machines that may be taken back."""
    on_demand: float = 0.0
    """Dollars for all other machines."""
    spot_hours: float = 0.0
    """Hours of machines that may be taken back."""
    on_demand_hours: float = 0.0
    """Hours of all other machines."""
    unknown_hours: float = 0.0
    """Those of both whose price nobody knows; the dollars are without them."""
    used: float = 0.0
    """Dollars for the time that attempts had."""
    wasted: float = 0.0
    """Those of them for attempts whose work was thrown away: lost, preempted, or tried again."""

    @property
    def total(self) -> float:
        """Dollars for all machines whose price is known."""
        return self.spot + self.on_demand

    @property
    def hours(self) -> float:
        """Hours of all machines."""
        return self.spot_hours + self.on_demand_hours

    @property
    def unused(self) -> float:
        """Dollars for the time that no attempt had: starting, waiting, leaving."""
        return max(0.0, self.total - self.used)

    @property
    def is_free(self) -> bool:
        """Whether nothing was to be paid, as far as can be told."""
        return not self.total and not self.unknown_hours


class Use(NamedTuple):
    """What an attempt had of its worker."""

    worker: WorkerName
    """Which."""
    seconds: float
    """For how long: inputs, command and outputs."""
    share: float
    """Which part, from 0 to 1; 0 when nobody knows."""
    is_wasted: bool
    """Whether its work was thrown away."""

    @property
    def worker_seconds(self) -> float:
        """Seconds of the whole worker that make as much."""
        return max(0.0, self.seconds) * self.share


@dataclass
class Fleet:
    """The meters of all workers that a campaign ever had."""

    meters: dict[WorkerName, Meter] = field(default_factory=dict[WorkerName, Meter])
    """By name of the worker."""

    def see(self, sightings: Iterable[Sighting], *, record: int) -> None:
        """Take in what the ledger record of that number says of workers."""
        for each in sightings:
            self._meter(each.worker).see(each, record=record)

    def use(self, used: Use) -> None:
        """Take in what an attempt had of its worker, when it is settled."""
        if used.worker_seconds:
            self._meter(used.worker).use(used.worker_seconds, is_wasted=used.is_wasted)

    def known(self) -> dict[WorkerName, Sighting]:
        """Return the newest sighting of each worker that was seen."""
        return {name: each.newest for name, each in self.meters.items() if each.newest is not None}

    def cost(self, *, now: float) -> Cost:
        """Return what all workers have cost until that moment, in seconds since the epoch."""
        return _sum(self.meters.values(), now)

    def reckon(self, cost: Cost) -> float:
        """Return what is held against a budget: dollars, with unknown prices taken for the highest that is known."""
        if not cost.unknown_hours:
            return cost.total
        known = (stretch.price_per_hour or 0.0 for meter in self.meters.values() for stretch in meter.stretches)
        return cost.total + cost.unknown_hours * max(known, default=0.0)

    def price(self, used: Use, *, record: int, now: float) -> float | None:
        """Return what an attempt has cost that the ledger record of that number settles; none when nobody knows."""
        meter = self.meters.get(used.worker)
        stretch = None if meter is None else meter.stretch_at(record)
        if not used.share or meter is None or stretch is None or stretch.price_per_hour is None:
            return None
        scale = _scale(stretch, up_seconds=meter.up_seconds(stretch, now=now))
        return used.worker_seconds * scale / _HOUR * stretch.price_per_hour

    def pack(self) -> dict[str, Any]:
        """Return all as JSON values."""
        return {name: each.pack() for name, each in self.meters.items()}

    def unpack(self, packed: dict[str, Any]) -> None:
        """Fill this empty fleet from what `pack` returned."""
        self.meters = {WorkerName(name): Meter.unpack(each) for name, each in packed.items()}

    def _meter(self, worker: WorkerName) -> Meter:
        return self.meters.setdefault(worker, Meter())


def cost_of(meter: Meter, *, now: float) -> Cost:
    """Return what one worker has cost until that moment, in seconds since the epoch."""
    return _sum([meter], now)


def share_of(offer: Offer, needs: Resources) -> float:
    """Return which part of the worker a job of this need has: the largest of cpus, memory and gpus, at most 1."""
    pairs = ((offer.cpus, needs.cpus), (offer.memory_bytes, needs.memory_bytes), (offer.gpus, needs.gpus))
    share = max((need / have for have, need in pairs if have), default=1.0)
    return round(min(1.0, share), _SHARE_DIGITS)


def use_of(settled: Settled) -> Use:
    """Return what a settled attempt had of its worker."""
    report, usage = settled.report, settled.report.usage
    seconds = usage.wall_seconds + usage.stage_in_seconds + usage.stage_out_seconds
    return Use(worker_of(settled.session), seconds, settled.share, is_wasted(report.outcome, settled.then))


def is_wasted(outcome: Outcome, then: JobState) -> bool:
    """Say whether an attempt's work was thrown away: it was lost or preempted, or the job is tried again."""
    return outcome in FREE or then is JobState.QUEUED


def _sum(meters: Iterable[Meter], now: float) -> Cost:
    """Return the cost of all stretches; plain sums, because a launcher with thousands of workers asks every second."""
    spot = on_demand = spot_hours = on_demand_hours = unknown_hours = used = wasted = 0.0
    for meter in meters:
        for stretch in meter.stretches:
            up_seconds = meter.up_seconds(stretch, now=now)
            hours, price = up_seconds / _HOUR, stretch.price_per_hour or 0.0
            if stretch.market is Market.SPOT:
                spot_hours += hours
                spot += hours * price
            else:
                on_demand_hours += hours
                on_demand += hours * price
            if stretch.price_per_hour is None:
                unknown_hours += hours
            per_second = _scale(stretch, up_seconds=up_seconds) / _HOUR * price
            used += stretch.used_seconds * per_second
            wasted += stretch.wasted_seconds * per_second
    return Cost(spot, on_demand, spot_hours, on_demand_hours, unknown_hours, used, wasted)


def _scale(stretch: Stretch, *, up_seconds: float) -> float:
    """Return by what the use of a stretch is multiplied so that it does not exceed its time."""
    return min(1.0, up_seconds / stretch.used_seconds) if stretch.used_seconds > 0 else 1.0
