"""How many workers the launcher asks its site for, and when it gives the site up."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from itertools import pairwise
from typing import TYPE_CHECKING

import pytest

from gliderport_prefect.errors import SiteError, Stuck, UserError
from gliderport_prefect.lifecycle.workers import Workforce
from gliderport_prefect.protocol.ids import JobId, JobNumber, SessionId, WorkerName, attempt_id
from gliderport_prefect.protocol.jobspec import JobSpec
from gliderport_prefect.protocol.machines import CapacityPolicy, MarketPolicy
from gliderport_prefect.protocol.records import (
    Assignment,
    Death,
    InboxRecord,
    LauncherPolicy,
    LedgerRecord,
    Meeting,
    Run,
    Sighting,
    SpecChunkHeader,
)
from gliderport_prefect.protocol.resources import Offer, Resources
from gliderport_prefect.scheduling.classes import JobClass
from gliderport_prefect.scheduling.state import CampaignState
from gliderport_prefect.sites.seam import Machine, Market, Quote, SiteWorker, WorkerState
from tests.at_once import AtOnce
from tests.campaign_rig import TurnedClock
from tests.unit.scheduling.made import hello

if TYPE_CHECKING:
    from collections.abc import Sequence

OFFER = Offer(cpus=1, memory_bytes=2**30, disk_bytes=2**30)


@dataclass
class Yard:
    """A site whose workers a test moves by hand."""

    offer: Offer = OFFER
    quote: Quote = field(default_factory=lambda: Quote(market=Market.SPOT))
    comes_as: WorkerState = WorkerState.RUNNING
    """State of a worker that has been started."""
    trouble: Exception | None = None
    workers: dict[WorkerName, SiteWorker] = field(default_factory=dict[WorkerName, SiteWorker])
    asked: list[WorkerName] = field(default_factory=list[WorkerName])
    markets: list[Market | None] = field(default_factory=list["Market | None"])

    def start(self, names: Sequence[WorkerName], *, market: Market | None = None) -> None:
        if self.trouble is not None:
            raise self.trouble
        self.asked.extend(names)
        self.markets.extend(market for _ in names)
        machine = Machine(market=market)
        self.workers.update({name: SiteWorker(name, self.comes_as, machine=machine) for name in names})

    def list_workers(self) -> list[SiteWorker]:
        return list(self.workers.values())

    def stop(self, names: Sequence[WorkerName]) -> None:
        for name in names:
            self.lose(name)

    def forget(self) -> None:
        self.workers.clear()

    def close(self) -> None:
        """Return at once."""

    def lose(self, name: WorkerName, **known: object) -> None:
        gone = {"state": WorkerState.GONE, "exit_code": 9, "reason": "killed", **known}
        self.workers[name] = replace(self.workers[name], **gone)

    def lose_for_want_of_machines(self) -> None:
        for name in [each.name for each in self.workers.values() if each.state is not WorkerState.GONE]:
            self.lose(name, lacks_capacity=True, reason="no machine anywhere")

    def present(self) -> list[str]:
        return [each.name for each in self.workers.values() if each.state is not WorkerState.GONE]


@dataclass
class Case:
    """A workforce, its site, its campaign and its clock."""

    policy: LauncherPolicy
    jobs: int = 50
    yard: Yard = field(default_factory=Yard)
    time: TurnedClock = field(default_factory=TurnedClock)

    def __post_init__(self) -> None:
        """Begin with jobs that wait."""
        self.state = queued(self.jobs)
        self.workforce = Workforce(AtOnce(self.yard, self.time.clock()), self.policy, clock=self.time.clock())

    def round(self, seconds: float = 0.0) -> list[WorkerName]:
        """Let time pass, look and match."""
        self.time.advance(seconds)
        self.workforce.look(self.state)
        return self.workforce.match(self.state)

    def speak(self, name: str, *, holds: int | None = None, preemptible: bool = False) -> SessionId:
        """Let a worker say hello, and give it a job if one is named."""
        session = SessionId(f"{name}.aa")
        met = Meeting(session, hello(replace(OFFER, preemptible=preemptible), name=name))
        self.state.apply_ledger(self.state.ledger_number + 1, LedgerRecord(1, "t", met=(met,)), now=0.0)
        if holds is not None:
            spec = JobSpec(id=JobId(f"job-{holds}"), run="true")
            record = InboxRecord(1, "t", assign=(Assignment(JobNumber(holds), attempt_id(1, 1), spec),))
            self.state.apply_inbox(self.state.sessions[session], record, number=1)
        return session

    def end(self, session: SessionId, reason: str) -> None:
        """Let a session end."""
        record = LedgerRecord(1, "t", dead=(Death(session, reason),))
        self.state.apply_ledger(self.state.ledger_number + 1, record, now=0.0)

    def take_all(self) -> None:
        """Let no job wait any more."""
        for kind, count in self.state.waiting.demand():
            self.state.waiting.take(kind, count)


def queued(count: int, needs: Resources | None = None) -> CampaignState:
    """Return the state of a campaign whose jobs all wait."""
    state = CampaignState()
    state.add_chunk(SpecChunkHeader("t", JobNumber(0), count, (Run(count, 0, needs or Resources()),)))
    return state


def names(*numbers: int) -> list[str]:
    return [f"worker-{number:04d}" for number in numbers]


# --- how many ---------------------------------------------------------------------------------------------------


def test_no_more_workers_are_started_than_jobs_wait() -> None:
    assert len(Case(LauncherPolicy(max_workers=9), jobs=3).round()) == 3


def test_the_same_workers_are_not_asked_for_twice_between_two_looks_at_the_site() -> None:
    case = Case(LauncherPolicy(max_workers=2))
    case.round()
    for _ in range(5):
        case.workforce.match(case.state)
    assert case.yard.asked == names(1, 2)


def test_a_lost_worker_is_replaced_once_and_under_another_name() -> None:
    case = Case(LauncherPolicy(max_workers=2))
    case.round()
    case.yard.lose(WorkerName("worker-0001"))
    for _ in range(3):
        case.round()
    assert case.yard.asked == names(1, 2, 3)


def test_before_one_worker_has_come_up_only_a_few_are_started() -> None:
    case = Case(LauncherPolicy(max_workers=40))
    for _ in range(3):
        case.round()
    assert len(case.yard.asked) == 8
    case.speak("worker-0003")
    case.round()
    assert len(case.yard.asked) == 40


def test_workers_that_drain_count_until_they_have_left() -> None:
    case = Case(LauncherPolicy(max_workers=2))
    case.round()
    case.state.sessions[case.speak("worker-0001", holds=0)].draining = True
    assert case.round() == []
    case.yard.lose(WorkerName("worker-0001"))
    case.end(SessionId("worker-0001.aa"), "said goodbye: drained")
    assert case.round() == names(3)


def test_nothing_is_started_before_the_site_was_looked_at() -> None:
    case = Case(LauncherPolicy(max_workers=2))
    assert case.workforce.match(case.state) == []
    assert case.round() == names(1, 2)


def test_jobs_that_no_worker_can_ever_run_are_refused() -> None:
    case = Case(LauncherPolicy())
    case.state = queued(1, Resources(cpus=64, memory_bytes=2**32))
    with pytest.raises(Stuck, match=r"1 job needs 64 cpus, \S+ GiB memory, which no worker"):
        case.round()


# --- workers that come to nothing -------------------------------------------------------------------------------


def test_a_site_whose_workers_die_before_they_speak_is_given_up_with_the_last_words() -> None:
    case = Case(LauncherPolicy(max_workers=1, start_failure_limit=3))

    def lose_what_starts() -> None:
        for _ in range(4):
            for name in case.round():
                case.yard.lose(name)

    with pytest.raises(Stuck, match=r"3 workers in a row died .* worker-0003, said: killed"):
        lose_what_starts()
    assert len(case.yard.asked) == 3


def test_workers_that_speak_and_die_before_they_get_work_are_not_replaced_for_ever() -> None:
    case = Case(LauncherPolicy(max_workers=1, start_failure_limit=3))

    def lose_who_speaks() -> None:
        for _ in range(9):
            for name in case.round():
                session = case.speak(name)
                case.yard.lose(name)
                case.end(session, "its worker is gone from the site")

    with pytest.raises(Stuck, match="3 workers in a row"):
        lose_who_speaks()


def test_a_worker_that_had_work_starts_the_count_again() -> None:
    case = Case(LauncherPolicy(max_workers=1, start_failure_limit=2))
    for at in range(6):
        (name,) = case.round()
        if at % 2:
            session = case.speak(name, holds=at)
            case.round()
            case.end(session, "its worker is gone from the site")
        case.yard.lose(name)
    assert len(case.yard.asked) == 6


def test_idle_workers_that_leave_in_good_order_are_no_failures() -> None:
    case = Case(LauncherPolicy(max_workers=1, start_failure_limit=1))
    for _ in range(3):
        (name,) = case.round()
        case.end(case.speak(name), "said goodbye: idle")
        case.yard.lose(name)
    assert len(case.yard.asked) == 3


def test_while_others_work_a_site_is_not_given_up_but_asked_for_no_more() -> None:
    case = Case(LauncherPolicy(max_workers=4, start_failure_limit=3))
    case.round()
    for name in case.yard.asked[1:]:
        case.yard.lose(name)
    session = case.speak("worker-0001")
    assert case.round() == []
    assert "3 workers in a row died" in case.workforce.waiting_for(case.state)
    case.yard.lose(WorkerName("worker-0001"))
    case.end(session, "its worker is gone from the site")
    with pytest.raises(Stuck):
        case.round()


def test_a_worker_that_runs_and_is_not_heard_any_more_is_replaced_once_its_site_had_time_to_notice() -> None:
    case = Case(LauncherPolicy(max_workers=1))
    case.round()
    session = case.speak("worker-0001", holds=0)
    case.round()
    case.end(session, "was silent for more than 45 s")
    case.round()
    assert case.round(590) == []
    assert case.round(11) == names(2)
    assert case.yard.present() == names(2)


def test_a_worker_that_never_speaks_is_ended_after_an_hour_and_counts_as_a_failure() -> None:
    case = Case(LauncherPolicy(max_workers=1, start_failure_limit=2))
    case.round()
    case.round(1)
    assert case.round(3590) == []
    assert case.round(11) == names(2)
    case.round(1)
    with pytest.raises(Stuck, match=r"worker-0002, said: nothing, for 3600 s"):
        case.round(3601)


@pytest.mark.parametrize("lacks_capacity", [True, False])
def test_what_an_earlier_launcher_saw_fail_is_not_held_against_the_site(*, lacks_capacity: bool) -> None:
    case = Case(LauncherPolicy(max_workers=1, start_failure_limit=2))
    gone = [WorkerName(name) for name in names(1, 2, 3)]
    for name in gone:
        case.yard.workers[name] = SiteWorker(name, WorkerState.GONE, 78, "exit 78", lacks_capacity=lacks_capacity)
    seen = tuple(Sighting(name, WorkerState.GONE, "") for name in gone)
    case.state.apply_ledger(1, LedgerRecord(1, "t", seen=seen), now=0.0)
    assert case.round() == names(4)


def test_a_name_that_the_site_has_forgotten_is_not_used_again() -> None:
    case = Case(LauncherPolicy(max_workers=1))
    seen = (Sighting(WorkerName("worker-0007"), WorkerState.GONE, ""),)
    case.state.apply_ledger(1, LedgerRecord(1, "t", seen=seen), now=0.0)
    assert case.round() == names(8)


# --- a site in trouble ------------------------------------------------------------------------------------------


def test_a_site_that_cannot_start_workers_for_now_does_not_end_the_campaign() -> None:
    case = Case(LauncherPolicy(max_workers=2))
    case.yard.trouble = SiteError("the API server is away")
    for _ in range(50):
        case.round(20)
    assert "the API server is away" in case.workforce.waiting_for(case.state)
    case.yard.trouble = None
    case.round(600)
    assert case.yard.asked == names(1, 2)


def test_a_site_that_refuses_for_good_ends_it_with_the_reason() -> None:
    case = Case(LauncherPolicy())
    case.yard.trouble = UserError("the cloud is not enabled")

    def go_on() -> None:
        for _ in range(9):
            case.round(60)

    with pytest.raises(Stuck, match="the cloud is not enabled"):
        go_on()


def test_a_refusal_does_not_end_the_work_of_those_who_are_there() -> None:
    case = Case(LauncherPolicy(max_workers=2), jobs=1)
    case.round()
    session = case.speak("worker-0001", holds=0)
    case.yard.trouble = UserError("the credentials have expired")
    case.state.waiting.push(0, JobClass())
    for _ in range(9):
        case.round(60)
    assert "the credentials have expired" in case.workforce.waiting_for(case.state)
    case.end(session, "was silent")
    with pytest.raises(Stuck, match="the credentials have expired"):
        case.round()


# --- no machines ------------------------------------------------------------------------------------------------


def test_without_machines_it_waits_ever_longer_and_never_gives_up() -> None:
    case = Case(LauncherPolicy(max_workers=2))
    tries = list[float]()
    for _ in range(3600):
        if case.round(1):
            tries.append(case.time.now)
            case.yard.lose_for_want_of_machines()
    pauses = [after - before for before, after in pairwise(tries)]
    assert pauses == [31, 61, 121, 241, 481, *[601] * 4]
    assert "no machine anywhere" in case.workforce.waiting_for(case.state)


def test_when_machines_come_again_the_pauses_start_anew() -> None:
    case = Case(LauncherPolicy(max_workers=1))
    for _ in range(100):
        if case.round(1):
            case.yard.lose_for_want_of_machines()
    while not case.round(1):
        pass
    case.round(1)
    assert case.workforce.waiting_for(case.state) == "1 worker to come up"


def test_a_campaign_may_fail_for_want_of_machines() -> None:
    case = Case(LauncherPolicy(no_capacity=CapacityPolicy.FAIL, start_failure_limit=2))

    def go_on() -> None:
        for _ in range(100):
            case.round(1)
            case.yard.lose_for_want_of_machines()

    with pytest.raises(Stuck, match=r"no machines, 2 times in a row: no machine anywhere"):
        go_on()


def test_on_demand_machines_are_taken_at_once_if_the_campaign_says_so() -> None:
    case = Case(LauncherPolicy(market=MarketPolicy.SPOT, no_capacity=CapacityPolicy.ON_DEMAND))
    case.round()
    case.yard.lose_for_want_of_machines()
    case.round(1)
    assert case.yard.markets == [Market.SPOT, Market.ON_DEMAND]


def test_who_is_said_to_wait_for_a_spot_machine_is_replaced_at_once_if_the_campaign_says_so() -> None:
    case = Case(LauncherPolicy(market=MarketPolicy.SPOT, no_capacity=CapacityPolicy.ON_DEMAND))
    case.yard.comes_as = WorkerState.STARTING
    case.round()
    name = WorkerName("worker-0001")
    case.yard.workers[name] = replace(case.yard.workers[name], lacks_capacity=True, reason="sold out")
    case.round(1)
    assert case.yard.markets == [Market.SPOT, Market.ON_DEMAND]
    assert case.yard.present() == names(2)


@pytest.mark.parametrize("market", [MarketPolicy.SPOT, MarketPolicy.TEMPLATE])
def test_without_fallback_nothing_else_is_ever_taken(market: MarketPolicy) -> None:
    case = Case(LauncherPolicy(market=market))
    case.yard.comes_as = WorkerState.STARTING
    for _ in range(100):
        case.round(60)
    assert len(case.yard.asked) == 1


# --- falling back -----------------------------------------------------------------------------------------------


def fallback(**changes: object) -> LauncherPolicy:
    return replace(LauncherPolicy(market=MarketPolicy.FALLBACK, fallback_after_seconds=600, max_workers=2), **changes)


def test_spot_workers_that_wait_for_too_long_are_replaced_and_spot_is_tried_again_later() -> None:
    case = Case(fallback())
    case.yard.comes_as = WorkerState.STARTING
    case.round()
    case.round(590)
    assert case.yard.markets == [Market.SPOT] * 2
    case.round(11)
    assert case.yard.markets == [Market.SPOT] * 2 + [Market.ON_DEMAND] * 2
    assert case.yard.present() == names(3, 4)
    for name in case.yard.present():
        case.end(case.speak(name), "said goodbye: idle")
        case.yard.lose(WorkerName(name))
    case.round(600)
    assert case.yard.markets[4:] == [Market.SPOT] * 2


def test_spot_is_given_up_for_a_while_when_its_starts_failed_for_too_long() -> None:
    case = Case(fallback(max_workers=1))
    while Market.ON_DEMAND not in case.yard.markets:
        if case.round(1):
            case.yard.lose_for_want_of_machines()
        assert case.time.now < 5000
    assert 1600 <= case.time.now <= 2300  # it began at 1000


def test_a_job_that_needs_a_kept_machine_gets_one_beside_spot_ones() -> None:
    case = Case(fallback(), jobs=1)
    case.round()
    case.speak("worker-0001", holds=0, preemptible=True)
    case.take_all()
    case.state.waiting.push(0, JobClass(kept=True))
    case.round()
    assert case.yard.markets == [Market.SPOT, Market.ON_DEMAND]


def test_a_spot_worker_makes_room_for_one_that_is_kept() -> None:
    case = Case(fallback(max_workers=2))
    case.round()
    busy = case.speak("worker-0001", holds=0, preemptible=True)
    idle = case.speak("worker-0002", preemptible=True)
    case.take_all()
    case.state.waiting.push(0, JobClass(kept=True))
    assert case.round() == []
    assert [each.id for each in case.workforce.displaced] == [idle]
    case.state.sessions[idle].draining = True
    case.round()
    assert case.workforce.displaced == []
    case.end(idle, "said goodbye: drained")
    case.yard.lose(WorkerName("worker-0002"))
    case.round()
    assert case.yard.markets[-1] is Market.ON_DEMAND
    assert busy in case.state.sessions


# --- nobody pays for machines that come up for nothing ----------------------------------------------------------


@pytest.mark.parametrize("coming", [WorkerState.STARTING, WorkerState.RECOVERING])
def test_who_is_on_the_way_and_not_needed_for_a_minute_is_sent_away(coming: WorkerState) -> None:
    case = Case(LauncherPolicy(max_workers=3), jobs=3)
    case.yard.comes_as = coming
    case.round()
    case.speak("worker-0001", holds=0)
    case.take_all()
    case.round(59)
    assert len(case.yard.present()) == 3
    case.round(61)
    assert case.yard.present() == names(1)
    for _ in range(5):
        case.round(60)
    assert case.yard.present() == names(1)


def test_who_comes_up_after_it_was_sent_away_takes_no_jobs() -> None:
    case = Case(LauncherPolicy(max_workers=2), jobs=2)
    case.yard.comes_as = WorkerState.STARTING
    case.round()
    case.speak("worker-0001", holds=0)
    case.take_all()
    case.round()
    case.round(61)
    late = case.speak("worker-0002")
    case.round()
    assert [each.id for each in case.workforce.displaced] == [late]


def test_while_jobs_wait_nobody_is_sent_away() -> None:
    case = Case(LauncherPolicy(max_workers=3))
    case.yard.comes_as = WorkerState.STARTING
    for _ in range(10):
        case.round(60)
    assert len(case.yard.present()) == 3
