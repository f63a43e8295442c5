"""What one worker has cost and what use was made of it, folded from sightings of its machine; pure.

A sighting begins an interval that the worker's next one ends. While the machine is up, the interval costs its price:
when the worker runs, and while it starts as soon as the site names its machine. A worker that recovers or is gone
costs nothing. Moments come from one clock for each worker (its site's or its launcher's); where two do not agree, no
interval is negative and none is counted twice.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from gliderport_prefect.protocol import codec
from gliderport_prefect.protocol.machines import Market, WorkerState
from gliderport_prefect.protocol.records import Sighting


@dataclass
class Stretch:
    """Time of a worker at one price."""

    record: int
    """Number of the ledger record with the sighting that began it."""
    market: Market | None
    """How its machine is paid for."""
    price_per_hour: float | None
    """US dollars; none when the site does not know it."""
    recoveries: int = 0
    """How often its site had brought it up again by then."""
    up_seconds: float = 0.0
    """For how long the machine was up, until the worker's newest sighting."""
    used_seconds: float = 0.0
    """Seconds of attempts, each times its share of the worker."""
    wasted_seconds: float = 0.0
    """Those of them whose work was thrown away."""


@dataclass
class Meter:
    """One worker's machine and what became of it."""

    newest: Sighting | None = None
    """What its site said last; none when it has said nothing yet."""
    at: float = 0.0
    """When that began, in seconds since the epoch; never goes back."""
    state_since: float = 0.0
    """When the worker came into its present state."""
    stretches: list[Stretch] = field(default_factory=list[Stretch])
    """Its time, by price, in order."""
    early: Stretch = field(default_factory=lambda: Stretch(0, None, None))
    """Use that was made of it before its site said that its machine is up."""

    @property
    def is_up(self) -> bool:
        """Whether it costs something now."""
        return self.newest is not None and _is_up(self.newest)

    @property
    def is_gone(self) -> bool:
        """Whether it has ended."""
        return self.newest is not None and self.newest.state is WorkerState.GONE

    def see(self, sighting: Sighting, *, record: int) -> None:
        """Take in what the ledger record of that number says of it."""
        before, moment = self.newest, _moment(sighting.seen_at)
        moment = self.at if moment is None or (before is not None and moment < self.at) else moment
        if self.is_up:
            self.stretches[-1].up_seconds += moment - self.at
        if before is None or (before.state, before.recoveries) != (sighting.state, sighting.recoveries):
            self.state_since = moment
        self.newest, self.at = sighting, moment
        if _is_up(sighting):
            machine = sighting.machine
            self._continue(Stretch(record, machine.market, machine.price_per_hour, sighting.recoveries))

    def use(self, seconds: float, *, is_wasted: bool) -> None:
        """Note that an attempt had all of it for so long, or part of it for longer."""
        stretch = self.stretches[-1] if self.stretches else self.early
        stretch.used_seconds += seconds
        if is_wasted:
            stretch.wasted_seconds += seconds

    def up_seconds(self, stretch: Stretch, *, now: float) -> float:
        """Return for how long the machine was up in that stretch until now."""
        runs_on = self.is_up and stretch is self.stretches[-1]
        return stretch.up_seconds + (max(0.0, now - self.at) if runs_on else 0.0)

    def stretch_at(self, record: int) -> Stretch | None:
        """Return the stretch to which an attempt that was settled by that ledger record belongs."""
        begun = [each for each in self.stretches if each.record <= record]
        return begun[-1] if begun else next(iter(self.stretches), None)

    def _continue(self, coming: Stretch) -> None:
        """Go on with the last stretch if the coming one is at the same price, else begin the coming one."""
        if not self.stretches:
            coming.used_seconds, coming.wasted_seconds = self.early.used_seconds, self.early.wasted_seconds
            self.stretches.append(coming)
            return
        last = self.stretches[-1]
        if last.price_per_hour is None and last.recoveries == coming.recoveries:
            # A site may know the price only some time after the machine is up.
            last.market, last.price_per_hour = coming.market, coming.price_per_hour
        elif last.price_per_hour is None or (last.market, last.price_per_hour) != (
            coming.market,
            coming.price_per_hour,
        ):
            self.stretches.append(coming)
        else:
            last.recoveries = coming.recoveries

    # --- snapshots ----------------------------------------------------------------------------------------------

    def pack(self) -> dict[str, Any]:
        """Return it as JSON values."""
        return {
            "newest": None if self.newest is None else codec.to_wire(self.newest),
            "at": self.at,
            "state_since": self.state_since,
            "stretches": [_pack(each) for each in self.stretches],
            "early": _pack(self.early),
        }

    @classmethod
    def unpack(cls, packed: dict[str, Any]) -> Meter:
        """Return what `pack` returned as it was."""
        newest = None if packed["newest"] is None else codec.from_wire(Sighting, packed["newest"])
        stretches = [_unpack(each) for each in packed["stretches"]]
        return cls(newest, packed["at"], packed["state_since"], stretches, _unpack(packed["early"]))


def _is_up(sighting: Sighting) -> bool:
    if sighting.state is WorkerState.STARTING:
        return bool(sighting.machine.cluster or sighting.machine.instance_type)
    return sighting.state is WorkerState.RUNNING


def _moment(text: str) -> float | None:
    try:
        return datetime.fromisoformat(text).timestamp()
    except (ValueError, OverflowError):
        return None


def _pack(stretch: Stretch) -> list[Any]:
    market = None if stretch.market is None else stretch.market.value
    seconds = [stretch.up_seconds, stretch.used_seconds, stretch.wasted_seconds]
    return [stretch.record, market, stretch.price_per_hour, stretch.recoveries, *seconds]


def _unpack(packed: list[Any]) -> Stretch:
    record, market, *others = packed
    return Stretch(record, None if market is None else Market(market), *others)
