"""A campaign needs the site for new workers only: those that are there go on, whatever becomes of the site's server."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import pytest

from gliderport_prefect.errors import SiteError
from gliderport_prefect.lifecycle.driving import Progress, drive
from gliderport_prefect.lifecycle.workers import Workforce
from gliderport_prefect.protocol.ids import WorkerName
from gliderport_prefect.protocol.outcomes import JobState
from gliderport_prefect.protocol.records import LauncherPolicy, ProgressNote
from gliderport_prefect.sites.seam import Market, Quote, SiteWorker, WorkerState
from gliderport_prefect.sites.watched import Watched
from gliderport_prefect.store import list_numbers
from tests.at_once import AtOnce
from tests.campaign_rig import KEYS, Bucket, job_specs
from tests.simulated import SMALL_OFFER, SimulatedWorker

if TYPE_CHECKING:
    from collections.abc import Sequence

SERVER_AWAY = SiteError("the API server does not answer")


@dataclass
class Yard:
    """A site of simulated workers, whose server may be away."""

    bucket: Bucket
    is_away: bool = False
    offer = SMALL_OFFER
    workers: dict[WorkerName, SimulatedWorker] = field(default_factory=dict[WorkerName, SimulatedWorker])
    asked: int = 0

    @property
    def quote(self) -> Quote:
        return Quote()

    def start(self, names: Sequence[WorkerName], *, market: Market | None = None) -> None:  # noqa: ARG002 - all alike
        self._answer()
        for name in names:
            self.add(name)

    def list_workers(self) -> list[SiteWorker]:
        self._answer()
        return [
            SiteWorker(name, WorkerState.GONE if each.ended else WorkerState.RUNNING)
            for name, each in self.workers.items()
        ]

    def stop(self, names: Sequence[WorkerName]) -> None:
        self._answer()
        for name in names:
            self.workers[name].ended = "stopped"

    def forget(self) -> None:
        self.workers.clear()

    def close(self) -> None:
        """Return at once."""

    def add(self, name: str) -> None:
        self.workers[WorkerName(name)] = SimulatedWorker(self.bucket.runtime(), name)
        self.workers[WorkerName(name)].say_hello()

    def turn(self) -> None:
        """Let each worker run one job."""
        for worker in self.workers.values():
            worker.read_inbox()
            rest = [worker.queue.pop() for _ in range(len(worker.queue) - 1)]
            worker.run_queue()
            worker.queue.extend(reversed(rest))

    def _answer(self) -> None:
        self.asked += 1
        if self.is_away:
            raise SERVER_AWAY


@pytest.fixture
def bucket() -> Bucket:
    made = Bucket()
    made.begin(LauncherPolicy(max_workers=2))
    return made


def test_jobs_are_handed_out_before_the_site_was_looked_at(bucket: Bucket) -> None:
    yard = Yard(bucket)
    yard.add("worker-0001")
    bucket.submit(job_specs(20))
    launcher = bucket.take_over()
    site = Watched(yard, clock=bucket.time.clock())  # its threads have not come to anything yet
    counts = drive(launcher, Workforce(site, launcher.campaign.launcher), watch=lambda _: yard.turn())
    assert counts[JobState.SUCCEEDED] == 20
    assert yard.asked == 0


def test_a_campaign_goes_on_while_the_server_of_its_site_is_away(bucket: Bucket) -> None:
    yard, said = Yard(bucket), list[str]()
    bucket.submit(job_specs(200))
    launcher = bucket.take_over()

    def watch(progress: Progress) -> None:
        yard.is_away = 10 < progress.jobs[JobState.SUCCEEDED] < 190
        said.append(progress.note)
        yard.turn()

    site = AtOnce(yard, bucket.time.clock())
    counts = drive(launcher, Workforce(site, launcher.campaign.launcher), watch=watch)
    assert counts[JobState.SUCCEEDED] == 200
    assert len(yard.workers) == 2
    assert sum("the API server does not answer" in note for note in said) == 1


def test_why_nothing_moves_can_be_read_in_the_bucket(bucket: Bucket) -> None:
    yard = Yard(bucket)
    bucket.submit(job_specs(2))
    launcher = bucket.take_over()
    notes = list[str]()

    def watch(_: Progress) -> None:
        found = list_numbers(launcher.runtime.store, KEYS.progress)
        note = launcher.runtime.read_numbered(ProgressNote, KEYS.progress, number=max(found)) if found else None
        notes.append("" if note is None else note.waiting_for)
        yard.is_away = bucket.time.now < 1100
        yard.turn()

    site = AtOnce(yard, bucket.time.clock())
    yard.is_away = True
    counts = drive(launcher, Workforce(site, launcher.campaign.launcher), watch=watch)
    assert counts[JobState.SUCCEEDED] == 2
    assert any("the API server does not answer" in note for note in notes)
