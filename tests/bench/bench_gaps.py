"""A thousand jobs of a tenth of a second in two slots: how much longer than fifty seconds they take."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.bench.bare_loop import run_bare
from tests.bench.figures import Figure
from tests.bench.local_campaign import commands, local_campaign

_SECONDS = 0.1
_SLOTS = 2


@pytest.mark.timeout(300)
@pytest.mark.parametrize(("workers", "cpus"), [(1, 2), (2, 1)], ids=["one worker of 2 cpus", "two workers of 1 cpu"])
def test_slots_stand_idle_for_next_to_nothing_between_jobs(
    tmp_path: Path, sized: Callable[[int], int], show: Callable[..., None], workers: int, cpus: int
) -> None:
    jobs = sized(1000)
    command = f"sleep {_SECONDS}"
    bare = run_bare(command, max(20, jobs // 10))
    with local_campaign(tmp_path, workers=workers, cpus=cpus) as campaign:
        campaign.submit(commands(command, jobs))
        campaign.drive()
        walls = [each.usage.wall_seconds for each in campaign.reports()]
    assert len(walls) == jobs
    ideal = jobs * _SECONDS / _SLOTS
    spawning = 1000 * (sum(walls) / len(walls) - _SECONDS)
    floor = bare.seconds / (bare.jobs * _SECONDS / _SLOTS)
    show(
        Figure(
            f"{jobs} × {command}, {workers} × {cpus} cpus: time / ideal",
            campaign.store.seconds / ideal,
            "",
            1.03,
            is_more_better=False,
            detail=f"bare loop just before: {floor:.3f}; a command took {spawning:.1f} ms longer than it slept",
        )
    )
