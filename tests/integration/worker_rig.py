"""A campaign in a folder, a launcher that only says what a test tells it to, and real worker processes."""

from __future__ import annotations

import hashlib
import itertools
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal

import pytest

from gliderport_prefect.bundle import build_bundle
from gliderport_prefect.protocol.codec import decode, encode
from gliderport_prefect.protocol.ids import AttemptId, CampaignId, JobId, JobNumber, SessionId
from gliderport_prefect.protocol.jobspec import JobSpec
from gliderport_prefect.protocol.keys import CampaignKeys, number_segment
from gliderport_prefect.protocol.records import (
    Assignment,
    AttemptRef,
    AttemptReport,
    Campaign,
    InboxRecord,
    OutboxRecord,
    WorkerPolicy,
)
from gliderport_prefect.store import Store, open_store
from tests.waiting import wait_until

CAMPAIGN = CampaignId("test")
NAMELESS = JobId("nameless")
PLAIN = JobSpec(NAMELESS)
QUICK = WorkerPolicy(heartbeat_seconds=5, idle_seconds=60, grace_seconds=1, store_patience_seconds=20)


@dataclass
class Rig:
    """One campaign, one worker at a time, and what has been said."""

    folder: Path
    """Everything of the test."""
    bundle: Path
    """The worker."""
    processes: list[subprocess.Popen[bytes]] = field(default_factory=list[subprocess.Popen[bytes]])
    """Workers started."""
    epoch: int = 1
    """Epoch under which the launcher speaks."""
    jobs: Iterator[int] = field(default_factory=lambda: itertools.count(0))
    """Numbers for jobs."""
    _said: dict[SessionId, int] = field(default_factory=dict[SessionId, int])

    @property
    def bucket(self) -> Path:
        """The runtime bucket."""
        return self.folder / "bucket"

    @property
    def scratch(self) -> Path:
        """The workers' local disk."""
        return self.folder / "scratch"

    @property
    def keys(self) -> CampaignKeys:
        """Keys of the campaign."""
        return CampaignKeys(CAMPAIGN)

    @property
    def store(self) -> Store:
        """The runtime bucket as the protocol sees it."""
        return open_store(self.bucket, makes_root=True)

    def campaign(self) -> Campaign:
        """Return the campaign's first object."""
        return decode(Campaign, self.store.get(self.keys.identity) or b"", where="campaign.json")

    @contextmanager
    def outage(self) -> Generator[None]:
        """Take the bucket away for a while: every request fails."""
        away = self.folder / "away"
        self.bucket.rename(away)
        self.bucket.touch()
        yield
        self.bucket.unlink()
        away.rename(self.bucket)

    def start_worker(self, *arguments: str, name: str = "w", **variables: str) -> subprocess.Popen[bytes]:
        """Start a worker process."""
        command = [sys.executable, str(self.bundle), "--bucket", str(self.bucket), "--campaign", CAMPAIGN]
        command += ["--name", name, "--scratch", str(self.scratch), "--cpus", "2", *arguments]
        with (self.folder / "worker.log").open("ab") as log:
            process = subprocess.Popen(command, stderr=log, env={**os.environ, **variables})
        self.processes.append(process)
        return process

    def records(self) -> list[OutboxRecord]:
        """Return everything that sessions have said, session by session."""
        store = self.store
        keys = [each.key for each in store.list(self.keys.outbox)]
        return [decode(OutboxRecord, store.get(key) or b"", where=key) for key in keys]

    def sessions(self) -> list[SessionId]:
        """Return the sessions that have said hello, oldest first."""
        hellos = [each for each in self.records() if each.hello is not None]
        return [each.session for each in sorted(hellos, key=lambda each: each.hello.started_at if each.hello else "")]

    def meet(self, *, count: int = 1) -> SessionId:
        """Wait for that many hellos and return the newest session."""
        wait_until(lambda: len(self.sessions()) >= count, f"{count} sessions say hello")
        return self.sessions()[-1]

    def say(
        self,
        session: SessionId,
        *,
        assign: Sequence[Assignment] = (),
        recall: Sequence[Assignment] = (),
        cancel: Sequence[Assignment] = (),
        drain: bool = False,
        dead: bool = False,
    ) -> None:
        """Append a record to the session's inbox."""
        number = self._said[session] = self._said.get(session, 0) + 1
        record = InboxRecord(
            epoch=self.epoch,
            token=f"token {number}",
            assign=tuple(assign),
            recall=tuple(map(ref_of, recall)),
            cancel=tuple(map(ref_of, cancel)),
            drain=drain,
            dead=dead,
        )
        key = f"{self.keys.inbox(session)}/{number_segment(number)}"
        assert self.store.create(key, encode(record)) is None

    def make(self, run: str | None, like: JobSpec = PLAIN, *, attempt: str = "1.1") -> Assignment:
        """Return a job with the next number."""
        number = next(self.jobs)
        return Assignment(JobNumber(number), AttemptId(attempt), replace(like, id=JobId(f"job-{number}"), run=run))

    def reports(self) -> dict[str, AttemptReport]:
        """Return how attempts ended, by job id."""
        return {report.id: report for record in self.records() for report in record.finished}

    def report_of(self, assignment: Assignment, *, timeout_seconds: float = 30) -> AttemptReport:
        """Wait for the attempt's end and return its report."""
        wanted = assignment.spec.id
        wait_until(lambda: wanted in self.reports(), f"{wanted} is reported", timeout_seconds=timeout_seconds)
        return self.reports()[wanted]

    def wait_started(self, assignment: Assignment) -> None:
        """Wait until the worker has said that the attempt runs."""
        wanted = ref_of(assignment)
        wait_until(lambda: any(wanted in each.started for each in self.records()), f"{wanted} has started")

    def returned(self) -> list[AttemptRef]:
        """Return what was handed back."""
        return [ref for record in self.records() for ref in record.returned]

    def run(self, *assignments: Assignment) -> list[AttemptReport]:
        """Start a worker, give it the jobs, and return their reports."""
        self.start_worker()
        self.say(self.meet(), assign=assignments)
        return [self.report_of(each) for each in assignments]

    def run_one(self, run: str | None, like: JobSpec = PLAIN) -> AttemptReport:
        """Start a worker, give it one job, and return its report."""
        return self.run(self.make(run, like))[0]

    def put_blob(self, content: bytes) -> str:
        """Upload an input and return its hash."""
        sha256 = hashlib.sha256(content).hexdigest()
        assert self.store.create(self.keys.blob(sha256), content) is None
        return sha256

    def printed(self, assignment: Assignment, stream: Literal["stdout", "stderr"] = "stdout") -> bytes:
        """Return what the attempt's parts in the bucket hold together."""
        store, prefix = self.store, self.keys.logs(assignment.spec.id, assignment.attempt)
        return b"".join(store.get(each.key) or b"" for each in store.list(prefix) if stream in each.key)

    def wait_printed(self, assignment: Assignment, expected: bytes) -> None:
        """Wait until the bucket holds what the running attempt has printed."""
        wait_until(lambda: self.printed(assignment) == expected, f"{expected!r} is uploaded")

    def log(self) -> str:
        """Return what the workers wrote to their own log."""
        return (self.folder / "worker.log").read_text("utf-8")

    def close(self) -> None:
        """End what still runs."""
        for process in self.processes:
            if process.poll() is None:
                process.send_signal(signal.SIGINT)
                process.send_signal(signal.SIGINT)
                _end(process)


@contextmanager
def new_rig(folder: Path, policy: WorkerPolicy = QUICK) -> Generator[Rig]:
    """Make a campaign whose workers are ended afterwards."""
    rig = Rig(folder, write_bundle(folder))
    campaign = Campaign(CAMPAIGN, "token", "2026-01-01T00:00:00+00:00", worker=policy)
    assert rig.store.create(rig.keys.identity, encode(campaign)) is None
    try:
        yield rig
    finally:
        rig.close()


@pytest.fixture(name="rig")
def worker_rig(tmp_path: Path) -> Iterator[Rig]:
    """A campaign with quick timers."""
    with new_rig(tmp_path) as rig:
        yield rig


def ref_of(assignment: Assignment) -> AttemptRef:
    """Return the name of the attempt."""
    return AttemptRef(assignment.job, assignment.attempt)


def wait_for_exit(process: subprocess.Popen[bytes]) -> int:
    """Wait for the end of the process and return its exit code."""
    return process.wait(timeout=30)


def write_bundle(folder: Path) -> Path:
    """Write the worker bundle of this checkout."""
    path = folder / "worker.pyz"
    path.write_bytes(build_bundle().data)
    return path


def is_running(pid: int) -> bool:
    """Say whether the process exists and has not ended."""
    try:
        return Path(f"/proc/{pid}/stat").read_text("utf-8").rpartition(")")[2].split()[0] not in {"Z", "X"}
    except OSError:
        return False


def wait_for_file(path: Path, *, that: Callable[[str], bool] = bool) -> str:
    """Wait until a job has written the file and return its text."""
    wait_until(lambda: path.exists() and that(path.read_text("utf-8")), f"{path.name} is written")
    return path.read_text("utf-8")


def _end(process: subprocess.Popen[bytes]) -> None:
    try:
        process.wait(timeout=15)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
