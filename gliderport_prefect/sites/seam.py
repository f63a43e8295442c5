"""The seam between the launcher and the places where workers run."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Sequence

    from gliderport_prefect.protocol.ids import WorkerName
    from gliderport_prefect.protocol.resources import Offer


class WorkerState(StrEnum):
    """What a site says of a worker that it started."""

    STARTING = "STARTING"
    """It has been asked for."""
    RUNNING = "RUNNING"
    """Its process runs, as far as the site can tell."""
    RECOVERING = "RECOVERING"
    """Its machine was lost and the site brings up another."""
    GONE = "GONE"
    """It has ended and will not come back."""


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


class Site(Protocol):
    """A place where workers of one campaign are started.

    The contract, held by every implementation:

    - `start` ensures: a name that is already there is left alone, so that a launcher that takes over never starts
      a worker twice.
    - What runs at a site outlives the launcher; another process with the same campaign sees and stops it.
    - `list_workers` tells of every worker of the campaign that was started and not yet forgotten, the gone ones
      too.
    - `stop` returns when the named workers have ended; first they are asked (TERM), after a grace time they are made
      to.
    """

    @property
    def offer(self) -> Offer:
        """What a new worker will have for jobs, as far as it can be known before."""
        ...

    def start(self, names: Sequence[WorkerName]) -> None:
        """Start workers under these names.

        Raises:
            SiteError: The site cannot start any, with its reason.
        """
        ...

    def list_workers(self) -> list[SiteWorker]:
        """Return the campaign's workers."""
        ...

    def stop(self, names: Sequence[WorkerName]) -> None:
        """End these workers and return when they have ended."""
        ...

    def forget(self) -> None:
        """Drop what the site keeps of the campaign once all its workers are gone."""
        ...
