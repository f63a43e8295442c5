"""A campaign that costs what it may cost starts nothing new, lets jobs finish as long as that is sensible, and ends."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import pytest

from gliderport_prefect.campaign.replay import replay
from gliderport_prefect.campaign.requests import append_request
from gliderport_prefect.errors import BudgetReached, UserError
from gliderport_prefect.lifecycle.budget import check_budget
from gliderport_prefect.lifecycle.driving import Progress, drive
from gliderport_prefect.lifecycle.workers import Workforce
from gliderport_prefect.protocol.ids import WorkerName
from gliderport_prefect.protocol.machines import Machine, Market, WorkerState
from gliderport_prefect.protocol.outcomes import JobState
from gliderport_prefect.protocol.records import LauncherPolicy, RequestKind
from gliderport_prefect.scheduling.budget import PATIENCE
from gliderport_prefect.sites.seam import Quote, SiteWorker
from tests.at_once import AtOnce
from tests.campaign_rig import Bucket, job_specs
from tests.simulated import SMALL_OFFER, SimulatedWorker, run_on

PRICE = 720.0
"""US dollars per hour: a job, which has all of its worker for ten seconds, costs two."""


@dataclass
class PaidYard:
    """A site with prices, whose workers say hello at once and bring each job to its end after some time."""

    bucket: Bucket
    job_seconds: float = 10.0
    offer = SMALL_OFFER
    workers: dict[WorkerName, SimulatedWorker] = field(default_factory=dict[WorkerName, SimulatedWorker])
    busy_since: dict[WorkerName, float] = field(default_factory=dict[WorkerName, float])
    progress: list[Progress] = field(default_factory=list[Progress])

    @property
    def quote(self) -> Quote:
        return Quote(spot=PRICE)

    def start(self, names: Sequence[WorkerName], *, market: Market | None = None) -> None:  # noqa: ARG002 - all alike
        for name in names:
            self.workers[name] = SimulatedWorker(self.bucket.runtime(), name, run=run_on)
            self.workers[name].say_hello()

    def list_workers(self) -> list[SiteWorker]:
        machine = Machine("cluster", market=Market.SPOT, price_per_hour=PRICE)
        return [
            SiteWorker(name, WorkerState.GONE if each.ended else WorkerState.RUNNING, machine=machine)
            for name, each in self.workers.items()
        ]

    def stop(self, names: Sequence[WorkerName]) -> None:
        for name in names:
            self.workers[name].ended = "stopped"

    def forget(self) -> None:
        self.workers.clear()

    def close(self) -> None:
        """Return at once."""

    def watch(self, progress: Progress) -> None:
        """Let the workers do what they do between two looks of the launcher."""
        self.progress.append(progress)
        for name, worker in self.workers.items():
            if worker.ended is None:
                self._turn(name, worker)

    def _turn(self, name: WorkerName, worker: SimulatedWorker) -> None:
        now = self.bucket.time.now
        if worker.running and now - self.busy_since[name] >= self.job_seconds:
            worker.finish()
        worker.read_inbox()
        if not worker.running:  # one job at a time; the others wait
            ahead = list(worker.queue)[1:]
            for each in ahead:
                worker.queue.remove(each)
            worker.turn()
            worker.queue.extend(ahead)
            self.busy_since[name] = now
        elif worker.ended is None:
            worker.write()


@pytest.fixture
def bucket() -> Bucket:
    return Bucket()


def run(bucket: Bucket, yard: PaidYard) -> dict[JobState, int]:
    """Drive the campaign to its end, whatever that is."""
    launcher = bucket.take_over()
    return drive(launcher, Workforce(AtOnce(yard, bucket.time.clock()), launcher.campaign.launcher), watch=yard.watch)


def begin(bucket: Bucket, *, budget: float | None, jobs: int = 10) -> None:
    bucket.begin(LauncherPolicy(max_workers=2, budget=budget))
    bucket.submit(job_specs(jobs))


def spent(bucket: Bucket) -> float:
    return replay(bucket.runtime()).fleet.cost(now=bucket.time.now).total


def test_a_campaign_within_its_budget_goes_on_to_its_end(bucket: Bucket) -> None:
    begin(bucket, budget=100.0)
    yard = PaidYard(bucket)
    assert run(bucket, yard)[JobState.SUCCEEDED] == 10
    assert 10 * 2.0 <= yard.progress[-1].cost.spot < 10 * 2.0 * 1.25  # some time passes between two jobs
    assert yard.progress[-1].cost.on_demand == 0


def test_nothing_new_starts_once_the_budget_is_spent_and_what_runs_finishes(bucket: Bucket) -> None:
    begin(bucket, budget=100.0, jobs=80)
    yard = PaidYard(bucket)
    with pytest.raises(BudgetReached, match=r"'storm' has cost \$10\d\.\d\d of its budget of \$100\.00; \d+ jobs have"):
        run(bucket, yard)
    counts = replay(bucket.runtime()).jobs.counts()
    assert counts[JobState.SUCCEEDED] + counts[JobState.QUEUED] == 80
    assert 40 <= counts[JobState.SUCCEEDED] <= 50
    assert len(yard.workers) == 2
    assert all(not each.running and not each.queue for each in yard.workers.values())
    assert 100.0 <= spent(bucket) < PATIENCE * 100.0


def test_a_campaign_whose_last_jobs_finish_after_the_budget_is_spent_has_succeeded(bucket: Bucket) -> None:
    begin(bucket, budget=3.5, jobs=2)
    assert run(bucket, PaidYard(bucket))[JobState.SUCCEEDED] == 2
    assert 3.5 < spent(bucket) < PATIENCE * 3.5


def test_what_would_cost_far_too_much_is_ended(bucket: Bucket) -> None:
    begin(bucket, budget=10.0)
    with pytest.raises(BudgetReached, match=r"2 running were ended at 1.1 times the budget"):
        run(bucket, PaidYard(bucket, job_seconds=1e6))
    (note,) = bucket.store.list(bucket.runtime().keys.progress)
    assert b"the budget of $10.00 is spent" in (bucket.store.get(note.key) or b"")
    assert spent(bucket) == pytest.approx(PATIENCE * 10.0, rel=0.05)


def test_a_higher_budget_that_somebody_asks_for_lets_the_campaign_go_on(bucket: Bucket) -> None:
    begin(bucket, budget=5.0)
    yard = PaidYard(bucket)
    with pytest.raises(BudgetReached, match=r"gliderport resume storm --bucket memory:// --budget 10$"):
        run(bucket, yard)
    append_request(bucket.runtime(), RequestKind.BUDGET, budget=100.0)
    assert run(bucket, yard)[JobState.SUCCEEDED] == 10
    assert replay(bucket.runtime()).budget == 100.0


def test_a_launcher_that_winds_down_goes_on_when_the_budget_is_raised(bucket: Bucket) -> None:
    begin(bucket, budget=100.0, jobs=80)
    yard = PaidYard(bucket)
    asked: list[int] = []

    def watch(progress: Progress) -> None:
        yard.watch(progress)
        if progress.cost.total >= 100.0 and not asked:
            asked.append(append_request(bucket.runtime(), RequestKind.BUDGET, budget=1000.0))

    launcher = bucket.take_over()
    counts = drive(launcher, Workforce(AtOnce(yard, bucket.time.clock()), launcher.campaign.launcher), watch=watch)
    assert asked
    assert counts[JobState.SUCCEEDED] == 80


def test_a_spent_budget_is_told_to_those_who_read(bucket: Bucket) -> None:
    begin(bucket, budget=100.0, jobs=80)
    yard = PaidYard(bucket)
    with pytest.raises(BudgetReached):
        run(bucket, yard)
    launcher = bucket.take_over()
    assert launcher.state.budget is None
    notes = [key.key for key in bucket.store.list(launcher.runtime.keys.progress)]
    assert b"the budget of $100.00 is spent" in (bucket.store.get(notes[-1]) or b"")


def test_a_budget_needs_a_price() -> None:
    check_budget(None, Quote())
    check_budget(5.0, Quote(spot=0.5))
    check_budget(5.0, Quote(on_demand=0.0, market=Market.ON_DEMAND))
    with pytest.raises(UserError, match=r"budget: .*no price"):
        check_budget(5.0, Quote())
