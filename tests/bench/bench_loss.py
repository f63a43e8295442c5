"""How soon jobs run again elsewhere when their machine is gone without a word, with the default settings."""

from __future__ import annotations

import json
import signal
import time
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

import psutil
import pytest

from gliderport_prefect.lifecycle.plan import site_folder
from gliderport_prefect.protocol.ids import JobId
from gliderport_prefect.protocol.jobspec import JobSpec
from tests.bench.figures import Figure
from tests.bench.local_campaign import Watched, local_campaign
from tests.waiting import wait_until

_TRIALS = 3
_CPUS = 4
"""Of each of the two workers, on paper; the jobs take one each and hardly anything in fact."""


@dataclass
class Loss:
    """A campaign that fills two workers, one of which is taken away as soon as all jobs run."""

    campaign: Watched
    folder: Path
    """What the jobs write."""
    signal: signal.Signals
    """What the worker and all of its jobs get at once."""
    lost_at: float = 0.0
    """When they had got it, by the wall clock."""
    lost_jobs: list[JobId] = field(default_factory=list[JobId])
    """Those that ran there."""
    victims: list[psutil.Process] = field(default_factory=list[psutil.Process])

    def run(self) -> None:
        """Run the campaign to its end."""
        self.folder.mkdir()
        self.campaign.submit(self._job(number) for number in range(2 * _CPUS))
        try:
            with ThreadPoolExecutor(max_workers=1) as thread:
                losing = thread.submit(self._lose)
                self.campaign.drive()
                losing.result()
        finally:
            _send(signal.SIGKILL, self.victims)

    def seconds_lost(self) -> float:
        """Return how long it took until the last of its jobs ran again."""
        started = {each.id: each.started_at for each in self.campaign.reports()}  # the last attempt of each counts
        return max(datetime.fromisoformat(started[job]).timestamp() for job in self.lost_jobs) - self.lost_at

    def _lose(self) -> None:
        try:
            wait_until(lambda: len(self._homes()) == 2 * _CPUS, "all jobs run", timeout_seconds=60)
            homes = self._homes()
            name = next(iter(homes.values()))
            self.lost_jobs = [job for job, home in homes.items() if home == name]
            note = site_folder(self.campaign.plan) / f"{name}.json"
            worker = psutil.Process(json.loads(note.read_text("utf-8"))["pid"])
            self.victims = [worker, *worker.children(recursive=True)]
            _send(self.signal, self.victims)
            self.lost_at = time.time()
        finally:
            (self.folder / "gate").touch()  # the other worker's jobs end, so that it has room

    def _homes(self) -> dict[JobId, str]:
        """Return the worker of each job that has begun."""
        told = {JobId(each.parent.name): each.read_text("utf-8").strip() for each in sorted(self.folder.glob("*/home"))}
        return {job: home for job, home in told.items() if home}

    def _job(self, number: int) -> JobSpec:
        mine, gate = self.folder / f"job-{number}", self.folder / "gate"
        wait = f"echo $GLIDERPORT_WORKER > {mine}/home; until test -e {gate}; do sleep 1; done"
        return JobSpec(JobId(mine.name), f"if mkdir {mine}; then {wait}; fi", retries=0)


def _send(what: signal.Signals, processes: Iterable[psutil.Process]) -> None:
    for each in processes:
        with suppress(psutil.NoSuchProcess):
            each.send_signal(what)


@pytest.mark.timeout(900)
@pytest.mark.parametrize(
    ("how", "what"),
    [
        pytest.param("machine hangs, its site notices nothing", signal.SIGSTOP, id="hangs"),
        pytest.param("machine is gone, its site notices", signal.SIGKILL, id="is-killed"),
    ],
)
def test_the_jobs_of_a_lost_machine_run_elsewhere_within_a_minute(
    how: str, what: signal.Signals, *, tmp_path: Path, sized: Callable[[int], int], show: Callable[..., None]
) -> None:
    seconds: list[float] = []
    for number in range(sized(_TRIALS)):
        with local_campaign(tmp_path / f"bucket-{number}", workers=2, cpus=_CPUS) as campaign:
            loss = Loss(campaign, tmp_path / f"jobs-{number}", what)
            loss.run()
            seconds.append(loss.seconds_lost())
    show(
        Figure(
            f"{how}: jobs run again",
            max(seconds),
            "s",
            60.0,
            is_more_better=False,
            detail=f"longest of {len(seconds)}; shortest {min(seconds):.2f} s; {_CPUS} jobs",
        )
    )
