"""Ten thousand jobs that do nothing: their rate beside that of a bare loop, and their requests."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from statistics import median

import pytest

from gliderport_prefect.protocol.outcomes import Outcome
from tests.bench.bare_loop import BareRun, run_bare
from tests.bench.figures import Figure
from tests.bench.local_campaign import Watched, commands, local_campaign

_ROUNDS = 3
_BARE_JOBS = 3000


@pytest.mark.timeout(600)
def test_short_jobs_run_nearly_as_fast_as_a_bare_loop_spawns_them(
    tmp_path: Path, sized: Callable[[int], int], show: Callable[..., None]
) -> None:
    jobs, bare_jobs = sized(10_000), sized(_BARE_JOBS)
    ratios: list[float] = []
    cpu_ratios: list[float] = []
    costs: list[float] = []
    before = run_bare("true", bare_jobs)
    for number in range(_ROUNDS):
        with local_campaign(tmp_path / str(number), workers=2, cpus=1) as campaign:
            campaign.submit(commands("true", jobs))
            campaign.drive()
            theirs = campaign.worker_requests()
            requests = campaign.store.total + theirs.total()
            _check_all_is_there(campaign, jobs)
        after = run_bare("true", bare_jobs)
        # The machine is shared: what it gave just before and just after is what it gave meanwhile.
        bare_rate, rate = (before.rate + after.rate) / 2, jobs / campaign.store.seconds
        ratios.append(rate / bare_rate)
        cpu_ratios.append(_bare_cpu(before, after) / (_cpu(campaign) / jobs))
        costs.append(requests / jobs)
        print(f"{rate:.0f} jobs/s, bare {before.rate:.0f} and {after.rate:.0f}; {_describe_cpu(campaign, jobs)}")
        print(f"requests of the launcher {dict(campaign.store.counts)}, of the workers {dict(theirs)}")
        before = after
    rounds = f"of {_ROUNDS} × {jobs:,} jobs `true`, 2 workers of 1 cpu"
    show(
        Figure("rate / rate of a bare loop of two threads", median(ratios), "", 0.7, detail=f"median {rounds}"),
        Figure("cpu time of the bare loop / cpu time, per job", median(cpu_ratios), "", detail="all processes"),
        Figure("control requests per short job", max(costs), "", 0.05, is_more_better=False, detail="most of a round"),
    )


def _check_all_is_there(campaign: Watched, jobs: int) -> None:
    """Exit codes and usage of all jobs lie in the bucket."""
    reports = campaign.reports()
    assert len({each.job for each in reports}) == len(reports) == jobs
    assert all(each.outcome is Outcome.SUCCEEDED and each.exit_code == 0 for each in reports)
    assert all(each.usage.wall_seconds > 0 for each in reports)


def _cpu(campaign: Watched) -> float:
    return campaign.launcher_cpu_seconds + sum(each.own + each.jobs for each in campaign.cpu.values())


def _bare_cpu(*runs: BareRun) -> float:
    return sum(each.cpu_seconds for each in runs) / sum(each.jobs for each in runs)


def _describe_cpu(campaign: Watched, jobs: int) -> str:
    own, theirs = (sum(getattr(each, part) for each in campaign.cpu.values()) for part in ("own", "jobs"))
    parts = {"launcher": campaign.launcher_cpu_seconds, "workers": own, "jobs": theirs}
    return "cpu per job: " + ", ".join(f"{name} {1000 * seconds / jobs:.2f} ms" for name, seconds in parts.items())
