"""What is asked of SkyPilot, and how managed jobs are ended with it."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Protocol

from gliderport_prefect.errors import SiteError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from typing import Any

    from gliderport_prefect.sites.sky_jobs import ManagedJob

PAUSE_SECONDS = 3.0
"""Between two looks at the queue while jobs end."""


class SkyApi(Protocol):
    """What is asked of SkyPilot."""

    def check(self, task: Mapping[str, Any]) -> None: ...  # noqa: D102

    def optimize(self, task: Mapping[str, Any]) -> str: ...  # noqa: D102

    def request_launch(self, task: Mapping[str, Any]) -> str: ...  # noqa: D102

    def await_launch(self, request: str, name: str) -> None: ...  # noqa: D102

    def list_jobs(self, name_part: str, *, with_yaml: bool = False, is_own: bool = False) -> list[ManagedJob]: ...  # noqa: D102

    def cancel(self, jobs: Sequence[int]) -> None: ...  # noqa: D102

    def last_lines(self, job: int, lines: int) -> str: ...  # noqa: D102


def end_jobs(
    sky: SkyApi,
    name_part: str,
    *,
    wanted: Callable[[ManagedJob], bool],
    seconds: float,
    list_coming: Callable[[], list[str]] = list,
    pause: float = PAUSE_SECONDS,
) -> None:
    """Cancel managed jobs and wait until SkyPilot says that they are over.

    Args:
        sky: SkyPilot's API.
        name_part: What their names have in common.
        wanted: Says whether a job is one of them.
        seconds: How long to wait for it.
        list_coming: Returns the names of those that may still show up.
        pause: Seconds between two looks.

    Raises:
        SiteError: SkyPilot cannot be asked, or some are not over after that time.
    """
    asked: set[int] = set()
    give_up_at = time.monotonic() + seconds
    while True:
        coming = list_coming()  # before the look: who is not coming any more is in the queue by then, or never will be
        left = [job for job in sky.list_jobs(name_part) if wanted(job) and not job.is_over]
        unasked = [job.id for job in left if job.id not in asked]
        if unasked:
            sky.cancel(unasked)
            asked.update(unasked)
        if not left and not coming:
            return
        if time.monotonic() > give_up_at:
            said = [f"{job.name} (managed job {job.id}, {job.status})" for job in left]
            said += [f"{name} (asked for, not answered yet)" for name in coming]
            raise SiteError(f"SkyPilot has not ended these within {seconds:g} s: {', '.join(said)}")
        time.sleep(pause)
