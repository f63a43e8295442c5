"""How many workers the launcher asks its site for, and when it gives the site up."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import pytest

from gliderport_prefect.errors import Stuck
from gliderport_prefect.lifecycle.workers import Workforce
from gliderport_prefect.protocol.ids import JobNumber, WorkerName
from gliderport_prefect.protocol.records import LauncherPolicy, Run, SpecChunkHeader
from gliderport_prefect.protocol.resources import Offer, Resources
from gliderport_prefect.scheduling.state import CampaignState
from gliderport_prefect.sites.seam import Market, Quote, SiteWorker, WorkerState

if TYPE_CHECKING:
    from collections.abc import Sequence

OFFER = Offer(cpus=1, memory_bytes=2**30, disk_bytes=2**30)


@dataclass
class Yard:
    """A site whose workers a test moves by hand."""

    offer: Offer = OFFER
    quote: Quote = field(default_factory=Quote)
    workers: dict[WorkerName, SiteWorker] = field(default_factory=dict[WorkerName, SiteWorker])
    asked: list[WorkerName] = field(default_factory=list[WorkerName])

    def start(self, names: Sequence[WorkerName], *, market: Market | None = None) -> None:  # noqa: ARG002 - all alike
        self.asked.extend(names)
        self.workers.update({name: SiteWorker(name, WorkerState.RUNNING) for name in names})

    def list_workers(self) -> list[SiteWorker]:
        return list(self.workers.values())

    def stop(self, names: Sequence[WorkerName]) -> None:
        for name in names:
            self.lose(name)

    def forget(self) -> None:
        self.workers.clear()

    def lose(self, name: WorkerName) -> None:
        self.workers[name] = SiteWorker(name, WorkerState.GONE, 9, "killed")


def queued(count: int, needs: Resources | None = None) -> CampaignState:
    """Return the state of a campaign whose jobs all wait."""
    state = CampaignState()
    state.add_chunk(SpecChunkHeader("t", JobNumber(0), count, (Run(count, 0, needs or Resources()),)))
    return state


def test_no_more_workers_are_started_than_jobs_wait() -> None:
    assert len(Workforce(Yard(), LauncherPolicy(max_workers=9)).match(queued(3))) == 3


def test_the_same_workers_are_not_asked_for_twice_between_two_looks_at_the_site() -> None:
    yard, state = Yard(), queued(50)
    workforce = Workforce(yard, LauncherPolicy(max_workers=2))
    for _ in range(5):
        workforce.match(state)
    assert yard.asked == ["worker-0001", "worker-0002"]


def test_a_lost_worker_is_replaced_once_and_under_another_name() -> None:
    yard, state = Yard(), queued(50)
    workforce = Workforce(yard, LauncherPolicy(max_workers=2))
    workforce.match(state)
    yard.lose(WorkerName("worker-0001"))
    for _ in range(3):
        workforce.look(state)
        workforce.match(state)
    assert yard.asked == ["worker-0001", "worker-0002", "worker-0003"]


def test_a_site_whose_workers_die_before_they_speak_is_given_up_with_the_last_words() -> None:
    yard, state = Yard(), queued(1)
    workforce = Workforce(yard, LauncherPolicy(max_workers=1, start_failure_limit=3))

    def lose_what_starts() -> None:
        for _ in range(4):
            for name in workforce.match(state):
                yard.lose(name)
            workforce.look(state)

    with pytest.raises(Stuck, match="killed"):
        lose_what_starts()
    assert len(yard.asked) == 3


def test_jobs_that_no_worker_can_ever_run_are_refused() -> None:
    with pytest.raises(Stuck, match=r"1 job needs 64 cpus, \S+ GiB memory, which no worker"):
        Workforce(Yard(), LauncherPolicy()).match(queued(1, Resources(cpus=64, memory_bytes=2**32)))
