"""A campaign in one glance."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from gliderport_prefect.board.workers import list_workers
from gliderport_prefect.campaign.replay import read_campaign
from gliderport_prefect.protocol.keys import parse_number
from gliderport_prefect.protocol.records import LauncherClaim, ProgressNote
from gliderport_prefect.scheduling.budget import budget_of

if TYPE_CHECKING:
    from gliderport_prefect.campaign.runtime import Record, Runtime
    from gliderport_prefect.scheduling.cost import Cost
    from gliderport_prefect.scheduling.state import CampaignState


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
    """Number of workers in each state, without those that are gone."""
    cost: Cost
    """What the workers have cost so far."""
    budget: float | None
    """What the campaign may cost, in US dollars; none when there is no limit."""
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
    now = runtime.clock.wall()
    workers = dict[str, int](starting=0, recovering=0, busy=0, idle=0, draining=0, leaving=0)
    for row in list_workers(state, now=now):
        workers[row.state] += 1
    return Summary(
        campaign=campaign.campaign,
        created_at=campaign.created_at,
        origin=campaign.origin,
        site=campaign.site,
        jobs={each.value: count for each, count in counts.items()},
        total=len(state.jobs),
        finished=state.finished,
        workers=workers,
        cost=state.fleet.cost(now=now),
        budget=budget_of(state, campaign.launcher),
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
