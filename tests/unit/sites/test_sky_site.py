"""The SkyPilot site while SkyPilot takes its time to answer: what is shown, started again and ended."""

from __future__ import annotations

import threading
from collections.abc import Generator, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any

import pytest

from gliderport_prefect.errors import GliderportError, SiteError, UserError
from gliderport_prefect.protocol.ids import WorkerName
from gliderport_prefect.sites.seam import SiteWorker, WorkerState
from gliderport_prefect.sites.sky_jobs import ManagedJob
from gliderport_prefect.sites.sky_names import Owner
from gliderport_prefect.sites.sky_site import SkySite
from gliderport_prefect.sites.sky_task import TaskBuilder
from gliderport_prefect.sites.watched import Watched
from tests.campaign_rig import TurnedClock
from tests.waiting import wait_until

ONE, TWO = WorkerName("worker-0001"), WorkerName("worker-0002")
OWNER = Owner("fit", "s3://bucket/runs")


@dataclass
class Server:
    """A SkyPilot whose answers a test holds back; a job is there when its request has been dealt with."""

    jobs: list[ManagedJob] = field(default_factory=list[ManagedJob])
    requested: list[str] = field(default_factory=list[str])
    problems: dict[str, GliderportError] = field(default_factory=dict[str, GliderportError])
    """What the answer about a name is; with a name that is not in it, all goes well."""
    refusing: GliderportError | None = None
    """What a request itself meets."""
    gate: threading.Event = field(default_factory=threading.Event)
    """Clear: nothing is answered."""
    awaiting: int = 0
    lock: threading.Lock = field(default_factory=threading.Lock)

    def check(self, task: Mapping[str, Any]) -> None:
        """Find nothing wrong."""
        del task

    def optimize(self, task: Mapping[str, Any]) -> str:
        """Know of no machine in particular."""
        del task
        return ""

    def request_launch(self, task: Mapping[str, Any]) -> str:
        """Take the request."""
        with self.lock:
            if self.refusing is not None:
                raise self.refusing
            self.requested.append(task["name"])
            return f"{task['name']}#{len(self.requested)}"

    def await_launch(self, request: str, name: str) -> None:
        """Answer once the gate is open."""
        with self.lock:
            self.awaiting += 1
        assert self.gate.wait(30)
        if name in self.problems:
            raise self.problems[name]
        self.add(request.partition("#")[0])

    def add(self, job_name: str) -> None:
        """Show a job in the queue."""
        with self.lock:
            self.jobs.append(ManagedJob(id=len(self.jobs) + 1, name=job_name, status="PENDING"))

    def list_jobs(self, name_part: str, *, with_yaml: bool = False, is_own: bool = False) -> list[ManagedJob]:
        """Return the queue."""
        del with_yaml, is_own
        with self.lock:
            return [job for job in self.jobs if name_part in job.name]

    def cancel(self, jobs: Sequence[int]) -> None:
        """End them at once."""
        with self.lock:
            self.jobs = [replace(job, status="CANCELLED") if job.id in jobs else job for job in self.jobs]

    def last_lines(self, job: int, lines: int) -> str:
        """Have nothing to show."""
        del job, lines
        return ""


@pytest.fixture
def server() -> Iterator[Server]:
    found = Server()
    yield found
    found.gate.set()


@pytest.fixture
def site(server: Server) -> SkySite:
    tasks = TaskBuilder({}, OWNER, start=lambda _: "start it")
    return SkySite(server, tasks, stop_seconds=20, answer_seconds=0, pause_seconds=0.01)


def states(site: SkySite | Watched) -> dict[WorkerName, WorkerState]:
    return {each.name: each.state for each in site.list_workers()}


def wait_for(site: SkySite, name: WorkerName, state: WorkerState) -> SiteWorker:
    wait_until(lambda: states(site).get(name) is state, f"{name} is {state}")
    return next(each for each in site.list_workers() if each.name == name)


@contextmanager
def stopping(site: SkySite, *names: WorkerName) -> Generator[None]:
    """End workers beside what the test does."""
    thread = threading.Thread(target=site.stop, args=(names,))
    thread.start()
    yield
    thread.join(30)
    assert not thread.is_alive()


def test_whoever_is_asked_for_is_starting_until_the_queue_shows_it(site: SkySite, server: Server) -> None:
    site.start([ONE, TWO])
    assert states(site) == {ONE: WorkerState.STARTING, TWO: WorkerState.STARTING}
    assert server.jobs == []
    server.gate.set()
    site.close()
    assert sorted(job.name for job in server.jobs) == [OWNER.job_name(ONE), OWNER.job_name(TWO)]
    assert states(site) == {ONE: WorkerState.STARTING, TWO: WorkerState.STARTING}
    assert all("has not answered" not in each.reason for each in site.list_workers())


def test_a_job_that_shows_up_before_the_answer_counts(site: SkySite, server: Server) -> None:
    site.start([ONE])
    server.jobs.append(ManagedJob(id=1, name=OWNER.job_name(ONE), status="RUNNING"))
    assert states(site) == {ONE: WorkerState.RUNNING}
    site.start([ONE])
    assert len(server.requested) == 1


def test_nobody_is_asked_for_twice_while_an_answer_is_awaited(site: SkySite, server: Server) -> None:
    site.start([ONE])
    site.start([ONE, TWO])
    assert server.requested == [OWNER.job_name(ONE), OWNER.job_name(TWO)]


def test_an_answer_that_comes_in_time_is_told_by_the_start_itself(site: SkySite, server: Server) -> None:
    site.answer_seconds = 30
    server.gate.set()
    server.problems[ONE] = SiteError("no quota")
    with pytest.raises(SiteError, match="1 of 2 workers were not started: no quota"):
        site.start([ONE, TWO])
    assert states(site) == {TWO: WorkerState.STARTING}


def test_a_request_that_is_not_even_taken_is_told_by_the_start_itself(site: SkySite, server: Server) -> None:
    server.refusing = UserError("no such cloud")
    with pytest.raises(UserError, match="no such cloud"):
        site.start([ONE])
    assert states(site) == {}


def test_a_failure_that_is_told_late_is_shown_with_its_reason_until_another_start(
    site: SkySite, server: Server
) -> None:
    server.problems[ONE] = SiteError("InsufficientInstanceCapacity in us-east-1")
    site.start([ONE])
    server.gate.set()
    gone = wait_for(site, ONE, WorkerState.GONE)
    assert gone.refused is server.problems[ONE]
    assert "InsufficientInstanceCapacity" in gone.reason
    assert gone.lacks_capacity
    server.problems.clear()
    site.start([ONE])
    site.close()
    assert states(site) == {ONE: WorkerState.STARTING}
    assert len(server.jobs) == 1


def test_a_late_failure_that_left_a_job_is_none(site: SkySite, server: Server) -> None:
    server.problems[ONE] = SiteError("the connection broke")
    site.start([ONE])
    server.add(OWNER.job_name(ONE))
    server.gate.set()
    site.close()
    assert states(site) == {ONE: WorkerState.STARTING}
    site.start([ONE])
    assert len(server.requested) == 1


def test_who_is_ended_before_the_answer_leaves_no_job(site: SkySite, server: Server) -> None:
    site.start([ONE, TWO])
    with stopping(site, ONE):
        wait_until(lambda: server.awaiting == 2, "both answers are awaited")
        server.gate.set()
    site.close()
    assert {job.name: job.status for job in server.jobs} == {
        OWNER.job_name(ONE): "CANCELLED",
        OWNER.job_name(TWO): "PENDING",
    }


def test_who_is_not_wanted_any_more_is_ended_even_when_nobody_waits_for_it(site: SkySite, server: Server) -> None:
    site.stop_seconds = 0.05
    site.start([ONE])
    with pytest.raises(SiteError, match="asked for, not answered yet"):
        site.stop([ONE])
    assert states(site) == {ONE: WorkerState.STARTING}
    server.gate.set()
    site.stop_seconds = 30
    site.close()
    assert [job.status for job in server.jobs] == ["CANCELLED"]
    assert states(site) == {ONE: WorkerState.GONE}


def test_what_is_not_answered_in_reasonable_time_is_said_at_the_end(
    site: SkySite, caplog: pytest.LogCaptureFixture
) -> None:
    site.start([ONE])
    site.stop_seconds = 0.01
    site.close()
    assert OWNER.job_name(ONE) in caplog.text


def test_launches_that_fail_late_are_tried_again_ever_less_often(site: SkySite, server: Server) -> None:
    time = TurnedClock()
    watched = Watched(site, every=1, clock=time.clock())
    watched.turn()
    server.gate.set()
    server.problems[ONE] = SiteError("the controller is away")
    watched.start([ONE])
    for _ in range(200):
        watched.turn()
        site.close()  # so that the next look sees the answer
        time.advance(1)
    assert 4 <= len(server.requested) <= 6  # after 0, 10, 30, 70, 150 seconds, and a little for the looks
    assert states(watched) == {ONE: WorkerState.STARTING}
    assert "the controller is away" in watched.trouble
    assert not watched.refusal

    server.problems.clear()
    for _ in range(600):
        watched.turn()
        site.close()
        time.advance(1)
    assert [job.name for job in server.jobs] == [OWNER.job_name(ONE)]
    assert not watched.trouble


def test_a_launch_that_is_refused_late_again_and_again_is_refused_for_good(site: SkySite, server: Server) -> None:
    time = TurnedClock()
    watched = Watched(site, every=1, clock=time.clock())
    watched.turn()
    server.gate.set()
    server.problems[ONE] = UserError("no such machine")
    watched.start([ONE])
    for _ in range(100):
        watched.turn()
        site.close()
        time.advance(1)
    assert "no such machine" in watched.refusal


def test_who_was_sent_away_is_not_tried_again_when_its_launch_fails_late(site: SkySite, server: Server) -> None:
    time = TurnedClock()
    watched = Watched(site, every=1, clock=time.clock())
    watched.turn()
    server.problems[ONE] = SiteError("no quota")
    watched.start([ONE])
    watched.turn()
    watched.dismiss([ONE])
    server.gate.set()
    watched.stop_turn()
    for _ in range(30):
        time.advance(1)
        watched.turn()
    assert len(server.requested) == 1
    assert states(watched) == {}
