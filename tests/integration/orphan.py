"""A campaign with a real worker on this machine and a launcher that does what a test tells it to, then is gone."""

from __future__ import annotations

import socket
import subprocess
import sys
import time
from collections.abc import Callable, Generator
from dataclasses import dataclass, field
from pathlib import Path

import psutil
import pytest

from gliderport_prefect.board.view import look
from gliderport_prefect.campaign.identity import write_identity
from gliderport_prefect.campaign.requests import append_request
from gliderport_prefect.campaign.runtime import Clock, Runtime
from gliderport_prefect.campaign.specs import SpecReader
from gliderport_prefect.lifecycle.launch import launch
from gliderport_prefect.lifecycle.launcher import Launcher, take_over
from gliderport_prefect.lifecycle.plan import plan_of, site_folder
from gliderport_prefect.lifecycle.reap import Reaped, reap
from gliderport_prefect.lifecycle.specs import submit_specs
from gliderport_prefect.protocol.ids import CampaignId
from gliderport_prefect.protocol.keys import CampaignKeys
from gliderport_prefect.protocol.notation import parse_job
from gliderport_prefect.protocol.outcomes import JobState
from gliderport_prefect.protocol.records import (
    Campaign,
    LauncherClaim,
    LedgerRecord,
    RequestKind,
    WorkerPolicy,
    timestamp,
)
from gliderport_prefect.sites.local import LocalWorkers
from gliderport_prefect.store import open_store
from tests.campaign_rig import TurnedClock
from tests.waiting import wait_until

GRACE_SECONDS = 0.5


Begin = Callable[..., "Orphan"]


@dataclass
class Orphan:
    """A campaign of one job, with a real worker, that no process drives."""

    folder: Path
    """Its bucket."""
    name: str = "demo"
    """Its id."""
    runtime: Runtime = field(init=False)

    def __post_init__(self) -> None:
        """Begin the campaign; its job ends when there is a gate."""
        self.runtime = Runtime(open_store(self.folder, makes_root=True), CampaignKeys(CampaignId(self.name)))
        identity = Campaign(
            CampaignId(self.name), "token", timestamp(0), worker=WorkerPolicy(heartbeat_seconds=0.2, idle_seconds=60)
        )
        write_identity(self.runtime, identity)
        job = {"id": "a", "run": f"until test -e {self.gate}; do sleep 0.05; done", "retries": 0}
        submit_specs(self.runtime.store, self.runtime.keys, jobs=[parse_job(job)])

    @property
    def gate(self) -> Path:
        """Lets the job end."""
        return self.folder.parent / "gate"

    def start_worker(self) -> psutil.Process:
        """Start a worker and wait until it has said hello."""
        launch(plan_of(self.runtime))
        wait_until(lambda: self.runtime.store.list(self.runtime.keys.outbox), "the worker says hello")
        (process,) = self.processes()
        return process

    def processes(self) -> list[psutil.Process]:
        """Return its workers."""
        place = (self.runtime.store.url, self.name)
        found = [each for each in LocalWorkers().find_started() if (each.bucket, each.campaign) == place]
        return [psutil.Process(int(each.reference.rpartition(" ")[2])) for each in found]

    def drive(self) -> Launcher:
        """Take it over."""
        return take_over(self.runtime, SpecReader(self.runtime.store, self.runtime.keys).spec_of)

    def run_job(self) -> None:
        """Let the worker begin with the job."""
        launcher = self.drive()

        def runs() -> bool:
            launcher.settle({})
            launcher.hand_out()
            return bool(launcher.state.jobs.counts()[JobState.RUNNING])

        wait_until(runs, "the job runs")

    def abandon(self, *, host: str | None = None) -> None:
        """Let its last launcher be a process of this machine that has ended, or one of another machine."""
        with subprocess.Popen([sys.executable, "-c", ""]) as ended:
            pass
        claim = LauncherClaim(
            self.runtime.token(), host or socket.gethostname(), ended.pid, timestamp(time.time()), "0"
        )
        number = len(self.runtime.store.list(self.runtime.keys.launchers)) + 1
        assert self.runtime.append(self.runtime.keys.launchers, claim, number=number) is None

    def finish(self) -> None:
        """Let it be over: its job is cancelled."""
        append_request(self.runtime, RequestKind.CANCEL)
        launcher = self.drive()
        launcher.follow_requests()
        launcher.write_ledger(LedgerRecord(launcher.epoch, "", finished=True))

    def counts(self) -> dict[JobState, int]:
        """Return how many jobs are in each state, without those that are empty."""
        return {state: count for state, count in look(self.runtime).jobs.counts().items() if count}

    @property
    def notes(self) -> Path:
        """Where this machine keeps what it must remember of the workers."""
        return site_folder(plan_of(self.runtime))

    def reap(self, clock: Clock | None = None, *, dry_run: bool = False) -> Reaped:
        """Reap in this bucket alone; time passes as fast as the reaper waits."""
        given = clock or TurnedClock().clock()
        return reap("local", bucket=str(self.folder), grace_seconds=GRACE_SECONDS, dry_run=dry_run, clock=given)


@pytest.fixture(name="state_home", autouse=True)
def own_state_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Keep this machine's notes out of the user's own folders."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    return tmp_path / "state"


@pytest.fixture(name="begin")
def begin_orphans(tmp_path: Path) -> Generator[Callable[..., Orphan]]:
    """Return what begins a campaign in a bucket of that name; its workers are ended afterwards."""
    begun: list[Orphan] = []

    def make(bucket: str = "bucket", name: str = "demo") -> Orphan:
        begun.append(Orphan(tmp_path / bucket, name))
        return begun[-1]

    yield make
    for each in begun:
        for process in each.processes():
            process.kill()
