"""Managed jobs that SkyPilot was asked for and does not show yet: on a busy server, it answers after minutes.

Each answer is awaited in a thread of its own, which ends with the process. A job can show up before the answer does,
and even when the answer is an error: the queue is looked at first, always.
"""

from __future__ import annotations

import logging
import threading
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from gliderport_prefect.errors import GliderportError
from gliderport_prefect.sites.seam import SiteWorker, WorkerState
from gliderport_prefect.sites.sky_jobs import says_no_capacity

if TYPE_CHECKING:
    from collections.abc import Container, Iterable

    from gliderport_prefect.protocol.ids import WorkerName
    from gliderport_prefect.sites.sky_api import SkyApi

_STREAMS = 16
"""So many answers are awaited at a time: each is a connection to the API server."""

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Launch:
    """A managed job that SkyPilot was asked for."""

    worker: WorkerName
    """Whose it is."""
    job_name: str
    """Its name."""
    request: str
    """SkyPilot's number of the request."""
    is_answered: bool = False
    """Whether SkyPilot has dealt with the request."""
    problem: GliderportError | None = None
    """What went wrong, by the answer."""
    is_unwanted: bool = False
    """Whether the job is to be ended as soon as it shows up."""

    @property
    def is_done(self) -> bool:
        """Whether SkyPilot says that all is well: if the queue does not show it, it is not there."""
        return self.is_answered and self.problem is None

    def describe(self) -> SiteWorker:
        """Return the worker, while the queue does not show its job."""
        if self.problem is None:
            reason = "SkyPilot was asked for it and has not answered yet"
            return SiteWorker(self.worker, WorkerState.STARTING, reason=reason)
        said = str(self.problem)
        return SiteWorker(
            self.worker,
            WorkerState.GONE,
            reason=said,
            lacks_capacity=says_no_capacity(said),
            refused=self.problem,
        )


@dataclass
class Launches:
    """What SkyPilot was asked for and does not show yet. Any thread may call it."""

    sky: SkyApi
    """SkyPilot's API."""
    _open: dict[str, Launch] = field(default_factory=dict[str, Launch])
    _change: threading.Condition = field(default_factory=threading.Condition)
    _streams: threading.BoundedSemaphore = field(default_factory=lambda: threading.BoundedSemaphore(_STREAMS))

    def follow(self, launch: Launch) -> None:
        """Await the answer in the background."""
        with self._change:
            self._open[launch.job_name] = launch
        threading.Thread(target=self._await, args=(launch,), name=f"sky-{launch.worker}", daemon=True).start()

    def wait(self, job_names: Container[str] | None, *, seconds: float) -> bool:
        """Wait for the answers about these jobs, or all, and say whether they have come."""
        with self._change:
            return self._change.wait_for(lambda: not self._unanswered(job_names), timeout=seconds)

    def list_unanswered(self, job_names: Container[str] | None = None) -> list[str]:
        """Return the names of jobs of which nothing is known yet, of these or of all."""
        with self._change:
            return self._unanswered(job_names)

    def list_all(self) -> list[Launch]:
        """Return them, as they are at the moment."""
        with self._change:
            return list(self._open.values())

    def take_failed(self, job_names: Container[str]) -> list[Launch]:
        """Return those of these that came to nothing, by the answer, and drop them."""
        with self._change:
            failed = [each for name, each in self._open.items() if name in job_names and each.problem is not None]
            for each in failed:
                del self._open[each.job_name]
            return failed

    def drop(self, launches: Iterable[Launch]) -> None:
        """Forget launches of which the queue tells, unless there are newer ones, or they are to be ended."""
        with self._change:
            for each in launches:
                standing = self._open.get(each.job_name)
                if standing is not None and standing.request == each.request and not standing.is_unwanted:
                    del self._open[each.job_name]
            self._change.notify_all()

    def renounce(self, job_names: Iterable[str]) -> None:
        """Want these no more: what failed is forgotten, and what comes is ended, even if nobody looks any more."""
        with self._change:
            for name in job_names:
                launch = self._open.get(name)
                if launch is not None and launch.is_answered:
                    del self._open[name]
                elif launch is not None:
                    self._open[name] = replace(launch, is_unwanted=True)

    def _unanswered(self, job_names: Container[str] | None) -> list[str]:
        names = self._open if job_names is None else job_names
        return [name for name, each in self._open.items() if name in names and not each.is_answered]

    def _await(self, launch: Launch) -> None:
        problem: GliderportError | None = None
        with self._streams:
            try:
                self.sky.await_launch(launch.request, launch.worker)
            except GliderportError as error:
                problem = error
        if self._is_unwanted(launch):
            self._end(launch)
        with self._change:
            standing = self._open.get(launch.job_name)
            if standing is not None and standing.request == launch.request:
                if standing.is_unwanted:
                    del self._open[launch.job_name]
                else:
                    self._open[launch.job_name] = replace(standing, is_answered=True, problem=problem)
            self._change.notify_all()

    def _is_unwanted(self, launch: Launch) -> bool:
        with self._change:
            standing = self._open.get(launch.job_name)
            return standing is not None and standing.request == launch.request and standing.is_unwanted

    def _end(self, launch: Launch) -> None:
        """End what came of it: whoever wanted it ended may have waited in vain and left."""
        try:
            found = [job for job in self.sky.list_jobs(launch.job_name) if job.name == launch.job_name]
            self.sky.cancel([job.id for job in found if not job.is_over])
        except GliderportError as error:
            _log.warning("%s was asked for and is not wanted any more, but may run: %s", launch.job_name, error)
