"""What a flow run shows in the Prefect UI: progress that moves, and a summary at the end.

A handful of API calls a minute, however many jobs run: an artifact costs the server about 0.1 s.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING
from uuid import UUID

from prefect.artifacts import create_markdown_artifact, create_progress_artifact, update_progress_artifact

from gliderport_prefect.protocol.outcomes import TERMINAL_STATES

if TYPE_CHECKING:
    from gliderport_prefect.lifecycle.collect import Collected
    from gliderport_prefect.lifecycle.driving import Progress

_INTERVAL_SECONDS = 15.0


@dataclass
class ProgressArtifact:
    """Shows a campaign's progress in the flow run's page; call it after every round."""

    campaign: str
    _artifact: UUID | None = None
    _next_at: float = 0.0
    _shown: float = field(default=-1.0)

    def __call__(self, progress: Progress) -> None:
        """Show the progress, if it has moved and the last time is long enough ago."""
        ended = sum(progress.jobs[state] for state in TERMINAL_STATES)
        percent = 100.0 * ended / max(1, progress.total)
        now = time.monotonic()
        if percent == self._shown or (now < self._next_at and ended < progress.total):
            return
        self._shown, self._next_at = percent, now + _INTERVAL_SECONDS
        self._show(percent)

    def _show(self, percent: float) -> None:
        if self._artifact is None:
            made = create_progress_artifact(percent, description=f"Jobs of campaign {self.campaign} that have ended")
            self._artifact = made if isinstance(made, UUID) else None
        else:
            update_progress_artifact(self._artifact, percent)


def show_summary(collected: Collected) -> None:
    """Show how the campaign ended and where its results are."""
    rows = [f"| {state} | {count} |" for state, count in collected.counts.items() if count]
    places = [f"- `{place}`" for place in collected.results]
    lines = [f"## Campaign {collected.campaign}", "", "| state | jobs |", "|---|---|", *rows, "", "Results:", *places]
    create_markdown_artifact("\n".join(lines), key="gliderport-summary", description="How the campaign ended")
