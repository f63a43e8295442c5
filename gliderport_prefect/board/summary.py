"""A campaign in one glance, and its workers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from gliderport_prefect.campaign.replay import read_campaign
from gliderport_prefect.protocol.ids import worker_of
from gliderport_prefect.protocol.keys import parse_number
from gliderport_prefect.protocol.records import LauncherClaim, ProgressNote

if TYPE_CHECKING:
    from gliderport_prefect.campaign.runtime import Record, Runtime
    from gliderport_prefect.scheduling.sessions import Session
    from gliderport_prefect.scheduling.state import CampaignState


@dataclass(frozen=True)
class WorkerRow:
    """A session of a worker."""

    worker: str
    """Name of the worker."""
    session: str
    """Which of its sessions."""
    state: str
    """busy, idle, draining, or gone."""
    running: int = 0
    """Jobs that run there."""
    queued: int = 0
    """Jobs that lie in its inbox and have not started."""
    cpus: float | None = None
    """CPU cores that it offers; none when the session is gone."""
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
    reason: str = ""
    """Why it is gone."""


def list_workers(state: CampaignState, *, with_gone: bool = False) -> list[WorkerRow]:
    """Return the live sessions, and before them those that are over if they are wanted."""
    gone = [
        WorkerRow(worker_of(session), session, "gone", reason=reason)
        for session, reason in state.ended_sessions.items()
        if with_gone
    ]
    return gone + [_worker_row(session) for session in state.sessions.values()]


def _worker_row(session: Session) -> WorkerRow:
    running = sum(1 for held in session.held.values() if held.started)
    hello, offer = session.hello, session.offer
    return WorkerRow(
        worker=hello.worker,
        session=session.id,
        state=_worker_state(session),
        running=running,
        queued=len(session.held) - running,
        cpus=offer.cpus,
        memory_bytes=offer.memory_bytes,
        gpus=offer.gpus,
        host=hello.host,
        pid=hello.pid,
        started_at=hello.started_at,
    )


def _worker_state(session: Session) -> str:
    if session.draining:
        return "draining"
    return "busy" if session.held else "idle"


# --- the campaign -----------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Summary:
    """A campaign in one glance."""

    campaign: str
    """Its id."""
    created_at: str
    """When it was begun."""
    origin: str
    """Where its jobs came from."""
    site: str
    """Where its workers run."""
    jobs: dict[str, int]
    """Number of jobs in each state."""
    total: int
    """Number of jobs."""
    finished: bool
    """Whether every job has ended and the launcher has said so."""
    workers: dict[str, int]
    """Number of live sessions that are busy, idle, draining."""
    requests_waiting: int
    """Requests of people that no launcher has acted on."""
    launcher: LauncherClaim | None
    """Who claimed it last."""
    note: ProgressNote | None
    """What that launcher said last of itself."""


def summarize(runtime: Runtime, state: CampaignState) -> Summary:
    """Return where the campaign stands.

    Raises:
        UserError: There is no such campaign in this bucket.
    """
    campaign, counts = read_campaign(runtime), state.jobs.counts()
    workers = dict[str, int](busy=0, idle=0, draining=0)
    for session in state.sessions.values():
        workers[_worker_state(session)] += 1
    return Summary(
        campaign=campaign.campaign,
        created_at=campaign.created_at,
        origin=campaign.origin,
        site=campaign.site,
        jobs={each.value: count for each, count in counts.items()},
        total=len(state.jobs),
        finished=state.finished,
        workers=workers,
        requests_waiting=max(0, _newest_number(runtime, runtime.keys.requests) - state.requests_read),
        launcher=newest_claim(runtime),
        note=_newest(runtime, ProgressNote, log=runtime.keys.progress),
    )


def newest_claim(runtime: Runtime) -> LauncherClaim | None:
    """Return who claimed the campaign last, or None when nobody ever did."""
    return _newest(runtime, LauncherClaim, log=runtime.keys.launchers)


def _newest(runtime: Runtime, kind: type[Record], *, log: str) -> Record | None:
    number = _newest_number(runtime, log)
    return runtime.read_numbered(kind, log, number=number) if number else None


def _newest_number(runtime: Runtime, log: str) -> int:
    return max((parse_number(stored.key) for stored in runtime.store.list(log)), default=0)
