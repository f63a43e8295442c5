"""A launcher, and a worker on each of two machines with a metadata service of its own; then one is taken back."""

from __future__ import annotations

import threading
import time
from collections.abc import Generator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

from gliderport_prefect.campaign.replay import read_log
from gliderport_prefect.campaign.runtime import Runtime
from gliderport_prefect.campaign.specs import SpecReader
from gliderport_prefect.lifecycle.driving import drive
from gliderport_prefect.lifecycle.launcher import take_over
from gliderport_prefect.lifecycle.specs import submit_specs
from gliderport_prefect.lifecycle.workers import Workforce
from gliderport_prefect.protocol.ids import JobId, WorkerName
from gliderport_prefect.protocol.jobspec import JobSpec
from gliderport_prefect.protocol.records import AttemptReport, LauncherPolicy, LedgerRecord
from gliderport_prefect.protocol.resources import Offer, Resources
from gliderport_prefect.sites.seam import Market, Quote, SiteWorker, WorkerState
from gliderport_prefect.sites.watched import Watched
from tests.integration.worker_rig import Rig, new_rig
from tests.metadata_faces import AwsFace
from tests.metadata_server import serve_metadata
from tests.waiting import wait_until

_CPUS = 2


@dataclass
class Machines:
    """A site: every worker is a process of this machine that believes to have an EC2 instance for itself."""

    rig: Rig
    servers: ExitStack
    faces: dict[WorkerName, AwsFace] = field(default_factory=dict[WorkerName, AwsFace])
    """What each instance's metadata service says."""

    @property
    def offer(self) -> Offer:
        """What every instance has."""
        return Offer(cpus=_CPUS, memory_bytes=2**33, disk_bytes=2**33)

    @property
    def quote(self) -> Quote:
        """Nobody pays for them."""
        return Quote()

    def start(self, names: Sequence[WorkerName], *, market: Market | None = None) -> None:  # noqa: ARG002 - nobody pays
        """Start a worker on an instance of its own for each name."""
        for name in names:
            face = self.faces[name] = AwsFace()
            server = self.servers.enter_context(serve_metadata(face))
            variables = {"GLIDERPORT_NOTICES": "aws", "GLIDERPORT_METADATA_ADDRESS": server.address}
            self.rig.start_worker(name=name, **variables)

    def list_workers(self) -> list[SiteWorker]:
        """Return all workers as running: none of them goes while a test looks."""
        return [SiteWorker(name, WorkerState.RUNNING) for name in self.faces]

    def stop(self, names: Sequence[WorkerName]) -> None:
        """Leave them to the rig, which ends all."""

    def forget(self) -> None:
        """Keep nothing."""

    def close(self) -> None:
        """Return at once."""


@dataclass
class TwoMachines:
    """A campaign of two jobs, one of which loses its machine."""

    rig: Rig
    site: Machines
    runtime: Runtime
    noticed_at: float = 0.0
    """When the cloud announced it, by the wall clock."""

    def run(self) -> None:
        """Run both jobs to their end; take the first one's machine back as soon as the other one has ended."""
        submit_specs(self.runtime.store, self.runtime.keys, jobs=[self._doomed(), self._other()])
        launcher = take_over(self.runtime, SpecReader(self.runtime.store, self.runtime.keys).spec_of)
        reaper = threading.Thread(target=self._take_back)
        reaper.start()
        with Watched(self.site) as site:
            drive(launcher, Workforce(site, LauncherPolicy(max_workers=2)), watch=lambda _: None)
        reaper.join()

    def reports(self) -> list[AttemptReport]:
        """Return the reports of all attempts in the order in which they were settled."""
        ledger = read_log(self.runtime, LedgerRecord, log=self.runtime.keys.ledger, start=1)
        return [settled.report for _, record in ledger for settled in record.settled]

    def seconds_lost(self) -> float:
        """Return how long it took from the notice until the job ran again."""
        again = next(each for each in reversed(self.reports()) if each.id == "doomed")
        return datetime.fromisoformat(again.started_at).timestamp() - self.noticed_at

    def _take_back(self) -> None:
        up, done = self.rig.folder / "up", self.rig.folder / "done"
        wait_until(lambda: up.exists() and up.read_text("utf-8") and done.exists(), "one job runs, one has ended")
        self.noticed_at = time.time()
        self.site.faces[WorkerName(up.read_text("utf-8").strip())].announce(seconds=120)

    def _doomed(self) -> JobSpec:
        wait = f"echo $GLIDERPORT_WORKER > {self.rig.folder}/up; sleep 300"
        begin = f"if mkdir {self.rig.folder}/begun 2> /dev/null; then {wait}; fi"
        return JobSpec(JobId("doomed"), f"{begin}; echo again", retries=0, resources=Resources(cpus=_CPUS))

    def _other(self) -> JobSpec:
        wait = f"until test -e {self.rig.folder}/up; do sleep 0.05; done"
        return JobSpec(JobId("other"), f"{wait}; touch {self.rig.folder}/done", resources=Resources(cpus=_CPUS))


@contextmanager
def two_machines(folder: Path) -> Generator[TwoMachines]:
    """Make the campaign, and end everything afterwards."""
    with new_rig(folder) as rig, ExitStack() as servers:
        yield TwoMachines(rig, Machines(rig, servers), Runtime(rig.store, rig.keys))
