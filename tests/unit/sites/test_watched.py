"""A site that is asked in the background: what its callers see, and what it does about trouble."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import pytest

from gliderport_prefect.errors import SiteError, UserError
from gliderport_prefect.protocol.ids import WorkerName
from gliderport_prefect.protocol.resources import Offer
from gliderport_prefect.sites.seam import Market, Quote, SiteWorker, WorkerState
from gliderport_prefect.sites.watched import Watched
from tests.campaign_rig import TurnedClock
from tests.waiting import wait_until

if TYPE_CHECKING:
    from collections.abc import Sequence

ONE, TWO = WorkerName("worker-0001"), WorkerName("worker-0002")
OFFER = Offer(cpus=1, memory_bytes=2**30, disk_bytes=2**30)


@dataclass
class Cloud:
    """A site far away; a test says what it answers and whether it answers at all."""

    offer: Offer = OFFER
    quote: Quote = field(default_factory=Quote)
    there: dict[WorkerName, WorkerState] = field(default_factory=dict[WorkerName, WorkerState])
    markets: dict[WorkerName, Market | None] = field(default_factory=dict[WorkerName, "Market | None"])
    no_list: Exception | None = None
    no_start: Exception | None = None
    gate: threading.Event = field(default_factory=threading.Event)
    """Clear: whoever starts or stops waits."""
    entered: threading.Event = field(default_factory=threading.Event)
    starts: int = 0
    lists: int = 0

    def __post_init__(self) -> None:
        self.gate.set()

    def start(self, names: Sequence[WorkerName], *, market: Market | None = None) -> None:
        self.starts += 1
        self.entered.set()
        assert self.gate.wait(30)
        if self.no_start is not None:
            raise self.no_start
        self.there.update({name: WorkerState.RUNNING for name in names if name not in self.there})
        self.markets.update(dict.fromkeys(names, market))

    def list_workers(self) -> list[SiteWorker]:
        self.lists += 1
        if self.no_list is not None:
            raise self.no_list
        return [SiteWorker(name, state) for name, state in self.there.items()]

    def stop(self, names: Sequence[WorkerName]) -> None:
        self.entered.set()
        assert self.gate.wait(30)
        self.there.update({name: WorkerState.GONE for name in names if name in self.there})

    def forget(self) -> None:
        self.there.clear()

    def close(self) -> None:
        """Return at once."""


@pytest.fixture
def cloud() -> Cloud:
    return Cloud()


@pytest.fixture
def time() -> TurnedClock:
    return TurnedClock()


@pytest.fixture
def site(cloud: Cloud, time: TurnedClock) -> Watched:
    return Watched(cloud, every=10, clock=time.clock())


def states(site: Watched) -> dict[WorkerName, WorkerState]:
    return {each.name: each.state for each in site.list_workers()}


def test_nothing_is_known_before_the_first_look(site: Watched) -> None:
    assert not site.is_known
    site.turn()
    assert site.is_known


def test_what_is_asked_for_is_starting_until_it_is_seen(site: Watched, cloud: Cloud) -> None:
    site.turn()
    site.start([ONE], market=Market.ON_DEMAND)
    assert (states(site), cloud.starts) == ({ONE: WorkerState.STARTING}, 0)
    site.turn()
    assert states(site) == {ONE: WorkerState.RUNNING}
    assert cloud.markets == {ONE: Market.ON_DEMAND}


def test_workers_of_both_markets_are_started_in_one_turn(site: Watched, cloud: Cloud) -> None:
    site.turn()
    site.start([ONE], market=Market.SPOT)
    site.start([TWO], market=Market.ON_DEMAND)
    site.turn()
    assert cloud.markets == {ONE: Market.SPOT, TWO: Market.ON_DEMAND}


def test_the_site_is_looked_at_every_so_often_and_right_after_a_start(
    site: Watched, cloud: Cloud, time: TurnedClock
) -> None:
    assert site.turn() == 10
    time.advance(9)
    site.turn()
    assert cloud.lists == 1
    site.start([ONE])
    site.turn()
    assert cloud.lists == 2
    time.advance(10)
    site.turn()
    assert cloud.lists == 3


def test_a_site_that_cannot_be_asked_stays_as_it_was_seen_last_and_is_asked_ever_less_often(
    site: Watched, cloud: Cloud, time: TurnedClock, caplog: pytest.LogCaptureFixture
) -> None:
    cloud.there[ONE] = WorkerState.RUNNING
    site.turn()
    cloud.no_list = SiteError("the API server is away")
    time.advance(10)
    pauses = list[float]()
    for _ in range(6):
        pauses.append(site.turn())
        time.advance(pauses[-1])
    assert pauses == [10, 20, 40, 80, 120, 120]
    assert states(site) == {ONE: WorkerState.RUNNING}
    assert site.trouble == "the site cannot be asked what is there: the API server is away"
    assert [each.levelname for each in caplog.records] == ["WARNING"]
    cloud.no_list = None
    site.turn()
    assert (site.trouble, site.refusal) == ("", "")


def test_a_start_that_failed_is_tried_again_ever_less_often_and_tells_why(
    site: Watched, cloud: Cloud, time: TurnedClock
) -> None:
    site.turn()
    cloud.no_start = SiteError("no quota")
    site.start([ONE])
    for _ in range(600):
        site.turn()
        time.advance(1)
    assert cloud.starts == 6  # after 0, 10, 30, 70, 150, 310 seconds
    (worker,) = site.list_workers()
    assert worker.state is WorkerState.STARTING
    assert "no quota" in worker.reason
    assert not site.refusal
    cloud.no_start = None
    time.advance(600)
    site.turn()
    assert states(site) == {ONE: WorkerState.RUNNING}
    assert not site.trouble


def test_a_market_that_is_sold_out_does_not_hold_up_the_other(site: Watched, cloud: Cloud, time: TurnedClock) -> None:
    site.turn()
    site.start([ONE], market=Market.SPOT)
    cloud.no_start = SiteError("no spot")
    site.turn()
    cloud.no_start = None
    site.start([TWO], market=Market.ON_DEMAND)
    assert site.turn() == 10
    assert cloud.markets == {TWO: Market.ON_DEMAND}
    assert "no spot" in site.trouble
    time.advance(10)
    site.turn()
    assert cloud.there.keys() == {ONE, TWO}


def test_who_came_although_the_start_failed_is_not_started_again(
    site: Watched, cloud: Cloud, time: TurnedClock
) -> None:
    site.turn()
    cloud.no_start = SiteError("one of two")
    site.start([ONE, TWO])
    cloud.there[ONE] = WorkerState.RUNNING
    site.turn()
    cloud.no_start = None
    time.advance(10)
    site.turn()
    assert cloud.markets.keys() == {TWO}
    assert states(site) == {ONE: WorkerState.RUNNING, TWO: WorkerState.RUNNING}


def test_what_a_person_must_mend_is_refused_for_good_after_a_few_tries(
    site: Watched, cloud: Cloud, time: TurnedClock
) -> None:
    site.turn()
    cloud.no_start = UserError("the cloud is not enabled")
    site.start([ONE])
    site.turn()
    assert not site.refusal
    for _ in range(40):
        time.advance(1)
        site.turn()
    assert "the cloud is not enabled" in site.refusal


def test_who_is_dismissed_before_the_start_is_never_started(site: Watched, cloud: Cloud) -> None:
    site.turn()
    site.start([ONE])
    site.dismiss([ONE])
    site.turn()
    site.stop_turn()
    assert (cloud.starts, states(site)) == (0, {})


def test_who_is_dismissed_later_is_ended(site: Watched, cloud: Cloud) -> None:
    site.turn()
    site.start([ONE, TWO])
    site.turn()
    site.dismiss([ONE])
    site.stop_turn()
    assert cloud.there == {ONE: WorkerState.GONE, TWO: WorkerState.RUNNING}
    site.turn()
    assert states(site)[ONE] is WorkerState.GONE


def test_after_its_end_nothing_that_was_asked_for_is_started(site: Watched, cloud: Cloud) -> None:
    site.turn()
    site.start([ONE])
    site.close()
    site.turn()
    assert cloud.starts == 0


def test_a_defect_is_told_to_whoever_asks_next(cloud: Cloud) -> None:
    cloud.no_list = ZeroDivisionError("a defect")
    with Watched(cloud, every=10) as site:
        wait_until(lambda: site.is_known, "the thread has ended")
        with pytest.raises(ZeroDivisionError):
            site.list_workers()


def test_nobody_waits_while_the_site_starts_workers(cloud: Cloud) -> None:
    with Watched(cloud, every=10) as site:
        wait_until(lambda: site.is_known, "the site was looked at")
        cloud.gate.clear()
        site.start([ONE])
        assert cloud.entered.wait(30)
        assert states(site) == {ONE: WorkerState.STARTING}
        cloud.gate.set()
        wait_until(lambda: states(site) == {ONE: WorkerState.RUNNING}, "the worker is seen")


def test_who_is_dismissed_while_it_is_being_started_is_ended_afterwards(cloud: Cloud) -> None:
    with Watched(cloud, every=10) as site:
        wait_until(lambda: site.is_known, "the site was looked at")
        cloud.gate.clear()
        site.start([ONE])
        assert cloud.entered.wait(30)
        site.dismiss([ONE])
        cloud.gate.set()
        wait_until(lambda: cloud.there == {ONE: WorkerState.GONE}, "it is ended")


def test_its_end_waits_for_a_start_that_is_under_way(cloud: Cloud) -> None:
    site = Watched(cloud, every=10).open()
    wait_until(lambda: site.is_known, "the site was looked at")
    cloud.gate.clear()
    site.start([ONE])
    assert cloud.entered.wait(30)
    closing = threading.Thread(target=site.close)
    closing.start()
    assert not cloud.there
    cloud.gate.set()
    closing.join(30)
    assert cloud.there == {ONE: WorkerState.RUNNING}
