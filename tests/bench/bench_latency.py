"""How soon an idle worker starts a new job, what an idle campaign costs in requests, how soon a worker says hello."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from statistics import median

import pytest

from gliderport_prefect.bundle import build_bundle
from gliderport_prefect.campaign.requests import append_request
from gliderport_prefect.lifecycle.plan import open_runtime
from gliderport_prefect.lifecycle.specs import submit_specs
from gliderport_prefect.protocol.records import RequestKind
from tests.bench.figures import Figure
from tests.bench.local_campaign import Watched, commands, local_campaign
from tests.waiting import wait_until

_TRIALS = 9
_WORKERS = 2
_PAUSE_SECONDS = 2.3
_IDLE_SECONDS = (12.0, 52.0)


@dataclass
class Trickle:
    """A feed that submits a job now and then, to workers that have become idle."""

    campaign: Watched
    trials: int
    submitted_at: list[float] = field(default_factory=list[float])
    """When each job was there, by the wall clock of this machine, which the worker shares."""
    _due: float = 0.0

    def pour(self) -> bool:
        """Submit the next job when the last one has been over for a while."""
        if time.monotonic() < self._due:
            return False
        number = len(self.submitted_at)
        # Not a multiple of any interval at which somebody looks.
        self._due = time.monotonic() + _PAUSE_SECONDS + number * 0.37
        if number >= self.trials:
            return False
        self.submitted_at.append(time.time())
        self.campaign.submit(commands("true", 1, first=number))
        return True

    def is_open(self) -> bool:
        """Say whether there are jobs left to submit."""
        return len(self.submitted_at) < self.trials


@dataclass
class Silence:
    """A feed that has one job and then nothing for a while."""

    seconds: float
    _until: float | None = None

    def pour(self) -> bool:
        """Begin the silence."""
        if self._until is None:
            self._until = time.monotonic() + self.seconds
        return False

    def is_open(self) -> bool:
        """Say whether it lasts."""
        return self._until is None or time.monotonic() < self._until


@pytest.mark.timeout(200)
def test_an_idle_worker_starts_a_job_of_the_launchers_process_within_a_second(
    tmp_path: Path, sized: Callable[[int], int], show: Callable[..., None]
) -> None:
    with local_campaign(tmp_path, workers=_WORKERS, cpus=1) as campaign:
        trickle = Trickle(campaign, sized(_TRIALS))
        campaign.drive(trickle)
        delays = _delays(campaign, trickle.submitted_at)
    show(
        Figure(
            "submission to start on an idle worker, median",
            median(delays),
            "s",
            1.0,
            is_more_better=False,
            detail=f"of {len(delays)}; longest {max(delays):.2f} s",
        )
    )


@pytest.mark.timeout(300)
def test_an_idle_worker_starts_a_job_of_another_process_soon(
    tmp_path: Path, sized: Callable[[int], int], show: Callable[..., None]
) -> None:
    with local_campaign(tmp_path, workers=_WORKERS, cpus=1) as campaign:
        submitted_at: list[float] = []
        is_over = threading.Event()
        submitter = threading.Thread(
            target=_submit_from_outside, args=(campaign, submitted_at, sized(_TRIALS), is_over)
        )
        submitter.start()
        campaign.drive(_UntilOver(is_over))
        submitter.join()
        delays = _delays(campaign, submitted_at)
    show(
        Figure(
            "the same, submitted by another process, median",
            median(delays),
            "s",
            detail=f"of {len(delays)}; longest {max(delays):.2f} s",
        )
    )


@pytest.mark.timeout(300)
def test_an_idle_campaign_costs_at_most_one_request_per_second_and_worker(
    tmp_path: Path, sized: Callable[[int], int], show: Callable[..., None]
) -> None:
    """The difference between a long and a short silence is what silence costs; beginning and end cancel out."""
    totals: list[int] = []
    spans = [seconds if seconds < 20 else max(20.0, sized(round(seconds))) for seconds in _IDLE_SECONDS]
    for seconds in spans:
        with local_campaign(tmp_path / f"{seconds}", workers=_WORKERS, cpus=1) as campaign:
            campaign.submit(commands("true", _WORKERS))
            campaign.drive(Silence(seconds))
            totals.append(campaign.store.total + campaign.worker_requests().total())
    rate = (totals[1] - totals[0]) / (spans[1] - spans[0]) / _WORKERS
    show(
        Figure(
            "requests per second and worker of an idle campaign",
            rate,
            "/s",
            1.0,
            is_more_better=False,
            detail=f"{_WORKERS} workers, launcher and workers together, heartbeats included",
        )
    )


@pytest.mark.timeout(120)
def test_a_worker_says_hello_within_a_second(
    tmp_path: Path, sized: Callable[[int], int], show: Callable[..., None]
) -> None:
    bundle = tmp_path / "worker.pyz"
    bundle.write_bytes(build_bundle().data)
    with local_campaign(tmp_path / "bucket", workers=1, cpus=1) as campaign:
        delays = [_time_hello(campaign, bundle, number) for number in range(max(3, sized(10)))]
    show(
        Figure(
            "worker process start to its hello, median",
            median(delays),
            "s",
            1.0,
            is_more_better=False,
            detail=f"of {len(delays)}; longest {max(delays):.2f} s",
        )
    )


@dataclass
class _UntilOver:
    """A feed without jobs that keeps the campaign open until an event is set."""

    is_over: threading.Event

    def pour(self) -> bool:
        """Submit nothing."""
        return False

    def is_open(self) -> bool:
        """Say whether the event is not set."""
        return not self.is_over.is_set()


def _submit_from_outside(campaign: Watched, submitted_at: list[float], trials: int, is_over: threading.Event) -> None:
    """Do what the command line does to a campaign that a launcher drives, again and again."""
    runtime = open_runtime(campaign.plan)
    for number in range(trials):
        submitted_at.append(time.time())
        submit_specs(runtime.store, runtime.keys, jobs=commands("true", 1, first=number))
        append_request(runtime, RequestKind.SUBMITTED)
        wait_until(lambda n=number: len(campaign.reports()) > n, f"job {number} ends")
        is_over.wait(_PAUSE_SECONDS + number * 0.37)
    is_over.set()


def _delays(campaign: Watched, submitted_at: list[float]) -> list[float]:
    """Return how long each job waited; the first one had to wait for the worker to be started."""
    started = {each.job: datetime.fromisoformat(each.started_at).timestamp() for each in campaign.reports()}
    assert len(started) == len(submitted_at)
    return [started[number] - submitted_at[number] for number in sorted(started)][1:]


def _time_hello(campaign: Watched, bundle: Path, number: int) -> float:
    runtime = campaign.runtime
    name = f"timed-{number:02d}"
    command = [
        sys.executable,
        str(bundle),
        "--bucket",
        runtime.store.url,
        "--campaign",
        runtime.campaign,
        "--name",
        name,
    ]
    began = time.monotonic()
    process = subprocess.Popen(
        [*command, "--cpus", "1", "--scratch", str(bundle.parent / name)], stderr=subprocess.DEVNULL
    )
    try:
        wait_until(
            lambda: any(name in each.key for each in runtime.store.list(runtime.keys.outbox)), "the hello is there"
        )
        return time.monotonic() - began
    finally:
        process.terminate()
        process.wait()
