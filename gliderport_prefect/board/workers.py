"""The workers of a campaign: what the bucket says of their sessions, joined with what their site said of machines."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from gliderport_prefect.protocol.ids import WorkerName, worker_of
from gliderport_prefect.protocol.machines import Machine, Market, WorkerState
from gliderport_prefect.scheduling.cost import cost_of
from gliderport_prefect.scheduling.meters import Meter

if TYPE_CHECKING:
    from collections.abc import Iterator

    from gliderport_prefect.protocol.ids import SessionId
    from gliderport_prefect.scheduling.sessions import Session
    from gliderport_prefect.scheduling.state import CampaignState


@dataclass(frozen=True)
class WorkerRow:
    """A worker, and the session in which it works; with one that is over the row says how that one ended."""

    worker: str
    """Name of the worker."""
    session: str | None
    """Which of its sessions; none while it has not said hello."""
    state: str
    """starting, busy, idle, draining, leaving, recovering, or gone."""
    state_seconds: float | None = None
    """For how long its site has said what it says of it; none when that is not known."""
    running: int = 0
    """Jobs that run there."""
    queued: int = 0
    """Jobs that lie in its inbox and have not started."""
    cpus: float | None = None
    """CPU cores that it offers; none before it has said so and when the session is over."""
    memory_bytes: int | None = None
    """Memory that it offers."""
    gpus: int | None = None
    """GPUs that it offers."""
    host: str | None = None
    """Name of its machine."""
    pid: int | None = None
    """Its process there."""
    started_at: str | None = None
    """When it started, by its own clock."""
    cluster: str | None = None
    """The site's name for its machine."""
    infra: str | None = None
    """Cloud, region and zone."""
    instance_type: str | None = None
    """The cloud's name for the kind of its machine."""
    market: str | None = None
    """SPOT or ON_DEMAND; none where nobody pays."""
    recoveries: int | None = None
    """How often its site has brought it up again."""
    price_per_hour: float | None = None
    """US dollars; none when nobody knows."""
    hours: float | None = None
    """For how long its machines were up; none when its site has not said anything."""
    cost: float | None = None
    """US dollars so far; none when a price is not known."""
    reason: str = ""
    """Why it is gone, or does not start."""


def list_workers(state: CampaignState, *, now: float, with_gone: bool = False) -> list[WorkerRow]:
    """Return the workers that are there or on their way, and before them those that are gone if they are wanted.

    Args:
        state: Where the campaign stands.
        now: The moment, in seconds since the epoch.
        with_gone: Whether those are wanted that are gone, and sessions that are over.
    """
    live = {worker_of(session) for session in state.sessions}
    seen = {name: _machine_of(meter, now=now) for name, meter in state.fleet.meters.items()}
    # A worker's machine is told of once: with the session in which it works now, else with its last one.
    told = live | {worker_of(session) for session in state.ended_sessions}
    rows = [*_ended_rows(state, seen, live=live), *(_unspoken_row(seen[name], name) for name in seen.keys() - told)]
    rows += [_session_row(session, seen.get(worker_of(session.id))) for session in state.sessions.values()]
    return sorted((row for row in rows if with_gone or row.state != "gone"), key=_by_age)


def session_state(session: Session) -> str:
    """Return whether a live session is busy, idle or draining."""
    if session.draining:
        return "draining"
    return "busy" if session.held else "idle"


@dataclass(frozen=True)
class _Seen:
    """What the site said of a worker, and what it has cost."""

    state: WorkerState | None
    seconds: float | None
    machine: Machine
    recoveries: int
    reason: str
    hours: float
    cost: float | None

    def fields(self) -> dict[str, str | float | None]:
        """Return what a row tells of it."""
        machine = self.machine
        return {
            "state_seconds": self.seconds,
            "cluster": machine.cluster or None,
            "infra": machine.infra or None,
            "instance_type": machine.instance_type or None,
            "market": None if machine.market is None else Market(machine.market).value,
            "recoveries": self.recoveries,
            "price_per_hour": machine.price_per_hour,
            "hours": self.hours,
            "cost": self.cost,
        }


def _machine_of(meter: Meter, *, now: float) -> _Seen:
    newest, cost = meter.newest, cost_of(meter, now=now)
    return _Seen(
        state=None if newest is None else newest.state,
        seconds=None if newest is None else max(0.0, now - meter.state_since),
        machine=Machine() if newest is None else newest.machine,
        recoveries=0 if newest is None else newest.recoveries,
        reason="" if newest is None else newest.reason,
        hours=cost.hours,
        cost=None if cost.unknown_hours else cost.total,
    )


def _ended_rows(state: CampaignState, seen: dict[WorkerName, _Seen], *, live: set[WorkerName]) -> Iterator[WorkerRow]:
    """Yield the sessions that are over; the last one of a worker that has no other tells of its machine."""
    newest = {worker_of(session): session for session in state.ended_sessions}
    for session, reason in state.ended_sessions.items():
        worker = worker_of(session)
        machine = seen.get(worker)
        if machine is None or worker in live or newest[worker] != session:
            yield WorkerRow(worker, session, "gone", reason=reason)
        else:
            yield _ended_row(session, machine, reason=reason)


def _ended_row(session: SessionId, seen: _Seen, *, reason: str) -> WorkerRow:
    """Return the row of a worker whose session is over: its site may have it still, or bring it up again."""
    after = {WorkerState.RECOVERING: "recovering", WorkerState.STARTING: "starting", WorkerState.RUNNING: "leaving"}
    state = "gone" if seen.state is None else after.get(seen.state, "gone")
    why = f"{reason}; {seen.reason}" if seen.reason and seen.reason not in reason else reason
    return WorkerRow(worker_of(session), session, state, reason=why, **seen.fields())  # pyright: ignore[reportArgumentType]


def _unspoken_row(seen: _Seen, worker: WorkerName) -> WorkerRow:
    """Return the row of a worker that has not said hello."""
    states = {WorkerState.RECOVERING: "recovering", WorkerState.GONE: "gone"}
    state = "starting" if seen.state is None else states.get(seen.state, "starting")
    waits = "its machine runs; it has not said hello yet" if seen.state is WorkerState.RUNNING else ""
    return WorkerRow(worker, None, state, reason=seen.reason or waits, **seen.fields())  # pyright: ignore[reportArgumentType]


def _session_row(session: Session, seen: _Seen | None) -> WorkerRow:
    running = sum(1 for held in session.held.values() if held.started)
    hello, offer = session.hello, session.offer
    is_recovering = seen is not None and seen.state is WorkerState.RECOVERING
    fields = {} if seen is None else seen.fields()
    return WorkerRow(
        worker=hello.worker,
        session=session.id,
        state="recovering" if is_recovering else session_state(session),
        running=running,
        queued=len(session.held) - running,
        cpus=offer.cpus,
        memory_bytes=offer.memory_bytes,
        gpus=offer.gpus,
        host=hello.host,
        pid=hello.pid,
        started_at=hello.started_at,
        reason="" if seen is None else seen.reason,
        **fields,  # pyright: ignore[reportArgumentType]
    )


def _by_age(row: WorkerRow) -> tuple[bool, str]:
    """Sort by name, those that are gone first."""
    return row.state != "gone", row.worker
