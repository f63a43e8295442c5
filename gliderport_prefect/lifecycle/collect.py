"""Make what people read of a campaign: the results table, with one row per job."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from gliderport_prefect.board.results import write_results
from gliderport_prefect.campaign.replay import replay
from gliderport_prefect.lifecycle.plan import open_runtime
from gliderport_prefect.protocol.outcomes import JobState

if TYPE_CHECKING:
    from pathlib import Path

    from gliderport_prefect.lifecycle.plan import Plan


@dataclass(frozen=True)
class Collected:
    """How a campaign stands, and where its results are."""

    campaign: str
    """Its id."""
    counts: dict[str, int]
    """Number of jobs by state."""
    results: list[str]
    """Where the results tables are."""

    @property
    def all_succeeded(self) -> bool:
        """Whether every job succeeded."""
        return sum(self.counts.values()) == self.counts[JobState.SUCCEEDED.value]


def collect(plan: Plan, folder: Path | None = None) -> Collected:
    """Write the results tables to the bucket, and to a folder of this machine if one is given."""
    runtime = open_runtime(plan)
    state = replay(runtime)
    places = write_results(runtime, state, folder=folder)
    counts = {each.value: count for each, count in state.jobs.counts().items()}
    return Collected(plan.campaign, counts, places)
