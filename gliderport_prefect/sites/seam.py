"""The seam between the launcher and the places where workers run."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

from gliderport_prefect.protocol.machines import Machine, Market, WorkerState

if TYPE_CHECKING:
    from collections.abc import Sequence

    from gliderport_prefect.errors import GliderportError
    from gliderport_prefect.protocol.ids import WorkerName
    from gliderport_prefect.protocol.resources import Offer

__all__ = ["Machine", "Market", "Quote", "Site", "SiteWorker", "WorkerState"]


@dataclass(frozen=True)
class SiteWorker:
    """A worker as its site sees it."""

    name: WorkerName
    """The name under which it was started."""
    state: WorkerState
    """What has become of it."""
    exit_code: int | None = None
    """Exit code of its process once it is gone, where the site knows it."""
    reason: str = ""
    """Why it is gone or does not start: the site's own words, or the worker's last lines."""
    machine: Machine = field(default_factory=Machine)
    """Where it runs, as far as the site knows."""
    recoveries: int = 0
    """How often the site has brought it up again on another machine."""
    since: float | None = None
    """When this state began, in seconds since the epoch, by the site's clock; none when it does not know."""
    lacks_capacity: bool = False
    """Whether it is not there for want of machines or quota: a matter of time or of another market, not of a defect."""
    was_stopped: bool = False
    """Whether it is gone because somebody asked for its end, as far as the site can tell."""
    refused: GliderportError | None = None
    """Why the site has not started it after all, found out after `start` had returned: it may be started again."""


@dataclass(frozen=True)
class Quote:
    """What a new worker costs, in US dollars per hour; none where the site cannot sell it or knows no price."""

    spot: float | None = None
    """On a machine that may be taken back."""
    on_demand: float | None = None
    """On a machine that is kept."""
    market: Market | None = None
    """What a worker is started on when nobody says; none where nobody pays."""
    kind: str = ""
    """What it would be now, for people, such as `m6i.xlarge in aws/us-east-1`; empty when the site cannot tell."""

    @property
    def price_per_hour(self) -> float | None:
        """Price of a worker that is started when nobody says on what."""
        return self.on_demand if self.market is Market.ON_DEMAND else self.spot


class Site(Protocol):
    """A place where workers of one campaign are started.

    The contract, held by every implementation:

    - `start` ensures: a name that is already there is left alone, so that a launcher that takes over never starts
      a worker twice. It may return before all have been started; `list_workers` then tells what became of them.
    - What runs at a site outlives the launcher; another process with the same campaign sees and stops it.
    - `list_workers` tells of every worker of the campaign that was started and not yet forgotten, the gone ones
      too.
    - `stop` returns when the named workers have ended; first they are asked (TERM), after a grace time they are made
      to.
    - `close` returns when nothing that was asked for is under way any more.
    - Every method may take seconds to minutes; whoever cannot wait puts `Watched` around the site.
    """

    @property
    def offer(self) -> Offer:
        """What a new worker will have for jobs, as far as it can be known before.

        Raises:
            UserError: The site refuses what it is asked to start, such as an impossible machine.
            SiteError: The site cannot be asked.
        """
        ...

    @property
    def quote(self) -> Quote:
        """What a new worker costs, as far as it can be known before.

        Raises:
            UserError: The site refuses what it is asked to start, such as an impossible machine.
            SiteError: The site cannot be asked.
        """
        ...

    def start(self, names: Sequence[WorkerName], *, market: Market | None = None) -> None:
        """Start workers under these names.

        Args:
            names: Their names.
            market: How their machines are paid for; as the site's own settings say when not given.

        Raises:
            SiteError: The site cannot start any, with its reason.
        """
        ...

    def list_workers(self) -> list[SiteWorker]:
        """Return the campaign's workers.

        Raises:
            SiteError: The site cannot be asked.
        """
        ...

    def stop(self, names: Sequence[WorkerName]) -> None:
        """End these workers and return when they have ended.

        Raises:
            SiteError: The site cannot end them, or not within reasonable time.
        """
        ...

    def forget(self) -> None:
        """Drop what the site keeps of the campaign once all its workers are gone."""
        ...

    def close(self) -> None:
        """Return when no start is under way any more, or not within reasonable time; what runs goes on."""
        ...
