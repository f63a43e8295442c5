"""What a site has started, of whatever campaign, so that workers are found that nobody remembers.

Each site tells it in its own way: this machine by its processes, SkyPilot by its queue of managed jobs. Who of them
is to be ended is decided elsewhere.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

from gliderport_prefect.protocol.machines import Machine, WorkerState

if TYPE_CHECKING:
    from collections.abc import Sequence

    from gliderport_prefect.protocol.ids import CampaignId, WorkerName

__all__ = ["Machine", "Started", "StartedWorkers", "WorkerState"]


@dataclass(frozen=True)
class Started:
    """A worker that Gliderport started at a site and that has not ended there."""

    site: str
    """Name of the site, such as `local`."""
    campaign: CampaignId
    """Whose jobs it runs."""
    bucket: str
    """URL of the runtime bucket, as the worker was told."""
    worker: WorkerName
    """The name under which it was started."""
    reference: str
    """What the site itself calls it: a process number, the id of a managed job."""
    state: WorkerState
    """What the site says of it; never GONE."""
    machine: Machine = field(default_factory=Machine)
    """Where it runs, as far as the site knows."""
    since: float | None = None
    """When this state began, in seconds since the epoch, by the site's clock; none when it does not know."""
    user: str = ""
    """Who started it, when that was another user of the same site; such a worker is told of and never ended."""


class StartedWorkers(Protocol):
    """All workers that Gliderport has started at one site and that have not ended.

    The contract, held by every site:

    - What Gliderport did not start is never among them, whatever its name: name, labels and environment or command
      line must agree.
    - A worker is found by what the site itself shows, so also when the launcher was killed in the middle of its start.
    - A site that is not set up here raises UserError; it was never used from here. One that is, and cannot be asked,
      raises SiteError.
    """

    def find_started(self) -> list[Started]:
        """Return them.

        Raises:
            UserError: The site is not installed or not set up here.
            SiteError: The site cannot be asked.
        """
        ...

    def stop_started(self, started: Sequence[Started]) -> None:
        """End these and return when they have ended; one that has ended already is no error.

        Raises:
            SiteError: The site cannot end them, or not within reasonable time.
        """
        ...
