"""A campaign driven by hand: the real launcher, simulated workers, a real folder."""

from __future__ import annotations

import dataclasses
import socket
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from gliderport_prefect.campaign.identity import write_identity
from gliderport_prefect.campaign.runtime import Clock, Runtime
from gliderport_prefect.campaign.specs import SpecReader
from gliderport_prefect.lifecycle.launcher import Launcher, take_over
from gliderport_prefect.lifecycle.specs import submit_specs
from gliderport_prefect.protocol.ids import CampaignId
from gliderport_prefect.protocol.keys import CampaignKeys
from gliderport_prefect.protocol.notation import parse_job
from gliderport_prefect.protocol.outcomes import Outcome
from gliderport_prefect.protocol.records import (
    Assignment,
    AttemptReport,
    Campaign,
    LauncherClaim,
    LauncherPolicy,
    Published,
    StreamLog,
    timestamp,
)
from gliderport_prefect.store import open_store
from tests.simulated import SimulatedWorker, report_of, succeed

Ends = Callable[[Assignment], AttemptReport | None]


class Stage:
    """One campaign and those who act in it."""

    def __init__(self, folder: Path, jobs: Iterable[dict[str, Any]], *, campaign: str = "demo", at: float = 0) -> None:
        """Submit the jobs; nobody drives them yet."""
        self.folder = folder
        self.runtime = Runtime(
            open_store(folder, makes_root=True), CampaignKeys(CampaignId(campaign)), Clock(sleep=self._sleep)
        )
        identity = Campaign(
            CampaignId(campaign),
            self.runtime.token(),
            timestamp(at),
            origin="a test",
            launcher=LauncherPolicy(black_hole_limit=1000),
        )
        write_identity(self.runtime, identity)
        submit_specs(self.runtime.store, self.runtime.keys, jobs=map(parse_job, jobs))
        self.launcher: Launcher | None = None
        self.workers: list[SimulatedWorker] = []
        self.while_asleep: list[Callable[[], None]] = []
        """What happens while a reader waits, one for each of its sleeps."""

    def drive(self) -> Launcher:
        """Take the campaign over."""
        self.launcher = take_over(self.runtime, SpecReader(self.runtime.store, self.runtime.keys).spec_of)
        return self.launcher

    def add_worker(self, ends: Ends = succeed, *, name: str = "worker-0001") -> SimulatedWorker:
        """Let a worker say hello."""
        worker = SimulatedWorker(self.runtime, name, run=ends)
        worker.say_hello()
        self.workers.append(worker)
        return worker

    def turn(self) -> None:
        """Let launcher and workers have one turn each."""
        launcher = self.launcher or self.drive()
        launcher.follow_requests()
        launcher.settle({})
        launcher.hand_out()
        for worker in self.workers:
            worker.turn()
        launcher.settle({})

    def play(self) -> None:
        """Go on until every job has ended."""
        for _ in range(1000):
            self.turn()
            assert self.launcher is not None
            if not self.launcher.state.jobs.unfinished:
                return
        raise AssertionError("the campaign did not end")

    def claim(self, pid: int, *, host: str | None = None, claimed_at: str | None = None) -> None:
        """Let some process have claimed the campaign last."""
        runtime = self.runtime
        claim = LauncherClaim(
            token=runtime.token(),
            host=host or socket.gethostname(),
            pid=pid,
            claimed_at=claimed_at or timestamp(time.time()),
            version="0",
        )
        number = len(runtime.store.list(runtime.keys.launchers)) + 1
        assert runtime.append(runtime.keys.launchers, claim, number=number) is None

    def _sleep(self, seconds: float) -> None:
        assert seconds > 0
        assert self.while_asleep, "a reader waits for what will never come"
        self.while_asleep.pop(0)()


def fails(
    assignment: Assignment, *, stderr: str = "no such file\n", outcome: Outcome = Outcome.FAILED
) -> AttemptReport:
    """Return the report of an attempt that printed errors and failed."""
    log = StreamLog(size_bytes=len(stderr.encode()), text=stderr)
    report = dataclasses.replace(report_of(assignment, outcome), reason="exit code 1", stderr=log)
    return report if outcome is not Outcome.TIMED_OUT else dataclasses.replace(report, exit_code=None, signal=15)


def publishes(assignment: Assignment) -> AttemptReport:
    """Return the report of an attempt with two outputs."""
    places = tuple(Published(f"s3://results/{assignment.spec.id}/{n}", files=1, size_bytes=10) for n in (1, 2))
    return dataclasses.replace(report_of(assignment, Outcome.SUCCEEDED), outputs=places)


def many(count: int, **keys: object) -> list[dict[str, Any]]:
    """Return jobs that are alike but for their ids."""
    return [{"id": f"job-{number}", "run": "true", **keys} for number in range(count)]
