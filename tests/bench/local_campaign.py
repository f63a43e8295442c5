"""A real campaign on the local site: real workers from the real bundle, this process as the launcher, all watched."""

from __future__ import annotations

import json
import os
import time
from collections import Counter
from collections.abc import Generator, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from gliderport_prefect.bundle import place_bundle
from gliderport_prefect.campaign.replay import read_log
from gliderport_prefect.campaign.runtime import Runtime
from gliderport_prefect.campaign.specs import SpecReader
from gliderport_prefect.lifecycle.driving import Feed, Progress, drive
from gliderport_prefect.lifecycle.launcher import take_over
from gliderport_prefect.lifecycle.opening import watch_site
from gliderport_prefect.lifecycle.plan import Plan, open_runtime, site_folder
from gliderport_prefect.lifecycle.specs import submit_specs
from gliderport_prefect.lifecycle.teardown import teardown
from gliderport_prefect.lifecycle.workers import Workforce
from gliderport_prefect.protocol.ids import CampaignId, JobId
from gliderport_prefect.protocol.jobspec import JobSpec
from gliderport_prefect.protocol.records import AttemptReport, Campaign, LauncherPolicy, LedgerRecord, timestamp
from gliderport_prefect.store import CountingStore, Store
from tests.waiting import wait_until

_CONTROL_VERBS = ("create", "get", "list", "delete")
_TICKS = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True)
class CpuSeconds:
    """Processor time of a worker."""

    own: float
    """Of the worker."""
    jobs: float
    """Of the jobs that it ran."""


@dataclass
class Watched:
    """A campaign under way, seen from its launcher."""

    plan: Plan
    store: TimedStore
    runtime: Runtime
    cpu: dict[str, CpuSeconds] = field(default_factory=dict[str, CpuSeconds])
    """Of each worker, when last looked at."""
    launcher_cpu_seconds: float = 0.0

    def submit(self, specs: Iterable[JobSpec]) -> None:
        """Put jobs into the bucket."""
        submit_specs(self.runtime.store, self.runtime.keys, jobs=specs)

    def drive(self, feed: Feed | None = None) -> None:
        """Be the launcher until every job has ended."""
        began = time.process_time()
        launcher = take_over(self.runtime, SpecReader(self.runtime.store, self.runtime.keys).spec_of)
        with watch_site(self.plan) as site:
            drive(launcher, Workforce(site, self.plan.launcher), watch=self._look, feed=feed)
        self.launcher_cpu_seconds = time.process_time() - began

    def reports(self) -> list[AttemptReport]:
        """Return the reports of all attempts, as they lie in the bucket."""
        plain = open_runtime(self.plan)
        ledger = read_log(plain, LedgerRecord, log=plain.keys.ledger, start=1)
        return [settled.report for _, record in ledger for settled in record.settled]

    def worker_requests(self) -> Counter[str]:
        """Return how often the workers asked the bucket for something, as they log it when they have left."""
        logs = sorted(site_folder(self.plan).glob("*.log"))
        wait_until(lambda: all('"REQUESTS"' in log.read_text("utf-8") for log in logs), "all workers have left")
        lines = (json.loads(line) for log in logs for line in log.read_text("utf-8").splitlines())
        total = Counter[str]()
        for line in lines:
            if line["event"] == "REQUESTS":
                total.update({verb: line[verb] for verb in _CONTROL_VERBS if verb in line})
        return total

    def _look(self, _: Progress) -> None:
        for note in site_folder(self.plan).glob("*.json"):
            try:
                self.cpu[note.stem] = _read_cpu(json.loads(note.read_text("utf-8"))["pid"])
            except (OSError, ValueError):
                continue


class TimedStore(CountingStore):
    """Counts requests, and notes when jobs were first handed out and when results were last made durable."""

    def __init__(self, inner: Store) -> None:
        super().__init__(inner)
        self.first_assigned = float("inf")
        self.last_settled = float("-inf")

    def create(self, key: str, data: bytes) -> bytes | None:
        """Note the time of what counts, then create."""
        if "/inbox/" in key and b'"assign"' in data:
            self.first_assigned = min(self.first_assigned, time.monotonic())
        standing = super().create(key, data)
        if "/ledger/" in key and b'"settled"' in data:
            self.last_settled = time.monotonic()
        return standing

    @property
    def seconds(self) -> float:
        """Time from the first assignment to the last result."""
        return self.last_settled - self.first_assigned


@contextmanager
def local_campaign(folder: Path, *, workers: int, cpus: float) -> Generator[Watched]:
    """Yield a campaign that has no jobs yet, in a bucket that is a folder; at the end nothing of it runs."""
    policy = LauncherPolicy(max_workers=workers)
    plan = Plan(CampaignId("bench"), str(folder), site_options={"cpus": cpus}, launcher=policy)
    inner = open_runtime(plan)
    campaign = Campaign(plan.campaign, inner.token(), timestamp(time.time()), worker=plan.worker, launcher=policy)
    inner.create(inner.keys.identity, campaign)
    place_bundle(inner.store, inner.keys)
    store = TimedStore(inner.store)
    try:
        yield Watched(plan, store, Runtime(store, inner.keys))
    finally:
        teardown(plan)


def commands(text: str, count: int, *, first: int = 0) -> Iterator[JobSpec]:
    """Yield jobs that run the command."""
    return (JobSpec(id=JobId(f"job-{n:07d}"), run=text) for n in range(first, first + count))


def _read_cpu(pid: int) -> CpuSeconds:
    fields = Path(f"/proc/{pid}/stat").read_text("utf-8").rpartition(")")[2].split()
    own_user, own_system, jobs_user, jobs_system = (int(each) / _TICKS for each in fields[11:15])
    return CpuSeconds(own_user + own_system, jobs_user + jobs_system)
