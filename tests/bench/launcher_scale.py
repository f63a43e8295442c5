"""How the launcher's processor time, memory and requests grow with the jobs; simulated workers, a local folder.

python -m tests.bench.launcher_scale 10000 100000 1000000

Each size runs in a process of its own, so that its peak memory is its own; the simulated workers are another.
"""

from __future__ import annotations

import json
import math
import multiprocessing
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

from gliderport_prefect.campaign.replay import replay, write_snapshot
from gliderport_prefect.campaign.runtime import Runtime
from gliderport_prefect.campaign.specs import SpecReader
from gliderport_prefect.lifecycle.launcher import Launcher, take_over
from gliderport_prefect.lifecycle.specs import submit_specs
from gliderport_prefect.protocol.ids import JobId, parse_campaign_id
from gliderport_prefect.protocol.jobspec import JobSpec
from gliderport_prefect.protocol.keys import CampaignKeys
from gliderport_prefect.protocol.outcomes import JobState
from gliderport_prefect.protocol.records import Campaign, timestamp
from gliderport_prefect.protocol.resources import Offer
from gliderport_prefect.store import CountingStore, open_store
from tests.simulated import SimulatedWorker

_CAMPAIGN = parse_campaign_id("scale")
_MODULE = "tests.bench.launcher_scale"
_WORKERS = 100
_OFFER = Offer(cpus=4, memory_bytes=2**34, disk_bytes=2**34)


@dataclass
class Figures:
    """What one size costs."""

    jobs: int
    submitted_per_second: float
    launcher_seconds: float
    """Processor time inside the launcher's steps, its requests included."""
    campaign_seconds: float
    """By the clock, with the workers beside it."""
    requests_per_job: float
    """Of the launcher, all kinds, after submission."""
    ledger_records: int
    replay_seconds: float
    """A take-over that reads the whole ledger."""
    snapshot_replay_seconds: float
    """The same from a snapshot at the ledger's end."""
    peak_megabytes: int


class Stopwatch:
    """Adds up the processor time of calls, which a busy machine does not change."""

    def __init__(self) -> None:
        """Begin at nothing."""
        self.seconds = 0.0

    def time(self, act: Callable[[], object]) -> None:
        """Call it and add its time."""
        began = time.process_time()
        act()
        self.seconds += time.process_time() - began


def measure(jobs: int, folder: Path) -> Figures:
    """Run a campaign of that many jobs in the folder."""
    store = open_store(folder, makes_root=True)
    keys = CampaignKeys(_CAMPAIGN)
    submission, driving = Stopwatch(), Stopwatch()
    submission.time(lambda: submit_specs(store, keys, jobs=_specs(jobs)))
    counting = CountingStore(store)
    runtime = Runtime(counting, keys)
    runtime.create(keys.identity, Campaign(keys.campaign, runtime.token(), timestamp(0)))
    began = time.perf_counter()
    _drive(runtime, driving, jobs)
    campaign_seconds = time.perf_counter() - began
    requests = counting.total
    whole, short = Stopwatch(), Stopwatch()
    store.delete([stored.key for stored in store.list(keys.snapshots)])
    whole.time(lambda: replay(runtime))
    state = replay(runtime)
    write_snapshot(runtime, state)
    short.time(lambda: replay(runtime))
    return Figures(
        jobs,
        round(jobs / submission.seconds),
        round(driving.seconds, 2),
        round(campaign_seconds, 2),
        round(requests / jobs, 4),
        state.ledger_number,
        round(whole.seconds, 2),
        round(short.seconds, 2),
        resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024,
    )


def _specs(jobs: int) -> Iterator[JobSpec]:
    return (JobSpec(JobId(f"job-{number}"), run=f"process --number {number}") for number in range(jobs))


def _drive(runtime: Runtime, driving: Stopwatch, jobs: int) -> None:
    command = [sys.executable, "-m", _MODULE, "--work", runtime.store.url]
    with subprocess.Popen(command, cwd=Path(__file__).parents[2]) as workers:
        launchers = list[Launcher]()
        reader = SpecReader(runtime.store, runtime.keys)
        driving.time(lambda: launchers.append(take_over(runtime, reader.spec_of)))
        (launcher,) = launchers
        while launcher.state.jobs.unfinished:
            driving.time(lambda: launcher.settle({}))
            driving.time(launcher.hand_out)
            assert workers.poll() is None, "the simulated workers have failed"
            time.sleep(0.05)
        launcher.drain(launcher.state.sessions.values())
    assert launcher.state.jobs.counts()[JobState.SUCCEEDED] == jobs


def work(url: str) -> None:
    """Be all workers of the campaign until they are told to leave."""
    runtime = Runtime(open_store(url), CampaignKeys(_CAMPAIGN))
    workers = [SimulatedWorker(runtime, f"worker-{number:04d}", _OFFER) for number in range(_WORKERS)]
    for worker in workers:
        worker.say_hello()
    while any(worker.ended is None for worker in workers):
        for worker in workers:
            if worker.ended is None:
                worker.turn()
        time.sleep(0.05)


def main(sizes: list[int]) -> None:
    """Print the figures of each size and the growth from one to the next."""
    earlier: Figures | None = None
    spawn = multiprocessing.get_context("spawn")
    for jobs in sizes:
        with tempfile.TemporaryDirectory() as folder, spawn.Pool(1) as pool:
            figures = pool.apply(measure, (jobs, Path(folder)))
        print(json.dumps(asdict(figures)), flush=True)
        if earlier is not None:
            _print_growth(earlier, figures)
        earlier = figures


def _print_growth(smaller: Figures, larger: Figures) -> None:
    for name in ("launcher_seconds", "replay_seconds", "peak_megabytes"):
        ratio = getattr(larger, name) / max(getattr(smaller, name), 0.01)
        exponent = math.log(ratio) / math.log(larger.jobs / smaller.jobs)
        print(f"    {name}: × {ratio:.1f}, exponent {exponent:.2f}", flush=True)


if __name__ == "__main__":
    if sys.argv[1:2] == ["--work"]:
        work(sys.argv[2])
    else:
        main([int(size) for size in sys.argv[1:]] or [10_000, 100_000, 1_000_000])
