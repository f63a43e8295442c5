"""Progress that moves: a bar, and the line that the command line shows, too.

A handful of API calls a minute, however many jobs run: an artifact costs the server about 0.1 s.
"""

from __future__ import annotations

import logging
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING
from uuid import UUID

from prefect.artifacts import create_progress_artifact, update_progress_artifact

from gliderport_prefect.board.progress import Standing, describe
from gliderport_prefect.board.rate import RateMeter, Sample

if TYPE_CHECKING:
    from gliderport_prefect.lifecycle.driving import Progress

_FIRST_PAUSE_SECONDS, _LONGEST_PAUSE_SECONDS = 2.0, 15.0
_ALL = 100
_log = logging.getLogger(__name__)


@dataclass
class ProgressArtifact:
    """Shows a campaign's progress in the flow run's page; call it after every round."""

    _meter: RateMeter = field(default_factory=RateMeter)
    _artifact: UUID | None = None
    _pause: float = _FIRST_PAUSE_SECONDS
    _next_at: float = 0.0
    _percent: int = -1
    _said: str = ""

    def __call__(self, progress: Progress) -> None:
        """Show the progress if it is time for it, or the end, and there is something new."""
        standing, now = Standing(progress.jobs, progress.workers, cost=progress.cost), time.monotonic()
        self._meter.note(Sample(now, standing.ended))
        ends = standing.percent == _ALL != self._percent
        if now < self._next_at and not ends:
            return
        said = describe(standing, self._meter)
        if said != self._said:
            self._show(standing.percent, said)
            self._next_at, self._percent, self._said = now + self._pause, standing.percent, said
            self._pause = min(2 * self._pause, _LONGEST_PAUSE_SECONDS)

    def _show(self, percent: int, said: str) -> None:
        try:
            if self._artifact is None:
                made = create_progress_artifact(percent, key="gliderport-progress", description=said)
                self._artifact = made if isinstance(made, UUID) else None
            else:
                update_progress_artifact(self._artifact, percent, description=said)
        except Exception as error:  # noqa: BLE001 - a Prefect server that is away must not end a campaign
            _log.warning(
                "progress cannot be shown in Prefect (%s: %s); the campaign goes on", type(error).__name__, error
            )
